//! `duet bench recall`: how often a question in other words finds the fact that somebody told, by words and by vectors.
//!
//! The agent looks as a home's memory does (`agent measure-recall`); a model for vectors is served by rpc-worker here.

use super::asked::Asked;
use super::served::{Wanted, data};
use crate::progress::Progress;
use anyhow::{Result, ensure};
use argh::{ArgsInfo, FromArgs};
use serde_json::Value;
use std::path::{Path, PathBuf};

const VECTORS: &str = "minilm";
pub const QUESTIONS: &str = "agent/recall/questions.tsv";

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
    let models: Vec<Wanted<'_>> = args.embeddings.iter().map(|file| vectors(file)).collect();
    let asked = Asked {
        name: "recall",
        out: &args.out,
        yes: args.yes,
        agent: args.agent.as_deref(),
        worker: args.worker.as_deref(),
        models: &models,
        llm_url: args.llm_url.as_deref(),
    };
    let progress = Progress::new(asked.n_steps());
    let questions = data(args.questions.as_deref(), QUESTIONS)?;
    let figures = measure(&asked, &questions, &progress)?;
    if args.json {
        println!("{figures}");
    } else {
        print!("{}", table(&figures));
    }
    Ok(())
}

/// A model that makes vectors, as an expert.
pub fn vectors(file: &Path) -> Wanted<'_> {
    Wanted { file, expert: VECTORS, makes_vectors: true }
}

/// What the agent finds of these questions.
pub fn measure(asked: &Asked<'_>, questions: &Path, progress: &Progress) -> Result<Value> {
    asked.figures(progress, "looking for each fact", |command| {
        command.arg("measure-recall").arg(questions);
        if asked.models.iter().any(|model| model.makes_vectors) {
            command.args(["--embeddings", VECTORS]);
        }
    })
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
