//! Small models for tests.

use super::{Shape, check};
use std::io::Cursor;
use std::sync::OnceLock;

#[path = "../../../../image/src/bench/stt/forge.rs"]
pub mod forge;

const SMALL: forge::Form = forge::Form { n_state: 32, n_head: 2, n_layer: 1, n_text_ctx: 32 };

pub fn file(kind: forge::Kind) -> Vec<u8> {
    let mut bytes = vec![];
    forge::write(&mut bytes, &SMALL, kind, 1).expect("a vector takes every byte");
    bytes
}

/// The one that most tests begin with, made once.
pub fn q8_0() -> Vec<u8> {
    static FILE: OnceLock<Vec<u8>> = OnceLock::new();
    FILE.get_or_init(|| file(forge::Kind::Q8_0)).clone()
}

pub fn shape() -> Shape {
    let bytes = q8_0();
    check(Cursor::new(&bytes), bytes.len() as u64).expect("it is a model").shape
}
