//! The weight formats of ggml.

mod legacy;

pub(crate) use legacy::{Q4_0, Q8_0};
