//! Goes from node to node until one has to wait for somebody, or the run ends.

use super::asked::Asked;
use super::told::LIST_MAX;
use super::{Machine, Message, Role, STEPS_MAX, State, Value, Waits, Wish, Work};
use crate::trace::{End, Outcome, Step};
use crate::workflow::{Asking, Form, Kind, To, Who};
use std::sync::Arc;
use std::time::Duration;

impl Machine {
    pub(super) fn go(&mut self, now: Duration, to: To) {
        let mut at = Some(to);
        while let Some(to) = at {
            let To::Node(idx) = to else { return self.finish(now, End::Answered) };
            if now >= self.ends {
                let why = format!("the time for all, {} seconds, is used up", self.workflow.time.as_secs());
                return self.finish(now, End::Failed(why));
            }
            if self.steps.len() == STEPS_MAX {
                return self
                    .finish(now, End::Failed(format!("the workflow took more than {STEPS_MAX} steps")));
            }
            at = self.enter(now, idx);
        }
    }

    /// Where to go at once, if this node waits for nobody.
    fn enter(&mut self, now: Duration, idx: usize) -> Option<To> {
        let workflow = Arc::clone(&self.workflow);
        let node = &workflow.nodes[idx];
        let since = now.saturating_sub(self.began);
        self.steps.push(Step::new(&node.name, node.kind.name(), since));
        let next = match &node.kind {
            Kind::Branch { on, cases, otherwise } => {
                let word = self.word(on);
                self.note(&word);
                let case = cases.iter().find(|(case, _)| *case == word).map(|(_, to)| *to);
                case.or(*otherwise)
            }
            Kind::Loop { body, most } => {
                let n = self.rounds.entry(idx).or_default();
                let again = *n < *most;
                *n += u32::from(again);
                let told = format!("round {n} of {most}");
                self.note(if again { &told } else { "no round is left" });
                if again { Some(*body) } else { node.next }
            }
            Kind::Answer { text } => {
                self.wishes.push_back(Wish::Say { text: text.fill(&self.slots) });
                self.close(now, Outcome::Done);
                self.finish(now, End::Answered);
                return None;
            }
            Kind::Summarise { of, above, .. } if self.text(of).len() <= *above => {
                let text = self.text(of);
                self.note("short enough");
                self.put(&node.into, text);
                node.next
            }
            Kind::Write { text } => {
                self.put(&node.into, text.fill(&self.slots));
                node.next
            }
            _ => {
                self.begin(now, idx);
                return None;
            }
        };
        self.close(now, Outcome::Done);
        Some(next.unwrap_or(To::End))
    }

    /// A node that waits for others.
    fn begin(&mut self, now: Duration, idx: usize) {
        let workflow = Arc::clone(&self.workflow);
        let node = &workflow.nodes[idx];
        let ends = now.saturating_add(node.time);
        let is_person = matches!(node.kind, Kind::Person { .. });
        let work = |waits| State::Working(Work { node: idx, began: now, ends, is_person, waits });
        let (wish, waits) = match &node.kind {
            Kind::Ask { who, asking, is_aloud } => {
                return self.ask(work, &self.who(who), asking, *is_aloud, now);
            }
            Kind::Summarise { who, asking, .. } => return self.ask(work, &self.who(who), asking, false, now),
            Kind::Vote { experts, asking, .. } => {
                let share = asking.tokens.min(self.tokens_left / experts.len() as u32);
                let (mut all, mut wishes) = (vec![], vec![]);
                for expert in experts {
                    let id = self.id();
                    all.push(Asked::new(id, share, false));
                    wishes.push(self.asks(id, expert, asking, share));
                }
                self.state = work(Waits::Vote(all));
                if share == 0 {
                    return self.fail(now, &self.no_tokens());
                }
                return self.wishes.extend(wishes);
            }
            kind => {
                let id = self.id();
                let slots = &self.slots;
                let wish = match kind {
                    Kind::Intent { text } => Wish::Intent { id, text: text.fill(slots) },
                    Kind::Route { text } => Wish::Route { id, text: text.fill(slots) },
                    Kind::Recall { query, most } => {
                        Wish::Recall { id, query: query.fill(slots), most: (*most).min(LIST_MAX) }
                    }
                    Kind::Tool { name, arguments } => {
                        let filled = arguments.iter().map(|(key, text)| (key.clone(), text.fill(slots)));
                        Wish::Tool { id, name: name.clone(), arguments: filled.collect() }
                    }
                    Kind::Call { of } => Wish::Call { id, text: self.text(of) },
                    Kind::Person { question } => Wish::Person { id, question: question.fill(slots) },
                    // `enter` goes on from all others at once.
                    _ => return,
                };
                (wish, Waits::One(id))
            }
        };
        self.state = work(waits);
        self.wishes.push_back(wish);
    }

    fn ask(
        &mut self,
        work: impl Fn(Waits) -> State,
        expert: &str,
        asking: &Asking,
        is_aloud: bool,
        now: Duration,
    ) {
        let id = self.id();
        let tokens = asking.tokens.min(self.tokens_left);
        self.state = work(Waits::Ask(Asked::new(id, tokens, is_aloud)));
        if tokens == 0 {
            return self.fail(now, &self.no_tokens());
        }
        let wish = self.asks(id, expert, asking, tokens);
        self.wishes.push_back(wish);
    }

    pub(super) fn no_tokens(&self) -> String {
        format!("the {} tokens for all are used up", self.workflow.tokens)
    }

    fn asks(&self, id: super::Id, expert: &str, asking: &Asking, tokens: u32) -> Wish {
        let message = |role, text: &str| Message { role, text: text.to_owned() };
        let talk = asking.talk.as_ref().and_then(|talk| self.slots.get(talk));
        let turns = match talk {
            Some(Value::Talk(turns)) => turns.as_slice(),
            _ => &[],
        };
        let before = turns
            .iter()
            .flat_map(|(said, answer)| [message(Role::Person, said), message(Role::Model, answer)]);
        let prompt = message(Role::Person, &asking.prompt.fill(&self.slots));
        let messages = before.chain([prompt]).collect();
        let form: Form = asking.form.clone();
        Wish::Ask { id, expert: expert.to_owned(), persona: asking.persona.clone(), messages, form, tokens }
    }

    fn put(&mut self, into: &Option<String>, text: String) {
        if let Some(into) = into {
            self.slots.insert(into.clone(), Value::Text(text).bounded());
        }
    }

    fn who(&self, who: &Who) -> String {
        match who {
            Who::Name(name) => name.clone(),
            Who::Slot(slot) => self.text(slot),
        }
    }

    fn text(&self, slot: &str) -> String {
        self.slots.get(slot).map(Value::text).unwrap_or_default()
    }

    /// What a branch looks at.
    fn word(&self, slot: &str) -> String {
        let filled = |is_empty: bool| if is_empty { "empty" } else { "filled" }.to_owned();
        match self.slots.get(slot) {
            Some(Value::List(all)) => filled(all.is_empty()),
            Some(Value::Talk(turns)) => filled(turns.is_empty()),
            _ => self.text(slot).trim().to_owned(),
        }
    }
}
