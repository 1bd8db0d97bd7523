//! Reads and writes model files in GGUF.
//!
//! A model file comes from a stranger, so nothing in it is believed: every length is held to what is left of the file
//! before memory is asked for, and every limit has a name.
//! This crate turns bytes into values and back; it knows no model library and no network.

#![forbid(unsafe_code)]
