//! What the owner asks of a node: its journal, its state. Signed by the authority, answered in a sealed box.
//!
//! An order names its node, its time and a nonce, so that it works once and for one; nobody logs in anywhere.

use serde::{Deserialize, Serialize};

use crate::bytes::{Reader, hex, unhex};
use crate::keys::{AuthorityPublic, AuthoritySecret, NodePublic, NodeSecret, Signature, Statement};
use crate::{BoxPublic, BoxSecret, ClusterId, Error, NodeId, Purpose};

/// Where a node's agent hears orders.
pub const ORDER_PATH: &str = "/api/order";
/// Bytes of every order.
pub const ORDER_BYTES: usize = BODY_BYTES + Signature::BYTES;
/// Longest request with an order.
pub const ORDER_TEXT_BYTES_MAX: usize = 1024;
/// An order that is older, or from further ahead, is stale.
pub const ORDER_AGE_S_MAX: u64 = 60;
/// Longest text of a report; it is cut at its beginning, because the end of a journal is what one wants.
pub const REPORT_TEXT_BYTES_MAX: usize = 48 * 1024;
/// Most lines of a journal.
pub const LOG_LINES_MAX: u16 = 1000;

const BODY_BYTES: usize = 73;
const FORMAT: u8 = 1;
const WHAT: &str = "the order";

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// The last lines of the journal.
    Logs { lines: u16 },
    /// What a person at the node's own line would find out.
    Diag(DiagPart),
    /// What was edited, from this place in the book on.
    Edits { from: u16 },
    /// How far its models are: a [`crate::ModelsTold`]. Nodes of older releases refuse it.
    Models,
}

/// A part of a node's diagnosis. None of them changes anything there, and none opens a shell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DiagPart {
    /// Status, units and counters: the one that nodes of older releases know.
    #[default]
    Status,
    Network,
    Cluster,
    Units,
    Voice,
    Devices,
    /// The microphone's level for some seconds.
    Level,
    /// A tone, and what the microphone hears of it.
    Sound,
    /// Some of the memory, with patterns.
    Memory,
    /// A question to the models, timed.
    Models,
}

impl DiagPart {
    /// In the order of their numbers on the wire.
    pub const ALL: [DiagPart; 10] = [
        DiagPart::Status,
        DiagPart::Network,
        DiagPart::Cluster,
        DiagPart::Units,
        DiagPart::Voice,
        DiagPart::Devices,
        DiagPart::Level,
        DiagPart::Sound,
        DiagPart::Memory,
        DiagPart::Models,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            DiagPart::Status => "status",
            DiagPart::Network => "network",
            DiagPart::Cluster => "cluster",
            DiagPart::Units => "units",
            DiagPart::Voice => "voice",
            DiagPart::Devices => "devices",
            DiagPart::Level => "level",
            DiagPart::Sound => "sound",
            DiagPart::Memory => "memory",
            DiagPart::Models => "models",
        }
    }
}

impl std::str::FromStr for DiagPart {
    type Err = String;

    fn from_str(text: &str) -> Result<DiagPart, String> {
        let found = DiagPart::ALL.into_iter().find(|part| part.as_str() == text);
        let names = || DiagPart::ALL.map(DiagPart::as_str).join(", ");
        found.ok_or_else(|| format!("there is no part '{text}'; there are {}", names()))
    }
}

/// An order that has the right form; only [`Order::verify`] says that it is true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    cluster: ClusterId,
    node: NodeId,
    wish: Wish,
    unix_s: u64,
    nonce: [u8; 16],
    reply_to: BoxPublic,
    signature: Signature,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: u8,
    order: String,
}

impl Order {
    /// Signs an order; the report is sealed to `reply_to`, a key made for it.
    pub fn new(
        authority: &AuthoritySecret,
        node: NodeId,
        wish: Wish,
        unix_s: u64,
        nonce: [u8; 16],
        reply_to: BoxPublic,
    ) -> Order {
        let signature = Signature([0; Signature::BYTES]);
        let mut order =
            Order { cluster: authority.cluster(), node, wish, unix_s, nonce, reply_to, signature };
        order.signature = authority.sign(Statement::Order, &order.body());
        order
    }

    pub fn to_json(&self) -> String {
        let document = Document { format: FORMAT, order: hex(&self.encode()) };
        serde_json::to_string(&document).expect("an order has only plain values")
    }

    pub fn parse(text: &[u8]) -> Result<Order, Error> {
        if text.len() > ORDER_TEXT_BYTES_MAX {
            return Err(Error::TooLong { what: WHAT, bytes_max: ORDER_TEXT_BYTES_MAX });
        }
        let form = Error::Form { what: WHAT };
        let document: Document = serde_json::from_slice(text).map_err(|_| form)?;
        if document.format != FORMAT {
            return Err(Error::Format { what: WHAT, found: document.format });
        }
        Order::decode(&unhex(&document.order, ORDER_BYTES).ok_or(form)?)
    }

    pub fn decode(bytes: &[u8]) -> Result<Order, Error> {
        let mut reader = Reader::new(WHAT, bytes);
        reader.format(FORMAT)?;
        let (cluster, node) = (ClusterId(reader.array()?), NodeId(reader.u64()?));
        let wish = match (reader.u8()?, reader.u16()?) {
            (0, lines @ 1..=LOG_LINES_MAX) => Wish::Logs { lines },
            (1, part) => match DiagPart::ALL.get(usize::from(part)) {
                Some(part) => Wish::Diag(*part),
                None => return Err(Error::Form { what: WHAT }),
            },
            (2, from) => Wish::Edits { from },
            (3, 0) => Wish::Models,
            _ => return Err(Error::Form { what: WHAT }),
        };
        let (unix_s, nonce) = (reader.u64()?, reader.array()?);
        let reply_to = BoxPublic::from_bytes(reader.array()?);
        let signature = Signature(reader.array()?);
        reader.end()?;
        Ok(Order { cluster, node, wish, unix_s, nonce, reply_to, signature })
    }

    pub fn encode(&self) -> Vec<u8> {
        [&self.body()[..], &self.signature.0].concat()
    }

    fn body(&self) -> Vec<u8> {
        let (kind, number) = match self.wish {
            Wish::Logs { lines } => (0, lines),
            Wish::Diag(part) => (1, part as u16),
            Wish::Edits { from } => (2, from),
            Wish::Models => (3, 0),
        };
        let parts: [&[u8]; 8] = [
            &[FORMAT],
            &self.cluster.0,
            &self.node.0.to_be_bytes(),
            &[kind],
            &u16::to_be_bytes(number),
            &self.unix_s.to_be_bytes(),
            &self.nonce,
            self.reply_to.as_bytes(),
        ];
        parts.concat()
    }

    /// Whether this authority gives this node this order now. That it works once is the caller's affair:
    /// it remembers [`Order::nonce`] for [`ORDER_AGE_S_MAX`] both ways.
    pub fn verify(&self, authority: &AuthorityPublic, node: NodeId, unix_s: u64) -> Result<(), Error> {
        if self.cluster != ClusterId::of(authority) {
            return Err(Error::Cluster);
        }
        authority.verify(Statement::Order, &self.body(), &self.signature)?;
        if self.node != node {
            return Err(Error::Mismatch { what: "the order is for another node" });
        }
        if self.unix_s.abs_diff(unix_s) > ORDER_AGE_S_MAX {
            return Err(Error::Time { what: WHAT });
        }
        Ok(())
    }

    pub fn wish(&self) -> Wish {
        self.wish
    }

    pub fn nonce(&self) -> [u8; 16] {
        self.nonce
    }

    /// What report and order have in common.
    fn hash(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key("duet 1 order");
        *hasher.update(&self.encode()).finalize().as_bytes()
    }

    /// The node's report, signed and sealed, with 32 random bytes that are used for nothing else.
    pub fn report(&self, node: &NodeSecret, text: &str, random: &[u8; 32]) -> Result<Vec<u8>, Error> {
        let mut starts = text.len().saturating_sub(REPORT_TEXT_BYTES_MAX)..=text.len();
        let from = starts.find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
        let text = &text.as_bytes()[from..];
        let hash = self.hash();
        let signature = node.sign(Statement::Report, &[&hash[..], text].concat());
        self.reply_to.seal(Purpose::Report, &hash, &[&signature.0[..], text].concat(), random)
    }

    /// Opens a report to this order; it must be of the node with this key.
    pub fn open_report(&self, sealed: &[u8], key: &BoxSecret, node: &NodePublic) -> Result<String, Error> {
        const WHAT: &str = "the report";
        let hash = self.hash();
        let content = key.open(Purpose::Report, &hash, sealed)?;
        let (signature, text) = content.split_first_chunk().ok_or(Error::Form { what: WHAT })?;
        if text.len() > REPORT_TEXT_BYTES_MAX {
            return Err(Error::TooLong { what: WHAT, bytes_max: REPORT_TEXT_BYTES_MAX });
        }
        node.verify(Statement::Report, &[&hash[..], text].concat(), &Signature(*signature))?;
        String::from_utf8(text.to_vec()).map_err(|_| Error::Form { what: WHAT })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::tests::authority;

    const NODE: NodeId = NodeId(7);

    fn reply_key() -> BoxSecret {
        BoxSecret::from_seed(&[3; 32])
    }

    fn order(wish: Wish) -> Order {
        Order::new(&authority(1), NODE, wish, 1000, [5; 16], reply_key().public())
    }

    #[test]
    fn an_order_survives_its_text() {
        let logs = [1, 1000].map(|lines| Wish::Logs { lines });
        let others = [Wish::Edits { from: 7 }, Wish::Models];
        for wish in logs.into_iter().chain(others).chain(DiagPart::ALL.map(Wish::Diag)) {
            let order = order(wish);
            assert_eq!(order.encode().len(), ORDER_BYTES);
            assert_eq!(Order::parse(order.to_json().as_bytes()), Ok(order));
        }
        for lines in [0, 1001] {
            assert!(Order::decode(&order(Wish::Logs { lines }).encode()).is_err());
        }
    }

    #[test]
    fn every_part_has_its_name_and_its_number() {
        for (idx, part) in DiagPart::ALL.into_iter().enumerate() {
            assert_eq!((part as usize, part.as_str().parse()), (idx, Ok(part)));
        }
        let error = "shell".parse::<DiagPart>().unwrap_err();
        assert!(error.starts_with("there is no part 'shell'; there are status, network"), "{error}");
        let mut bytes = order(Wish::Diag(DiagPart::Status)).encode();
        bytes[16] = DiagPart::ALL.len() as u8;
        assert_eq!(Order::decode(&bytes), Err(Error::Form { what: WHAT }));
    }

    fn check(authority_n: u8, node: u64, now: u64, want: Result<(), Error>) {
        let got =
            order(Wish::Diag(DiagPart::Status)).verify(&authority(authority_n).public(), NodeId(node), now);
        assert_eq!(got, want);
    }

    #[test]
    fn an_order_holds_for_one_node_at_one_time() {
        check(1, 7, 1000, Ok(()));
        check(1, 7, 1060, Ok(()));
        check(1, 7, 940, Ok(()));
        check(1, 7, 1061, Err(Error::Time { what: WHAT }));
        check(1, 7, 939, Err(Error::Time { what: WHAT }));
        check(1, 8, 1000, Err(Error::Mismatch { what: "the order is for another node" }));
        check(2, 7, 1000, Err(Error::Cluster));
    }

    #[test]
    fn a_changed_bit_anywhere_is_refused() {
        let good = order(Wish::Diag(DiagPart::Status)).encode();
        for bit in 0..good.len() * 8 {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let verdict = Order::decode(&bytes).and_then(|o| o.verify(&authority(1).public(), NODE, 1000));
            assert!(verdict.is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_report_is_of_one_node_to_one_order() {
        let (order, node) = (order(Wish::Diag(DiagPart::Status)), NodeSecret::from_seed(&[1; 32]));
        let sealed = order.report(&node, "all is well", &[9; 32]).unwrap();
        let open = |order: &Order, key: &NodePublic| order.open_report(&sealed, &reply_key(), key);
        assert_eq!(open(&order, &node.public()).as_deref(), Ok("all is well"));
        let other = NodeSecret::from_seed(&[2; 32]).public();
        assert_eq!(open(&order, &other), Err(Error::Signature { what: "the report" }));
        assert_eq!(open(&self::order(Wish::Logs { lines: 1 }), &node.public()), Err(Error::Sealed));
    }

    #[test]
    fn the_end_of_a_long_report_is_what_is_kept() {
        let (order, node) = (order(Wish::Diag(DiagPart::Status)), NodeSecret::from_seed(&[1; 32]));
        let text = format!("{}end", "é".repeat(REPORT_TEXT_BYTES_MAX));
        let sealed = order.report(&node, &text, &[9; 32]).unwrap();
        let got = order.open_report(&sealed, &reply_key(), &node.public()).unwrap();
        assert!(got.len() <= REPORT_TEXT_BYTES_MAX && got.ends_with("éend") && got.starts_with('é'));
    }
}
