//! Targets of admission: calls home, their answers, certificates, the roster, orders, sticks, API keys, settings.
//!
//! What has one form must come back byte for byte; what is signed or sealed must not be believed, because nobody who
//! makes up bytes holds a key.

use admission::{
    ANSWER_BYTES_MAX, Admission, Answer, ApiKey, ApiKeyFile, ApiKeys, Ask, AuthoritySecret, BoxSecret,
    CALL_BYTES_MAX, CallId, Certificate, Challenge, Code, DiagPart, NodeId, NodeSecret, Open, Order, Page,
    Pass, RingKey, Roster, STICK_BYTES, SignedSettings, Stick, StickAsk, StickProof, Wish,
};
use std::sync::OnceLock;

const CALL: CallId = CallId([6; 32]);

struct Keys {
    authority: AuthoritySecret,
    release: release::PublicKey,
    letterbox: BoxSecret,
    node: NodeSecret,
    order: Order,
}

fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| {
        let (authority, letterbox) = (AuthoritySecret::from_seed(&[1; 32]), BoxSecret::from_seed(&[2; 32]));
        let order = Order::new(
            &authority,
            NodeId(7),
            Wish::Diag(DiagPart::Status),
            1000,
            [5; 16],
            letterbox.public(),
        );
        let release = release::SecretKey::from_seed(&[7; 32]).public();
        Keys { authority, release, letterbox, node: NodeSecret::from_seed(&[3; 32]), order }
    })
}

/// What a PC posts: its call and what opens it.
pub fn admission_ask(bytes: &[u8]) {
    if let Ok(ask) = Ask::parse(bytes) {
        let text = ask.to_json();
        assert!(bytes.len() <= CALL_BYTES_MAX && text.len() <= CALL_BYTES_MAX);
        assert_eq!(Ask::parse(text.as_bytes()).as_ref(), Ok(&ask));
        assert_eq!(ask.node(), NodeId::of_mac(ask.mac));
    }
    if let Ok(open) = Open::parse(bytes) {
        assert_eq!(Open::parse(open.to_json().as_bytes()), Ok(open));
    }
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Some(code) = Code::parse(text)
    {
        assert_eq!(Code::parse(&code.to_string()), Some(code));
    }
}

/// What a server answers, and what lies inside once it is opened.
pub fn admission_answer(bytes: &[u8]) {
    let keys = keys();
    let challenge = Challenge::parse(bytes, &CALL, &keys.release);
    assert!(challenge.is_err(), "a challenge that nobody signed was believed");
    let answer = Answer::open(bytes, &CALL, &keys.letterbox, &keys.authority.public());
    assert!(answer.is_err(), "an answer that nobody signed was believed");
    if let Ok(admission) = Admission::decode(bytes) {
        assert_eq!(*admission.encode(), bytes);
        let text = Answer::Admitted(Box::new(admission.clone()));
        let text = text.seal(&keys.authority, &CALL, &keys.letterbox.public(), &[9; 32]).expect("a good key");
        assert!(text.len() <= ANSWER_BYTES_MAX);
    }
}

pub fn admission_certificate(bytes: &[u8]) {
    let Ok(certificate) = Certificate::decode(bytes) else { return };
    assert_eq!(certificate.encode(), bytes);
    assert!(certificate.is_valid_at(certificate.claim().issued_s));
    assert!(!certificate.is_valid_at(certificate.claim().expires_s));
}

/// Pages, whole and merged, and ring keys.
pub fn admission_roster(bytes: &[u8]) {
    if let Ok(key) = RingKey::decode(bytes) {
        assert_eq!(&key.encode()[..], bytes);
    }
    let Ok(page) = Page::decode(bytes) else { return };
    assert_eq!(page.encode(), bytes);
    // The page itself is signed by nobody; the same removals on a page of the authority are taken.
    let keys = keys();
    let mut roster = Roster::default();
    let own = Page::further(&keys.authority, 1, page.version(), page.removed()).expect("it was a good page");
    roster.merge(own, &keys.authority.public()).expect("the authority signed it");
    for removal in page.removed() {
        assert_eq!(roster.removal(removal.node), Some(removal.serial));
    }
}

/// The first block of whatever was put into a PC, the question about it, and the proof that a PC posts.
pub fn admission_stick(bytes: &[u8]) {
    let authority = keys().authority.public();
    if let Ok(stick) = Stick::decode(bytes) {
        assert_eq!(&stick.encode()[..], &bytes[..STICK_BYTES]);
        let proof = stick.prove(&CALL, &[1; 32], &[2; 32]);
        assert_eq!(StickProof::parse(&proof.to_hex()), Ok(proof));
    }
    if let Ok(pass) = Pass::decode(bytes) {
        assert_eq!(pass.encode(), bytes);
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Some(ask) = StickAsk::parse(text) {
        assert_eq!(ask.to_hex(), text);
    }
    if let Ok(proof) = StickProof::parse(text) {
        assert_eq!(proof.to_hex(), text);
        let verdict = proof.verify(&authority, proof.pass.issued_s, &CALL, &[3; 32], &[4; 32]);
        assert!(verdict.is_err(), "a proof that no stick signed was believed");
    }
}

/// What an agent is posted, and what it answers.
pub fn admission_order(bytes: &[u8]) {
    let keys = keys();
    for order in [Order::decode(bytes), Order::parse(bytes)].into_iter().flatten() {
        assert_eq!(Order::decode(&order.encode()), Ok(order));
        assert_eq!(Order::parse(order.to_json().as_bytes()), Ok(order));
    }
    // Opening costs a thousand times what reading does, so only what asks for it is opened.
    if let Some(sealed) = bytes.strip_prefix(b"report") {
        let report = keys.order.open_report(sealed, &keys.letterbox, &keys.node.public());
        assert!(report.is_err(), "a report that nobody signed was believed");
    }
}

/// The settings that an agent is posted.
pub fn admission_settings(bytes: &[u8]) {
    let Ok(signed) = SignedSettings::parse(bytes) else { return };
    assert_eq!(SignedSettings::parse(signed.to_json().as_bytes()).as_ref(), Ok(&signed));
    assert!(signed.verify(&keys().authority.public()).is_err(), "settings that nobody signed were believed");
    let own = SignedSettings::new(&keys().authority, signed.version(), signed.settings().clone());
    assert_eq!(own.expect("they were within their limits").verify(&keys().authority.public()), Ok(()));
}

/// The list of API keys that an agent is posted, and the owner's file.
pub fn admission_api_keys(bytes: &[u8]) {
    let keys = keys();
    for list in [ApiKeys::decode(bytes), ApiKeys::parse(bytes)].into_iter().flatten() {
        assert_eq!(ApiKeys::decode(&list.encode()).as_ref(), Ok(&list));
        assert_eq!(ApiKeys::parse(list.to_json().as_bytes()).as_ref(), Ok(&list));
        // The list itself is signed by nobody; the same keys on a list of the authority are taken.
        let file = ApiKeyFile { version: list.version(), keys: list.keys().to_vec() };
        let own = ApiKeys::new(&keys.authority, &file).expect("it was a good list");
        assert_eq!(own.verify(&keys.authority.public()), Ok(()));
        assert_eq!(ApiKeyFile::parse(&file.to_json()).as_ref(), Ok(&file));
    }
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(file) = ApiKeyFile::parse(text)
    {
        assert_eq!(ApiKeyFile::parse(&file.to_json()).as_ref(), Ok(&file));
        assert!(ApiKey::find(&file.keys, text).is_none(), "a hash is no key");
    }
}
