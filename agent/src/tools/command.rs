//! `agent tools`: lists them, runs one, shows the book of calls. Who must say yes is asked at the terminal.

use super::book;
use super::desk::{Desk, Job};
use super::door::shown;
use super::setup::Setup;
use crate::args::Tools as Args;
use crate::io::runtime;
use crate::talk::parts::Stop;
use anyhow::{Context, anyhow, bail};
use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;
use tools::{Asker, AuditRecord, Origin, Pending, Wanted};

/// The desk of a command: all tools that need no running agent, and the owner's word on them.
pub fn alone(root: &Path) -> Arc<Desk> {
    let setup = Setup::new(root);
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
            let told = call(&alone(&args.root), wanted, Origin::Person, Stop::default()).await;
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
