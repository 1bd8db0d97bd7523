//! Weights of one and two bits, and of three values: Q1_0, Q2_0, TQ1_0, TQ2_0.

mod formats;

pub(crate) use formats::{Q1_0, Q2_0, TQ1_0, TQ2_0};
