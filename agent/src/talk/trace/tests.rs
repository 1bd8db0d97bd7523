//! Traces of turns that went well and of those that did not.

use super::*;

fn report() -> Report {
    let mut turns = voice::turn::Turns::new(voice::turn::Rules::default());
    turns.handle(Duration::from_secs(1), voice::turn::Input::Press);
    turns.handle(Duration::from_secs(2), voice::turn::Input::Release);
    let done = std::iter::from_fn(|| turns.poll()).find_map(|wish| match wish {
        voice::turn::Output::Done(report) => Some(report),
        _ => None,
    });
    done.unwrap()
}

fn check(ends: [Option<u64>; 5], ended: u64, want: &str) {
    let [released, heard, first_word, first_clause, first_sound] =
        ends.map(|end| end.map(Duration::from_millis));
    let ended = Some(Duration::from_millis(ended));
    let began = Duration::ZERO;
    let report = Report { began, released, heard, first_word, first_clause, first_sound, ended, ..report() };
    let trace = Draft::default().done(1, "here", 0, &report);
    let shown: Vec<String> =
        trace.took.iter().map(|took| format!("{} {}", took.stage.as_str(), took.ms)).collect();
    assert_eq!(shown.join(", "), want);
}

#[test]
fn stages_follow_each_other_and_the_last_ends_with_the_turn() {
    check(
        [Some(900), Some(1200), Some(1300), Some(1350), Some(1400)],
        3000,
        "listen 900, hear 300, answer 100, clause 50, voice 50, speak 1600",
    );
    check([Some(900), Some(1200), None, None, None], 5000, "listen 900, hear 300, answer 3800");
    check([None; 5], 700, "listen 700");
}

#[test]
fn the_slowest_stage_is_one_that_somebody_waited_for() {
    let at = |ms: u64| Some(Duration::from_millis(ms));
    let report = Report {
        began: Duration::ZERO,
        released: at(9000),
        heard: at(9300),
        first_word: at(9500),
        first_clause: at(9600),
        first_sound: at(9650),
        ended: at(20_000),
        ..report()
    };
    let trace = Draft::default().done(1, "here", 0, &report);
    assert_eq!(trace.slowest(), Some(Took { stage: Stage::Hear, ms: 300.0 }));
    assert_eq!(trace.silence_ms, Some(650.0));
}

#[test]
fn notes_are_bounded_and_texts_are_private() {
    let mut draft = Draft::default();
    for _ in 0..1000 {
        draft.by(&"b".repeat(1000));
        draft.trouble("t");
        draft.words("ä and more ");
    }
    draft.said(&"ä".repeat(1000));
    let mut ring = Ring::default();
    let trace = draft.done(1, "here", 0, &report());
    assert_eq!((trace.by.len(), trace.by[0].len(), trace.troubles.len()), (8, 300, 8));
    assert!(trace.answer.as_ref().is_some_and(|answer| answer.len() <= ANSWER_BYTES_MAX));
    let open = serde_json::to_string(&trace).unwrap();
    let closed = serde_json::to_string(&trace.closed()).unwrap();
    assert!(
        open.contains("ää") && open.contains("more") && !closed.contains('ä') && !closed.contains("more")
    );
    (0..100).for_each(|turn| ring.add(Trace { turn, ..trace.clone() }));
    assert_eq!((ring.iter().count(), ring.iter().next().map(|trace| trace.turn)), (64, Some(36)));
}
