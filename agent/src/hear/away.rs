//! Hearing at a neighbour: when it is worth the way, and the way.
//!
//! One wish is away at a time. A neighbour that is silent, refuses or dies costs a bounded wait; then the wish comes
//! back and is heard here, so nothing is lost.

use super::desk::load::work_s;
use super::desk::queue::Wish;
use super::letter::{self, LetterError};
use crate::talk::parts::HearEnd;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// A neighbour must be so much faster: facts are some seconds old, and what works here cannot be cut off.
const SURELY: f64 = 1.3;
/// Bytes a second of the slowest wire that nodes have, 100 Mbit/s, with the overlay's own matter.
const WIRE_BYTES_A_SECOND: f64 = 10e6;
/// Connection, head, and the way back.
const WAY_S: f64 = 0.02;
/// Nodes are on one wire: who does not answer by then is not there.
const CONNECT_MAX: Duration = Duration::from_millis(300);
/// Sending stalls no longer than this.
const SEND_MAX: Duration = Duration::from_millis(1000);
/// A neighbour may take so many times what it was thought to, and a while: then the wish is heard here.
const PATIENCE: f64 = 2.0;
const PATIENCE_MORE: Duration = Duration::from_millis(500);
/// Between two looks at whether anybody still waits.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A node that has nothing to hear at the moment, and how fast it was measured to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbour {
    pub name: String,
    pub address: SocketAddr,
    /// Thousandths of a second of work for a second of sound.
    pub milli: u32,
}

/// What the cluster knows of others' ears.
pub trait Neighbours: Send + Sync {
    fn idle(&self) -> Vec<Neighbour>;

    /// It did not answer.
    fn unreachable(&self, neighbour: &Neighbour);
}

/// A node alone.
pub struct Nobody;

impl Neighbours for Nobody {
    fn idle(&self) -> Vec<Neighbour> {
        vec![]
    }

    fn unreachable(&self, _: &Neighbour) {}
}

/// Where a wish goes, and how long that is thought to take.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub neighbour: Neighbour,
    pub seconds: f64,
}

/// The fastest neighbour, if it is surely faster than this node.
fn plan(idle: Vec<Neighbour>, n_samples: usize, here_s: f64) -> Option<Plan> {
    let way_s = WAY_S + 2.0 * n_samples as f64 / WIRE_BYTES_A_SECOND;
    let measured = idle.into_iter().filter(|neighbour| neighbour.milli > 0);
    let plans =
        measured.map(|neighbour| Plan { seconds: way_s + work_s(neighbour.milli, n_samples), neighbour });
    let best = plans.min_by(|a, b| a.seconds.total_cmp(&b.seconds))?;
    (best.seconds * SURELY < here_s).then_some(best)
}

struct Errand {
    wish: Wish,
    plan: Plan,
    language: String,
}

pub struct Away {
    errands: SyncSender<Errand>,
    neighbours: Arc<dyn Neighbours>,
    is_out: Arc<AtomicBool>,
}

impl Away {
    /// `back` gets each wish with what came of it; with nothing it has to be heard here.
    pub fn start(
        neighbours: Box<dyn Neighbours>,
        back: impl Fn(Wish, Option<HearEnd>) + Send + 'static,
    ) -> std::io::Result<Away> {
        let (errands, inbox) = sync_channel::<Errand>(1);
        let neighbours: Arc<dyn Neighbours> = Arc::from(neighbours);
        let is_out = Arc::new(AtomicBool::new(false));
        let (known, out) = (neighbours.clone(), is_out.clone());
        std::thread::Builder::new().name("hear-away".into()).spawn(move || {
            for Errand { wish, plan, language } in inbox {
                let end = run(&wish, &plan, &language);
                if end == Err(Failure::Silent) {
                    known.unreachable(&plan.neighbour);
                }
                out.store(false, Ordering::Release);
                back(wish, end.ok());
            }
        })?;
        Ok(Away { errands, neighbours, is_out })
    }

    /// Whether a wish should go to a neighbour, when this node would need so long.
    pub fn plan(&self, n_samples: usize, here_s: f64) -> Option<Plan> {
        if self.is_out.load(Ordering::Acquire) {
            return None;
        }
        plan(self.neighbours.idle(), n_samples, here_s)
    }

    /// Gives the wish back where another is away already.
    pub fn send(&self, wish: Wish, plan: Plan, language: String) -> Option<Wish> {
        if self.is_out.swap(true, Ordering::AcqRel) {
            return Some(wish);
        }
        let refused = self.errands.try_send(Errand { wish, plan, language }).err()?;
        self.is_out.store(false, Ordering::Release);
        let (std::sync::mpsc::TrySendError::Full(errand)
        | std::sync::mpsc::TrySendError::Disconnected(errand)) = refused;
        Some(errand.wish)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    /// No connection, or it broke, or nothing came that a node says.
    Silent,
    /// It is busy, or cannot hear this.
    Refused,
    /// Nobody waits any more.
    Stopped,
}

fn run(wish: &Wish, plan: &Plan, language: &str) -> Result<HearEnd, Failure> {
    let began = Instant::now();
    let deadline = began + Duration::from_secs_f64(plan.seconds * PATIENCE) + PATIENCE_MORE;
    let address = plan.neighbour.address;
    let body = letter::body(&wish.job.pcm);
    let head = letter::head(&address.to_string(), language, body.len());
    let mut stream = TcpStream::connect_timeout(&address, CONNECT_MAX).map_err(|_| Failure::Silent)?;
    let mut bytes = Vec::new();
    let mut send = || {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(SEND_MAX))?;
        stream.set_read_timeout(Some(LOOK_EVERY))?;
        stream.write_all(head.as_bytes())?;
        stream.write_all(&body)
    };
    // Who refuses may close before all was sent: what it said counts.
    let was_sent = send().is_ok();
    let mut piece = [0; 4096];
    loop {
        if wish.job.stop.is_stopped() {
            return Err(Failure::Stopped);
        }
        if Instant::now() >= deadline {
            return Err(Failure::Silent);
        }
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(n) if bytes.len() + n > letter::ANSWER_BYTES_MAX => return Err(Failure::Silent),
            Ok(n) => bytes.extend_from_slice(&piece[..n]),
            Err(error) if is_pause(error.kind()) && was_sent => {}
            Err(_) => return Err(Failure::Silent),
        }
    }
    let told = letter::answer(&bytes).map_err(|error| match error {
        LetterError::Status(_) => Failure::Refused,
        _ => Failure::Silent,
    })?;
    let whole_s = began.elapsed().as_secs_f64();
    Ok(HearEnd {
        text: Ok(told.text),
        elsewhere: Some(plan.neighbour.name.clone()),
        // The way counts as waiting.
        waited_s: (whole_s - told.worked_s).max(0.0),
        worked_s: told.worked_s,
        cpu_s: told.cpu_s,
        audio_ctx: told.audio_ctx,
        was_doubted: told.was_doubted,
    })
}

fn is_pause(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Neighbours by name and speed; three seconds of sound. Who is asked, if this node needs so long.
    fn check(idle: &[(&str, u32)], here_s: f64, want: Option<&str>) {
        let address = SocketAddr::from(([127, 0, 0, 1], 8000));
        let neighbour =
            |(name, milli): &(&str, u32)| Neighbour { name: (*name).into(), address, milli: *milli };
        let got = plan(idle.iter().map(neighbour).collect(), 48_000, here_s);
        assert_eq!(got.map(|plan| plan.neighbour.name).as_deref(), want);
    }

    #[test]
    fn the_fastest_neighbour_is_asked_if_it_is_surely_faster() {
        let idle = [("kitchen", 200), ("attic", 100)];
        check(&idle, 2.0, Some("attic"));
        // 0.4 s of work, the way, and the doubt.
        check(&idle, 0.5, None);
        check(&idle, f64::MAX, Some("attic"));
    }

    #[test]
    fn who_was_never_measured_is_not_asked() {
        check(&[("attic", 0)], f64::MAX, None);
        check(&[], f64::MAX, None);
    }
}
