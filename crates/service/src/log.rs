//! One line to standard error, with a level that the journal and the kernel log understand.
//!
//! Under systemd a line begins with `<5>`; on a terminal the same line is plain.
//! It deliberately keeps no buffer and no file; a program that shows its lines elsewhere too says so once.

use std::io::Write;
use std::sync::OnceLock;

/// Who sees each line too, whatever thread says it.
type Reader = Box<dyn Fn(Level, &str) + Send + Sync>;
static READER: OnceLock<Reader> = OnceLock::new();

/// How much a line matters, by the numbers of syslog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Something is wrong and a person should look.
    Warning = 4,
    /// A stage of the boot; it reaches the serial console.
    Notice = 5,
    /// For those who read the journal.
    Info = 6,
}

impl Level {
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Warning => "warning",
            Level::Notice => "notice",
            Level::Info => "info",
        }
    }
}

/// From now on `reader` sees each line too; only the first one counts.
pub fn share(reader: impl Fn(Level, &str) + Send + Sync + 'static) {
    let _ = READER.set(Box::new(reader));
}

/// Writes one line. A closed standard error is no reason to stop, so the result is ignored.
pub fn say(level: Level, line: &str) {
    if let Some(reader) = READER.get() {
        reader(level, line);
    }
    let under_systemd = std::env::var_os("JOURNAL_STREAM").is_some();
    let _ = std::io::stderr().write_all(shape(level, line, under_systemd).as_bytes());
}

/// One line stays one line, whatever it quotes.
fn shape(level: Level, line: &str, under_systemd: bool) -> String {
    let clean: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if under_systemd { format!("<{}>{clean}\n", level as u8) } else { format!("{clean}\n") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, under_systemd: bool, want: &str) {
        assert_eq!(shape(Level::Notice, line, under_systemd), want);
    }

    #[test]
    fn a_line_carries_its_level_under_systemd() {
        check("duet: up", true, "<5>duet: up\n");
    }

    #[test]
    fn a_line_is_plain_on_a_terminal() {
        check("duet: up", false, "duet: up\n");
    }

    #[test]
    fn a_quoted_line_feed_cannot_forge_a_second_line() {
        check("bad name a\n<2>b\x1b[2J", true, "<5>bad name a <2>b [2J\n");
    }
}
