//! The manifest of a release: what each of its files must be.
//!
//! It has exactly one form; a manifest that says the same in another form is refused.
//! Whoever holds a `Manifest` from `verify` holds what the owner of the key signed.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::lines::{Line, Place, Text, Value};
use crate::{Error, FileName, Hash, ReleaseId, Word};

/// Longest manifest; the five files of a release need about 800 bytes.
pub const MANIFEST_BYTES_MAX: usize = 16 * 1024;

/// Largest file of a release: what iPXE and a small PC can hold at most.
pub const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;

const FORMAT: u64 = 1;
const WHAT: &str = "the manifest";

/// Length and hash of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileFact {
    pub bytes: u64,
    pub blake3: Hash,
}

/// What a release is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    pub id: ReleaseId,
    pub suite: Word,
    pub kernel: Word,
    pub files: BTreeMap<FileName, FileFact>,
}

impl Manifest {
    /// The one text of this manifest.
    pub fn to_text(&self) -> String {
        let mut text = format!("format = {FORMAT}\n");
        for (key, value) in
            [("id", self.id.as_str()), ("suite", self.suite.as_str()), ("kernel", self.kernel.as_str())]
        {
            writeln!(text, "{key} = \"{value}\"").expect("a String takes every text");
        }
        for (name, fact) in &self.files {
            let FileFact { bytes, blake3 } = fact;
            write!(text, "\n[files.\"{name}\"]\nbytes = {bytes}\nblake3 = \"{blake3}\"\n")
                .expect("a String takes every text");
        }
        text
    }

    /// Reads a manifest without asking who signed it. A node uses `verify` instead.
    pub fn parse(bytes: &[u8]) -> Result<Manifest, Error> {
        let text = Text::new(WHAT, bytes, MANIFEST_BYTES_MAX)?;
        let mut draft = Draft::default();
        for line in text.lines() {
            match line? {
                (place, Line::Section(name)) => draft.begin_file(place, name)?,
                (place, Line::Entry(key, value)) => draft.set(place, key, &value)?,
            }
        }
        let manifest = draft.finish()?;
        if manifest.to_text().as_bytes() == bytes { Ok(manifest) } else { Err(Error::NotCanonical) }
    }

    /// The length and hash that the manifest states for a file.
    pub fn file(&self, name: FileName) -> Result<FileFact, Error> {
        self.files.get(&name).copied().ok_or(Error::NoFile { name })
    }
}

/// A manifest while its lines come in.
#[derive(Default)]
struct Draft {
    format: Option<u64>,
    id: Option<ReleaseId>,
    suite: Option<Word>,
    kernel: Option<Word>,
    files: BTreeMap<FileName, (Option<u64>, Option<Hash>)>,
    file: Option<FileName>,
}

impl Draft {
    fn begin_file(&mut self, place: Place, section: &str) -> Result<(), Error> {
        let name = section.strip_prefix("files.\"").and_then(|rest| rest.strip_suffix('"'));
        let name = name.ok_or_else(|| place.wrong("only [files.\"NAME\"] may stand in brackets"))?;
        let name = FileName::parse(name).map_err(|_| place.wrong("a release has no such file"))?;
        if !name.is_measured() {
            return Err(place.wrong("a manifest cannot state its own hash"));
        }
        self.files.insert(name, (None, None));
        self.file = Some(name);
        Ok(())
    }

    fn set(&mut self, place: Place, key: &str, value: &Value<'_>) -> Result<(), Error> {
        match self.file {
            Some(name) => self.set_file(name, place, key, value),
            None => self.set_head(place, key, value),
        }
    }

    fn set_head(&mut self, place: Place, key: &str, value: &Value<'_>) -> Result<(), Error> {
        match key {
            "format" => self.format = Some(value.number(place)?),
            "id" => self.id = Some(ReleaseId::parse(value.text(place)?)?),
            "suite" => self.suite = Some(Word::parse(value.text(place)?)?),
            "kernel" => self.kernel = Some(Word::parse(value.text(place)?)?),
            _ => return Err(place.wrong("a manifest has no such key")),
        }
        match self.format {
            Some(FORMAT) => Ok(()),
            found => Err(Error::Format { found: found.unwrap_or(0), known: FORMAT }),
        }
    }

    fn set_file(&mut self, name: FileName, place: Place, key: &str, value: &Value<'_>) -> Result<(), Error> {
        let file = self.files.entry(name).or_default();
        match key {
            "bytes" => file.0 = Some(file_bytes(place, value)?),
            "blake3" => file.1 = Some(hash(place, value.text(place)?)?),
            _ => return Err(place.wrong("a file of a manifest has no such key")),
        }
        Ok(())
    }

    fn finish(self) -> Result<Manifest, Error> {
        let missing = |key| Error::Missing { what: WHAT, key };
        let mut files = BTreeMap::new();
        for (name, (bytes, blake3)) in self.files {
            let bytes = bytes.ok_or(missing("bytes"))?;
            files.insert(name, FileFact { bytes, blake3: blake3.ok_or(missing("blake3"))? });
        }
        if let Some(name) = FileName::BOOT.into_iter().find(|name| !files.contains_key(name)) {
            return Err(Error::NoFile { name });
        }
        Ok(Manifest {
            id: self.id.ok_or(missing("id"))?,
            suite: self.suite.ok_or(missing("suite"))?,
            kernel: self.kernel.ok_or(missing("kernel"))?,
            files,
        })
    }
}

fn file_bytes(place: Place, value: &Value<'_>) -> Result<u64, Error> {
    let bytes = value.number(place)?;
    if bytes > FILE_BYTES_MAX { Err(place.wrong("a file of a release has at most 4 GiB")) } else { Ok(bytes) }
}

fn hash(place: Place, text: &str) -> Result<Hash, Error> {
    let wrong = || place.wrong("a BLAKE3 hash of 64 small hex digits was expected");
    Hash::from_hex(text).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Manifest {
        let fact = |n: u8| FileFact { bytes: u64::from(n) * 1000, blake3: Hash::from_bytes([n; 32]) };
        let names = FileName::BOOT.into_iter().chain([FileName::Lock, FileName::Sbom]);
        Manifest {
            id: ReleaseId::parse("trixie-0123456789ab").unwrap(),
            suite: Word::parse("trixie").unwrap(),
            kernel: Word::parse("6.12.1+deb13-amd64").unwrap(),
            files: names.zip(1..).map(|(name, n)| (name, fact(n))).collect(),
        }
    }

    /// Changes the sample's text once and says how it is refused.
    fn check(from: &str, to: &str, want: &str) {
        let text = sample().to_text();
        assert!(text.contains(from), "the sample holds {from:?}");
        let error = Manifest::parse(text.replacen(from, to, 1).as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), want);
    }

    #[test]
    fn a_manifest_survives_its_own_text() {
        let text = sample().to_text();
        assert_eq!(Manifest::parse(text.as_bytes()), Ok(sample()));
    }

    #[test]
    fn the_text_is_what_it_was() {
        let text = sample().to_text();
        let head =
            "format = 1\nid = \"trixie-0123456789ab\"\nsuite = \"trixie\"\nkernel = \"6.12.1+deb13-amd64\"\n";
        let file = format!("\n[files.\"root.squashfs\"]\nbytes = 3000\nblake3 = \"{}\"\n", "03".repeat(32));
        assert!(text.starts_with(head), "{text}");
        assert!(text.contains(&file), "{text}");
    }

    #[test]
    fn another_format_is_refused_before_anything_else() {
        check("format = 1", "format = 2", "the manifest has format 2 and this program knows format 1");
        check("format = 1\n", "", "the manifest has format 0 and this program knows format 1");
    }

    #[test]
    fn another_form_of_the_same_words_is_refused() {
        check("\n\n", "\n", "the manifest is not in the form that duet writes");
        check(
            "suite = \"trixie\"\n",
            "suite = \"a\"\nsuite = \"trixie\"\n",
            "the manifest is not in the form that duet writes",
        );
        check(
            "blake3 = \"0101",
            "blake3 = \"0101 ",
            "the manifest, line 8: a BLAKE3 hash of 64 small hex digits was expected",
        );
    }

    #[test]
    fn a_missing_line_is_named() {
        check("suite = \"trixie\"\n", "", "the manifest does not say suite");
        check("bytes = 1000\n", "", "the manifest does not say bytes");
        check("vmlinuz", "vmlinux", "the manifest, line 6: a release has no such file");
        check("vmlinuz", "manifest.toml", "the manifest, line 6: a manifest cannot state its own hash");
    }

    #[test]
    fn a_manifest_without_a_boot_file_is_refused() {
        let mut manifest = sample();
        manifest.files.remove(&FileName::Root);
        let error = Manifest::parse(manifest.to_text().as_bytes()).unwrap_err();
        assert_eq!(error, Error::NoFile { name: FileName::Root });
    }

    #[test]
    fn a_number_out_of_range_is_refused() {
        check(
            "bytes = 1000",
            "bytes = 4294967297",
            "the manifest, line 7: a file of a release has at most 4 GiB",
        );
        check("bytes = 1000", "bytes = -1", "the manifest, line 7: not a line that duet writes");
        check("bytes = 1000", "bytes = \"1\"", "the manifest, line 7: a whole number was expected");
    }

    #[test]
    fn a_manifest_of_more_than_16_kib_is_not_even_read() {
        let error = Manifest::parse(&vec![b'\n'; MANIFEST_BYTES_MAX + 1]).unwrap_err();
        assert_eq!(error.to_string(), "the manifest is longer than 16384 bytes");
    }

    #[test]
    fn no_cut_or_changed_text_reads_as_the_same_manifest() {
        let text = sample().to_text().into_bytes();
        for cut in 0..text.len() {
            assert_ne!(Manifest::parse(&text[..cut]), Ok(sample()), "cut at {cut}");
        }
        for at in 0..text.len() {
            let mut bytes = text.clone();
            bytes[at] ^= 1;
            assert_ne!(Manifest::parse(&bytes), Ok(sample()), "changed at {at}");
        }
    }
}
