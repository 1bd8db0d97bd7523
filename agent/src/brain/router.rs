//! Chooses the expert for a question among those that are there now.
//!
//! The nearest example chooses, by vectors where a model makes them, by words where none does: measured, both are right far
//! more often than a small model is. One chooses all the same where the owner gave it the tag `router`, as no expert that
//! ships has; what it says that is no name is passed over. An expert is there when a model with its tag is, or when it has words of its own
//! for any model.

use super::Brain;
use super::ask::{self, Asking};
use super::library::GENERAL;
use crate::answer::model::Live;
use crate::talk::parts::{Part, Stop};
use brain::route::{self, Chosen};
use brain::{Form, Persona};
use split::expert::LAST_RESORT;
use std::sync::{Arc, Mutex, PoisonError};

/// The expert whose questions may cost calls of tools.
const TOOLS: &str = "tools";
/// The tag of a model that chooses, and the persona that it has.
pub const ROUTER: &str = "router";
/// A name has few tokens.
pub const ROUTER_TOKENS: u32 = 12;

/// Who was chosen, and why.
pub type Routed = Box<dyn FnOnce(String, String) + Send>;

/// Vectors of examples, for as long as these are the experts.
#[derive(Default)]
pub struct Router {
    examples: Mutex<Option<Examples>>,
}

#[derive(Clone)]
struct Examples {
    texts: Vec<String>,
    vectors: Arc<Vec<Vec<f32>>>,
}

impl Router {
    pub fn route(&self, brain: &Arc<Brain>, text: String, done: Routed) {
        let here = brain.clone();
        let found = move |live: Live| choose(&here, live, text, done);
        brain.models.live(Box::new(found));
    }

    /// The vectors of these examples, if they are kept.
    fn kept(&self, texts: &[String]) -> Option<Arc<Vec<Vec<f32>>>> {
        let kept = self.examples.lock().unwrap_or_else(PoisonError::into_inner);
        kept.as_ref().filter(|kept| kept.texts == texts).map(|kept| kept.vectors.clone())
    }

    fn keep(&self, texts: Vec<String>, vectors: Arc<Vec<Vec<f32>>>) {
        let mut kept = self.examples.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = Some(Examples { texts, vectors });
    }
}

/// The experts that can answer now, the general one among them.
pub fn there(personas: Vec<Arc<Persona>>, live: &Live) -> Vec<Arc<Persona>> {
    let is_there = |persona: &Arc<Persona>| {
        let has_manner = !persona.prompt.is_empty() && live.n_models > 0;
        let is_live = live.takes_all || live.tags.contains(&persona.tag);
        persona.is_expert() && (persona.name == GENERAL || has_manner || is_live)
    };
    personas.into_iter().filter(is_there).collect()
}

fn choose(brain: &Arc<Brain>, live: Live, text: String, done: Routed) {
    let personas = brain.library.personas().into_iter().map(|kept| kept.value).collect();
    let experts = there(personas, &live);
    if experts.len() < 2 {
        return done(GENERAL.into(), "because no other expert is there".into());
    }
    // It chooses tools at once, and says of other questions that none helps.
    if live.tags.iter().all(|tag| tag == LAST_RESORT)
        && !live.tags.is_empty()
        && experts.iter().any(|one| one.name == TOOLS)
    {
        return done(
            TOOLS.into(),
            "because only the last resort is there, which has nothing but tools".into(),
        );
    }
    match live.tags.contains(ROUTER) {
        true => by_model(brain, live.makes_vectors, experts, text, done),
        false => by_nearest(brain, live.makes_vectors, experts, text, done),
    }
}

fn by_nearest(
    brain: &Arc<Brain>,
    makes_vectors: bool,
    experts: Vec<Arc<Persona>>,
    text: String,
    done: Routed,
) {
    match makes_vectors {
        true => by_vectors(brain, experts, text, done),
        false => by_words(&experts, &text, done),
    }
}

fn names(experts: &[Arc<Persona>]) -> Vec<&Persona> {
    experts.iter().map(|expert| &**expert).collect()
}

fn told(chosen: Option<Chosen>, done: Routed) {
    match chosen {
        Some(chosen) => done(chosen.expert, chosen.why),
        None => done(GENERAL.into(), "because nothing that others are for is near".into()),
    }
}

fn by_words(experts: &[Arc<Persona>], text: &str, done: Routed) {
    told(route::by_words(&names(experts), text), done);
}

/// First the vectors of the examples, where they are not kept, then that of the question.
fn by_vectors(brain: &Arc<Brain>, experts: Vec<Arc<Persona>>, text: String, done: Routed) {
    let examples: Vec<String> = experts.iter().flat_map(|expert| expert.examples.clone()).collect();
    let kept = brain.router.kept(&examples);
    let mut texts = vec![text.clone()];
    if kept.is_none() {
        texts.extend(examples.iter().cloned());
    }
    let here = brain.clone();
    let n_texts = texts.len();
    let found = move |vectors: Result<Vec<Vec<f32>>, String>| {
        let Some(mut vectors) = vectors.ok().filter(|vectors| vectors.len() == n_texts) else {
            return by_words(&experts, &text, done);
        };
        let question = vectors.remove(0);
        let of_examples = kept.unwrap_or_else(|| {
            let vectors = Arc::new(vectors);
            here.router.keep(examples, vectors.clone());
            vectors
        });
        told(nearest(&experts, &of_examples, &question, &text), done);
    };
    brain.models.vectors(texts, Box::new(found));
}

/// `vectors` are those of all examples, expert after expert.
pub fn nearest(
    experts: &[Arc<Persona>],
    vectors: &[Vec<f32>],
    question: &[f32],
    text: &str,
) -> Option<Chosen> {
    let mut rest = vectors.iter().cloned();
    let of_each: Vec<Vec<Vec<f32>>> =
        experts.iter().map(|expert| rest.by_ref().take(expert.examples.len()).collect()).collect();
    route::by_vectors(&names(experts), &of_each, question, text)
}

/// The question to a small model, which answers with a name.
pub fn question(experts: &[Arc<Persona>], text: &str) -> Asking {
    Asking {
        expert: ROUTER.into(),
        persona: Some(ROUTER.into()),
        messages: route::question(&names(experts), text),
        form: Form::Choice(experts.iter().map(|expert| expert.name.clone()).collect()),
        tokens: ROUTER_TOKENS,
    }
}

fn by_model(brain: &Arc<Brain>, makes_vectors: bool, experts: Vec<Arc<Persona>>, text: String, done: Routed) {
    let asking = question(&experts, &text);
    let (here, mut experts) = (brain.clone(), experts);
    let (mut said, mut who, mut done) = (String::new(), String::new(), Some(done));
    let sink = move |part| match part {
        Part::By(by) => who = by,
        Part::Words(words) => said.push_str(&words),
        Part::Steps(_) => {}
        Part::End | Part::Failed(_) => {
            let Some(done) = done.take() else { return };
            let bare = said.trim_matches(|letter: char| !letter.is_alphanumeric());
            match experts.iter().find(|expert| expert.name == bare) {
                Some(expert) => done(expert.name.clone(), format!("because {who} chose it")),
                None => by_nearest(&here, makes_vectors, std::mem::take(&mut experts), text.clone(), done),
            }
        }
    };
    ask::ask(brain, asking, Stop::default(), Box::new(sink));
}
