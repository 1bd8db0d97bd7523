//! `agent sandbox`: reads one wish from standard input, runs it in its cage, tells how it ended, and is gone.
//!
//! `duet-sandbox@.service` starts it for each connection of the agent. It has one thread, because its limits hold for
//! itself too.

use super::{CODE_BYTES_MAX, End, LETTER_BYTES_MAX, OUTPUT_BYTES_MAX, SECONDS_MAX, Told, Wish, cage};
use crate::args::Sandbox;
use crate::tools::child;
use anyhow::Context;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{BufRead, Read};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// The answer as a line of JSON; nothing where nobody is there to be told.
pub fn run(args: &Sandbox) -> anyhow::Result<String> {
    let mut line = String::new();
    let mut question = std::io::stdin().lock().take(LETTER_BYTES_MAX as u64);
    question.read_line(&mut line).context("no wish came")?;
    let wish: Wish = serde_json::from_str(&line).context("this is no wish")?;
    let told = match answer(&wish, args) {
        Ok(Some(told)) => told,
        Ok(None) => return Ok(String::new()),
        Err(text) => Told { end: End::Refused, text },
    };
    Ok(serde_json::to_string(&told).context("the answer cannot be written")? + "\n")
}

fn answer(wish: &Wish, args: &Sandbox) -> Result<Option<Told>, String> {
    if rustix::process::geteuid().is_root() {
        return Err("the sandbox does not run as root".into());
    }
    if wish.code.len() > CODE_BYTES_MAX || wish.code.contains('\0') {
        return Err(format!("code has at most {CODE_BYTES_MAX} bytes, and no zero among them"));
    }
    let seconds = wish.seconds.clamp(1, SECONDS_MAX);
    let workspace = cage::workspace(&args.workspace)?;
    let command = cage::command(wish.language, &wish.code, &workspace)?;
    cage::confine(seconds)?;
    let deadline = Instant::now() + Duration::from_secs(seconds);
    let ended = child::run(command, wish.output_max.min(OUTPUT_BYTES_MAX), deadline, &has_hung_up)
        .map_err(|error| format!("the cage cannot be built: {error}"))?;
    let end = match ended.end {
        child::End::Status(status) => End::Status(status),
        child::End::Time => End::Time,
        child::End::Output => End::Output,
        child::End::Left => return Ok(None),
    };
    Ok(Some(Told { end, text: String::from_utf8_lossy(&ended.text).into_owned() }))
}

/// Whoever asked is gone; more to read is not of interest.
fn has_hung_up() -> bool {
    let stdin = std::io::stdin();
    let mut watched = [PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::RDHUP)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut watched, Some(&now)).is_ok_and(|n| n > 0)
}
