//! `agent workflow`: checks files, and runs one from the command line.

use super::library::{Library, read};
use super::run::{Calling, Over, Run};
use super::{Brain, Hands, Listener, Recalled, Understood};
use crate::answer::model::GatewayModels;
use crate::args::Workflow as Args;
use crate::gateway::{Gateway, Options};
use crate::io::node::Node;
use crate::settings::Settings;
use crate::talk::parts::{Part, Stop};
use crate::tools;
use crate::tools::desk::Desk;
use crate::tools::setup::Setup;
use anyhow::{Context, anyhow, bail};
use brain::{Machine, Type, Value, Workflow};
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

pub async fn run(args: Args) -> anyhow::Result<()> {
    let setup = Setup::new(&args.root, None);
    let names = setup.names();
    let library = Library::open(&args.root, &names.iter().map(String::as_str).collect::<Vec<_>>());
    library.troubles().iter().for_each(|trouble| eprintln!("agent: {trouble}"));
    match (args.what.as_str(), args.files.as_slice()) {
        ("check", []) => bail!("name the files to check"),
        ("check", files) => check(&library, files),
        ("run", [file]) => {
            setup.read_again();
            setup.troubles().iter().for_each(|trouble| eprintln!("agent: {trouble}"));
            play(library, setup.desk, file, &args).await
        }
        ("run", _) => bail!("name the one file to run"),
        (other, _) => bail!("a workflow is checked or run, and not {other:?}; see agent workflow --help"),
    }
}

fn workflow(library: &Library, file: &Path) -> Result<Workflow, String> {
    let text = read(file)?;
    Workflow::read(&file.display().to_string(), &text, &library.known())
        .map_err(|mistakes| mistakes.to_string())
}

/// Every mistake of every file; an error when there was one.
fn check(library: &Library, files: &[std::path::PathBuf]) -> anyhow::Result<()> {
    let mut n_bad = 0;
    for file in files {
        match workflow(library, file) {
            Ok(workflow) => println!("{}: {} nodes, no mistake", file.display(), workflow.nodes().count()),
            Err(why) => {
                n_bad += 1;
                eprintln!("{why}");
            }
        }
    }
    if n_bad > 0 { bail!("{n_bad} of {} files have mistakes", files.len()) } else { Ok(()) }
}

/// A gateway of this process alone, for which one server answers all.
pub fn gateway(address: Option<SocketAddr>) -> Arc<Gateway> {
    let node = Node::new(crate::args::usual_root(), &crate::args::usual_worker().to_string());
    let (_, joined) = tokio::sync::watch::channel(None);
    let settings = Arc::new(Settings::new(joined.clone()));
    let options = Options { set: address, ..Options::default() };
    Arc::new(Gateway::new(Arc::new(node), Arc::default(), joined, settings, options))
}

async fn play(library: Library, desk: Arc<Desk>, file: &Path, args: &Args) -> anyhow::Result<()> {
    let workflow = workflow(&library, file).map_err(|why| anyhow!("{why}"))?;
    let models = GatewayModels { gateway: gateway(args.llm_url), runtime: Handle::current() };
    let brain = Arc::new(Brain::new(library, Arc::new(models), desk));
    let input = |(name, slot): (&str, &Type)| {
        let value = match slot {
            Type::Talk => Value::Talk(vec![]),
            Type::List => Value::List(vec![args.text.clone()]),
            _ => Value::Text(args.text.clone()),
        };
        (name.to_owned(), value)
    };
    let inputs = workflow.inputs().map(input).collect();
    let name = workflow.name.clone();
    let machine = Machine::start(Arc::new(workflow), inputs, brain.now()).map_err(|why| anyhow!("{why}"))?;
    let (told, mut parts) = mpsc::unbounded_channel();
    let hands = Arc::new(Alone::default());
    let run = Run::new(brain.clone(), &name, machine, hands.clone(), listener(&told));
    brain.watch(&run);
    run.drive();
    loop {
        match parts.recv().await.context("the run ended without a word")? {
            Part::By(by) => eprintln!("[{by}]"),
            Part::Words(words) if !args.json => {
                print!("{words}");
                std::io::stdout().flush().context("cannot write to standard output")?;
            }
            Part::Words(_) | Part::Steps(_) => {}
            Part::End | Part::Failed(_) => {
                if !args.json {
                    println!();
                }
                let asked = hands.asked.lock().unwrap_or_else(PoisonError::into_inner).take();
                let Some((run, id)) = asked.and_then(|run| run.question().map(|id| (run, id))) else { break };
                run.go_on(id, line().await?, listener(&told));
            }
        }
    }
    let over = brain.last().get(&name).cloned().context("the run left no trace")?;
    if args.json {
        println!("{}", serde_json::to_string(&over)?);
    } else {
        eprint!("{}", told_steps(&over));
    }
    match over.end {
        brain::End::Failed(why) => bail!("{why}"),
        _ => Ok(()),
    }
}

fn listener(told: &mpsc::UnboundedSender<Part>) -> Listener {
    let told = told.clone();
    // The reader is in this function's caller, and stays.
    Listener { stop: Stop::default(), sink: Box::new(move |part| _ = told.send(part)) }
}

/// What a person types.
async fn line() -> anyhow::Result<String> {
    let read = || {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).map(|_| line)
    };
    Ok(tokio::task::spawn_blocking(read).await?.context("cannot read standard input")?.trim().to_owned())
}

fn told_steps(over: &Over) -> String {
    let mut text = String::new();
    for step in &over.steps {
        let outcome = format!("{:?}", step.outcome).to_lowercase();
        text += &format!(
            "{:>6} ms {:<14} {:<9} {outcome:<8} {}\n",
            step.took_ms,
            step.node,
            step.kind,
            step.notes.join("; ")
        );
    }
    text + &format!("{} tokens\n", over.tokens)
}

/// No conversation, no timers, no memory; a tool that needs a person asks at the terminal.
#[derive(Default)]
struct Alone {
    asked: Mutex<Option<Arc<Run>>>,
}

impl Hands for Alone {
    fn intent(&self, _: &str, done: Understood) {
        done(None);
    }

    fn recall(&self, _: String, _: usize, done: Recalled) {
        done(Ok(vec![]));
    }

    fn tool(&self, wanted: ::tools::Wanted, origin: ::tools::Origin, calling: Calling) {
        let desk = calling.run().desk();
        tokio::spawn(async move {
            let told = tools::command::call(&desk, wanted, origin, calling.stop.clone()).await;
            calling.done(told);
        });
    }

    fn waits(&self, run: &Arc<Run>) {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = Some(run.clone());
    }
}
