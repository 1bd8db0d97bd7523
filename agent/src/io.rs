//! The rim: everything of the agent that touches files, sockets, cameras and the processor's clock.
//!
//! Every read has a byte limit and every wait a time limit; what they bring goes to the pure parsers of `facts`.

pub mod acts;
pub mod clock;
pub mod kept;
pub mod node;
pub mod read;
pub mod runtime;
pub mod stick;
pub mod systemd;
pub mod video;
