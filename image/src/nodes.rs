//! `duet nodes`: whom the cluster knows, and the owner's word on each of them.
//!
//! It talks to the running `duet serve` through the owner's socket and decides nothing itself.

pub mod args;
mod stick;
mod table;

use crate::serve::enrol::control::{self, Reply, Request};
use crate::serve::enrol::view::{NodeView, Nodes};
use admission::{Pass, Stick, StickSecret};
use anyhow::{Context, Result, bail};
use args::{NodesArgs, NodesCommand, UsbKeyArgs};
use std::io::{BufRead, ErrorKind, IsTerminal, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;
use zeroize::Zeroizing;

/// A slow PC may need its time for a report, and a minute where it tries something out.
const PATIENCE: Duration = Duration::from_secs(100);

/// `duet nodes`.
pub fn command(args: NodesArgs) -> Result<()> {
    let out = args.out;
    match args.command {
        NodesCommand::List(args) => {
            let nodes = list(&out)?;
            let json = || serde_json::to_string(&nodes).map(|json| json + "\n");
            say(&if args.json { json()? } else { table::render(&nodes) })
        }
        NodesCommand::Approve(args) => approve(&out, &args.who),
        NodesCommand::Remove(args) => ask_and_say(&out, &Request::Remove { who: args.who }),
        NodesCommand::Rename(args) => ask_and_say(&out, &Request::Rename { who: args.who, name: args.name }),
        NodesCommand::RotateKey(_) => ask_and_say(&out, &Request::RotateKey),
        NodesCommand::OpenWindow(args) => ask_and_say(&out, &Request::OpenWindow { minutes: args.minutes }),
        NodesCommand::UsbKey(args) => usb_key(&out, &args),
        NodesCommand::VoidSticks(_) => ask_and_say(&out, &Request::VoidSticks),
        NodesCommand::Logs(args) => ask_and_say(&out, &Request::Logs { who: args.who, lines: args.lines }),
        NodesCommand::RunDiag(args) => ask_and_say(&out, &Request::Diag { who: args.who, part: args.part }),
    }
}

pub fn list(out: &Path) -> Result<Nodes> {
    match ask(out, &Request::List)? {
        Reply::Nodes(nodes) => Ok(nodes),
        other => bail!("`duet serve` answered something else: {other:?}"),
    }
}

/// By the code itself, or by name after the owner has compared the code on the PC's screen.
fn approve(out: &Path, who: &str) -> Result<()> {
    if admission::Code::parse(who).is_some() {
        return ask_and_say(out, &Request::Approve { code: who.to_owned() });
    }
    let nodes = list(out)?;
    let is_meant = |node: &&NodeView| node.name == who || node.id == who || node.mac == who;
    let node = nodes.nodes.iter().find(is_meant);
    let node = node.with_context(|| format!("there is no PC '{who}'; `duet nodes list` shows them all"))?;
    let code = node.code.as_ref();
    let code = code.with_context(|| format!("{who} does not wait for you; it is {}", node.state.as_str()))?;
    if !std::io::stdin().is_terminal() {
        bail!("read the six digits on the screen of {who} and say `duet nodes approve DIGITS`");
    }
    eprint!("Does the screen of {} ({}) show {code}? [y/N] ", node.name, node.mac);
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    if !matches!(line.trim(), "y" | "Y" | "yes") {
        bail!("{who} was not taken in; if its screen shows other digits, somebody stands between you");
    }
    ask_and_say(out, &Request::Approve { code: code.clone() })
}

fn ask_and_say(out: &Path, request: &Request) -> Result<()> {
    match ask(out, request)? {
        Reply::Done { sentence } => say(&(sentence + "\n")),
        Reply::Report { text } => say(&plain(&text)),
        Reply::No { sentence } => bail!(sentence),
        Reply::Nodes(nodes) => say(&table::render(&nodes)),
        Reply::Pass { .. } => bail!("`duet serve` answered something else"),
    }
}

/// The private half is made here and lies on the stick alone; the server sees the public one.
fn usb_key(out: &Path, args: &UsbKeyArgs) -> Result<()> {
    let mut place = stick::open(&args.place, args.force)?;
    let mut seed = Zeroizing::new([0; 32]);
    let n = rustix::rand::getrandom(&mut seed[..], rustix::rand::GetRandomFlags::empty());
    if n != Ok(seed.len()) {
        bail!("the kernel gives no random numbers");
    }
    let secret = StickSecret::from_seed(&seed);
    let pass = match ask(out, &Request::StickPass { key: secret.public().to_hex(), days: args.days })? {
        Reply::Pass { pass } => Pass::parse(&pass).context("`duet serve` is of another version")?,
        Reply::No { sentence } => bail!(sentence),
        other => bail!("`duet serve` answered something else: {other:?}"),
    };
    let stick = Stick::new(pass, secret).context("`duet serve` certified another key")?;
    stick::write(&mut place, &stick).with_context(|| format!("cannot write {}", args.place.display()))?;
    say(&format!(
        "{} takes PCs into cluster {} for {} days, under policy usb. Whoever has it can do so: keep it like a key.\n",
        args.place.display(),
        pass.cluster,
        args.days
    ))
}

/// What a PC says must not command the owner's terminal.
fn plain(text: &str) -> String {
    let clean =
        |letter: char| if letter.is_control() && letter != '\n' && letter != '\t' { '?' } else { letter };
    let mut text: String = text.chars().map(clean).collect();
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

fn ask(out: &Path, request: &Request) -> Result<Reply> {
    let path = control::path(out);
    let mut stream = match UnixStream::connect(&path) {
        Ok(stream) => stream,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => bail!(
            "{} belongs to another user; `duet serve` runs as root, so say `sudo duet nodes`",
            path.display()
        ),
        Err(_) => bail!(
            "`duet serve` does not run with the folder {}; start it, or name its folder with --out",
            out.display()
        ),
    };
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("{}\n", serde_json::to_string(request)?).as_bytes())?;
    let mut text = String::new();
    stream.take(control::REPLY_BYTES_MAX).read_to_string(&mut text).context("`duet serve` did not answer")?;
    serde_json::from_str(&text).context("`duet serve` is of another version")
}

/// A reader that closes early, such as `head`, is no error.
fn say(text: &str) -> Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other.context("cannot write to standard output"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_from_afar_cannot_command_the_terminal() {
        assert_eq!(plain("a\u{1b}[2J\tb\nc"), "a?[2J\tb\nc\n");
    }

    #[test]
    fn without_a_server_the_sentence_says_what_to_do() {
        let error = ask(Path::new("/nonexistent"), &Request::List).unwrap_err();
        assert!(error.to_string().contains("start it, or name its folder with --out"), "{error}");
    }
}
