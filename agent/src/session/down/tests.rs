//! The queue in a story: what goes down, and what counts as heard.

use super::*;

fn at(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn story(queue: &mut Queue) -> Vec<String> {
    let word = |down| match down {
        Down::Sound(bytes) => format!("{} bytes", bytes.len()),
        Down::Word(word) => serde_json::to_string(&word).unwrap(),
    };
    std::iter::from_fn(|| queue.pop()).map(word).collect()
}

#[test]
fn a_clause_is_named_once_and_its_sound_follows() {
    let mut queue = Queue::default();
    queue.play(at(0), (1, 0), 1000, &[1; 50]);
    queue.play(at(1), (1, 0), 1000, &[1; 50]);
    queue.end(1, 0);
    let want = [
        r#"{"kind":"clause","turn":1,"clause":0,"rate":1000}"#,
        "100 bytes",
        "100 bytes",
        r#"{"kind":"clause-end","turn":1,"clause":0}"#,
    ];
    assert_eq!(story(&mut queue), want);
}

#[test]
fn clauses_sound_one_after_the_other_for_as_long_as_they_are() {
    let mut queue = Queue::default();
    queue.play(at(0), (1, 0), 1000, &[0; 100]);
    queue.end(1, 0);
    queue.play(at(10), (1, 1), 1000, &[0; 50]);
    assert_eq!(queue.heard(at(10)), Some(Heard::Sounding { turn: 1, clause_idx: 0 }));
    assert_eq!((queue.heard(at(99)), queue.deadline()), (None, Some(at(100))));
    assert_eq!(queue.heard(at(100)), Some(Heard::Spoken { turn: 1, clause_idx: 0 }));
    assert_eq!(queue.heard(at(100)), Some(Heard::Sounding { turn: 1, clause_idx: 1 }));
    // It is not whole, so it may go on.
    assert_eq!((queue.heard(at(500)), queue.deadline()), (None, None));
    queue.play(at(500), (1, 1), 1000, &[0; 50]);
    queue.end(1, 1);
    assert_eq!(queue.heard(at(549)), None);
    assert_eq!(queue.heard(at(550)), Some(Heard::Spoken { turn: 1, clause_idx: 1 }));
}

#[test]
fn a_clause_is_spoken_when_the_client_has_played_it_and_not_when_that_is_reckoned() {
    let spoken = |clause_idx| Some(Heard::Spoken { turn: 1, clause_idx });
    let mut queue = Queue::new(true);
    queue.play(at(0), (1, 0), 1000, &[0; 100]);
    // Nobody can have played what is not whole.
    queue.played(1, 0);
    queue.end(1, 0);
    queue.play(at(10), (1, 1), 1000, &[0; 50]);
    queue.end(1, 1);
    assert_eq!(queue.heard(at(0)), Some(Heard::Sounding { turn: 1, clause_idx: 0 }));
    assert_eq!(queue.heard(at(4000)), None);
    queue.played(1, 0);
    assert_eq!((queue.heard(at(4000)), queue.heard(at(4000)).is_some()), (spoken(0), true));
    // A client that says nothing is waited for only so long.
    let late = at(150) + PLAYED_LATE_MAX;
    assert_eq!((queue.heard(at(4000)), queue.deadline()), (None, Some(late)));
    assert_eq!(queue.heard(late), spoken(1));
    queue.played(9, 9);
}

#[test]
fn a_hush_throws_away_what_waits_and_says_so() {
    let mut queue = Queue::default();
    queue.play(at(0), (3, 0), 1000, &[0; 100]);
    queue.earcon(Earcon::Listening);
    queue.hush(3);
    let want = [r#"{"kind":"earcon","earcon":"listening"}"#, r#"{"kind":"hush","turn":3}"#];
    assert_eq!(story(&mut queue), want);
    assert_eq!((queue.heard(at(900)), queue.deadline()), (None, None));
}

#[test]
fn a_hush_finds_room_where_earcons_are_lost() {
    let mut queue = Queue::default();
    for _ in 0..3 * QUEUE_MAX {
        queue.earcon(Earcon::Listening);
        queue.hush(3);
        queue.word(Word::Microphone { is_wanted: true });
    }
    queue.word(Word::Microphone { is_wanted: false });
    queue.hush(4);
    let told = story(&mut queue);
    assert!(told.len() <= 2 * QUEUE_MAX + 2, "{}", told.len());
    let last = [r#"{"kind":"microphone","is_wanted":false}"#, r#"{"kind":"hush","turn":4}"#];
    assert_eq!(told[told.len() - 2..], last);
}

#[test]
fn a_wire_that_takes_nothing_loses_sound_and_costs_no_memory() {
    let mut queue = Queue::default();
    for _ in 0..4000 {
        queue.play(at(0), (1, 0), 22_050, &[0; 882]);
    }
    queue.end(1, 0);
    let n_bytes: usize =
        queue.waiting.iter().map(|down| matches!(down, Down::Sound(_)) as usize * 1764).sum();
    assert!(n_bytes <= QUEUE_BYTES_MAX && queue.n_lost() > 0);
    // It is spoken all the same, when its time is over.
    assert_eq!(queue.heard(at(0)), Some(Heard::Sounding { turn: 1, clause_idx: 0 }));
    assert_eq!(queue.heard(at(170_000)), Some(Heard::Spoken { turn: 1, clause_idx: 0 }));
}
