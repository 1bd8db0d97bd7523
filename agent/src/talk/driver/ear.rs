//! What a conversation hears: frames of its microphone, and the texts that come of them.

use super::{Hearing, Talk};
use crate::hear::detect::FRAME;
use crate::talk::parts::{Event, HearEnd, HearJob, Stop, Who};
use std::time::Duration;
use voice::turn::{Heard, Input};
use voice::{key, ms};

/// More sound than this in one event is a mistake of the microphone's.
const FRAME_SAMPLES_MAX: usize = voice::RATE;

impl Talk {
    pub(super) fn listen(&mut self, now: Duration, is_wanted: bool) {
        if is_wanted {
            self.stop_announcing();
        }
        if is_wanted != self.is_listening {
            self.is_listening = is_wanted;
            self.rest.clear();
            self.own.detector.reset();
            self.own.microphone.listen(is_wanted);
        }
        if !is_wanted {
            self.key.handle(now, key::Input::Ended);
        }
    }

    pub(super) fn frame(&mut self, now: Duration, pcm: &[i16]) {
        if !self.is_listening {
            return;
        }
        let is_echo = self.settings.hands_free && (now < self.deaf_until || self.announcing().is_some());
        self.rest.extend_from_slice(&pcm[..pcm.len().min(FRAME_SAMPLES_MAX)]);
        let rest = std::mem::take(&mut self.rest);
        let mut frames = rest.chunks_exact(FRAME);
        for frame in &mut frames {
            let Ok(whole) = <&[i16; FRAME]>::try_from(frame) else { continue };
            // The detector hears all, so that it knows the room.
            let is_voice = self.own.detector.is_voice(whole) && !is_echo;
            self.turns.handle(now, Input::Frame { pcm: frame, is_voice });
        }
        self.rest = frames.remainder().to_vec();
    }

    pub(super) fn transcribe(&mut self, wish: u32, pcm: Vec<i16>, is_guess: bool) {
        let (stop, post, sound_ms) = (Stop::default(), self.post.clone(), ms(pcm.len()));
        self.hearing.insert(wish, Hearing { stop: stop.clone(), is_guess, sound_ms });
        let done = Box::new(move |end| _ = post.tell(Event::Heard { wish, end }));
        let who = if is_guess { Who::Guess } else { Who::Person };
        let language = Some(self.settings.language.clone());
        self.shared.ear.hear(HearJob { pcm, who, language, stop, done });
    }

    pub(super) fn heard(&mut self, now: Duration, wish: u32, end: &HearEnd) {
        let Some(Hearing { is_guess, sound_ms, .. }) = self.hearing.remove(&wish) else { return };
        self.draft.heard(end, is_guess, sound_ms);
        let heard = match &end.text {
            Ok(text) if text.trim().is_empty() => Heard::Nothing,
            Ok(text) => Heard::Text(text),
            Err(sentence) => {
                self.trouble(&format!("nothing was heard: {sentence}"));
                Heard::Failed
            }
        };
        self.turns.handle(now, Input::Heard { wish, heard });
    }
}
