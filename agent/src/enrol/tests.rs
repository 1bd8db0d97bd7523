//! The caller against a server made of the same parts: every way a call can go.

use super::*;
use admission::{
    Admission, AuthoritySecret, Certificate, Claim, Hardware, KeyRing, OverlayPublic, Page, Proof, RingKey,
    Role,
};
use release::{HostName, Mac, ReleaseId};

const UNIX_S: u64 = 1_800_000_000;

fn release_key(n: u8) -> release::SecretKey {
    release::SecretKey::from_seed(&[n; 32])
}

fn caller() -> Caller {
    Caller {
        mac: Mac([0x52, 0x54, 0, 0x77, 0, 1]),
        attempt: 3,
        release: ReleaseId::parse("trixie-1").unwrap(),
        hardware: Hardware::default(),
        overlay_key: OverlayPublic([5; 32]),
    }
}

fn enroller(n_servers: usize) -> Enroller {
    let mut n = 0u8;
    let dice = move || {
        n = n.wrapping_add(1);
        [n; 32]
    };
    Enroller::new(caller(), release_key(7).public(), n_servers, Box::new(dice), None)
}

/// A boot server of few words.
struct Server {
    authority: AuthoritySecret,
    release: release::SecretKey,
    nonce: Nonce,
    asked: Option<Ask>,
}

impl Server {
    fn new() -> Server {
        let authority = AuthoritySecret::from_seed(&[1; 32]);
        Server { authority, release: release_key(7), nonce: [0x44; 32], asked: None }
    }

    fn challenge(&mut self, json: &str) -> Input {
        let ask = Ask::parse(json.as_bytes()).unwrap();
        let proof = Proof::new(&self.release, &self.authority.public());
        let challenge = Challenge::new(&self.authority, proof, ask.id(), self.nonce);
        self.asked = Some(ask);
        Input::Answered { status: 200, body: challenge.to_json().into() }
    }

    fn answer(&self, json: &str, answer: &Answer) -> Input {
        let (open, ask) = (Open::parse(json.as_bytes()).unwrap(), self.asked.as_ref().unwrap());
        open.verify(ask, &self.nonce).unwrap();
        let text = answer.seal(&self.authority, &open.call, &ask.box_key, &[9; 32]).unwrap();
        Input::Answered { status: 200, body: text.into() }
    }

    fn admission(&self) -> Answer {
        let claim = Claim {
            role: Role::Node,
            mac: caller().mac,
            serial: 1,
            issued_s: UNIX_S,
            expires_s: UNIX_S + 3000,
            node_key: self.asked.as_ref().unwrap().node_key,
            overlay_key: OverlayPublic([5; 32]),
        };
        let key = RingKey::new(1, [4; 32]);
        Answer::Admitted(Box::new(Admission {
            certificate: Certificate::issue(&self.authority, claim),
            roster: vec![Page::first(&self.authority, 1, key.mark(), None, &[]).unwrap()],
            ring: KeyRing::new(key),
            seeds: vec![],
            unix_s: UNIX_S,
            epoch: 5,
            name: HostName::parse("kitchen").unwrap(),
        }))
    }
}

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn wishes(enroller: &mut Enroller) -> Vec<Output> {
    std::iter::from_fn(|| enroller.poll()).collect()
}

/// The only post among the wishes: server, path and text.
fn posted(enroller: &mut Enroller) -> (usize, &'static str, String) {
    let mut posts = wishes(enroller).into_iter().filter_map(|wish| match wish {
        Output::Post { server_idx, path, json } => Some((server_idx, path, json)),
        _ => None,
    });
    let post = posts.next().expect("a post");
    assert!(posts.next().is_none());
    post
}

/// The overlay key of the only post among the wishes, which begins a call.
fn overlay_asked(enroller: &mut Enroller) -> OverlayPublic {
    let (_, path, ask) = posted(enroller);
    assert_eq!(path, ENROL_PATH);
    Ask::parse(ask.as_bytes()).unwrap().overlay_key
}

/// The only wish, which is a question about sticks.
fn stick_asked(enroller: &mut Enroller) -> StickAsk {
    match &wishes(enroller)[..] {
        [Output::AskStick(ask)] => **ask,
        other => panic!("no question about sticks alone: {other:?}"),
    }
}

/// The first message, and the answer to it.
fn begun(enroller: &mut Enroller, server: &mut Server, now: Duration) -> String {
    enroller.handle(now, Input::Woken);
    let (_, path, ask) = posted(enroller);
    assert_eq!(path, ENROL_PATH);
    let challenge = server.challenge(&ask);
    enroller.handle(now, challenge);
    stick_asked(enroller);
    enroller.handle(now, Input::Stick(None));
    let (_, path, open) = posted(enroller);
    assert_eq!(path, OPEN_PATH);
    open
}

fn joined(wishes: &[Output]) -> bool {
    wishes.iter().any(|wish| matches!(wish, Output::Join(_)))
}

#[test]
fn a_call_ends_in_a_membership_and_is_renewed_in_time_with_the_same_key() {
    let (mut enroller, mut server) = (enroller(1), Server::new());
    let open = begun(&mut enroller, &mut server, s(0));
    let first = server.asked.as_ref().unwrap().node_key;
    enroller.handle(s(1), server.answer(&open, &server.admission()));
    assert!(joined(&wishes(&mut enroller)));
    assert_eq!(enroller.deadline(), Some(s(2001)));
    enroller.handle(s(2000), Input::Woken);
    assert!(wishes(&mut enroller).is_empty());
    begun(&mut enroller, &mut server, s(2001));
    assert_eq!(server.asked.as_ref().unwrap().node_key, first);
}

#[test]
fn while_the_owner_compares_the_code_is_shown_once_and_asked_again() {
    let (mut enroller, mut server) = (enroller(1), Server::new());
    let mut open = begun(&mut enroller, &mut server, s(0));
    let ask = server.asked.clone().unwrap();
    for n in 0..5 {
        enroller.handle(s(3 * n), server.answer(&open, &Answer::Waiting { again_s: 3 }));
        let told = wishes(&mut enroller);
        assert_eq!(told.len(), usize::from(n == 0));
        if let Some(Output::Show(Phase::Waiting { code })) = told.first() {
            // The nonce of the call is the third throw of the dice.
            let want = Code::of(&ask.id(), &server.authority.public(), &server.nonce, &[3; 32]);
            assert_eq!(*code, want.to_string());
        }
        assert_eq!(enroller.deadline(), Some(s(3 * n + 3)));
        enroller.handle(s(3 * n + 3), Input::Woken);
        open = posted(&mut enroller).2;
    }
    enroller.handle(s(20), server.answer(&open, &server.admission()));
    assert!(joined(&wishes(&mut enroller)));
}

/// What is shown after the first answer came changed; nothing of it may be believed.
fn check_refused(change: impl Fn(&mut Server), want: &str) {
    let (mut enroller, mut server) = (enroller(1), Server::new());
    change(&mut server);
    enroller.handle(s(0), Input::Woken);
    let challenge = server.challenge(&posted(&mut enroller).2);
    enroller.handle(s(0), challenge);
    match wishes(&mut enroller).as_slice() {
        [Output::Show(Phase::Refused { sentence })] => assert!(sentence.contains(want), "{sentence}"),
        other => panic!("{other:?}"),
    }
    assert!(enroller.deadline().is_some());
}

#[test]
fn a_server_without_the_release_key_behind_it_is_not_believed() {
    check_refused(|server| server.release = release_key(8), "the signature of the cluster's authority");
}

#[test]
fn a_tampered_or_foreign_answer_is_not_believed() {
    let (mut enroller, mut server) = (enroller(1), Server::new());
    let open = begun(&mut enroller, &mut server, s(0));
    let Input::Answered { mut body, .. } = server.answer(&open, &server.admission()) else { unreachable!() };
    let at = body.len() / 2;
    body[at] = if body[at] == b'0' { b'1' } else { b'0' };
    enroller.handle(s(0), Input::Answered { status: 200, body });
    assert!(!joined(&wishes(&mut enroller)));

    // The answer to the call before.
    let mut enroller = self::enroller(1);
    let open = begun(&mut enroller, &mut server, s(0));
    let old = server.answer(&open, &server.admission());
    enroller.handle(s(0), Input::Answered { status: 409, body: vec![] });
    let due = enroller.deadline().unwrap();
    begun(&mut enroller, &mut server, due);
    enroller.handle(due, old);
    assert!(!joined(&wishes(&mut enroller)));
}

#[test]
fn an_admission_of_another_nodes_key_is_not_believed() {
    let (mut enroller, mut server) = (enroller(1), Server::new());
    let open = begun(&mut enroller, &mut server, s(0));
    let Answer::Admitted(mut admission) = server.admission() else { unreachable!() };
    let claim =
        Claim { node_key: NodeSecret::from_seed(&[99; 32]).public(), ..*admission.certificate.claim() };
    admission.certificate = Certificate::issue(&server.authority, claim);
    enroller.handle(s(0), server.answer(&open, &Answer::Admitted(admission)));
    assert!(!joined(&wishes(&mut enroller)));
}

#[test]
fn servers_are_called_in_turn_with_pauses_that_grow_to_a_limit() {
    let mut enroller = enroller(2);
    let mut now = s(0);
    let mut pauses = vec![];
    for n in 0..24 {
        enroller.handle(now, Input::Woken);
        assert_eq!(posted(&mut enroller).0, n % 2);
        enroller.handle(now, Input::Lost { sentence: "no route".into() });
        wishes(&mut enroller);
        let due = enroller.deadline().unwrap();
        pauses.push(due - now);
        now = due;
    }
    assert!(pauses[1] <= PAUSE_MIN && pauses[23] > PAUSE_MAX / 2 && pauses[23] <= PAUSE_MAX);
}

#[test]
fn a_lost_answer_is_asked_for_again_and_the_call_begun_anew_only_after_many() {
    let (mut enroller, mut server) = (enroller(1), Server::new());
    begun(&mut enroller, &mut server, s(0));
    for n in 0..=LOST_MAX {
        let now = enroller.deadline().unwrap_or(s(0));
        enroller.handle(now, Input::Lost { sentence: "reset".into() });
        wishes(&mut enroller);
        let due = enroller.deadline().unwrap();
        enroller.handle(due, Input::Woken);
        assert_eq!(posted(&mut enroller).1, if n < LOST_MAX { OPEN_PATH } else { ENROL_PATH });
    }
}

#[test]
fn a_refusal_shows_its_reason_and_waits_as_told() {
    let (mut enroller, mut server) = (enroller(1), Server::new());
    let open = begun(&mut enroller, &mut server, s(0));
    let refused = Answer::Refused { reason: "no stick".into(), again_s: 60 };
    enroller.handle(s(0), server.answer(&open, &refused));
    let told = wishes(&mut enroller);
    let want = "the boot server says: no stick";
    assert!(matches!(&told[..], [Output::Show(Phase::Refused { sentence })] if sentence == want));
    assert_eq!(enroller.deadline(), Some(s(60)));
}

#[test]
fn a_restarted_agent_goes_on_as_a_member() {
    let (mut enroller, mut server) = (enroller(1), Server::new());
    let open = begun(&mut enroller, &mut server, s(0));
    enroller.handle(s(0), server.answer(&open, &server.admission()));
    let member = wishes(&mut enroller).into_iter().find_map(|wish| match wish {
        Output::Join(member) => Some(*member),
        _ => None,
    });
    let dice = Box::new(|| [1; 32]);
    let kept = Some((member.unwrap(), UNIX_S + 1500));
    let mut enroller = Enroller::new(caller(), release_key(7).public(), 1, dice, kept);
    assert!(joined(&wishes(&mut enroller)));
    assert_eq!(enroller.deadline(), Some(s(500)));
}

#[test]
fn a_member_whose_ring_is_old_calls_anew_but_not_at_every_datagram() {
    let (mut enroller, mut server) = (enroller(1), Server::new());
    let open = begun(&mut enroller, &mut server, s(0));
    enroller.handle(s(0), Input::Doubted);
    assert!(wishes(&mut enroller).is_empty());
    enroller.handle(s(0), server.answer(&open, &server.admission()));
    assert!(joined(&wishes(&mut enroller)));
    for n in 1..=100 {
        enroller.handle(s(n), Input::Doubted);
        let asked = wishes(&mut enroller);
        assert_eq!(asked.len(), usize::from(n == 1 || n == 61), "after {n} s");
        // The server is away; the member stays one.
        if !asked.is_empty() {
            enroller.handle(s(n), Input::Lost { sentence: "no route".into() });
            assert!(wishes(&mut enroller).is_empty());
            enroller.due = None;
        }
    }
}

#[test]
fn without_a_server_the_node_says_so_and_rests() {
    let mut enroller = enroller(0);
    enroller.handle(s(0), Input::Woken);
    assert!(matches!(&wishes(&mut enroller)[..], [Output::Show(Phase::Alone)]));
    assert_eq!(enroller.deadline(), None);
}

#[test]
fn any_answer_at_any_time_leaves_the_caller_alive() {
    let seed = 11u64;
    println!("seed {seed}");
    let (mut enroller, mut server, mut dice, mut now) = (enroller(3), Server::new(), seed, s(0));
    let mut last = String::new();
    for _ in 0..3000 {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        now = enroller.deadline().unwrap_or(now).max(now);
        let input = match (dice >> 33) % 6 {
            0 => Input::Woken,
            1 => Input::Lost { sentence: "lost".into() },
            2 => Input::Answered { status: ((dice >> 40) % 600) as u16, body: last.clone().into() },
            3 if Ask::parse(last.as_bytes()).is_ok() => server.challenge(&last),
            4 if Open::parse(last.as_bytes()).is_ok_and(|open| {
                server.asked.as_ref().is_some_and(|ask| open.verify(ask, &server.nonce).is_ok())
            }) =>
            {
                server.answer(&last, &Answer::Waiting { again_s: (dice >> 50) as u16 })
            }
            _ => Input::Answered { status: 200, body: dice.to_be_bytes().to_vec() },
        };
        enroller.handle(now, input);
        for wish in wishes(&mut enroller) {
            if let Output::Post { json, server_idx, .. } = wish {
                assert!(server_idx < 3);
                last = json;
            }
        }
        assert!(enroller.wishes.len() < 8);
    }
}

#[test]
fn an_overlay_key_that_comes_late_brings_a_second_call_with_it() {
    let (mut enroller, mut server) = (enroller(1), Server::new());
    let open = begun(&mut enroller, &mut server, s(0));
    enroller.handle(s(1), server.answer(&open, &server.admission()));
    assert!(joined(&wishes(&mut enroller)));
    enroller.handle(s(2), Input::Overlay(OverlayPublic([5; 32])));
    assert!(wishes(&mut enroller).is_empty(), "the certificate holds this key");
    enroller.handle(s(3), Input::Overlay(OverlayPublic([6; 32])));
    assert_eq!(overlay_asked(&mut enroller), OverlayPublic([6; 32]));
}

#[test]
fn an_overlay_key_that_comes_in_the_middle_of_a_call_begins_it_anew() {
    let (mut enroller, mut server) = (enroller(1), Server::new());
    begun(&mut enroller, &mut server, s(0));
    enroller.handle(s(1), Input::Overlay(OverlayPublic([6; 32])));
    assert_eq!(overlay_asked(&mut enroller), OverlayPublic([6; 32]));
}

#[test]
fn without_a_boot_server_a_late_overlay_key_wakes_nobody() {
    let mut enroller = enroller(0);
    wishes(&mut enroller);
    enroller.handle(s(1), Input::Overlay(OverlayPublic([6; 32])));
    assert!(wishes(&mut enroller).is_empty() && enroller.deadline().is_none());
}

#[test]
fn a_stick_in_the_pc_signs_the_call_and_no_other() {
    let (mut enroller, mut server) = (enroller(1), Server::new());
    enroller.handle(s(0), Input::Woken);
    let (_, _, ask) = posted(&mut enroller);
    let challenge = server.challenge(&ask);
    enroller.handle(s(0), challenge);
    let secret = admission::StickSecret::from_seed(&[8; 32]);
    let pass = admission::Pass::issue(&server.authority, UNIX_S, 30, secret.public()).unwrap();
    let stick = admission::Stick::new(pass, secret).unwrap();
    let proof = stick_asked(&mut enroller).answer(&stick).unwrap();
    enroller.handle(s(1), Input::Stick(Some(Box::new(proof))));
    let (_, _, open) = posted(&mut enroller);
    let open = Open::parse(open.as_bytes()).unwrap();
    let (authority, call) = (server.authority.public(), server.asked.as_ref().unwrap().id());
    let check = |call| open.stick.unwrap().verify(&authority, UNIX_S, call, &open.nonce, &server.nonce);
    assert_eq!(check(&call), Ok(()));
    assert!(check(&CallId([0; 32])).is_err());
    // An answer that comes when nobody waits for it changes nothing.
    enroller.handle(s(2), server.answer(&open.to_json(), &server.admission()));
    assert!(joined(&wishes(&mut enroller)));
    enroller.handle(s(3), Input::Stick(Some(Box::new(proof))));
    assert!(wishes(&mut enroller).is_empty());
}
