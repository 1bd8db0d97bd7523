//! Sound as it comes in and goes out.
//!
//! `wav` reads and writes files of it.

pub mod wav;
