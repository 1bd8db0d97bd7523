//! `duet bench routing`: how often each way of choosing an expert is right, on sentences whose experts are known.
//!
//! The agent chooses as it does for a turn (`agent measure-routing`); a model for vectors and one that chooses are served by
//! rpc-worker here, or a server is named that has them. What cannot be measured says why. What counts are sentences that no
//! figure and no keyword was chosen by; those that were are shown beside.

use super::asked::Asked;
use super::served::{Wanted, data};
use crate::progress::Progress;
use anyhow::{Result, bail, ensure};
use argh::{ArgsInfo, FromArgs};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Right choices of words and vectors, of all: both must be worth more than the general expert for everything.
const WORDS_LEAST: f64 = 0.8;
const VECTORS_LEAST: f64 = 0.8;
/// Experts' names where models are served here.
const VECTORS: &str = "minilm";
const CHOOSER: &str = "chooser";
pub const HELD_OUT: &str = "agent/routing/held-out.tsv";
const TUNED: &str = "agent/routing/sentences.tsv";

/// Measure how often each way of choosing an expert is right.
#[derive(FromArgs, ArgsInfo, Debug, Clone)]
#[argh(
    subcommand,
    name = "routing",
    example = "By words alone:\n  duet bench routing",
    example = "By vectors too:\n  duet bench routing --embeddings all-MiniLM-L6-v2-q8_0.gguf --json",
    example = "By a small model as well:\n  duet bench routing --embeddings all-MiniLM-L6-v2-q8_0.gguf --chooser SmolLM2-135M-Instruct.Q4_1.gguf",
    example = "By a small model of a server:\n  duet bench routing --llm-url http://10.0.0.7:8081 --model granite-350m"
)]
pub struct RoutingArgs {
    /// folder for logs and the node programs (default: out)
    #[argh(option, default = "PathBuf::from(\"out\")")]
    pub out: PathBuf,
    /// print one JSON object on stdout; progress goes to stderr
    #[argh(switch)]
    pub json: bool,
    /// sentences with their experts (default: agent/routing/held-out.tsv, and beside it those the ways were made with)
    #[argh(option)]
    pub sentences: Option<PathBuf>,
    /// a model file that makes vectors; rpc-worker serves it here
    #[argh(option)]
    pub embeddings: Option<PathBuf>,
    /// a model file that chooses; rpc-worker serves it here
    #[argh(option)]
    pub chooser: Option<PathBuf>,
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
    let mut wanted = vec![];
    let mut want = |file: &Option<PathBuf>, expert, makes_vectors| {
        wanted.extend(file.clone().map(|file| (file, expert, makes_vectors)));
    };
    want(&args.embeddings, VECTORS, true);
    want(&args.chooser, CHOOSER, false);
    ensure!(wanted.is_empty() || args.llm_url.is_none(), "give --llm-url, or files of models, not both");
    let models: Vec<Wanted<'_>> = wanted
        .iter()
        .map(|(file, expert, makes_vectors)| Wanted { file, expert, makes_vectors: *makes_vectors })
        .collect();
    let asked = Asked {
        name: "routing",
        out: &args.out,
        yes: args.yes,
        agent: args.agent.as_deref(),
        worker: args.worker.as_deref(),
        models: &models,
        llm_url: args.llm_url.as_deref(),
    };
    let progress = Progress::new(asked.n_steps());
    let held_out = data(args.sentences.as_deref(), HELD_OUT)?;
    let tuned = if args.sentences.is_none() { Some(data(None, TUNED)?) } else { None };
    let chooser = args.chooser.is_some().then_some(CHOOSER);
    let model = args.model.as_deref().or(chooser);
    let figures = measure(&asked, &held_out, tuned.as_deref(), model, &progress)?;
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

/// What the agent chooses for these sentences.
pub fn measure(
    asked: &Asked<'_>,
    sentences: &Path,
    tuned: Option<&Path>,
    model: Option<&str>,
    progress: &Progress,
) -> Result<Value> {
    asked.figures(progress, "choosing an expert for each sentence", |command| {
        command.arg("measure-routing").arg(sentences);
        if let Some(tuned) = tuned {
            command.arg("--tuned").arg(tuned);
        }
        if let Some(model) = model {
            command.args(["--model", model]);
        }
        if let Some(vectors) = asked.models.iter().find(|model| model.makes_vectors) {
            command.args(["--embeddings", vectors.expert]);
        }
    })
}

/// The accuracy of a way, if it was measured.
pub fn accuracy(figures: &Value, way: &str) -> Option<f64> {
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
    let tuned = &figures["tuned_on"];
    let mut text = format!("{} sentences", figures["n_sentences"]);
    if let Some(n) = tuned["n_sentences"].as_u64() {
        text += &format!(" held out; the ways were made with {n} others");
    }
    text += "\n\nway       right   gate  made with   ms each\n";
    for (way, least) in [("words", Some(WORDS_LEAST)), ("vectors", Some(VECTORS_LEAST)), ("model", None)] {
        let gate = least.map_or(String::new(), |least| format!("{:.0} %", 100.0 * least));
        let others = accuracy(tuned, way).map_or("-".to_owned(), |got| format!("{:.1} %", 100.0 * got));
        let ms = figures["ways"][way]["ms_each"].as_f64().unwrap_or(0.0);
        text += &match accuracy(figures, way) {
            Some(got) => format!("{way:<9} {:>5.1} %  {gate:<5} {others:>8}  {ms:>8.1}\n", 100.0 * got),
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
            "words are right in 50.0 % of the sentences, 80.0 % is the least"
        );
        let told = table(&figures(0.9));
        assert!(
            told.contains("words      90.0 %  80 %") && told.contains("vectors   not measured: no model"),
            "{told}"
        );
    }
}
