//! The command line of `duet bench llm`, and the work that follows from it.

use super::make::Recipe;
use super::shape::{BONSAI, MIXES, Mix, QWEN2, SHAPES, SMOLLM2, Shape};
use super::{COUNTED_TYPES, DECODE, PROMPT};
use anyhow::{Context, Result, bail};
use argh::{ArgsInfo, FromArgs};
use std::path::PathBuf;

const ROUNDS_MAX: u32 = 100;
/// Levels that our kernels have.
pub const LEVELS: [&str; 4] = ["sse2", "ssse3", "sse41", "avx2"];

/// Measure language models: ggml's own kernels beside ours.
#[derive(FromArgs, ArgsInfo, Debug, Clone)]
#[argh(
    subcommand,
    name = "llm",
    example = "The 135M shape in four types, a few minutes:\n  duet bench llm --quick",
    example = "One type of one model, as data:\n  duet bench llm --model Bonsai-1.7B --only Q1_0 --json",
    note = "Weights are random, sizes are true. Larger models are measured with fewer layers, as each row says."
)]
pub struct LlmArgs {
    /// folder for models, logs and the node program (default: out)
    #[argh(option, default = "PathBuf::from(\"out\")")]
    pub out: PathBuf,
    /// print one JSON object on stdout; progress goes to stderr
    #[argh(switch)]
    pub json: bool,
    /// only this type, such as Q4_K_M; may be given several times
    #[argh(option)]
    pub only: Vec<String>,
    /// only this model, such as SmolLM2-135M; may be given several times
    #[argh(option)]
    pub model: Vec<String>,
    /// layers of every model (default: all of the 135M shape, some of the others)
    #[argh(option)]
    pub layers: Option<u64>,
    /// level of our kernels: sse2, ssse3 (default), sse41, avx2
    #[argh(option, default = "String::from(\"ssse3\")")]
    pub level: String,
    /// rounds of each, whose median counts (default 3)
    #[argh(option, default = "3")]
    pub rounds: u32,
    /// one model, four types, one thread, no load, no instructions
    #[argh(switch)]
    pub quick: bool,
    /// keep the models in out/cache/bench for the next run
    #[argh(switch)]
    pub keep: bool,
    /// write the figures as a drawing to this file (SVG)
    #[argh(option)]
    pub plot: Option<PathBuf>,
    /// a built rpc-worker to measure, instead of building one
    #[argh(option)]
    pub program: Option<PathBuf>,
    /// install missing packages without asking
    #[argh(switch, short = 'y')]
    pub yes: bool,
}

/// One model file to be made and measured.
pub struct Task {
    pub recipe: Recipe,
    rounds: u32,
    quick: bool,
}

impl Task {
    /// What it takes on two quiet cores of today, roughly: 0.5 ns for a multiply-add of stock and ours together.
    pub fn seconds(&self) -> f64 {
        let weights: u64 = self.recipe.n_weights();
        let rounds = f64::from(self.rounds + 1);
        // Two numbers of threads, each idle, and one round (with its warm-up) under load.
        let passes = if self.quick { rounds } else { 2.0 * (rounds + 2.0) };
        weights as f64 * (PROMPT + DECODE) as f64 * passes * 0.5e-9 + 2.0
    }
}

impl LlmArgs {
    /// The models to measure, smallest shapes first; errors name what is not known.
    pub fn tasks(&self) -> Result<Vec<Task>> {
        if !LEVELS.contains(&self.level.as_str()) {
            bail!("there are no kernels {:?}, only {}", self.level, LEVELS.join(", "));
        }
        if !(1..=ROUNDS_MAX).contains(&self.rounds) {
            bail!("--rounds is from 1 to {ROUNDS_MAX}");
        }
        if self.layers == Some(0) {
            bail!("--layers is at least 1");
        }
        let shapes =
            chosen(&self.model, if self.quick { &SHAPES[..1] } else { &SHAPES }, &SHAPES, |shape| shape.name)
                .context("--model")?;
        let mixes = self.mixes()?;
        let pairs = shapes.iter().flat_map(|shape| mixes.iter().map(move |mix| (*shape, mix)));
        let task = |(shape, mix): (Shape, &Mix)| {
            let layers = self.layers.unwrap_or_else(|| layers(&shape, mix));
            Task { recipe: Recipe::new(shape, mix, layers), rounds: self.rounds, quick: self.quick }
        };
        Ok(pairs.map(task).collect())
    }

    fn mixes(&self) -> Result<Vec<Mix>> {
        let quick: Vec<Mix> =
            MIXES.into_iter().filter(|mix| ["Q8_0", "Q4_0", "Q4_K_M", "Q1_0"].contains(&mix.name)).collect();
        chosen(&self.only, if self.quick { &quick } else { &MIXES }, &MIXES, |mix| mix.name).context("--only")
    }

    /// Types whose instructions are counted.
    pub fn counted(&self) -> Vec<Mix> {
        let all = if self.quick { vec![] } else { self.mixes().unwrap_or_default() };
        all.into_iter().filter(|mix| COUNTED_TYPES.contains(&mix.name)).collect()
    }

    /// As the node program takes them.
    pub fn threads(&self) -> &'static str {
        if self.quick { "1" } else { "1,2" }
    }
}

/// All layers where that takes a minute; else some, and the rest is more of the same.
fn layers(shape: &Shape, mix: &Mix) -> u64 {
    match (shape.name, mix.name) {
        (name, _) if name == SMOLLM2.name => shape.layers,
        // The model that is recommended, in its own type: the whole of it.
        (name, "Q1_0") if name == BONSAI.name => shape.layers,
        (name, _) if name == QWEN2.name => 6,
        _ => 4,
    }
}

/// What was asked for by name, or the usual.
fn chosen<T: Copy>(asked: &[String], usual: &[T], all: &[T], name: fn(&T) -> &'static str) -> Result<Vec<T>> {
    if asked.is_empty() {
        return Ok(usual.to_vec());
    }
    let find = |asked: &String| {
        let found = all.iter().copied().find(|one| name(one).eq_ignore_ascii_case(asked));
        let names = || all.iter().map(name).collect::<Vec<_>>().join(", ");
        found.with_context(|| format!("{asked:?} is not known, only {}", names()))
    };
    asked.iter().map(find).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> LlmArgs {
        let words: Vec<&str> = line.split_whitespace().collect();
        LlmArgs::from_args(&["llm"], &words).unwrap()
    }

    #[track_caller]
    fn check_error(line: &str, want: &str) {
        let error = parsed(line).tasks().err().map(|error| format!("{error:#}")).unwrap_or_default();
        assert!(error.contains(want), "{error}");
    }

    #[test]
    fn what_is_not_known_is_named_with_what_is() {
        check_error("--only Q3_X", "--only: \"Q3_X\" is not known, only F16, Q8_0");
        check_error(
            "--model GPT",
            "--model: \"GPT\" is not known, only SmolLM2-135M, Qwen2.5-0.5B, Bonsai-1.7B",
        );
        check_error("--level sse5", "there are no kernels \"sse5\", only sse2, ssse3, sse41, avx2");
        check_error("--rounds 0", "--rounds is from 1 to 100");
        check_error("--layers 0", "--layers is at least 1");
    }

    #[test]
    fn everything_is_measured_unless_less_is_asked_for() {
        assert_eq!(parsed("").tasks().unwrap().len(), SHAPES.len() * MIXES.len());
        assert_eq!(parsed("--quick").tasks().unwrap().len(), 4);
        assert_eq!(parsed("--only q1_0 --model bonsai-1.7b").tasks().unwrap().len(), 1);
    }

    #[test]
    fn the_recommended_model_is_measured_whole() {
        let tasks = parsed("--model Bonsai-1.7B --only Q1_0").tasks().unwrap();
        assert_eq!(tasks[0].recipe.layers, 28);
        let tasks = parsed("--model Bonsai-1.7B --only Q1_0 --layers 3").tasks().unwrap();
        assert_eq!(tasks[0].recipe.layers, 3);
    }
}
