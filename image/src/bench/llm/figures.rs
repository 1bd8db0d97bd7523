//! What was measured, as data and as a table.

use super::make::Recipe;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write;

/// All figures of a run.
#[derive(Debug, Serialize, Deserialize)]
pub struct Figures {
    /// The level of our kernels; stock is built for a Core 2 and has SSSE3.
    pub level: String,
    pub machine: Machine,
    pub rows: Vec<Row>,
    /// Time that reading the weights once would take, over the time that decoding a token takes: for each type that
    /// of the largest model, with one thread and no load. It is over 1 where weights stay in a cache.
    pub memory_bound_share: BTreeMap<String, f64>,
    pub instructions: Vec<Instructions>,
}

/// What the machine could do at best, as the node program measured it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Machine {
    pub processor: String,
    pub cores: usize,
    pub cache_bytes: u64,
    /// Read by one thread, from more memory than the caches hold.
    pub read_gb_per_s: f64,
}

/// What `rpc-worker measure` answers.
#[derive(Debug, Deserialize)]
pub struct Measured {
    pub rows: Vec<MeasuredRow>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct MeasuredRow {
    pub stage: String,
    pub threads: u32,
    pub stock_ms_per_token: f64,
    pub ours_ms_per_token: f64,
    pub stock_wall_ms_per_token: f64,
    pub ours_wall_ms_per_token: f64,
}

/// One model, one type, one stage.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Row {
    pub model: String,
    #[serde(rename = "type")]
    pub kind: String,
    /// `prompt` or `decode`.
    pub stage: String,
    pub threads: u32,
    /// Whether a busy program ran beside it.
    pub load: bool,
    /// CPU time of all threads.
    pub stock_ms_per_token: f64,
    pub ours_ms_per_token: f64,
    /// Stock over ours, in CPU time.
    pub ratio: f64,
    pub stock_wall_ms_per_token: f64,
    pub ours_wall_ms_per_token: f64,
    /// Layers that were measured, and that the model has.
    pub layers: u64,
    pub layers_of_model: u64,
    /// Wider than the model's where the type's blocks do not divide it.
    pub width: u64,
    /// Weights that a decoded token reads.
    pub bytes: u64,
}

impl Row {
    pub fn new(recipe: &Recipe, load: bool, row: MeasuredRow) -> Row {
        Row {
            model: recipe.shape.name.to_owned(),
            kind: recipe.mix.name.to_owned(),
            stage: row.stage,
            threads: row.threads,
            load,
            stock_ms_per_token: row.stock_ms_per_token,
            ours_ms_per_token: row.ours_ms_per_token,
            ratio: row.stock_ms_per_token / row.ours_ms_per_token,
            stock_wall_ms_per_token: row.stock_wall_ms_per_token,
            ours_wall_ms_per_token: row.ours_wall_ms_per_token,
            layers: recipe.layers,
            layers_of_model: recipe.shape.layers,
            width: recipe.shape.width,
            bytes: recipe.weight_bytes(),
        }
    }

    fn is(&self, stage: &str, threads: u32, load: bool) -> bool {
        self.stage == stage && self.threads == threads && self.load == load
    }
}

/// Instructions of a short run: 31 tokens of prompt, 8 decoded, two layers of the 135M shape.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Instructions {
    #[serde(rename = "type")]
    pub kind: String,
    pub stock_prompt: u64,
    pub ours_prompt: u64,
    pub prompt_ratio: f64,
    pub stock_decode: u64,
    pub ours_decode: u64,
    pub decode_ratio: f64,
}

impl Instructions {
    /// Prompt and decode of each.
    pub fn new(kind: &str, stock: [u64; 2], ours: [u64; 2]) -> Instructions {
        let ratio = |idx: usize| stock[idx] as f64 / ours[idx] as f64;
        Instructions {
            kind: kind.to_owned(),
            stock_prompt: stock[0],
            ours_prompt: ours[0],
            prompt_ratio: ratio(0),
            stock_decode: stock[1],
            ours_decode: ours[1],
            decode_ratio: ratio(1),
        }
    }
}

impl Figures {
    pub fn new(level: String, machine: Machine) -> Figures {
        Figures { level, machine, rows: vec![], memory_bound_share: BTreeMap::new(), instructions: vec![] }
    }

    /// Works the shares of the memory's bound out.
    pub fn share(&mut self) {
        let mut largest: BTreeMap<&str, &Row> = BTreeMap::new();
        for row in self.rows.iter().filter(|row| row.is("decode", 1, false)) {
            let known = largest.entry(&row.kind).or_insert(row);
            if row.bytes > known.bytes {
                *known = row;
            }
        }
        let speed = self.machine.read_gb_per_s;
        let share = |row: &Row| row.bytes as f64 / (speed * 1e9) / (row.ours_ms_per_token / 1e3);
        self.memory_bound_share =
            largest.into_iter().map(|(kind, row)| (kind.to_owned(), share(row))).collect();
    }
}

/// Ratios of a model in one line.
pub fn ratios(rows: &[Row]) -> String {
    let ratio = |stage: &str| rows.iter().find(|row| row.is(stage, 1, false)).map_or(0.0, |row| row.ratio);
    format!("prompt {:.1}x, decode {:.1}x", ratio("prompt"), ratio("decode"))
}

/// All rows for a reader.
pub fn table(figures: &Figures) -> String {
    let mut text = format!(
        "{}, our kernels: {}; one thread reads {:.1} GB/s\nms per token, CPU time of all threads\n\n",
        figures.machine.processor, figures.level, figures.machine.read_gb_per_s
    );
    let _ = writeln!(
        text,
        "{:<14}{:<8}{:<8}{:>8}{:>6}{:>10}{:>10}{:>8}{:>9}",
        "model", "type", "stage", "threads", "load", "stock", "ours", "ratio", "layers"
    );
    for row in &figures.rows {
        let layers = format!("{}/{}", row.layers, row.layers_of_model);
        let load = if row.load { "yes" } else { "no" };
        let _ = writeln!(
            text,
            "{:<14}{:<8}{:<8}{:>8}{:>6}{:>10.2}{:>10.2}{:>8.2}{:>9}",
            row.model,
            row.kind,
            row.stage,
            row.threads,
            load,
            row.stock_ms_per_token,
            row.ours_ms_per_token,
            row.ratio,
            layers
        );
    }
    let _ = writeln!(text, "\nshare of the memory's bound, decode with one thread");
    for (kind, share) in &figures.memory_bound_share {
        let _ = writeln!(text, "{kind:<8}{:>6.0} %", share * 100.0);
    }
    if !figures.instructions.is_empty() {
        let _ = writeln!(
            text,
            "\nmillion instructions: prompt of 31, then 8 tokens; two layers of the 135M shape"
        );
        let _ = writeln!(
            text,
            "{:<8}{:>10}{:>10}{:>8}{:>10}{:>10}{:>8}",
            "type", "stock", "ours", "ratio", "stock", "ours", "ratio"
        );
    }
    for i in &figures.instructions {
        let millions = |n: u64| n as f64 / 1e6;
        let _ = writeln!(
            text,
            "{:<8}{:>10.0}{:>10.0}{:>8.2}{:>10.0}{:>10.0}{:>8.2}",
            i.kind,
            millions(i.stock_prompt),
            millions(i.ours_prompt),
            i.prompt_ratio,
            millions(i.stock_decode),
            millions(i.ours_decode),
            i.decode_ratio
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::shape::{BONSAI, MIXES, SMOLLM2};
    use super::*;

    /// Two models, with the times given for each.
    fn figures() -> Figures {
        let machine = Machine {
            processor: "some processor".into(),
            cores: 2,
            cache_bytes: 1 << 22,
            read_gb_per_s: 10.0,
        };
        let mut figures = Figures::new("ssse3".into(), machine);
        for (shape, ours) in [(SMOLLM2, 20.0), (BONSAI, 50.0)] {
            let recipe = Recipe::new(shape, &MIXES[1], 1);
            let row = MeasuredRow {
                stage: "decode".into(),
                threads: 1,
                stock_ms_per_token: 60.0,
                ours_ms_per_token: ours,
                stock_wall_ms_per_token: 61.0,
                ours_wall_ms_per_token: ours + 1.0,
            };
            figures.rows.push(Row::new(&recipe, false, row));
        }
        figures.share();
        figures
    }

    #[test]
    fn the_share_is_that_of_the_largest_model() {
        let figures = figures();
        let bytes = figures.rows[1].bytes as f64;
        let want = bytes / 10e9 / 0.050;
        assert!((figures.memory_bound_share["Q8_0"] - want).abs() < 1e-9);
    }

    #[test]
    fn rows_have_the_keys_that_were_promised() {
        let figures = serde_json::to_value(figures()).unwrap();
        let row = figures["rows"][0].as_object().unwrap();
        for key in ["model", "type", "stage", "threads", "stock_ms_per_token", "ours_ms_per_token", "ratio"] {
            assert!(row.contains_key(key), "{key}");
        }
        assert!(figures["memory_bound_share"]["Q8_0"].is_number());
    }

    #[test]
    fn the_table_says_how_much_of_a_model_was_measured() {
        let table = table(&figures());
        let line = table.lines().find(|line| line.starts_with("Bonsai-1.7B")).unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words, ["Bonsai-1.7B", "Q8_0", "decode", "1", "no", "60.00", "50.00", "1.20", "1/28"]);
    }
}
