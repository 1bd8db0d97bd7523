//! The figures of the models, as they are printed and as they lie in OUT/models, where `duet serve` reads them for the pages
//! of the nodes.

use crate::disk::{read_limited, write_whole};
use admission::{Quality, QualityFigure};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// What is measured, by its name in the figures and in words.
pub const KEYS: [(&str, &str); 5] = [
    ("wer_synthetic", "made voices wrong"),
    ("wer_real", "real voices wrong"),
    ("tool_call_exact", "tools exact"),
    ("routing_accuracy", "experts right"),
    ("recall_at_5", "facts found"),
];
const FILE: &str = "quality.json";
/// Some hundred models, each with all figures.
const FILE_BYTES_MAX: usize = 256 << 10;

/// One figure of one model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    pub model: String,
    #[serde(rename = "use")]
    pub purpose: String,
    pub key: String,
    pub value: f64,
    /// Words, sentences or questions.
    pub n: u64,
}

/// All of them; of each kind the best is told first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Figures {
    /// When they were; absent in files of older releases.
    pub measured_unix_s: Option<u64>,
    pub wer_synthetic: Option<f64>,
    pub wer_real: Option<f64>,
    pub tool_call_exact: Option<f64>,
    pub routing_accuracy: Option<f64>,
    pub recall_at_5: Option<f64>,
    /// Of what is null.
    pub why: BTreeMap<String, String>,
    pub models: Vec<Measured>,
}

impl Figures {
    pub fn add(&mut self, model: &Path, purpose: &str, key: &str, value: f64, n: u64) {
        let model = model.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let (purpose, key) = (purpose.to_owned(), key.to_owned());
        self.models.push(Measured { model, purpose, key: key.clone(), value, n });
        self.weigh(&key);
    }

    /// Writes down the best value of this kind.
    fn weigh(&mut self, key: &str) {
        let best = self.best(key).map(|best| best.value);
        let place = match key {
            "wer_synthetic" => &mut self.wer_synthetic,
            "wer_real" => &mut self.wer_real,
            "tool_call_exact" => &mut self.tool_call_exact,
            "routing_accuracy" => &mut self.routing_accuracy,
            _ => &mut self.recall_at_5,
        };
        *place = best;
    }

    /// Whether anything was known of this model, which is on the shelf no more.
    fn forget(&mut self, model: &str) -> bool {
        let n = self.models.len();
        self.models.retain(|one| one.model != model);
        KEYS.iter().for_each(|(key, _)| self.weigh(key));
        self.models.len() < n
    }

    pub fn lacks(&mut self, key: &str, why: &str) {
        self.why.insert(key.to_owned(), why.to_owned());
    }

    /// The best model for this; of words that are wrong few are best.
    pub fn best(&self, key: &str) -> Option<&Measured> {
        let all = self.models.iter().filter(|one| one.key == key);
        let is_error = key.starts_with("wer_");
        all.reduce(|best, one| {
            let is_better = if is_error { one.value < best.value } else { one.value > best.value };
            if is_better { one } else { best }
        })
    }
}

pub fn words(key: &str) -> &str {
    KEYS.iter().find(|(name, _)| *name == key).map_or(key, |(_, words)| words)
}

pub fn path(out: &Path) -> PathBuf {
    out.join("models").join(FILE)
}

/// Whole or not at all.
pub fn write(out: &Path, figures: &Figures) -> Result<()> {
    let path = path(out);
    if !path.parent().is_some_and(Path::is_dir) {
        return Ok(());
    }
    write_whole(&path, serde_json::to_string(figures)?.as_bytes())
}

/// What nodes are told of it: nothing where nobody measured. `Err` says why a file is not to be believed.
pub fn read(out: &Path) -> Result<Quality> {
    Ok(figures(out)?.map(Figures::told).unwrap_or_default())
}

/// Figures of a model that is removed say nothing of what PCs get from now on.
pub fn forget(out: &Path, model: &str) -> Result<()> {
    let Some(mut figures) = figures(out)? else { return Ok(()) };
    if figures.forget(model) { write(out, &figures) } else { Ok(()) }
}

fn figures(out: &Path) -> Result<Option<Figures>> {
    let path = path(out);
    let text = match read_limited(&path, FILE_BYTES_MAX) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display())).map(Some)
}

impl Figures {
    /// The best of each kind; what is no figure is as if it had not been measured.
    fn told(mut self) -> Quality {
        self.models.retain(|one| QualityFigure::new(&one.model, one.value, one.n).is_some());
        let figure =
            |key: &str| self.best(key).and_then(|best| QualityFigure::new(&best.model, best.value, best.n));
        let quality = Quality {
            measured_unix_s: self.measured_unix_s,
            wer_synthetic: figure("wer_synthetic"),
            wer_real: figure("wer_real"),
            tool_call_exact: figure("tool_call_exact"),
            routing_accuracy: figure("routing_accuracy"),
            recall_at_5: figure("recall_at_5"),
        };
        if quality.is_empty() { Quality::default() } else { quality }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn few_wrong_words_and_many_right_calls_are_best() {
        let mut figures = Figures::default();
        for (model, wer, exact) in [("a", 0.2, 0.9), ("b", 0.1, 0.5), ("c", 0.3, 0.95)] {
            figures.add(Path::new(model), "speech", "wer_real", wer, 10);
            figures.add(Path::new(model), "language", "tool_call_exact", exact, 10);
        }
        assert_eq!((figures.wer_real, figures.tool_call_exact), (Some(0.1), Some(0.95)));
        assert_eq!(figures.recall_at_5, None);
    }

    #[test]
    fn figures_lie_beside_the_models_and_nowhere_else() {
        let out = std::env::temp_dir().join(format!("duet-quality-{}", std::process::id()));
        fs::create_dir_all(&out).unwrap();
        write(&out, &Figures::default()).unwrap();
        assert!(!path(&out).exists());
        fs::create_dir_all(out.join("models")).unwrap();
        let mut figures = Figures::default();
        figures.lacks("wer_real", "no clips");
        write(&out, &figures).unwrap();
        let told: serde_json::Value = serde_json::from_slice(&fs::read(path(&out)).unwrap()).unwrap();
        assert_eq!(
            (&told["wer_real"], &told["why"]["wer_real"]),
            (&serde_json::Value::Null, &"no clips".into())
        );
        assert_eq!(read(&out).unwrap(), Quality::default());
        fs::remove_dir_all(&out).unwrap();
    }

    /// What the nodes are told of a file with this in it.
    fn told(name: &str, bytes: Option<&[u8]>) -> Result<Quality> {
        let out = std::env::temp_dir().join(format!("duet-told-{name}-{}", std::process::id()));
        fs::create_dir_all(out.join("models")).unwrap();
        if let Some(bytes) = bytes {
            fs::write(path(&out), bytes).unwrap();
        }
        let told = read(&out);
        fs::remove_dir_all(&out).unwrap();
        told
    }

    fn some() -> Figures {
        let mut figures = Figures { measured_unix_s: Some(7), ..Figures::default() };
        figures.add(Path::new("a.bin"), "speech", "wer_synthetic", 0.25, 277);
        figures.add(Path::new("b.bin"), "speech", "wer_synthetic", 0.0512, 277);
        figures.add(Path::new("words"), "embedding", "recall_at_5", 0.5, 72);
        figures
    }

    #[test]
    fn nodes_are_told_the_best_of_each_kind_with_its_model() {
        let quality = told("best", Some(serde_json::to_string(&some()).unwrap().as_bytes())).unwrap();
        assert_eq!(quality.wer_synthetic, QualityFigure::new("b.bin", 0.0512, 277));
        assert_eq!(quality.recall_at_5, QualityFigure::new("words", 0.5, 72));
        assert_eq!((quality.measured_unix_s, quality.wer_real), (Some(7), None));
    }

    #[test]
    fn figures_of_a_model_that_is_removed_are_told_no_more() {
        let out = std::env::temp_dir().join(format!("duet-forget-{}", std::process::id()));
        fs::create_dir_all(out.join("models")).unwrap();
        forget(&out, "b.bin").unwrap();
        write(&out, &some()).unwrap();
        forget(&out, "b.bin").unwrap();
        assert_eq!(read(&out).unwrap().wer_synthetic, QualityFigure::new("a.bin", 0.25, 277));
        forget(&out, "a.bin").unwrap();
        let left = read(&out).unwrap();
        assert_eq!((left.wer_synthetic, left.recall_at_5), (None, QualityFigure::new("words", 0.5, 72)));
        fs::remove_dir_all(&out).unwrap();
    }

    #[test]
    fn no_file_and_a_file_of_an_older_release_are_no_mistakes() {
        assert_eq!(told("none", None).unwrap(), Quality::default());
        assert_eq!(told("empty", Some(b"{}")).unwrap(), Quality::default());
        let old =
            br#"{"wer_real":0.5,"models":[{"model":"a","use":"speech","key":"wer_real","value":0.5,"n":9}]}"#;
        let quality = told("old", Some(old)).unwrap();
        assert_eq!(
            (quality.wer_real.map(|figure| figure.thousandths), quality.measured_unix_s),
            (Some(500), None)
        );
    }

    #[test]
    fn half_a_file_a_huge_one_and_figures_that_are_none_are_no_news() {
        let whole = serde_json::to_string(&some()).unwrap();
        let huge = [whole.as_bytes(), &vec![b' '; FILE_BYTES_MAX]].concat();
        let no_number = whole.replace("0.25", "NaN");
        let bad: [&[u8]; 6] =
            [b"", b"[]]", &whole.as_bytes()[..whole.len() / 2], &huge, no_number.as_bytes(), b"\xff\xfe"];
        for (idx, bad) in bad.into_iter().enumerate() {
            let error = told("bad", Some(bad)).unwrap_err().to_string();
            assert!(error.contains("quality.json"), "{idx}: {error}");
        }
        for value in ["-0.1", "20.5", "1e300"] {
            let quality = told("value", Some(whole.replace("0.0512", value).as_bytes())).unwrap();
            assert_eq!(quality.wer_synthetic.map(|figure| figure.model), Some("a.bin".into()), "{value}");
        }
    }
}
