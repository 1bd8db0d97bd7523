//! `agent console`: the status on a serial line, again whenever Enter is pressed.
//!
//! It takes no command and gives no shell, so that a cable alone opens nothing.

use crate::args::{self, PORT};
use crate::io::node::Node;
use anyhow::Context;
use std::io::{Read, Write};

/// Bytes taken from the line at once; what they are does not matter, unless one of them is Enter.
const LINE_BYTES_MAX: usize = 256;

pub fn run(runtime: &tokio::runtime::Runtime) -> anyhow::Result<()> {
    let node = Node::new(args::usual_root(), &args::usual_worker().to_string());
    let mut buffer = [0; LINE_BYTES_MAX];
    write("\nPress Enter for the status of this node.\n")?;
    loop {
        let n = std::io::stdin().read(&mut buffer).context("cannot read the line")?;
        if n == 0 {
            return Ok(());
        }
        if buffer[..n].contains(&b'\n') {
            let status = runtime.block_on(node.status());
            write(&format!("\n{}\nPress Enter to see it again.\n", crate::text::render(&status, PORT)))?;
        }
    }
}

fn write(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("cannot write to the line")
}
