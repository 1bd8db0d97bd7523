//! The node's first process: it fetches, checks and mounts the root, then hands over to systemd.
//!
//! `main.rs` tells the story of a boot; each module here is one chapter.
//! Only `machine` and `sys` know that this is process 1: the chapters take time and words from a [`World`],
//! so that tests drive the real fetching and checking against a server that misbehaves.

pub mod boot;
pub mod console;
pub mod fetch;
pub mod http;
pub mod machine;
pub mod modules;
pub mod network;
pub mod report;
pub mod root;
pub mod rounds;
pub mod sys;
pub mod trouble;
pub mod verify;
pub mod world;

pub use trouble::Trouble;
pub use world::World;
