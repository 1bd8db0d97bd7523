//! The list of API keys in RAM beside the membership, so that a crash of the agent locks nobody out, and brings no
//! removed key back.

use crate::io::runtime;
use admission::{API_KEYS_TEXT_BYTES_MAX, ApiKeys};
use std::io::Read;

const FILE: &str = "api-keys.json";

/// What an earlier run was told; whether it is true, its signature says.
pub(super) fn read() -> Option<ApiKeys> {
    let mut text = vec![];
    let file = std::fs::File::open(runtime::path(FILE)?).ok()?;
    file.take(API_KEYS_TEXT_BYTES_MAX as u64 + 1).read_to_end(&mut text).ok()?;
    ApiKeys::parse(&text).ok()
}

pub(super) fn write(list: &ApiKeys) -> std::io::Result<()> {
    runtime::write(FILE, list.to_json().as_bytes(), runtime::For::Agent)
}
