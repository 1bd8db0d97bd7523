//! The weight formats of ggml.

#![allow(non_camel_case_types)] // The names are ggml's.

mod k;
mod legacy;

pub(crate) use k::{Q4_K, Q5_K, Q6_K, scale_and_minimum};
pub(crate) use legacy::{IQ4_NL, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, STEPS};
