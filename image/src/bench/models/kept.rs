//! The figures of the models, as they are printed and as they lie in OUT/models.

use anyhow::{Context, Result};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs;
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

/// One figure of one model.
#[derive(Clone, Debug, PartialEq, Serialize)]
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
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
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
        let best = self.best(&key).map(|best| best.value);
        let place = match key.as_str() {
            "wer_synthetic" => &mut self.wer_synthetic,
            "wer_real" => &mut self.wer_real,
            "tool_call_exact" => &mut self.tool_call_exact,
            "routing_accuracy" => &mut self.routing_accuracy,
            _ => &mut self.recall_at_5,
        };
        *place = best;
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
    let Some(folder) = path.parent().filter(|folder| folder.is_dir()) else { return Ok(()) };
    let new = folder.join(format!(".{FILE}.new"));
    fs::write(&new, serde_json::to_string(figures)?).with_context(|| format!("writing {}", new.display()))?;
    fs::rename(&new, &path).with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

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
        fs::remove_dir_all(&out).unwrap();
    }
}
