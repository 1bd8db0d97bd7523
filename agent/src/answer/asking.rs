//! Has a person allow what a tool would do: the question in the conversation, and the yes or no that comes back.
//!
//! A turn ends with the question, and the next sentence of the conversation is the answer to it. Whoever goes on with
//! something else has not allowed it: the call is taken back, and the sentence is answered as any other.

use super::phrases::Phrases;
use super::{Mind, TEXT_TALKS};
use crate::brain::Listener;
use crate::brain::run::{Calling, Run};
use crate::talk::parts::Part;
use std::sync::{Arc, MutexGuard, PoisonError};
use tools::{Origin, Pending};

/// A call that is longer cannot be heard out, so a spoken yes does not allow it: it must be read.
const SPOKEN_BYTES_MAX: usize = 240;
/// Conversations in which one waits.
const ASKING_MAX: usize = 32;

pub struct Asked {
    run: Arc<Run>,
    id: u64,
    is_spoken: bool,
}

impl Mind {
    /// Who wants a call, for persons.
    pub(super) fn asker(&self, talk: u64, origin: Origin) -> String {
        let place = match talk {
            TEXT_TALKS.. => "a conversation by text",
            _ if self.world.is_here(talk) => "the talk at this PC",
            _ => "the talk at a remote microphone",
        };
        match origin {
            Origin::Person => place.to_owned(),
            Origin::Workflow => format!("a workflow in {place}"),
            Origin::Model => format!("a model in {place}"),
        }
    }

    /// Puts the question to the person of a conversation.
    pub(super) fn asks(&self, talk: u64, pending: &Pending, calling: &Calling) {
        let (_, phrases) = self.own_language();
        let is_spoken = talk >= TEXT_TALKS || pending.will_run.len() <= SPOKEN_BYTES_MAX;
        let question = match is_spoken {
            true => phrases.may_i.replace("{call}", &pending.will_run),
            false => phrases.may_i_long.replace("{tool}", &pending.tool),
        };
        let mut asking = self.asking();
        asking.retain(|_, asked| self.brain.desk.is_pending(asked.id));
        if asking.len() < ASKING_MAX {
            asking.insert(talk, Asked { run: calling.run(), id: pending.id, is_spoken });
        }
        drop(asking);
        calling.asks(question, format!("a person is asked: {}", pending.will_run));
    }

    /// Takes a sentence as a yes or no, if one is waited for; gives the listener back if it is something else.
    pub(super) fn allowed(&self, talk: u64, text: &str, mut listener: Listener) -> Option<Listener> {
        let asked = self.asking().remove(&talk);
        // One that was answered elsewhere, or has expired, is not waited for.
        let Some(asked) = asked.filter(|asked| self.brain.desk.is_pending(asked.id)) else {
            return Some(listener);
        };
        let (_, phrases) = self.own_language();
        match phrases.yes_or_no(text) {
            Some(true) if !asked.is_spoken => {
                self.asking().insert(talk, asked);
                (listener.sink)(Part::Words(phrases.look_at_page.clone()));
                (listener.sink)(Part::End);
                None
            }
            Some(is_yes) => {
                asked.run.heard_by(listener);
                let by = self.asker(talk, Origin::Person);
                // One that has expired meanwhile is told to the run, which goes on and says so.
                let _ = self.brain.desk.answer(asked.id, is_yes, &by);
                None
            }
            None => {
                asked.run.cancel();
                Some(listener)
            }
        }
    }

    fn asking(&self) -> MutexGuard<'_, std::collections::BTreeMap<u64, Asked>> {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Phrases {
    /// Nothing but a plain yes allows anything: `yes, but` is something else.
    fn yes_or_no(&self, text: &str) -> Option<bool> {
        let words = text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty());
        let bare = words.map(str::to_lowercase).collect::<Vec<_>>().join(" ");
        let is_in = |words: &[String]| words.contains(&bare);
        if is_in(&self.yes) { Some(true) } else { is_in(&self.no).then_some(false) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::phrases::languages;

    #[test]
    fn only_a_plain_yes_is_one() {
        let languages = languages();
        let check = |language: usize, text: &str, want: Option<bool>| {
            assert_eq!(languages[language].1.yes_or_no(text), want, "{text}");
        };
        check(0, "Yes!", Some(true));
        check(0, " yes,  please.", Some(true));
        check(0, "No.", Some(false));
        for other in ["yes but not now", "yes and no", "", "what would that do", "yesterday"] {
            check(0, other, None);
        }
        check(1, "Ja, bitte.", Some(true));
        check(1, "Nein", Some(false));
    }
}
