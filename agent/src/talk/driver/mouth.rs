//! What a conversation says: clauses are made one at a time, played, and told as spoken; and announcements between turns.

use super::{ECHO, Talk};
use crate::talk::news::News;
use crate::talk::parts::{ANNOUNCEMENTS, Event, Made, Sound, SpeakJob, Stop};
use crate::talk::saying::Saying;
use std::time::Duration;
use voice::turn::{Clause, Earcon, Input, Mood};

impl Talk {
    pub(super) fn say(&mut self, turn: u32, clause: &Clause) {
        if let Some(saying) = self.saying.as_mut().filter(|saying| saying.turn == turn) {
            saying.push(self.sayings.say(clause));
        }
    }

    /// Has the next clause made, if one is wanted.
    pub(super) fn make(&mut self) {
        let Some(saying) = self.saying.as_mut() else { return };
        let Some((clause_idx, text)) = saying.next() else { return };
        let (turn, stop, post) = (saying.turn, Stop::default(), self.post.clone());
        // The one before has ended, or was said to.
        self.making.replace(stop.clone()).inspect(Stop::stop);
        let sink = Box::new(move |sound: Sound<'_>| {
            let made = match sound {
                Sound::Piece { rate, pcm } => Made::Piece { rate, pcm: pcm.to_vec() },
                Sound::End => Made::End,
                Sound::Failed(sentence) => Made::Failed(sentence.to_owned()),
            };
            post.tell(Event::Made { turn, clause_idx, made });
        });
        let voice = self.settings.voice.as_ref().unwrap_or(&self.settings.language);
        let voice = Some(voice.clone());
        self.shared.mouth.speak(SpeakJob { text, talk: self.id, voice, stop, sink });
    }

    pub(super) fn made(&mut self, turn: u32, clause_idx: u32, made: Made) {
        let Some(saying) = self.saying.as_mut().filter(|saying| saying.turn == turn) else { return };
        match &made {
            Made::Piece { rate, pcm } => {
                if saying.piece(clause_idx) {
                    self.own.speaker.play(turn, clause_idx, *rate, pcm);
                }
            }
            Made::End | Made::Failed(_) => {
                if saying.end(clause_idx) {
                    self.own.speaker.end(turn, clause_idx);
                }
            }
        }
        let Made::Failed(sentence) = made else { return };
        if !std::mem::replace(&mut self.has_failed_to_speak, true) {
            self.own.speaker.earcon(Earcon::Error);
        }
        self.trouble(&format!("the answer is not spoken: {sentence}"));
    }

    pub(super) fn spoken(&mut self, now: Duration, turn: u32, clause_idx: u32) {
        let Some(saying) = self.saying.as_mut().filter(|saying| saying.turn == turn) else { return };
        saying.spoken(clause_idx);
        self.deaf_until = now + ECHO;
        self.turns.handle(now, Input::Spoken { turn, clause_idx });
    }

    pub(super) fn announce(&mut self, now: Duration, text: &str) {
        let is_free = matches!(self.turns.mood(), Mood::Idle | Mood::Waiting);
        if !is_free || self.announcing().is_some() {
            return;
        }
        self.n_announced += 1;
        self.has_failed_to_speak = false;
        self.earcon(now, Earcon::Ring);
        let mut saying = Saying::new(ANNOUNCEMENTS | self.n_announced, !self.has_speaker);
        saying.push(self.sayings.say(&Clause::Text(text.to_owned())));
        self.saying = Some(saying);
        self.board.tell(News::Announced { text: text.to_owned() });
    }

    pub(super) fn stop_announcing(&mut self) {
        if let Some(turn) = self.announcing() {
            self.own.speaker.hush(turn);
            self.forget_saying();
        }
    }

    /// The announcement that is being spoken.
    pub(super) fn announcing(&self) -> Option<u32> {
        self.saying
            .as_ref()
            .filter(|saying| saying.turn >= ANNOUNCEMENTS && !saying.is_over())
            .map(|saying| saying.turn)
    }

    pub(super) fn speaker_lost(&mut self, now: Duration) {
        self.has_speaker = false;
        if let Some(turn) = self.saying.as_ref().map(|saying| saying.turn) {
            self.forget_saying();
            self.saying = Some(Saying::new(turn, true));
        }
        self.turns.handle(now, Input::SpeakerLost);
    }

    pub(super) fn forget_saying(&mut self) {
        self.saying = None;
        self.making.take().inspect(Stop::stop);
    }
}
