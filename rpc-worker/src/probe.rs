//! `rpc-worker probe`: a child of this program tries a model first.
//!
//! llama.cpp aborts the process on matter that it did not expect, and a model file comes from a stranger.
//! The child loads it, reads a word and evaluates it, with little memory, no core file and a time limit; what it died
//! of is told in one sentence. Only then is a model loaded where others would suffer.

use anyhow::{Context as _, bail};
use engine::{Context, Load, Model, Settings};
use gguf::Slice;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, Signal, getppid, set_parent_process_death_signal, setrlimit};
use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Time that any model gets.
const TIME_LEAST: Duration = Duration::from_secs(60);
/// A slow disk, so that a large model gets its time too.
const READ_BYTES_PER_S: u64 = 10_000_000;
/// Address space beside the file, which is mapped once and may be copied once.
const ADDRESSES_SPARE: u64 = 1 << 30;
/// Bytes kept of what the child says.
const SAID_BYTES_MAX: usize = 1 << 14;
/// Letters of the sentence that are shown.
const SENTENCE_MAX: usize = 400;
/// What the child reads and evaluates: letters, blanks, and bytes that need several tokens.
const WORDS: &str = "Hello, w\u{f6}rld 1";
/// Rows of a prompt that a slice tries.
const ROWS_OF_SLICE: u32 = 5;
/// Makes a child of itself the one that tries; its value is the parent's id.
const INSIDE: &str = "DUET_PROBE_INSIDE";

pub fn run(path: &Path) -> anyhow::Result<()> {
    if let Some(parent) = std::env::var_os(INSIDE) {
        return inside(path, &parent);
    }
    check(path)?;
    println!("{} is a good model", path.display());
    Ok(())
}

/// Loads a model where a fault of it would be ours, after a child of ours survived it.
pub fn load(path: &Path) -> anyhow::Result<Arc<Model>> {
    check(path)?;
    Ok(Arc::new(Model::load(path, Load::default())?))
}

/// Lets a child try the model.
pub fn check(path: &Path) -> anyhow::Result<()> {
    // What can be told without a child needs none.
    let file_bytes = engine::check_file(path)?.file_bytes;
    let time = TIME_LEAST + Duration::from_secs(file_bytes / READ_BYTES_PER_S);
    let own = std::env::current_exe().context("cannot tell the own program")?;
    let mut child = Command::new(own)
        .arg("probe")
        .arg(path)
        .env(INSIDE, std::process::id().to_string())
        .env("GGML_NO_BACKTRACE", "1")
        .env("OMP_WAIT_POLICY", "passive")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start a child that tries the model")?;
    let heard = hear(&mut child, Instant::now() + time);
    // It may be over already; then there is nothing to kill.
    let _ = child.kill();
    let status = child.wait().context("cannot wait for the child that tries the model")?;
    let Some(said) = heard.context("cannot hear the child that tries the model")? else {
        bail!("{} took more than {} s and was stopped", path.display(), time.as_secs());
    };
    judge(status, &said).with_context(|| format!("{} is no good model", path.display()))
}

/// What the child writes until its end; nothing if it has not ended in time.
fn hear(child: &mut Child, deadline: Instant) -> io::Result<Option<String>> {
    let mut pipe = child.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let (mut said, mut piece) = (Vec::new(), [0; 1024]);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        // Also when there is always more to hear.
        if left.is_zero() {
            return Ok(None);
        }
        let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        match poll(&mut [PollFd::new(&pipe, PollFlags::IN)], Some(&left)) {
            Ok(0) => return Ok(None),
            // A signal of another matter; what is left of the time is told anew.
            Err(Errno::INTR) => continue,
            done => done?,
        };
        match pipe.read(&mut piece) {
            Ok(0) => return Ok(Some(String::from_utf8_lossy(&said).into_owned())),
            Ok(n) => said.extend(&piece[..n.min(SAID_BYTES_MAX - said.len())]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

fn judge(status: ExitStatus, said: &str) -> anyhow::Result<()> {
    // The library's complaint, where there is one, else the last that was said.
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let complaint = lines.iter().find(|line| line.contains("GGML_ASSERT") || line.contains("what():"));
    let sentence: String =
        complaint.or(lines.last()).copied().unwrap_or("").chars().take(SENTENCE_MAX).collect();
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(()),
        (Some(_), _) => bail!("{}", sentence.trim_start_matches("rpc-worker: ")),
        (None, Some(signal)) if sentence.is_empty() => bail!("llama.cpp died of it ({})", name(signal)),
        (None, Some(signal)) => bail!("llama.cpp died of it ({}): {sentence}", name(signal)),
        (None, None) => bail!("the child that tried it ended strangely"),
    }
}

fn name(signal: i32) -> String {
    match signal {
        4 => "SIGILL, an instruction that this processor has not".to_owned(),
        6 => "SIGABRT".to_owned(),
        7 => "SIGBUS, the file was cut while it was read".to_owned(),
        8 => "SIGFPE".to_owned(),
        9 => "SIGKILL, perhaps for want of memory".to_owned(),
        11 => "SIGSEGV".to_owned(),
        24 => "SIGXCPU, too much time".to_owned(),
        other => format!("signal {other}"),
    }
}

/// The child's part.
fn inside(path: &Path, parent: &OsStr) -> anyhow::Result<()> {
    // Nobody hears what an orphan finds out, and it would hold memory that the next program needs.
    set_parent_process_death_signal(Some(Signal::KILL)).context("cannot be bound to the parent")?;
    if getppid().is_none_or(|pid| *parent != *pid.as_raw_nonzero().to_string()) {
        bail!("the program that wanted to know is gone");
    }
    let file_bytes = engine::check_file(path)?.file_bytes;
    let limit = |most: u64| Rlimit { current: Some(most), maximum: Some(most) };
    setrlimit(Resource::Core, limit(0)).context("cannot forbid core files")?;
    setrlimit(Resource::As, limit(2 * file_bytes + ADDRESSES_SPARE)).context("cannot limit memory")?;
    let seconds = TIME_LEAST.as_secs() + file_bytes / READ_BYTES_PER_S;
    setrlimit(Resource::Cpu, limit(seconds)).context("cannot limit time")?;
    let model = Arc::new(Model::load(path, Load::default())?);
    if let Some(slice) = model.slice().cloned() {
        return try_slice(&model, &slice);
    }
    let tokens = model.tokenise(WORDS, true, true)?;
    let embeddings = model.is_for_embeddings();
    let settings = Settings { n_ctx: 256, n_batch: 64, embeddings, ..Settings::default() };
    let mut context = Context::new(Arc::clone(&model), settings)?;
    let tokens = &tokens[..tokens.len().min(64)];
    if tokens.is_empty() {
        bail!("the model reads {WORDS:?} as no tokens");
    }
    if embeddings {
        context.embed(tokens)?;
        return Ok(());
    }
    context.evaluate(tokens, 0, 0)?;
    // Decode is another way through the library than the prompt.
    context.evaluate(&tokens[..1], 0, tokens.len() as u32)?;
    model.detokenise(tokens, true)?;
    if context.logits().is_none_or(|logits| logits.iter().any(|logit| logit.is_nan())) {
        bail!("the model computes something that is no number");
    }
    Ok(())
}

/// A slice computes a few rows of a prompt and one of an answer.
fn try_slice(model: &Arc<Model>, slice: &Slice) -> anyhow::Result<()> {
    let hands_on = !slice.is_last();
    let settings = Settings { n_ctx: 256, n_batch: 64, hands_on, ..Settings::default() };
    let mut context = Context::new(Arc::clone(model), settings)?;
    let mut at = 0;
    for n in [ROWS_OF_SLICE, 1] {
        if slice.is_first() {
            context.evaluate(&vec![1.min(model.n_vocab() as i32 - 1); n as usize], 0, at)?;
        } else {
            context.evaluate_hidden(&vec![0.5; n as usize * model.n_embd()], 0, at)?;
        }
        at += n;
        let told = if hands_on { context.hidden() } else { context.logits() };
        if told.is_none_or(|floats| floats.iter().any(|float| !float.is_finite())) {
            bail!("the slice computes something that is no number");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: i32, said: &str, want: &str) {
        let said =
            judge(ExitStatus::from_raw(status), said).map_or_else(|e| format!("{e:#}"), |()| "good".into());
        assert_eq!(said, want);
    }

    /// A shell that says something, heard for so long.
    fn said(script: &str, time: Duration) -> Option<String> {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut child = shell.spawn().unwrap();
        let said = hear(&mut child, Instant::now() + time).unwrap();
        let _ = child.kill();
        child.wait().unwrap();
        said
    }

    #[test]
    fn a_child_is_heard_to_its_end_or_until_its_time_is_over() {
        assert_eq!(said("echo one >&2; echo two >&2", TIME_LEAST), Some("one\ntwo\n".to_owned()));
        // It waits for input that never comes.
        assert_eq!(said("exec cat", Duration::from_millis(1)), None);
        // It never stops talking.
        assert_eq!(said("exec yes >&2", Duration::from_millis(1)), None);
    }

    #[test]
    fn what_the_child_died_of_is_one_sentence() {
        check(0, "noise\n", "good");
        check(1 << 8, "noise\nrpc-worker: the file is bad\n", "the file is bad");
        check(
            6,
            "x.cpp:7: GGML_ASSERT(a == b) failed\nmore\n",
            "llama.cpp died of it (SIGABRT): x.cpp:7: GGML_ASSERT(a == b) failed",
        );
        check(11, "", "llama.cpp died of it (SIGSEGV)");
    }
}
