//! What the hands of somebody with a screwdriver would do at a virtual PC: run a command at its root shell.

use super::machine;
use super::shelf::Shelf;
use anyhow::{Result, ensure};
use std::time::Duration;

const COMMAND_MAX: Duration = Duration::from_secs(120);

/// The output of a command that ends well.
pub fn run(shelf: &Shelf, pc_idx: usize, command: &str) -> Result<String> {
    let answer = shelf.command(pc_idx, command, COMMAND_MAX)?;
    ensure!(answer.status == 0, "{command:?} at {} failed: {}", machine::name(pc_idx), answer.output);
    Ok(answer.output)
}
