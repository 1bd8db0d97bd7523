//! `agent diag`: what a person finds out about a PC with a serial cable or its own screen, without any network.
//!
//! Lines of ASCII, 80 columns, 24 rows, no cursor control: any terminal shows them, and at 9600 baud a screen takes two
//! seconds. A letter and Enter is a command (`menu`), what is longer a question to the models. It is a program of its
//! own beside the agent that serves, and says what it can when that is away.
//!
//! It gives no shell of its own and has no rights: systemd hands it the line, and restarts the PC or starts the shell
//! of images built with one when it ends with the status that says so.

pub mod afar;
mod agent;
mod line;
mod memory;
mod menu;
mod screen;
#[cfg(feature = "sound")]
mod sound;
#[cfg(test)]
mod tests;
mod trying;

use crate::args;
use crate::io::node::Node;
use crate::page::bytes;
use crate::session::local;
use agent::Agent;
use anyhow::Context;
use line::{Closed, Line, Woken, typing};
use menu::{Command, ROWS};
use split::report::HeldState;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::time::Duration;
use trying::AWAY;

/// What waits for a slow line.
const EVENTS_MAX: usize = 64;
/// What the kernel answers for a line that has a name but no chip.
const EIO: i32 = 5;
/// Who does not say yes by then has thought better of it.
const SURE_TIME_MAX: Duration = Duration::from_secs(30);
/// Lines of the journal that are asked for.
const LOG_LINES: u16 = 1000;
/// Where an image that was built with a root shell says so.
const SHELL_MARK: &str = "usr/lib/duet/shell";

const HELLO: &str = "Enter shows how this PC is, ? what else can be asked.\n";

/// How it ends, as its unit understands it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The line is closed.
    Closed,
    Reboot,
    Shell,
}

impl End {
    pub fn status(self) -> u8 {
        match self {
            End::Closed => 0,
            End::Reboot => 75,
            End::Shell => 76,
        }
    }
}

/// What the diagnosis knows the PC by.
pub trait Hands {
    fn status(&self) -> String;
    fn journal(&self) -> String;
    fn models(&self) -> String;
    fn available_bytes(&self) -> u64;
    /// Says a line to the agent that serves; false where that is away.
    fn tell(&self, line: &str) -> bool;
    /// Where devices are looked for: `/`.
    fn root(&self) -> &Path;
}

/// `folder` is the agent's own.
pub fn run(runtime: &tokio::runtime::Runtime, folder: &Path) -> anyhow::Result<End> {
    let (sender, events) = sync_channel(EVENTS_MAX);
    let agent = Agent::default();
    let (typed, told, follower) = (sender.clone(), sender, agent.clone());
    std::thread::Builder::new().spawn(move || typing(io::stdin().lock(), &typed)).context("no thread")?;
    let path = folder.join(local::FILE);
    std::thread::Builder::new().spawn(move || follower.follow(&path, &told)).context("no thread")?;
    let node = Node::new(args::usual_root(), &args::usual_worker().to_string());
    let hands = Machine { runtime, node, agent, root: args::usual_root() };
    match serve(&mut Line::new(events, io::stdout().lock()), &hands) {
        Ok(end) => Ok(end),
        Err(Closed(Ok(()))) => Ok(End::Closed),
        // A PC without this line is no error, and the unit must not fail for it.
        Err(Closed(Err(error))) if error.raw_os_error() == Some(EIO) => Ok(End::Closed),
        Err(Closed(Err(error))) => Err(error).context("cannot use the line"),
    }
}

/// Until the other end closes, or the person wants what only systemd can do.
fn serve<W: Write>(line: &mut Line<W>, hands: &impl Hands) -> Result<End, Closed> {
    // Somebody has just pressed Enter.
    obey(line, hands, Command::Overview)?;
    loop {
        match line.wait(None)? {
            Woken::Quiet => {}
            Woken::Told(told) => line.show(&told)?,
            Woken::Line(text) => {
                if let Some(end) = obey(line, hands, menu::parse(&text))? {
                    return Ok(end);
                }
            }
        }
    }
}

fn obey<W: Write>(line: &mut Line<W>, hands: &impl Hands, command: Command) -> Result<Option<End>, Closed> {
    match command {
        Command::Overview => line.say(&(menu::overview(&hands.status()) + HELLO))?,
        Command::Help => line.say(menu::HELP)?,
        Command::Status => page(line, &hands.status())?,
        Command::Part(names) => page(line, &menu::part(&hands.status(), names))?,
        Command::Log { n_lines: Some(n_lines) } => page(line, &menu::tail(&hands.journal(), n_lines))?,
        Command::Log { n_lines: None } => {
            let rows = menu::rows(&hands.journal(), screen::COLUMNS);
            line.say(&(rows[rows.len().saturating_sub(ROWS)..].join("\n") + "\n"))?;
        }
        Command::Talk => {
            if !hands.tell(line.screen.tap()) {
                line.say(AWAY)?;
            }
        }
        Command::Ask(text) => {
            if !hands.tell(&format!("ask {text}")) {
                line.say(AWAY)?;
            }
        }
        #[cfg(feature = "sound")]
        Command::Sound => sound::both(line, hands)?,
        #[cfg(feature = "sound")]
        Command::Level => sound::level(line, hands)?,
        #[cfg(feature = "sound")]
        Command::Devices => sound::devices(line, hands)?,
        #[cfg(feature = "sound")]
        Command::Choose(choice) => sound::choose(line, hands, choice)?,
        #[cfg(not(feature = "sound"))]
        Command::Sound | Command::Level | Command::Devices | Command::Choose(_) => {
            line.say("This agent was built without sound.\n")?
        }
        Command::Keys => trying::keys(line, hands)?,
        Command::Memory => trying::memory(line, hands)?,
        Command::Models => trying::models(line, hands)?,
        Command::Reboot if is_sure(line)? => return Ok(Some(End::Reboot)),
        Command::Reboot => line.say("It goes on.\n")?,
        Command::Shell if hands.root().join(SHELL_MARK).exists() => return Ok(Some(End::Shell)),
        Command::Shell => {
            line.say("This image has no root shell; `duet build --profile shell` makes one.\n")?
        }
        Command::Unknown(text) => line.say(&format!("{text:?} means nothing here.\n{HELLO}"))?,
    }
    Ok(None)
}

/// Screen by screen, if it is more than one. Whoever has seen enough may say at once what comes next.
fn page<W: Write>(line: &mut Line<W>, text: &str) -> Result<(), Closed> {
    let rows = menu::rows(text, screen::COLUMNS);
    let n_screens = rows.len().div_ceil(ROWS);
    for (idx, rows) in rows.chunks(ROWS).enumerate() {
        line.say(&(rows.join("\n") + "\n"))?;
        if idx + 1 == n_screens {
            break;
        }
        line.write(&format!("-- {} of {n_screens}; Enter: more, q: enough -- ", idx + 1))?;
        loop {
            match line.wait(None)? {
                Woken::Line(text) if text.trim().is_empty() => break,
                Woken::Line(text) if text.trim() == "q" => return Ok(()),
                Woken::Line(text) => {
                    line.again(text);
                    return Ok(());
                }
                // A conversation would tear the page; it is on the next one, `v`.
                Woken::Told(_) | Woken::Quiet => {}
            }
        }
    }
    Ok(())
}

fn is_sure<W: Write>(line: &mut Line<W>) -> Result<bool, Closed> {
    line.write("Type yes to start this PC anew: ")?;
    loop {
        match line.wait(Some(SURE_TIME_MAX))? {
            Woken::Line(text) => return Ok(text.trim() == "yes"),
            Woken::Quiet => return Ok(false),
            Woken::Told(_) => {}
        }
    }
}

/// What rpc-worker holds, a line each.
async fn models(node: &Node) -> String {
    let Some(holds) = node.holds().await else { return "rpc-worker does not answer.\n".into() };
    let state = |state, sentence: &str| match state {
        HeldState::Loading => "is loading".to_owned(),
        HeldState::Ready => "is loaded".to_owned(),
        HeldState::Failed => format!("failed: {sentence}"),
    };
    let mut text = String::new();
    for expert in &holds.experts {
        let state = state(expert.state, &expert.sentence);
        text += &format!("{} ({}, {}) {state}\n", expert.name, expert.model, bytes(expert.bytes));
    }
    for stage in &holds.stages {
        let state = state(stage.state, &stage.sentence);
        let (name, layers) = (&stage.name, format!("{} to {} of {}", stage.first, stage.last, stage.of));
        text += &format!("{name}, layers {layers}, {} {state}\n", bytes(stage.bytes));
    }
    if text.is_empty() { "No model is loaded on this PC.\n".into() } else { text }
}

/// This PC.
struct Machine<'a> {
    runtime: &'a tokio::runtime::Runtime,
    node: Node,
    agent: Agent,
    root: PathBuf,
}

impl Hands for Machine<'_> {
    fn status(&self) -> String {
        self.runtime.block_on(crate::status_text(&self.node))
    }

    fn journal(&self) -> String {
        self.runtime.block_on(self.node.journal(LOG_LINES))
    }

    fn models(&self) -> String {
        self.runtime.block_on(models(&self.node))
    }

    fn available_bytes(&self) -> u64 {
        self.node.memory().available_kib.saturating_mul(1024)
    }

    fn tell(&self, line: &str) -> bool {
        self.agent.tell(line)
    }

    fn root(&self) -> &Path {
        &self.root
    }
}
