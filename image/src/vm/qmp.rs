//! A small client for QEMU's control socket (QMP): keys, state, an orderly end.
//!
//! It reads one bounded line at a time and gives up when QEMU is silent.

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// QEMU's longest line here is its greeting, well below this.
const LINE_MAX: u64 = 64 * 1024;
/// Events that may come before the answer.
const LINES_MAX: usize = 256;
/// How long QEMU may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(20);
/// How often a socket that is not there yet is tried again.
const RETRY: Duration = Duration::from_millis(50);
/// `mediaselect` is the longest key name of note.
const KEY_BYTES_MAX: usize = 24;

/// A connection to one QEMU.
pub struct Qmp {
    reader: BufReader<UnixStream>,
}

impl Qmp {
    /// Connects, waiting up to `limit` for a QEMU that has just been started.
    pub fn connect(path: &Path, limit: Duration) -> Result<Self> {
        let stream = connect_by(path, Instant::now() + limit)
            .with_context(|| format!("QEMU's control socket {} does not answer", path.display()))?;
        stream.set_read_timeout(Some(SILENCE_MAX))?;
        stream.set_write_timeout(Some(SILENCE_MAX))?;
        let mut qmp = Self { reader: BufReader::new(stream) };
        let greeting = qmp.line()?;
        ensure!(greeting.get("QMP").is_some(), "the control socket belongs to something else than QEMU");
        qmp.execute("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Holds a key down for a while. Names are QEMU's: `f12`, `ctrl_r`, `spc`.
    pub fn press(&mut self, key: &str, hold: Duration) -> Result<()> {
        self.key(key, true)?;
        std::thread::sleep(hold);
        self.key(key, false)
    }

    /// Moves one key down or up.
    pub fn key(&mut self, key: &str, down: bool) -> Result<()> {
        let plain = key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        ensure!(plain && (1..=KEY_BYTES_MAX).contains(&key.len()), "{key:?} is no name of a key");
        let data = json!({"down": down, "key": {"type": "qcode", "data": key}});
        self.execute("input-send-event", json!({"events": [{"type": "key", "data": data}]})).map(drop)
    }

    /// Pulls a device out, as a hand would.
    pub fn unplug(&mut self, device: &str) -> Result<()> {
        self.execute("device_del", json!({"id": device})).map(drop)
    }

    /// QEMU's own word for the state: `running`, `paused`, `shutdown`.
    pub fn status(&mut self) -> Result<String> {
        let answer = self.execute("query-status", json!({}))?;
        let status = answer.get("status").and_then(Value::as_str);
        status.map(str::to_owned).ok_or_else(|| anyhow!("QEMU gave a state without a name"))
    }

    /// Instructions executed since power-on, of a PC that counts them.
    pub fn instructions(&mut self) -> Result<u64> {
        let answer = self.execute("query-replay", json!({}))?;
        answer.get("icount").and_then(Value::as_u64).context("this PC does not count its instructions")
    }

    /// Presses the reset button.
    pub fn reset(&mut self) -> Result<()> {
        self.execute("system_reset", json!({})).map(drop)
    }

    /// Ends QEMU in an orderly way, so that the speaker file gets its lengths.
    pub fn quit(&mut self) -> Result<()> {
        self.execute("quit", json!({})).map(drop)
    }

    fn execute(&mut self, command: &str, arguments: Value) -> Result<Value> {
        let mut order = json!({"execute": command, "arguments": arguments}).to_string();
        order.push('\n');
        self.reader.get_mut().write_all(order.as_bytes()).context("QEMU does not take orders")?;
        for _ in 0..LINES_MAX {
            let mut line = self.line()?;
            if let Some(error) = line.get("error") {
                let why = error.get("desc").and_then(Value::as_str).unwrap_or("no reason given");
                bail!("QEMU refuses {command}: {why}");
            }
            if let Some(answer) = line.get_mut("return") {
                return Ok(answer.take());
            }
        }
        bail!("QEMU sent {LINES_MAX} events and no answer to {command}")
    }

    fn line(&mut self) -> Result<Value> {
        let mut line = Vec::new();
        self.reader.by_ref().take(LINE_MAX).read_until(b'\n', &mut line).context("QEMU is silent")?;
        ensure!(!line.is_empty(), "QEMU closed its control socket");
        ensure!(line.ends_with(b"\n"), "QEMU sent a line that is too long or cut off");
        serde_json::from_slice(&line).context("QEMU sent something that is not JSON")
    }
}

/// Connects to a socket that may not be there yet.
pub(super) fn connect_by(path: &Path, deadline: Instant) -> std::io::Result<UnixStream> {
    loop {
        match UnixStream::connect(path) {
            Err(error) if Instant::now() >= deadline => return Err(error),
            Err(_) => std::thread::sleep(RETRY),
            Ok(stream) => return Ok(stream),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    const GREETING: &str = r#"{"QMP": {"version": {}}}"#;
    const DONE: &str = r#"{"return": {}}"#;

    /// A QEMU that says these lines, one after each order, and what `query-status` makes of it.
    #[track_caller]
    fn check(lines: &[&str], want: &str) {
        let folder =
            std::env::temp_dir().join(format!("duet-qmp-{}-{}", std::process::id(), lines.concat().len()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("s");
        let listener = UnixListener::bind(&path).unwrap();
        let said: Vec<String> = lines.iter().map(|line| format!("{line}\n")).collect();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(said.concat().as_bytes()).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let _ = stream.read_to_end(&mut Vec::new());
        });
        let status = Qmp::connect(&path, Duration::from_secs(5)).and_then(|mut qmp| qmp.status());
        server.join().unwrap();
        std::fs::remove_dir_all(folder).unwrap();
        let got = status.unwrap_or_else(|error| format!("{error:#}"));
        assert!(got.contains(want), "{got:?} does not contain {want:?}");
    }

    #[test]
    fn a_state_is_read() {
        check(&[GREETING, DONE, r#"{"return": {"status": "running"}}"#], "running");
    }

    #[test]
    fn events_before_the_answer_are_passed_over() {
        check(&[GREETING, DONE, r#"{"event": "RESET"}"#, r#"{"return": {"status": "paused"}}"#], "paused");
    }

    #[test]
    fn a_refusal_is_told_with_its_reason() {
        check(
            &[GREETING, DONE, r#"{"error": {"desc": "no such thing"}}"#],
            "QEMU refuses query-status: no such thing",
        );
    }

    #[test]
    fn another_program_behind_the_socket_is_noticed() {
        check(&["{}"], "belongs to something else");
    }

    #[test]
    fn a_line_that_is_not_json_is_an_error() {
        check(&["hello"], "not JSON");
    }

    #[test]
    fn a_line_without_end_is_an_error() {
        check(&[&"x".repeat(LINE_MAX as usize + 1)], "too long");
    }

    #[test]
    fn a_closed_socket_is_an_error() {
        check(&[GREETING, DONE], "closed its control socket");
    }
}
