//! How models travel to the nodes: in chunks of 4 MiB, each checked by itself, from whoever has them.
//!
//! `tree` is what makes a chunk checkable, `bits` which chunks there are, `told` what nodes say to each other about them,
//! `fetch` the machine that decides whom to ask for what.
//! It never sees the bytes of a file but to hash them, and knows no clock, no dice, no file and no socket.

#![forbid(unsafe_code)]

mod bits;
mod fetch;
mod told;
mod tree;

pub use bits::{Bits, BitsError};
pub use fetch::{
    BUSY_PAUSE, FLIGHT_TIME_MAX, FLIGHTS_MAX, Failure, Fetch, Input, Output, OwnId, PEER_FLIGHTS_MAX,
    SERVER_FLIGHTS_MAX, SETTLE, Share, Source,
};
pub use told::{TOLD_BYTES_MAX, TOLD_FILES_MAX, Told, ToldError, ToldFile};
pub use tree::{CHUNK_BYTES, CHUNKS_MAX, FILE_BYTES_MAX, Root, Tree, TreeError, Value, n_chunks, value_of};

/// Between two looks at what a peer has, while something is fetched.
pub const LOOK_EVERY: std::time::Duration = std::time::Duration::from_millis(500);
/// Chunks that a node sends at a time; whoever asks for more is told to come again.
pub const UPLOADS_MAX: usize = 4;
