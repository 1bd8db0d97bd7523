//! What frames say. Which numbers a field may have is held where it is read.

use super::WHY_BYTES_MAX;

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
    /// For each stage behind the head: where the first row that comes to it begins. What it has before stays.
    pub starts: Vec<u32>,
    /// Positions that went through all stages; nothing more is chosen after them.
    pub known: u32,
    pub manner: Manner,
    /// What was chosen already, when a sequence is taken up again.
    pub chosen: Vec<i32>,
    /// How often the dice fell for it.
    pub rolls: u32,
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
    /// How often the dice fell for it.
    pub rolls: u8,
}

/// What the stages still have: the head of a ring that was just closed asks, and each stage adds itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Of the head's process. What was left of another's sequences is of no use.
    pub life: u64,
    /// Of each stage so far, each slot.
    pub stages: Vec<Vec<Rest>>,
}

/// What a stage has of a slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rest {
    /// Of the sequence that was computed last; 0 for none.
    pub epoch: u32,
    /// Positions in the cache.
    pub have: u32,
    /// Positions whose hidden states can be handed on once more, from the first on.
    pub kept: u32,
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
    Left(Left),
    /// Nothing is said, and the speaker lives.
    Beat,
}

/// A fault's sentence, cut to what a frame takes.
pub fn sentence(why: &str) -> String {
    let mut end = why.len().min(WHY_BYTES_MAX);
    while !why.is_char_boundary(end) {
        end -= 1;
    }
    why[..end].to_owned()
}
