//! Reads and writes model files in GGUF.
//!
//! A model file comes from a stranger, so nothing in it is believed: every length is held to what is left of the file
//! before memory is asked for, and every limit has a name.
//! [`Gguf::read`] proves that a file is well made, [`check_model`] that it can be a model: the model's library aborts the
//! process on much that it did not expect.
//! A model can be cut into slices by its layers; `file` holds the only hands.
//! This crate turns bytes into values and back; it knows no model library and no network.

#![forbid(unsafe_code)]

mod error;
mod file;
mod kind;
mod model;
mod read;
mod seal;
mod slice;
mod source;
mod ternary;
mod value;
mod write;

pub use error::Error;
pub use file::{check_slice_file, read_head, write_slice_file, write_slice_file_of};
pub use kind::Kind;
pub use model::{Cache, Facts, check_model};
pub use read::{Gguf, Tensor};
pub use seal::{SEAL_BYTES, Sealer, check_seal};
pub use slice::{ModelId, SLICES_MAX, Slice, even_cuts};
pub use value::{Array, Texts, Value};
pub use write::{NewTensor, Writer};

/// The largest file that is taken: more than the largest PC of this age can hold.
pub const FILE_BYTES_MAX: u64 = 1 << 36;
/// Bytes before the weights. The largest vocabularies (260,000 tokens and their merges) take 15 MB.
pub const META_BYTES_MAX: u64 = 1 << 27;
/// Tensors of a file; a mixture of experts with a tensor for each has some thousands.
pub const TENSORS_MAX: u64 = 1 << 16;
/// Keys of a file; models have 20 to 100.
pub const KEYS_MAX: u64 = 1 << 12;
/// Bytes of a key; the format itself allows 65,535.
pub const KEY_BYTES_MAX: u64 = 256;
/// Bytes of one text; the longest are chat templates.
pub const TEXT_BYTES_MAX: u64 = 1 << 20;
/// Items of one array; the longest are the merges of a vocabulary.
pub const ARRAY_ITEMS_MAX: u64 = 1 << 22;
/// Bytes of a tensor's name, as ggml has it.
pub const TENSOR_NAME_BYTES_MAX: u64 = 63;
/// Dimensions of a tensor, as ggml has them.
pub const DIMS_MAX: u32 = 4;
/// Where a file does not say another, tensors begin at multiples of this.
pub const ALIGNMENT_DEFAULT: u64 = 32;
/// The largest alignment that is taken.
pub const ALIGNMENT_MAX: u64 = 1 << 16;
/// Bytes of one row of weights: ggml counts some of them in 32 bits.
pub const DIM_MAX: u64 = 1 << 31;
