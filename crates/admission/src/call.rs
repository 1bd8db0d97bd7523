//! The call home, as the PC writes it: first [`Ask`], then [`Open`], which also asks again while it waits.
//!
//! JSON outside, strict: unknown and missing fields are refused, and so is whatever is longer than any honest call.
//! Both carry a signature of the node's key: the first shows that the caller holds it, the second that it heard the
//! server's fresh nonce, so that a recorded call is worth nothing.

use std::fmt;

use release::{Mac, ReleaseId};
use serde::{Deserialize, Serialize};

use crate::bytes::{hex, unhex_exact};
use crate::code::{Nonce, commitment};
use crate::keys::{NodePublic, NodeSecret, OverlayPublic, Signature, Statement};
use crate::{BoxPublic, Error, NodeId, StickProof};

/// Where the boot server hears calls, 7948/tcp.
pub const ENROL_PATH: &str = "/v1/enrol";
/// Where a call goes on.
pub const OPEN_PATH: &str = "/v1/enrol/open";
/// The port of both.
pub const ENROL_PORT: u16 = 7948;
/// Longest call of either kind; ours have about 900.
pub const CALL_BYTES_MAX: usize = 4096;
/// Longest name of a processor; longer ones are cut by the caller.
pub const PROCESSOR_BYTES_MAX: usize = 96;

const FORMAT: u8 = 1;
const WHAT: &str = "the call home";

/// One call: the hash of everything the PC said first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub [u8; 32]);

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a PC is made of, for the owner's eyes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hardware {
    pub processor: String,
    pub cores: u16,
    pub ram_mib: u32,
}

/// The first message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    pub mac: Mac,
    /// Of this boot, as the boot line says; 0 where nobody counted it.
    pub attempt: u32,
    pub release: ReleaseId,
    pub hardware: Hardware,
    pub node_key: NodePublic,
    pub overlay_key: OverlayPublic,
    /// The answer is sealed to it; made for this call.
    pub box_key: BoxPublic,
    /// To the nonce that [`Open`] shows.
    pub commitment: [u8; 32],
    signature: Signature,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AskDocument {
    format: u8,
    mac: String,
    attempt: u32,
    release: String,
    hardware: Hardware,
    node_key: String,
    overlay_key: String,
    box_key: String,
    commitment: String,
    signature: String,
}

/// What a PC says of itself in its first message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub mac: Mac,
    pub attempt: u32,
    pub release: ReleaseId,
    pub hardware: Hardware,
    pub overlay_key: OverlayPublic,
}

impl Ask {
    /// Signs a call of this node.
    pub fn new(caller: &Caller, node: &NodeSecret, box_key: BoxPublic, nonce: &Nonce) -> Ask {
        let Caller { mac, attempt, release, hardware, overlay_key } = caller.clone();
        let (node_key, commitment) = (node.public(), commitment(nonce));
        let signature = Signature([0; Signature::BYTES]);
        let mut ask =
            Ask { mac, attempt, release, hardware, node_key, overlay_key, box_key, commitment, signature };
        ask.hardware.processor = cut(&ask.hardware.processor);
        ask.signature = node.sign(Statement::Ask, &ask.body());
        ask
    }

    pub fn to_json(&self) -> String {
        let document = AskDocument {
            format: FORMAT,
            mac: self.mac.to_string(),
            attempt: self.attempt,
            release: self.release.to_string(),
            hardware: self.hardware.clone(),
            node_key: self.node_key.to_hex(),
            overlay_key: self.overlay_key.to_hex(),
            box_key: self.box_key.to_hex(),
            commitment: hex(&self.commitment),
            signature: self.signature.to_hex(),
        };
        serde_json::to_string(&document).expect("a call has only plain values")
    }

    /// Reads a call and checks that the caller holds its key.
    pub fn parse(bytes: &[u8]) -> Result<Ask, Error> {
        let document: AskDocument = read(bytes)?;
        let form = Error::Form { what: WHAT };
        if document.format != FORMAT {
            return Err(Error::Format { what: WHAT, found: document.format });
        }
        let ask = Ask {
            mac: Mac::parse(&document.mac).ok().filter(|mac| mac.is_card()).ok_or(form)?,
            attempt: document.attempt,
            release: ReleaseId::parse(&document.release).map_err(|_| form)?,
            hardware: document.hardware,
            node_key: NodePublic::parse(&document.node_key).ok_or(form)?,
            overlay_key: OverlayPublic::parse(&document.overlay_key).ok_or(form)?,
            box_key: BoxPublic::parse(&document.box_key).ok_or(form)?,
            commitment: unhex_exact(&document.commitment).ok_or(form)?,
            signature: Signature::parse(&document.signature).ok_or(form)?,
        };
        if ask.hardware.processor != cut(&ask.hardware.processor) {
            return Err(Error::Limit { what: WHAT });
        }
        ask.node_key.verify(Statement::Ask, &ask.body(), &ask.signature)?;
        Ok(ask)
    }

    pub fn id(&self) -> CallId {
        let mut hasher = blake3::Hasher::new_derive_key("duet 1 call home");
        CallId(*hasher.update(&self.body()).finalize().as_bytes())
    }

    pub fn node(&self) -> NodeId {
        NodeId::of_mac(self.mac)
    }

    /// Everything but the signature, in one form; a length before each text.
    fn body(&self) -> Vec<u8> {
        let (release, processor) = (self.release.as_str().as_bytes(), self.hardware.processor.as_bytes());
        let parts: [&[u8]; 13] = [
            &[FORMAT],
            &self.mac.0,
            &self.attempt.to_be_bytes(),
            &(release.len() as u32).to_be_bytes(),
            release,
            &(processor.len() as u32).to_be_bytes(),
            processor,
            &self.hardware.cores.to_be_bytes(),
            &self.hardware.ram_mib.to_be_bytes(),
            self.node_key.as_bytes(),
            &self.overlay_key.0,
            self.box_key.as_bytes(),
            &self.commitment,
        ];
        parts.concat()
    }
}

/// A processor's name that fits: control letters become blanks, and it ends at a letter's end.
fn cut(name: &str) -> String {
    let mut cut = String::new();
    for letter in name.chars().map(|letter| if letter.is_control() { ' ' } else { letter }) {
        if cut.len() + letter.len_utf8() > PROCESSOR_BYTES_MAX {
            break;
        }
        cut.push(letter);
    }
    cut
}

/// The second message: opens the commitment. Sent again, it asks whether there is news.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    pub call: CallId,
    pub nonce: Nonce,
    /// Where the owner's stick is in the PC. It signs for itself: taken away, it can only be missed.
    pub stick: Option<StickProof>,
    signature: Signature,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OpenDocument {
    format: u8,
    call: String,
    nonce: String,
    /// A server of before refuses a call that has it, and its nodes have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stick: Option<String>,
    signature: String,
}

impl Open {
    pub fn new(call: CallId, node: &NodeSecret, nonce: &Nonce, servers: &Nonce) -> Open {
        let signature = node.sign(Statement::Open, &body(&call, nonce, servers));
        Open { call, nonce: *nonce, stick: None, signature }
    }

    pub fn with_stick(self, stick: Option<StickProof>) -> Open {
        Open { stick, ..self }
    }

    pub fn to_json(&self) -> String {
        let document = OpenDocument {
            format: FORMAT,
            call: self.call.to_string(),
            nonce: hex(&self.nonce),
            stick: self.stick.map(|stick| stick.to_hex()),
            signature: self.signature.to_hex(),
        };
        serde_json::to_string(&document).expect("a call has only plain values")
    }

    /// Reads the form; [`Open::verify`] says whether it belongs to a call.
    pub fn parse(bytes: &[u8]) -> Result<Open, Error> {
        let document: OpenDocument = read(bytes)?;
        let form = Error::Form { what: WHAT };
        if document.format != FORMAT {
            return Err(Error::Format { what: WHAT, found: document.format });
        }
        Ok(Open {
            call: CallId(unhex_exact(&document.call).ok_or(form)?),
            nonce: unhex_exact(&document.nonce).ok_or(form)?,
            stick: document.stick.map(|text| StickProof::parse(&text)).transpose()?,
            signature: Signature::parse(&document.signature).ok_or(form)?,
        })
    }

    /// Whether this opens that call, and its caller has heard the server's nonce.
    pub fn verify(&self, ask: &Ask, servers: &Nonce) -> Result<(), Error> {
        if self.call != ask.id() || commitment(&self.nonce) != ask.commitment {
            return Err(Error::Mismatch { what: "this does not open that call" });
        }
        ask.node_key.verify(Statement::Open, &body(&self.call, &self.nonce, servers), &self.signature)
    }
}

fn body(call: &CallId, nonce: &Nonce, servers: &Nonce) -> Vec<u8> {
    [call.0, *nonce, *servers].concat()
}

fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Error> {
    if bytes.len() > CALL_BYTES_MAX {
        return Err(Error::TooLong { what: WHAT, bytes_max: CALL_BYTES_MAX });
    }
    serde_json::from_slice(bytes).map_err(|_| Error::Form { what: WHAT })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::BoxSecret;

    pub(crate) fn caller() -> Caller {
        Caller {
            mac: Mac([0x52, 0x54, 0, 0x77, 0, 1]),
            attempt: 3,
            release: ReleaseId::parse("trixie-1").unwrap(),
            hardware: Hardware { processor: "Core 2 Duo E8400".into(), cores: 2, ram_mib: 4096 },
            overlay_key: OverlayPublic([5; 32]),
        }
    }

    pub(crate) fn node() -> NodeSecret {
        NodeSecret::from_seed(&[1; 32])
    }

    pub(crate) fn ask() -> Ask {
        Ask::new(&caller(), &node(), BoxSecret::from_seed(&[2; 32]).public(), &[3; 32])
    }

    #[test]
    fn a_call_survives_its_text() {
        assert_eq!(Ask::parse(ask().to_json().as_bytes()), Ok(ask()));
        let open = Open::new(ask().id(), &node(), &[3; 32], &[4; 32]);
        assert_eq!(Open::parse(open.to_json().as_bytes()), Ok(open.clone()));
        assert_eq!(open.verify(&ask(), &[4; 32]), Ok(()));
    }

    #[test]
    fn an_opening_may_bring_a_stick_and_nothing_that_is_none() {
        let secret = crate::StickSecret::from_seed(&[9; 32]);
        let authority = crate::certificate::tests::authority(1);
        let pass = crate::Pass::issue(&authority, 1000, 30, secret.public()).unwrap();
        let stick = crate::Stick::new(pass, secret).unwrap().prove(&ask().id(), &[3; 32], &[4; 32]);
        let open = Open::new(ask().id(), &node(), &[3; 32], &[4; 32]).with_stick(Some(stick));
        let text = open.to_json();
        assert_eq!(Open::parse(text.as_bytes()), Ok(open));
        assert!(text.len() <= CALL_BYTES_MAX);
        let bent = text.replacen("\"stick\":\"01", "\"stick\":\"01ff", 1);
        assert!(bent != text && Open::parse(bent.as_bytes()).is_err());
        let none = Open::new(ask().id(), &node(), &[3; 32], &[4; 32]).to_json();
        assert!(!none.contains("stick"), "a server of before reads a call without one");
    }

    /// Puts `to` in the place of `from` in a good call.
    fn check(from: &str, to: &str, want: Result<(), Error>) {
        let good = ask().to_json();
        assert!(good.contains(from), "{good}");
        assert_eq!(Ask::parse(good.replacen(from, to, 1).as_bytes()).map(drop), want, "{from} -> {to}");
    }

    #[test]
    fn whatever_is_changed_in_a_call_is_refused() {
        let (form, signature) =
            (Err(Error::Form { what: WHAT }), Err(Error::Signature { what: "the call home" }));
        check("\"format\":1", "\"format\":2", Err(Error::Format { what: WHAT, found: 2 }));
        check("\"format\":1", "\"format\":1,\"new\":1", form);
        check("\"format\":1,", "", form);
        check("00:77:00:01", "00:77:00:02", signature);
        check("52:54:00", "53:54:00", form);
        check("\"attempt\":3", "\"attempt\":4", signature);
        check("trixie-1", "trixie-2", signature);
        check("trixie-1", "../keys", form);
        check("E8400", "E8500", signature);
        check("E8400", "E8400\\n", Err(Error::Limit { what: WHAT }));
        check("0505", "0506", signature);
        check("05050505", "0505050", form);
        check("}", "}x", form);
    }

    #[test]
    fn a_long_name_of_a_processor_is_cut_and_a_longer_call_refused() {
        let mut caller = caller();
        caller.hardware.processor = "é\n".repeat(200);
        let ask = Ask::new(&caller, &node(), BoxSecret::from_seed(&[2; 32]).public(), &[3; 32]);
        assert_eq!(ask.hardware.processor.len(), PROCESSOR_BYTES_MAX);
        assert_eq!(Ask::parse(ask.to_json().as_bytes()), Ok(ask));
        let long = format!("{}{}", self::ask().to_json(), " ".repeat(CALL_BYTES_MAX));
        let want = Err(Error::TooLong { what: WHAT, bytes_max: CALL_BYTES_MAX });
        assert_eq!(Ask::parse(long.as_bytes()).map(drop), want);
    }

    #[test]
    fn a_recorded_opening_fails_against_a_new_nonce_of_the_server() {
        let open = Open::new(ask().id(), &node(), &[3; 32], &[4; 32]);
        assert!(open.verify(&ask(), &[5; 32]).is_err());
        let other = Open::new(ask().id(), &node(), &[9; 32], &[4; 32]);
        assert_eq!(
            other.verify(&ask(), &[4; 32]),
            Err(Error::Mismatch { what: "this does not open that call" })
        );
        let thief = Open::new(ask().id(), &NodeSecret::from_seed(&[8; 32]), &[3; 32], &[4; 32]);
        assert!(thief.verify(&ask(), &[4; 32]).is_err());
    }
}
