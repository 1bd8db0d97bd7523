//! The fuzz targets. What they check is in `targets.rs`, which the ordinary tests share.
#![forbid(unsafe_code)]

/// Included as a file, so that the sanitizers need not build the whole program around it.
#[path = "../../image/src/serve/head.rs"]
pub mod head;
mod targets;

pub use targets::*;
