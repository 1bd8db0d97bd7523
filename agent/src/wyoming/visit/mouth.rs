//! The mouth of a visit: texts as they come become clauses, and their sound goes back.

use super::{Event, Output, Visit};
use crate::talk::tongue;
use serde_json::{Value, json};
use std::collections::VecDeque;
use voice::clause::{Clause, Cutter};

/// Of one text to speak; in a stream of texts, of all together.
pub const SPEECH_BYTES_MAX: usize = 16 << 10;
/// What sound is said to have where there was none.
const SILENT_RATE: u32 = 22_050;

#[derive(Debug)]
pub(super) enum Mouth {
    Closed,
    Speaking(Speech),
}

#[derive(Debug, Default)]
pub(super) struct Speech {
    pub(super) cutter: Cutter,
    /// Which the client wishes.
    pub(super) voice: Option<String>,
    pub(super) clauses: VecDeque<Clause>,
    /// The text comes in pieces, and its end is told.
    pub(super) is_streamed: bool,
    /// All of the text is here.
    pub(super) is_whole: bool,
    pub(super) is_saying: bool,
    pub(super) n_bytes: usize,
    /// That of the sound so far.
    pub(super) rate: Option<u32>,
}

impl Visit {
    pub(super) fn synthesize(&mut self, event: &Event) -> Result<(), (&'static str, String)> {
        // Home Assistant sends the whole text after its pieces too, for servers that take no pieces.
        if matches!(&self.mouth, Mouth::Speaking(speech) if speech.is_streamed && !speech.is_whole) {
            return Ok(());
        }
        let voice = self.voice(event)?;
        self.open_mouth(Speech { voice, ..Speech::default() })?;
        self.text(event.text("text").unwrap_or_default())?;
        self.whole();
        Ok(())
    }

    /// The voice that an event wishes: by its name, or else any of its language.
    pub(super) fn voice(&self, event: &Event) -> Result<Option<String>, (&'static str, String)> {
        let Some(Value::Object(voice)) = event.data.get("voice") else { return Ok(None) };
        let named = ["name", "language"].map(|what| voice.get(what).and_then(Value::as_str));
        let Some(name) = named.into_iter().flatten().find(|name| !name.is_empty()) else { return Ok(None) };
        // What the owner chose may be spoken by the next best voice; it is offered all the same.
        if self.offer.voice.as_deref() != Some(name) {
            tongue::check("speaks", name, &self.offer.voices).map_err(|why| ("voice", why))?;
        }
        Ok(Some(name.to_owned()))
    }

    pub(super) fn open_mouth(&mut self, speech: Speech) -> Result<(), (&'static str, String)> {
        if matches!(self.mouth, Mouth::Speaking(_)) {
            return Err(("busy", "what was to be said before is not said yet".into()));
        }
        self.mouth = Mouth::Speaking(speech);
        Ok(())
    }

    pub(super) fn text(&mut self, text: &str) -> Result<(), (&'static str, String)> {
        let Mouth::Speaking(speech) = &mut self.mouth else { return Ok(()) };
        if speech.is_whole {
            return Ok(());
        }
        speech.n_bytes += text.len();
        if speech.n_bytes > SPEECH_BYTES_MAX {
            return Err(("text", format!("a text to speak has at most {SPEECH_BYTES_MAX} bytes")));
        }
        speech.cutter.push(text);
        speech.clauses.extend(std::iter::from_fn(|| speech.cutter.poll()));
        self.speak();
        Ok(())
    }

    pub(super) fn whole(&mut self) {
        if let Mouth::Speaking(speech) = &mut self.mouth {
            speech.clauses.extend(std::iter::from_fn(|| speech.cutter.finish()));
            speech.is_whole = true;
        }
        self.speak();
    }

    /// One clause is made at a time: the next when its sound is on its way.
    pub(super) fn speak(&mut self) {
        let Mouth::Speaking(speech) = &mut self.mouth else { return };
        if speech.is_saying {
            return;
        }
        if let Some(clause) = speech.clauses.pop_front() {
            speech.is_saying = true;
            let voice = speech.voice.clone();
            return self.wishes.push_back(Output::Say { clause, voice });
        }
        if !speech.is_whole {
            return;
        }
        let (rate, is_streamed) = (speech.rate, speech.is_streamed);
        self.mouth = Mouth::Closed;
        // Whoever asked waits for sound that ends, and be it of no length.
        if rate.is_none() {
            self.tell("audio-start", form(SILENT_RATE));
        }
        self.tell("audio-stop", json!({}));
        if is_streamed {
            self.tell("synthesize-stopped", json!({}));
        }
    }

    pub(super) fn piece(&mut self, rate: u32, pcm: &[i16]) {
        let Mouth::Speaking(speech) = &mut self.mouth else { return };
        let first = speech.rate.is_none();
        // The owner chose another engine in the middle: what comes now would be at another speed.
        if *speech.rate.get_or_insert(rate) != rate || !speech.is_saying {
            return;
        }
        if first {
            self.tell("audio-start", form(rate));
        }
        let payload = pcm.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        self.send(Event { payload, ..Event::new("audio-chunk", form(rate)) });
    }
}

fn form(rate: u32) -> Value {
    json!({"rate": rate, "width": 2, "channels": 1, "timestamp": 0})
}
