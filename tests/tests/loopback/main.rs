//! The real `duet serve` on a wire of its own, against real clients and bad ones.

mod admission;
mod boot;
mod http;
mod lab;
mod wire;
