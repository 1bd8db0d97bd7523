//! Who holds which place among the running transfers of TFTP.
//!
//! A request comes in one datagram, so its address may be invented. What nobody acknowledged gives way;
//! what was acknowledged lately goes on. It reads no clock and no socket.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Transfers at once.
pub const TRANSFERS_MAX: usize = 128;
/// Transfers at once to one address; of these one that is not acknowledged yet.
pub const TRANSFERS_PER_ADDRESS_MAX: usize = 4;
/// Acknowledged within this time a transfer is alive, and the same request again is an echo of the wire.
/// A PC that was reset is slower than that, and ROMs ask from the same port each time.
const ALIVE: Duration = Duration::from_secs(2);

pub type Running = Arc<Mutex<Places>>;

#[derive(Debug, Default)]
pub struct Places {
    /// Numbers the places, so that one that was taken away is not given back.
    taken: u64,
    held: BTreeMap<SocketAddr, Held>,
}

#[derive(Debug)]
struct Held {
    number: u64,
    /// When it was last acknowledged.
    heard: Option<Instant>,
    /// The transfer ends when this is dropped.
    _stop: oneshot::Sender<()>,
}

/// The place of a running transfer; given back when dropped.
#[derive(Debug)]
pub struct Place {
    running: Running,
    pub client: SocketAddr,
    number: u64,
}

impl Place {
    /// A place, and what tells that it was taken away. `None` for an echo, and for one too many.
    pub fn take(
        running: &Running,
        client: SocketAddr,
        now: Instant,
    ) -> Option<(Place, oneshot::Receiver<()>)> {
        let mut places = lock(running);
        places.make_room(client, now)?;
        places.taken += 1;
        let number = places.taken;
        let (stop, stopped) = oneshot::channel();
        places.held.insert(client, Held { number, heard: None, _stop: stop });
        Some((Place { running: running.clone(), client, number }, stopped))
    }

    /// The client acknowledged something.
    pub fn heard(&self, now: Instant) {
        if let Some(held) = lock(&self.running).held.get_mut(&self.client)
            && held.number == self.number
        {
            held.heard = Some(now);
        }
    }
}

impl Places {
    fn make_room(&mut self, client: SocketAddr, now: Instant) -> Option<()> {
        if let Some(held) = self.held.get(&client) {
            let is_alive = held.heard.is_some_and(|heard| now.saturating_duration_since(heard) < ALIVE);
            if is_alive {
                return None;
            }
            self.held.remove(&client);
        }
        let ip = client.ip();
        self.held.retain(|other, held| other.ip() != ip || held.heard.is_some());
        if self.held.keys().filter(|other| other.ip() == ip).count() >= TRANSFERS_PER_ADDRESS_MAX {
            return None;
        }
        if self.held.len() >= TRANSFERS_MAX {
            let unheard = self.held.iter().filter(|(_, held)| held.heard.is_none());
            let oldest = unheard.min_by_key(|(_, held)| held.number).map(|(other, _)| *other)?;
            self.held.remove(&oldest);
        }
        Some(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = lock(&self.running);
        if places.held.get(&self.client).is_some_and(|held| held.number == self.number) {
            places.held.remove(&self.client);
        }
    }
}

fn lock(running: &Running) -> MutexGuard<'_, Places> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(n: u8, port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, n], port))
    }

    /// Plays requests (`n:port`), acknowledgements (`+n:port`) and seconds that pass (`~n`);
    /// says which transfers run at the end.
    fn check(story: &str, want: &str) {
        let (running, mut now) = (Running::default(), Instant::now());
        let mut places: Vec<(Place, oneshot::Receiver<()>)> = Vec::new();
        for word in story.split(' ') {
            let read = |word: &str| {
                let (n, port) = word.split_once(':').expect("n:port");
                client(n.parse().expect("n"), port.parse().expect("a port"))
            };
            if let Some(seconds) = word.strip_prefix('~') {
                now += Duration::from_secs(seconds.parse().expect("seconds"));
            } else if let Some(word) = word.strip_prefix('+') {
                let of = |(place, _): &&(Place, _)| place.client == read(word);
                places.iter().rfind(of).expect("a transfer").0.heard(now);
            } else {
                places.extend(Place::take(&running, read(word), now));
            }
            // Each transfer whose place was taken away ends.
            let closed = oneshot::error::TryRecvError::Closed;
            places.retain_mut(|(_, stop)| stop.try_recv() != Err(closed.clone()));
        }
        let got: Vec<String> =
            places.iter().map(|(place, _)| format!("{}#{}", place.client.port(), place.number)).collect();
        assert_eq!(got.join(" "), want, "{story}");
        assert_eq!(lock(&running).held.len(), got.len());
    }

    #[test]
    fn the_same_request_again_begins_anew_unless_its_transfer_is_alive() {
        check("1:70 1:70", "70#2");
        check("1:70 +1:70 ~1 1:70", "70#1");
        check("1:70 +1:70 ~2 1:70", "70#2");
    }

    #[test]
    fn an_address_has_one_transfer_that_is_not_acknowledged() {
        check("1:70 1:71", "71#2");
        check("1:70 +1:70 1:71", "70#1 71#2");
        check("1:1 +1:1 1:2 +1:2 1:3 +1:3 1:4 +1:4 1:5", "1#1 2#2 3#3 4#4");
    }

    #[test]
    fn invented_addresses_push_out_each_other_and_no_transfer_that_was_acknowledged() {
        let (running, now) = (Running::default(), Instant::now());
        let (real, mut stop) = Place::take(&running, client(0, 70), now).expect("a place");
        real.heard(now);
        let mut held = Vec::new();
        for n in 1..=255 {
            held.push(Place::take(&running, client(n, 70), now).expect("each gets a place"));
        }
        assert_eq!(lock(&running).held.len(), TRANSFERS_MAX);
        assert!(stop.try_recv() == Err(oneshot::error::TryRecvError::Empty));
        // When all are acknowledged, one more has to wait.
        held.iter().for_each(|(place, _)| place.heard(now));
        assert!(Place::take(&running, client(1, 71), now).is_none());
        drop((real, held));
        assert_eq!(lock(&running).held.len(), 0);
    }
}
