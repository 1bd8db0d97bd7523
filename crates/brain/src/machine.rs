//! Runs one workflow: told what happened, it says what should happen next.
//!
//! A run ends exactly once, with [`Wish::Done`], and says nothing after it. Whatever others do, it stays within its time and
//! its tokens: an answer that grows beyond what it may have is stopped, and whoever is late is not waited for.
//! Events of wishes that are over change nothing, so whoever works may be late himself.

mod asked;
mod step;
#[cfg(test)]
mod tests;
mod told;
mod vote;

pub use told::{Event, Id, Message, Role, Value, Wish};

use crate::trace::{End, Outcome, Step};
use crate::workflow::{Kind, To, Workflow};
use asked::Asked;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Steps of one run, for loops within loops.
const STEPS_MAX: usize = 256;
/// How long a person may be waited for before a tool runs, and the tool then; whoever runs it has narrower limits.
const HELD_MAX: Duration = Duration::from_secs(900);

pub struct Machine {
    workflow: Arc<Workflow>,
    slots: BTreeMap<String, Value>,
    /// How often the way went into the body of each loop.
    rounds: BTreeMap<usize, u32>,
    began: Duration,
    ends: Duration,
    tokens_left: u32,
    n_wishes: u32,
    steps: Vec<Step>,
    state: State,
    wishes: VecDeque<Wish>,
}

enum State {
    Working(Work),
    Ended,
}

/// A node that waits for others.
struct Work {
    node: usize,
    began: Duration,
    ends: Duration,
    /// A person is waited for: the time of the run stands still.
    is_person: bool,
    waits: Waits,
}

enum Waits {
    Nobody,
    One(Id),
    Ask(Asked),
    Vote(Vec<Asked>),
    /// The answers, of which one is chosen.
    Judge(Vec<String>, Asked),
}

impl Waits {
    fn open(&self) -> Vec<Id> {
        match self {
            Waits::Nobody => vec![],
            Waits::One(id) => vec![*id],
            Waits::Ask(asked) | Waits::Judge(_, asked) => asked.open().into_iter().collect(),
            Waits::Vote(all) => all.iter().filter_map(Asked::open).collect(),
        }
    }
}

impl Machine {
    /// The sentence says which input is missing or is another than the workflow wants.
    pub fn start(
        workflow: Arc<Workflow>,
        inputs: BTreeMap<String, Value>,
        now: Duration,
    ) -> Result<Machine, String> {
        for (name, slot) in &workflow.inputs {
            match inputs.get(name) {
                None => {
                    return Err(format!("the workflow {} needs the {} `{name}`", workflow.name, slot.name()));
                }
                Some(value) if !value.fits(slot) => {
                    return Err(format!(
                        "the workflow {} wants `{name}` to be a {}",
                        workflow.name,
                        slot.name()
                    ));
                }
                Some(_) => {}
            }
        }
        let is_wanted = |(name, _): &(String, Value)| workflow.inputs.contains_key(name);
        let slots =
            inputs.into_iter().filter(is_wanted).map(|(name, value)| (name, value.bounded())).collect();
        let mut machine = Machine {
            slots,
            rounds: BTreeMap::new(),
            began: now,
            ends: now.saturating_add(workflow.time),
            tokens_left: workflow.tokens,
            n_wishes: 0,
            steps: vec![],
            state: State::Ended,
            wishes: VecDeque::new(),
            workflow,
        };
        machine.go(now, To::Node(0));
        Ok(machine)
    }

    pub fn poll(&mut self) -> Option<Wish> {
        self.wishes.pop_front()
    }

    /// When it wants to be told that time has passed.
    pub fn deadline(&self) -> Option<Duration> {
        match &self.state {
            State::Working(work) if work.is_person => Some(work.ends),
            State::Working(work) => Some(work.ends.min(self.ends)),
            State::Ended => None,
        }
    }

    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Written by models so far.
    pub fn tokens(&self) -> u32 {
        self.workflow.tokens - self.tokens_left
    }

    pub fn handle(&mut self, now: Duration, event: Event) {
        let Some(deadline) = self.deadline() else { return };
        if event == Event::Cancelled {
            return self.finish(now, End::Cancelled);
        }
        if now >= deadline {
            return self.late(now);
        }
        let Some(id) = event.id() else { return };
        let State::Working(work) = &mut self.state else { return };
        if !work.waits.open().contains(&id) {
            return;
        }
        if let Event::By { who, .. } = &event {
            if let Some(step) = self.steps.last_mut() {
                step.note(who);
            }
            return;
        }
        if let Event::Held { why, .. } = &event {
            if !matches!(self.workflow.nodes[work.node].kind, Kind::Tool { .. } | Kind::Call { .. }) {
                return;
            }
            work.is_person = true;
            work.ends = now.saturating_add(HELD_MAX);
            return self.note(why);
        }
        match &work.waits {
            Waits::One(_) => self.one(now, event),
            _ => self.told(now, event),
        }
    }

    /// What a node that waits for one thing was told.
    fn one(&mut self, now: Duration, event: Event) {
        let State::Working(work) = &mut self.state else { return };
        let mut note = None;
        let told = match (&self.workflow.nodes[work.node].kind, event) {
            (Kind::Intent { .. }, Event::Intent { answer, .. }) => Ok(answer.map(Value::Text)),
            (Kind::Recall { .. }, Event::Recalled { facts, .. }) => Ok(Some(Value::List(facts))),
            (Kind::Route { .. }, Event::Routed { expert, why, .. }) => {
                note = Some(format!("{expert}: {why}"));
                Ok(Some(Value::Text(expert)))
            }
            (Kind::Tool { .. } | Kind::Call { .. }, Event::Tool { text, .. }) => Ok(Some(Value::Text(text))),
            (Kind::Person { .. }, Event::Person { text, .. }) => Ok(Some(Value::Text(text))),
            (_, Event::Failed { why, .. }) => Err(why),
            // Another kind of answer than was wished for.
            _ => return,
        };
        work.waits = Waits::Nobody;
        note.inspect(|note| self.note(note));
        match told {
            Ok(Some(value)) => self.write(now, value),
            Ok(None) => self.otherwise(now, Outcome::Done, ""),
            Err(why) => self.fail(now, &why),
        }
    }

    fn late(&mut self, now: Duration) {
        let State::Working(work) = &self.state else { return };
        if !work.is_person && now >= self.ends {
            let why = format!("the time for all, {} seconds, is used up", self.workflow.time.as_secs());
            return self.finish(now, End::Failed(why));
        }
        let node = &self.workflow.nodes[work.node];
        let why = format!("{} took longer than {} seconds", node.name, node.time.as_secs());
        match &work.waits {
            Waits::Vote(_) => self.count(now, &why),
            Waits::Judge(texts, _) => {
                let first = texts.first().cloned().unwrap_or_default();
                self.note("no judge came in time; the first answer is taken");
                self.write(now, Value::Text(first));
            }
            _ => self.fail(now, &why),
        }
    }

    /// The node wrote its slot.
    fn write(&mut self, now: Duration, value: Value) {
        let Some(work) = self.leave(now, Outcome::Done) else { return };
        let node = &self.workflow.nodes[work.node];
        let next = node.next;
        if let Some(into) = node.into.clone() {
            self.slots.insert(into, value.bounded());
        }
        self.go_on(now, next);
    }

    /// The node failed: there may be another way.
    fn fail(&mut self, now: Duration, why: &str) {
        let State::Working(work) = &self.state else { return };
        let has_spoken = matches!(&work.waits, Waits::Ask(asked) if asked.has_spoken());
        if has_spoken || self.workflow.nodes[work.node].otherwise.is_none() {
            self.note(why);
            return self.finish_as(now, Outcome::Failed, End::Failed(why.to_owned()));
        }
        self.otherwise(now, Outcome::Failed, why);
    }

    fn otherwise(&mut self, now: Duration, outcome: Outcome, why: &str) {
        if !why.is_empty() {
            self.note(why);
        }
        let Some(work) = self.leave(now, outcome) else { return };
        let to = self.workflow.nodes[work.node].otherwise;
        self.go_on(now, to);
    }

    /// The check of the graph left no way without its end.
    fn go_on(&mut self, now: Duration, to: Option<To>) {
        self.go(now, to.unwrap_or(To::End));
    }

    /// The node in work is over.
    fn leave(&mut self, now: Duration, outcome: Outcome) -> Option<Work> {
        let State::Working(work) = std::mem::replace(&mut self.state, State::Ended) else { return None };
        self.wishes.extend(work.waits.open().into_iter().map(|id| Wish::Stop { id }));
        if work.is_person {
            self.ends = self.ends.saturating_add(now.saturating_sub(work.began));
        }
        self.close(now, outcome);
        Some(work)
    }

    fn close(&mut self, now: Duration, outcome: Outcome) {
        let since = now.saturating_sub(self.began);
        if let Some(step) = self.steps.last_mut().filter(|step| step.outcome == Outcome::Running) {
            step.ended(since, outcome);
        }
    }

    fn note(&mut self, text: &str) {
        if let Some(step) = self.steps.last_mut() {
            step.note(text);
        }
    }

    fn finish(&mut self, now: Duration, end: End) {
        self.finish_as(now, Outcome::Stopped, end);
    }

    fn finish_as(&mut self, now: Duration, outcome: Outcome, end: End) {
        self.leave(now, outcome);
        self.close(now, outcome);
        self.state = State::Ended;
        self.wishes.push_back(Wish::Done(end));
    }

    fn id(&mut self) -> Id {
        self.n_wishes += 1;
        Id(self.n_wishes)
    }
}
