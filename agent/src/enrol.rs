//! The caller: how this node becomes a member of its cluster, and stays one.
//!
//! A core without hands: it is told what a server answered and says what to post next. It reads no clock and no socket,
//! and its random numbers are handed in. It calls one boot server after the other with pauses that double up to a
//! limit, believes an answer only if the release key stands behind it, and calls anew when two thirds of its
//! certificate's life are over, and when the overlay's process tells another key than the certificate holds.

use crate::cluster::Phase;
use admission::{
    Answer, Ask, BoxSecret, CallId, Caller, Challenge, Code, ENROL_PATH, Membership, NodeSecret, Nonce,
    OPEN_PATH, Open, OverlayPublic, StickAsk, StickProof,
};
use std::collections::VecDeque;
use std::time::Duration;

/// First and longest pause after a call in vain.
pub const PAUSE_MIN: Duration = Duration::from_secs(1);
pub const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Answers may ask for longer pauses up to this.
pub const AGAIN_MAX: Duration = Duration::from_secs(600);
/// A member whose ring seems old calls anew at most so often: datagrams of strangers look the same.
pub const DOUBT_EVERY: Duration = Duration::from_secs(60);
/// So many posts of an open call may be lost before it is begun anew.
pub const LOST_MAX: u32 = 5;

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// The deadline has come.
    Woken,
    /// A server answered the last [`Output::Post`] with this body.
    Answered { status: u16, body: Vec<u8> },
    /// It did not, and why.
    Lost { sentence: String },
    /// The others use a ring key that this node does not have.
    Doubted,
    /// The answer to [`Output::AskStick`].
    Stick(Option<Box<StickProof>>),
    /// The overlay's process has told this key.
    Overlay(OverlayPublic),
}

/// What to do.
#[derive(Debug)]
pub enum Output {
    Post {
        server_idx: usize,
        path: &'static str,
        json: String,
    },
    /// Ask whether a stick of this cluster is in this PC.
    AskStick(Box<StickAsk>),
    /// Tell people how it stands.
    Show(Phase),
    /// This node is a member now, or still.
    Join(Box<Membership>),
}

/// Gives 32 fresh random bytes at each call.
pub type Dice = Box<dyn FnMut() -> [u8; 32] + Send>;

enum State {
    /// Until `due`; then a new call.
    Resting,
    /// The first message is on its way.
    Asking(Box<Draft>),
    /// The second message is on its way, or goes again at `due`.
    Opening(Box<Opening>),
}

/// A call whose challenge was believed.
struct Opening {
    draft: Draft,
    challenge: Challenge,
    stick: Option<StickProof>,
    /// The code was shown.
    shown: bool,
    n_lost: u32,
}

/// The secrets of one call.
struct Draft {
    node: NodeSecret,
    letterbox: BoxSecret,
    nonce: Nonce,
    call: CallId,
}

/// Time is the time since some start, the same for all calls.
pub struct Enroller {
    caller: Caller,
    release_key: release::PublicKey,
    n_servers: usize,
    server_idx: usize,
    dice: Dice,
    state: State,
    /// The key of a member, which it keeps.
    node: Option<NodeSecret>,
    pause: Duration,
    due: Option<Duration>,
    /// Before this, doubt starts no call.
    doubt_from: Duration,
    wishes: VecDeque<Output>,
}

impl Enroller {
    /// `member` is what an earlier run of the agent left, `unix_s` the server's time now.
    pub fn new(
        caller: Caller,
        release_key: release::PublicKey,
        n_servers: usize,
        dice: Dice,
        member: Option<(Membership, u64)>,
    ) -> Enroller {
        let mut enroller = Enroller {
            caller,
            release_key,
            n_servers,
            server_idx: 0,
            dice,
            state: State::Resting,
            node: None,
            pause: PAUSE_MIN,
            due: Some(Duration::ZERO),
            doubt_from: Duration::ZERO,
            wishes: VecDeque::new(),
        };
        if let Some((member, unix_s)) = member {
            enroller.join(Duration::ZERO, member, unix_s);
        }
        if n_servers == 0 {
            enroller.due = None;
            enroller.show(Phase::Alone);
        }
        enroller
    }

    pub fn handle(&mut self, now: Duration, input: Input) {
        match input {
            Input::Woken => {}
            Input::Answered { status: 200, body } => self.answered(now, &body),
            Input::Answered { status, body } => self.refused(now, status, &body),
            Input::Lost { sentence } => self.lost(now, sentence),
            Input::Doubted => self.doubted(now),
            Input::Stick(proof) => self.asked_stick(now, proof),
            Input::Overlay(key) => self.rekey(now, key),
        }
        self.wake(now);
    }

    pub fn poll(&mut self) -> Option<Output> {
        self.wishes.pop_front()
    }

    pub fn deadline(&self) -> Option<Duration> {
        self.due
    }

    fn wake(&mut self, now: Duration) {
        if self.due.is_none_or(|due| due > now) {
            return;
        }
        self.due = None;
        if self.n_servers == 0 {
            return;
        }
        match &self.state {
            State::Asking(_) => {}
            State::Resting => self.begin(),
            State::Opening(opening) => {
                let Opening { draft, challenge, stick, .. } = &**opening;
                let open = Open::new(draft.call, &draft.node, &draft.nonce, &challenge.nonce);
                self.post(OPEN_PATH, open.with_stick(*stick).to_json());
            }
        }
    }

    fn begin(&mut self) {
        let node = self.node.clone().unwrap_or_else(|| NodeSecret::from_seed(&(self.dice)()));
        let letterbox = BoxSecret::from_seed(&(self.dice)());
        let nonce = (self.dice)();
        let ask = Ask::new(&self.caller, &node, letterbox.public(), &nonce);
        self.state = State::Asking(Box::new(Draft { node, letterbox, nonce, call: ask.id() }));
        self.post(ENROL_PATH, ask.to_json());
    }

    fn post(&mut self, path: &'static str, json: String) {
        self.wishes.push_back(Output::Post { server_idx: self.server_idx, path, json });
    }

    fn answered(&mut self, now: Duration, body: &[u8]) {
        match std::mem::replace(&mut self.state, State::Resting) {
            State::Resting => {}
            State::Asking(draft) => match Challenge::parse(body, &draft.call, &self.release_key) {
                Ok(challenge) => {
                    let (authority, servers) = (challenge.authority, challenge.nonce);
                    let ask = StickAsk { authority, call: draft.call, nonce: draft.nonce, servers };
                    let opening = Opening { draft: *draft, challenge, stick: None, shown: false, n_lost: 0 };
                    self.state = State::Opening(Box::new(opening));
                    self.wishes.push_back(Output::AskStick(Box::new(ask)));
                }
                Err(error) => self.give_up(now, not_believed(error)),
            },
            State::Opening(opening) => {
                let Opening { draft, challenge, .. } = &*opening;
                match Answer::open(body, &draft.call, &draft.letterbox, &challenge.authority) {
                    Ok(answer) => self.heard(now, opening, answer),
                    Err(error) => self.give_up(now, not_believed(error)),
                }
            }
        }
    }

    /// Every call asks once: the server says nothing of its policy to a caller that it does not know.
    fn asked_stick(&mut self, now: Duration, proof: Option<Box<StickProof>>) {
        if let State::Opening(opening) = &mut self.state {
            opening.stick = proof.map(|proof| *proof);
            self.due = Some(now);
        }
    }

    fn heard(&mut self, now: Duration, mut opening: Box<Opening>, answer: Answer) {
        match answer {
            Answer::Waiting { again_s } => {
                let Opening { draft, challenge, .. } = &*opening;
                if !opening.shown {
                    let code = Code::of(&draft.call, &challenge.authority, &challenge.nonce, &draft.nonce);
                    self.show(Phase::Waiting { code: code.to_string() });
                }
                (opening.shown, opening.n_lost) = (true, 0);
                self.state = State::Opening(opening);
                self.due = Some(now + Duration::from_secs(u64::from(again_s.max(1))).min(AGAIN_MAX));
                self.pause = PAUSE_MIN;
            }
            Answer::Refused { reason, again_s } => {
                // It is there, and says itself when to come again.
                self.pause = PAUSE_MIN;
                self.give_up(now, Phase::Refused { sentence: format!("the boot server says: {reason}") });
                let again = now + Duration::from_secs(u64::from(again_s)).min(AGAIN_MAX);
                self.due = self.due.max(Some(again));
            }
            Answer::Admitted(admission) => {
                let (unix_s, Opening { draft, challenge, .. }) = (admission.unix_s, *opening);
                match Membership::new(*admission, challenge.authority, challenge.proof, draft.node) {
                    Ok(member) => self.join(now, member, unix_s),
                    Err(error) => self.give_up(now, not_believed(error)),
                }
            }
        }
    }

    /// Rests until two thirds of the certificate's life are over.
    fn join(&mut self, now: Duration, member: Membership, unix_s: u64) {
        let claim = member.certificate.claim();
        let left_s = claim.expires_s.saturating_sub(unix_s);
        let third_s = claim.expires_s.saturating_sub(claim.issued_s) / 3;
        self.state = State::Resting;
        self.node = Some(member.node_key.clone());
        self.pause = PAUSE_MIN;
        self.due = Some(now + Duration::from_secs(left_s.saturating_sub(third_s)));
        self.wishes.push_back(Output::Join(Box::new(member)));
    }

    fn doubted(&mut self, now: Duration) {
        let rests = matches!(self.state, State::Resting);
        if rests && self.node.is_some() && now >= self.doubt_from {
            self.doubt_from = now + DOUBT_EVERY;
            self.due = self.due.min(Some(now)).or(Some(now));
        }
    }

    /// A certificate holds one overlay key for good: with another key this node calls anew, also as a member.
    fn rekey(&mut self, now: Duration, key: OverlayPublic) {
        if self.caller.overlay_key != key {
            self.caller.overlay_key = key;
            self.state = State::Resting;
            self.due = Some(now);
        }
    }

    fn refused(&mut self, now: Duration, status: u16, body: &[u8]) {
        // Too many at once is no reason to begin anew.
        if status == 429 || status == 503 {
            return self.lost(now, "the boot server is busy".into());
        }
        let sentence = format!("the boot server answered {status}: {}", said(body));
        self.give_up(now, Phase::Refused { sentence });
    }

    fn lost(&mut self, now: Duration, sentence: String) {
        match &mut self.state {
            State::Opening(opening) if opening.n_lost < LOST_MAX => {
                opening.n_lost += 1;
                self.due = Some(self.pause(now));
            }
            _ => self.give_up(now, Phase::Calling { sentence }),
        }
    }

    /// This call is over; the next goes to the next server.
    fn give_up(&mut self, now: Duration, why: Phase) {
        self.state = State::Resting;
        self.server_idx = (self.server_idx + 1) % self.n_servers.max(1);
        self.due = Some(if self.server_idx == 0 { self.pause(now) } else { now + PAUSE_MIN });
        // A member that only wants to stay one is still shown as one.
        if self.node.is_none() {
            self.show(why);
        }
    }

    /// The end of the next pause: half of it and a random part of the rest, so that a shelf does not call in step.
    fn pause(&mut self, now: Duration) -> Duration {
        let [dice, ..] = (self.dice)();
        let pause = self.pause / 2 + self.pause * u32::from(dice) / 512;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        now + pause
    }

    fn show(&mut self, phase: Phase) {
        self.wishes.push_back(Output::Show(phase));
    }
}

fn not_believed(error: admission::Error) -> Phase {
    Phase::Refused { sentence: format!("what the boot server answers is not believed: {error}") }
}

/// The sentence of a refusal, or nothing that could disturb a log.
fn said(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Refusal {
        refused: String,
    }
    let refusal: Result<Refusal, _> = serde_json::from_slice(body.get(..4096).unwrap_or(body));
    refusal.map_or_else(|_| "no reason".into(), |refusal| refusal.refused.chars().take(200).collect())
}

#[cfg(test)]
mod tests;
