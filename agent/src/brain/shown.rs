//! What others may see of workflows and personas, as JSON.

use super::Brain;
use super::library::{Kept, Source};
use super::run::Over;
use admission::EditKind;
use brain::{Edge, Step};
use serde::Serialize;
use service::door::Answer;

pub const WORKFLOWS_PATH: &str = "/api/workflows";
pub const PERSONAS_PATH: &str = "/api/personas";

/// All workflows.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Shown {
    pub workflows: Vec<Workflow>,
    /// What is wrong with the owner's files; what held before holds on.
    pub troubles: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Workflow {
    pub name: String,
    pub about: String,
    pub source: Source,
    pub seconds: u64,
    pub tokens: u32,
    pub nodes: Vec<Node>,
    pub edges: Vec<Edge>,
    pub last: Option<Over>,
    /// Its file, where it is to be edited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Node {
    pub name: String,
    #[serde(rename = "do")]
    pub kind: &'static str,
}

pub fn workflows(brain: &Brain, has_key: bool) -> Answer {
    let mut shown = shown(brain, has_key);
    for workflow in &mut shown.workflows {
        workflow.text = brain.library.text(EditKind::Workflow, &workflow.name);
    }
    json(&shown)
}

/// The graphs, each with the times of its last run; what was said in it only for whoever has a key.
pub fn shown(brain: &Brain, has_key: bool) -> Shown {
    let last = brain.last().clone();
    let of = |name: &str| {
        let over = last.get(name).cloned()?;
        Some(if has_key { over } else { closed(over) })
    };
    let shown = |kept: Kept<brain::Workflow>| {
        let workflow = kept.value;
        let nodes = workflow.nodes().map(|(name, kind)| Node { name: name.to_owned(), kind }).collect();
        Workflow {
            name: workflow.name.clone(),
            about: workflow.about.clone(),
            source: kept.source,
            seconds: workflow.time.as_secs(),
            tokens: workflow.tokens,
            nodes,
            edges: workflow.edges(),
            last: of(&workflow.name),
            text: None,
        }
    };
    let workflows = brain.library.workflows().into_iter().map(shown).collect();
    Shown { workflows, troubles: brain.library.troubles() }
}

/// Notes may quote what was said.
fn closed(over: Over) -> Over {
    let steps = over.steps.into_iter().map(|step| Step { notes: vec![], ..step }).collect();
    let end = match over.end {
        brain::End::Failed(_) => brain::End::Failed(String::new()),
        other => other,
    };
    Over { steps, end, ..over }
}

pub fn personas(brain: &Brain) -> Answer {
    #[derive(Serialize)]
    struct One {
        name: String,
        about: String,
        tag: String,
        is_expert: bool,
        source: Source,
        examples: Vec<String>,
        keywords: Vec<String>,
        prompt: String,
        /// The file, as it is edited.
        text: String,
    }
    let one = |kept: Kept<brain::Persona>| {
        let is_expert = kept.value.is_expert();
        let brain::Persona { name, about, tag, examples, keywords, prompt } = (*kept.value).clone();
        let text = brain.library.text(EditKind::Persona, &name).unwrap_or_default();
        One { name, about, tag, is_expert, source: kept.source, examples, keywords, prompt, text }
    };
    let all: Vec<One> = brain.library.personas().into_iter().map(one).collect();
    json(&serde_json::json!({ "personas": all, "troubles": brain.library.troubles() }))
}

fn json(shown: &impl Serialize) -> Answer {
    match serde_json::to_vec(shown) {
        Ok(body) => Answer::json(200, body),
        Err(error) => Answer::text(500, &format!("it cannot be written: {error}\n")),
    }
}
