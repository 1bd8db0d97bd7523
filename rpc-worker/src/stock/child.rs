//! ggml's server as a process of its own, for one client: it may crash, and takes nobody with it.
//!
//! It inherits one end of a pair of sockets as its standard input, and nothing else: no file, no port, no variable
//! that says anything of this node.

use super::sandbox;
use crate::args::StockChild;
use crate::choice;
use anyhow::Context;
use engine::kernels::Way;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::net::UnixStream;

/// Bytes that are kept of what it says before it dies.
const SAID_BYTES_MAX: u64 = 4096;
/// Letters of it that are shown.
const SENTENCE_MAX: usize = 300;

/// How long a process takes to end at most, after its connection did.
const MOMENTS: u32 = 100;
const MOMENT: Duration = Duration::from_millis(10);

/// A running child; it is killed when this is dropped.
pub struct Child {
    process: std::process::Child,
    /// The other end; taken by whoever carries.
    pub connection: Option<UnixStream>,
}

impl Child {
    pub fn start(memory_mib: u32, n_threads: u32, way: Option<Way>) -> anyhow::Result<Child> {
        let flags = SocketFlags::CLOEXEC;
        let (ours, its) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)
            .context("cannot make a pair of sockets")?;
        let ours = std::os::unix::net::UnixStream::from(ours);
        ours.set_nonblocking(true).context("cannot use a socket")?;
        let connection = UnixStream::from_std(ours).context("cannot use a socket")?;
        let own = std::env::current_exe().context("cannot tell the own program")?;
        let mut command = Command::new(own);
        if let Some(way) = way {
            command.args(["--way", way.name()]);
        }
        command.arg("stock-child").args(["--memory-mib", &memory_mib.to_string()]);
        command.args(["--threads", &n_threads.to_string()]);
        command.env_clear().env("GGML_NO_BACKTRACE", "1").env("OMP_WAIT_POLICY", "passive");
        if let Some(kernels) = std::env::var_os("DUET_KERNELS") {
            command.env("DUET_KERNELS", kernels);
        }
        command.stdin(Stdio::from(its)).stdout(Stdio::null()).stderr(Stdio::piped());
        let process = command.spawn().context("cannot start a process")?;
        Ok(Child { process, connection: Some(connection) })
    }

    /// Kills it if it still runs, and says what it died of if that was not us. One whose connection ended is given the
    /// moment that it needs to end.
    pub async fn end(mut self, is_ending: bool) -> Option<String> {
        // To take back much memory takes the kernel a while.
        let ending = tokio::task::spawn_blocking(move || {
            let moments = if is_ending { MOMENTS } else { 1 };
            let died = (0..moments).find_map(|idx| {
                if idx > 0 {
                    std::thread::sleep(MOMENT);
                }
                self.process.try_wait().ok().flatten()
            });
            let died = died.and_then(|status| status.signal());
            let _ = self.process.kill();
            let _ = self.process.wait();
            let mut said = Vec::new();
            if let Some(pipe) = self.process.stderr.take() {
                // What cannot be read any more is not needed.
                let _ = pipe.take(SAID_BYTES_MAX).read_to_end(&mut said);
            }
            died.map(|signal| told(signal, &String::from_utf8_lossy(&said)))
        });
        ending.await.ok().flatten()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Both do nothing where it has ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The signal, and the library's complaint where there is one.
fn told(signal: i32, said: &str) -> String {
    let complaint = said.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("");
    let plain = |letter: char| if letter.is_control() { ' ' } else { letter };
    let complaint: String = complaint.chars().take(SENTENCE_MAX).map(plain).collect();
    format!("its server died of signal {signal} {complaint}").trim_end().to_owned()
}

/// The child's part.
pub fn run(args: &StockChild, way: Option<Way>) -> anyhow::Result<()> {
    sandbox::limit(args.memory_mib)?;
    choice::choose(None, way)?;
    let connection: OwnedFd =
        std::io::stdin().as_fd().try_clone_to_owned().context("standard input is no connection")?;
    // Who cannot be modest computes all the same.
    let _ = engine::let_others_first();
    sandbox::close();
    engine::stock::serve(connection, args.threads)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_death_is_told_in_one_line() {
        assert_eq!(told(11, ""), "its server died of signal 11");
        let said = "first\nx.cpp:7: GGML_ASSERT(a) failed\u{1b}\n\n";
        assert_eq!(told(6, said), "its server died of signal 6 x.cpp:7: GGML_ASSERT(a) failed");
    }
}
