//! `agent tools`: lists them, runs one, shows the book of calls. Who must say yes is asked at the terminal.
//!
//! A call goes to the agent that runs on this PC, where one does: its tools know the cluster, and its book has all calls.

use super::book;
use super::desk::{Desk, Job, Yes};
use super::door::{TOOLS_PATH, shown};
use super::remote;
use super::setup::Setup;
use crate::args::Tools as Args;
use crate::io::runtime;
use crate::talk::parts::Stop;
use anyhow::{Context, anyhow, bail};
use service::upstream;
use std::io::{BufRead, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tools::{Argument, Asker, AuditRecord, Call, Origin, Pending, Risk, Wanted};

const KEY: &str = "DUET_API_KEY";
const KEY_BYTES_MAX: usize = 4096;
const CONNECT_TIME_MAX: Duration = Duration::from_secs(2);
const LIST_TIME_MAX: Duration = Duration::from_secs(10);
const LIST_BYTES_MAX: usize = 4 << 20;

/// The desk of a command: all tools that need no running agent, and the owner's word on them.
pub fn alone(root: &Path) -> Arc<Desk> {
    let setup = Setup::new(root, None);
    setup.read_again();
    setup.troubles().iter().for_each(|trouble| eprintln!("agent: {trouble}"));
    setup.desk
}

pub async fn run(args: Args) -> anyhow::Result<()> {
    match (args.what.as_str(), args.call.as_slice()) {
        ("list", []) => list(&args),
        ("run", [name, rest @ ..]) if rest.len() < 2 => {
            let given = rest.first().map_or("{}", String::as_str);
            let arguments = serde_json::from_str(given).context("the arguments must be one JSON object")?;
            let wanted = Wanted { tool: name.clone(), arguments };
            let told = match args.alone || !answers(args.agent).await {
                true => call(&alone(&args.root), wanted, Origin::Person, Stop::default()).await,
                false => run_there(&args, wanted).await?,
            };
            println!("{}", told.map_err(|why| anyhow!("{why}"))?);
            Ok(())
        }
        ("audit", []) => {
            let folder =
                args.folder.clone().or_else(|| runtime::path("")).context("name the folder with --folder")?;
            for record in book::read(&folder, usize::MAX) {
                if args.json { print!("{}", record.line()) } else { println!("{}", line(&record)) }
            }
            Ok(())
        }
        _ => bail!("say list, run NAME ARGUMENTS, or audit; see agent tools --help"),
    }
}

/// Whether anybody listens there.
async fn answers(agent: SocketAddr) -> bool {
    let there = tokio::net::TcpStream::connect(agent);
    matches!(tokio::time::timeout(CONNECT_TIME_MAX, there).await, Ok(Ok(_)))
}

/// The text of a file with an API key.
pub fn key_of(file: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let key = text.trim();
    let is_key = (1..=KEY_BYTES_MAX).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    if is_key { Ok(key.to_owned()) } else { bail!("{} holds no API key", file.display()) }
}

/// Has the agent run it; a risky call only after a yes at this terminal.
async fn run_there(args: &Args, wanted: Wanted) -> anyhow::Result<Result<String, String>> {
    let agent = args.agent;
    let key = match (&args.key_file, std::env::var(KEY)) {
        (Some(file), _) => key_of(file)?,
        (None, Ok(key)) => key.trim().to_owned(),
        (None, Err(_)) => bail!(
            "an agent runs at {agent}: give it an API key for the voice by {KEY} or --key-file, or say --alone"
        ),
    };
    let yes = match is_asked_for(agent, &key, &wanted.tool).await? {
        true => {
            let will_run = will_run(&wanted);
            let is_yes = tokio::task::spawn_blocking({
                let will_run = will_run.clone();
                move || asked(&will_run)
            });
            if !is_yes.await.context("nobody could be asked")? {
                return Ok(Err("it did not run: nobody said yes".into()));
            }
            Some(Yes { by: "the command line".into(), will_run })
        }
        false => None,
    };
    remote::run_at(agent, key, &wanted, yes).await.map_err(|why| anyhow!("{why}"))
}

/// Exactly what is sent, as the agent will show it to itself.
fn will_run(wanted: &Wanted) -> String {
    let arguments =
        wanted.arguments.iter().map(|(name, value)| (name.clone(), Argument::Json(value.clone())));
    let asker = Asker { origin: Origin::Person, who: String::new(), talk: None };
    let arguments = arguments.collect();
    Call { tool: wanted.tool.clone(), arguments, asker, yes: None, stays: false }.will_run()
}

/// Whether the agent would ask a person before it runs this tool.
async fn is_asked_for(agent: SocketAddr, key: &str, tool: &str) -> anyhow::Result<bool> {
    let shown = format!("Bearer {key}");
    let fields = [("authorization", shown.as_str())];
    let ask = upstream::Ask { address: agent, path: TOOLS_PATH, fields: &fields, body: None };
    let answer = upstream::ask(ask, LIST_TIME_MAX).await;
    let answer = answer.with_context(|| format!("the agent at {agent} does not answer"))?;
    let body = answer.whole(LIST_BYTES_MAX, LIST_TIME_MAX).await.context("its list of tools broke off")?;
    let told: serde_json::Value = serde_json::from_slice(&body).context("its list of tools is no JSON")?;
    let all = told["tools"].as_array().map(Vec::as_slice).unwrap_or_default();
    let found = all.iter().find(|known| known["name"] == tool);
    let found = found.with_context(|| format!("the agent at {agent} has no tool {tool:?}"))?;
    Ok(found["risk"] == Risk::Ask.word())
}

fn list(args: &Args) -> anyhow::Result<()> {
    let all = alone(&args.root).specs();
    if args.json {
        println!("{}", serde_json::Value::Array(all.iter().map(shown).collect()));
        return Ok(());
    }
    for (spec, risk) in &all {
        println!("{:<9} {}", risk.word(), spec.line());
    }
    Ok(())
}

/// Runs a call; a risky one only after a yes at this terminal.
pub async fn call(desk: &Arc<Desk>, wanted: Wanted, origin: Origin, stop: Stop) -> Result<String, String> {
    let asker = Asker { origin, who: "the command line".into(), talk: None };
    let its_desk = desk.clone();
    let asks = Box::new(move |pending: &Pending| {
        let (id, will_run) = (pending.id, pending.will_run.clone());
        // A terminal may be waited for without an end, so nobody joins this thread.
        std::thread::spawn(move || {
            let is_yes = asked(&will_run);
            let _ = its_desk.answer(id, is_yes, "the command line");
        });
    });
    desk.call(Job { wanted, asker, stop, asks }).await
}

/// Whoever is not at a terminal has not said yes.
fn asked(will_run: &str) -> bool {
    let mut stdin = std::io::stdin().lock();
    if !stdin.is_terminal() {
        eprintln!("agent: {will_run} needs a person's yes at a terminal");
        return false;
    }
    eprint!("This will run:\n  {will_run}\nType yes to allow it: ");
    let _ = std::io::stderr().flush();
    let mut line = String::new();
    stdin.read_line(&mut line).is_ok() && line.trim() == "yes"
}

fn line(record: &AuditRecord) -> String {
    let AuditRecord { number, at_s, tool, arguments, asker, outcome, why, by, .. } = record;
    let by = by.as_ref().map_or(String::new(), |by| format!(" by {by}"));
    let why = if why.is_empty() { String::new() } else { format!(": {why}") };
    let text = format!("{number} {at_s} {outcome:?}{by} {tool} {arguments} for {asker}{why}");
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}
