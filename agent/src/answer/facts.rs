//! What a person tells a mind to remember, asks it about, or has it forget; how that is answered. The home's memory itself
//! is behind [`Facts`].

use serde::Deserialize;
use voice::intent::{Value, Wish};

/// Facts that are told in one answer.
const TOLD_MAX: usize = 3;
/// Other nodes that must have a fact before it is promised without a word more.
const PROMISED: usize = 2;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FactWish {
    Remember(String),
    Recall(String),
    /// What the conversation told or asked for last.
    ForgetLast,
    ForgetAbout(String),
    /// For a model, which is told so many at most; the conversation has not spoken of them.
    Look {
        text: String,
        most: usize,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FactTold {
    /// So many other nodes have it.
    Kept {
        n_others: usize,
    },
    /// Best first; none where nothing is known.
    Found(Vec<String>),
    /// Any of these may be meant, so none was forgotten.
    Several(Vec<String>),
    Forgotten {
        fact: String,
        is_everywhere: bool,
    },
    Failed(String),
}

/// Called once, soon or late, on whatever thread.
pub type Then = Box<dyn FnOnce(FactTold) + Send>;

/// The home's memory.
pub trait Facts: Send + Sync {
    fn ask(&self, talk: u64, wish: FactWish, then: Then);
}

/// For a mind that is nobody's home.
pub struct NoFacts;

impl Facts for NoFacts {
    fn ask(&self, _: u64, wish: FactWish, then: Then) {
        then(match wish {
            FactWish::Look { .. } => FactTold::Found(vec![]),
            _ => FactTold::Failed("there is no memory here".into()),
        });
    }
}

/// The sentences, as the files of `agent/answers` have them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FactPhrases {
    kept: String,
    kept_few: String,
    found: String,
    none: String,
    several: String,
    forgotten: String,
    forgotten_away: String,
    failed: String,
    /// For who has a key for the models alone.
    pub private: String,
}

/// What an intent wants of memory; nothing where it wants something else.
pub fn wish(wish: &Wish<'_>) -> Option<FactWish> {
    let said = |name: &str| match wish.slots.get(name) {
        Some(Value::Rest(text)) => text.clone(),
        _ => String::new(),
    };
    Some(match wish.intent {
        "memory.remember" => FactWish::Remember(said("fact")),
        "memory.recall" => FactWish::Recall(said("about")),
        "memory.forget" => FactWish::ForgetLast,
        "memory.forget.about" => FactWish::ForgetAbout(said("about")),
        _ => return None,
    })
}

impl FactPhrases {
    /// `nodes` puts a number of computers into words.
    pub fn answer(&self, told: &FactTold, nodes: impl Fn(usize) -> String) -> String {
        match told {
            FactTold::Kept { n_others } if *n_others >= PROMISED => self.kept.clone(),
            FactTold::Kept { n_others } => self.kept_few.replace("{nodes}", &nodes(n_others + 1)),
            FactTold::Found(facts) if facts.is_empty() => self.none.clone(),
            FactTold::Found(facts) => self.found.replace("{facts}", &sentences(facts)),
            FactTold::Several(facts) => self.several.replace("{facts}", &sentences(facts)),
            FactTold::Forgotten { fact, is_everywhere: true } => {
                self.forgotten.replace("{fact}", &sentence(fact))
            }
            FactTold::Forgotten { fact, .. } => self.forgotten_away.replace("{fact}", &sentence(fact)),
            FactTold::Failed(why) => self.failed.replace("{why}", why.trim_end_matches('.')),
        }
    }
}

fn sentences(facts: &[String]) -> String {
    let told: Vec<String> = facts.iter().take(TOLD_MAX).map(|fact| sentence(fact)).collect();
    told.join(" ")
}

fn sentence(fact: &str) -> String {
    if fact.ends_with(['.', '!', '?']) { fact.to_owned() } else { format!("{fact}.") }
}
