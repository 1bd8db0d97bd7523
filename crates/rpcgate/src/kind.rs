//! The types of numbers, as ggml numbers them: how many are in a block, and how many bytes a block takes.

/// One type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    pub number: u32,
    /// Numbers in a block.
    pub block: u64,
    /// Bytes of a block.
    pub bytes: u64,
    /// What may be done with it.
    uses: u8,
}

/// Rows can be multiplied by and taken from.
const WEIGHT: u8 = 1;
/// Floats can be written into it, as into a cache.
const CACHE: u8 = 2;

const fn kind(number: u32, block: u64, bytes: u64, uses: u8) -> Kind {
    Kind { number, block, bytes, uses }
}

/// All that this version has. Numbers that are missing were taken out of ggml.
pub const KINDS: [Kind; 35] = [
    kind(F32, 1, 4, WEIGHT | CACHE),
    kind(F16, 1, 2, WEIGHT | CACHE),
    kind(2, 32, 18, WEIGHT | CACHE),
    kind(3, 32, 20, WEIGHT | CACHE),
    kind(6, 32, 22, WEIGHT | CACHE),
    kind(7, 32, 24, WEIGHT | CACHE),
    kind(8, 32, 34, WEIGHT | CACHE),
    kind(9, 32, 36, 0),
    kind(10, 256, 84, WEIGHT),
    kind(11, 256, 110, WEIGHT),
    kind(12, 256, 144, WEIGHT),
    kind(13, 256, 176, WEIGHT),
    kind(14, 256, 210, WEIGHT),
    kind(15, 256, 292, 0),
    kind(16, 256, 66, WEIGHT),
    kind(17, 256, 74, WEIGHT),
    kind(18, 256, 98, WEIGHT),
    kind(19, 256, 50, WEIGHT),
    kind(20, 32, 18, WEIGHT | CACHE),
    kind(21, 256, 110, WEIGHT),
    kind(22, 256, 82, WEIGHT),
    kind(23, 256, 136, WEIGHT),
    kind(24, 1, 1, 0),
    kind(25, 1, 2, 0),
    kind(I32, 1, 4, 0),
    kind(I64, 1, 8, 0),
    kind(28, 1, 8, 0),
    kind(29, 256, 56, WEIGHT),
    kind(BF16, 1, 2, WEIGHT | CACHE),
    kind(34, 256, 54, WEIGHT),
    kind(35, 256, 66, WEIGHT),
    kind(39, 32, 17, WEIGHT),
    kind(40, 64, 36, WEIGHT),
    kind(41, 128, 18, WEIGHT),
    kind(42, 64, 18, WEIGHT),
];

pub(crate) const F32: u32 = 0;
pub(crate) const F16: u32 = 1;
pub(crate) const I32: u32 = 26;
pub(crate) const I64: u32 = 27;
pub(crate) const BF16: u32 = 30;

impl Kind {
    pub(crate) fn of(number: u32) -> Option<Kind> {
        KINDS.into_iter().find(|kind| kind.number == number)
    }

    pub(crate) fn is_weight(self) -> bool {
        self.uses & WEIGHT != 0
    }

    pub(crate) fn is_cache(self) -> bool {
        self.uses & CACHE != 0
    }

    pub(crate) fn is_quantised(self) -> bool {
        self.block > 1
    }
}
