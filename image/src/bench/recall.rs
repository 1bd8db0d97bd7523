//! `duet bench recall`: how often a question in other words finds the fact that somebody told, by words and by vectors.
//!
//! The agent looks as a home's memory does (`agent measure-recall`); a model for vectors is served by rpc-worker here.

use super::served::{Place, Served, Wanted, data};
use super::worker::program;
use crate::progress::Progress;
use crate::tool;
use anyhow::{Context, Result, ensure};
use argh::{ArgsInfo, FromArgs};
use serde_json::Value;
use std::fs::{self, File};
use std::path::PathBuf;

const VECTORS: &str = "minilm";
const QUESTIONS: &str = "agent/recall/questions.tsv";

/// Measure how often a question in other words finds its fact in a home's memory.
#[derive(FromArgs, ArgsInfo, Debug, Clone)]
#[argh(
    subcommand,
    name = "recall",
    example = "By words alone:\n  duet bench recall",
    example = "By vectors too:\n  duet bench recall --embeddings all-MiniLM-L6-v2-q8_0.gguf --json",
    note = "How long a search takes is measured on a node itself: agent memory bench --vectors"
)]
pub struct RecallArgs {
    /// folder for logs and the node programs (default: out)
    #[argh(option, default = "PathBuf::from(\"out\")")]
    pub out: PathBuf,
    /// print one JSON object on stdout; progress goes to stderr
    #[argh(switch)]
    pub json: bool,
    /// languages, facts and questions (default: agent/recall/questions.tsv)
    #[argh(option)]
    pub questions: Option<PathBuf>,
    /// a model file that makes vectors; rpc-worker serves it here
    #[argh(option)]
    pub embeddings: Option<PathBuf>,
    /// HTTP://ADDRESS:PORT of a server instead
    #[argh(option)]
    pub llm_url: Option<String>,
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
pub fn command(args: &RecallArgs) -> Result<()> {
    ensure!(args.embeddings.is_none() || args.llm_url.is_none(), "give --embeddings or --llm-url, not both");
    let progress = Progress::new(if args.embeddings.is_some() { 4 } else { 2 });
    let agent = program("agent", args.agent.as_deref(), &args.out, args.yes, &progress)?;
    let folder = fs::canonicalize(&args.out).context("the folder for logs")?.join("bench");
    let place = Place { worker: args.worker.as_deref(), out: &args.out, yes: args.yes, folder: &folder };
    let served = match &args.embeddings {
        Some(file) => {
            let wanted = [Wanted { file, expert: VECTORS, makes_vectors: true }];
            Some(Served::start(&place, &wanted, &progress)?)
        }
        None => None,
    };
    let mut command = tool::command(&agent.display().to_string());
    command.arg("measure-recall").arg(data(args.questions.as_deref(), QUESTIONS)?);
    if let Some(url) = served.as_ref().map(Served::url).or(args.llm_url.clone()) {
        command.args(["--llm-url", &url]);
    }
    if served.is_some() {
        command.args(["--embeddings", VECTORS]);
    }
    let step = progress.step("looking for each fact", None);
    let answer = folder.join("recall.json");
    let file = File::create(&answer).with_context(|| format!("writing {}", answer.display()))?;
    tool::run_into(&mut command, file, &folder.join("recall.log"), &step)?;
    step.done("looked");
    let text = fs::read_to_string(&answer).with_context(|| format!("reading {}", answer.display()))?;
    let figures: Value = serde_json::from_str(&text).context("understanding what the agent measured")?;
    if args.json {
        println!("{figures}");
    } else {
        print!("{}", table(&figures));
    }
    Ok(())
}

fn table(figures: &Value) -> String {
    let mut text = format!("{} questions, {} facts\n\n", figures["n_questions"], figures["n_facts"]);
    text += "way      language   first  in three  of\n";
    for way in ["words", "vectors", "both"] {
        let told = &figures["ways"][way];
        if let Some(why) = told["why"].as_str() {
            text += &format!("{way:<8} not measured: {why}\n");
        }
        for (language, found) in told["found"].as_object().into_iter().flatten() {
            let n = found["n"].as_f64().unwrap_or(1.0).max(1.0);
            let part = |name: &str| 100.0 * found[name].as_f64().unwrap_or(0.0) / n;
            text += &format!(
                "{way:<8} {language:<8} {:>5.1} %   {:>5.1} % {n:>3.0}\n",
                part("first"),
                part("in_three")
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_way_has_a_line_for_each_language_or_a_reason() {
        let found = json!({ "all": { "first": 3, "in_three": 4, "n": 8 }, "de": { "first": 1, "in_three": 1, "n": 2 } });
        let told = table(&json!({ "n_facts": 7, "n_questions": 8, "ways": {
            "words": { "found": found }, "vectors": { "why": "no model" }, "both": { "why": "no model" } } }));
        assert!(told.contains("words    all       37.5 %    50.0 %   8\n"), "{told}");
        assert!(told.contains("words    de        50.0 %    50.0 %   2\n"), "{told}");
        assert!(told.contains("vectors  not measured: no model\n"), "{told}");
    }
}
