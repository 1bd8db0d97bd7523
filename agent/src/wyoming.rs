//! Wyoming: the protocol by which Home Assistant finds ears, mouths and minds; off unless the owner wishes it.
//!
//! `codec` is the wire, `record` makes one sound of what comes, `visit` is what one client wants and gets, `info` what
//! the node says of itself: all pure. `serve` is the open door, `carry` one client's hands, `work` what is done for it,
//! `lane` how that comes back; `mdns` lets the door be found.
//! The protocol has no key and no cipher, so a door without one is the owner's choice.

mod carry;
pub mod codec;
pub mod info;
mod lane;
pub mod mdns;
pub mod record;
pub mod serve;
pub mod visit;
mod work;

#[cfg(test)]
mod tests;
