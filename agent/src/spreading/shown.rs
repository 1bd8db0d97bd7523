//! What page, terminal and API show of models that travel: how much of each is here, from whom, how fast, and who lied.

use super::Spreading;
use admission::ModelsTold;
use serde::Serialize;
use spread::{CHUNK_BYTES, Root};

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SpreadStatus {
    /// The version of the catalogue; 0 while there is none.
    pub catalogue: u64,
    pub files: Vec<SpreadFile>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SpreadFile {
    pub file: String,
    pub bytes: u64,
    pub have_bytes: u64,
    pub is_here: bool,
    /// Of the last fetch.
    pub bytes_per_s: u64,
    /// Who has sent how many chunks.
    pub from: Vec<(String, u32)>,
    /// Who sent wrong chunks and is not asked again.
    pub dropped: Vec<String>,
    /// Why it does not come; empty where nothing is wrong.
    pub sentence: String,
}

impl SpreadFile {
    /// For a terminal: `9.1 of 9.1 MB, from boot server 2, kitchen 1; 61 MB/s`.
    pub fn line(&self) -> String {
        let mb = |bytes: u64| bytes as f64 / 1e6;
        let mut line = format!("{}: {:.1} of {:.1} MB", self.file, mb(self.have_bytes), mb(self.bytes));
        if !self.from.is_empty() {
            let from: Vec<String> = self.from.iter().map(|(name, n)| format!("{name} {n}")).collect();
            line += &format!(", chunks from {}", from.join(", "));
        }
        if self.bytes_per_s > 0 {
            line += &format!(", {:.1} MB/s", mb(self.bytes_per_s));
        }
        if !self.dropped.is_empty() {
            line += &format!("; dropped for wrong chunks: {}", self.dropped.join(", "));
        }
        line
    }
}

impl SpreadStatus {
    /// For the owner who asks by an order.
    pub fn told(&self) -> ModelsTold {
        let mut told = ModelsTold::default();
        for file in &self.files {
            told.add(&file.file, file.is_here, file.have_bytes, file.bytes, &file.sentence);
        }
        told
    }
}

impl Spreading {
    /// What is wanted here, in the order in which it comes.
    pub fn status(&self) -> SpreadStatus {
        let wanted = self.wanted();
        let state = self.lock();
        let files = wanted.iter().map(|want| {
            let root = Root::parse(&want.told.blake3);
            let is_here = self.is_here(&state, want);
            let mut file = state.shown.get(want.file()).cloned().unwrap_or_default();
            file.file = want.file().to_owned();
            file.is_here = is_here;
            let going = state.going.as_ref().filter(|going| Some(going.root) == root);
            if file.bytes == 0 {
                file.bytes = want.told.bytes;
            }
            file.have_bytes = match going {
                _ if is_here => file.bytes,
                Some(going) => (u64::from(going.have.count()) * CHUNK_BYTES).min(file.bytes),
                None => 0,
            };
            file.sentence = state.refused.get(want.file()).map(|(_, why)| why.clone()).unwrap_or_default();
            file
        });
        SpreadStatus {
            catalogue: state.catalogue.as_ref().map_or(0, |catalogue| catalogue.version()),
            files: files.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_is_told_how_much_is_here_and_why_the_rest_is_not() {
        let file = |file: &str, have_bytes, is_here, sentence: &str| SpreadFile {
            file: file.into(),
            bytes: 100,
            have_bytes,
            is_here,
            sentence: sentence.into(),
            ..SpreadFile::default()
        };
        let files = vec![file("a", 100, true, ""), file("b", 40, false, ""), file("c", 0, false, "no room")];
        let told = SpreadStatus { catalogue: 1, files }.told();
        assert_eq!(told.line(), "1 of 3, 46 %");
        assert_eq!(told.refused.iter().map(|r| (&*r.file, &*r.why)).collect::<Vec<_>>(), [("c", "no room")]);
    }

    #[test]
    fn a_line_says_how_much_from_whom_and_who_lied() {
        let file = SpreadFile {
            file: "ear.bin".into(),
            bytes: 9_100_000,
            have_bytes: 9_100_000,
            is_here: true,
            bytes_per_s: 61_000_000,
            from: vec![("boot server".into(), 2), ("kitchen".into(), 1)],
            dropped: vec!["attic".into()],
            sentence: String::new(),
        };
        let want = "ear.bin: 9.1 of 9.1 MB, chunks from boot server 2, kitchen 1, 61.0 MB/s; dropped for wrong chunks: attic";
        assert_eq!(file.line(), want);
    }
}
