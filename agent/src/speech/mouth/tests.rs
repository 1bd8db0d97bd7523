//! The mouth with engines that do as a test wants: what is told to whom, in which order, and what of it after a fault.

use super::*;
use crate::speech::engine::{Sink, Voice};
use crate::speech::queue::{ALL_MAX, TALK_MAX};
use crate::speech::tone::{self, Tone};
use crate::speech::watch::{DOES_NOT_BEGIN, HANGS};
use crate::talk::parts::{Made as Told, Stop};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

/// No engine of these tests is so slow that it may be given up by mistake.
const FOR_EVER: Duration = Duration::from_secs(3600);

fn settings() -> VoiceSettings {
    VoiceSettings { rate: 150, ..VoiceSettings::default() }
}

fn mouth(make: impl FnMut() -> Result<Box<dyn Engine>, SpeechError> + Send + 'static) -> Mouth {
    Mouth::with_patience(Box::new(make), &settings(), FOR_EVER).unwrap()
}

fn tones() -> Mouth {
    mouth(|| Ok(Box::new(Tone::default())))
}

fn told(sound: Sound<'_>) -> Told {
    match sound {
        Sound::Piece { rate, pcm } => Told::Piece { rate, pcm: pcm.to_vec() },
        Sound::End => Told::End,
        Sound::Failed(why) => Told::Failed(why.to_owned()),
    }
}

/// Asks, and gives where the answer comes.
fn ask(mouth: &Mouth, talk: u64, text: &str, voice: Option<&str>) -> Receiver<Told> {
    let (to, from) = channel();
    let sink = Box::new(move |sound: Sound<'_>| drop(to.send(told(sound))));
    let voice = voice.map(str::to_owned);
    mouth.speak(SpeakJob { text: text.into(), talk, voice, stop: Stop::default(), sink });
    from
}

/// All that is told, as a sentence.
fn answer(from: Receiver<Told>) -> String {
    let mut n = 0;
    for told in &from {
        match told {
            Told::Piece { rate, pcm } => {
                assert_eq!(rate, tone::RATE);
                n += pcm.len();
            }
            Told::End => {
                assert!(from.recv().is_err(), "an end is the last");
                return format!("{n} samples");
            }
            Told::Failed(why) => {
                assert!(from.recv().is_err(), "a fault is the last");
                return format!("{n} samples, then: {why}");
            }
        }
    }
    format!("{n} samples, and no end")
}

fn check(mouth: &Mouth, text: &str, want: &str) {
    assert_eq!(answer(ask(mouth, 1, text, None)), want, "{text}");
}

/// An engine that says nothing before it is let.
struct Gate {
    let_go: Receiver<()>,
    said: Sender<String>,
}

impl Engine for Gate {
    fn name(&self) -> &'static str {
        "gate"
    }
    fn rate(&self) -> u32 {
        tone::RATE
    }
    fn set(&mut self, _: &Voice) -> Result<(), SpeechError> {
        Ok(())
    }
    fn voices(&self) -> Vec<String> {
        vec![]
    }
    fn say(&mut self, text: &str, sink: Sink<'_>) -> Result<(), SpeechError> {
        self.said.send(text.to_owned()).unwrap();
        // An end of the test lets go as well.
        let _ = self.let_go.recv();
        let _ = sink(&[1]);
        Ok(())
    }
}

/// The mouth with a gate, what lets it go once, and what is said.
fn gated(patience: Duration) -> (Mouth, Sender<()>, Receiver<String>) {
    let (let_go, gate) = channel();
    let (said, saying) = channel();
    let mut gate = Some(Gate { let_go: gate, said });
    let make = move || Ok(Box::new(gate.take().expect("one is made")) as Box<dyn Engine>);
    (Mouth::with_patience(Box::new(make), &settings(), patience).unwrap(), let_go, saying)
}

/// Until the engine has begun: its beginning is watched as well.
fn begun(mouth: &Mouth) {
    let is_so = |state: &State| state.work.is_none() && state.facts.engine.is_some();
    while !is_so(&mouth.desk.lock()) {
        std::thread::yield_now();
    }
}

#[test]
fn a_clause_comes_in_pieces_and_one_end() {
    let mouth = tones();
    check(&mouth, "one two three", "19200 samples");
    check(&mouth, "", "0 samples");
    let facts = mouth.facts();
    assert_eq!((facts.engine, facts.voice.as_deref()), (Some("tone"), Some("en")));
    assert_eq!((facts.n_clauses, facts.n_failed, facts.sound_s), (2, 0, 1.2));
}

#[test]
fn talks_take_turns() {
    let (mouth, let_go, saying) = gated(FOR_EVER);
    let first = ask(&mouth, 1, "1a", None);
    assert_eq!(saying.recv().unwrap(), "1a");
    let others = [(1, "1b"), (1, "1c"), (2, "2a"), (2, "2b")];
    let answers = others.map(|(talk, text)| ask(&mouth, talk, text, None));
    (0..5).for_each(|_| let_go.send(()).unwrap());
    assert_eq!(answer(first), "1 samples");
    answers.into_iter().for_each(|from| assert_eq!(answer(from), "1 samples"));
    assert_eq!(saying.try_iter().collect::<Vec<_>>(), ["1b", "2a", "1c", "2b"]);
}

#[test]
fn who_is_stopped_hears_nothing_more_and_others_are_spoken_for() {
    let mouth = tones();
    for n_heard in 1..=30 {
        let stop = Stop::default();
        let (to, from) = channel();
        let stopping = stop.clone();
        let mut n = 0;
        let sink = Box::new(move |sound: Sound<'_>| {
            n += 1;
            if n == n_heard {
                stopping.stop();
            }
            let _ = to.send(told(sound));
        });
        mouth.speak(SpeakJob { text: "one two three".into(), talk: 1, voice: None, stop, sink });
        // It ends as the sink is dropped.
        let heard: Vec<Told> = from.into_iter().collect();
        assert_eq!(heard.len(), n_heard.min(30));
        assert!(heard.iter().all(|told| matches!(told, Told::Piece { .. })), "{n_heard}");
    }
    check(&mouth, "one", "6400 samples");
}

#[test]
fn who_was_stopped_before_his_turn_is_passed_over() {
    let (mouth, let_go, saying) = gated(FOR_EVER);
    let first = ask(&mouth, 1, "first", None);
    assert_eq!(saying.recv().unwrap(), "first");
    let stop = Stop::default();
    let (to, from) = channel();
    let sink = Box::new(move |sound: Sound<'_>| drop(to.send(told(sound))));
    mouth.speak(SpeakJob { text: "second".into(), talk: 1, voice: None, stop: stop.clone(), sink });
    stop.stop();
    let third = ask(&mouth, 1, "third", None);
    (0..2).for_each(|_| let_go.send(()).unwrap());
    assert_eq!((answer(first).as_str(), answer(third).as_str()), ("1 samples", "1 samples"));
    assert_eq!(answer(from), "0 samples, and no end");
    assert_eq!(saying.try_iter().collect::<Vec<_>>(), ["third"]);
}

#[test]
fn an_engine_that_is_absent_is_told_and_tried_again() {
    static IS_THERE: AtomicBool = AtomicBool::new(false);
    let mouth = mouth(|| match IS_THERE.load(Ordering::Relaxed) {
        true => Ok(Box::new(Tone::default())),
        false => Err(SpeechError::Start("it is not there".into())),
    });
    check(&mouth, "one", "0 samples, then: it is not there");
    let facts = mouth.facts();
    assert_eq!((facts.engine, facts.voice), (None, None));
    IS_THERE.store(true, Ordering::Relaxed);
    check(&mouth, "one", "6400 samples");
}

#[test]
fn an_engine_that_fails_is_made_anew() {
    struct Failing;
    impl Engine for Failing {
        fn name(&self) -> &'static str {
            "failing"
        }
        fn rate(&self) -> u32 {
            tone::RATE
        }
        fn set(&mut self, _: &Voice) -> Result<(), SpeechError> {
            Ok(())
        }
        fn voices(&self) -> Vec<String> {
            vec![]
        }
        fn say(&mut self, _: &str, sink: Sink<'_>) -> Result<(), SpeechError> {
            let _ = sink(&[1, 2]);
            Err(SpeechError::Speak { code: 7 })
        }
    }
    let mut n = 0;
    let mouth = mouth(move || {
        n += 1;
        Ok(if n == 1 { Box::new(Failing) as Box<dyn Engine> } else { Box::new(Tone::default()) })
    });
    check(&mouth, "one", "2 samples, then: the speech engine failed with code 7");
    check(&mouth, "one", "6400 samples");
}

#[test]
fn settings_hold_from_the_next_clause_on() {
    let mouth = tones();
    check(&mouth, "one", "6400 samples");
    mouth.set(&VoiceSettings { rate: 300, language: "xx".into(), ..VoiceSettings::default() });
    check(&mouth, "one", "3200 samples");
    let trouble = mouth.facts().trouble.unwrap();
    assert!(trouble.starts_with("there is no voice \"xx\"") && trouble.ends_with("en speaks instead"));
    mouth.set(&VoiceSettings { language: "de".into(), ..settings() });
    check(&mouth, "", "0 samples");
    assert_eq!(mouth.facts().voice.as_deref(), Some("de"));
    assert_eq!(answer(ask(&mouth, 1, "one", Some("fr"))), "6400 samples");
    assert_eq!(mouth.facts().voice.as_deref(), Some("fr"));
}

#[test]
fn too_much_is_refused_and_what_was_taken_is_spoken() {
    let (mouth, let_go, saying) = gated(FOR_EVER);
    let first = ask(&mouth, 0, "first", None);
    saying.recv().unwrap();
    let taken: Vec<_> = (0..TALK_MAX).map(|_| ask(&mouth, 1, "x", None)).collect();
    let full = "0 samples, then: too much waits to be spoken already";
    assert_eq!(answer(ask(&mouth, 1, "x", None)), full);
    let others: Vec<_> = (TALK_MAX..ALL_MAX).map(|idx| ask(&mouth, 1 + idx as u64, "x", None)).collect();
    assert_eq!(answer(ask(&mouth, 9000, "x", None)), full);
    let long = "a".repeat(TEXT_BYTES_MAX + 1);
    let want = "0 samples, then: 4097 bytes of text, at most 4096 are spoken at once";
    assert_eq!(answer(ask(&mouth, 9000, &long, None)), want);
    assert_eq!(mouth.facts().n_waiting, ALL_MAX);
    (0..=ALL_MAX).for_each(|_| let_go.send(()).unwrap());
    for from in taken.into_iter().chain(others).chain([first]) {
        assert_eq!(answer(from), "1 samples");
    }
}

#[test]
fn a_clause_without_end_is_ended() {
    let mouth = tones();
    let answer = answer(ask(&mouth, 1, &"a ".repeat(2000), None));
    let n_max = tone::RATE * SOUND_SECONDS_MAX;
    assert_eq!(answer, format!("{n_max} samples, then: one clause is spoken for 120 seconds at most"));
}

#[test]
fn an_engine_that_hangs_is_given_up_and_speaks_again_when_it_is_back() {
    let (mouth, let_go, saying) = gated(Duration::from_millis(1));
    begun(&mouth);
    let first = ask(&mouth, 1, "first", None);
    saying.recv().unwrap();
    let hangs = format!("0 samples, then: {HANGS}");
    assert_eq!(answer(first), hangs);
    // Whoever comes now does not wait at all, and the engine is asked nothing.
    assert_eq!(answer(ask(&mouth, 2, "second", None)), hangs);
    assert_eq!(mouth.facts().trouble.as_deref(), Some(HANGS));
    let_go.send(()).unwrap();
    while mouth.facts().trouble.is_some() {
        std::thread::yield_now();
    }
    let_go.send(()).unwrap();
    let third = answer(ask(&mouth, 1, "third", None));
    assert!(third == "1 samples" || third == hangs, "{third}");
}

#[test]
fn an_engine_that_hangs_as_it_begins_is_told_and_speaks_once_it_has_begun() {
    let (let_go, gate) = channel::<()>();
    let make = move || {
        // An end of the test lets go as well.
        let _ = gate.recv();
        Ok(Box::new(Tone::default()) as Box<dyn Engine>)
    };
    let mouth = Mouth::with_patience(Box::new(make), &settings(), Duration::from_millis(1)).unwrap();
    let waiting = ask(&mouth, 1, "one", None);
    let hangs = format!("0 samples, then: {DOES_NOT_BEGIN}");
    assert_eq!(answer(waiting), hangs);
    assert_eq!(mouth.facts().trouble.as_deref(), Some(DOES_NOT_BEGIN));
    assert_eq!(answer(ask(&mouth, 2, "two", None)), hangs);
    drop(let_go);
    while mouth.facts().trouble.is_some() {
        std::thread::yield_now();
    }
    assert_eq!((mouth.facts().engine, mouth.voices().len()), (Some("tone"), 3));
}

#[test]
fn a_listener_that_takes_its_time_is_no_hang() {
    let mouth = tones();
    let (to, from) = channel();
    let (let_go, gate) = channel::<()>();
    let sink = Box::new(move |sound: Sound<'_>| {
        to.send(told(sound)).unwrap();
        let _ = gate.recv();
    });
    mouth.speak(SpeakJob { text: "one".into(), talk: 1, voice: None, stop: Stop::default(), sink });
    // It is in the middle of its first piece.
    let first = from.recv().unwrap();
    assert!(matches!(first, Told::Piece { .. }));
    let state = crate::speech::watch::give_up(&mouth.desk, mouth.desk.lock());
    assert!(!state.work.as_ref().unwrap().is_given_up && state.facts.trouble.is_none());
    drop(state);
    drop(let_go);
    assert_eq!(answer(from), "5760 samples");
}

#[test]
fn ten_thousand_short_jobs_leave_nothing_behind() {
    let mouth = tones();
    for idx in 0..10_000 {
        assert_eq!(answer(ask(&mouth, idx % 7, "a", None)), "6400 samples");
    }
    assert_eq!((mouth.facts().n_waiting, mouth.facts().n_failed), (0, 0));
    assert_eq!(mouth.facts().sound_s.round(), 4000.0);
}
