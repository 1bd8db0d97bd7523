//! Who answers, and in what manner: a file with a head in YAML and the words that a model is told.
//!
//! A persona with examples is an expert, to whom a question may be routed; others, such as the router's own, are only a manner.

use crate::fields::{Fields, Word};
use crate::mistake::{At, Mistakes, Pad};
use crate::{FILE_BYTES_MAX, cut, yaml};

/// Questions that stand for an expert.
const EXAMPLES_MAX: usize = 64;
const KEYWORDS_MAX: usize = 64;
/// One example or keyword.
const EXAMPLE_BYTES_MAX: usize = 200;
/// What a model is told.
pub const PROMPT_BYTES_MAX: usize = 8 << 10;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Persona {
    pub name: String,
    /// One sentence, for the router and for people.
    pub about: String,
    /// Models with this tag are asked first; its own name where the file says none.
    pub tag: String,
    pub examples: Vec<String>,
    /// Words that stand for it, where there is no model to choose.
    pub keywords: Vec<String>,
    /// What the model is told; empty leaves it its own manner.
    pub prompt: String,
}

impl Persona {
    pub fn is_expert(&self) -> bool {
        !self.examples.is_empty()
    }

    /// Reads a file's text; `file` is its name in sentences.
    pub fn read(file: &str, name: &str, text: &str) -> Result<Persona, Mistakes> {
        let mut pad = Pad::default();
        let persona = whole(name, text, &mut pad);
        pad.done(file, persona)
    }
}

fn whole(name: &str, text: &str, pad: &mut Pad) -> Option<Persona> {
    if !crate::is_name(name) {
        pad.note(At::START, format!("{name:?} is no name for a persona: small letters, digits, - and _"));
    }
    if text.len() > FILE_BYTES_MAX {
        pad.note(At::START, format!("the file has more than {FILE_BYTES_MAX} bytes"));
        return None;
    }
    let Some((head, prompt)) = split(text) else {
        pad.note(
            At::START,
            "the file must begin with a head: a line ---, then `about: ...`, then a line ---",
        );
        return None;
    };
    // The head's first line is the file's second.
    let head = format!("\n{head}");
    let node = yaml::read(&head).map_err(|mistake| pad.note(mistake.at, mistake.what)).ok()?;
    let fields = Fields::of(&node, "the head", pad)?;
    let about = fields.need_word("about", pad);
    let tag = fields.name("tag", pad).map_or_else(|| name.to_owned(), |tag| tag.text);
    let examples = short(fields.words("examples", EXAMPLES_MAX, pad), pad);
    let keywords = short(fields.words("keywords", KEYWORDS_MAX, pad), pad);
    fields.rest(pad);
    let prompt = prompt.trim();
    if prompt.len() > PROMPT_BYTES_MAX {
        pad.note(At::START, format!("what the model is told has more than {PROMPT_BYTES_MAX} bytes"));
    }
    let prompt = cut(prompt, PROMPT_BYTES_MAX).to_owned();
    Some(Persona { name: name.to_owned(), about: about?.text, tag, examples, keywords, prompt })
}

/// The head, and what follows it.
fn split(text: &str) -> Option<(&str, &str)> {
    let rest = text.strip_prefix("---\n").or_else(|| text.strip_prefix("---\r\n"))?;
    let mut at = 0;
    for line in rest.split_inclusive('\n') {
        if line.trim_end() == "---" {
            return Some((&rest[..at], &rest[at + line.len()..]));
        }
        at += line.len();
    }
    None
}

fn short(words: Vec<Word>, pad: &mut Pad) -> Vec<String> {
    let mut all = vec![];
    for Word { at, text } in words {
        if text.len() > EXAMPLE_BYTES_MAX {
            pad.note(at, format!("this has more than {EXAMPLE_BYTES_MAX} bytes"));
        }
        all.push(text);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: &str) {
        let got = Persona::read("x.md", "x", text).unwrap_err().to_string();
        assert!(got.contains(want), "{got}");
    }

    #[test]
    fn a_persona_is_a_head_and_what_the_model_is_told() {
        let text = "---\nabout: Writes code.\ntag: coding\nexamples: [write a loop]\n---\nYou write code.\n---\nAlways.\n";
        let persona = Persona::read("x.md", "x", text).unwrap();
        assert_eq!(
            (persona.tag.as_str(), persona.prompt.as_str()),
            ("coding", "You write code.\n---\nAlways.")
        );
        assert!(persona.is_expert());
        assert!(!Persona::read("x.md", "x", "---\nabout: a\n---\n").unwrap().is_expert());
    }

    #[test]
    fn what_is_wrong_with_a_persona_is_told_with_its_line() {
        check("You write code.", "x.md:1:1: the file must begin with a head");
        check("---\nabout: a\n", "x.md:1:1: the file must begin with a head");
        check("---\ntag: a\n---\n", "x.md:2:1: the head lacks `about`");
        check("---\nabout: a\nexample: [b]\n---\n", "x.md:3:1: the head has no `example`");
        check(&format!("---\nabout: a\nexamples:\n- {}\n---\n", "b".repeat(201)), "x.md:4:3: this has more");
        check(&format!("---\nabout: a\n---\n{}", "b".repeat(9000)), "more than 8192 bytes");
    }
}
