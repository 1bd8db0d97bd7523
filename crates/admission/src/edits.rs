//! What the owner edited of personas and workflows: a book of few texts that is the same on every node and at the boot
//! server, whoever took an edit.
//!
//! They fit neither a record of the gossip (one frame) nor the signed settings (4 KiB): one text has up to 16 KiB. So
//! only a hash of the book is gossiped, and the texts go from node to node on the overlay, and signed by the authority
//! from the boot server, which keeps them through a power cut.
//! Of two edits of one text the newer holds, and of two that are equally new the one with the greater hash, so that
//! books are joined in any order. A text that is none means: as the program has it.
//! What a text means is not known here; the node that reads it checks it.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::keys::{AuthorityPublic, AuthoritySecret, Signature, Statement};
use crate::{ClusterId, Error};

/// Where a node's agent takes a signed edit.
pub const EDIT_PATH: &str = "/api/edit";
/// Longest text; those of the program have 200 to 2,400 bytes.
pub const EDIT_BYTES_MAX: usize = 16 << 10;
/// Texts of both kinds, also those that are as the program has them again.
pub const EDITS_MAX: usize = 128;
/// All texts together.
pub const EDITS_BYTES_MAX: usize = 256 << 10;
/// Longest edit as JSON, where each byte may take six; and the same once more as a signed text in JSON.
pub const SIGNED_EDIT_BYTES_MAX: usize = 256 << 10;
/// Texts that one message between nodes brings; the next brings the rest.
const GIVEN_BYTES_MAX: usize = 64 << 10;
/// Longest message between nodes: marks of all, and what is given.
pub const TALK_BYTES_MAX: usize = 768 << 10;
/// Texts that one report to the boot server brings: escaped, it stays below its limit.
const REPORTED_BYTES_MAX: usize = EDIT_BYTES_MAX;
const NAME_BYTES_MAX: usize = 32;

const FORMAT: u8 = 1;
const WHAT: &str = "the edit";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EditKind {
    Persona,
    Workflow,
}

/// One text as it was edited last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    pub kind: EditKind,
    pub name: String,
    /// Seconds since 1970 where the node's clock was right, and more than that of the edit before in any case.
    pub version: u64,
    pub text: Option<String>,
}

/// An edit without its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    kind: EditKind,
    name: String,
    version: u64,
    hash: u64,
}

/// What nodes say to each other: what each has, and what the other lacks of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Talk {
    pub marks: Vec<Mark>,
    pub give: Vec<Edit>,
}

/// A part of a book, for the boot server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EditsPart {
    pub edits: Vec<Edit>,
    /// Where the next part begins.
    pub next: Option<u16>,
}

impl Edit {
    fn mark(&self) -> Mark {
        Mark { kind: self.kind, name: self.name.clone(), version: self.version, hash: self.hash() }
    }

    fn hash(&self) -> u64 {
        let hash = self.text.as_ref().map(|text| *blake3::hash(text.as_bytes()).as_bytes());
        hash.map_or(0, |hash| u64::from_be_bytes(hash.first_chunk().copied().unwrap_or_default()))
    }

    fn n_bytes(&self) -> usize {
        self.text.as_ref().map_or(0, String::len)
    }

    /// Whether it takes the place of another of its name.
    fn is_newer(&self, mark: &Mark) -> bool {
        (self.version, self.hash()) > (mark.version, mark.hash)
    }

    pub fn check(&self) -> Result<(), Error> {
        let is_letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        if !(1..=NAME_BYTES_MAX).contains(&self.name.len()) || !self.name.bytes().all(is_letter) {
            return Err(Error::Limit { what: "the name of an edited text" });
        }
        if self.n_bytes() > EDIT_BYTES_MAX {
            return Err(Error::Limit { what: "the length of an edited text" });
        }
        Ok(())
    }
}

/// All that was edited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edits(BTreeMap<(EditKind, String), Edit>);

impl Edits {
    /// A file of them.
    pub fn parse(text: &str) -> Result<Edits, Error> {
        let mut edits = Edits::default();
        for edit in serde_json::from_str::<Vec<Edit>>(text).map_err(|_| Error::Form { what: WHAT })? {
            // What has no room now had none when it was written.
            let _ = edits.take(edit);
        }
        Ok(edits)
    }

    pub fn to_json(&self) -> String {
        serde_json::to_string(&self.iter().collect::<Vec<_>>()).expect("edits have only plain values")
    }

    pub fn iter(&self) -> impl Iterator<Item = &Edit> {
        self.0.values()
    }

    /// The text of one that is not as the program has it.
    pub fn text(&self, kind: EditKind, name: &str) -> Option<&str> {
        self.0.get(&(kind, name.to_owned()))?.text.as_deref()
    }

    /// An edit of this moment; `None` is as the program has it.
    pub fn edit(
        &mut self,
        kind: EditKind,
        name: &str,
        text: Option<String>,
        unix_s: u64,
    ) -> Result<(), Error> {
        let last = self.0.get(&(kind, name.to_owned())).map_or(0, |edit| edit.version);
        let version = unix_s.max(last.saturating_add(1));
        self.take(Edit { kind, name: name.to_owned(), version, text }).map(drop)
    }

    /// Takes one that is newer; says whether it is.
    pub fn take(&mut self, edit: Edit) -> Result<bool, Error> {
        edit.check()?;
        let key = (edit.kind, edit.name.clone());
        let old = self.0.get(&key);
        if old.is_some_and(|old| !edit.is_newer(&old.mark())) {
            return Ok(false);
        }
        let n_bytes: usize = self.iter().map(Edit::n_bytes).sum();
        let n_without = n_bytes - old.map_or(0, Edit::n_bytes);
        if n_without + edit.n_bytes() > EDITS_BYTES_MAX || (old.is_none() && self.0.len() >= EDITS_MAX) {
            return Err(Error::Limit { what: "the number or the length of all edited texts" });
        }
        self.0.insert(key, edit);
        Ok(true)
    }

    /// A hash of the whole book, for the gossip; 0 where there is nothing.
    pub fn digest(&self) -> u64 {
        if self.0.is_empty() {
            return 0;
        }
        let marks = serde_json::to_vec(&self.marks()).expect("marks have only plain values");
        let hash = *blake3::hash(&marks).as_bytes();
        u64::from_be_bytes(hash.first_chunk().copied().unwrap_or_default()).max(1)
    }

    fn marks(&self) -> Vec<Mark> {
        self.iter().map(Edit::mark).collect()
    }

    /// What is known here, and of what whoever has these marks lacks, as much as one message brings.
    pub fn talk(&self, theirs: &[Mark]) -> Talk {
        let lacks = |edit: &&Edit| {
            let mark = theirs.iter().find(|mark| mark.kind == edit.kind && mark.name == edit.name);
            mark.is_none_or(|mark| edit.is_newer(mark))
        };
        let mut n_bytes = 0;
        let fits = |edit: &&Edit| {
            n_bytes += edit.n_bytes();
            n_bytes <= GIVEN_BYTES_MAX
        };
        Talk { marks: self.marks(), give: self.iter().filter(lacks).take_while(fits).cloned().collect() }
    }

    /// What is known here, without texts.
    pub fn ask(&self) -> Talk {
        Talk { marks: self.marks(), give: vec![] }
    }

    /// What there is from this place on, as much as one report brings.
    pub fn part(&self, from: u16) -> EditsPart {
        let mut part = EditsPart::default();
        let mut n_bytes = 0;
        for (idx, edit) in self.iter().enumerate().skip(from.into()) {
            n_bytes += edit.n_bytes();
            if n_bytes > REPORTED_BYTES_MAX && !part.edits.is_empty() {
                part.next = u16::try_from(idx).ok();
                break;
            }
            part.edits.push(edit.clone());
        }
        part
    }
}

/// An edit of the right form; only [`SignedEdit::verify`] says that it is true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedEdit {
    cluster: ClusterId,
    edit: Edit,
    /// What was signed, to the byte.
    text: String,
    signature: Signature,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed {
    format: u8,
    edit: String,
    signature: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    cluster: String,
    edit: Edit,
}

impl SignedEdit {
    pub fn new(authority: &AuthoritySecret, edit: Edit) -> Result<SignedEdit, Error> {
        edit.check()?;
        let cluster = authority.cluster();
        let document = Document { cluster: cluster.to_string(), edit };
        let text = serde_json::to_string(&document).expect("an edit has only plain values");
        let signature = authority.sign(Statement::Edit, text.as_bytes());
        Ok(SignedEdit { cluster, edit: document.edit, text, signature })
    }

    pub fn to_json(&self) -> String {
        let (edit, signature) = (self.text.clone(), self.signature.to_hex());
        serde_json::to_string(&Sealed { format: FORMAT, edit, signature }).expect("texts are JSON")
    }

    pub fn parse(bytes: &[u8]) -> Result<SignedEdit, Error> {
        if bytes.len() > SIGNED_EDIT_BYTES_MAX {
            return Err(Error::TooLong { what: WHAT, bytes_max: SIGNED_EDIT_BYTES_MAX });
        }
        let form = Error::Form { what: WHAT };
        let Sealed { format, edit: text, signature } = serde_json::from_slice(bytes).map_err(|_| form)?;
        if format != FORMAT {
            return Err(Error::Format { what: WHAT, found: format });
        }
        let signature = Signature::parse(&signature).ok_or(form)?;
        let Document { cluster, edit } = serde_json::from_str(&text).map_err(|_| form)?;
        let cluster = ClusterId::parse(&cluster).ok_or(form)?;
        edit.check()?;
        Ok(SignedEdit { cluster, edit, text, signature })
    }

    /// The edit, if this authority stands behind it.
    pub fn verify(self, authority: &AuthorityPublic) -> Result<Edit, Error> {
        if self.cluster != ClusterId::of(authority) {
            return Err(Error::Cluster);
        }
        authority.verify(Statement::Edit, self.text.as_bytes(), &self.signature)?;
        Ok(self.edit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::tests::authority;

    fn edit(name: &str, version: u64, text: Option<&str>) -> Edit {
        Edit { kind: EditKind::Persona, name: name.into(), version, text: text.map(str::to_owned) }
    }

    fn book(edits: &[Edit]) -> Edits {
        let mut book = Edits::default();
        edits.iter().for_each(|edit| _ = book.take(edit.clone()).unwrap());
        book
    }

    #[test]
    fn books_that_learn_the_same_edits_in_any_order_are_the_same() {
        let edits = [
            edit("a", 1, Some("old")),
            edit("a", 3, Some("x")),
            edit("a", 3, Some("y")),
            edit("b", 2, None),
            edit("b", 1, Some("b")),
        ];
        let mut back = edits.to_vec();
        back.reverse();
        assert_eq!((book(&edits), book(&edits).digest()), (book(&back), book(&back).digest()));
        assert_eq!(book(&edits).text(EditKind::Persona, "b"), None);
        assert_ne!(book(&edits[..1]).digest(), book(&edits[..2]).digest());
        assert_eq!(Edits::default().digest(), 0);
        assert_eq!(Edits::parse(&book(&edits).to_json()), Ok(book(&edits)));
        assert!(Edits::parse("[{").is_err());
    }

    #[test]
    fn an_edit_is_newer_than_the_one_before_whatever_the_clock_says() {
        let mut book = book(&[edit("a", 1_000, Some("old"))]);
        book.edit(EditKind::Persona, "a", Some("new".into()), 5).unwrap();
        assert_eq!(book.text(EditKind::Persona, "a"), Some("new"));
        book.edit(EditKind::Persona, "a", None, 2_000).unwrap();
        assert_eq!(book.iter().next().unwrap().version, 2_000);
    }

    #[test]
    fn two_that_talk_know_the_same_after_a_question_and_an_answer() {
        let text = "t".repeat(EDIT_BYTES_MAX);
        let mut one = book(&[edit("a", 9, Some(&text)), edit("c", 1, Some("c"))]);
        let mut two = book(&[edit("a", 3, Some("old")), edit("b", 2, Some(&text))]);
        let answer = two.talk(&one.ask().marks);
        let given = one.talk(&answer.marks);
        for edit in answer.give {
            one.take(edit).unwrap();
        }
        for edit in given.give {
            two.take(edit).unwrap();
        }
        assert_eq!(one, two);
        assert_eq!((one.talk(&two.marks()).give, one.digest()), (vec![], two.digest()));
    }

    #[test]
    fn no_message_and_no_report_is_longer_than_its_limit() {
        // Every letter of it is written as six.
        let worst = "\u{1}".repeat(EDIT_BYTES_MAX / 2);
        let names = ('a'..='z').map(|letter| letter.to_string());
        let full = book(&names.map(|name| edit(&name, 1, Some(&worst))).collect::<Vec<_>>());
        let talk = serde_json::to_string(&full.talk(&[])).unwrap();
        assert!(talk.len() < TALK_BYTES_MAX, "{}", talk.len());
        let (mut from, mut came) = (Some(0), Edits::default());
        while let Some(part) = from.map(|from| full.part(from)) {
            part.edits.iter().for_each(|edit| _ = came.take(edit.clone()).unwrap());
            from = part.next;
        }
        assert_eq!(came, full);
        let usual = "word \"said\"\n".repeat(EDIT_BYTES_MAX / 12);
        let part = serde_json::to_string(&book(&[edit("a", 1, Some(&usual))]).part(0)).unwrap();
        assert!(part.len() < crate::REPORT_TEXT_BYTES_MAX, "{}", part.len());
    }

    #[test]
    fn more_than_is_meant_is_refused() {
        let long = "t".repeat(EDIT_BYTES_MAX + 1);
        let refused = |edit: Edit| assert!(Edits::default().take(edit.clone()).is_err(), "{edit:?}");
        refused(edit("a", 1, Some(&long)));
        refused(edit("../a", 1, None));
        refused(edit("", 1, None));
        let mut many = Edits::default();
        for n in 0..EDITS_MAX {
            assert_eq!(many.take(edit(&format!("n{n}"), 1, None)), Ok(true));
        }
        assert!(many.take(edit("one-more", 1, None)).is_err());
        assert_eq!(many.take(edit("n0", 2, Some("again"))), Ok(true));
        let text = "t".repeat(EDIT_BYTES_MAX);
        let n_full = (1..EDITS_MAX).take_while(|n| many.take(edit(&format!("n{n}"), 2, Some(&text))).is_ok());
        assert_eq!(n_full.count(), EDITS_BYTES_MAX / EDIT_BYTES_MAX - 1);
    }

    #[test]
    fn a_signed_edit_is_believed_from_its_own_authority_alone() {
        let signed = SignedEdit::new(&authority(1), edit("a", 7, Some("text"))).unwrap();
        let came = SignedEdit::parse(signed.to_json().as_bytes()).unwrap();
        assert_eq!(came.clone().verify(&authority(1).public()), Ok(edit("a", 7, Some("text"))));
        assert_eq!(came.verify(&authority(2).public()), Err(Error::Cluster));
        let good = signed.to_json().into_bytes();
        for at in 0..good.len() {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            let verdict = SignedEdit::parse(&bytes).and_then(|signed| signed.verify(&authority(1).public()));
            assert!(verdict.is_err(), "byte {at}");
        }
    }
}
