//! What builder, boot server and node agree on: names, the signed manifest, the boot line and the reports.
//!
//! All four programs of a release (`duet build`, `duet serve`, init, agent) read and write these few texts.
//! They live here once, so that no two of them can drift apart.
//! This crate turns bytes into values and back; it knows no file, no socket and no clock.
//! The texts are a small, strict part of TOML with a parser of our own: init must stay small.

#![forbid(unsafe_code)]

mod boot_facts;
mod boot_line;
mod error;
mod lines;
mod manifest;
mod names;
mod net;
mod promoted;
mod report;
mod signature;

pub use blake3::Hash;

pub use boot_facts::{BOOT_FACTS_BYTES_MAX, BootFacts, Mode, STAMPS_MAX, Stamp};
pub use boot_line::{BootLine, CMDLINE_BYTES_MAX};
pub use error::Error;
pub use manifest::{FILE_BYTES_MAX, FileFact, MANIFEST_BYTES_MAX, Manifest};
pub use names::{FileName, HostName, NAME_BYTES_MAX, RELEASE_ID_BYTES_MAX, ReleaseId, Word};
pub use net::{Address, Mac, SERVERS_MAX, Server, parse_servers};
pub use promoted::{PROMOTED_BYTES_MAX, PROMOTED_MAX, parse_promoted, render_promoted};
pub use report::{REPORT_BYTES_MAX, REPORT_PATH, Report, SENTENCE_BYTES_MAX, Stage};
pub use signature::{
    KEY_TEXT_BYTES, PublicKey, SIGNATURE_TEXT_BYTES, SecretKey, is_vouched, sign, verify, vouch,
};
