//! What the reader takes, and what it refuses.

use super::*;
use std::io::Cursor;
use std::sync::OnceLock;

/// The one that most tests begin with, made once.
fn q8_0() -> Vec<u8> {
    static FILE: OnceLock<Vec<u8>> = OnceLock::new();
    FILE.get_or_init(|| forge::small(forge::Kind::Q8_0)).clone()
}

fn of(bytes: &[u8]) -> Result<Model, ModelError> {
    check(Cursor::new(bytes), bytes.len() as u64)
}

/// A small model with some bytes changed, and what the reader says of it.
#[track_caller]
fn refused(change: impl Fn(&mut Vec<u8>), want: &str) {
    let mut bytes = q8_0();
    change(&mut bytes);
    match of(&bytes) {
        Ok(_) => panic!("it was taken, but should be refused: {want}"),
        Err(error) => assert_eq!(error.to_string(), want),
    }
}

fn set(at: usize, value: u32) -> impl Fn(&mut Vec<u8>) {
    move |bytes| bytes[at..at + 4].copy_from_slice(&value.to_le_bytes())
}

/// Where the first tensor's head begins.
fn first_tensor(bytes: &[u8]) -> usize {
    let name = b"encoder.positional_embedding";
    bytes.windows(name.len()).position(|window| window == name).unwrap() - 20
}

#[test]
fn a_model_of_each_type_is_taken() {
    for kind in forge::Kind::ALL {
        let bytes = forge::small(kind);
        let model = of(&bytes).unwrap();
        assert_eq!(model.shape.weights.name, kind.name());
        assert_eq!((model.blank, model.filters.len(), model.bytes), (220, 80 * BINS, bytes.len() as u64));
    }
}

#[test]
fn each_number_of_the_head_is_held_to_its_limits() {
    let number = |what: &str, value: u64, must: &str| {
        format!("the model says that {what} is {value}, which must be {must}")
    };
    refused(set(0, 0x4655_4747), "this is no whisper model in ggml's format");
    refused(set(4, 0), &number("the vocabulary", 0, "51864, 51865 or 51866"));
    refused(set(8, u32::MAX), &number("the encoder's length", 4_294_967_295, "64 to 1500"));
    refused(set(12, 1 << 31), &number("the encoder's width", 1 << 31, "a multiple of 32 up to 1280"));
    refused(set(16, 0), &number("the encoder's number of heads", 0, "a part of the width"));
    refused(set(16, 7), &number("the encoder's number of heads", 7, "a part of the width"));
    refused(set(20, 33), &number("the encoder's number of layers", 33, "1 to 32"));
    refused(set(24, 1 << 20), &number("the decoder's length", 1 << 20, "16 to 448"));
    refused(set(28, 64), &number("the decoder's width", 64, "the encoder's"));
    refused(set(40, 81), &number("the number of mel bands", 81, "80 or 128"));
    refused(set(44, 2010), &number("the type of weights", 2010, "one that fits the width"));
    refused(set(44, 77), &number("the type of weights", 77, "one that fits the width"));
    refused(set(48, 128), &number("the number of filters", 128, "the number of mel bands"));
    refused(set(52, 200), &number("the number of bins", 200, "201"));
    refused(set(56, 0x7fc0_0000), "a mel filter of the model is no number");
}

#[test]
fn words_are_held_to_their_limits() {
    let at = 56 + 80 * BINS * 4;
    let number = |what: &str, value: u64, must: &str| {
        format!("the model says that {what} is {value}, which must be {must}")
    };
    refused(set(at, 51_865), &number("the number of words", 51_865, "at most the vocabulary"));
    refused(set(at + 4, 257), &number("a word's length", 257, "at most 256"));
    refused(set(at, 10), "the model's vocabulary has no blank");
}

#[test]
fn tensors_are_held_to_the_shape() {
    let at = first_tensor(&q8_0());
    let wrong = |what: &str| format!("the model's tensor encoder.positional_embedding has the wrong {what}");
    refused(set(at + 12, 64), &wrong("shape"));
    refused(set(at + 16, u32::MAX), &wrong("shape"));
    refused(set(at + 8, 1), &wrong("type"));
    refused(set(at + 8, 99), &wrong("type"));
    refused(set(at, 4), "the model says that a tensor's number of dimensions is 4, which must be 1 to 3");
    refused(set(at + 4, 1000), "the model says that a tensor's name is 1000, which must be 1 to 64 long");
    refused(|bytes| bytes[at + 20] = b'x', "no whisper model has a tensor \"xncoder.positional_embedding\"");
    refused(|bytes| bytes[at + 20] = 0xff, "a tensor of the model has a name that is no text");
}

#[test]
fn a_tensor_that_is_missing_or_there_twice_is_named() {
    let at = first_tensor(&q8_0());
    let length = 20 + 28 + 32 * 1500 * 4;
    refused(
        |bytes| drop(bytes.drain(at..at + length)),
        "the model lacks 1 tensors, among them encoder.positional_embedding",
    );
    refused(
        |bytes| bytes.extend_from_within(at..at + length),
        "the model has the tensor encoder.positional_embedding twice",
    );
}

#[test]
fn a_model_cut_anywhere_is_refused() {
    let bytes = q8_0();
    let tensors = first_tensor(&bytes);
    // Every place of the heads, and some of the long rest.
    let places = (0..64).chain([70_000, tensors - 1]).chain((tensors + 1..tensors + 48).step_by(5));
    for place in places.chain([bytes.len() - 1]) {
        assert!(of(&bytes[..place]).is_err(), "cut at {place}");
    }
}
