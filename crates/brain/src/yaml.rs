//! YAML as a tree, with the place of every word.
//!
//! Only what a plain file needs: maps, lists and texts. Anchors, tags and several documents in one file are refused, because
//! they make of a short file a long one, or mean something only to other programs.

use crate::FILE_BYTES_MAX;
use crate::mistake::{At, Mistake};
use saphyr_parser::{Event, Marker, Parser};

/// How deep maps and lists may lie in each other.
const DEPTH_MAX: usize = 12;
/// Words, lists and maps of one file.
const NODES_MAX: usize = 4000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub at: At,
    pub value: Value,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    pub at: At,
    pub name: String,
}

impl Value {
    /// What it is called in a sentence.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map of names and values",
        }
    }
}

/// A list or a map that has begun.
enum Open {
    List(At, Vec<Node>),
    Map(At, Vec<(Key, Node)>, Option<Key>),
}

pub fn read(text: &str) -> Result<Node, Mistake> {
    let wrong = |at: At, what: String| Err(Mistake { at, what });
    if text.len() > FILE_BYTES_MAX {
        return wrong(At::START, format!("the file has more than {FILE_BYTES_MAX} bytes; make two of it"));
    }
    let (mut open, mut whole): (Vec<Open>, Option<Node>) = (vec![], None);
    let (mut n_nodes, mut n_documents) = (0, 0);
    for event in Parser::new_from_str(text) {
        let (event, span) = match event {
            Ok(event) => event,
            Err(error) => return wrong(at(error.marker()), format!("this is no YAML: {}", error.info())),
        };
        let here = at(&span.start);
        n_nodes += 1;
        if n_nodes > NODES_MAX {
            return wrong(here, format!("the file has more than {NODES_MAX} parts; make two of it"));
        }
        let plain = |anchor: usize, has_tag: bool| match (anchor, has_tag) {
            (0, false) => Ok(()),
            (0, true) => Err("tags such as !name are not understood; leave it out"),
            _ => Err("anchors such as &name are not understood; write it out"),
        };
        let begun = match event {
            Event::Alias(_) => {
                return wrong(here, "aliases such as *name are not understood; write it out".into());
            }
            Event::DocumentStart(_) => {
                n_documents += 1;
                if n_documents > 1 {
                    return wrong(here, "a second document begins here; make a file of its own of it".into());
                }
                continue;
            }
            Event::Scalar(text, _, anchor, tag) => plain(anchor, tag.is_some())
                .map(|()| Some(Node { at: here, value: Value::Text(text.into_owned()) })),
            Event::SequenceStart(anchor, tag) => {
                open.push(Open::List(here, vec![]));
                plain(anchor, tag.is_some()).map(|()| None)
            }
            Event::MappingStart(anchor, tag) => {
                open.push(Open::Map(here, vec![], None));
                plain(anchor, tag.is_some()).map(|()| None)
            }
            Event::SequenceEnd | Event::MappingEnd => Ok(match open.pop() {
                Some(Open::List(at, all)) => Some(Node { at, value: Value::List(all) }),
                Some(Open::Map(at, all, _)) => Some(Node { at, value: Value::Map(all) }),
                None => None,
            }),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => continue,
        };
        let node = match begun {
            Ok(node) => node,
            Err(what) => return wrong(here, what.into()),
        };
        if open.len() > DEPTH_MAX {
            return wrong(here, format!("this lies more than {DEPTH_MAX} deep"));
        }
        let Some(node) = node else { continue };
        match open.last_mut() {
            None => whole = Some(node),
            Some(Open::List(_, all)) => all.push(node),
            Some(Open::Map(_, all, key @ None)) => {
                let Value::Text(name) = node.value else {
                    return wrong(
                        node.at,
                        format!("{} cannot be a name here; write a word", node.value.kind()),
                    );
                };
                if all.iter().any(|(other, _)| other.name == name) {
                    return wrong(node.at, format!("`{name}` is there twice; take one away"));
                }
                *key = Some(Key { at: node.at, name });
            }
            Some(Open::Map(_, all, key)) => all.extend(key.take().map(|key| (key, node))),
        }
    }
    whole.map_or_else(|| wrong(At::START, "the file is empty".into()), Ok)
}

fn at(marker: &Marker) -> At {
    At { line: marker.line().max(1), column: marker.col() + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, line: usize, column: usize, what: &str) {
        let error = read(text).unwrap_err();
        assert_eq!((error.at.line, error.at.column), (line, column), "{}", error.what);
        assert!(error.what.contains(what), "{}", error.what);
    }

    #[test]
    fn a_tree_knows_where_its_words_are() {
        let Value::Map(all) = read("a: 1\nb:\n  - x\n  - |\n    two\n    lines\n").unwrap().value else {
            panic!()
        };
        let (key, list) = &all[1];
        assert_eq!((key.at, key.name.as_str()), (At { line: 2, column: 1 }, "b"));
        let Value::List(list) = &list.value else { panic!() };
        assert_eq!(list[0].at, At { line: 3, column: 5 });
        assert_eq!(list[1].value, Value::Text("two\nlines\n".into()));
    }

    #[test]
    fn what_a_plain_file_does_not_need_is_refused_with_its_place() {
        check("", 1, 1, "empty");
        check("a: 1\na: 2\n", 2, 1, "twice");
        check("a: &x 1\n", 1, 4, "anchors");
        check("a: *x\n", 1, 4, "");
        check("a: !b c\n", 1, 4, "tags");
        check("a: 1\n---\nb: 2\n", 2, 1, "second document");
        check("a: [1\n", 2, 1, "no YAML");
        check("? [a]\n: b\n", 1, 3, "cannot be a name");
        check(&"[".repeat(40), 1, 13, "deep");
        check(&format!("[{}]", "a,".repeat(5000)), 1, 7996, "parts");
        check(&"a".repeat(FILE_BYTES_MAX + 1), 1, 1, "bytes");
    }
}
