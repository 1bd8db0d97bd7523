//! The types of tensors: id, name, weights in a block, bytes of a block. As ggml has them, read from its headers.

use std::fmt;

macro_rules! kinds {
    ($($name:ident = $id:literal, $text:literal, $block:literal weights, $bytes:literal bytes;)*) => {
        /// How the weights of a tensor are stored.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(non_camel_case_types)] // The names of the format itself.
        pub enum Kind { $($name = $id),* }

        impl Kind {
            /// Every type that a file may hold.
            pub const ALL: &[Kind] = &[$(Kind::$name),*];

            pub fn from_id(id: u32) -> Option<Kind> {
                match id { $($id => Some(Kind::$name),)* _ => None }
            }

            /// The name by which people and ggml call it, in lower case but for the K.
            pub fn name(self) -> &'static str {
                match self { $(Kind::$name => $text),* }
            }

            /// Weights in one block. Rows are whole blocks.
            pub fn block(self) -> u64 {
                match self { $(Kind::$name => $block),* }
            }

            /// Bytes of one block.
            pub fn block_bytes(self) -> u64 {
                match self { $(Kind::$name => $bytes),* }
            }
        }
    };
}

kinds! {
    F32 = 0, "f32", 1 weights, 4 bytes;
    F16 = 1, "f16", 1 weights, 2 bytes;
    Q4_0 = 2, "q4_0", 32 weights, 18 bytes;
    Q4_1 = 3, "q4_1", 32 weights, 20 bytes;
    Q5_0 = 6, "q5_0", 32 weights, 22 bytes;
    Q5_1 = 7, "q5_1", 32 weights, 24 bytes;
    Q8_0 = 8, "q8_0", 32 weights, 34 bytes;
    Q8_1 = 9, "q8_1", 32 weights, 36 bytes;
    Q2_K = 10, "q2_K", 256 weights, 84 bytes;
    Q3_K = 11, "q3_K", 256 weights, 110 bytes;
    Q4_K = 12, "q4_K", 256 weights, 144 bytes;
    Q5_K = 13, "q5_K", 256 weights, 176 bytes;
    Q6_K = 14, "q6_K", 256 weights, 210 bytes;
    Q8_K = 15, "q8_K", 256 weights, 292 bytes;
    IQ2_XXS = 16, "iq2_xxs", 256 weights, 66 bytes;
    IQ2_XS = 17, "iq2_xs", 256 weights, 74 bytes;
    IQ3_XXS = 18, "iq3_xxs", 256 weights, 98 bytes;
    IQ1_S = 19, "iq1_s", 256 weights, 50 bytes;
    IQ4_NL = 20, "iq4_nl", 32 weights, 18 bytes;
    IQ3_S = 21, "iq3_s", 256 weights, 110 bytes;
    IQ2_S = 22, "iq2_s", 256 weights, 82 bytes;
    IQ4_XS = 23, "iq4_xs", 256 weights, 136 bytes;
    I8 = 24, "i8", 1 weights, 1 bytes;
    I16 = 25, "i16", 1 weights, 2 bytes;
    I32 = 26, "i32", 1 weights, 4 bytes;
    I64 = 27, "i64", 1 weights, 8 bytes;
    F64 = 28, "f64", 1 weights, 8 bytes;
    IQ1_M = 29, "iq1_m", 256 weights, 56 bytes;
    BF16 = 30, "bf16", 1 weights, 2 bytes;
    TQ1_0 = 34, "tq1_0", 256 weights, 54 bytes;
    TQ2_0 = 35, "tq2_0", 256 weights, 66 bytes;
    MXFP4 = 39, "mxfp4", 32 weights, 17 bytes;
    NVFP4 = 40, "nvfp4", 64 weights, 36 bytes;
    Q1_0 = 41, "q1_0", 128 weights, 18 bytes;
    Q2_0 = 42, "q2_0", 64 weights, 18 bytes;
}

impl Kind {
    pub fn id(self) -> u32 {
        self as u32
    }

    /// By its name, whatever the case.
    pub fn from_name(name: &str) -> Option<Kind> {
        Kind::ALL.iter().copied().find(|kind| kind.name().eq_ignore_ascii_case(name))
    }

    /// Bytes of `n` weights that lie in a row; `None` if they are no whole blocks, or too many.
    pub fn bytes_of(self, n: u64) -> Option<u64> {
        if !n.is_multiple_of(self.block()) {
            return None;
        }
        (n / self.block()).checked_mul(self.block_bytes())
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_names_lead_back_to_their_type() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_id(kind.id()), Some(*kind));
            assert_eq!(Kind::from_name(&kind.name().to_uppercase()), Some(*kind));
        }
    }

    #[test]
    fn removed_and_unknown_ids_are_no_types() {
        for id in [4, 5, 31, 32, 33, 36, 37, 38, 43, 142, u32::MAX] {
            assert_eq!(Kind::from_id(id), None, "{id}");
        }
    }

    #[test]
    fn part_blocks_have_no_size() {
        assert_eq!(Kind::Q1_0.bytes_of(2048), Some(288));
        assert_eq!(Kind::Q1_0.bytes_of(64), None);
        assert_eq!(Kind::F64.bytes_of(u64::MAX), None);
    }
}
