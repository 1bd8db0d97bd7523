//! Turns as stories: what happens, and what the machine wants done.

use super::*;
use crate::{ms, samples};

const HOLD: Rules = Rules { is_hands_free: false, is_guessing: true };
const PLAIN: Rules = Rules { is_hands_free: false, is_guessing: false };
const FREE: Rules = Rules { is_hands_free: true, is_guessing: true };

struct Stage {
    turns: Turns,
    now: Duration,
    told: Vec<String>,
    reports: Vec<Report>,
}

impl Stage {
    fn new(rules: Rules) -> Stage {
        Stage { turns: Turns::new(rules), now: Duration::from_secs(100), told: vec![], reports: vec![] }
    }

    fn input(&mut self, input: Input<'_>) {
        self.turns.handle(self.now, input);
        while let Some(wish) = self.turns.poll() {
            self.told.push(shown(&wish));
            if let Output::Done(report) = wish {
                self.reports.push(report);
            }
        }
    }

    fn sound(&mut self, length_ms: u32, is_voice: bool) {
        for _ in 0..length_ms / 20 {
            self.now += Duration::from_millis(20);
            self.input(Input::Frame { pcm: &[100; samples(20)], is_voice });
        }
    }

    /// One word of the story, with what follows it.
    fn act(&mut self, word: &str, rest: &str) {
        let (turn, wish) = (self.turns.n_turns, self.turns.n_wishes);
        match word {
            "press" => self.input(Input::Press),
            "release" => self.input(Input::Release),
            "voice" => self.sound(rest.parse().unwrap(), true),
            "silence" => self.sound(rest.parse().unwrap(), false),
            "text" => self.input(Input::Heard { wish, heard: Heard::Text(rest) }),
            "stale-text" => self.input(Input::Heard { wish: wish - 1, heard: Heard::Text(rest) }),
            "nothing" => self.input(Input::Heard { wish, heard: Heard::Nothing }),
            "deaf" => self.input(Input::Heard { wish, heard: Heard::Failed }),
            "words" => self.input(Input::Words { turn, words: rest }),
            "stale-words" => self.input(Input::Words { turn: turn - 1, words: rest }),
            "end" => self.input(Input::AnswerEnded { turn }),
            "fail" => self.input(Input::AnswerFailed { turn }),
            "sounding" => self.input(Input::Sounding { turn, clause_idx: 0 }),
            "spoken" => self.input(Input::Spoken { turn, clause_idx: rest.parse().unwrap() }),
            "no-microphone" => self.input(Input::MicrophoneLost),
            "no-speaker" => self.input(Input::SpeakerLost),
            "wait" => {
                let end = self.now + Duration::from_millis(rest.parse().unwrap());
                while let Some(deadline) = self.turns.deadline().filter(|deadline| *deadline <= end) {
                    assert!(deadline > self.now || self.told.len() < 100, "its deadlines stand still");
                    self.now = self.now.max(deadline);
                    self.input(Input::Tick);
                }
                self.now = end;
            }
            other => panic!("no story has {other:?}"),
        }
    }

    fn play(&mut self, story: &str) {
        for act in story.split(", ") {
            let (word, rest) = act.split_once(' ').unwrap_or((act, ""));
            self.act(word, rest);
        }
    }
}

fn shown(wish: &Output) -> String {
    match wish {
        Output::Earcon(earcon) => format!("{earcon:?}!"),
        Output::Microphone(true) => "mic".into(),
        Output::Microphone(false) => "no-mic".into(),
        Output::Transcribe { wish, pcm, is_guess } => {
            format!("{}#{wish}({})", if *is_guess { "guess" } else { "transcribe" }, ms(pcm.len()))
        }
        Output::Forget { wish } => format!("forget#{wish}"),
        Output::Ask { turn, text } => format!("ask#{turn}({text})"),
        Output::StopAsking { turn } => format!("stop#{turn}"),
        Output::Say { turn, clause_idx, clause: Clause::Text(text) } => {
            format!("say#{turn}.{clause_idx}({text})")
        }
        Output::Say { turn, clause_idx, clause } => format!("say#{turn}.{clause_idx}({clause:?})"),
        Output::Hush { turn } => format!("hush#{turn}"),
        Output::Done(report) => format!("done#{}:{:?}", report.turn, report.outcome),
    }
}

fn check(rules: Rules, story: &str, want: &str) {
    let mut stage = Stage::new(rules);
    stage.play(story);
    assert_eq!(stage.told.join(" "), want, "{story}");
}

#[test]
fn a_turn_goes_from_the_key_to_the_last_clause() {
    check(
        PLAIN,
        "press, silence 400, voice 1000, release, text what is new?, words Not much. A, words  cat, end, spoken 0, spoken 1",
        "mic Listening! no-mic transcribe#1(1200) ask#1(what is new?) say#1.0(Not much.) say#1.1(A cat) done#1:Answered",
    );
}

#[test]
fn a_guess_at_a_rest_is_the_text_if_nothing_follows() {
    let heard = "mic Listening! guess#1(1200) no-mic ask#1(hello) say#1.0(Hi.) done#1:Answered";
    check(HOLD, "press, voice 1000, silence 400, text hello, release, words Hi., end, spoken 0", heard);
    // It came after the key was up.
    check(HOLD, "press, voice 1000, silence 400, release, text hello, words Hi., end, spoken 0", heard);
}

#[test]
fn a_guess_is_forgotten_when_the_person_goes_on() {
    check(
        HOLD,
        "press, voice 1000, silence 400, voice 600, release, stale-text half, text whole",
        "mic Listening! guess#1(1200) forget#1 no-mic transcribe#2(2000) ask#1(whole)",
    );
    check(
        HOLD,
        "press, voice 1000, silence 400, text half, voice 600, release, text whole",
        "mic Listening! guess#1(1200) no-mic transcribe#2(2000) ask#1(whole)",
    );
}

#[test]
fn a_guess_that_failed_is_tried_again_with_the_whole() {
    check(
        HOLD,
        "press, voice 1000, silence 400, deaf, release, text hello",
        "mic Listening! guess#1(1200) no-mic transcribe#2(1200) ask#1(hello)",
    );
}

#[test]
fn a_slip_of_the_finger_is_nothing() {
    check(PLAIN, "press, silence 200, release", "mic Listening! no-mic Error! done#1:Nothing");
    // Longer, the detector may have missed a quiet voice.
    check(
        PLAIN,
        "press, silence 800, release, nothing",
        "mic Listening! no-mic transcribe#1(800) Error! done#1:Nothing",
    );
}

#[test]
fn the_key_stops_an_answer_at_once() {
    let speaking = "press, voice 600, release, text go, words One. Two. Th";
    check(
        PLAIN,
        &format!("{speaking}, press, stale-words ree. , voice 600, release, text stop"),
        "mic Listening! no-mic transcribe#1(600) ask#1(go) say#1.0(One.) say#1.1(Two.) hush#1 stop#1 done#1:Interrupted mic Listening! no-mic transcribe#2(600) ask#2(stop)",
    );
    // Only to stop it: nothing was said, and nothing complains.
    check(
        PLAIN,
        &format!("{speaking}ree., end, press, silence 100, release"),
        "mic Listening! no-mic transcribe#1(600) ask#1(go) say#1.0(One.) say#1.1(Two.) say#1.2(Three.) hush#1 done#1:Interrupted mic Listening! no-mic done#2:Nothing",
    );
}

#[test]
fn a_press_while_nothing_is_heard_yet_begins_anew() {
    check(
        PLAIN,
        "press, voice 600, release, press, voice 600, release, stale-text old, text new",
        "mic Listening! no-mic transcribe#1(600) forget#1 done#1:Interrupted mic Listening! no-mic transcribe#2(600) ask#2(new)",
    );
}

#[test]
fn a_long_wait_is_filled_with_one_sound() {
    check(
        PLAIN,
        "press, voice 600, release, wait 1000, text go, wait 20000, words At last., end",
        "mic Listening! no-mic transcribe#1(600) ask#1(go) Thinking! say#1.0(At last.)",
    );
}

#[test]
fn what_never_comes_ends_with_a_sound() {
    check(
        PLAIN,
        "press, voice 600, release, wait 60000",
        "mic Listening! no-mic transcribe#1(600) Thinking! Error! forget#1 done#1:NotHeard",
    );
    check(
        PLAIN,
        "press, voice 600, release, text go, wait 200000",
        "mic Listening! no-mic transcribe#1(600) ask#1(go) Thinking! Error! hush#1 stop#1 done#1:NoAnswer",
    );
    check(
        PLAIN,
        "press, voice 600, release, text go, words One. Two, spoken 0, wait 200000",
        "mic Listening! no-mic transcribe#1(600) ask#1(go) say#1.0(One.) Error! hush#1 stop#1 done#1:CutShort",
    );
    check(
        PLAIN,
        "press, voice 600, release, text go, words One., end, wait 200000",
        "mic Listening! no-mic transcribe#1(600) ask#1(go) say#1.0(One.) Error! hush#1 done#1:NotSpoken",
    );
    check(PLAIN, "press, wait 200000", "mic Listening! no-mic Error! done#1:Nothing");
}

#[test]
fn a_model_that_fails_is_told_apart_from_one_that_stops() {
    let asked = "mic Listening! no-mic transcribe#1(600) ask#1(go)";
    check(PLAIN, "press, voice 600, release, text go, fail", &format!("{asked} Error! done#1:NoAnswer"));
    check(PLAIN, "press, voice 600, release, text go, end", &format!("{asked} Error! done#1:NoAnswer"));
    check(
        PLAIN,
        "press, voice 600, release, text go, words One. Two, fail, spoken 1",
        &format!("{asked} say#1.0(One.) say#1.1(Two) done#1:CutShort"),
    );
    check(
        PLAIN,
        "press, voice 600, release, deaf",
        "mic Listening! no-mic transcribe#1(600) Error! done#1:NotHeard",
    );
}

#[test]
fn without_a_speaker_the_answer_goes_on_for_the_page() {
    check(
        PLAIN,
        "press, voice 600, release, text go, words One. Tw, no-speaker, words o. , end",
        "mic Listening! no-mic transcribe#1(600) ask#1(go) say#1.0(One.) say#1.1(Two.) done#1:Answered",
    );
}

#[test]
fn what_was_said_before_the_microphone_went_is_answered() {
    check(
        PLAIN,
        "press, voice 600, no-microphone, text go",
        "mic Listening! no-mic transcribe#1(600) ask#1(go)",
    );
    check(PLAIN, "press, silence 100, no-microphone", "mic Listening! no-mic Error! done#1:MicrophoneLost");
    check(FREE, "press, silence 100, no-microphone, voice 600", "mic Listening! no-mic Error!");
    check(
        FREE,
        "press, voice 600, silence 1000, text one, words Yes., no-microphone, no-microphone, end, spoken 0, voice 600",
        "mic Listening! guess#1(800) ask#1(one) no-mic say#1.0(Yes.) done#1:Answered",
    );
}

#[test]
fn hands_free_each_silence_ends_a_turn_and_the_key_ends_all() {
    check(
        FREE,
        "press, silence 9000, voice 600, silence 1000, text one, words Yes., end, voice 600, spoken 0, silence 60, voice 600, release",
        "mic Listening! guess#1(1000) ask#1(one) say#1.0(Yes.) done#1:Answered transcribe#2(660) no-mic",
    );
    // While it speaks, its own voice is not listened to.
    check(
        FREE,
        "press, voice 600, silence 1000, text one, words Yes. And, voice 3000, release",
        "mic Listening! guess#1(800) ask#1(one) say#1.0(Yes.) hush#1 stop#1 done#1:Interrupted no-mic",
    );
}

#[test]
fn rules_of_another_kind_end_what_goes_on() {
    let mut stage = Stage::new(FREE);
    stage.play("press, voice 600");
    stage.turns.set_rules(stage.now, HOLD);
    stage.play("voice 600, press, voice 600, release");
    assert_eq!(
        stage.told.join(" "),
        "mic Listening! done#1:Interrupted no-mic mic Listening! no-mic transcribe#1(600)"
    );
    // To guess or not changes nothing of what is being said.
    stage.play("press, voice 600");
    stage.turns.set_rules(stage.now, PLAIN);
    stage.play("silence 500, release");
    assert!(stage.told.last().unwrap().starts_with("transcribe#2("), "{:?}", stage.told);
}

#[test]
fn an_endless_recording_is_cut_where_whisper_ends() {
    let mut stage = Stage::new(PLAIN);
    stage.play("press, voice 60000");
    assert_eq!(stage.told.join(" "), "mic Listening! no-mic transcribe#1(28000)");
}

#[test]
fn an_endless_answer_is_cut() {
    let mut stage = Stage::new(PLAIN);
    stage.play("press, voice 600, release, text go");
    for _ in 0..100_000 {
        stage.input(Input::Words { turn: 1, words: "on and on. " });
    }
    let n_said = stage.told.iter().filter(|told| told.starts_with("say#1.")).count();
    assert!((ANSWER_BYTES_MAX / 11 - 1..=ANSWER_BYTES_MAX / 11 + 2).contains(&n_said), "{n_said}");
    assert_eq!(stage.told.iter().filter(|told| *told == "stop#1").count(), 1);
    stage.input(Input::Spoken { turn: 1, clause_idx: n_said as u32 - 1 });
    assert_eq!(stage.told.last().unwrap(), "done#1:Answered");
}

#[test]
fn a_report_tells_when_each_stage_was_reached() {
    let mut stage = Stage::new(PLAIN);
    stage.play(
        "press, voice 600, release, wait 300, text go, wait 100, words We, wait 50, words ll. , wait 20, sounding, end, wait 900, spoken 0",
    );
    let report = &stage.reports[0];
    let after = |at: Option<Duration>| (at.unwrap() - report.released.unwrap()).as_millis();
    let stages = [report.heard, report.first_word, report.first_clause, report.first_sound, report.ended];
    assert_eq!(stages.map(after), [300, 400, 450, 470, 1370]);
    assert_eq!((report.recorded_ms, report.n_clauses, report.answer_bytes), (600, 1, 6));
}

#[test]
fn no_order_of_events_leaves_a_turn_without_an_end() {
    let mut dice = 7_u64;
    let mut throw = |sides: u64| {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (dice >> 33) % sides
    };
    for rules in [HOLD, PLAIN, FREE] {
        let mut stage = Stage::new(rules);
        for _ in 0..20_000 {
            stage.now += Duration::from_millis(throw(300));
            let (turn, wish) = (stage.turns.n_turns.saturating_sub(throw(2) as u32), stage.turns.n_wishes);
            match throw(16) {
                0 => stage.input(Input::Press),
                1 => stage.input(Input::Release),
                2 => stage.sound(20 * throw(60) as u32, true),
                3 => stage.sound(20 * throw(60) as u32, false),
                4 => stage.input(Input::Heard { wish, heard: Heard::Text("some words") }),
                5 => stage.input(Input::Heard { wish, heard: Heard::Nothing }),
                6 => stage.input(Input::Heard { wish, heard: Heard::Failed }),
                7 | 8 => stage.input(Input::Words { turn, words: "and, so on. " }),
                9 => stage.input(Input::AnswerEnded { turn }),
                10 => stage.input(Input::AnswerFailed { turn }),
                11 => stage.input(Input::Spoken { turn, clause_idx: throw(4) as u32 }),
                12 => stage.input(Input::Sounding { turn, clause_idx: 0 }),
                13 => stage.input(Input::MicrophoneLost),
                14 => stage.input(Input::SpeakerLost),
                _ => stage.input(Input::Tick),
            }
            stage.told.clear();
        }
        // Time alone ends what is left, and every turn has exactly one report.
        stage.play("wait 400000");
        assert!(matches!(stage.turns.mood(), Mood::Idle | Mood::Waiting), "seed 7, {rules:?}");
        let mut turns: Vec<u32> = stage.reports.iter().map(|report| report.turn).collect();
        turns.sort_unstable();
        assert_eq!(turns, (1..=stage.turns.n_turns).collect::<Vec<u32>>(), "seed 7, {rules:?}");
        assert!(turns.len() > 100, "{rules:?}");
    }
}
