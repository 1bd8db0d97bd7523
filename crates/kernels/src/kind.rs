//! The kinds of weights, by ggml's numbers.

/// A kind of weight that has kernels here. The numbers are `ggml_type`'s, and part of the GGUF format.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(non_camel_case_types)] // The names are ggml's.
pub enum Kind {
    F32 = 0,
    F16 = 1,
    Q4_0 = 2,
    Q4_1 = 3,
    Q5_0 = 6,
    Q5_1 = 7,
    Q8_0 = 8,
    Q4_K = 12,
    Q5_K = 13,
    Q6_K = 14,
    IQ4_NL = 20,
    TQ1_0 = 34,
    TQ2_0 = 35,
    Q1_0 = 41,
    Q2_0 = 42,
}

/// One more than the largest number of a kind.
pub(crate) const KINDS: usize = 43;

impl Kind {
    pub const ALL: [Kind; 15] = [
        Kind::F32,
        Kind::F16,
        Kind::Q4_0,
        Kind::Q4_1,
        Kind::Q5_0,
        Kind::Q5_1,
        Kind::Q8_0,
        Kind::Q4_K,
        Kind::Q5_K,
        Kind::Q6_K,
        Kind::IQ4_NL,
        Kind::TQ1_0,
        Kind::TQ2_0,
        Kind::Q1_0,
        Kind::Q2_0,
    ];

    /// The kind that ggml gives this number.
    pub fn of(number: i32) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| *kind as i32 == number)
    }

    /// Bytes and weights of one block of the file.
    pub const fn block(self) -> (usize, usize) {
        match self {
            Kind::F32 => (4, 1),
            Kind::F16 => (2, 1),
            Kind::Q4_0 => (18, 32),
            Kind::Q4_1 => (20, 32),
            Kind::Q5_0 => (22, 32),
            Kind::Q5_1 => (24, 32),
            Kind::Q8_0 => (34, 32),
            Kind::Q4_K => (144, 256),
            Kind::Q5_K => (176, 256),
            Kind::Q6_K => (210, 256),
            Kind::IQ4_NL => (18, 32),
            Kind::TQ1_0 => (54, 256),
            Kind::TQ2_0 => (66, 256),
            Kind::Q1_0 => (18, 128),
            Kind::Q2_0 => (18, 64),
        }
    }
}
