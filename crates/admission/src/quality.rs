//! How good the cluster's models were measured to be (`duet bench models`), for the pages of the nodes.
//!
//! Whole numbers, so that settings can be compared. What was not measured is absent, and a figure that a node does not
//! know is of a newer boot server and changes nothing there.

use serde::{Deserialize, Serialize};

use crate::Error;

/// Longest name of a model beside a figure, in bytes; a longer one is cut.
pub const QUALITY_MODEL_BYTES_MAX: usize = 64;
/// Words that were never said can be more mistakes than there are words.
pub const QUALITY_THOUSANDTHS_MAX: u16 = 20_000;

/// What was measured at one time, each with the model that did best.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Quality {
    /// When; absent where the boot server does not know it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measured_unix_s: Option<u64>,
    /// Words heard wrong, by voices that were made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wer_synthetic: Option<QualityFigure>,
    /// Words heard wrong, by real persons.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wer_real: Option<QualityFigure>,
    /// Calls of tools that were exactly right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_call_exact: Option<QualityFigure>,
    /// Questions that went to the right expert.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routing_accuracy: Option<QualityFigure>,
    /// Questions whose fact was among the first five.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recall_at_5: Option<QualityFigure>,
}

/// A part of what was tried, and with which model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QualityFigure {
    pub thousandths: u16,
    /// Words, calls or questions that were tried.
    pub n: u32,
    /// The file of the model, or `words` where none is needed.
    pub model: String,
}

impl Quality {
    pub fn is_empty(&self) -> bool {
        self.figures().all(|figure| figure.is_none())
    }

    fn figures(&self) -> impl Iterator<Item = Option<&QualityFigure>> {
        let all = [
            &self.wer_synthetic,
            &self.wer_real,
            &self.tool_call_exact,
            &self.routing_accuracy,
            &self.recall_at_5,
        ];
        all.into_iter().map(Option::as_ref)
    }

    pub fn check(&self) -> Result<(), Error> {
        match self.figures().flatten().all(QualityFigure::is_good) {
            true => Ok(()),
            false => Err(Error::Limit { what: "the measured quality of the models" }),
        }
    }
}

impl QualityFigure {
    /// Nothing where the value is no such part. A letter that a name should not have becomes a mark.
    pub fn new(model: &str, value: f64, n: u64) -> Option<QualityFigure> {
        let thousandths = (value * 1000.0).round();
        if !(0.0..=f64::from(QUALITY_THOUSANDTHS_MAX)).contains(&thousandths) {
            return None;
        }
        let plain = |letter| if is_plain(letter) { letter } else { '?' };
        let model: String = model.chars().map(plain).take(QUALITY_MODEL_BYTES_MAX).collect();
        let n = u32::try_from(n).unwrap_or(u32::MAX);
        // Within the limit, so it fits.
        let figure = QualityFigure { thousandths: thousandths as u16, n, model };
        figure.is_good().then_some(figure)
    }

    fn is_good(&self) -> bool {
        let n_bytes = self.model.len();
        self.thousandths <= QUALITY_THOUSANDTHS_MAX
            && (1..=QUALITY_MODEL_BYTES_MAX).contains(&n_bytes)
            && self.model.chars().all(is_plain)
    }
}

/// One byte, and one that JSON writes as it is.
fn is_plain(letter: char) -> bool {
    matches!(letter, ' '..='~') && !matches!(letter, '"' | '\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(model: &str, value: f64, want: Option<(u16, &str)>) {
        let figure = QualityFigure::new(model, value, u64::MAX);
        let told = figure.as_ref().map(|figure| (figure.thousandths, figure.model.as_str()));
        assert_eq!(told, want, "{model} {value}");
        let quality = Quality { recall_at_5: figure, ..Quality::default() };
        assert_eq!((quality.check(), quality.is_empty()), (Ok(()), want.is_none()));
    }

    #[test]
    fn a_figure_is_a_part_and_a_plain_name() {
        check("ear.bin", 0.2274, Some((227, "ear.bin")));
        check("ear.bin", 20.0, Some((20_000, "ear.bin")));
        check("a\u{1b}\"é", 0.0, Some((0, "a???")));
        check(&"é".repeat(999), 1.0, Some((1000, &"?".repeat(QUALITY_MODEL_BYTES_MAX))));
        check("", 0.5, None);
        for value in [-0.1, 20.1, 1e300, f64::INFINITY, f64::NEG_INFINITY, f64::NAN] {
            check("ear.bin", value, None);
        }
    }

    #[test]
    fn what_no_boot_server_of_ours_says_is_refused() {
        let good = || QualityFigure { thousandths: 1, n: 1, model: "a".into() };
        for bad in [
            QualityFigure { thousandths: QUALITY_THOUSANDTHS_MAX + 1, ..good() },
            QualityFigure { model: String::new(), ..good() },
            QualityFigure { model: "a\n".into(), ..good() },
            QualityFigure { model: "a".repeat(QUALITY_MODEL_BYTES_MAX + 1), ..good() },
        ] {
            assert!(Quality { wer_real: Some(bad), ..Quality::default() }.check().is_err());
        }
    }

    #[test]
    fn figures_of_a_newer_server_are_passed_over() {
        let text = r#"{"wer_real":{"thousandths":5,"n":2,"model":"a","later":1},"later":{"n":1}}"#;
        let quality: Quality = serde_json::from_str(text).unwrap();
        assert_eq!(quality.wer_real.as_ref().map(|figure| figure.thousandths), Some(5));
        assert_eq!(serde_json::to_string(&Quality::default()).unwrap(), "{}");
    }
}
