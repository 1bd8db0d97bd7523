//! The kinds of frames, and how long each may be.

use super::{
    BODY_BYTES_MAX, BUILD_BYTES_MAX, CHOSEN_MAX, GRAMMAR_BYTES_MAX, RIVALS_MAX, SLOTS_MAX, STAGES_MAX,
    WHY_BYTES_MAX, WireError,
};

pub(super) const HELLO: u8 = 1;
pub(super) const OPEN: u8 = 2;
pub(super) const CLOSE: u8 = 3;
pub(super) const FORGET: u8 = 4;
pub(super) const ROWS: u8 = 5;
pub(super) const DONE: u8 = 6;
pub(super) const FAULT: u8 = 7;
pub(super) const BEAT: u8 = 8;
pub(super) const LEFT: u8 = 9;

/// Bytes of what a stage has of a slot.
pub(super) const REST_BYTES: usize = 12;

/// The longest body of a kind.
pub(super) fn bytes_max(kind: u8) -> Result<usize, WireError> {
    Ok(match kind {
        HELLO => 64 + 2 + BUILD_BYTES_MAX,
        OPEN => 72 + 4 * STAGES_MAX as usize + GRAMMAR_BYTES_MAX + 4 + 4 * CHOSEN_MAX,
        CLOSE | FORGET => 6,
        ROWS => BODY_BYTES_MAX,
        DONE => 33 + 8 * RIVALS_MAX,
        FAULT => 16 + WHY_BYTES_MAX,
        BEAT => 0,
        LEFT => 12 + REST_BYTES * STAGES_MAX as usize * SLOTS_MAX as usize,
        found => return Err(WireError::Kind { found }),
    })
}
