//! The tape in a story: what is written, and what is told of it.

use super::*;

const RATE: u32 = 8_000;

fn tape(wishes: &[Wish]) -> Tape {
    let mut tape = Tape::new(RATE, 100);
    wishes.iter().cloned().for_each(|wish| tape.handle(wish));
    tape
}

fn play(turn: u32, clause_idx: u32, pcm: &[i16]) -> Wish {
    Wish::Play { turn, clause_idx, rate: RATE, pcm: pcm.to_vec() }
}

fn end(turn: u32, clause_idx: u32) -> Wish {
    Wish::End { turn, clause_idx }
}

/// Takes sample by sample, each of which leaves at once: `7 s1.0 8 9 e1.0` with the places of what is told.
fn story(mut tape: Tape, n: usize) -> String {
    let mut told = vec![];
    for _ in 0..n {
        let mut out = [0];
        tape.fill(&mut out);
        told.push(out[0].to_string());
        while let Some(event) = tape.left(tape.n_taken()) {
            told.push(match event {
                Event::Sounding { turn, clause_idx } => format!("s{turn}.{clause_idx}"),
                Event::Spoken { turn, clause_idx } => format!("e{turn}.{clause_idx}"),
                other => format!("{other:?}"),
            });
        }
    }
    told.join(" ")
}

#[track_caller]
fn check(wishes: &[Wish], n: usize, want: &str) {
    assert_eq!(story(tape(wishes), n), want);
}

#[test]
fn a_clause_is_told_at_its_first_and_its_last_sample() {
    check(&[play(1, 0, &[7, 8]), play(1, 0, &[9]), end(1, 0)], 4, "7 s1.0 8 9 e1.0 0");
}

#[test]
fn clauses_follow_without_a_gap() {
    let two = [play(1, 0, &[7]), end(1, 0), play(1, 1, &[8, 9]), end(1, 1)];
    check(&two, 4, "7 s1.0 e1.0 8 s1.1 9 e1.1 0");
}

#[test]
fn a_clause_that_is_not_whole_waits_in_silence() {
    let mut tape = tape(&[play(1, 0, &[7])]);
    let mut out = [1; 3];
    tape.fill(&mut out);
    assert_eq!((out, tape.has_sound(), tape.is_busy()), ([7, 0, 0], false, true));
    tape.handle(play(1, 0, &[8]));
    tape.handle(end(1, 0));
    assert_eq!(story(tape, 2), "8 s1.0 e1.0 0");
}

#[test]
fn a_clause_without_sound_is_spoken_at_once() {
    check(&[end(1, 0), play(1, 1, &[5]), end(1, 1)], 2, "5 e1.0 s1.1 e1.1 0");
    check(&[play(1, 0, &[]), end(1, 0)], 1, "0 e1.0");
}

#[test]
fn whoever_begins_the_next_clause_has_ended_the_last() {
    check(&[play(1, 0, &[7]), play(1, 1, &[8]), end(1, 1)], 2, "7 s1.0 e1.0 8 s1.1 e1.1");
}

#[test]
fn hush_silences_the_turn_for_ever_and_no_later_one() {
    let hush = Wish::Hush { turn: 1 };
    check(&[play(1, 0, &[7, 8]), end(1, 0), hush.clone(), play(1, 1, &[9]), end(1, 1)], 2, "0 0");
    check(&[play(1, 0, &[7]), end(1, 0), play(2, 0, &[8]), end(2, 0), hush], 1, "8 s2.0 e2.0");
}

#[test]
fn a_hushed_announcement_silences_no_turn_and_no_later_announcement() {
    let (ring, again) = (ANNOUNCEMENTS | 1, ANNOUNCEMENTS | 2);
    let hush = Wish::Hush { turn: ring };
    check(&[play(ring, 0, &[7]), hush.clone(), play(5, 0, &[8]), end(5, 0)], 2, "8 s5.0 e5.0 0");
    check(&[hush.clone(), play(ring, 0, &[7]), end(ring, 0)], 1, "0");
    let later = format!("9 s{again}.0 e{again}.0");
    check(&[hush, Wish::Hush { turn: 5 }, play(again, 0, &[9]), end(again, 0)], 1, &later);
}

#[test]
fn what_was_taken_of_a_hushed_turn_is_not_told() {
    let mut tape = tape(&[play(1, 0, &[7]), end(1, 0)]);
    tape.fill(&mut [0]);
    tape.handle(Wish::Hush { turn: 1 });
    assert!(tape.left(u64::MAX).is_none() && !tape.is_busy());
}

#[test]
fn an_earcon_sounds_over_speech_and_does_not_delay_it() {
    let mut tape = tape(&[play(1, 0, &[100; 400]), end(1, 0), Wish::Earcon(Earcon::Listening)]);
    let mut out = [0; 400];
    tape.fill(&mut out);
    assert!(out.iter().any(|sample| *sample > 5_000));
    assert!(matches!(tape.left(1), Some(Event::Sounding { turn: 1, clause_idx: 0 })));
    assert!(matches!(tape.left(400), Some(Event::Spoken { .. })));
}

#[test]
fn an_earcon_goes_on_where_the_card_dropped_it() {
    let mut tape = tape(&[Wish::Earcon(Earcon::Error)]);
    let (mut first, mut again) = ([0; 200], [0; 150]);
    tape.fill(&mut first);
    tape.discarded(150);
    tape.fill(&mut again);
    assert_eq!(first[50..], again);
}

#[test]
fn nobody_thinks_after_a_hush() {
    let tape = tape(&[Wish::Earcon(Earcon::Thinking), Wish::Hush { turn: 1 }]);
    assert!(!tape.has_sound());
}

#[test]
fn a_rate_that_no_card_has_is_silence_and_an_end() {
    check(&[Wish::Play { turn: 1, clause_idx: 0, rate: 7, pcm: vec![9; 5] }, end(1, 0)], 1, "0 e1.0");
}

#[test]
fn what_nobody_could_wait_for_is_lost_and_its_end_is_told() {
    let piece = vec![1; RATE as usize];
    let mut tape = tape(&[]);
    for _ in 0..WAITING_SECONDS_MAX + 5 {
        tape.handle(play(1, 0, &piece));
    }
    tape.handle(end(1, 0));
    let mut out = vec![0; (RATE * (WAITING_SECONDS_MAX + 5)) as usize];
    tape.fill(&mut out);
    assert_eq!(tape.n_taken_loud(), u64::from(RATE * WAITING_SECONDS_MAX));
    assert!(matches!(tape.left(u64::MAX), Some(Event::Sounding { .. })));
    assert!(matches!(tape.left(u64::MAX), Some(Event::Spoken { .. })));
}
