//! Wyoming: the protocol by which Home Assistant finds ears, mouths and minds; off unless the owner wishes it.
//!
//! `codec` is the wire, `record` makes one sound of what comes, `visit` is what one client wants and gets, `info` what
//! the node says of itself: all pure. `serve` is its hands, `mdns` lets it be found. The protocol has no key and no cipher, so a door without one is the owner's choice.

pub mod codec;
pub mod info;
pub mod mdns;
pub mod record;
pub mod serve;
pub mod visit;

#[cfg(test)]
mod tests;
