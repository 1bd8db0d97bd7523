//! What the program does when nobody reads it any more.

#![allow(clippy::unwrap_used)] // a test may fail

use std::process::{Command, Stdio};

#[test]
fn a_command_whose_output_nobody_reads_ends_without_a_word() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_agent"));
    let ended = command.arg("--help").stdout(writer).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
    assert_eq!(ended.status.code(), Some(141), "as a shell tells of a closed pipe");
}
