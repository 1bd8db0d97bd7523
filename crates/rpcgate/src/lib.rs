//! Stands before ggml's own RPC server, which believes what it is sent and dies of it.
//!
//! A stock llama.cpp client speaks to that server in raw memory: pointers, sizes, graphs of a hundred operations.
//! [`Gate`] takes the client's bytes and gives out those of whole, checked messages; it takes the server's answers and
//! learns from them where memory lies. What it does not understand it refuses with a [`Refusal`], and then nothing more
//! passes: whoever holds the connections closes both.
//!
//! `message` knows the commands, `kind` the types of numbers, `tensor` and `buffers` hold a tensor to its memory,
//! `graph` and `ops` say what may be computed.
//! The crate is pure: it reads no socket and no clock, and knows no key, no child and no model.
//! It lets graphs of dense models through and no others: what picks rows or experts by numbers that were only just
//! computed (`mul_mat_id`, `argsort`) is believed by ggml without a look, and no gate can see those numbers.

#![forbid(unsafe_code)]

mod buffers;
mod gate;
mod graph;
mod kind;
mod message;
mod ops;
mod refusal;
mod tensor;

pub use gate::{Gate, Lease, Out};
pub use graph::{DEPTH_MAX, NODES_MAX, TENSORS_MAX};
pub use kind::{KINDS, Kind};
pub use message::{Command, GRAPH_BYTES_MAX, HELLO_BYTES, PIECE_BYTES, TENSOR_BYTES, VERSION};
pub use ops::{OPS, Op, allowed};
pub use refusal::{Fault, Refusal};
pub use tensor::Tensor;
