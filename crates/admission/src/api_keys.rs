//! Who from outside may ask the models, and who may also use ears and mouths: the keys of the gateway, of which only the
//! SHA-256 is kept.
//!
//! The owner's file holds names, hashes and limits; the boot server signs them as one list for all nodes.
//! The list names no secret, so it travels open. Its version never goes back: a node that has a newer one keeps it,
//! and so a removed key stays removed.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::bytes::{Reader, hex, unhex, unhex_exact};
use crate::keys::{AuthorityPublic, AuthoritySecret, Signature, Statement};
use crate::{ClusterId, Error};

/// Where a node's agent takes a new list.
pub const API_KEYS_PATH: &str = "/api/keys";
/// Most keys of a cluster.
pub const API_KEYS_MAX: usize = 64;
/// Longest name of a key.
pub const API_KEY_NAME_BYTES_MAX: usize = 32;
/// Longest list as bytes, and as the text in which it travels.
pub const API_KEYS_BYTES_MAX: usize = HEAD_BYTES + API_KEYS_MAX * KEY_BYTES_MAX + Signature::BYTES;
pub const API_KEYS_TEXT_BYTES_MAX: usize = 2 * API_KEYS_BYTES_MAX + 64;
/// Longest file of the owner's.
pub const API_KEYS_FILE_BYTES_MAX: usize = 64 * 1024;

const HEAD_BYTES: usize = 15;
const KEY_BYTES_MAX: usize = 1 + API_KEY_NAME_BYTES_MAX + 32 + 8 + 1;
const FORMAT: u8 = 1;
/// Each key ends in a byte that says whether it is for the voice. Lists without such a key are written as before, so
/// that releases from before there were any take them.
const FORMAT_WITH_VOICE: u8 = 2;
const WHAT: &str = "the list of API keys";
/// What every key begins with, so that one is known for what it is wherever it turns up.
const PREFIX: &str = "duet-";

/// What one key may ask of one gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyLimits {
    pub per_minute: u16,
    pub at_once: u16,
    /// Tokens read and written in 24 hours.
    pub tokens_per_day: u32,
}

impl Default for KeyLimits {
    /// More than a person reads in a day, and no more at once than a few old PCs can bear.
    fn default() -> KeyLimits {
        KeyLimits { per_minute: 60, at_once: 4, tokens_per_day: 500_000 }
    }
}

/// One key, as everybody but its holder knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    pub name: String,
    /// SHA-256 of the key's text.
    pub hash: [u8; 32],
    pub limits: KeyLimits,
    /// It opens ears, lets its holder follow what is said, and change how nodes speak.
    pub voice: bool,
}

impl ApiKey {
    /// The text of a new key; whoever has it, has the right.
    pub fn text(random: &[u8; 32]) -> String {
        format!("{PREFIX}{}", hex(random))
    }

    pub fn new(name: &str, text: &str, limits: KeyLimits) -> Result<ApiKey, Error> {
        let key = ApiKey { name: name.to_owned(), hash: hash(text), limits, voice: false };
        key.check()?;
        Ok(key)
    }

    /// The same for the voice too.
    pub fn with_voice(self) -> ApiKey {
        ApiKey { voice: true, ..self }
    }

    /// The key whose text this is. All are compared, each to its last byte, so that time tells nothing.
    pub fn find<'a>(keys: &'a [ApiKey], text: &str) -> Option<&'a ApiKey> {
        let hash = hash(text);
        let mut found = None;
        for key in keys {
            if is_same(&key.hash, &hash) {
                found = Some(key);
            }
        }
        found
    }

    fn check(&self) -> Result<(), Error> {
        let letter =
            |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_' || b == b'.';
        let is_name =
            (1..=API_KEY_NAME_BYTES_MAX).contains(&self.name.len()) && self.name.bytes().all(letter);
        if is_name { Ok(()) } else { Err(Error::Limit { what: "the name of an API key" }) }
    }
}

fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

fn is_same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    let difference = a.iter().zip(b).fold(0, |all, (a, b)| std::hint::black_box(all | (a ^ b)));
    difference == 0
}

/// The owner's file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiKeyFile {
    pub version: u64,
    pub keys: Vec<ApiKey>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileDocument {
    version: u64,
    keys: Vec<KeyDocument>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyDocument {
    name: String,
    sha256: String,
    #[serde(default)]
    limits: KeyLimits,
    /// A key from before there was a choice has none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    voice: bool,
}

impl ApiKeyFile {
    pub fn parse(text: &str) -> Result<ApiKeyFile, Error> {
        const WHAT: &str = "the file of API keys";
        if text.len() > API_KEYS_FILE_BYTES_MAX {
            return Err(Error::TooLong { what: WHAT, bytes_max: API_KEYS_FILE_BYTES_MAX });
        }
        let form = Error::Form { what: WHAT };
        let document: FileDocument = serde_json::from_str(text).map_err(|_| form)?;
        let key = |key: KeyDocument| {
            let hash = unhex_exact(&key.sha256).ok_or(form)?;
            Ok(ApiKey { name: key.name, hash, limits: key.limits, voice: key.voice })
        };
        let keys: Vec<ApiKey> = document.keys.into_iter().map(key).collect::<Result<_, Error>>()?;
        check(&keys)?;
        Ok(ApiKeyFile { version: document.version, keys })
    }

    pub fn to_json(&self) -> String {
        let key = |key: &ApiKey| KeyDocument {
            name: key.name.clone(),
            sha256: hex(&key.hash),
            limits: key.limits,
            voice: key.voice,
        };
        let document = FileDocument { version: self.version, keys: self.keys.iter().map(key).collect() };
        serde_json::to_string_pretty(&document).expect("a file of keys has only plain values") + "\n"
    }

    /// The next version: the time, or one more where the clock does not help.
    /// A file that was lost begins above what the nodes have.
    pub fn touch(&mut self, unix_s: u64) {
        self.version = unix_s.max(self.version.saturating_add(1));
    }
}

/// At most as many as a list holds, and no name twice.
fn check(keys: &[ApiKey]) -> Result<(), Error> {
    keys.iter().try_for_each(ApiKey::check)?;
    let names: BTreeSet<&str> = keys.iter().map(|key| key.name.as_str()).collect();
    if names.len() < keys.len() {
        return Err(Error::Mismatch { what: "two API keys have the same name" });
    }
    if keys.len() > API_KEYS_MAX { Err(Error::Limit { what: "the number of API keys" }) } else { Ok(()) }
}

fn format_of(keys: &[ApiKey]) -> u8 {
    if keys.iter().any(|key| key.voice) { FORMAT_WITH_VOICE } else { FORMAT }
}

/// A list of the right form; only [`ApiKeys::verify`] says that it is true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeys {
    cluster: ClusterId,
    version: u64,
    keys: Vec<ApiKey>,
    signature: Signature,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListDocument {
    format: u8,
    keys: String,
}

impl ApiKeys {
    pub fn new(authority: &AuthoritySecret, file: &ApiKeyFile) -> Result<ApiKeys, Error> {
        check(&file.keys)?;
        let signature = Signature([0; Signature::BYTES]);
        let (cluster, version, keys) = (authority.cluster(), file.version, file.keys.clone());
        let mut list = ApiKeys { cluster, version, keys, signature };
        list.signature = authority.sign(Statement::ApiKeys, &list.body());
        Ok(list)
    }

    pub fn to_json(&self) -> String {
        let document = ListDocument { format: FORMAT, keys: hex(&self.encode()) };
        serde_json::to_string(&document).expect("a list has only plain values")
    }

    pub fn parse(text: &[u8]) -> Result<ApiKeys, Error> {
        if text.len() > API_KEYS_TEXT_BYTES_MAX {
            return Err(Error::TooLong { what: WHAT, bytes_max: API_KEYS_TEXT_BYTES_MAX });
        }
        let form = Error::Form { what: WHAT };
        let document: ListDocument = serde_json::from_slice(text).map_err(|_| form)?;
        if document.format != FORMAT {
            return Err(Error::Format { what: WHAT, found: document.format });
        }
        ApiKeys::decode(&unhex(&document.keys, API_KEYS_BYTES_MAX).ok_or(form)?)
    }

    pub fn decode(bytes: &[u8]) -> Result<ApiKeys, Error> {
        if bytes.len() > API_KEYS_BYTES_MAX {
            return Err(Error::TooLong { what: WHAT, bytes_max: API_KEYS_BYTES_MAX });
        }
        let mut reader = Reader::new(WHAT, bytes);
        let format = if bytes.first() == Some(&FORMAT_WITH_VOICE) { FORMAT_WITH_VOICE } else { FORMAT };
        reader.format(format)?;
        let (cluster, version) = (ClusterId(reader.array()?), reader.u64()?);
        let n_keys = usize::from(reader.u8()?);
        let mut keys = Vec::new();
        for _ in 0..n_keys {
            let n = usize::from(reader.u8()?);
            let name = std::str::from_utf8(reader.slice(n)?).map_err(|_| Error::Form { what: WHAT })?;
            let (name, hash) = (name.to_owned(), reader.array()?);
            let (per_minute, at_once, tokens_per_day) = (reader.u16()?, reader.u16()?, reader.u32()?);
            let limits = KeyLimits { per_minute, at_once, tokens_per_day };
            let voice = match format {
                FORMAT => 0,
                _ => reader.u8()?,
            };
            if voice > 1 {
                return Err(Error::Form { what: WHAT });
            }
            keys.push(ApiKey { name, hash, limits, voice: voice == 1 });
        }
        check(&keys)?;
        // One list has one form.
        if format_of(&keys) != format {
            return Err(Error::Form { what: WHAT });
        }
        let signature = Signature(reader.array()?);
        reader.end()?;
        Ok(ApiKeys { cluster, version, keys, signature })
    }

    pub fn encode(&self) -> Vec<u8> {
        [&self.body()[..], &self.signature.0].concat()
    }

    fn body(&self) -> Vec<u8> {
        let format = format_of(&self.keys);
        let mut body = vec![format];
        body.extend(self.cluster.0);
        body.extend(self.version.to_be_bytes());
        body.push(u8::try_from(self.keys.len()).expect("a list was checked to be short"));
        for key in &self.keys {
            body.push(u8::try_from(key.name.len()).expect("a name was checked to be short"));
            body.extend(key.name.as_bytes());
            body.extend(key.hash);
            body.extend(key.limits.per_minute.to_be_bytes());
            body.extend(key.limits.at_once.to_be_bytes());
            body.extend(key.limits.tokens_per_day.to_be_bytes());
            if format == FORMAT_WITH_VOICE {
                body.push(u8::from(key.voice));
            }
        }
        body
    }

    /// Whether this authority gives these keys.
    pub fn verify(&self, authority: &AuthorityPublic) -> Result<(), Error> {
        if self.cluster != ClusterId::of(authority) {
            return Err(Error::Cluster);
        }
        authority.verify(Statement::ApiKeys, &self.body(), &self.signature)
    }

    pub fn version(&self) -> u64 {
        self.version
    }

    pub fn keys(&self) -> &[ApiKey] {
        &self.keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::tests::authority;

    fn key(name: &str, n: u8) -> ApiKey {
        ApiKey::new(name, &ApiKey::text(&[n; 32]), KeyLimits::default()).unwrap()
    }

    fn file(n_keys: usize) -> ApiKeyFile {
        let keys = (0..n_keys).map(|n| key(&format!("{n:->32}"), n as u8)).collect();
        ApiKeyFile { version: 7, keys }
    }

    #[test]
    fn only_the_text_of_a_key_finds_it() {
        let keys = [key("laptop", 1), key("phone", 2)];
        let text = ApiKey::text(&[2; 32]);
        assert_eq!(text.len(), 5 + 64);
        assert_eq!(ApiKey::find(&keys, &text).map(|key| key.name.as_str()), Some("phone"));
        for wrong in ["", "duet-", &text[1..], &text[..68], &text.to_uppercase()] {
            assert_eq!(ApiKey::find(&keys, wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_hash_is_sha_256() {
        // FIPS 180-4: the hash of "abc" begins so.
        assert_eq!(hex(&hash("abc")[..4]), "ba7816bf");
    }

    #[test]
    fn full_and_empty_lists_survive_their_text() {
        for n in [0, 1, API_KEYS_MAX] {
            let list = ApiKeys::new(&authority(1), &file(n)).unwrap();
            assert_eq!(ApiKeys::parse(list.to_json().as_bytes()).as_ref(), Ok(&list));
            assert_eq!(list.verify(&authority(1).public()), Ok(()));
            assert_eq!(list.verify(&authority(2).public()), Err(Error::Cluster));
        }
        assert!(ApiKeys::new(&authority(1), &file(API_KEYS_MAX + 1)).is_err());
    }

    #[test]
    fn the_use_of_a_key_survives_file_and_list_and_cannot_be_given_on_the_way() {
        let mut file = file(API_KEYS_MAX);
        let plain = ApiKeys::new(&authority(1), &file).unwrap().encode();
        file.keys[1] = file.keys[1].clone().with_voice();
        assert_eq!(ApiKeyFile::parse(&file.to_json()).as_ref(), Ok(&file));
        let list = ApiKeys::new(&authority(1), &file).unwrap();
        let read = ApiKeys::parse(list.to_json().as_bytes()).unwrap();
        assert_eq!((&read, read.verify(&authority(1).public())), (&list, Ok(())));
        assert_eq!(read.keys().iter().filter(|key| key.voice).count(), 1);
        // Lists without a voice are those of old, so that old nodes take them.
        assert_eq!((plain[0], list.encode()[0]), (FORMAT, FORMAT_WITH_VOICE));
        // A list that says the same in the other form is none.
        let mut empty = ApiKeys::new(&authority(1), &ApiKeyFile::default()).unwrap().encode();
        empty[0] = FORMAT_WITH_VOICE;
        assert_eq!(ApiKeys::decode(&empty), Err(Error::Form { what: WHAT }));
    }

    #[test]
    fn a_key_of_old_is_not_for_the_voice() {
        let old =
            format!("{{\"version\":1,\"keys\":[{{\"name\":\"a\",\"sha256\":\"{}\"}}]}}", "0".repeat(64));
        let file = ApiKeyFile::parse(&old).unwrap();
        assert!(!file.keys[0].voice && !file.to_json().contains("voice"));
    }

    #[test]
    fn a_changed_bit_anywhere_is_refused() {
        let mut two = file(2);
        two.keys[0] = two.keys[0].clone().with_voice();
        check_bits(&two);
        check_bits(&file(2));
    }

    fn check_bits(file: &ApiKeyFile) {
        let good = ApiKeys::new(&authority(1), file).unwrap().encode();
        for bit in 0..good.len() * 8 {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let verdict = ApiKeys::decode(&bytes).and_then(|list| list.verify(&authority(1).public()));
            assert!(verdict.is_err(), "bit {bit}");
        }
        for at in 0..good.len() {
            assert!(ApiKeys::decode(&good[..at]).is_err());
        }
    }

    #[test]
    fn the_owners_file_survives_its_text_and_its_mistakes_are_refused() {
        let file = file(3);
        assert_eq!(ApiKeyFile::parse(&file.to_json()).as_ref(), Ok(&file));
        let twice = file.to_json().replace(&file.keys[1].name, &file.keys[0].name);
        assert!(ApiKeyFile::parse(&twice).is_err());
        assert!(
            ApiKeyFile::parse("{\"version\":1,\"keys\":[{\"name\":\"a b\",\"sha256\":\"00\"}]}").is_err()
        );
    }

    #[test]
    fn a_version_never_goes_back() {
        let mut file = file(0);
        file.touch(1000);
        assert_eq!(file.version, 1000);
        file.touch(5);
        assert_eq!(file.version, 1001);
    }
}
