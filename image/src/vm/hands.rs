//! What the hands of somebody with a screwdriver would do at a virtual PC: run a command at its root shell, put a file there.

use super::machine::{self, SERVER};
use super::shelf::Shelf;
use anyhow::{Context, Result, ensure};
use std::fs::File;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

const COMMAND_MAX: Duration = Duration::from_secs(120);
const GIVE_MAX: Duration = Duration::from_secs(180);
/// Where a file is handed to a PC.
const FILE_PORT: u16 = 9999;

/// The output of a command that ends well.
pub fn run(shelf: &Shelf, pc_idx: usize, command: &str) -> Result<String> {
    run_for(shelf, pc_idx, command, COMMAND_MAX)
}

fn run_for(shelf: &Shelf, pc_idx: usize, command: &str, limit: Duration) -> Result<String> {
    let answer = shelf.command(pc_idx, command, limit)?;
    ensure!(answer.status == 0, "{command:?} at {} failed: {}", machine::name(pc_idx), answer.output);
    Ok(answer.output)
}

/// Puts a file there, over the wire; there is no program for that in the image, so bash reads from a connection.
pub fn give(shelf: &Shelf, pc_idx: usize, from: &Path, to: &str) -> Result<()> {
    let input = File::open(from).with_context(|| format!("opening {}", from.display()))?;
    let bytes = input.metadata().with_context(|| format!("looking at {}", from.display()))?.len();
    let port = FILE_PORT.to_string();
    let mut busybox = shelf.on_the_wire(Path::new("busybox"));
    busybox.args(["nc", "-l", "-p", &port]).stdin(input).stdout(Stdio::null());
    let mut server = Ended(busybox.spawn().context("starting busybox")?);
    // It listens a moment after its start.
    let take = format!("cat </dev/tcp/{SERVER}/{port} >{to}.part && test $(stat -c %s {to}.part) = {bytes}");
    let tries = format!(
        "for try in $(seq 61); do {{ {take}; }} 2>/dev/null && break; sleep 1; done; test $try -lt 61 && mv {to}.part {to}"
    );
    run_for(shelf, pc_idx, &tries, GIVE_MAX).with_context(|| format!("bringing {}", from.display()))?;
    server.0.wait().context("waiting for busybox")?;
    Ok(())
}

/// A process that ends with its owner.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
