//! The file that the owner saves and loads: lines of JSON, of which the first says what it is, the last the hash of all
//! before it, and each between them is a fact.
//!
//! Loading adds facts by their ids, so a file that is loaded twice changes nothing. What was forgotten since stays so.

use crate::book::FACTS_MAX;
use crate::entry::{EntryError, Fact, FactId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

const FORMAT: u32 = 1;
/// [`FACTS_MAX`] facts of usual length.
pub const SAVED_BYTES_MAX: usize = 15 << 20;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SavedError {
    Long,
    /// The first line is none of ours, or of a newer program.
    Format,
    Line {
        line: usize,
        why: String,
    },
    /// The file was cut, or changed by hand.
    Hash,
    Many,
    Twice {
        line: usize,
    },
}

impl fmt::Display for SavedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SavedError::Long => write!(f, "longer than {} MiB", SAVED_BYTES_MAX >> 20),
            SavedError::Format => f.write_str("line 1: not a memory that duet has saved"),
            SavedError::Line { line, why } => write!(f, "line {line}: {why}"),
            SavedError::Hash => {
                f.write_str("the last line is not the hash of those before it: the file was cut or changed")
            }
            SavedError::Many => write!(f, "more than {FACTS_MAX} facts"),
            SavedError::Twice { line } => write!(f, "line {line}: this fact is there twice"),
        }
    }
}

impl std::error::Error for SavedError {}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct First {
    duet_memory: u32,
    facts: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    id: String,
    told_s: u64,
    node: String,
    text: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Last {
    blake3: String,
}

/// Facts of a file, still without their random bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded(pub Vec<Fact>);

pub fn save<'a>(facts: impl ExactSizeIterator<Item = &'a Fact>) -> Result<String, serde_json::Error> {
    let mut text = serde_json::to_string(&First { duet_memory: FORMAT, facts: facts.len() })? + "\n";
    for Fact { id, told_s, node, text: told, .. } in facts {
        let (id, node) = (id.to_string(), format!("{node:016x}"));
        text += &serde_json::to_string(&Line { id, told_s: *told_s, node, text: told.clone() })?;
        text.push('\n');
    }
    let blake3 = blake3::hash(text.as_bytes()).to_hex().to_string();
    Ok(text + &serde_json::to_string(&Last { blake3 })? + "\n")
}

pub fn load(text: &str) -> Result<Loaded, SavedError> {
    if text.len() > SAVED_BYTES_MAX {
        return Err(SavedError::Long);
    }
    let text = text.strip_suffix('\n').unwrap_or(text);
    let (body, last) = text.rsplit_once('\n').ok_or(SavedError::Format)?;
    let mut lines = body.split('\n');
    let first: Option<First> = lines.next().and_then(|line| serde_json::from_str(line).ok());
    let first = first.filter(|first| first.duet_memory == FORMAT).ok_or(SavedError::Format)?;
    let last: Last = serde_json::from_str(last).map_err(|_| SavedError::Hash)?;
    // The line feed behind the body is hashed too.
    let hash = blake3::hash(&text.as_bytes()[..body.len() + 1]).to_hex();
    if last.blake3 != hash.as_str() {
        return Err(SavedError::Hash);
    }
    if first.facts > FACTS_MAX {
        return Err(SavedError::Many);
    }
    let (mut facts, mut ids) = (vec![], BTreeSet::new());
    for (idx, line) in lines.enumerate() {
        let line_n = idx + 2;
        let fact = read(line).map_err(|why| SavedError::Line { line: line_n, why })?;
        if !ids.insert(fact.id) {
            return Err(SavedError::Twice { line: line_n });
        }
        facts.push(fact);
        if facts.len() > first.facts {
            return Err(SavedError::Many);
        }
    }
    Ok(Loaded(facts))
}

fn read(line: &str) -> Result<Fact, String> {
    let Line { id, told_s, node, text } = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let id = FactId::parse(&id).ok_or("an id is 32 small hex digits")?;
    let is_node = node.len() == 16 && node.bytes().all(|byte| byte.is_ascii_hexdigit());
    let node = u64::from_str_radix(&node, 16).ok().filter(|_| is_node).ok_or("a node is 16 hex digits")?;
    let fact = Fact { id, salt: [0; 16], told_s, node, text };
    fact.check().map_err(|error: EntryError| error.to_string())?;
    Ok(fact)
}
