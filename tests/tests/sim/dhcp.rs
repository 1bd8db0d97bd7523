//! DHCP clients that come, renew, go and forget, against one own-range server that is restarted once.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use netboot::Mac;
use netboot::dhcp::{Config, Datagram, Event, Mode, Output, Pool, Server};

use crate::wire::{End, Wire};

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const LEASE: Duration = Duration::from_secs(300);
const HOUR: Duration = Duration::from_secs(3600);
/// A client asks again after this long without an answer.
const CLIENT_WAIT: Duration = Duration::from_secs(4);
/// A client that went away stays away at least this long, far longer than a packet lives.
const AWAY: Duration = Duration::from_secs(2);

/// What the hour brought.
#[derive(Default)]
pub struct Ending {
    pub acks: usize,
    /// How often the server had no address left.
    pub refused_full: usize,
    /// How often a DISCOVER stayed without an answer.
    pub unanswered: usize,
}

#[derive(Clone, Copy)]
enum State {
    Away,
    /// A DISCOVER was sent.
    Asking,
    /// A REQUEST was sent at this time for this address.
    Wanting {
        address: Ipv4Addr,
        asked: Duration,
    },
    /// It lives at this address until then.
    Living {
        address: Ipv4Addr,
        until: Duration,
    },
    /// Living, and a renewal was sent.
    Renewing {
        address: Ipv4Addr,
        until: Duration,
        asked: Duration,
    },
}

struct Client {
    me: End,
    xid: u32,
    state: State,
    wake: Duration,
}

/// Plays an hour and looks after every step that no two live clients share an address.
pub fn play(wire: &mut Wire, n_clients: u32, n_addresses: u8) -> Ending {
    let (start, mut now) = (Instant::now(), Duration::ZERO);
    let mut server = server(n_addresses);
    let mut restarted = false;
    let mut ending = Ending::default();
    let mut clients: Vec<Client> = (1..=n_clients).map(|me| Client::new(wire, me)).collect();
    while now < HOUR {
        let alarms = clients.iter().map(|client| client.wake);
        now = now.max(alarms.chain(wire.next()).min().expect("clients always have plans"));
        if now > HOUR / 2 && !restarted {
            restarted = true;
            server = restart(&server, start + now, n_addresses);
        }
        while let Some(packet) = wire.receive(now) {
            if packet.to == 0 {
                let from = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 68);
                server.handle(start + now, Datagram { bytes: &packet.bytes, from, port: 67 });
                drain(wire, now, &mut server, packet.from, &mut ending);
            } else {
                clients[packet.to as usize - 1].hear(wire, now, &packet.bytes);
            }
        }
        for client in &mut clients {
            if now >= client.wake {
                ending.unanswered += usize::from(matches!(client.state, State::Asking));
                client.wake_up(wire, now);
            }
        }
        check_addresses(&clients, now);
    }
    ending
}

fn check_addresses(clients: &[Client], now: Duration) {
    // All are of one small network: the last byte tells them apart.
    let mut owners = [0; 256];
    for client in clients {
        let Some(address) = client.lives_at(now) else { continue };
        let owner = &mut owners[usize::from(address.octets()[3])];
        assert_eq!(*owner, 0, "{address} has two live clients after {now:?}, one is {}", client.me);
        *owner = client.me;
    }
}

fn server(n_addresses: u8) -> Server {
    let pool = Pool {
        first: Ipv4Addr::new(10, 0, 0, 100),
        last: Ipv4Addr::new(10, 0, 0, 99 + n_addresses),
        mask: Ipv4Addr::new(255, 255, 255, 0),
        gateway: None,
        dns: Vec::new(),
        lease: LEASE,
    };
    Server::new(Config { server: SERVER, http_port: 80, mode: Mode::Own(pool) })
        .expect("the settings are good")
}

/// A server that was stopped and reads back the leases it had kept.
fn restart(old: &Server, now: Instant, n_addresses: u8) -> Server {
    let mut new = server(n_addresses);
    for lease in old.leases(now) {
        assert!(new.restore(now, lease.mac, lease.address, lease.until - now));
    }
    new
}

fn drain(wire: &mut Wire, now: Duration, server: &mut Server, to: End, ending: &mut Ending) {
    while let Some(output) = server.poll() {
        match output {
            Output::Send(answer) => wire.send(now, 0, to, answer.bytes),
            Output::Event(Event::Leased { .. }) => ending.acks += 1,
            Output::Event(Event::PoolFull { .. }) => ending.refused_full += 1,
            Output::Event(_) => {}
        }
    }
}

impl Client {
    fn new(wire: &mut Wire, me: End) -> Client {
        Client { me, xid: 0, state: State::Away, wake: Duration::from_millis(wire.roll(60_000)) }
    }

    fn lives_at(&self, now: Duration) -> Option<Ipv4Addr> {
        match self.state {
            State::Living { address, until } | State::Renewing { address, until, .. } if now < until => {
                Some(address)
            }
            _ => None,
        }
    }

    fn wake_up(&mut self, wire: &mut Wire, now: Duration) {
        match self.state {
            State::Living { address, until } if now < until => match wire.roll(10) {
                // Gives the address back, or is switched off without a word.
                0 => {
                    self.send(wire, now, 7, address, None);
                    self.go_away(wire, now);
                }
                1 => self.go_away(wire, now),
                _ => {
                    self.xid = wire.roll(1 << 31) as u32;
                    self.state = State::Renewing { address, until, asked: now };
                    self.renew(wire, now, address);
                }
            },
            // The first question's time stays: its answer may still come.
            State::Renewing { address, until, .. } if now < until => self.renew(wire, now, address),
            _ => {
                self.xid = wire.roll(1 << 31) as u32;
                self.state = State::Asking;
                self.send(wire, now, 1, Ipv4Addr::UNSPECIFIED, None);
                self.wake = now + CLIENT_WAIT;
            }
        }
    }

    fn renew(&mut self, wire: &mut Wire, now: Duration, address: Ipv4Addr) {
        self.send(wire, now, 3, address, None);
        self.wake = now + CLIENT_WAIT;
    }

    fn go_away(&mut self, wire: &mut Wire, now: Duration) {
        self.state = State::Away;
        self.wake = now + AWAY + Duration::from_millis(wire.roll(400_000));
    }

    fn hear(&mut self, wire: &mut Wire, now: Duration, bytes: &[u8]) {
        let xid = u32::from_be_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
        let address = Ipv4Addr::new(bytes[16], bytes[17], bytes[18], bytes[19]);
        if xid != self.xid {
            return;
        }
        match (kind(bytes), self.state) {
            (2, State::Asking) => {
                self.state = State::Wanting { address, asked: now };
                self.send(wire, now, 3, Ipv4Addr::UNSPECIFIED, Some(address));
                self.wake = now + CLIENT_WAIT;
            }
            // A lease counts from the question (RFC 2131, section 4.4.1).
            (5, State::Wanting { address: wanted, asked }) if wanted == address => {
                self.live(address, asked + LEASE, now);
            }
            (5, State::Renewing { address: own, asked, .. }) if own == address => {
                self.live(address, asked + LEASE, now)
            }
            (6, State::Wanting { .. } | State::Renewing { .. }) => {
                self.state = State::Away;
                self.wake = now + AWAY;
            }
            _ => {}
        }
    }

    fn live(&mut self, address: Ipv4Addr, until: Duration, now: Duration) {
        self.state = State::Living { address, until };
        self.wake = now + LEASE / 2;
    }

    /// `address` goes into the head, `wanted` into option 50 beside the server's name.
    fn send(
        &mut self,
        wire: &mut Wire,
        now: Duration,
        kind: u8,
        address: Ipv4Addr,
        wanted: Option<Ipv4Addr>,
    ) {
        let [_, _, c, d] = self.me.to_be_bytes();
        let mac = Mac([2, 0, 0, 0, c, d]);
        let mut bytes = vec![1, 1, 6, 0];
        bytes.extend_from_slice(&self.xid.to_be_bytes());
        bytes.resize(12, 0);
        bytes.extend_from_slice(&address.octets());
        bytes.resize(28, 0);
        bytes.extend_from_slice(&mac.0);
        bytes.resize(236, 0);
        bytes.extend_from_slice(&[99, 130, 83, 99, 53, 1, kind]);
        if let Some(wanted) = wanted {
            bytes.extend_from_slice(&[50, 4]);
            bytes.extend_from_slice(&wanted.octets());
            bytes.extend_from_slice(&[54, 4]);
            bytes.extend_from_slice(&SERVER.octets());
        }
        bytes.push(255);
        wire.send(now, self.me, 0, bytes);
    }
}

/// Option 53.
fn kind(bytes: &[u8]) -> u8 {
    let mut options = &bytes[240..];
    while let [number, length, rest @ ..] = options {
        if *number == 53 {
            return rest[0];
        }
        options = &rest[usize::from(*length)..];
    }
    0
}
