//! `duet bench models`: how good the models of the shelf are: words heard wrong, calls of tools, choices of experts, facts found.
//!
//! Whatever lies in OUT/models is asked as nodes ask it, by the agent and rpc-worker as they ship. What cannot be measured
//! is null and says why. The figures are kept beside the models.

mod speech;

use super::asked::Asked;
use super::served::{Wanted, data};
use super::{recall, routing};
use crate::models::head;
use crate::models::quality::{self, Figures, Measured};
use crate::progress::Progress;
use crate::releases::unix_now_s;
use crate::setup::{self, For};
use anyhow::{Context, Result};
use argh::{ArgsInfo, FromArgs};
use serde_json::Value;
use split::manifest::{Manifest, Use};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const CALLS: &str = "models/train/language/held-out.jsonl";
const MANIFEST: &str = "models/manifest.toml";
/// Below it lie clips of real persons, where somebody has some.
const DATA: &str = "DUET_MODELS_DATA";
const CALLER: &str = "caller";
const MODELS_MAX: usize = 64;

/// Measure how good the models of the shelf are, and keep the figures beside them.
#[derive(FromArgs, ArgsInfo, Debug, Clone)]
#[argh(
    subcommand,
    name = "models",
    example = "Everything on the shelf:\n  duet bench models",
    example = "One model that lies elsewhere, as data:\n  duet bench models --model tiny.en-q8_0.bin --json",
    note = "Words are spoken by espeak-ng and flite when it runs, in voices that no model of ours was trained with; clips of real persons are those of --speech, a folder with transcripts.tsv.",
    note = "Of several models of a kind the best is what counts. The figures are kept in OUT/models/quality.json, and `duet serve` has every PC's page show them."
)]
pub struct ModelsArgs {
    /// folder with the shelf of models, for logs and the node programs (default: out)
    #[argh(option, default = "PathBuf::from(\"out\")")]
    pub out: PathBuf,
    /// print one JSON object on stdout; progress goes to stderr
    #[argh(switch)]
    pub json: bool,
    /// measure this file instead of the shelf, and keep nothing; may be given several times
    #[argh(option)]
    pub model: Vec<PathBuf>,
    /// folder with clips of real persons (default: speech below DUET_MODELS_DATA, where that is set)
    #[argh(option)]
    pub speech: Option<PathBuf>,
    /// hear at most so many clips of each kind, where a PC is slow (default: all)
    #[argh(option)]
    pub clips: Option<usize>,
    /// sentences with the calls that they want (default: models/train/language/held-out.jsonl)
    #[argh(option)]
    pub calls: Option<PathBuf>,
    /// a built agent to measure with, instead of building one
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
pub fn command(args: &ModelsArgs) -> Result<()> {
    let files = files(args)?;
    let of =
        |purpose: Use| files.iter().filter(move |(_, is)| *is == purpose).map(|(file, _)| file.as_path());
    let speech: Vec<&Path> = of(Use::Speech).collect();
    if !speech.is_empty() {
        setup::ensure(&[For::Speech], args.yes)?;
    }
    let bench = Bench { args };
    let mut figures = Figures { measured_unix_s: Some(unix_now_s()), ..Figures::default() };
    bench.hear(&speech, &mut figures)?;
    bench.call(&of(Use::Language).collect::<Vec<_>>(), &mut figures)?;
    bench.find(&of(Use::Embedding).collect::<Vec<_>>(), &mut figures)?;
    if args.model.is_empty() {
        quality::write(&args.out, &figures)?;
    }
    match args.json {
        true => println!("{}", serde_json::to_string(&figures)?),
        false => print!("{}", table(&figures)),
    }
    Ok(())
}

/// What is to be measured, and what each is for.
fn files(args: &ModelsArgs) -> Result<Vec<(PathBuf, Use)>> {
    let path = crate::build::repository()?.join(MANIFEST);
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let manifest = Manifest::parse(&text).map_err(|why| anyhow::anyhow!("{}: {why}", path.display()))?;
    let mut files = args.model.clone();
    if files.is_empty() {
        let shelf = args.out.join("models");
        let entries = fs::read_dir(&shelf).into_iter().flatten().flatten();
        files = entries.map(|entry| entry.path()).filter(|path| path.is_file()).take(MODELS_MAX).collect();
        files.sort();
    }
    let known = files.into_iter().filter_map(|file| purpose(&file, &manifest).map(|purpose| (file, purpose)));
    Ok(known.collect())
}

/// By the manifest, or by what the file says of itself; none for what is no model.
fn purpose(file: &Path, manifest: &Manifest) -> Option<Use> {
    let name = file.file_name()?.to_str()?;
    let is_one = name.ends_with(".gguf") || name.ends_with(".bin");
    let by_head = || is_one.then(|| head::purpose(file, name).ok()).flatten();
    manifest.model(name).map(|known| known.purpose).or_else(by_head)
}

/// One that cannot be measured costs no figure of another.
fn lacks(figures: &mut Figures, key: &str, model: &Path, done: Result<()>) {
    let Err(error) = done else { return };
    let why = format!("{}: {error:#}", name(model));
    eprintln!("duet: not measured: {why}");
    if figures.best(key).is_none() {
        figures.lacks(key, &why);
    }
}

struct Bench<'a> {
    args: &'a ModelsArgs,
}

impl Bench<'_> {
    fn asked<'a>(&'a self, name: &'a str, models: &'a [Wanted<'a>]) -> Asked<'a> {
        Asked {
            name,
            out: &self.args.out,
            yes: self.args.yes,
            agent: self.args.agent.as_deref(),
            worker: self.args.worker.as_deref(),
            models,
            llm_url: None,
        }
    }

    /// Words of made voices and of real ones.
    fn hear(&self, models: &[&Path], figures: &mut Figures) -> Result<()> {
        if models.is_empty() {
            let why = "no model that hears lies on the shelf";
            figures.lacks("wer_synthetic", why);
            figures.lacks("wer_real", why);
            return Ok(());
        }
        let progress = Progress::new(2 + models.len());
        let agent = super::worker::program(
            "agent",
            self.args.agent.as_deref(),
            &self.args.out,
            self.args.yes,
            &progress,
        )?;
        let folder = fs::canonicalize(&self.args.out).context("the folder for clips")?.join("bench/spoken");
        let n_max = self.args.clips.unwrap_or(usize::MAX).max(1);
        let made = speech::speak(&folder, n_max, &progress)?;
        let beside = std::env::var_os(DATA).map(|data| PathBuf::from(data).join("speech"));
        let real = match self.args.speech.clone().or(beside.filter(|folder| folder.is_dir())) {
            Some(folder) => speech::listed(&folder, n_max)?,
            None => vec![],
        };
        for model in models {
            let step = progress.step(&format!("{} hears", name(model)), None);
            let heard = || -> Result<()> {
                let synthetic = speech::wrong(&agent, model, &made, &folder, &step)?;
                figures.add(model, "speech", "wer_synthetic", synthetic.wer(), synthetic.n_words);
                if !real.is_empty() {
                    let wrong = speech::wrong(&agent, model, &real, &folder, &step)?;
                    figures.add(model, "speech", "wer_real", wrong.wer(), wrong.n_words);
                }
                step.done(&format!("{:.1} % of made words wrong", 100.0 * synthetic.wer()));
                Ok(())
            };
            let done = heard();
            lacks(figures, "wer_synthetic", model, done);
        }
        if real.is_empty() {
            figures.lacks("wer_real", "no clips of real persons: name a folder with --speech");
        }
        Ok(())
    }

    /// Calls of tools by each model that writes.
    fn call(&self, models: &[&Path], figures: &mut Figures) -> Result<()> {
        let calls = data(self.args.calls.as_deref(), CALLS)?;
        if models.is_empty() || !calls.is_file() {
            let why = match models.is_empty() {
                true => "no model that writes lies on the shelf".to_owned(),
                false => format!("{} is missing", calls.display()),
            };
            figures.lacks("tool_call_exact", &why);
            return Ok(());
        }
        for model in models {
            let wanted = [Wanted { file: model, expert: CALLER, makes_vectors: false }];
            let asked = self.asked("calls", &wanted);
            let progress = Progress::new(asked.n_steps());
            let told = asked.figures(&progress, &format!("{} calls tools", name(model)), |command| {
                command.arg("measure-calls").arg(&calls).args(["--model", CALLER]);
            });
            let done = told.map(|told| {
                let (exact, n) = (told["tool_call_exact"].as_f64(), told["n_sentences"].as_u64());
                figures.add(model, "language", "tool_call_exact", exact.unwrap_or(0.0), n.unwrap_or(0));
            });
            lacks(figures, "tool_call_exact", model, done);
        }
        Ok(())
    }

    /// Choices of experts and facts found: by vectors where models make them, else by words.
    fn find(&self, models: &[&Path], figures: &mut Figures) -> Result<()> {
        if models.is_empty() {
            return self.find_by(None, figures);
        }
        for model in models {
            let done = self.find_by(Some(model), figures);
            lacks(figures, "routing_accuracy", model, done);
        }
        Ok(())
    }

    fn find_by(&self, vectors: Option<&Path>, figures: &mut Figures) -> Result<()> {
        let wanted: Vec<Wanted<'_>> = vectors.map(recall::vectors).into_iter().collect();
        let way = if wanted.is_empty() { "words" } else { "vectors" };
        let by = vectors.unwrap_or(Path::new("words"));
        let asked = self.asked("routing", &wanted);
        let progress = Progress::new(asked.n_steps());
        let told = routing::measure(&asked, &data(None, routing::HELD_OUT)?, None, None, &progress)?;
        match routing::accuracy(&told, way) {
            Some(right) => figures.add(
                by,
                "embedding",
                "routing_accuracy",
                right,
                told["n_sentences"].as_u64().unwrap_or(0),
            ),
            None => figures.lacks("routing_accuracy", &why(&told, way)),
        }
        let asked = self.asked("recall", &wanted);
        let progress = Progress::new(asked.n_steps());
        let told = recall::measure(&asked, &data(None, recall::QUESTIONS)?, &progress)?;
        let way = if wanted.is_empty() { "words" } else { "both" };
        let found = &told["ways"][way]["found"]["all"];
        match (found["in_five"].as_f64(), found["n"].as_u64()) {
            (Some(five), Some(n)) => figures.add(by, "embedding", "recall_at_5", five / n.max(1) as f64, n),
            _ => figures.lacks("recall_at_5", &why(&told, way)),
        }
        Ok(())
    }
}

fn why(told: &Value, way: &str) -> String {
    told["ways"][way]["why"].as_str().unwrap_or("the agent did not say why").to_owned()
}

fn name(model: &Path) -> String {
    model.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn table(figures: &Figures) -> String {
    let mut text = format!("{:<18}{:>8}   {}\n", "what", "best", "by");
    let lacking: BTreeMap<&str, &str> =
        figures.why.iter().map(|(key, why)| (key.as_str(), why.as_str())).collect();
    for (key, words) in quality::KEYS {
        let best = figures.best(key);
        text += &match best {
            Some(Measured { model, value, n, .. }) => {
                format!("{words:<18}{:>6.1} %   {model}, of {n}\n", 100.0 * value)
            }
            None => {
                format!("{words:<18}       -   {}\n", lacking.get(key).copied().unwrap_or("not measured"))
            }
        };
    }
    for one in &figures.models {
        text += &format!("  {:<34}{:<18}{:>6.1} %\n", one.model, quality::words(&one.key), 100.0 * one.value);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, want: Option<Use>) {
        let text = fs::read_to_string(crate::build::repository().unwrap().join(MANIFEST)).unwrap();
        let manifest = Manifest::parse(&text).unwrap();
        assert_eq!(purpose(Path::new(name), &manifest), want, "{name}");
    }

    #[test]
    fn the_manifest_says_what_a_file_is_for_and_its_head_where_it_does_not() {
        check("out/models/all-MiniLM-L6-v2-q8_0.gguf", Some(Use::Embedding));
        let own = std::env::temp_dir().join(format!("duet-bench-own-{}.bin", std::process::id()));
        fs::write(&own, crate::models::fetch::tests::whisper(100)).unwrap();
        check(own.to_str().unwrap(), Some(Use::Speech));
        fs::write(&own, "<html>").unwrap();
        check(own.to_str().unwrap(), None);
        fs::remove_file(&own).unwrap();
        check("out/models/not-there.gguf", None);
        check("out/models/quality.json", None);
        check("out/models/half.gguf.part", None);
    }

    #[test]
    fn the_table_has_the_best_of_each_kind_and_a_reason_for_what_lacks() {
        let mut figures = Figures::default();
        figures.add(Path::new("a.bin"), "speech", "wer_synthetic", 0.25, 100);
        figures.add(Path::new("b.bin"), "speech", "wer_synthetic", 0.05, 100);
        figures.lacks("wer_real", "no clips");
        let told = table(&figures);
        assert!(told.contains("made voices"), "{told}");
        assert!(told.contains("   5.0 %   b.bin, of 100"), "{told}");
        assert!(told.contains("-   no clips"), "{told}");
    }
}
