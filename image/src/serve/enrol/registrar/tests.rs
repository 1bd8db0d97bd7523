//! The registrar without hands: every policy, every way to be refused, and what the owner's words do.

use super::*;
use admission::{
    BoxSecret, Caller, DiagPart, Error, Hardware, Membership, NodeSecret, OverlayPublic, Stick, StickSecret,
};
use release::ReleaseId;

const GOOD: Witness =
    Witness { address: Some(Ipv4Addr::new(10, 0, 0, 9)), is_itself: true, boots_here: true };
const NOW: u64 = 1_800_000_000;

fn release_key() -> release::SecretKey {
    release::SecretKey::from_seed(&[7; 32])
}

fn registrar(policy: Policy) -> Registrar {
    let authority = AuthoritySecret::from_seed(&[1; 32]);
    let proof = Proof::new(&release_key(), &authority.public());
    let book = Book { window_until_s: NOW, ..Book::new(0) };
    let mut registrar = Registrar::new(authority, proof, Ring::new(first_key([4; 32])), book);
    registrar.policy = policy;
    registrar
}

/// One PC; each of its boots has keys of its own.
struct Pc {
    mac: Mac,
    key: NodeSecret,
    letterbox: BoxSecret,
    nonce: Nonce,
}

fn pc(n: u8, boot: u8) -> Pc {
    let seed = |use_: u8| [n ^ boot.rotate_left(3) ^ use_; 32];
    Pc {
        mac: Mac([0x52, 0x54, 0, 0x77, 0, n]),
        key: NodeSecret::from_seed(&seed(0x11)),
        letterbox: BoxSecret::from_seed(&seed(0x22)),
        nonce: seed(0x33),
    }
}

impl Pc {
    fn ask(&self) -> Ask {
        let caller = Caller {
            mac: self.mac,
            attempt: 1,
            release: ReleaseId::parse("trixie-1").unwrap(),
            hardware: Hardware::default(),
            overlay_key: OverlayPublic([5; 32]),
        };
        Ask::new(&caller, &self.key, self.letterbox.public(), &self.nonce)
    }

    fn open(&self, servers: &Nonce) -> Open {
        Open::new(self.ask().id(), &self.key, &self.nonce, servers)
    }

    fn node(&self) -> NodeId {
        NodeId::of_mac(self.mac)
    }
}

fn name() -> HostName {
    HostName::parse("kitchen").unwrap()
}

/// A whole call; the answer is opened as the PC opens it.
fn call(registrar: &mut Registrar, now: u64, pc: &Pc) -> Answer {
    let challenge = registrar.ask(now, pc.ask(), GOOD, [0x44; 32]).unwrap();
    again(registrar, now, pc, &challenge.nonce)
}

fn again(registrar: &mut Registrar, now: u64, pc: &Pc, nonce: &Nonce) -> Answer {
    registrar.open(now, &pc.open(nonce), true, &name()).unwrap().0
}

fn admitted(answer: Answer) -> Admission {
    match answer {
        Answer::Admitted(admission) => *admission,
        other => panic!("not admitted: {other:?}"),
    }
}

fn code_of(registrar: &Registrar, node: NodeId) -> Code {
    match registrar.book.nodes[&node].job {
        Job::Waiting { code } => code,
        ref other => panic!("not waiting: {other:?}"),
    }
}

#[test]
fn an_admitted_pc_holds_everything_that_a_member_needs() {
    let mut registrar = registrar(Policy::Open);
    let pc = pc(1, 1);
    let admission = admitted(call(&mut registrar, NOW, &pc));
    assert_eq!((admission.epoch, admission.unix_s, admission.name.as_str()), (NOW as u32, NOW, "kitchen"));
    let member =
        Membership::new(admission, registrar.authority(), registrar.proof(), pc.key.clone()).unwrap();
    assert_eq!(member.certificate.node(), pc.node());
    assert_eq!(member.ring, *registrar.key_ring());
}

#[test]
fn a_lost_answer_is_given_again_without_a_second_certificate() {
    let mut registrar = registrar(Policy::Open);
    let pc = pc(1, 1);
    let first = admitted(call(&mut registrar, NOW, &pc));
    let (version, second) = (registrar.version(), admitted(call(&mut registrar, NOW + 5, &pc)));
    assert_eq!((second.certificate, second.epoch), (first.certificate, first.epoch));
    assert_eq!((registrar.version(), second.unix_s), (version, NOW + 5));
}

#[test]
fn epochs_rise_though_the_servers_clock_falls_back() {
    let mut registrar = registrar(Policy::Open);
    let epochs = [NOW, NOW - 500_000, NOW - 500_000].into_iter().zip(1..);
    let got: Vec<u32> =
        epochs.map(|(now, boot)| admitted(call(&mut registrar, now, &pc(1, boot))).epoch).collect();
    assert_eq!(got, [NOW as u32, NOW as u32 + 1, NOW as u32 + 2]);
}

#[test]
fn a_new_pc_outside_the_window_waits_for_the_owner_and_a_known_one_does_not() {
    let mut registrar = registrar(Policy::Window);
    admitted(call(&mut registrar, NOW - 1, &pc(1, 1)));
    admitted(call(&mut registrar, NOW + 9, &pc(1, 2)));
    assert_eq!(call(&mut registrar, NOW + 9, &pc(2, 1)), Answer::Waiting { again_s: WAITING_AGAIN_S });
    registrar.open_window(NOW + 10, 5);
    admitted(again(&mut registrar, NOW + 11, &pc(2, 1), &[0x44; 32]));
}

#[test]
fn the_owner_approves_one_call_by_its_code_and_later_boots_need_no_word() {
    let mut registrar = registrar(Policy::Approve);
    let (first, node) = (pc(1, 1), pc(1, 1).node());
    assert_eq!(call(&mut registrar, NOW, &first), Answer::Waiting { again_s: WAITING_AGAIN_S });
    let code = code_of(&registrar, node);
    assert_eq!(code, Code::of(&first.ask().id(), &registrar.authority(), &[0x44; 32], &first.nonce));
    assert_eq!(registrar.by_code(code), Some(node));
    registrar.approve(node, code).unwrap();
    admitted(again(&mut registrar, NOW, &first, &[0x44; 32]));
    admitted(call(&mut registrar, NOW + 100, &pc(1, 2)));
}

#[test]
fn an_approval_does_not_reach_a_call_that_took_the_place_of_the_approved_one() {
    let mut registrar = registrar(Policy::Approve);
    let (honest, thief, node) = (pc(1, 1), pc(1, 2), pc(1, 1).node());
    call(&mut registrar, NOW, &honest);
    let code = code_of(&registrar, node);
    call(&mut registrar, NOW, &thief);
    assert!(registrar.approve(node, code).is_err());
    registrar.approve(node, code_of(&registrar, node)).unwrap();
    // And an approval that was given goes with its call.
    let late = pc(1, 3);
    assert_eq!(call(&mut registrar, NOW, &late), Answer::Waiting { again_s: WAITING_AGAIN_S });
}

#[test]
fn a_man_in_the_middle_shows_another_code() {
    // He calls with keys of his own and plays the server towards the PC, with the nonce of the true one.
    let mut registrar = registrar(Policy::Approve);
    let (honest, middle) = (pc(1, 1), pc(1, 2));
    call(&mut registrar, NOW, &middle);
    let servers = code_of(&registrar, middle.node());
    let pcs = Code::of(&honest.ask().id(), &registrar.authority(), &[0x44; 32], &honest.nonce);
    assert_ne!(servers, pcs);
    assert_eq!(registrar.by_code(pcs), None);
}

#[test]
fn a_removed_pc_is_void_everywhere_and_comes_back_by_the_owners_word_alone() {
    let mut registrar = registrar(Policy::Open);
    let (first, node) = (pc(1, 1), pc(1, 1).node());
    let old = admitted(call(&mut registrar, NOW, &first));
    let watcher = pc(2, 1);
    admitted(call(&mut registrar, NOW, &watcher));
    registrar.remove(NOW + 1, node, [9; 32]).unwrap();

    assert_eq!(registrar.open(NOW + 2, &first.open(&[0x44; 32]), true, &name()), Err(Refusal::NoCall));
    let mut roster = admission::Roster::default();
    for page in registrar.roster() {
        roster.merge(page, &registrar.authority()).unwrap();
    }
    assert!(roster.voids(&old.certificate));
    assert_eq!(roster.marks().and_then(|(_, next)| next).map(|next| next.number), Some(2));

    // The stolen keys ask again, and so does a new boot: both wait for the owner.
    assert_eq!(call(&mut registrar, NOW + 3, &first), Answer::Waiting { again_s: WAITING_AGAIN_S });
    let second = pc(1, 2);
    assert_eq!(call(&mut registrar, NOW + 3, &second), Answer::Waiting { again_s: WAITING_AGAIN_S });
    registrar.approve(node, code_of(&registrar, node)).unwrap();
    let back = admitted(again(&mut registrar, NOW + 4, &second, &[0x44; 32]));
    assert!(!roster.voids(&back.certificate));
}

#[test]
fn a_key_that_was_on_its_way_to_a_removed_pc_is_followed_by_one_that_it_never_gets() {
    let mut registrar = registrar(Policy::Open);
    let pc = pc(1, 1);
    admitted(call(&mut registrar, NOW, &pc));
    assert_eq!(registrar.rotate(NOW, [8; 32]), Ok(2));
    registrar.remove(NOW + 1, pc.node(), [9; 32]).unwrap();
    let numbers = registrar.key_ring().keys().map(admission::RingKey::number).collect::<Vec<_>>();
    assert_eq!(numbers.len(), 3);
    assert_eq!(registrar.key_ring().next().map(admission::RingKey::number), Some(3));
    assert_eq!(registrar.key_ring().current().number(), 2);
}

#[test]
fn a_recorded_call_cannot_be_played_again() {
    let mut registrar = registrar(Policy::Open);
    let pc = pc(1, 1);
    let open = pc.open(&[0x44; 32]);
    admitted(call(&mut registrar, NOW, &pc));
    // Long after, the call is forgotten; the server's nonce is another one.
    let later = NOW + CALL_IDLE_S_MAX + 1;
    admitted(call(&mut registrar, later, &self::pc(2, 1)));
    assert_eq!(registrar.open(later, &open, true, &name()), Err(Refusal::NoCall));
    registrar.ask(later, pc.ask(), GOOD, [0x55; 32]).unwrap();
    assert_eq!(registrar.open(later, &open, true, &name()), Err(Refusal::Forged));
}

#[test]
fn only_the_pc_itself_in_a_boot_of_ours_is_heard() {
    let mut registrar = registrar(Policy::Open);
    let refused = |registrar: &mut Registrar, witness| {
        registrar.ask(NOW, pc(1, 1).ask(), witness, [0x44; 32]).unwrap_err()
    };
    assert_eq!(refused(&mut registrar, Witness { is_itself: false, ..GOOD }), Refusal::Stranger);
    assert_eq!(refused(&mut registrar, Witness { boots_here: false, ..GOOD }), Refusal::NoBoot);
    assert_eq!(registrar.failures().count(), 2);
    assert!(registrar.book.nodes.is_empty());
    registrar.ask(NOW, pc(1, 1).ask(), GOOD, [0x44; 32]).unwrap();
    let open = pc(1, 1).open(&[0x44; 32]);
    assert_eq!(registrar.open(NOW, &open, false, &name()), Err(Refusal::Stranger));
}

fn stick(registrar: &Registrar, seed: u8) -> Stick {
    let secret = StickSecret::from_seed(&[seed; 32]);
    Stick::new(registrar.stick_pass(NOW, 30, secret.public()).unwrap(), secret).unwrap()
}

/// A call of a PC with a stick in it.
fn call_with(registrar: &mut Registrar, now: u64, pc: &Pc, stick: &Stick) -> Answer {
    let challenge = registrar.ask(now, pc.ask(), GOOD, [0x44; 32]).unwrap();
    let proof = stick.prove(&pc.ask().id(), &pc.nonce, &challenge.nonce);
    registrar.open(now, &pc.open(&challenge.nonce).with_stick(Some(proof)), true, &name()).unwrap().0
}

fn refused(answer: Answer) -> String {
    match answer {
        Answer::Refused { reason, .. } => reason,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn under_usb_a_stick_takes_a_pc_in_once_and_its_later_boots_need_none() {
    let mut registrar = registrar(Policy::Usb);
    let reason = refused(call(&mut registrar, NOW, &pc(1, 1)));
    assert!(reason.contains("duet nodes usb-key"), "{reason}");
    assert_eq!(registrar.failures().count(), 1);
    let stick = stick(&registrar, 1);
    admitted(call_with(&mut registrar, NOW + 5, &pc(1, 2), &stick));
    admitted(call(&mut registrar, NOW + 9, &pc(1, 3)));
    refused(call(&mut registrar, NOW + 9, &pc(2, 1)));
    // A PC that was taken out needs the stick again.
    registrar.remove(NOW + 10, pc(1, 1).node(), [9; 32]).unwrap();
    refused(call(&mut registrar, NOW + 11, &pc(1, 4)));
    admitted(call_with(&mut registrar, NOW + 12, &pc(1, 5), &stick));
}

#[test]
fn a_stick_helps_its_own_call_only_in_its_time_and_until_it_is_made_void() {
    let mut registrar = registrar(Policy::Usb);
    let stick = stick(&registrar, 1);
    // A proof that was overheard, shown by somebody with keys of his own.
    let overheard = stick.prove(&pc(1, 1).ask().id(), &pc(1, 1).nonce, &[0x44; 32]);
    let thief = pc(1, 2);
    let challenge = registrar.ask(NOW, thief.ask(), GOOD, [0x44; 32]).unwrap();
    let open = thief.open(&challenge.nonce).with_stick(Some(overheard));
    let reason = refused(registrar.open(NOW, &open, true, &name()).unwrap().0);
    assert!(reason.contains("the signature of the stick"), "{reason}");

    let late = NOW + 30 * 24 * 3600;
    let reason = refused(call_with(&mut registrar, late, &pc(2, 1), &stick));
    assert!(reason.contains("not valid at this time"), "{reason}");

    registrar.void_sticks(NOW + 1);
    let reason = refused(call_with(&mut registrar, NOW + 2, &pc(3, 1), &stick));
    assert!(reason.contains("made void"), "{reason}");
    let secret = StickSecret::from_seed(&[2; 32]);
    let pass = registrar.stick_pass(NOW + 1, 30, secret.public()).unwrap();
    let fresh = Stick::new(pass, secret).unwrap();
    admitted(call_with(&mut registrar, NOW + 2, &pc(3, 2), &fresh));
}

#[test]
fn a_stick_is_no_word_under_the_other_policies() {
    let mut registrar = registrar(Policy::Approve);
    let stick = stick(&registrar, 1);
    let answer = call_with(&mut registrar, NOW, &pc(1, 1), &stick);
    assert_eq!(answer, Answer::Waiting { again_s: WAITING_AGAIN_S });
}

#[test]
fn an_order_goes_to_members_alone_and_its_report_is_theirs() {
    let mut registrar = registrar(Policy::Open);
    let (pc, reply) = (pc(1, 1), BoxSecret::from_seed(&[8; 32]));
    let order = |registrar: &Registrar| {
        registrar.order(NOW, pc.node(), Wish::Diag(DiagPart::Status), [1; 16], reply.public())
    };
    assert!(order(&registrar).is_err());
    admitted(call(&mut registrar, NOW, &pc));
    let (address, key, made) = order(&registrar).unwrap();
    assert_eq!((Some(address), key), (GOOD.address, pc.key.public()));
    assert_eq!(made.verify(&registrar.authority(), pc.node(), NOW), Ok(()));
    let stale = made.verify(&registrar.authority(), pc.node(), NOW + 100);
    assert_eq!(stale, Err(Error::Time { what: "the order" }));
    registrar.remove(NOW, pc.node(), [9; 32]).unwrap();
    assert!(order(&registrar).is_err());
}

#[test]
fn a_thousand_pcs_in_any_order_get_a_thousand_certificates_and_memory_stays_bounded() {
    let mut registrar = registrar(Policy::Open);
    let mut serials = std::collections::BTreeSet::new();
    let seed = 7u64;
    println!("seed {seed}");
    let mut dice = seed;
    for n in 0..1100u32 {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let [_, _, c, d] = n.to_be_bytes();
        let pc = Pc { mac: Mac([0x52, 0x54, 0, 0x78, c, d]), ..pc(1, 1) };
        let now = NOW + dice % 1000;
        match call(&mut registrar, now, &pc) {
            Answer::Admitted(admission) => assert!(serials.insert(admission.certificate.claim().serial)),
            Answer::Refused { .. } => assert!(n >= MEMBERS_MAX as u32),
            Answer::Waiting { .. } => panic!("nobody waits under open"),
        }
    }
    assert_eq!(serials.len(), MEMBERS_MAX);
    assert!(
        registrar.calls.len() <= CALLS_MAX && registrar.book.nodes.len() <= super::super::book::NODES_MAX
    );
}
