//! One client of Wyoming: what it says, what is to be done for it, and what it is told.
//!
//! A core without hands. A client may have its ear, its mouth and its mind busy at once, each with one thing; a second
//! thing for the same one is an error, which ends the connection, because that is how clients notice.

use super::codec::Event;
use super::info::{Offer, info};
use super::record::Recording;
use crate::talk::news::cut;
use crate::talk::tongue;
use serde_json::{Value, json};
use std::collections::VecDeque;
use voice::clause::{Clause, Cutter};
use voice::turn::{ANSWER_BYTES_MAX, TEXT_BYTES_MAX};

/// Of one text to speak; in a stream of texts, of all together.
pub const SPEECH_BYTES_MAX: usize = 16 << 10;
/// What sound is said to have where there was none.
const SILENT_RATE: u32 = 22_050;
/// What is remembered of a client's name for its conversation.
const CONVERSATION_BYTES_MAX: usize = 128;

#[derive(Debug)]
pub enum Input<'a> {
    Event(Event),
    /// What was heard, or a sentence on why nothing was.
    Heard(Result<&'a str, &'a str>),
    /// Sound of the clause that was to be said.
    Piece {
        rate: u32,
        pcm: &'a [i16],
    },
    Said(Result<(), &'a str>),
    Words(&'a str),
    Answered(Result<(), &'a str>),
    /// The visit cannot go on, and why.
    Over(&'static str),
}

#[derive(Debug, PartialEq)]
pub enum Output {
    Send(Event),
    Hear {
        pcm: Vec<i16>,
        /// What the client says is spoken.
        language: Option<String>,
    },
    Say {
        clause: Clause,
        voice: Option<String>,
    },
    Ask {
        text: String,
        conversation: String,
    },
    /// After what is to be sent.
    Close,
}

#[derive(Debug)]
enum Ear {
    Closed,
    Recording(Box<Recording>),
    Hearing,
}

#[derive(Debug)]
enum Mouth {
    Closed,
    Speaking(Speech),
}

#[derive(Debug, Default)]
struct Speech {
    cutter: Cutter,
    /// Which the client wishes.
    voice: Option<String>,
    clauses: VecDeque<Clause>,
    /// The text comes in pieces, and its end is told.
    is_streamed: bool,
    /// All of the text is here.
    is_whole: bool,
    is_saying: bool,
    n_bytes: usize,
    /// That of the sound so far.
    rate: Option<u32>,
}

#[derive(Debug)]
enum Mind {
    Free,
    Asked { said: String },
}

#[derive(Debug)]
pub struct Visit {
    offer: Offer,
    ear: Ear,
    /// The language of the recordings to come, where the client said so.
    language: Option<String>,
    mouth: Mouth,
    mind: Mind,
    wishes: VecDeque<Output>,
}

impl Visit {
    pub fn new(offer: Offer) -> Visit {
        let (ear, mouth, mind) = (Ear::Closed, Mouth::Closed, Mind::Free);
        Visit { offer, ear, language: None, mouth, mind, wishes: VecDeque::new() }
    }

    /// Whether somebody works for this client.
    pub fn is_busy(&self) -> bool {
        let hears = matches!(self.ear, Ear::Hearing);
        hears || matches!(self.mouth, Mouth::Speaking(_)) || matches!(self.mind, Mind::Asked { .. })
    }

    pub fn poll(&mut self) -> Option<Output> {
        self.wishes.pop_front()
    }

    pub fn handle(&mut self, input: Input<'_>) {
        match input {
            Input::Event(event) => {
                if let Err((code, why)) = self.event(event) {
                    self.fail(code, &why);
                }
            }
            Input::Heard(heard) => self.heard(heard),
            Input::Piece { rate, pcm } => self.piece(rate, pcm),
            Input::Said(Ok(())) => {
                if let Mouth::Speaking(speech) = &mut self.mouth {
                    speech.is_saying = false;
                }
                self.speak();
            }
            Input::Said(Err(why)) => self.fail("speech", why),
            Input::Words(words) => {
                if let Mind::Asked { said } = &mut self.mind {
                    let room = ANSWER_BYTES_MAX.saturating_sub(said.len());
                    said.push_str(cut(words, room));
                }
            }
            Input::Answered(end) => self.answered(end),
            Input::Over(why) => self.fail("over", why),
        }
    }

    /// What kinds there are; others are passed over, as the protocol wishes.
    fn event(&mut self, event: Event) -> Result<(), (&'static str, String)> {
        match event.kind.as_str() {
            "describe" => self.send(info(&self.offer)),
            "ping" => self.tell("pong", json!({"text": event.text("text")})),
            "transcribe" => {
                let language = wished(&event, "language");
                if let Some(language) = &language {
                    let known = &self.offer.languages;
                    tongue::check("hears", language, known).map_err(|why| ("language", why))?;
                }
                self.language = language;
            }
            "audio-start" => {
                if matches!(self.ear, Ear::Hearing) {
                    return Err(("busy", "what was said before is not heard yet".into()));
                }
                let recording = Recording::new(&event).map_err(|why| ("audio", why))?;
                self.ear = Ear::Recording(Box::new(recording));
            }
            "audio-chunk" => {
                let Ear::Recording(recording) = &mut self.ear else {
                    return Err(("audio", "sound came before its beginning".into()));
                };
                recording.push(&event).map_err(|why| ("audio", why))?;
            }
            "audio-stop" => {
                let Ear::Recording(recording) = std::mem::replace(&mut self.ear, Ear::Hearing) else {
                    return Err(("audio", "sound ended before its beginning".into()));
                };
                let (pcm, language) = (recording.into_pcm(), self.language.clone());
                self.wishes.push_back(Output::Hear { pcm, language });
            }
            "synthesize" => self.synthesize(&event)?,
            "synthesize-start" => {
                let voice = self.voice(&event)?;
                self.open_mouth(Speech { voice, is_streamed: true, ..Speech::default() })?;
            }
            "synthesize-chunk" => self.text(event.text("text").unwrap_or_default())?,
            "synthesize-stop" => self.whole(),
            "transcript" | "recognize" => self.ask(&event)?,
            _ => {}
        }
        Ok(())
    }

    fn heard(&mut self, heard: Result<&str, &str>) {
        if !matches!(self.ear, Ear::Hearing) {
            return;
        }
        self.ear = Ear::Closed;
        match heard {
            Ok(text) => self.tell("transcript", json!({"text": text})),
            Err(why) => self.fail("hearing", why),
        }
    }

    fn ask(&mut self, event: &Event) -> Result<(), (&'static str, String)> {
        let text = event.text("text").unwrap_or_default().trim();
        if text.is_empty() || text.len() > TEXT_BYTES_MAX {
            let why = format!("a text to answer has 1 to {TEXT_BYTES_MAX} bytes");
            self.tell("not-handled", json!({"text": why}));
            return Ok(());
        }
        if matches!(self.mind, Mind::Asked { .. }) {
            return Err(("busy", "what was asked before is not answered yet".into()));
        }
        self.mind = Mind::Asked { said: String::new() };
        let id = event.data.get("context").and_then(|context| context.get("conversation_id"));
        let id = id.and_then(Value::as_str).unwrap_or_default();
        let conversation = cut(id, CONVERSATION_BYTES_MAX).to_owned();
        self.wishes.push_back(Output::Ask { text: text.to_owned(), conversation });
        Ok(())
    }

    fn answered(&mut self, end: Result<(), &str>) {
        let Mind::Asked { said } = std::mem::replace(&mut self.mind, Mind::Free) else { return };
        match end {
            // What came before a failure is more than nothing.
            Err(why) if said.trim().is_empty() => self.tell("not-handled", json!({"text": why})),
            _ => self.tell("handled", json!({"text": said.trim()})),
        }
    }

    fn synthesize(&mut self, event: &Event) -> Result<(), (&'static str, String)> {
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
    fn voice(&self, event: &Event) -> Result<Option<String>, (&'static str, String)> {
        let Some(Value::Object(voice)) = event.data.get("voice") else { return Ok(None) };
        let named = ["name", "language"].map(|what| voice.get(what).and_then(Value::as_str));
        let Some(name) = named.into_iter().flatten().find(|name| !name.is_empty()) else { return Ok(None) };
        // What the owner chose may be spoken by the next best voice; it is offered all the same.
        if self.offer.voice.as_deref() != Some(name) {
            tongue::check("speaks", name, &self.offer.voices).map_err(|why| ("voice", why))?;
        }
        Ok(Some(name.to_owned()))
    }

    fn open_mouth(&mut self, speech: Speech) -> Result<(), (&'static str, String)> {
        if matches!(self.mouth, Mouth::Speaking(_)) {
            return Err(("busy", "what was to be said before is not said yet".into()));
        }
        self.mouth = Mouth::Speaking(speech);
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), (&'static str, String)> {
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

    fn whole(&mut self) {
        if let Mouth::Speaking(speech) = &mut self.mouth {
            speech.clauses.extend(std::iter::from_fn(|| speech.cutter.finish()));
            speech.is_whole = true;
        }
        self.speak();
    }

    /// One clause is made at a time: the next when its sound is on its way.
    fn speak(&mut self) {
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

    fn piece(&mut self, rate: u32, pcm: &[i16]) {
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

    fn tell(&mut self, kind: &str, data: Value) {
        self.send(Event::new(kind, data));
    }

    fn send(&mut self, event: Event) {
        self.wishes.push_back(Output::Send(event));
    }

    fn fail(&mut self, code: &str, why: &str) {
        self.tell("error", json!({"text": why, "code": code}));
        (self.ear, self.mouth, self.mind) = (Ear::Closed, Mouth::Closed, Mind::Free);
        self.wishes.push_back(Output::Close);
    }
}

/// A text of an event, if there is any.
fn wished(event: &Event, name: &str) -> Option<String> {
    event.text(name).filter(|text| !text.is_empty()).map(str::to_owned)
}

fn form(rate: u32) -> Value {
    json!({"rate": rate, "width": 2, "channels": 1, "timestamp": 0})
}

#[cfg(test)]
mod tests;
