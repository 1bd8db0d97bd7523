//! The control shell of a virtual PC: one command in, its output and exit status out.
//!
//! The shell sits on the second serial line and echoes what it is sent, so answers are found by
//! two marks that appear in the echo only with quotes inside them.

use super::qmp::connect_by;
use anyhow::{Context, Result, bail, ensure};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A terminal line ends at 4096 bytes.
pub const COMMAND_BYTES_MAX: usize = 3500;
/// More than this is a runaway command.
pub const OUTPUT_BYTES_MAX: usize = 1024 * 1024;
/// How long one read waits before the clock is looked at.
const TICK: Duration = Duration::from_millis(250);
/// A question that was not answered by then is asked again: the shell may have been starting.
const PROBE: Duration = Duration::from_secs(3);

/// What a command said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u32,
    pub output: String,
}

/// Waits until a shell answers.
pub fn wait_for_shell(socket: &Path, limit: Duration) -> Result<()> {
    let deadline = Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match run(socket, "true", left.min(PROBE)) {
            Ok(_) => return Ok(()),
            Err(error) if left.is_zero() => return Err(error.context("no shell on the second serial line")),
            Err(_) => std::thread::sleep(TICK),
        }
    }
}

/// Runs one command and waits for its end.
pub fn run(socket: &Path, command: &str, limit: Duration) -> Result<Answer> {
    static NUMBER: AtomicU32 = AtomicU32::new(1);
    ensure!(command.len() <= COMMAND_BYTES_MAX, "a command ends at {COMMAND_BYTES_MAX} bytes");
    ensure!(!command.contains(['\n', '\r', '\0']), "a command is one line");
    let deadline = Instant::now() + limit;
    let mut stream = connect_by(socket, deadline).context("the control shell's socket does not answer")?;
    stream.set_read_timeout(Some(TICK))?;
    stream.set_write_timeout(Some(limit.max(TICK)))?;
    let marks = Marks::new(NUMBER.fetch_add(1, Ordering::Relaxed));
    stream.write_all(marks.line(command).as_bytes()).context("the control shell takes no command")?;
    let mut said = Vec::new();
    loop {
        if let Some(answer) = marks.answer(&String::from_utf8_lossy(&said)) {
            return Ok(answer);
        }
        ensure!(Instant::now() < deadline, "no answer to {command:?} within {} s", limit.as_secs());
        read_some(&mut stream, &mut said)?;
    }
}

fn read_some(stream: &mut UnixStream, said: &mut Vec<u8>) -> Result<()> {
    let mut chunk = [0; 4096];
    match stream.read(&mut chunk) {
        Ok(0) => bail!("the virtual PC was switched off"),
        Ok(n) => said.extend_from_slice(&chunk[..n]),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
        Err(error) => return Err(error).context("the control shell's socket broke"),
    }
    ensure!(said.len() <= OUTPUT_BYTES_MAX, "the command said more than {OUTPUT_BYTES_MAX} bytes");
    Ok(())
}

struct Marks {
    number: u32,
}

impl Marks {
    fn new(number: u32) -> Self {
        Self { number }
    }

    /// The quotes keep the marks out of the echo; the leading line feed ends what stood there before.
    /// All is one line, because the echo of a second one may come before, behind or round the first mark.
    fn line(&self, command: &str) -> String {
        let n = self.number;
        let end = if command.trim_end().ends_with('&') { "" } else { ";" };
        format!("\necho DUET''-BEGIN-{n}; {command}{end} echo DUET''-END-{n}-$?\n")
    }

    fn answer(&self, said: &str) -> Option<Answer> {
        let (begin, end) = (format!("DUET-BEGIN-{}\r\n", self.number), format!("DUET-END-{}-", self.number));
        let rest = &said[said.find(&begin)? + begin.len()..];
        let (output, status) = rest.split_once(&end)?;
        let (status, _) = status.split_once('\r')?;
        let output = plain(output);
        let output = output.strip_suffix('\n').unwrap_or(&output).to_owned();
        Some(Answer { status: status.parse().ok()?, output })
    }
}

/// Text as a person reads it: no carriage returns, no terminal colours.
pub fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' => skip_escape(&mut characters),
            '\r' => {}
            other if other.is_control() && other != '\n' && other != '\t' => {}
            other => plain.push(other),
        }
    }
    plain
}

/// `ESC [ ... letter` or `ESC letter`.
fn skip_escape(characters: &mut std::str::Chars<'_>) {
    if characters.next() == Some('[') {
        for character in characters.by_ref() {
            if character.is_ascii_alphabetic() {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(said: &str, want: Option<(u32, &str)>) {
        let got = Marks::new(7).answer(said);
        assert_eq!(got, want.map(|(status, output)| Answer { status, output: output.to_owned() }));
    }

    #[test]
    fn the_echo_alone_is_no_answer() {
        check("# echo DUET''-BEGIN-7; ls; echo DUET''-END-7-$?\r\n", None);
    }

    #[test]
    fn output_stands_between_the_marks() {
        let echo = "# echo DUET''-BEGIN-7; ls; echo DUET''-END-7-$?\r\n";
        check(&format!("{echo}DUET-BEGIN-7\r\na\r\nb\r\nDUET-END-7-0\r\n"), Some((0, "a\nb")));
    }

    #[test]
    fn a_command_without_output_gives_none() {
        check("DUET-BEGIN-7\r\nDUET-END-7-1\r\n", Some((1, "")));
    }

    #[test]
    fn a_line_that_the_output_did_not_end_is_whole() {
        check("DUET-BEGIN-7\r\na\r\nbDUET-END-7-0\r\n", Some((0, "a\nb")));
    }

    #[test]
    fn a_command_that_goes_on_behind_is_still_one_line() {
        assert_eq!(
            Marks::new(7).line("sleep 9 &"),
            "\necho DUET''-BEGIN-7; sleep 9 & echo DUET''-END-7-$?\n"
        );
    }

    #[test]
    fn an_unfinished_status_is_no_answer_yet() {
        check("DUET-BEGIN-7\r\nDUET-END-7-1", None);
    }

    #[test]
    fn the_mark_of_another_command_is_no_answer() {
        check("DUET-BEGIN-6\r\nDUET-END-6-0\r\n", None);
    }

    #[test]
    fn colours_are_taken_away() {
        assert_eq!(plain("\u{1b}[1;31mred\u{1b}[0m\r\n\u{1b}cx"), "red\nx");
    }

    #[test]
    fn a_command_of_two_lines_is_refused() {
        let error = run(Path::new("/nowhere"), "a\nb", Duration::ZERO).unwrap_err();
        assert_eq!(error.to_string(), "a command is one line");
    }
}
