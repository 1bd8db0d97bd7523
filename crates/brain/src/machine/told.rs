//! What goes between a machine and its hands: values, wishes and events.

use crate::trace::End;
use crate::workflow::{Form, Type};
use crate::{SLOT_BYTES_MAX, cut};
use std::collections::BTreeMap;

/// Facts of one recall, and lines of a list.
pub(super) const LIST_MAX: usize = 32;
/// Turns of what was said before.
const TURNS_MAX: usize = 32;

/// What holds a wish and its answer together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub u32);

/// What a slot holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Text(String),
    List(Vec<String>),
    /// What a person said, and what the answer was.
    Talk(Vec<(String, String)>),
}

impl Value {
    /// As it stands in a text.
    pub fn text(&self) -> String {
        match self {
            Value::Text(text) => text.clone(),
            Value::List(all) => all.iter().map(|line| format!("- {line}")).collect::<Vec<_>>().join("\n"),
            Value::Talk(turns) => {
                let turn = |(said, answer): &(String, String)| format!("Person: {said}\nAnswer: {answer}");
                turns.iter().map(turn).collect::<Vec<_>>().join("\n")
            }
        }
    }

    pub(super) fn fits(&self, slot: &Type) -> bool {
        matches!(
            (self, slot),
            (Value::Text(_), Type::Text) | (Value::List(_), Type::List) | (Value::Talk(_), Type::Talk)
        )
    }

    /// Within the limits of a slot.
    pub(super) fn bounded(self) -> Value {
        let short = |text: String| match text.len() > SLOT_BYTES_MAX {
            true => cut(&text, SLOT_BYTES_MAX).to_owned(),
            false => text,
        };
        match self {
            Value::Text(text) => Value::Text(short(text)),
            Value::List(mut all) => {
                all.truncate(LIST_MAX);
                let mut room = SLOT_BYTES_MAX;
                for line in &mut all {
                    line.truncate(cut(line, room).len());
                    room -= line.len();
                }
                Value::List(all)
            }
            Value::Talk(mut turns) => {
                turns.drain(..turns.len().saturating_sub(TURNS_MAX));
                let turns = turns.into_iter().map(|(said, answer)| (short(said), short(answer)));
                Value::Talk(turns.collect())
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Person,
    Model,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub role: Role,
    pub text: String,
}

/// What should happen next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Whether this can be answered without a model: [`Event::Intent`].
    Intent { id: Id, text: String },
    /// [`Event::Recalled`].
    Recall { id: Id, query: String, most: usize },
    /// [`Event::Routed`].
    Route { id: Id, text: String },
    /// [`Event::Token`], any number of them, then [`Event::Asked`].
    Ask { id: Id, expert: String, persona: Option<String>, messages: Vec<Message>, form: Form, tokens: u32 },
    /// [`Event::Tool`].
    Tool { id: Id, name: String, arguments: BTreeMap<String, String> },
    /// What a model wrote as a call of a tool; the product reads it: [`Event::Tool`].
    Call { id: Id, text: String },
    /// The question is to be said, and the answer brought: [`Event::Person`].
    Person { id: Id, question: String },
    /// Nobody waits for this one any more.
    Stop { id: Id },
    /// To the person.
    Say { text: String },
    /// The last.
    Done(End),
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// What is said, or that nothing is known of such a wish.
    Intent {
        id: Id,
        answer: Option<String>,
    },
    Recalled {
        id: Id,
        facts: Vec<String>,
    },
    Routed {
        id: Id,
        expert: String,
        why: String,
    },
    Token {
        id: Id,
        text: String,
    },
    /// The answer is whole; how many tokens it had, where that is known.
    Asked {
        id: Id,
        tokens: Option<u32>,
    },
    Tool {
        id: Id,
        text: String,
    },
    Person {
        id: Id,
        text: String,
    },
    /// A person is asked before a tool runs: the run's time stands still until that is over.
    Held {
        id: Id,
        why: String,
    },
    /// Who answers a wish, for the trace.
    By {
        id: Id,
        who: String,
    },
    Failed {
        id: Id,
        why: String,
    },
    Cancelled,
    /// Nothing but time has passed.
    Deadline,
}

impl Event {
    pub(super) fn id(&self) -> Option<Id> {
        match self {
            Event::Intent { id, .. }
            | Event::Recalled { id, .. }
            | Event::Routed { id, .. }
            | Event::Token { id, .. }
            | Event::Asked { id, .. }
            | Event::Tool { id, .. }
            | Event::Person { id, .. }
            | Event::Held { id, .. }
            | Event::By { id, .. }
            | Event::Failed { id, .. } => Some(*id),
            Event::Cancelled | Event::Deadline => None,
        }
    }
}
