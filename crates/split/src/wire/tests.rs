//! Every frame there and back, and every field beyond its limit.

use super::*;

pub(crate) fn frames() -> Vec<Frame> {
    let hello = Hello {
        build: "0.1.0".to_owned(),
        model: [7; 16],
        key: [9; 16],
        stage_idx: 1,
        n_stages: 3,
        first: 10,
        end: 20,
        of: 30,
        n_embd: 2048,
        n_ctx: 4096,
        n_slots: 4,
    };
    let manner = Manner {
        temperature: 0.7,
        top_k: 40,
        top_p: 0.95,
        min_p: 0.05,
        repeat_penalty: 1.1,
        presence_penalty: 0.5,
        frequency_penalty: -0.5,
        repeat_last: 64,
        seed: 42,
        grammar: Some("root ::= \"yes\"".to_owned()),
        top_logprobs: Some(3),
    };
    let rows = Rows {
        slot: 3,
        epoch: 9,
        at: 100,
        choose: true,
        tokens: vec![5, 6],
        hidden: vec![1.5, -0.0, 3.0, f32::MIN_POSITIVE],
    };
    let chosen = Chosen { token: 8, logprob: Some(-0.5), rivals: vec![(8, -0.5), (9, -1.5)], rolls: 2 };
    let rest = |have| Rest { epoch: 9, have, kept: 17 };
    let left = Left { life: 1 << 60, stages: vec![vec![rest(40), rest(17)], vec![rest(0), Rest::default()]] };
    let starts = vec![17, 40];
    vec![
        Frame::Hello(hello),
        Frame::Open(Open { slot: 3, epoch: 9, starts, known: 40, manner, chosen: vec![1, 2, 3], rolls: 2 }),
        Frame::Close { slot: 3, epoch: 9 },
        Frame::Forget { slot: 3, epoch: 9 },
        Frame::Rows(rows),
        Frame::Done(Done { slot: 3, epoch: 9, end: 102, chosen: Some(chosen) }),
        Frame::Done(Done { slot: 3, epoch: 9, end: 101, chosen: None }),
        Frame::Fault(Fault { of: Some((3, 9)), blame: Blame::Asked, why: "no".to_owned() }),
        Frame::Fault(Fault { of: None, blame: Blame::Lost, why: String::new() }),
        Frame::Beat,
        Frame::Left(Left::default()),
        Frame::Left(left),
    ]
}

fn decode(counter: &mut Counter, bytes: &[u8]) -> Result<Frame, WireError> {
    let (head_bytes, body) = bytes.split_first_chunk::<HEAD_BYTES>().ok_or(WireError::Body)?;
    counter.decode(Head::read(head_bytes)?, head_bytes, body)
}

#[test]
fn every_frame_comes_back_as_it_was_sent() {
    let (mut out, mut back) = (Counter::default(), Counter::default());
    for frame in frames() {
        assert_eq!(decode(&mut back, &out.encode(&frame)), Ok(frame));
    }
}

#[test]
fn no_bit_can_change_on_the_way() {
    for frame in frames() {
        let good = Counter::default().encode(&frame);
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&mut Counter::default(), &bad).is_err(), "bit {bit} of {frame:?}");
        }
    }
}

#[test]
fn a_frame_that_is_lost_or_comes_twice_is_an_error() {
    let (mut out, mut back) = (Counter::default(), Counter::default());
    let bytes: Vec<Vec<u8>> = (0..3).map(|_| out.encode(&Frame::Beat)).collect();
    assert_eq!(decode(&mut back, &bytes[0]), Ok(Frame::Beat));
    assert_eq!(decode(&mut back, &bytes[0]), Err(WireError::Number { found: 0, want: 1 }));
    assert_eq!(decode(&mut back, &bytes[2]), Err(WireError::Number { found: 2, want: 1 }));
}

#[test]
fn a_length_beyond_its_kind_is_refused_by_the_head_alone() {
    let mut bytes = Counter::default().encode(&Frame::Beat);
    bytes[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
    let head: &[u8; HEAD_BYTES] = bytes.first_chunk().unwrap();
    assert_eq!(Head::read(head), Err(WireError::Length { bytes: u32::MAX as usize, max: 0 }));
}

/// A frame whose field is beyond its limit is sealed well, and refused.
#[track_caller]
fn check_field(change: impl Fn(&mut Frame), frame_idx: usize, name: &'static str) {
    let mut frame = frames().swap_remove(frame_idx);
    change(&mut frame);
    let got = decode(&mut Counter::default(), &Counter::default().encode(&frame));
    assert_eq!(got, Err(WireError::Field { name }));
}

#[test]
fn every_field_is_held_to_its_limit() {
    let hello = |change: fn(&mut Hello)| {
        move |frame: &mut Frame| {
            if let Frame::Hello(hello) = frame {
                change(hello)
            }
        }
    };
    check_field(hello(|h| h.stage_idx = 3), 0, "the stage");
    check_field(hello(|h| h.n_stages = 1), 0, "the number of stages");
    check_field(hello(|h| h.end = 31), 0, "the layers");
    check_field(hello(|h| h.first = 20), 0, "the layers");
    check_field(hello(|h| h.n_embd = 0), 0, "the width");
    check_field(hello(|h| h.n_ctx = 0), 0, "the context");
    check_field(hello(|h| h.n_slots = 0), 0, "the number of slots");
    check_field(hello(|h| h.build = "\u{7}".to_owned()), 0, "the build");
    let open = |change: fn(&mut Open)| {
        move |frame: &mut Frame| {
            if let Frame::Open(open) = frame {
                change(open)
            }
        }
    };
    check_field(open(|o| o.slot = SLOTS_MAX), 1, "the slot");
    check_field(open(|o| o.starts[1] = CTX_MAX + 1), 1, "the position");
    check_field(open(|o| o.known = CTX_MAX + 1), 1, "the position");
    check_field(open(|o| o.starts.clear()), 1, "the number of stages");
    check_field(open(|o| o.rolls = ROLLS_MAX + 1), 1, "the number of rolls");
    check_field(open(|o| o.manner.temperature = f32::NAN), 1, "the temperature");
    check_field(open(|o| o.manner.top_p = 1.5), 1, "top_p");
    check_field(open(|o| o.manner.top_logprobs = Some(21)), 1, "the number of rivals");
    check_field(open(|o| o.chosen[0] = -1), 1, "a token");
    let rows = |change: fn(&mut Rows)| {
        move |frame: &mut Frame| {
            if let Frame::Rows(rows) = frame {
                change(rows)
            }
        }
    };
    check_field(rows(|r| r.at = CTX_MAX), 4, "the position");
    check_field(rows(|r| r.hidden[1] = f32::INFINITY), 4, "a hidden state");
    check_field(rows(|r| r.hidden.truncate(3)), 4, "the number of floats");
    check_field(rows(|r| r.tokens.clear()), 4, "the number of rows");
    let left = |change: fn(&mut Left)| {
        move |frame: &mut Frame| {
            if let Frame::Left(left) = frame {
                change(left)
            }
        }
    };
    check_field(left(|l| l.stages[0][1].have = CTX_MAX + 1), 11, "the position");
    check_field(
        left(|l| l.stages = vec![l.stages[0].clone(); STAGES_MAX.into()]),
        11,
        "the number of stages",
    );
    check_field(left(|l| l.stages = vec![vec![Rest::default(); 65]]), 11, "the number of slots");
    check_field(left(|l| l.stages = vec![Vec::new(); 2]), 11, "the number of slots");
}
