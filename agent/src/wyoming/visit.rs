//! One client of Wyoming: what it says, what is to be done for it, and what it is told.
//!
//! A core without hands. A client may have its ear, its mouth and its mind busy at once, each with one thing; a second
//! thing for the same one is an error, which ends the connection, because that is how clients notice.

mod mouth;

use super::codec::Event;
use super::info::{Offer, info};
use super::record::Recording;
use crate::talk::news::cut;
use crate::talk::tongue;
pub use mouth::SPEECH_BYTES_MAX;
use mouth::{Mouth, Speech};
use serde_json::{Value, json};
use std::collections::VecDeque;
use voice::clause::Clause;
use voice::turn::{ANSWER_BYTES_MAX, TEXT_BYTES_MAX};

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

#[cfg(test)]
mod tests;
