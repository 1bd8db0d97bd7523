//! What the stages of a cut model say to each other: frames over TCP.
//!
//! A frame is a head of 24 bytes and a body. The head has the length, the frame's number on its connection and a check
//! of the whole frame; the body's length is held to its kind's limit before memory is asked for, and every field to its
//! own before it is used.
//! Hidden states travel as the floats they are: half of the bits would halve the bytes, and other tokens would come out.
//!
//! Pure: bytes to frames and back. Who may say what, and when, is in `pipe`.

mod body;
mod check;

use body::{Reader, put_frame};
use std::fmt;

/// Of the format; both ends must have the same.
pub const VERSION: u8 = 1;
/// Bytes before the body.
pub const HEAD_BYTES: usize = 24;
/// The longest body that any kind has: a piece of hidden states.
pub const BODY_BYTES_MAX: usize = ROWS_BYTES_MAX + 64 + 4 * ROWS_MAX;
/// Positions in one piece of a prompt.
pub const ROWS_MAX: usize = 512;
/// Floats of one piece, as bytes: 512 positions of a model 8192 wide.
pub const ROWS_BYTES_MAX: usize = 1 << 24;
/// Bytes of the name of a build.
pub const BUILD_BYTES_MAX: usize = 64;
/// Bytes of a grammar, as the engine has it.
pub const GRAMMAR_BYTES_MAX: usize = 1 << 18;
/// Rivals that are told with a token.
pub const RIVALS_MAX: usize = 20;
/// Tokens that were chosen before, of a sequence that is taken up again.
pub const CHOSEN_MAX: usize = 1 << 17;
/// Bytes of the sentence of a fault.
pub const WHY_BYTES_MAX: usize = 400;
pub const SLOTS_MAX: u16 = 64;
pub const STAGES_MAX: u16 = 64;
pub const LAYERS_MAX: u16 = 512;
/// Positions of one sequence.
pub const CTX_MAX: u32 = 1 << 17;
/// Width of a hidden state, as `gguf` takes it.
pub const WIDTH_MAX: u32 = 1 << 17;

const MAGIC: [u8; 2] = *b"dS";

/// The first frame, in both directions: who speaks, for which pipeline, with which layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Builds that differ may round differently, so they do not work together.
    pub build: String,
    /// What the whole model is.
    pub model: [u8; 16],
    /// The same for all stages of one pipeline, and for no other.
    pub key: [u8; 16],
    pub stage_idx: u16,
    pub n_stages: u16,
    /// The layers `first..end` of `of`.
    pub first: u16,
    pub end: u16,
    pub of: u16,
    pub n_embd: u32,
    pub n_ctx: u32,
    pub n_slots: u16,
}

/// How tokens are chosen. Only the last stage looks at it.
#[derive(Clone, Debug, PartialEq)]
pub struct Manner {
    pub temperature: f32,
    pub top_k: u32,
    pub top_p: f32,
    pub min_p: f32,
    pub repeat_penalty: f32,
    pub presence_penalty: f32,
    pub frequency_penalty: f32,
    pub repeat_last: u32,
    pub seed: u32,
    pub grammar: Option<String>,
    /// Rivals told with each token; nothing for no logarithms at all.
    pub top_logprobs: Option<u8>,
}

/// A sequence begins in a slot; what is on its way for the slot's earlier one counts no more.
#[derive(Clone, Debug, PartialEq)]
pub struct Open {
    pub slot: u16,
    /// Grows with each sequence of a slot.
    pub epoch: u32,
    /// Positions that stay from the sequence before.
    pub keep: u32,
    pub manner: Manner,
    /// What was chosen already, when a sequence is taken up again.
    pub chosen: Vec<i32>,
}

/// A piece of a sequence: a part of its prompt, or one step.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    pub slot: u16,
    pub epoch: u32,
    /// The position of the first.
    pub at: u32,
    /// Whether the last stage chooses a token after the last row.
    pub choose: bool,
    /// What the rows were; the sampler looks back on them.
    pub tokens: Vec<i32>,
    /// A hidden state for each token.
    pub hidden: Vec<f32>,
}

/// A piece went through all stages.
#[derive(Clone, Debug, PartialEq)]
pub struct Done {
    pub slot: u16,
    pub epoch: u32,
    /// The position after its last.
    pub end: u32,
    pub chosen: Option<Chosen>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Chosen {
    pub token: i32,
    pub logprob: Option<f32>,
    /// The likeliest first.
    pub rivals: Vec<(i32, f32)>,
}

/// What is wrong, so that the head can do the right thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// What was asked cannot be done.
    Asked,
    /// A stage is gone, or its connection.
    Lost,
    /// The stage itself failed.
    Broken,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The sequence that cannot go on, and its epoch; nothing: the pipeline.
    pub of: Option<(u16, u32)>,
    pub blame: Blame,
    pub why: String,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Frame {
    Hello(Hello),
    Open(Open),
    /// The sequence is over, perhaps before its end; its positions stay for the next.
    Close {
        slot: u16,
        epoch: u32,
    },
    /// Its positions are of no more use.
    Forget {
        slot: u16,
        epoch: u32,
    },
    Rows(Rows),
    Done(Done),
    Fault(Fault),
    /// Nothing is said, and the speaker lives.
    Beat,
}

/// What is wrong with bytes that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireError {
    /// The other speaks something else.
    Magic,
    Version {
        found: u8,
    },
    Kind {
        found: u8,
    },
    /// More than this kind has.
    Length {
        bytes: usize,
        max: usize,
    },
    /// A frame is missing, or came twice.
    Number {
        found: u32,
        want: u32,
    },
    /// The bytes are not those that were sent.
    Check,
    /// The body ends before its fields, or goes on behind them.
    Body,
    /// A field is beyond its limit.
    Field {
        name: &'static str,
    },
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WireError::Magic => f.write_str("this is no stage of ours"),
            WireError::Version { found } => write!(f, "the format is {found}, and here {VERSION}"),
            WireError::Kind { found } => write!(f, "there is no frame of kind {found}"),
            WireError::Length { bytes, max } => {
                write!(f, "a frame of {bytes} bytes, where {max} are the most")
            }
            WireError::Number { found, want } => write!(f, "frame {found} came, where {want} was due"),
            WireError::Check => f.write_str("a frame was damaged on its way"),
            WireError::Body => f.write_str("a frame is shorter or longer than its fields"),
            WireError::Field { name } => write!(f, "{name} is beyond its limit"),
        }
    }
}

impl std::error::Error for WireError {}

/// The head of a frame that is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    kind: u8,
    /// Bytes of the body that follows.
    pub body_bytes: usize,
    number: u32,
    check: u64,
}

impl Head {
    /// Reads a head; the length is within the limit of its kind.
    pub fn read(bytes: &[u8; HEAD_BYTES]) -> Result<Head, WireError> {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        if bytes[..2] != MAGIC {
            return Err(WireError::Magic);
        }
        if bytes[2] != VERSION {
            return Err(WireError::Version { found: bytes[2] });
        }
        let kind = bytes[3];
        let (body_bytes, max) = (word(4) as usize, body::bytes_max(kind)?);
        if body_bytes > max {
            return Err(WireError::Length { bytes: body_bytes, max });
        }
        if word(12) != 0 {
            return Err(WireError::Field { name: "the spare word" });
        }
        let check = u64::from(word(16)) | u64::from(word(20)) << 32;
        Ok(Head { kind, body_bytes, number: word(8), check })
    }
}

/// One direction of a connection: numbers what is sent, or holds what comes to its number.
#[derive(Clone, Debug, Default)]
pub struct Counter {
    next: u32,
}

impl Counter {
    /// The bytes of a frame.
    pub fn encode(&mut self, frame: &Frame) -> Vec<u8> {
        let mut bytes = vec![0; HEAD_BYTES];
        let kind = put_frame(&mut bytes, frame);
        seal(&mut bytes, kind, self.next);
        self.next = self.next.wrapping_add(1);
        bytes
    }

    /// The frame of a head and its body.
    pub fn decode(
        &mut self,
        head: Head,
        head_bytes: &[u8; HEAD_BYTES],
        body: &[u8],
    ) -> Result<Frame, WireError> {
        if body.len() != head.body_bytes {
            return Err(WireError::Body);
        }
        if check::of(&head_bytes[..16], body) != head.check {
            return Err(WireError::Check);
        }
        if head.number != self.next {
            return Err(WireError::Number { found: head.number, want: self.next });
        }
        self.next = self.next.wrapping_add(1);
        Reader::new(body).frame(head.kind)
    }
}

/// Writes the head of a frame whose body stands behind the room for it. Also of a body that says nothing good, so that
/// readers can be tried.
pub fn seal(frame: &mut [u8], kind: u8, number: u32) {
    let (head, body) = frame.split_at_mut(HEAD_BYTES);
    head[..2].copy_from_slice(&MAGIC);
    (head[2], head[3]) = (VERSION, kind);
    head[4..8].copy_from_slice(&(body.len() as u32).to_le_bytes());
    head[8..12].copy_from_slice(&number.to_le_bytes());
    head[12..16].fill(0);
    let check = check::of(&head[..16], body);
    head[16..24].copy_from_slice(&check.to_le_bytes());
}

/// A fault's sentence, cut to what a frame takes.
pub fn sentence(why: &str) -> String {
    let mut end = why.len().min(WHY_BYTES_MAX);
    while !why.is_char_boundary(end) {
        end -= 1;
    }
    why[..end].to_owned()
}

#[cfg(test)]
mod tests {
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
        let chosen = Chosen { token: 8, logprob: Some(-0.5), rivals: vec![(8, -0.5), (9, -1.5)] };
        vec![
            Frame::Hello(hello),
            Frame::Open(Open { slot: 3, epoch: 9, keep: 17, manner, chosen: vec![1, 2, 3] }),
            Frame::Close { slot: 3, epoch: 9 },
            Frame::Forget { slot: 3, epoch: 9 },
            Frame::Rows(rows),
            Frame::Done(Done { slot: 3, epoch: 9, end: 102, chosen: Some(chosen) }),
            Frame::Done(Done { slot: 3, epoch: 9, end: 101, chosen: None }),
            Frame::Fault(Fault { of: Some((3, 9)), blame: Blame::Asked, why: "no".to_owned() }),
            Frame::Fault(Fault { of: None, blame: Blame::Lost, why: String::new() }),
            Frame::Beat,
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
        check_field(open(|o| o.keep = CTX_MAX + 1), 1, "the position");
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
    }
}
