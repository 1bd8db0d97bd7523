//! `agent console`: the status on a serial line, again whenever Enter is pressed.
//!
//! It takes no command and gives no shell, so that a cable alone opens nothing.
//! systemd hands it the line as standard input and output, so it needs no right to open one.

use crate::args::{self, PORT};
use crate::io::node::Node;
use anyhow::Context;
use std::io::{self, Read, Write};

/// Bytes taken from the line at once; what they are does not matter, unless one of them is Enter.
const LINE_BYTES_MAX: usize = 256;
/// What the kernel answers for a line that has a name but no chip.
const EIO: i32 = 5;

pub fn run(runtime: &tokio::runtime::Runtime) -> anyhow::Result<()> {
    let node = Node::new(args::usual_root(), &args::usual_worker().to_string());
    let status = || crate::text::render(&runtime.block_on(node.status()), PORT);
    match talk(io::stdin().lock(), io::stdout().lock(), status) {
        // A PC without this line is no error, and the unit must not fail for it.
        Err(e) if e.raw_os_error() == Some(EIO) => Ok(()),
        other => other.context("cannot use the line"),
    }
}

/// Until the other end closes.
fn talk(mut input: impl Read, mut output: impl Write, status: impl Fn() -> String) -> io::Result<()> {
    let mut buffer = [0; LINE_BYTES_MAX];
    output.write_all(b"\nPress Enter for the status of this node.\n").and_then(|()| output.flush())?;
    loop {
        let n = input.read(&mut buffer)?;
        if n == 0 {
            return Ok(());
        }
        if buffer[..n].contains(&b'\n') {
            write!(output, "\n{}\nPress Enter to see it again.\n", status())?;
            output.flush()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(typed: &str, n_shown: usize) {
        let mut said = vec![];
        talk(typed.as_bytes(), &mut said, || "node kitchen".into()).unwrap();
        assert_eq!(String::from_utf8(said).unwrap().matches("node kitchen").count(), n_shown);
    }

    #[test]
    fn enter_shows_the_status() {
        check("\n", 1);
        check("root\n", 1);
    }

    #[test]
    fn anything_else_shows_nothing() {
        check("reboot", 0);
        check("", 0);
    }
}
