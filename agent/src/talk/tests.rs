//! Conversations as stories: what happens, and what the hands are asked for.

use super::news::{Mood, News};
use super::parts::*;
use super::testing::{KEY, Stage, heard};
use super::trace::Outcome;
use admission::VoiceSettings;
use std::time::Duration;
use voice::key::{Input, Source};

fn plain() -> VoiceSettings {
    VoiceSettings { guess: false, ..VoiceSettings::default() }
}

fn free() -> VoiceSettings {
    VoiceSettings { hands_free: true, ..plain() }
}

fn check(settings: VoiceSettings, story: &str, want: &str) {
    let mut stage = Stage::new(settings);
    stage.play(story);
    assert_eq!(stage.told(), want, "{story}");
}

const ASKED: &str = "press, voice 800, release, text what is new?";

#[test]
fn a_turn_goes_from_the_key_to_the_speaker() {
    check(
        plain(),
        &format!(
            "{ASKED}, words Not much. A, words  cat, answered, made, sounding, made, spoken 1.0, spoken 1.1"
        ),
        "mic Listening! no-mic hear(800) ask(what is new?) make(Not much.) play#1.0(100) end#1.0 \
         make(A cat) play#1.1(100) end#1.1",
    );
}

#[test]
fn two_clauses_at_most_are_made_ahead() {
    let mut stage = Stage::new(plain());
    stage.play(&format!("{ASKED}, words One. Two. Three. Four. Five. Six., made, made, made"));
    assert!(stage.told().ends_with("make(Three.) play#1.2(100) end#1.2"));
    stage.play("spoken 1.0, made");
    assert_eq!(stage.told(), "make(Four.) play#1.3(100) end#1.3");
}

#[test]
fn a_press_in_the_middle_is_silence_first_and_stops_all_hands() {
    let mut stage = Stage::new(plain());
    stage.play(&format!("{ASKED}, words One. Two. Three"));
    stage.told();
    stage.play("press");
    assert_eq!(stage.told(), "hush#1 mic Listening!");
    let hands = stage.fake.0.lock().unwrap();
    assert!(hands.asking[0].stop.is_stopped() && hands.speaking[0].stop.is_stopped());
}

#[test]
fn what_comes_after_a_stop_is_dropped() {
    check(
        plain(),
        &format!(
            "{ASKED}, words One. Two, press, made, words Three., answered, voice 800, release, text again"
        ),
        "mic Listening! no-mic hear(800) ask(what is new?) make(One.) hush#1 mic Listening! no-mic hear(800) ask(again)",
    );
}

#[test]
fn speech_that_fails_is_told_once_and_ends_the_turn() {
    let mut stage = Stage::new(plain());
    stage.play(&format!("{ASKED}, words One. Two., answered, dumb no voice, dumb no voice"));
    assert!(stage.told().ends_with("make(One.) Error! make(Two.)"));
    assert_eq!(stage.talk.take_traces()[0].troubles, ["the answer is not spoken: no voice"; 2]);
    assert_eq!(stage.board.view().answer, "One. Two.");
}

#[test]
fn without_a_speaker_the_page_has_the_answer() {
    let mut stage = Stage::new(plain());
    stage.play(&format!("no-speaker, {ASKED}, words One. Two., speaker, answered"));
    assert_eq!(stage.told(), "mic no-mic hear(800) ask(what is new?)");
    assert_eq!(stage.board.view().answer, "One. Two.");
    // It comes in the middle: what it has not said is not said again when it comes back.
    stage.play("press, voice 800, release, text and, words One. Two., no-speaker, made, speaker, words  Three., answered");
    assert_eq!(stage.told(), "mic Listening! no-mic hear(800) ask(and) make(One.)");
    assert_eq!(stage.talk.take_traces().len(), 2);
}

#[test]
fn a_model_that_fails_is_told_on_the_page() {
    let mut stage = Stage::new(plain());
    stage.play(&format!("{ASKED}, failed nobody answers"));
    assert!(stage.told().ends_with("ask(what is new?) Error!"));
    assert_eq!(stage.board.view().trouble, "nobody answers");
    stage.play("press, voice 800, release, deaf there is no model");
    let traces = stage.talk.take_traces();
    assert_eq!(
        traces.iter().map(|trace| trace.outcome).collect::<Vec<_>>(),
        [Outcome::NoAnswer, Outcome::NotHeard]
    );
    assert_eq!(traces[1].troubles, ["nothing was heard: there is no model"]);
}

#[test]
fn a_guess_is_told_in_the_trace() {
    let mut stage = Stage::new(VoiceSettings::default());
    stage.play(
        "press, voice 800, silence 400, text hello, release, words Hi., answered, made, sounding, spoken 1.0",
    );
    let trace = &stage.talk.take_traces()[0];
    assert_eq!((trace.outcome, trace.is_guessed), (Outcome::Answered, true));
    let [heard] = &trace.heard[..] else { panic!("{trace:?}") };
    assert!(heard.is_guess && heard.sound_ms == 1000, "{heard:?}");
    assert_eq!((trace.said.as_deref(), trace.answer.as_deref()), (Some("hello"), Some("Hi.")));
}

#[test]
fn followers_hear_what_happens_and_the_view_holds_it() {
    let mut stage = Stage::new(plain());
    stage.play(&format!("{ASKED}, words Not much., answered, made, spoken 1.0"));
    let news: Vec<News> = std::iter::from_fn(|| stage.news.try_recv().ok()).map(|told| told.news).collect();
    let mood = |mood: Mood| News::Mood { mood };
    let want = [
        mood(Mood::Listening),
        News::Heard { turn: 1, text: "what is new?".into() },
        News::Words { turn: 1, words: "Not much.".into() },
    ];
    assert!(want.iter().all(|one| news.contains(one)), "{news:?}");
    assert_eq!(news.last(), Some(&mood(Mood::Idle)));
    let view = stage.board.view();
    assert_eq!(
        (view.mood, view.said.as_str(), view.answer.as_str()),
        (Mood::Idle, "what is new?", "Not much.")
    );
}

#[test]
fn hands_free_its_own_voice_is_not_listened_to() {
    check(
        free(),
        "press, release, silence 300, voice 800, silence 1000, text one, words Yes., answered, made, spoken 1.0, voice 200, silence 1000, voice 800, silence 1000, press",
        "mic Listening! hear(1200) ask(one) make(Yes.) play#1.0(100) end#1.0 hear(1200) no-mic",
    );
}

#[test]
fn page_and_console_start_and_stop_like_a_key() {
    let told = Source::Told(0);
    let mut stage = Stage::new(plain());
    stage.handle(Event::Key(Input::Down(told)));
    stage.sound(800, 8000);
    stage.handle(Event::Key(Input::Up(told)));
    stage.wait(Duration::from_millis(20));
    assert_eq!(stage.told(), "mic Listening! no-mic hear(800)");
}

#[test]
fn new_settings_hold_from_the_next_turn_on() {
    let mut stage = Stage::new(plain());
    stage.play("press, voice 300");
    stage.handle(Event::Settings(Box::new(free())));
    assert_eq!(stage.told(), "mic Listening! no-mic");
    stage.play("release, wait 1000, press, release, wait 60000, voice 800, silence 1000");
    assert_eq!(stage.told(), "mic Listening! hear(1000)");
}

#[test]
fn a_conversation_is_spoken_in_its_own_language() {
    let said = |settings| {
        let mut stage = Stage::new(settings);
        stage.play(&format!("{ASKED}, words One. Two."));
        let hands = stage.fake.0.lock().unwrap();
        hands.speaking[0].voice.clone()
    };
    assert_eq!(said(VoiceSettings { language: "de".into(), ..plain() }).as_deref(), Some("de"));
    assert_eq!(said(VoiceSettings { voice: Some("en+f3".into()), ..plain() }).as_deref(), Some("en+f3"));
}

#[test]
fn a_timer_rings_between_turns_and_a_press_silences_it() {
    let mut stage = Stage::new(plain());
    stage.handle(Event::Announce("Your tea.".into()));
    stage.play("made");
    let ring = format!("Ring! make(Your tea.) play#{0}.0(100) end#{0}.0", 0x8000_0001_u32);
    assert_eq!(stage.told(), ring);
    // It is told again only when it was said.
    stage.handle(Event::Announce("Your tea.".into()));
    stage.play("press");
    assert_eq!(stage.told(), format!("hush#{} mic Listening!", 0x8000_0001_u32));
    stage.handle(Event::Announce("Your tea.".into()));
    stage.play("voice 800, release, text hello, words Hi., answered, made, spoken 1.0");
    assert!(!stage.told().contains("tea"));
    stage.handle(Event::Announce("Your tea.".into()));
    assert_eq!(stage.told(), "Ring! make(Your tea.)");
}

#[test]
fn to_close_stops_all_hands() {
    let mut stage = Stage::new(plain());
    stage.play(&format!("{ASKED}, words One."));
    stage.handle(Event::Close);
    assert!(stage.told().ends_with("ask(what is new?) hush#1"));
    assert_eq!(stage.talk.take_traces()[0].outcome, Outcome::Interrupted);
}

#[test]
fn two_hours_of_a_held_key_are_one_turn_and_little_memory() {
    let mut stage = Stage::new(plain());
    stage.play("press");
    stage.sound(2 * 3600 * 1000, 8000);
    assert_eq!(stage.told(), "mic Listening! no-mic hear(28000) Thinking! Error!");
    // Nobody ever answers.
    assert_eq!(stage.talk.take_traces().len(), 1);
    stage.play("release, wait 100, press");
    assert_eq!(stage.told(), "mic Listening!");
}

#[test]
fn ten_minutes_of_silence_or_noise_are_no_turn() {
    let mut stage = Stage::new(free());
    stage.play("press, release, silence 600000");
    // Clicks are shorter than a word.
    for _ in 0..1000 {
        stage.sound(48, 8000);
        stage.sound(64, 0);
    }
    assert_eq!(stage.told(), "mic Listening!");
    assert_eq!(stage.talk.mood(), voice::turn::Mood::Waiting);
}

#[test]
fn a_model_that_never_answers_ends_with_a_sound() {
    let mut stage = Stage::new(plain());
    stage.play(&format!("{ASKED}, wait 300000"));
    assert!(stage.told().ends_with("ask(what is new?) Thinking! Error! hush#1"));
    assert!(stage.fake.0.lock().unwrap().asking[0].stop.is_stopped());
}

/// Numbers that look like chance and are the same every time.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// Something happens, with or without reason.
fn happen(stage: &mut Stage, dice: &mut Dice) {
    let key = |dice: &mut Dice| match dice.throw(3) {
        0 => KEY,
        1 => Source::Key { device: 2, code: 1 },
        _ => Source::Told(dice.throw(2)),
    };
    let n_turns = stage.board.view().turn;
    let turn = n_turns.saturating_sub(dice.throw(3) as u32) + dice.throw(2) as u32;
    let clause_idx = dice.throw(5) as u32;
    let event = match dice.throw(27) {
        26 => Event::Announce("something".into()),
        0 | 1 => Event::Key(Input::Down(key(dice))),
        2 | 3 => Event::Key(Input::Up(key(dice))),
        4 => Event::Key(Input::Gone { device: dice.throw(3) as u32 }),
        5 => return stage.sound(16 * dice.throw(80), 8000),
        6 => return stage.sound(16 * dice.throw(80), 0),
        7 => Event::Frame(vec![9000; dice.throw(70_000) as usize]),
        8 => Event::MicrophoneLost,
        9 => Event::MicrophoneBack,
        10 => Event::SpeakerLost,
        11 => Event::SpeakerBack,
        12 => Event::Sounding { turn, clause_idx },
        13 => Event::Spoken { turn, clause_idx },
        14 => Event::Heard { wish: dice.throw(50) as u32, end: heard(Ok("stale".into())) },
        15 => Event::Part { turn, part: Part::Words("stray words. ".into()) },
        16 => Event::Made { turn, clause_idx, made: Made::End },
        17 => {
            let hands_free = dice.throw(4) == 0;
            let settings =
                VoiceSettings { hands_free, guess: dice.throw(2) == 0, ..VoiceSettings::default() };
            Event::Settings(Box::new(settings))
        }
        18 | 19 => {
            let job = stage.fake.0.lock().unwrap().hearing.pop();
            let text = match dice.throw(4) {
                0 => Err("no".into()),
                1 => Ok(String::new()),
                _ => Ok("some words".into()),
            };
            job.into_iter().for_each(|job| (job.done)(heard(text.clone())));
            return stage.deliver();
        }
        20..23 => {
            let mut hands = stage.fake.0.lock().unwrap();
            if let Some(job) = hands.asking.last_mut() {
                (job.sink)(match dice.throw(6) {
                    0 => Part::End,
                    1 => Part::Failed("no".into()),
                    2 => Part::By("a model".into()),
                    _ => Part::Words("and, so on. ```\ncode\n``` ".into()),
                });
            }
            drop(hands);
            return stage.deliver();
        }
        _ => {
            let job = stage.fake.0.lock().unwrap().speaking.pop();
            if let Some(mut job) = job {
                for _ in 0..dice.throw(3) {
                    (job.sink)(Sound::Piece { rate: 22_050, pcm: &[1; 10] });
                }
                (job.sink)(if dice.throw(5) == 0 { Sound::Failed("no") } else { Sound::End });
            }
            return stage.deliver();
        }
    };
    stage.handle(event);
}

#[test]
fn no_order_of_events_leaves_it_stuck_or_a_turn_without_one_trace() {
    let n: u64 = std::env::var("DUET_TALK_EVENTS").ok().and_then(|n| n.parse().ok()).unwrap_or(30_000);
    for seed in 1..=3_u64 {
        let (mut dice, mut stage) = (Dice(seed), Stage::new(VoiceSettings::default()));
        let mut turns = vec![];
        for _ in 0..n {
            let time = Duration::from_millis(dice.throw(400));
            stage.wait(time);
            happen(&mut stage, &mut dice);
            turns.extend(stage.talk.take_traces().iter().map(|trace| trace.turn));
            let mut hands = stage.fake.0.lock().unwrap();
            hands.told.clear();
            // What nobody waits for any more, its workers drop.
            hands.hearing.retain(|job| !job.stop.is_stopped());
            hands.asking.retain(|job| !job.stop.is_stopped());
            hands.speaking.retain(|job| !job.stop.is_stopped());
            let n_open = (hands.hearing.len(), hands.speaking.len());
            assert!(n_open.0 <= 2 && n_open.1 <= 1, "seed {seed}: {n_open:?} jobs at once");
            let keep = hands.asking.len().saturating_sub(2);
            hands.asking.drain(..keep);
        }
        // Time alone ends what is left.
        stage.handle(Event::Settings(Box::new(plain())));
        stage.wait(Duration::from_secs(600));
        turns.extend(stage.talk.take_traces().iter().map(|trace| trace.turn));
        assert_eq!(stage.talk.mood(), voice::turn::Mood::Idle, "seed {seed}");
        assert!(turns.len() > n as usize / 100, "seed {seed}: {} turns", turns.len());
        turns.sort_unstable();
        assert_eq!(turns, (1..=turns.len() as u32).collect::<Vec<u32>>(), "seed {seed}");
    }
}
