//! A workflow that was checked: nodes, the slots between them, and its budgets.

use crate::mistake::{At, Mistakes};
use crate::template::Template;
use std::collections::BTreeMap;
use std::time::Duration;

/// What the product has, for names that a workflow may use.
#[derive(Clone, Debug, Default)]
pub struct Known {
    pub tools: Vec<String>,
    /// Experts and other personas.
    pub personas: Vec<String>,
}

/// What a slot holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    Text,
    /// Texts in their order.
    List,
    /// What was said before in a conversation.
    Talk,
    /// The name of an expert.
    Expert,
    /// One of these words.
    Choice(Vec<String>),
}

impl Type {
    pub fn name(&self) -> &'static str {
        match self {
            Type::Text => "text",
            Type::List => "list",
            Type::Talk => "talk",
            Type::Expert => "expert",
            Type::Choice(_) => "choice",
        }
    }
}

/// How a model is to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    Free,
    /// With one of these words; a grammar holds it to them.
    Choice(Vec<String>),
    /// With at most so many lines.
    Lines(usize),
    /// With a call of one of these tools, or of none; no name is any tool.
    Call(Vec<String>),
}

impl Form {
    pub fn slot(&self) -> Type {
        match self {
            Form::Free | Form::Call(_) => Type::Text,
            Form::Choice(words) => Type::Choice(words.clone()),
            Form::Lines(_) => Type::List,
        }
    }
}

/// Where the way goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum To {
    Node(usize),
    End,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workflow {
    pub name: String,
    pub about: String,
    pub(crate) inputs: BTreeMap<String, Type>,
    pub(crate) slots: BTreeMap<String, Type>,
    /// Of the whole run, without the time in which a person is waited for.
    pub time: Duration,
    /// Of all models together.
    pub tokens: u32,
    /// The first is where it begins.
    pub(crate) nodes: Vec<Node>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub name: String,
    pub at: At,
    pub kind: Kind,
    /// The slot that it writes.
    pub into: Option<String>,
    pub next: Option<To>,
    /// Where the way goes on when it fails.
    pub otherwise: Option<To>,
    /// Its own time.
    pub time: Duration,
}

/// A request to one model, but for whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asking {
    /// Another manner than the expert's own.
    pub persona: Option<String>,
    /// A slot with what was said before.
    pub talk: Option<String>,
    pub prompt: Template,
    pub form: Form,
    pub tokens: u32,
}

/// Who is asked: by name, or by what a slot says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Name(String),
    Slot(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Intent {
        text: Template,
    },
    Recall {
        query: Template,
        most: usize,
    },
    Route {
        text: Template,
    },
    Ask {
        who: Who,
        asking: Asking,
        is_aloud: bool,
    },
    Vote {
        experts: Vec<String>,
        asking: Asking,
        judge: Option<String>,
    },
    /// Short texts stay as they are.
    Summarise {
        of: String,
        who: Who,
        asking: Asking,
        above: usize,
    },
    Tool {
        name: String,
        arguments: Vec<(String, Template)>,
    },
    /// Does what a model wrote as a call.
    Call {
        of: String,
    },
    /// Puts texts together.
    Write {
        text: Template,
    },
    Branch {
        on: String,
        cases: Vec<(String, To)>,
        otherwise: Option<To>,
    },
    Loop {
        body: To,
        most: u32,
    },
    Person {
        question: Template,
    },
    Answer {
        text: Template,
    },
}

impl Kind {
    pub fn name(&self) -> &'static str {
        match self {
            Kind::Intent { .. } => "intent",
            Kind::Recall { .. } => "recall",
            Kind::Route { .. } => "route",
            Kind::Ask { .. } => "ask",
            Kind::Vote { .. } => "vote",
            Kind::Summarise { .. } => "summarise",
            Kind::Tool { .. } => "tool",
            Kind::Call { .. } => "call",
            Kind::Write { .. } => "write",
            Kind::Branch { .. } => "branch",
            Kind::Loop { .. } => "loop",
            Kind::Person { .. } => "person",
            Kind::Answer { .. } => "answer",
        }
    }
}

/// A way from one node to another, for whoever draws the graph.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Edge {
    pub from: String,
    pub to: String,
    /// When this way is taken; empty where it is the only one.
    pub label: String,
}

impl Workflow {
    /// Reads a file's text; `file` is its name in sentences.
    pub fn read(file: &str, text: &str, known: &Known) -> Result<Workflow, Mistakes> {
        crate::read::read(file, text, known)
    }

    /// Names and kinds of the nodes, in the order of the file.
    pub fn nodes(&self) -> impl Iterator<Item = (&str, &'static str)> {
        self.nodes.iter().map(|node| (node.name.as_str(), node.kind.name()))
    }

    /// What a run begins with.
    pub fn inputs(&self) -> impl Iterator<Item = (&str, &Type)> {
        self.inputs.iter().map(|(name, slot)| (name.as_str(), slot))
    }

    pub fn edges(&self) -> Vec<Edge> {
        let name = |to: To| match to {
            To::Node(idx) => self.nodes[idx].name.clone(),
            To::End => "end".to_owned(),
        };
        let mut edges = vec![];
        for node in &self.nodes {
            let ways = node.ways().into_iter();
            edges.extend(ways.map(|way| Edge {
                from: node.name.clone(),
                to: name(way.to),
                label: way.label,
            }));
        }
        edges
    }
}

/// One way on from a node.
pub(crate) struct Way {
    pub to: To,
    pub label: String,
    /// Its slot was written.
    pub writes: bool,
    /// It is the body of a loop, which has a limit.
    pub is_body: bool,
}

impl Node {
    pub fn ways(&self) -> Vec<Way> {
        let way = |to: To, label: &str, writes| Way { to, label: label.to_owned(), writes, is_body: false };
        let mut ways = match &self.kind {
            Kind::Branch { cases, otherwise, .. } => {
                let other = otherwise.map(|to| way(to, "otherwise", false));
                cases.iter().map(|(word, to)| way(*to, word, false)).chain(other).collect()
            }
            Kind::Loop { body, most } => {
                vec![Way { is_body: true, ..way(*body, &format!("at most {most} times"), false) }]
            }
            _ => vec![],
        };
        let label = match self.kind {
            Kind::Loop { .. } => "then",
            Kind::Intent { .. } => "understood",
            _ => "",
        };
        ways.extend(self.next.map(|to| way(to, label, true)));
        ways.extend(self.otherwise.map(|to| way(to, "else", false)));
        ways
    }

    /// The slots that it reads.
    pub fn reads(&self) -> Vec<&str> {
        let mut slots: Vec<&str> = vec![];
        match &self.kind {
            Kind::Intent { text } | Kind::Route { text } | Kind::Write { text } | Kind::Answer { text } => {
                slots.extend(text.slots())
            }
            Kind::Recall { query, .. } => slots.extend(query.slots()),
            Kind::Person { question } => slots.extend(question.slots()),
            Kind::Ask { who, asking, .. } => slots.extend(asking.slots().chain(who.slot())),
            Kind::Vote { asking, .. } => slots.extend(asking.slots()),
            Kind::Summarise { of, who, .. } => slots.extend(who.slot().into_iter().chain([of.as_str()])),
            Kind::Tool { arguments, .. } => slots.extend(arguments.iter().flat_map(|(_, text)| text.slots())),
            Kind::Branch { on: slot, .. } | Kind::Call { of: slot } => slots.push(slot),
            Kind::Loop { .. } => {}
        }
        slots
    }
}

impl Asking {
    fn slots(&self) -> impl Iterator<Item = &str> {
        self.prompt.slots().chain(self.talk.as_deref())
    }
}

impl Who {
    fn slot(&self) -> Option<&str> {
        match self {
            Who::Slot(slot) => Some(slot),
            Who::Name(_) => None,
        }
    }
}
