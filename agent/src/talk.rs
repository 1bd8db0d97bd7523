//! A conversation: the turn machine of `crates/voice`, and the hands that it wishes for.
//!
//! `parts` is what its hands look like from here. One ear, one mouth and one mind serve all conversations of a node; a
//! microphone, a key and a speaker belong to one: those of the PC, of a browser's page, of a caller of the API.

pub mod parts;
