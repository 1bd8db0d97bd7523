//! Hearing: a clip of sound in, its words out.
//!
//! `resample` brings sound into shape, `voice::whisper` checks a model file before whisper.cpp sees it, `mel` makes
//! the picture that the encoder reads, `window` says how much of it is computed, `words` picks the next word, `hot`
//! lifts names, `detect` tells voice from other sound. All of these are pure.
//! `ear`, behind the feature `hear`, is the face of whisper.cpp; `sphinx` is pocketsphinx, where the image has it. `desk` is the one ear of a node for all who want
//! something heard, `away` has a neighbour hear instead, `door` hears for neighbours, `letter` is what they say.

pub mod away;
pub mod desk;
pub mod detect;
pub mod door;
#[cfg(feature = "hear")]
pub mod ear;
pub mod hot;
#[cfg(feature = "hear")]
mod kernel_choice;
pub mod letter;
#[cfg(feature = "hear")]
pub mod measure;
pub mod mel;
pub mod open;
pub mod resample;
pub mod sphinx;
#[cfg(feature = "hear")]
pub mod transcribe;
pub mod window;
pub mod words;

/// Samples a second: what whisper was trained on.
pub const RATE: u32 = 16_000;

#[cfg(test)]
mod testing {
    use std::io::Cursor;
    use voice::whisper::{Shape, check, forge};

    /// Of a small model.
    pub fn shape() -> Shape {
        let file = forge::small(forge::Kind::Q8_0);
        check(Cursor::new(&file), file.len() as u64).expect("it is a model").shape
    }
}
