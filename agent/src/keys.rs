//! Keys: which of the configured ones go down and come up, on any keyboard, pedal or button that this PC has.
//!
//! `names` knows the keys by name, `event` reads what a device writes, `device` is one that is open, `listening` the
//! thread that has all of them, `command` lets a person try his keys. What a press means is `voice::key`'s matter.
//!
//! No crate stands between: the kernel's events are 24 bytes each, names and abilities are files below `/sys`, and the one
//! question that needs an ioctl, which keys are down at this moment, is in `held`.

pub mod command;
mod device;
pub mod event;
mod held;
pub mod listening;
pub mod names;
