//! A server that is a child of ours: a message is a line on its standard input or output.

use super::wire::{Allowance, MESSAGE_BYTES_MAX, Received, Sent, WireError};
use rmcp::service::RoleClient;
use rmcp::transport::Transport;
use rustix::process::{Pid, Signal, kill_process_group};
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

/// Lines that are no message; some programs greet.
const GREETINGS_MAX: usize = 16;
/// A server that does not read for so long is given up.
const SEND_MAX: Duration = Duration::from_secs(10);
/// When memory is short a server goes before all else.
const FIRST_TO_GO: &str = "1000";

/// Where the reason for an end is left.
pub type Reason = Arc<Mutex<Option<WireError>>>;

pub struct Lines {
    /// Dies when this is dropped.
    _child: Child,
    group: Option<Pid>,
    stdin: Arc<tokio::sync::Mutex<ChildStdin>>,
    stdout: BufReader<ChildStdout>,
    line: Vec<u8>,
    n_greetings: usize,
    allowance: Allowance,
    reason: Reason,
}

impl Lines {
    pub fn start(program: &Path, words: &[String], reason: Reason) -> Result<Lines, WireError> {
        let broken = |what: &str| WireError::Broken(format!("{} {what}", program.display()));
        let mut command = Command::new(program);
        // What the agent knows of its surroundings is nothing for it.
        command.args(words).env_clear().env("PATH", "/usr/bin:/bin").env("LANG", "C.UTF-8").current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.process_group(0).kill_on_drop(true).spawn().map_err(|error| {
            let hint = if error.kind() == std::io::ErrorKind::NotFound { "is not in this image" } else { "" };
            broken(if hint.is_empty() { "does not start" } else { hint })
        })?;
        let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        if let Some(group) = group {
            // Where that may not be said, it goes as the agent goes.
            let _ = std::fs::write(format!("/proc/{}/oom_score_adj", group.as_raw_nonzero()), FIRST_TO_GO);
        }
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(broken("has no input or output"));
        };
        Ok(Lines {
            _child: child,
            group,
            stdin: Arc::new(tokio::sync::Mutex::new(stdin)),
            stdout: BufReader::new(stdout),
            line: vec![],
            n_greetings: 0,
            allowance: Allowance::default(),
            reason,
        })
    }

    /// The next message; whoever drops the future in the middle loses nothing.
    async fn next(&mut self) -> Result<Received, WireError> {
        loop {
            let buffer =
                self.stdout.fill_buf().await.map_err(|error| WireError::Broken(error.to_string()))?;
            if buffer.is_empty() {
                return Err(WireError::Broken("it ended".into()));
            }
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let n = end.unwrap_or(buffer.len());
            if self.line.len() + n > MESSAGE_BYTES_MAX {
                return Err(WireError::Long);
            }
            self.line.extend_from_slice(&buffer[..n]);
            self.stdout.consume(n + usize::from(end.is_some()));
            if end.is_none() {
                continue;
            }
            let line = std::mem::take(&mut self.line);
            self.allowance.spend()?;
            match serde_json::from_slice(&line) {
                Ok(message) => return Ok(message),
                Err(_) if self.n_greetings < GREETINGS_MAX => self.n_greetings += 1,
                Err(_) => return Err(WireError::Garbled),
            }
        }
    }
}

impl Transport<RoleClient> for Lines {
    type Error = WireError;

    fn send(&mut self, item: Sent) -> impl Future<Output = Result<(), WireError>> + Send + 'static {
        self.allowance.renew(&item);
        let stdin = self.stdin.clone();
        async move {
            let broken = |error: String| WireError::Broken(error);
            let mut line = serde_json::to_vec(&item).map_err(|error| broken(error.to_string()))?;
            line.push(b'\n');
            let writing = async {
                let mut stdin = stdin.lock().await;
                stdin.write_all(&line).await?;
                stdin.flush().await
            };
            let written = timeout(SEND_MAX, writing).await.map_err(|_| WireError::Late)?;
            written.map_err(|error| broken(error.to_string()))
        }
    }

    async fn receive(&mut self) -> Option<Received> {
        match self.next().await {
            Ok(message) => Some(message),
            Err(error) => {
                self.reason.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                None
            }
        }
    }

    async fn close(&mut self) -> Result<(), WireError> {
        self.end();
        Ok(())
    }
}

impl Lines {
    /// With all that it started.
    fn end(&mut self) {
        if let Some(group) = self.group.take() {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.end();
    }
}
