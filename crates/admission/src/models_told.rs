//! How far a node's models are, as it answers the owner's order: how many are here, how much of the rest, what is refused.

use serde::{Deserialize, Serialize};

use crate::Error;

/// Refused models that are told; the page of the node has all.
pub const REFUSED_TOLD_MAX: usize = 8;
/// Longest name and longest reason, in bytes; longer ones are cut.
pub const REFUSED_TEXT_BYTES_MAX: usize = 240;
/// Longest answer: each letter as six, with the words around it.
pub const MODELS_TOLD_BYTES_MAX: usize = 32 << 10;

/// What a node is to hold, together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelsTold {
    pub n_files: u32,
    pub n_here: u32,
    pub bytes: u64,
    pub have_bytes: u64,
    pub refused: Vec<ModelRefused>,
}

/// One that does not come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelRefused {
    pub file: String,
    pub why: String,
}

impl ModelsTold {
    /// One more file; `why` is empty where nothing is wrong.
    pub fn add(&mut self, file: &str, is_here: bool, have_bytes: u64, bytes: u64, why: &str) {
        self.n_files = self.n_files.saturating_add(1);
        self.n_here = self.n_here.saturating_add(u32::from(is_here));
        self.bytes = self.bytes.saturating_add(bytes);
        self.have_bytes = self.have_bytes.saturating_add(have_bytes.min(bytes));
        if !is_here && !why.is_empty() && self.refused.len() < REFUSED_TOLD_MAX {
            self.refused.push(ModelRefused { file: cut(file), why: cut(why) });
        }
    }

    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("numbers and texts are JSON")
    }

    pub fn parse(text: &str) -> Result<ModelsTold, Error> {
        const WHAT: &str = "what a node tells of its models";
        if text.len() > MODELS_TOLD_BYTES_MAX {
            return Err(Error::TooLong { what: WHAT, bytes_max: MODELS_TOLD_BYTES_MAX });
        }
        let mut told: ModelsTold = serde_json::from_str(text).map_err(|_| Error::Form { what: WHAT })?;
        told.refused.truncate(REFUSED_TOLD_MAX);
        for refused in &mut told.refused {
            (refused.file, refused.why) = (cut(&refused.file), cut(&refused.why));
        }
        Ok(told)
    }

    /// `3 of 4, 62 %`. It is whole only when every file is.
    pub fn line(&self) -> String {
        let ModelsTold { n_files, n_here, .. } = self;
        if n_files == n_here {
            return format!("{n_here} of {n_files}");
        }
        let percent = u128::from(self.have_bytes) * 100 / u128::from(self.bytes.max(1));
        format!("{n_here} of {n_files}, {} %", percent.min(99))
    }
}

/// The beginning of a text, without letters that would command a terminal.
fn cut(text: &str) -> String {
    let ends = text.char_indices().map(|(at, letter)| at + letter.len_utf8());
    let end = ends.take_while(|end| *end <= REFUSED_TEXT_BYTES_MAX).last().unwrap_or(0);
    text[..end].chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(files: &[(bool, u64, u64)], want: &str) {
        let mut told = ModelsTold::default();
        files.iter().for_each(|(is_here, have, bytes)| told.add("a.gguf", *is_here, *have, *bytes, ""));
        assert_eq!(told.line(), want);
        assert_eq!(ModelsTold::parse(&told.to_json()), Ok(told));
    }

    #[test]
    fn a_line_says_how_many_are_here_and_how_much_of_all() {
        check(&[], "0 of 0");
        check(&[(true, 9, 9)], "1 of 1");
        check(&[(true, 60, 60), (false, 2, 40)], "1 of 2, 62 %");
        check(&[(false, 0, 0)], "0 of 1, 0 %");
        // All chunks have come, and it is not checked yet.
        check(&[(false, 9, 9)], "0 of 1, 99 %");
        check(&[(false, u64::MAX, u64::MAX); 3], "0 of 3, 99 %");
    }

    #[test]
    fn what_is_refused_is_told_in_few_plain_words() {
        let mut told = ModelsTold::default();
        told.add("here.gguf", true, 1, 1, "an old reason");
        let why = format!("no room\u{1b}[2J {}", "é".repeat(REFUSED_TEXT_BYTES_MAX));
        (0..REFUSED_TOLD_MAX + 1).for_each(|_| told.add("big.gguf", false, 0, 1, &why));
        let came = ModelsTold::parse(&told.to_json()).unwrap();
        assert_eq!((came.refused.len(), came.n_files), (REFUSED_TOLD_MAX, REFUSED_TOLD_MAX as u32 + 2));
        let first = &came.refused[0];
        assert!(first.file == "big.gguf" && first.why.starts_with("no room [2J é"), "{first:?}");
        assert!(first.why.len() <= REFUSED_TEXT_BYTES_MAX);
    }

    #[test]
    fn the_longest_answer_of_a_node_is_within_the_limit() {
        let mut told = ModelsTold::default();
        let long = "\"".repeat(REFUSED_TEXT_BYTES_MAX);
        (0..REFUSED_TOLD_MAX).for_each(|_| told.add(&long, false, u64::MAX, u64::MAX, &long));
        assert_eq!(ModelsTold::parse(&told.to_json()), Ok(told));
    }

    #[test]
    fn an_answer_that_is_none_is_refused() {
        for bad in ["", "[", "null", r#"{"n_files":-1}"#, r#"{"refused":7}"#] {
            assert!(ModelsTold::parse(bad).is_err(), "{bad}");
        }
        assert!(ModelsTold::parse(&" ".repeat(MODELS_TOLD_BYTES_MAX + 1)).is_err());
        // A newer node may say more.
        assert!(ModelsTold::parse(r#"{"n_files":1,"later":true}"#).is_ok());
    }
}
