//! One client of Wyoming: what it says, what is to be done for it, and what it is told.
//!
//! A core without hands. A client may have its ear, its mouth and its mind busy at once, each with one thing; a second
//! thing for the same one is an error, which ends the connection, because that is how clients notice.

use super::codec::Event;
use super::record::Recording;
use crate::talk::news::cut;
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
}

#[derive(Debug, PartialEq)]
pub enum Output {
    Send(Event),
    Hear(Vec<i16>),
    Say(Clause),
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
    /// What is told to whoever asks who is here.
    info: Event,
    ear: Ear,
    mouth: Mouth,
    mind: Mind,
    wishes: VecDeque<Output>,
}

impl Visit {
    pub fn new(info: Event) -> Visit {
        let (ear, mouth, mind) = (Ear::Closed, Mouth::Closed, Mind::Free);
        Visit { info, ear, mouth, mind, wishes: VecDeque::new() }
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
        }
    }

    /// What kinds there are; others are passed over, as the protocol wishes.
    fn event(&mut self, event: Event) -> Result<(), (&'static str, String)> {
        match event.kind.as_str() {
            "describe" => self.send(self.info.clone()),
            "ping" => self.tell("pong", json!({"text": event.text("text")})),
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
                self.wishes.push_back(Output::Hear(recording.into_pcm()));
            }
            "synthesize" => self.synthesize(&event)?,
            "synthesize-start" => {
                self.open_mouth(Speech { is_streamed: true, ..Speech::default() })?;
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
        self.open_mouth(Speech::default())?;
        self.text(event.text("text").unwrap_or_default())?;
        self.whole();
        Ok(())
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
            return self.wishes.push_back(Output::Say(clause));
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

fn form(rate: u32) -> Value {
    json!({"rate": rate, "width": 2, "channels": 1, "timestamp": 0})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visit() -> Visit {
        Visit::new(Event::new("info", json!({"asr": []})))
    }

    /// What the client is told and what is done for it, in few words.
    fn story(visit: &mut Visit) -> String {
        let word = |output: Output| match output {
            Output::Send(event) => {
                let text = event.text("text").map(|text| format!("({text})")).unwrap_or_default();
                format!("{}{text}", event.kind)
            }
            Output::Hear(pcm) => format!("HEAR {}", pcm.len()),
            Output::Say(Clause::Text(text)) => format!("SAY {text}"),
            Output::Say(Clause::Code { n_lines }) => format!("SAY {n_lines} lines"),
            Output::Ask { text, conversation } => format!("ASK {text} in {conversation}"),
            Output::Close => "CLOSE".to_owned(),
        };
        std::iter::from_fn(|| visit.poll()).map(word).collect::<Vec<_>>().join(", ")
    }

    #[track_caller]
    fn check(visit: &mut Visit, inputs: Vec<Input<'_>>, want: &str) {
        inputs.into_iter().for_each(|input| visit.handle(input));
        assert_eq!(story(visit), want);
    }

    fn event(kind: &str, data: Value) -> Input<'static> {
        Input::Event(Event::new(kind, data))
    }

    fn sound(kind: &str, n: usize) -> Input<'static> {
        let data = json!({"rate": 16000, "width": 2, "channels": 1});
        Input::Event(Event { payload: vec![0; 2 * n], ..Event::new(kind, data) })
    }

    #[test]
    fn who_asks_is_told_who_is_here() {
        let ping = event("ping", json!({"text": "x"}));
        check(&mut visit(), vec![event("describe", json!({})), ping], "info, pong(x)");
    }

    #[test]
    fn a_recording_becomes_a_transcript() {
        let mut visit = visit();
        let inputs = vec![
            event("transcribe", json!({"language": "en"})),
            sound("audio-start", 0),
            sound("audio-chunk", 300),
            sound("audio-chunk", 20),
            event("audio-stop", json!({})),
        ];
        check(&mut visit, inputs, "HEAR 320");
        check(&mut visit, vec![Input::Heard(Ok("hello"))], "transcript(hello)");
        check(&mut visit, vec![sound("audio-start", 0), event("audio-stop", json!({}))], "HEAR 0");
        check(&mut visit, vec![Input::Heard(Err("no model is here"))], "error(no model is here), CLOSE");
    }

    #[test]
    fn sound_without_a_beginning_ends_the_visit() {
        check(&mut visit(), vec![sound("audio-chunk", 9)], "error(sound came before its beginning), CLOSE");
    }

    #[test]
    fn a_text_is_said_clause_by_clause_and_its_end_is_told() {
        let mut visit = visit();
        let text = json!({"text": "The first one is here now. The second one follows."});
        check(&mut visit, vec![event("synthesize", text)], "SAY The first one is here now.");
        let piece = || Input::Piece { rate: 22_050, pcm: &[1, 2] };
        check(&mut visit, vec![piece(), piece()], "audio-start, audio-chunk, audio-chunk");
        check(&mut visit, vec![Input::Said(Ok(()))], "SAY The second one follows.");
        check(&mut visit, vec![piece(), Input::Said(Ok(()))], "audio-chunk, audio-stop");
        assert!(!visit.is_busy());
    }

    #[test]
    fn a_streamed_text_is_said_while_it_comes_and_the_whole_one_is_passed_over() {
        let mut visit = visit();
        let chunk = |text: &str| event("synthesize-chunk", json!({"text": text}));
        let begin = vec![event("synthesize-start", json!({})), chunk("It is noon now. "), chunk("And")];
        check(&mut visit, begin, "SAY It is noon now.");
        let rest = vec![
            event("synthesize", json!({"text": "It is noon now. And"})),
            event("synthesize-stop", json!({})),
        ];
        check(&mut visit, rest, "");
        let piece = Input::Piece { rate: 22_050, pcm: &[1] };
        check(&mut visit, vec![piece, Input::Said(Ok(()))], "audio-start, audio-chunk, SAY And");
        check(&mut visit, vec![Input::Said(Ok(()))], "audio-stop, synthesize-stopped");
    }

    #[test]
    fn a_text_of_nothing_is_a_sound_of_no_length() {
        check(&mut visit(), vec![event("synthesize", json!({"text": " ... "}))], "audio-start, audio-stop");
    }

    #[test]
    fn a_second_text_before_the_end_of_the_first_ends_the_visit() {
        let text = || event("synthesize", json!({"text": "one"}));
        let want = "SAY one, error(what was to be said before is not said yet), CLOSE";
        check(&mut visit(), vec![text(), text()], want);
    }

    #[test]
    fn a_stream_of_text_without_an_end_is_refused() {
        let mut visit = visit();
        visit.handle(event("synthesize-start", json!({})));
        for _ in 0..=SPEECH_BYTES_MAX / 1000 {
            visit.handle(event("synthesize-chunk", json!({"text": "a".repeat(1000)})));
        }
        assert!(story(&mut visit).ends_with("CLOSE") && !visit.is_busy());
    }

    #[test]
    fn what_was_said_is_answered_within_its_conversation() {
        let mut visit = visit();
        let context = json!({"conversation_id": "c1"});
        let asked = event("transcript", json!({"text": " what time is it ", "context": context}));
        check(&mut visit, vec![asked], "ASK what time is it in c1");
        let answer = vec![Input::Words("It is "), Input::Words("noon. "), Input::Answered(Ok(()))];
        check(&mut visit, answer, "handled(It is noon.)");
        check(&mut visit, vec![event("recognize", json!({"text": "x"}))], "ASK x in ");
        check(
            &mut visit,
            vec![Input::Answered(Err("nobody thinks here"))],
            "not-handled(nobody thinks here)",
        );
        let empty = event("transcript", json!({}));
        check(&mut visit, vec![empty], "not-handled(a text to answer has 1 to 4096 bytes)");
    }

    #[test]
    fn what_comes_late_changes_nothing() {
        let late = vec![
            Input::Heard(Ok("x")),
            Input::Piece { rate: 1, pcm: &[1] },
            Input::Said(Ok(())),
            Input::Words("x"),
            Input::Answered(Ok(())),
            event("satellite-connected", json!({})),
        ];
        check(&mut visit(), late, "");
    }
}
