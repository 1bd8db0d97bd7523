//! `duet bench routing`: how often each way of choosing an expert is right, on sentences whose experts are known.
//!
//! The agent chooses as it does for a turn (`agent measure-routing`); a model for vectors is served by rpc-worker here, or a
//! server is named that has one, or a small model that chooses, or both. What cannot be measured says why.

use super::worker::program;
use crate::progress::Progress;
use crate::tool;
use anyhow::{Context, Result, bail, ensure};
use argh::{ArgsInfo, FromArgs};
use serde_json::Value;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

/// Right choices of words and vectors, of all: both must be worth more than the general expert for everything.
const WORDS_LEAST: f64 = 0.7;
const VECTORS_LEAST: f64 = 0.8;
/// A model is there by then.
const LOAD_TIME_MAX: Duration = Duration::from_secs(120);
const ASK_TIME_MAX: Duration = Duration::from_secs(2);

/// Measure how often each way of choosing an expert is right.
#[derive(FromArgs, ArgsInfo, Debug, Clone)]
#[argh(
    subcommand,
    name = "routing",
    example = "By words alone:\n  duet bench routing",
    example = "By vectors too:\n  duet bench routing --embeddings all-MiniLM-L6-v2-q8_0.gguf --json",
    example = "By a small model of a server:\n  duet bench routing --llm-url http://10.0.0.7:8081 --model granite-350m"
)]
pub struct RoutingArgs {
    /// folder for logs and the node programs (default: out)
    #[argh(option, default = "PathBuf::from(\"out\")")]
    pub out: PathBuf,
    /// print one JSON object on stdout; progress goes to stderr
    #[argh(switch)]
    pub json: bool,
    /// sentences with their experts (default: agent/routing/sentences.tsv)
    #[argh(option)]
    pub sentences: Option<PathBuf>,
    /// a model file that makes vectors; rpc-worker serves it here
    #[argh(option)]
    pub embeddings: Option<PathBuf>,
    /// HTTP://ADDRESS:PORT of a server instead
    #[argh(option)]
    pub llm_url: Option<String>,
    /// name there of the model that chooses
    #[argh(option)]
    pub model: Option<String>,
    /// a built agent to measure, instead of building one
    #[argh(option)]
    pub agent: Option<PathBuf>,
    /// a built rpc-worker, instead of building one
    #[argh(option)]
    pub worker: Option<PathBuf>,
    /// install missing packages without asking
    #[argh(switch, short = 'y')]
    pub yes: bool,
}

/// Runs the command.
pub fn command(args: &RoutingArgs) -> Result<()> {
    ensure!(args.embeddings.is_none() || args.llm_url.is_none(), "give --embeddings or --llm-url, not both");
    let progress = Progress::new(if args.embeddings.is_some() { 4 } else { 2 });
    let agent = program("agent", args.agent.as_deref(), &args.out, args.yes, &progress)?;
    let folder = fs::canonicalize(&args.out).context("the folder for logs")?.join("bench");
    let served = match &args.embeddings {
        Some(model) => Some(Served::start(args, model, &folder, &progress)?),
        None => None,
    };
    let sentences = match &args.sentences {
        Some(file) => file.clone(),
        None => crate::build::repository()?.join("agent/routing/sentences.tsv"),
    };
    let mut command = tool::command(&agent.display().to_string());
    command.arg("measure-routing").arg(&sentences);
    let url = served.as_ref().map(|served| format!("http://{}", served.address)).or(args.llm_url.clone());
    if let Some(url) = &url {
        command.args(["--llm-url", url]);
    }
    if let Some(model) = &args.model {
        command.args(["--model", model]);
    }
    if served.is_some() {
        command.args(["--embeddings", EXPERT]);
    }
    let step = progress.step("choosing an expert for each sentence", None);
    let answer = folder.join("routing.json");
    let file = File::create(&answer).with_context(|| format!("writing {}", answer.display()))?;
    tool::run_into(&mut command, file, &folder.join("routing.log"), &step)?;
    step.done("chosen");
    let text = fs::read_to_string(&answer).with_context(|| format!("reading {}", answer.display()))?;
    let figures: Value = serde_json::from_str(&text).context("understanding what the agent measured")?;
    if args.json {
        println!("{figures}");
    } else {
        print!("{}", table(&figures));
    }
    match missed(&figures) {
        Some(what) => bail!("{what}"),
        None => Ok(()),
    }
}

/// The expert's name where a model is served here.
const EXPERT: &str = "minilm";

/// rpc-worker with one model for vectors, for as long as this is kept.
struct Served {
    child: Child,
    address: SocketAddr,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Served {
    fn start(args: &RoutingArgs, model: &Path, folder: &Path, progress: &Progress) -> Result<Served> {
        let worker = program("rpc-worker", args.worker.as_deref(), &args.out, args.yes, progress)?;
        let step = progress.step("a model for vectors", None);
        let expert = folder.join("minilm.toml");
        let file = model.file_name().and_then(|name| name.to_str()).context("the model has no name")?;
        let text = format!(
            "name = \"{EXPERT}\"\nmodel = \"{file}\"\nuse = \"embeddings\"\ncontext = 512\nslots = 1\n"
        );
        fs::write(&expert, text).with_context(|| format!("writing {}", expert.display()))?;
        let models = fs::canonicalize(model).with_context(|| format!("{}", model.display()))?;
        // Free at this moment; whoever takes it meanwhile makes this fail, and nothing else.
        let address =
            TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).context("no free port")?;
        let log = folder.join("routing-worker.log");
        let said = File::create(&log).with_context(|| format!("writing {}", log.display()))?;
        let mut command = tool::command(&worker.display().to_string());
        command.args(["--listen", &address.to_string(), "--stages", "127.0.0.1:0"]);
        command.arg("--expert").arg(&expert);
        command.arg("--models").arg(models.parent().unwrap_or(Path::new("/")));
        command.arg("--assignment").arg(folder.join("no-assignment.json"));
        command.env("OMP_WAIT_POLICY", "passive").stderr(said);
        let child = command.spawn().with_context(|| format!("starting {}", worker.display()))?;
        let mut served = Served { child, address };
        let until = Instant::now() + LOAD_TIME_MAX;
        while !served.is_ready() {
            if let Ok(Some(status)) = served.child.try_wait() {
                bail!("rpc-worker ended with {status}; see {}", log.display());
            }
            ensure!(Instant::now() < until, "the model was not there in time; see {}", log.display());
            std::thread::sleep(Duration::from_millis(200));
        }
        step.done("served");
        Ok(served)
    }

    fn is_ready(&self) -> bool {
        let ask = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect_timeout(&self.address, ASK_TIME_MAX)?;
            stream.set_read_timeout(Some(ASK_TIME_MAX))?;
            stream.write_all(b"GET /v1/models HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n")?;
            let mut told = String::new();
            stream.take(16 << 10).read_to_string(&mut told)?;
            Ok(told)
        };
        ask().is_ok_and(|told| told.contains(EXPERT))
    }
}

/// The accuracy of a way, if it was measured.
fn accuracy(figures: &Value, way: &str) -> Option<f64> {
    figures["ways"][way]["routing_accuracy"].as_f64()
}

fn missed(figures: &Value) -> Option<String> {
    let gates = [("words", WORDS_LEAST), ("vectors", VECTORS_LEAST)];
    gates.into_iter().find_map(|(way, least)| {
        let got = accuracy(figures, way).filter(|got| *got < least)?;
        Some(format!(
            "{way} are right in {:.1} % of the sentences, {:.1} % is the least",
            100.0 * got,
            100.0 * least
        ))
    })
}

fn table(figures: &Value) -> String {
    let mut text = format!("{} sentences\n\nway       right   gate\n", figures["n_sentences"]);
    for (way, least) in [("words", Some(WORDS_LEAST)), ("vectors", Some(VECTORS_LEAST)), ("model", None)] {
        let gate = least.map_or(String::new(), |least| format!("{:.0} %", 100.0 * least));
        text += &match accuracy(figures, way) {
            Some(got) => format!("{way:<9} {:>5.1} %  {gate}\n", 100.0 * got),
            None => {
                let why = figures["ways"][way]["why"].as_str().unwrap_or("unknown");
                format!("{way:<9} not measured: {why}\n")
            }
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_gate_that_is_missed_is_told_and_what_was_not_measured_has_none() {
        let figures = |words: f64| {
            json!({ "n_sentences": 2, "ways": {
                "words": { "routing_accuracy": words }, "vectors": { "why": "no model" }, "model": { "why": "no" } } })
        };
        assert_eq!(missed(&figures(0.9)), None);
        assert_eq!(
            missed(&figures(0.5)).unwrap(),
            "words are right in 50.0 % of the sentences, 70.0 % is the least"
        );
        let told = table(&figures(0.9));
        assert!(
            told.contains("words      90.0 %  70 %\n") && told.contains("vectors   not measured: no model"),
            "{told}"
        );
    }
}
