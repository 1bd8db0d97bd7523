//! What is known of each node and outlives a restart: `out/state/nodes.json`.
//!
//! Pure: values, and their text. The keys of the ring are not here, they lie in `out/keys/ring.toml`.

use admission::{
    CERTIFICATE_BYTES, Certificate, Code, Hardware, NodeId, PAGE_REMOVED_MAX, PAGES_MAX, Removal,
};
use release::Mac;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;

/// PCs known at most, strangers among them; strangers go first.
pub const NODES_MAX: usize = 2048;
/// Members at most: what gossip is made for, and some.
pub const MEMBERS_MAX: usize = 1024;
/// Failures kept, of all PCs together.
pub const FAILURES_MAX: usize = 128;
/// A new cluster takes in every PC for so long; the owner is just setting it up.
pub const FIRST_WINDOW_S: u64 = 3600;

const FORMAT: u32 = 1;

/// All that is kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Book {
    /// Of the last certificate.
    pub serial: u32,
    /// Under policy `window`, unknown PCs are taken in until then.
    pub window_until_s: u64,
    /// Sticks that were written before are void.
    pub sticks_from_s: u64,
    pub nodes: BTreeMap<NodeId, Record>,
    pub failures: VecDeque<Failure>,
    /// The roster: version and removals of each page, with the time when each may be forgotten.
    pub pages: Vec<PageRecord>,
}

/// One PC.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub mac: Mac,
    pub hardware: Hardware,
    pub release: String,
    /// Where it called from last.
    pub address: Option<Ipv4Addr>,
    pub standing: Standing,
    pub job: Job,
    /// The last certificate it got.
    pub issued: Option<Issued>,
    pub called_unix_s: u64,
}

/// How a PC stands with the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Called, and was never taken in.
    Stranger,
    /// Taken in; `approved` says whether by the owner's own word.
    Member { approved: bool },
    /// Taken out by the owner; only the owner's word brings it back.
    Removed { unix_s: u64 },
}

/// What became of its last call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Job {
    /// It has not called since the server started.
    Quiet,
    Called,
    Waiting {
        code: Code,
    },
    Admitted {
        unix_s: u64,
    },
    Failed {
        sentence: String,
        unix_s: u64,
    },
}

/// A certificate and the epoch that came with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Issued {
    pub certificate: Certificate,
    pub epoch: u32,
}

/// Something that went wrong, for `duet nodes list`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    pub unix_s: u64,
    pub mac: String,
    pub sentence: String,
}

/// One page of the roster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageRecord {
    pub version: u64,
    pub removals: BTreeMap<NodeId, Void>,
}

/// A removal: certificates up to this serial are void, and have all expired by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Void {
    pub serial: u32,
    pub until_s: u64,
}

impl Book {
    /// A new cluster's.
    pub fn new(unix_s: u64) -> Book {
        // Numbers begin at the time: should the book be lost, those of the next one are newer all the same.
        let pages = vec![PageRecord { version: unix_s.max(1), ..PageRecord::default() }];
        let serial = u32::try_from(unix_s).unwrap_or(u32::MAX / 2);
        Book { serial, window_until_s: unix_s.saturating_add(FIRST_WINDOW_S), pages, ..Book::default() }
    }

    pub fn n_members(&self) -> usize {
        self.nodes.values().filter(|record| matches!(record.standing, Standing::Member { .. })).count()
    }

    /// Notes a failure; the oldest are forgotten.
    pub fn fail(&mut self, mac: Mac, sentence: &str, unix_s: u64) {
        let failure = Failure { unix_s, mac: mac.to_string(), sentence: sentence.to_owned() };
        let lately = |old: &Failure| {
            old.mac == failure.mac
                && old.sentence == failure.sentence
                && unix_s.saturating_sub(old.unix_s) < 60
        };
        if self.failures.iter().rev().take(16).any(lately) {
            return;
        }
        if self.failures.len() >= FAILURES_MAX {
            self.failures.pop_front();
        }
        self.failures.push_back(failure);
    }

    /// Makes room for one more PC: the stranger who called longest ago goes. False when there is none.
    pub fn make_room(&mut self) -> bool {
        if self.nodes.len() < NODES_MAX {
            return true;
        }
        let strangers = self.nodes.iter().filter(|(_, record)| record.standing == Standing::Stranger);
        let oldest = strangers.min_by_key(|(_, record)| record.called_unix_s).map(|(node, _)| *node);
        oldest.is_some_and(|node| self.nodes.remove(&node).is_some())
    }

    /// Puts a removal on the roster; says which page changed, or nothing when all are full.
    pub fn void(&mut self, node: NodeId, void: Void, unix_s: u64) -> Option<u8> {
        for page in &mut self.pages {
            page.removals.retain(|_, old| old.until_s > unix_s);
        }
        let has = self.pages.iter().position(|page| page.removals.contains_key(&node));
        let room = || self.pages.iter().position(|page| page.removals.len() < PAGE_REMOVED_MAX);
        let idx = match has.or_else(room) {
            Some(idx) => idx,
            None if self.pages.len() < PAGES_MAX => {
                self.pages.push(PageRecord::default());
                self.pages.len() - 1
            }
            None => return None,
        };
        self.pages[idx].removals.insert(node, void);
        self.pages[idx].version += 1;
        u8::try_from(idx).ok()
    }
}

impl PageRecord {
    pub fn removals(&self) -> Vec<Removal> {
        self.removals.iter().map(|(node, void)| Removal { node: *node, serial: void.serial }).collect()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: u32,
    serial: u32,
    window_until_unix_s: u64,
    /// Absent in books of before.
    #[serde(default)]
    sticks_from_unix_s: u64,
    nodes: BTreeMap<String, NodeDocument>,
    roster: Vec<PageDocument>,
    failures: VecDeque<Failure>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeDocument {
    mac: String,
    hardware: Hardware,
    release: String,
    address: Option<Ipv4Addr>,
    standing: StandingDocument,
    certificate: Option<String>,
    epoch: u32,
    called_unix_s: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum StandingDocument {
    Member { approved: bool },
    Removed { unix_s: u64 },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PageDocument {
    version: u64,
    removed: Vec<RemovedDocument>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RemovedDocument {
    node: String,
    serial: u32,
    until_unix_s: u64,
}

/// The text of `nodes.json`. Strangers are not kept: whoever calls is heard again.
pub fn render(book: &Book) -> String {
    let node = |(node, record): (&NodeId, &Record)| {
        let standing = match record.standing {
            Standing::Stranger => return None,
            Standing::Member { approved } => StandingDocument::Member { approved },
            Standing::Removed { unix_s } => StandingDocument::Removed { unix_s },
        };
        let document = NodeDocument {
            mac: record.mac.to_string(),
            hardware: record.hardware.clone(),
            release: record.release.clone(),
            address: record.address,
            standing,
            certificate: record.issued.map(|issued| hex(&issued.certificate.encode())),
            epoch: record.issued.map_or(0, |issued| issued.epoch),
            called_unix_s: record.called_unix_s,
        };
        Some((node.to_string(), document))
    };
    let page = |page: &PageRecord| {
        let removed = |(node, void): (&NodeId, &Void)| RemovedDocument {
            node: node.to_string(),
            serial: void.serial,
            until_unix_s: void.until_s,
        };
        PageDocument { version: page.version, removed: page.removals.iter().map(removed).collect() }
    };
    let document = Document {
        format: FORMAT,
        serial: book.serial,
        window_until_unix_s: book.window_until_s,
        sticks_from_unix_s: book.sticks_from_s,
        nodes: book.nodes.iter().filter_map(node).collect(),
        roster: book.pages.iter().map(page).collect(),
        failures: book.failures.clone(),
    };
    serde_json::to_string_pretty(&document).expect("a book has only plain values") + "\n"
}

/// Reads `nodes.json`; the sentence says what is wrong with it.
pub fn parse(text: &str) -> Result<Book, String> {
    let document: Document = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if document.format != FORMAT {
        return Err(format!("it has format {} and not {FORMAT}", document.format));
    }
    if document.nodes.len() > NODES_MAX || document.roster.len() > PAGES_MAX || document.roster.is_empty() {
        return Err("it holds more nodes or pages than any cluster, or no page".to_owned());
    }
    let mut book = Book {
        serial: document.serial,
        window_until_s: document.window_until_unix_s,
        sticks_from_s: document.sticks_from_unix_s,
        failures: document.failures,
        ..Book::default()
    };
    book.failures.truncate(FAILURES_MAX);
    for (id, node) in document.nodes {
        let mac = Mac::parse(&node.mac).map_err(|error| error.to_string())?;
        if NodeId::parse(&id) != Some(NodeId::of_mac(mac)) {
            return Err(format!("node {id} is not that of {mac}"));
        }
        book.nodes.insert(NodeId::of_mac(mac), record(mac, node)?);
    }
    for page in document.roster {
        let mut record = PageRecord { version: page.version, ..PageRecord::default() };
        for removed in page.removed {
            let node = NodeId::parse(&removed.node).ok_or("a removed node has no id")?;
            record.removals.insert(node, Void { serial: removed.serial, until_s: removed.until_unix_s });
        }
        if record.removals.len() > PAGE_REMOVED_MAX {
            return Err("a page of the roster is too long".to_owned());
        }
        book.pages.push(record);
    }
    Ok(book)
}

fn record(mac: Mac, node: NodeDocument) -> Result<Record, String> {
    let issued = match &node.certificate {
        None => None,
        Some(text) => {
            let bytes = unhex(text).ok_or("a certificate is not of hex digits")?;
            let certificate = Certificate::decode(&bytes).map_err(|error| error.to_string())?;
            Some(Issued { certificate, epoch: node.epoch })
        }
    };
    let standing = match node.standing {
        StandingDocument::Member { approved } => Standing::Member { approved },
        StandingDocument::Removed { unix_s } => Standing::Removed { unix_s },
    };
    Ok(Record {
        mac,
        hardware: node.hardware,
        release: node.release,
        address: node.address,
        standing,
        job: Job::Quiet,
        issued,
        called_unix_s: node.called_unix_s,
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if text.len() != 2 * CERTIFICATE_BYTES || !text.is_ascii() {
        return None;
    }
    (0..CERTIFICATE_BYTES).map(|idx| u8::from_str_radix(&text[2 * idx..2 * idx + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use admission::{AuthoritySecret, Claim, NodeSecret, OverlayPublic, Role};

    fn record(n: u8, standing: Standing) -> Record {
        let mac = Mac([0x52, 0x54, 0, 0x77, 0, n]);
        let claim = Claim {
            role: Role::Node,
            mac,
            serial: 1,
            issued_s: 1,
            expires_s: 2,
            node_key: NodeSecret::from_seed(&[n; 32]).public(),
            overlay_key: OverlayPublic([n; 32]),
        };
        let certificate = Certificate::issue(&AuthoritySecret::from_seed(&[1; 32]), claim);
        Record {
            mac,
            hardware: Hardware::default(),
            release: "trixie-1".into(),
            address: Some([10, 0, 0, n].into()),
            standing,
            job: Job::Quiet,
            issued: Some(Issued { certificate, epoch: 9 }),
            called_unix_s: u64::from(n),
        }
    }

    fn book() -> Book {
        let mut book = Book::new(100);
        for (n, standing) in [(1, Standing::Member { approved: true }), (2, Standing::Removed { unix_s: 5 })]
        {
            let record = record(n, standing);
            book.nodes.insert(NodeId::of_mac(record.mac), record);
        }
        book.fail(Mac([2; 6]), "no", 7);
        book.void(NodeId(7), Void { serial: 3, until_s: 1000 }, 100);
        book
    }

    #[test]
    fn what_was_kept_comes_back_but_strangers_do_not() {
        assert_eq!(parse(&render(&book())), Ok(book()));
        let mut with_stranger = book();
        let stranger = record(3, Standing::Stranger);
        with_stranger.nodes.insert(NodeId::of_mac(stranger.mac), stranger);
        assert_eq!(parse(&render(&with_stranger)), Ok(book()));
    }

    #[test]
    fn a_damaged_book_is_refused_with_a_reason() {
        let whole = render(&book());
        let check = |text: &str, want: &str| assert!(parse(text).unwrap_err().contains(want), "{want}");
        check(&whole[..whole.len() / 2], "EOF");
        check(&whole.replace("\"format\": 1", "\"format\": 7"), "it has format 7");
        check(&whole.replace("52:54:00:77:00:01", "52:54:00:77:00:09"), "is not that of");
        check(&whole.replace("\"format\": 1", "\"format\": 1, \"new\": 1"), "unknown field");
    }

    #[test]
    fn a_removal_finds_its_page_and_is_forgotten_when_its_certificates_have_expired() {
        let mut book = Book::new(0);
        let void = Void { serial: 1, until_s: 50 };
        let pages: Vec<_> = (0..81).map(|n| book.void(NodeId(n), void, 10)).collect();
        assert_eq!((pages[0], pages[79], pages[80]), (Some(0), Some(0), Some(1)));
        assert_eq!(book.void(NodeId(5), void, 10), Some(0));
        assert_eq!(book.pages[0].version, 82);
        // All but the new one have expired.
        assert_eq!(book.void(NodeId(99), Void { serial: 1, until_s: 200 }, 60), Some(0));
        assert_eq!((book.pages[0].removals.len(), book.pages[1].removals.len()), (1, 0));
    }

    #[test]
    fn the_roster_has_an_end() {
        let mut book = Book::new(0);
        let n = (PAGE_REMOVED_MAX * PAGES_MAX) as u64;
        let void = Void { serial: 1, until_s: 50 };
        assert!((0..n).all(|n| book.void(NodeId(n), void, 10).is_some()));
        assert_eq!(book.void(NodeId(n), void, 10), None);
    }

    #[test]
    fn failures_are_kept_up_to_a_limit_and_not_told_twice_a_minute() {
        let mut book = Book::new(0);
        for n in 0..500 {
            book.fail(Mac([2; 6]), "no", n);
        }
        assert_eq!(book.failures.len(), 9);
        for n in 0..500 {
            book.fail(Mac([2; 6]), "no", 1000 + 60 * n);
        }
        assert_eq!(book.failures.len(), FAILURES_MAX);
    }

    #[test]
    fn only_strangers_make_room() {
        let mut book = Book::new(0);
        for n in 0..NODES_MAX as u64 {
            let standing = if n == 5 { Standing::Stranger } else { Standing::Member { approved: false } };
            book.nodes.insert(NodeId(n), record(1, standing));
        }
        assert!(book.make_room() && !book.nodes.contains_key(&NodeId(5)));
        book.nodes.insert(NodeId(5), record(1, Standing::Member { approved: false }));
        assert!(!book.make_room());
    }
}
