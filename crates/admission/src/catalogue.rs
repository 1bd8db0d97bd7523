//! The list of models that the boot server offers, as it signs it: names, uses, lengths and BLAKE3 hashes.
//!
//! It names no secret, so it travels open and from node to node, and it never goes back: a node that has a newer version
//! keeps it. The bytes of a model are believed for its hash alone, whoever sends them.

use serde::{Deserialize, Serialize};

use crate::keys::{AuthorityPublic, AuthoritySecret, Signature, Statement};
use crate::{ClusterId, Error};

/// Where the boot server has it, and below which the files and their lists of chunks are: `/models/HASH`, `/models/HASH.tree`.
pub const CATALOGUE_PATH: &str = "/models/catalogue.json";
pub const CATALOGUE_FILES_MAX: usize = 64;
/// Longest catalogue as the text in which it travels.
pub const CATALOGUE_BYTES_MAX: usize = 48 << 10;
/// Longest name of a model's file.
pub const MODEL_NAME_BYTES_MAX: usize = 96;
const MODEL_BYTES_MAX: u64 = 64 << 30;
const HASH_DIGITS: usize = 64;
const ID_DIGITS: usize = 32;
const SHAPE_BYTES_MAX: usize = 128;

const FORMAT: u8 = 1;
const WHAT: &str = "the catalogue of models";

/// What a model is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelUse {
    Language,
    Speech,
    Embedding,
    VoiceActivity,
    /// Of a newer boot server's.
    #[serde(other)]
    Other,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogueFile {
    /// As it lies in a node's folder.
    pub file: String,
    #[serde(rename = "use")]
    pub purpose: ModelUse,
    pub bytes: u64,
    /// BLAKE3 of the whole, as `b3sum` prints it.
    pub blake3: String,
    /// What it takes while it works, its file included; 0 where nobody knows.
    #[serde(default)]
    pub memory_mib: u32,
    /// What slices say that they were cut from; nothing for what is no GGUF.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What a plan is made of before the file lies on any node, as `split::shape` writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape: Option<String>,
}

impl CatalogueFile {
    pub fn check(&self) -> Result<(), Error> {
        let is_letter = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        let is_hex = |text: &str, n| {
            text.len() == n && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        };
        let is_name = (1..=MODEL_NAME_BYTES_MAX).contains(&self.file.len())
            && !self.file.starts_with('.')
            && self.file.bytes().all(is_letter);
        if !is_name {
            return Err(Error::Limit { what: "the name of a model's file" });
        }
        if !is_hex(&self.blake3, HASH_DIGITS) || self.model.as_ref().is_some_and(|id| !is_hex(id, ID_DIGITS))
        {
            return Err(Error::Limit { what: "the hash of a model's file" });
        }
        let is_number = |b: u8| b.is_ascii_digit() || b == b' ';
        if self
            .shape
            .as_ref()
            .is_some_and(|text| text.len() > SHAPE_BYTES_MAX || !text.bytes().all(is_number))
        {
            return Err(Error::Limit { what: "the shape of a model" });
        }
        if self.bytes == 0 || self.bytes > MODEL_BYTES_MAX {
            return Err(Error::Limit { what: "the length of a model's file" });
        }
        Ok(())
    }
}

fn check(files: &[CatalogueFile]) -> Result<(), Error> {
    if files.len() > CATALOGUE_FILES_MAX {
        return Err(Error::Limit { what: "the number of models" });
    }
    let mut names: Vec<&str> = files.iter().map(|file| file.file.as_str()).collect();
    names.sort_unstable();
    if names.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Error::Limit { what: "a name that two models have" });
    }
    files.iter().try_for_each(CatalogueFile::check)
}

/// A catalogue of the right form; only [`SignedCatalogue::verify`] says that it is true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCatalogue {
    cluster: ClusterId,
    version: u64,
    files: Vec<CatalogueFile>,
    /// What was signed, to the byte.
    text: String,
    signature: Signature,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed {
    format: u8,
    catalogue: String,
    signature: String,
}

#[derive(Serialize, Deserialize)]
struct Document {
    cluster: String,
    version: u64,
    files: Vec<CatalogueFile>,
}

impl SignedCatalogue {
    pub fn new(
        authority: &AuthoritySecret,
        version: u64,
        files: Vec<CatalogueFile>,
    ) -> Result<SignedCatalogue, Error> {
        check(&files)?;
        let cluster = authority.cluster();
        let document = Document { cluster: cluster.to_string(), version, files };
        let text = serde_json::to_string(&document).expect("a catalogue has only plain values");
        let signature = authority.sign(Statement::Catalogue, text.as_bytes());
        Ok(SignedCatalogue { cluster, version, files: document.files, text, signature })
    }

    pub fn to_json(&self) -> String {
        let (catalogue, signature) = (self.text.clone(), self.signature.to_hex());
        serde_json::to_string(&Sealed { format: FORMAT, catalogue, signature }).expect("texts are JSON")
    }

    pub fn parse(bytes: &[u8]) -> Result<SignedCatalogue, Error> {
        if bytes.len() > CATALOGUE_BYTES_MAX {
            return Err(Error::TooLong { what: WHAT, bytes_max: CATALOGUE_BYTES_MAX });
        }
        let form = Error::Form { what: WHAT };
        let Sealed { format, catalogue: text, signature } =
            serde_json::from_slice(bytes).map_err(|_| form)?;
        if format != FORMAT {
            return Err(Error::Format { what: WHAT, found: format });
        }
        let signature = Signature::parse(&signature).ok_or(form)?;
        let Document { cluster, version, files } = serde_json::from_str(&text).map_err(|_| form)?;
        let cluster = ClusterId::parse(&cluster).ok_or(form)?;
        check(&files)?;
        Ok(SignedCatalogue { cluster, version, files, text, signature })
    }

    /// Whether this authority offers it so.
    pub fn verify(&self, authority: &AuthorityPublic) -> Result<(), Error> {
        if self.cluster != ClusterId::of(authority) {
            return Err(Error::Cluster);
        }
        authority.verify(Statement::Catalogue, self.text.as_bytes(), &self.signature)
    }

    pub fn version(&self) -> u64 {
        self.version
    }

    pub fn files(&self) -> &[CatalogueFile] {
        &self.files
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::tests::authority;

    fn file(name: &str) -> CatalogueFile {
        CatalogueFile {
            file: name.into(),
            purpose: ModelUse::Language,
            bytes: 5 << 20,
            blake3: "ab".repeat(32),
            memory_mib: 7,
            model: Some("0f".repeat(16)),
            shape: Some("9".repeat(SHAPE_BYTES_MAX)),
        }
    }

    #[test]
    fn a_catalogue_survives_its_text_and_is_believed_from_its_own_authority_alone() {
        for files in [vec![], vec![file("a.gguf"), file("b.gguf")]] {
            let signed = SignedCatalogue::new(&authority(1), 7, files.clone()).unwrap();
            let came = SignedCatalogue::parse(signed.to_json().as_bytes()).unwrap();
            assert_eq!((came.version(), came.files()), (7, &files[..]));
            assert_eq!(came.verify(&authority(1).public()), Ok(()));
            assert_eq!(came.verify(&authority(2).public()), Err(Error::Cluster));
            assert_eq!(came, signed);
        }
    }

    #[test]
    fn a_changed_byte_anywhere_is_refused() {
        let good =
            SignedCatalogue::new(&authority(1), 7, vec![file("a.gguf")]).unwrap().to_json().into_bytes();
        for at in (0..good.len()).step_by(7) {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            let verdict = SignedCatalogue::parse(&bytes).and_then(|came| came.verify(&authority(1).public()));
            assert!(verdict.is_err(), "byte {at}");
        }
    }

    #[test]
    fn names_that_lead_elsewhere_and_numbers_that_no_model_has_are_refused() {
        let refused = |files: Vec<CatalogueFile>| {
            assert!(SignedCatalogue::new(&authority(1), 7, files.clone()).is_err(), "{files:?}");
        };
        for name in ["", "../a.gguf", ".a", "a/b", "a\n", &"a".repeat(MODEL_NAME_BYTES_MAX + 1)] {
            refused(vec![file(name)]);
        }
        refused(vec![file("a"), file("a")]);
        refused(vec![CatalogueFile { bytes: 0, ..file("a") }]);
        refused(vec![CatalogueFile { bytes: u64::MAX, ..file("a") }]);
        refused(vec![CatalogueFile { shape: Some("9".repeat(SHAPE_BYTES_MAX + 1)), ..file("a") }]);
        refused(vec![CatalogueFile { shape: Some("1 x".into()), ..file("a") }]);
        refused(vec![CatalogueFile { blake3: "AB".repeat(32), ..file("a") }]);
        refused(vec![CatalogueFile { model: Some("x".into()), ..file("a") }]);
        refused((0..=CATALOGUE_FILES_MAX).map(|n| file(&format!("m{n}"))).collect());
        let long = " ".repeat(CATALOGUE_BYTES_MAX + 1);
        assert!(matches!(SignedCatalogue::parse(long.as_bytes()), Err(Error::TooLong { .. })));
    }

    #[test]
    fn the_longest_catalogue_fits_and_a_use_of_later_is_read() {
        let name = |n: usize| format!("{n:0>MODEL_NAME_BYTES_MAX$}");
        let files: Vec<CatalogueFile> = (0..CATALOGUE_FILES_MAX).map(|n| file(&name(n))).collect();
        let text = SignedCatalogue::new(&authority(1), u64::MAX, files).unwrap().to_json();
        assert!(SignedCatalogue::parse(text.as_bytes()).is_ok(), "{} bytes", text.len());
        let later: ModelUse = serde_json::from_str("\"picture\"").unwrap();
        assert_eq!(later, ModelUse::Other);
    }
}
