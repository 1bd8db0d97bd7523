//! One run of a workflow: the machine, and whoever does what it wishes.
//!
//! Whatever is told, from whichever thread, goes through one box, and one thread at a time hands it to the machine. What a
//! wish brings at once is told the same way, so nothing here calls itself.

use super::ask::{self, Asking};
use super::{Brain, Hands, Listener};
use crate::talk::parts::{Part, Stop};
use crate::tools::desk::Desk;
use brain::{End, Event, Id, Machine, Step, Wish};
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tools::{Origin, Wanted};

/// A run that is over.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Over {
    pub unix_s: u64,
    pub end: End,
    pub tokens: u32,
    pub steps: Vec<Step>,
}

pub struct Run {
    brain: Arc<Brain>,
    workflow: String,
    hands: Arc<dyn Hands>,
    state: Mutex<State>,
    /// Nobody, while a person was asked and has not answered.
    listener: Mutex<Option<Listener>>,
}

struct State {
    machine: Machine,
    told: VecDeque<Event>,
    is_driven: bool,
    /// Requests that models and tools work on.
    asked: BTreeMap<Id, Stop>,
    /// A tool waits for a person, who may say so elsewhere: what is said then is told late.
    is_held: bool,
}

/// A call of a tool that a run waits for.
pub struct Calling {
    run: Arc<Run>,
    id: Id,
    /// Set when it is not waited for any more.
    pub stop: Stop,
    /// A model is told what failed, so that it can mend its call.
    is_models: bool,
}

impl Calling {
    pub fn run(&self) -> Arc<Run> {
        self.run.clone()
    }

    /// A person must be asked: the turn ends with the question, and the run waits.
    pub fn asks(&self, question: String, why: String) {
        let run = &self.run;
        run.tell(Event::Held { id: self.id, why });
        run.state().is_held = true;
        run.say(Part::Words(question));
        run.say(Part::End);
        *run.listener() = None;
    }

    /// What comes of it; only the first word counts.
    pub fn done(&self, told: Result<String, String>) {
        let id = self.id;
        self.run.tell(match told {
            Ok(text) if self.is_models => Event::Tool { id, text: as_data(&text) },
            Ok(text) => Event::Tool { id, text },
            Err(why) if self.is_models => {
                Event::Tool { id, text: as_data(&format!("It did not work: {why}")) }
            }
            Err(why) => Event::Failed { id, why },
        });
    }
}

/// What a tool said cannot end the quotation in which a model reads it.
fn as_data(text: &str) -> String {
    text.replace("<<<", "< < <").replace(">>>", "> > >")
}

impl Run {
    pub fn new(
        brain: Arc<Brain>,
        workflow: &str,
        machine: Machine,
        hands: Arc<dyn Hands>,
        listener: Listener,
    ) -> Arc<Run> {
        let state = State {
            machine,
            told: VecDeque::new(),
            is_driven: false,
            asked: BTreeMap::new(),
            is_held: false,
        };
        Arc::new(Run {
            brain,
            workflow: workflow.to_owned(),
            hands,
            state: Mutex::new(state),
            listener: Mutex::new(Some(listener)),
        })
    }

    /// Where its tools are called.
    pub fn desk(&self) -> Arc<Desk> {
        self.brain.desk.clone()
    }

    pub fn tell(self: &Arc<Self>, event: Event) {
        self.state().told.push_back(event);
        self.drive();
    }

    /// Until there is nothing to do. Whoever finds another at it leaves it to him.
    pub fn drive(self: &Arc<Self>) {
        if std::mem::replace(&mut self.state().is_driven, true) {
            return;
        }
        loop {
            let wish = {
                let now = self.brain.now();
                let mut state = self.state();
                match state.machine.poll() {
                    Some(wish) => wish,
                    None => match state.told.pop_front() {
                        Some(event) => {
                            state.machine.handle(now, event);
                            continue;
                        }
                        None => return state.is_driven = false,
                    },
                }
            };
            self.perform(wish);
        }
    }

    /// Tells of a stop or a deadline; false when there is nothing more to look at.
    pub fn look(self: &Arc<Self>) -> bool {
        if self.state().machine.is_over() {
            return false;
        }
        let is_stopped = self.listener().as_ref().is_some_and(|listener| listener.stop.is_stopped());
        let deadline = self.state().machine.deadline();
        if is_stopped {
            self.tell(Event::Cancelled);
        } else if deadline.is_some_and(|deadline| self.brain.now() >= deadline) {
            self.tell(Event::Deadline);
        }
        true
    }

    /// The person who was asked has answered; the run goes on for another listener.
    pub fn go_on(self: &Arc<Self>, id: Id, text: String, listener: Listener) {
        *self.listener() = Some(listener);
        self.tell(Event::Person { id, text });
    }

    /// A tool waited for a person, who has come back: what is said from here on is for this listener.
    pub fn heard_by(&self, listener: Listener) {
        self.state().is_held = false;
        *self.listener() = Some(listener);
    }

    /// Nobody wants it any more.
    pub fn cancel(self: &Arc<Self>) {
        self.tell(Event::Cancelled);
    }

    /// The question that a person is to answer, if the run still waits for it.
    pub fn question(&self) -> Option<Id> {
        let state = self.state();
        let is_person = state.machine.steps().last().is_some_and(|step| step.kind == "person");
        (is_person && !state.machine.is_over()).then(|| state.asked.keys().next_back().copied()).flatten()
    }

    fn perform(self: &Arc<Self>, wish: Wish) {
        match wish {
            Wish::Intent { id, text } => {
                let run = self.clone();
                let done = move |found: Option<(String, String)>| {
                    if let Some((name, _)) = &found {
                        run.say(Part::By(format!("intent {name}")));
                    }
                    run.tell(Event::Intent { id, answer: found.map(|(_, answer)| answer) });
                };
                self.hands.intent(&text, Box::new(done));
            }
            Wish::Recall { id, query, most } => {
                let run = self.clone();
                let done = move |found: Result<Vec<String>, String>| {
                    run.tell(match found {
                        Ok(facts) => Event::Recalled { id, facts },
                        Err(why) => Event::Failed { id, why },
                    });
                };
                self.hands.recall(query, most, Box::new(done));
            }
            Wish::Route { id, text } => {
                let run = self.clone();
                let done = move |expert: String, why: String| run.tell(Event::Routed { id, expert, why });
                self.brain.router.route(&self.brain, text, Box::new(done));
            }
            Wish::Ask { id, expert, persona, messages, form, tokens } => {
                let stop = Stop::default();
                self.state().asked.insert(id, stop.clone());
                let asking = Asking { expert, persona, messages, form, tokens };
                let run = self.clone();
                let sink = Box::new(move |part| run.part(id, part));
                ask::ask(&self.brain, asking, stop, sink);
            }
            Wish::Tool { id, name, arguments } => {
                let arguments = arguments.into_iter().map(|(name, text)| (name, text.into())).collect();
                self.call(id, Wanted { tool: name, arguments }, Origin::Workflow);
            }
            Wish::Call { id, text } => match Wanted::read(&text) {
                Ok(wanted) => self.call(id, wanted, Origin::Model),
                Err(unread) => self.tell(Event::Failed { id, why: unread.to_string() }),
            },
            Wish::Person { id, question } => {
                self.state().asked.insert(id, Stop::default());
                self.say(Part::Words(question));
                self.say(Part::End);
                *self.listener() = None;
                self.hands.waits(self);
            }
            Wish::Stop { id } => {
                if let Some(stop) = self.state().asked.get(&id) {
                    stop.stop();
                }
            }
            Wish::Say { text } => self.say(Part::Words(text)),
            Wish::Done(end) => self.done(end),
        }
    }

    fn call(self: &Arc<Self>, id: Id, wanted: Wanted, origin: Origin) {
        let stop = Stop::default();
        self.state().asked.insert(id, stop.clone());
        let calling = Calling { run: self.clone(), id, stop, is_models: origin == Origin::Model };
        self.hands.tool(wanted, origin, calling);
    }

    /// What a model says.
    fn part(self: &Arc<Self>, id: Id, part: Part) {
        match part {
            Part::By(who) => {
                self.say(Part::By(who.clone()));
                self.tell(Event::By { id, who });
            }
            Part::Words(text) => self.tell(Event::Token { id, text }),
            Part::End => self.tell(Event::Asked { id, tokens: None }),
            Part::Failed(why) => self.tell(Event::Failed { id, why }),
            Part::Steps(_) => {}
        }
    }

    fn done(&self, end: End) {
        let over = {
            let state = self.state();
            let steps = state.machine.steps().to_vec();
            Over { unix_s: super::unix_s(), end: end.clone(), tokens: state.machine.tokens(), steps }
        };
        self.say(Part::Steps(over.steps.clone()));
        self.brain.last().insert(self.workflow.clone(), over);
        match end {
            End::Answered => self.say(Part::End),
            End::Failed(why) => self.say(Part::Failed(why)),
            End::Cancelled => {}
        }
        *self.listener() = None;
    }

    /// To whoever listens; nobody who has stopped is told more.
    fn say(&self, part: Part) {
        // Taken out while it is told: it may come back here.
        let taken = self.listener().take();
        let Some(mut listener) = taken else {
            if self.state().is_held {
                self.hands.late(part);
            }
            return;
        };
        if !listener.stop.is_stopped() {
            (listener.sink)(part);
        }
        self.listener().get_or_insert(listener);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listener(&self) -> MutexGuard<'_, Option<Listener>> {
        self.listener.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
