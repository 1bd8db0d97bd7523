//! `OUT/models/pins.toml`: what files hashed to that no list knows for certain.
//!
//! A first download is pinned for ever, so that whoever serves another file later is seen; the pin of an owner's own file
//! goes with the file. The hash of a model that the manifest knows for certain is never pinned.

use crate::disk;
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use split::manifest::{Use, is_file_name};
use std::path::{Path, PathBuf};

const BYTES_MAX: usize = 256 * 1024;
pub const PINS_MAX: usize = 512;
const SOURCE_CHARS_MAX: usize = 400;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    FirstDownload,
    Owner,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    pub file: String,
    pub kind: Kind,
    #[serde(rename = "use")]
    pub purpose: Use,
    pub bytes: u64,
    pub sha256: String,
    /// The address or the file that it came from.
    pub source: String,
}

/// All of them, and where they are kept.
#[derive(Debug)]
pub struct Pins {
    path: PathBuf,
    list: Vec<Pin>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Book {
    #[serde(default)]
    pin: Vec<Pin>,
}

impl Pins {
    /// A file that is not there holds none.
    pub fn read(path: &Path) -> Result<Pins> {
        let mend = || {
            let path = path.display();
            format!("reading {path}; mend it, or remove it and with it what first downloads were held to")
        };
        let list = match disk::read_limited(path, BYTES_MAX) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error).with_context(mend),
            Ok(text) => toml::from_str::<Book>(&text).with_context(mend)?.pin,
        };
        let is_hash = |text: &str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let is_sound = |pin: &Pin| is_file_name(&pin.file) && is_hash(&pin.sha256);
        ensure!(list.iter().all(is_sound) && list.len() <= PINS_MAX, "{}: a pin is damaged", mend());
        Ok(Pins { path: path.to_path_buf(), list })
    }

    pub fn of(&self, file: &str) -> Option<&Pin> {
        self.list.iter().find(|pin| pin.file == file)
    }

    /// Keeps a pin, in the place of an older one of that file.
    pub fn put(&mut self, mut pin: Pin) -> Result<()> {
        pin.source = pin.source.chars().filter(|c| !c.is_control()).take(SOURCE_CHARS_MAX).collect();
        self.list.retain(|old| old.file != pin.file);
        ensure!(self.list.len() < PINS_MAX, "{} holds {PINS_MAX} files already", self.path.display());
        self.list.push(pin);
        self.list.sort_by(|a, b| a.file.cmp(&b.file));
        self.write()
    }

    /// Forgets an owner's own file; what a first download hashed to is kept.
    pub fn forget_own(&mut self, file: &str) -> Result<()> {
        let before = self.list.len();
        self.list.retain(|pin| pin.file != file || pin.kind != Kind::Owner);
        if self.list.len() == before { Ok(()) } else { self.write() }
    }

    fn write(&self) -> Result<()> {
        let text = toml::to_string(&Book { pin: self.list.clone() }).context("writing pins")?;
        let head = "# Written by duet models: hashes of first downloads, and of your own files.\n";
        disk::write_whole(&self.path, format!("{head}{text}").as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pin(file: &str, kind: Kind) -> Pin {
        let source = "https://host.example/\u{1b}[31m".into();
        Pin { file: file.into(), kind, purpose: Use::Speech, bytes: 7, sha256: "ab".repeat(32), source }
    }

    #[test]
    fn a_first_download_stays_pinned_and_an_own_file_is_forgotten() {
        let path = std::env::temp_dir().join(format!("duet-pins-{}.toml", std::process::id()));
        let mut pins = Pins::read(&path).unwrap();
        pins.put(pin("a.bin", Kind::FirstDownload)).unwrap();
        pins.put(pin("b.bin", Kind::Owner)).unwrap();
        pins.forget_own("a.bin").unwrap();
        pins.forget_own("b.bin").unwrap();
        let pins = Pins::read(&path).unwrap();
        assert_eq!(pins.of("a.bin").map(|pin| pin.source.as_str()), Some("https://host.example/[31m"));
        assert_eq!(pins.of("b.bin"), None);
        std::fs::write(&path, "[[pin]]\nfile = \"../a.bin\"\n").unwrap();
        assert!(format!("{:#}", Pins::read(&path).unwrap_err()).contains("mend it"));
        std::fs::remove_file(&path).unwrap();
    }
}
