//! `agent console`: the status on a serial line, again whenever Enter is pressed.
//!
//! It takes no command and gives no shell, so that a cable alone opens nothing.
//! It opens the line by itself: a PC without that line is no error, and the unit must not fail for it.

use crate::args::{self, PORT};
use crate::io::node::Node;
use anyhow::Context;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Bytes taken from the line at once; what they are does not matter, unless one of them is Enter.
const LINE_BYTES_MAX: usize = 256;
/// `O_NOCTTY` of Linux on x86: whoever sends a break on the line shall not stop the program.
const O_NOCTTY: i32 = 0o400;
/// What the kernel answers for a line that has a name but no chip.
const EIO: i32 = 5;

pub fn run(runtime: &tokio::runtime::Runtime, path: &Path) -> anyhow::Result<()> {
    let line = OpenOptions::new().read(true).write(true).custom_flags(O_NOCTTY).open(path);
    let node = Node::new(args::usual_root(), &args::usual_worker().to_string());
    match line.and_then(|line| talk(line, || crate::text::render(&runtime.block_on(node.status()), PORT))) {
        Err(e) if e.raw_os_error() == Some(EIO) => Ok(()),
        other => other.with_context(|| format!("cannot use {}", path.display())),
    }
}

/// Until the other end closes.
fn talk(mut line: File, status: impl Fn() -> String) -> io::Result<()> {
    let mut buffer = [0; LINE_BYTES_MAX];
    line.write_all(b"\nPress Enter for the status of this node.\n")?;
    loop {
        let n = line.read(&mut buffer)?;
        if n == 0 {
            return Ok(());
        }
        if buffer[..n].contains(&b'\n') {
            line.write_all(format!("\n{}\nPress Enter to see it again.\n", status()).as_bytes())?;
        }
    }
}
