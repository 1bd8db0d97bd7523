//! `duet vm --shell N`: this terminal becomes the control shell of a running virtual PC.

use anyhow::{Context, Result, ensure};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Ctrl-], as in telnet.
const LEAVE: u8 = 0x1d;

/// Joins standard input and output with the shell of PC `number`. `link` leads to the sockets.
pub fn attach(link: &Path, number: usize) -> Result<()> {
    let socket = link.join(format!("shell{number}"));
    let mut shell = UnixStream::connect(&socket)
        .with_context(|| format!("no PC {number} runs here; `duet vm --keep` starts some"))?;
    let mut out = shell.try_clone()?;
    let stdin = std::io::stdin();
    let _raw = Raw::enter()?;
    eprint!("control shell of pc{number}; Ctrl-] leaves it\r\n");
    shell.write_all(b"\n")?;
    std::thread::spawn(move || {
        let mut screen = std::io::stdout();
        let mut chunk = [0; 4096];
        while let Ok(n @ 1..) = out.read(&mut chunk) {
            if screen.write_all(&chunk[..n]).and_then(|()| screen.flush()).is_err() {
                break;
            }
        }
    });
    let mut keys = [0; 256];
    loop {
        let n = stdin.lock().read(&mut keys)?;
        if n == 0 || keys[..n].contains(&LEAVE) {
            return Ok(());
        }
        shell.write_all(&keys[..n]).context("the virtual PC was switched off")?;
    }
}

/// The terminal passes every key on; put back when dropped.
struct Raw(Termios);

impl Raw {
    fn enter() -> Result<Self> {
        let stdin = std::io::stdin();
        let old = tcgetattr(&stdin);
        ensure!(old.is_ok(), "the control shell needs a terminal");
        let old = old?;
        let mut raw = old.clone();
        raw.make_raw();
        tcsetattr(&stdin, OptionalActions::Now, &raw)?;
        Ok(Self(old))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.0);
    }
}
