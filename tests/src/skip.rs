//! How a test says that it cannot run here. One way for all: `duet test` counts what is said so.
//!
//! Tests of other packages take this file in by its path, because they cannot lean on `tests`.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::Write;

/// Says in one plain line why a test does not run here. CI must run everything.
pub fn skip(test: &str, why: &str) {
    tell(test, why, std::env::var_os("CI").is_some(), std::env::var_os("DUET_SKIPS").as_deref());
}

fn tell(test: &str, why: &str, is_ci: bool, log: Option<&OsStr>) {
    let line = format!("skipped: {test}: {why}");
    assert!(!is_ci, "{line}; this must not happen in CI");
    eprintln!("{line}");
    if let Some(log) = log {
        let file = OpenOptions::new().create(true).append(true).open(log);
        // The line was printed; the log only helps the counting.
        let _ = file.and_then(|mut file| writeln!(file, "{line}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_skipped_stands_in_the_log_that_is_counted() {
        let log = std::env::temp_dir().join(format!("duet-skips-{}", std::process::id()));
        let _ = std::fs::remove_file(&log);
        tell("one", "no card", false, Some(log.as_os_str()));
        tell("two", "no model", false, Some(log.as_os_str()));
        let told = std::fs::read_to_string(&log);
        let _ = std::fs::remove_file(&log);
        assert_eq!(told.ok().as_deref(), Some("skipped: one: no card\nskipped: two: no model\n"));
    }

    #[test]
    #[should_panic(expected = "skipped: one: no card; this must not happen in CI")]
    fn nothing_is_skipped_in_ci() {
        tell("one", "no card", true, None);
    }
}
