//! What was measured, as data and as a table.

use super::SplitArgs;
use super::lane::Kind;
use crate::bench::llm::make::Recipe;
use crate::bench::llm::shape::SMOLLM2;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;

/// One answer.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// From the opening of the sequence; a ring's connections are made in it.
    pub first_token_ms: f64,
    pub ms_per_token: f64,
    /// Of all processes.
    pub cpu_ms_per_token: f64,
}

/// Each kind once, one after the other.
pub type Round = BTreeMap<Kind, Run>;

/// Hashes of all logits at each token, with how many positions came before.
pub struct Logits {
    pub whole: Vec<String>,
    pub ring: Vec<String>,
}

impl Logits {
    pub fn are_equal(&self) -> bool {
        !self.whole.is_empty() && self.whole == self.ring
    }

    /// Tokens of the prompt.
    fn n_prompt(&self) -> u32 {
        let words = self.whole.first().and_then(|line| line.split_whitespace().nth(2)?.parse().ok());
        words.unwrap_or(0)
    }
}

/// What the loss of a stage cost, in seconds since then.
#[derive(Debug, Clone, Copy)]
pub struct Loss {
    /// Until all stages were connected again.
    pub closed_s: f64,
    /// Until the next token. Between the two the new stage computes prompt and answer once more.
    pub resume_s: f64,
}

impl Loss {
    pub fn told(&self) -> String {
        format!(
            "the ring closed after {:.2} s, the next token came after {:.2} s",
            self.closed_s, self.resume_s
        )
    }
}

/// Of one token.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Instructions {
    pub whole: u64,
    /// Three slices together.
    pub slices: u64,
}

impl Instructions {
    pub fn overhead_percent(self) -> f64 {
        (self.slices as f64 / self.whole as f64 - 1.0) * 100.0
    }
}

/// What lies between two stages.
#[derive(Debug, Clone, Serialize)]
pub struct Link {
    pub how: String,
    /// Measured between two of them.
    pub mbit_per_s: f64,
    pub round_trip_us: f64,
}

/// All figures of a run.
#[derive(Debug, Serialize)]
pub struct Figures {
    /// Processor time for a decoded token, three stages together over the whole model: the median of the rounds.
    pub cpu_overhead_percent: f64,
    /// Instructions of `llama_decode` for a token, three slices together over the whole model: no noise, and no wire.
    pub instructions_overhead_percent: f64,
    pub instructions: Instructions,
    pub logits_equal: bool,
    /// From the end of a stage's process to the next token, where another stands ready: it computes the prompt anew, from what the stage before it kept.
    pub node_loss_resume_s: f64,
    /// Of it, until the ring was closed again.
    pub node_loss_closed_s: f64,
    /// The same where the stage freezes, so that no connection ends.
    pub node_freeze_resume_s: f64,
    pub node_freeze_closed_s: f64,
    pub model: &'static str,
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub level: String,
    pub layers: u64,
    pub layers_of_model: u64,
    pub prompt_tokens: u32,
    pub decoded_tokens: u32,
    pub tokens_compared: usize,
    pub rounds: usize,
    /// Processors of the machine, which all stages share.
    pub cores: usize,
    pub link: Link,
    pub rows: Vec<Row>,
    /// The overhead in each round.
    pub cpu_overhead_percent_by_round: Vec<f64>,
}

/// What the figures are held to.
const CPU_OVERHEAD_PERCENT_MAX: f64 = 3.0;
/// A client hears nothing for so long at most when a stage is lost.
const RESUME_S_MAX: f64 = 3.0;

/// Medians of one kind.
#[derive(Debug, Serialize)]
pub struct Row {
    /// `whole`, `ring` or `star`.
    pub shape: &'static str,
    pub stages: usize,
    pub hops_per_token: usize,
    pub first_token_ms: f64,
    pub ms_per_token: f64,
    pub cpu_ms_per_token: f64,
}

impl Figures {
    /// A sentence for each gate that was missed.
    pub fn missed(&self) -> Vec<String> {
        let mut missed = Vec::new();
        if !self.logits_equal {
            missed.push("the logits of the ring are not those of the whole model".to_owned());
        }
        // What is no number is missed too.
        let over = |value: f64, most: f64| value.is_nan() || value > most;
        let overhead = self.cpu_overhead_percent;
        if over(overhead, CPU_OVERHEAD_PERCENT_MAX) {
            missed.push(format!(
                "three stages take {overhead:+.1} % processor time, the gate is {CPU_OVERHEAD_PERCENT_MAX:+.0} %"
            ));
        }
        for (what, seconds) in [("killed", self.node_loss_resume_s), ("frozen", self.node_freeze_resume_s)] {
            if over(seconds, RESUME_S_MAX) {
                missed.push(format!(
                    "after a stage was {what} the next token came after {seconds:.2} s, the gate is {RESUME_S_MAX} s"
                ));
            }
        }
        missed
    }

    pub fn new(
        args: &SplitArgs,
        recipe: &Recipe,
        link: Link,
        logits: &Logits,
        instructions: Instructions,
        rounds: &[Round],
        [killed, frozen]: [Loss; 2],
    ) -> Figures {
        let by_round = overheads(rounds);
        Figures {
            cpu_overhead_percent: median(by_round.clone()),
            instructions_overhead_percent: instructions.overhead_percent(),
            instructions,
            logits_equal: logits.are_equal(),
            node_loss_resume_s: killed.resume_s,
            node_loss_closed_s: killed.closed_s,
            node_freeze_resume_s: frozen.resume_s,
            node_freeze_closed_s: frozen.closed_s,
            model: recipe.shape.name,
            kind: recipe.mix.name,
            level: args.level.clone(),
            layers: recipe.layers,
            layers_of_model: SMOLLM2.layers,
            prompt_tokens: logits.n_prompt(),
            decoded_tokens: args.tokens,
            tokens_compared: logits.whole.len(),
            rounds: rounds.len(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            link,
            rows: Kind::ALL.iter().map(|kind| row(*kind, rounds)).collect(),
            cpu_overhead_percent_by_round: by_round,
        }
    }
}

/// Of the ring of three, in each round by itself: what disturbs a round disturbs both.
fn overheads(rounds: &[Round]) -> Vec<f64> {
    let of = |round: &Round, kind: Kind| round.get(&kind).map(|run| run.cpu_ms_per_token);
    let overhead = |round| Some((of(round, Kind::RingOfThree)? / of(round, Kind::Whole)? - 1.0) * 100.0);
    rounds.iter().filter_map(overhead).collect()
}

fn row(kind: Kind, rounds: &[Round]) -> Row {
    let of = |what: fn(&Run) -> f64| {
        median(rounds.iter().filter_map(|round| round.get(&kind).map(what)).collect())
    };
    Row {
        shape: kind.name(),
        stages: kind.n_stages(),
        hops_per_token: kind.hops(),
        first_token_ms: of(|run| run.first_token_ms),
        ms_per_token: of(|run| run.ms_per_token),
        cpu_ms_per_token: of(|run| run.cpu_ms_per_token),
    }
}

/// The one in the middle; the upper one of two.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// All of it for a reader.
pub fn table(figures: &Figures) -> String {
    let equal = if figures.logits_equal { "yes" } else { "NO" };
    let mut text = format!(
        "{} as {}, {} of {} layers, kernels {}, {} tokens of prompt; one thread a stage, {} cores for all\n\
         link: {}; measured {:.0} Mbit/s, {:.0} us there and back\n\n",
        figures.model,
        figures.kind,
        figures.layers,
        figures.layers_of_model,
        figures.level,
        figures.prompt_tokens,
        figures.cores,
        figures.link.how,
        figures.link.mbit_per_s,
        figures.link.round_trip_us
    );
    let _ = writeln!(
        text,
        "{:<8}{:>8}{:>6}{:>16}{:>14}{:>18}",
        "shape", "stages", "hops", "first token ms", "ms per token", "CPU ms per token"
    );
    for row in &figures.rows {
        let _ = writeln!(
            text,
            "{:<8}{:>8}{:>6}{:>16.0}{:>14.2}{:>18.2}",
            row.shape,
            row.stages,
            row.hops_per_token,
            row.first_token_ms,
            row.ms_per_token,
            row.cpu_ms_per_token
        );
    }
    let _ = writeln!(
        text,
        "\nprocessor time of three stages over the whole   {:+.1} %   (gate: {CPU_OVERHEAD_PERCENT_MAX:+.0} %)\n\
         instructions of three slices over the whole     {:+.2} %\n\
         every logit of {} tokens the same              {equal}\n\
         stage killed, to a ring and to the next token  {:.2} s, {:.2} s   (gate: {RESUME_S_MAX} s)\n\
         stage frozen, to a ring and to the next token  {:.2} s, {:.2} s   (gate: {RESUME_S_MAX} s)",
        figures.cpu_overhead_percent,
        figures.instructions_overhead_percent,
        figures.tokens_compared,
        figures.node_loss_closed_s,
        figures.node_loss_resume_s,
        figures.node_freeze_closed_s,
        figures.node_freeze_resume_s
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::llm::shape::MIXES;
    use argh::FromArgs;

    fn figures() -> Figures {
        let run = |cpu| Run { first_token_ms: 900.0, ms_per_token: cpu, cpu_ms_per_token: cpu };
        let round = |whole, ring| Round::from([(Kind::Whole, run(whole)), (Kind::RingOfThree, run(ring))]);
        // In a round that something disturbs, both are slower.
        let rounds = [round(10.0, 10.1), round(20.0, 20.4), round(10.0, 10.3)];
        let line = |hash: &str| format!("logits after 512 positions: {hash}");
        let logits = Logits { whole: vec![line("a")], ring: vec![line("a")] };
        let link = Link { how: "loopback".into(), mbit_per_s: 9000.0, round_trip_us: 30.0 };
        let args = SplitArgs::from_args(&["split"], &[]).unwrap();
        let recipe = Recipe::new(SMOLLM2, &MIXES[1], args.layers);
        let loss = Loss { closed_s: 0.5, resume_s: 1.5 };
        let instructions = Instructions { whole: 1000, slices: 1012 };
        Figures::new(&args, &recipe, link, &logits, instructions, &rounds, [loss, loss])
    }

    #[test]
    fn the_overhead_is_the_median_of_the_rounds() {
        assert!((figures().cpu_overhead_percent - 2.0).abs() < 1e-9);
    }

    #[test]
    fn every_gate_that_is_missed_has_a_sentence() {
        assert_eq!(figures().missed(), Vec::<String>::new());
        let mut bad = figures();
        (bad.cpu_overhead_percent, bad.node_freeze_resume_s, bad.logits_equal) = (3.1, 3.5, false);
        let want = [
            "the logits of the ring are not those of the whole model",
            "three stages take +3.1 % processor time, the gate is +3 %",
            "after a stage was frozen the next token came after 3.50 s, the gate is 3 s",
        ];
        assert_eq!(bad.missed(), want);
        let none = Figures { cpu_overhead_percent: f64::NAN, ..figures() };
        assert_eq!(none.missed().len(), 1);
    }

    #[test]
    fn instructions_are_counted_over_the_whole() {
        assert!((figures().instructions_overhead_percent - 1.2).abs() < 1e-9);
    }

    #[test]
    fn the_figures_have_the_keys_that_were_promised() {
        let figures = serde_json::to_value(figures()).unwrap();
        assert!(figures["cpu_overhead_percent"].is_number() && figures["node_loss_resume_s"].is_number());
        assert_eq!(figures["logits_equal"], true);
        assert_eq!(figures["prompt_tokens"], 512);
    }

    #[test]
    fn no_logits_are_not_equal_logits() {
        assert!(!Logits { whole: vec![], ring: vec![] }.are_equal());
    }

    #[test]
    fn the_table_has_a_line_for_every_shape() {
        let table = table(&figures());
        for kind in Kind::ALL {
            let begins = format!("{:<8}{:>8}", kind.name(), kind.n_stages());
            assert!(table.lines().any(|line| line.starts_with(&begins)), "{table}");
        }
    }
}
