//! What a model needs of a node's memory: weights, caches, and what computing takes; in whole numbers that cannot overflow.
//!
//! The figures beside weights and caches were measured as memory that rpc-worker alone has (`RssAnon`) after every
//! conversation was filled, with models 64 to 4096 wide, of 1000 and of 151,936 tokens, up to 65,536 positions.
//! A test of rpc-worker holds plan and program to each other.

use super::{Model, Role};
use crate::expert::{Expert, Purpose, positions_of};
use crate::pipe::{AHEAD_MAX, KEPT_BYTES_MAX};

/// Rows of one batch of a whole model: a piece of a prompt, and a token of each running answer.
pub const WHOLE_ROWS: u32 = 192;
/// Rows of a piece that goes through a ring: few enough that a prompt of some hundred tokens keeps every stage busy.
pub const RING_ROWS: u32 = 64;
/// Positions of the beginning that all conversations of a whole model share, and no more than a quarter of one.
pub const BEGINNING_MAX: u32 = 512;
/// llama.cpp makes caches of whole pieces of so many positions.
const POSITIONS_STEP: u64 = 256;
/// What the library notes of each position: who is there.
const POSITION_BYTES: u64 = 52;
/// The mask of attention has a 16-bit number for each row and position.
const MASK_BYTES: u64 = 2;
/// Between two layers, and between two stages, a number is a 32-bit float.
const NUMBER_BYTES: u64 = 4;
/// Of a token: its text, its number by its text, and the merge that makes it; 383 to 393 were measured.
const TOKEN_BYTES: u64 = 400;
/// Of a token for each conversation: its logit, and its place among those to choose from.
const CHOICE_BYTES: u64 = 16;
/// Threads, and what the allocator keeps.
const BASE_BYTES: u64 = 4 << 20;

/// Positions of the beginning that conversations of `n_ctx` positions share.
pub fn beginning_max(n_ctx: u32) -> u32 {
    n_ctx.div_ceil(4).min(BEGINNING_MAX)
}

/// The conversations that a model is held for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Talks {
    pub purpose: Purpose,
    /// Positions of one that are asked for.
    pub n_ctx: u32,
    pub n_slots: u32,
}

impl Talks {
    pub fn of(expert: &Expert) -> Talks {
        Talks { purpose: expert.purpose, n_ctx: expert.context, n_slots: expert.slots }
    }

    fn positions(self, model: &Model) -> u32 {
        positions_of(self.purpose, self.n_ctx, model.n_ctx_trained.into())
    }
}

/// How a model is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Whole,
    Stage(Role),
}

/// Of a whole model.
pub fn whole_weights(model: &Model) -> u64 {
    model.layers().saturating_add(model.embedding_bytes).saturating_add(model.head_bytes)
}

/// Of a whole model, all but its weights.
pub fn whole_beside(model: &Model, talks: Talks) -> u64 {
    let caches = layer_cache(model, talks, How::Whole).saturating_mul(u64::from(model.n_layers()));
    caches.saturating_add(computing(model, talks, How::Whole))
}

/// Of the file with any `n` layers: all count like the largest, so that any of them fit.
pub fn stage_weights(model: &Model, n: u32, role: Role) -> u64 {
    let end = match role {
        Role::First => model.embedding_bytes,
        Role::Middle => 0,
        Role::Last => model.head(),
    };
    largest(model).saturating_mul(u64::from(n)).saturating_add(end)
}

/// Of a stage, all but its file.
pub fn stage_beside(model: &Model, talks: Talks, n: u32, role: Role) -> u64 {
    let caches = layer_cache(model, talks, How::Stage(role)).saturating_mul(u64::from(n));
    caches.saturating_add(computing(model, talks, How::Stage(role)))
}

pub fn layers_that_fit(model: &Model, talks: Talks, free: u64, role: Role) -> u32 {
    let once = stage_weights(model, 0, role).saturating_add(stage_beside(model, talks, 0, role));
    let each = largest(model).saturating_add(layer_cache(model, talks, How::Stage(role))).max(1);
    u32::try_from(free.saturating_sub(once) / each).unwrap_or(u32::MAX).min(model.n_layers())
}

fn largest(model: &Model) -> u64 {
    model.layer_bytes.iter().copied().max().unwrap_or(0)
}

/// Positions that are made, of all conversations.
fn positions(model: &Model, talks: Talks, how: How) -> u64 {
    let n_ctx = talks.positions(model);
    let each = u64::from(n_ctx);
    let all = match (talks.purpose, how) {
        // One text after the other.
        (Purpose::Embeddings, _) => each,
        (Purpose::Chat, How::Whole) => each * u64::from(talks.n_slots) + u64::from(beginning_max(n_ctx)),
        (Purpose::Chat, How::Stage(_)) => each * u64::from(talks.n_slots),
    };
    all.next_multiple_of(POSITIONS_STEP)
}

fn layer_cache(model: &Model, talks: Talks, how: How) -> u64 {
    // A model that makes vectors looks at a text once.
    if talks.purpose == Purpose::Embeddings {
        return 0;
    }
    model.kv_bytes.saturating_mul(positions(model, talks, how))
}

/// Whatever does not grow with the layers, and the file of the shared beginning.
fn computing(model: &Model, talks: Talks, how: How) -> u64 {
    let n_ctx = talks.positions(model);
    let (slots, n_vocab) = (u64::from(talks.n_slots), u64::from(model.n_vocab));
    let (width, inner) = (u64::from(model.width), u64::from(model.inner));
    let rows = match (talks.purpose, how) {
        (Purpose::Embeddings, _) => u64::from(n_ctx),
        (Purpose::Chat, How::Whole) => WHOLE_ROWS.into(),
        (Purpose::Chat, How::Stage(_)) => RING_ROWS.into(),
    };
    let of_positions = positions(model, talks, how).saturating_mul(POSITION_BYTES + MASK_BYTES * rows);
    let of_rows = rows.saturating_mul(NUMBER_BYTES * (2 * inner + 3 * width));
    let reads_text = n_vocab * TOKEN_BYTES;
    let chooses = n_vocab * CHOICE_BYTES * slots;
    let of_place = match (talks.purpose, how) {
        // The library makes room for the logits of every row, too.
        (Purpose::Embeddings, _) => reads_text + rows.saturating_mul(NUMBER_BYTES * n_vocab),
        (Purpose::Chat, How::Whole) => {
            let file = u64::from(beginning_max(n_ctx)).saturating_mul(model.kv_bytes);
            file.saturating_mul(model.n_layers().into()).saturating_add(reads_text + chooses)
        }
        (Purpose::Chat, How::Stage(Role::First)) => reads_text + kept(width, n_ctx, slots),
        // It has a vocabulary of bytes.
        (Purpose::Chat, How::Stage(Role::Middle)) => kept(width, n_ctx, slots),
        (Purpose::Chat, How::Stage(Role::Last)) => reads_text + chooses,
    };
    of_positions.saturating_add(of_rows).saturating_add(of_place).saturating_add(BASE_BYTES)
}

/// Hidden states that a stage keeps in case the next is lost, and those that are on their way.
fn kept(width: u64, n_ctx: u32, slots: u64) -> u64 {
    let row = width * NUMBER_BYTES;
    let kept = row.saturating_mul(u64::from(n_ctx) * slots).min(KEPT_BYTES_MAX as u64);
    kept + row * u64::from(RING_ROWS) * AHEAD_MAX as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn expert(lines: &str) -> Expert {
        let text = format!("name = \"e\"\nmodel = \"m.gguf\"\nquantisation = \"Q4_0\"\n{lines}");
        Expert::parse(&text).unwrap()
    }

    /// What was measured of rpc-worker, in MiB, and what is reckoned: no less, and 10 MiB more at most.
    fn check(width: u32, inner: u32, n_vocab: u32, kv_bytes: u64, lines: &str, measured: f64) {
        let model = Model {
            layer_bytes: vec![MIB; 2],
            kv_bytes,
            width,
            inner,
            n_vocab,
            n_ctx_trained: 131_072,
            ..Model::default()
        };
        let expert = expert(lines);
        let file = u64::from(beginning_max(expert.context)) * kv_bytes * 2;
        let reckoned = (whole_beside(&model, Talks::of(&expert)) - file) as f64 / MIB as f64;
        assert!((0.0..10.0).contains(&(reckoned - measured)), "{reckoned:.1} MiB for {measured} MiB");
    }

    #[test]
    fn what_is_reckoned_is_what_was_measured() {
        let two_thousand = "context = 2048\n";
        check(2048, 6144, 151_936, 2176, two_thousand, 81.8);
        check(2048, 6144, 1000, 2176, two_thousand, 26.3);
        check(256, 512, 151_936, 272, two_thousand, 61.3);
        check(4096, 12_288, 1000, 2176, two_thousand, 38.3);
        check(64, 128, 1000, 68, "context = 65536\n", 36.2);
        check(64, 128, 1000, 68, "context = 16384\nslots = 4\n", 33.7);
        check(384, 1536, 30_522, 0, "context = 512\nuse = \"embeddings\"\n", 76.9);
    }

    #[test]
    fn a_model_is_reckoned_for_no_more_positions_than_it_was_trained_for() {
        let model = |n_ctx_trained| Model {
            layer_bytes: vec![MIB; 4],
            kv_bytes: 1000,
            n_ctx_trained,
            ..Model::default()
        };
        let [long, short] = ["context = 8192\n", "context = 512\n"].map(expert);
        assert_eq!(whole_beside(&model(512), Talks::of(&long)), whole_beside(&model(512), Talks::of(&short)));
        assert!(whole_beside(&model(8192), Talks::of(&long)) > whole_beside(&model(512), Talks::of(&long)));
        for role in [Role::First, Role::Middle, Role::Last] {
            let beside = |trained, expert| stage_beside(&model(trained), Talks::of(expert), 3, role);
            assert_eq!(beside(512, &long), beside(512, &short));
            assert!(beside(0, &long) > beside(512, &long), "nobody knows what it was trained for");
        }
    }

    #[test]
    fn as_many_layers_fit_as_have_room_and_no_more() {
        let model = Model {
            layer_bytes: vec![7 * MIB; 40],
            embedding_bytes: 60 * MIB,
            kv_bytes: 2176,
            width: 2048,
            inner: 6144,
            n_vocab: 151_936,
            ..Model::default()
        };
        let expert = expert("context = 2048\nslots = 2\n");
        for role in [Role::First, Role::Middle, Role::Last] {
            for free in [100, 150, 200, 300].map(|mib| mib * MIB) {
                let n = layers_that_fit(&model, Talks::of(&expert), free, role);
                let need =
                    |n| stage_weights(&model, n, role) + stage_beside(&model, Talks::of(&expert), n, role);
                assert!(n == 0 || need(n) <= free, "{role:?} {free}");
                assert!(n == 40 || need(n + 1) > free, "{role:?} {free}");
            }
        }
    }

    #[test]
    fn no_number_of_a_stranger_overflows() {
        let model = Model {
            layer_bytes: vec![u64::MAX; 3],
            embedding_bytes: u64::MAX,
            kv_bytes: u64::MAX,
            width: u32::MAX,
            inner: u32::MAX,
            n_vocab: u32::MAX,
            ..Model::default()
        };
        let expert = expert("context = 65536\nslots = 2\n");
        assert_eq!(whole_weights(&model).saturating_add(whole_beside(&model, Talks::of(&expert))), u64::MAX);
        assert_eq!(layers_that_fit(&model, Talks::of(&expert), 1 << 40, Role::First), 0);
    }
}
