//! DHCP and proxyDHCP: one datagram in, at most one answer and some events out.
//!
//! Two ways to serve (see [`Mode`]): beside the house's router, where only netbooting PCs are told a boot file and
//! the router gives the addresses; or with an own range, where every client gets a lease too.
//!
//! How each kind of PC is answered, and why:
//!
//! | client | answer |
//! |---|---|
//! | BIOS PXE ROM, proxy | `PXEClient`, option 43 with discovery control 8: load the file of this offer at once (PXE 2.1) |
//! | UEFI, proxy | `PXEClient` and no option 43: EDK2 then asks port 4011 for the file (its "BINL" way); with a discovery control some of its versions drop the offer |
//! | UEFI HTTP boot | `HTTPClient` and a URL |
//! | iPXE | the URL of its script as boot file, `next-server` set: it then needs no second question |
//! | any of them, own range | file and `next-server` in the lease itself, no option 60, so that no 4011 round is made |
//!
//! The loop guard: what calls itself iPXE never gets a first-stage file twice, whatever it can do.
//!
//! The core knows no socket and no clock. Leases end by being looked at late, so there is no `deadline`.

mod ask;
mod event;
mod guard;
mod lease;
mod reply;
mod stage;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use dhcproto::v4::MessageType;

use crate::Mac;
use ask::Ask;
pub use event::{Event, Ignored};
use guard::Guard;
use lease::{Claim, Leases};
pub use lease::{LEASES_MAX, Lease, POOL_MAX};
pub use stage::{Arch, Choice, FIRST_STAGES, Firmware};

/// Where DHCP servers listen.
pub const SERVER_PORT: u16 = 67;
/// Where PXE boot servers listen.
pub const BOOT_PORT: u16 = 4011;
/// Where clients listen.
pub const CLIENT_PORT: u16 = 68;

/// Larger requests are not DHCP as clients send it (their limit is 576 to 1500 bytes).
pub const DATAGRAM_BYTES_MAX: usize = 2048;
/// Other servers that are remembered.
const OTHERS_MAX: usize = 16;
/// Another server is spoken of once in this time.
const OTHERS_QUIET: Duration = Duration::from_secs(3600);
/// Outputs kept between two drains; each datagram makes fewer than this.
const OUTPUTS_MAX: usize = 64;

/// What the server is and how it serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// This server's address on the wire.
    pub server: Ipv4Addr,
    /// The port of its HTTP side, for script URLs.
    pub http_port: u16,
    pub mode: Mode,
}

/// Beside a router, or instead of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Another server gives the addresses; this one only says what to boot.
    Proxy,
    /// This server gives the addresses.
    Own(Pool),
}

/// The addresses to give and what goes with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    pub first: Ipv4Addr,
    pub last: Ipv4Addr,
    pub mask: Ipv4Addr,
    pub gateway: Option<Ipv4Addr>,
    pub dns: Vec<Ipv4Addr>,
    pub lease: Duration,
}

/// Why a [`Config`] cannot work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// The server's address is not one a host can have.
    Server,
    /// The mask is not ones followed by zeros, or leaves no room for hosts.
    Mask,
    /// The range ends before it begins, or leaves the server's network.
    Range,
    /// The range holds more than [`POOL_MAX`] addresses.
    TooMany,
    /// The gateway is outside the network.
    Gateway,
    /// More than eight name servers.
    Dns,
    /// A lease is shorter than two minutes or longer than 30 days.
    LeaseTime,
}

/// One datagram as it came.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    pub bytes: &'a [u8],
    pub from: SocketAddrV4,
    /// The port it came to: 67 or 4011; 68 if the caller also listens for other servers' answers.
    pub port: u16,
}

/// What the server wishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    Send(Answer),
    Event(Event),
}

/// A datagram to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub bytes: Vec<u8>,
    pub to: SocketAddrV4,
    /// 67 or 4011: clients check where an answer comes from.
    pub from_port: u16,
}

/// The DHCP server.
#[derive(Clone, Debug)]
pub struct Server {
    config: Config,
    leases: Option<Leases>,
    choices: BTreeMap<Mac, Choice>,
    guard: Guard,
    others: BTreeMap<Ipv4Addr, Instant>,
    outputs: VecDeque<Output>,
}

impl Server {
    /// A server with no leases yet.
    pub fn new(config: Config) -> Result<Server, ConfigError> {
        let usable =
            !config.server.is_unspecified() && !config.server.is_broadcast() && !config.server.is_multicast();
        if !usable {
            return Err(ConfigError::Server);
        }
        let leases = match &config.mode {
            Mode::Proxy => None,
            Mode::Own(pool) => Some(Leases::new(pool.clone(), config.server)?),
        };
        Ok(Server {
            config,
            leases,
            choices: BTreeMap::new(),
            guard: Guard::default(),
            others: BTreeMap::new(),
            outputs: VecDeque::new(),
        })
    }

    /// Replaces the per-PC choices; PCs not named get [`Choice::Auto`].
    pub fn set_choices(&mut self, choices: BTreeMap<Mac, Choice>) {
        self.choices = choices;
    }

    /// All leases that were confirmed and have not ended; empty in proxy mode.
    pub fn leases(&self, now: Instant) -> Vec<Lease> {
        self.leases.as_ref().map_or_else(Vec::new, |leases| leases.bound(now))
    }

    /// Takes back a lease kept from an earlier run. False if the address is not free or not in the range.
    pub fn restore(&mut self, now: Instant, mac: Mac, address: Ipv4Addr, left: Duration) -> bool {
        self.leases.as_mut().is_some_and(|leases| leases.restore(now, mac, address, left))
    }

    /// Takes one datagram in. Drain [`Server::poll`] afterwards.
    pub fn handle(&mut self, now: Instant, datagram: Datagram<'_>) {
        match Ask::read(datagram.bytes) {
            Ok(ask) if ask.is_reply => self.overhear(now, &ask, *datagram.from.ip()),
            Ok(ask) => self.answer(now, &ask, &datagram),
            Err(why) => self.tell(Event::Ignored { from: datagram.from, why }),
        }
    }

    /// The next wish, until `None`.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn answer(&mut self, now: Instant, ask: &Ask, datagram: &Datagram<'_>) {
        if ask.kind == MessageType::Discover && ask.is_netboot() {
            self.tell(Event::Asked { mac: ask.mac, arch: ask.arch, firmware: ask.firmware });
        }
        match (datagram.port, self.leases.is_some()) {
            (BOOT_PORT, _) => self.answer_boot_port(now, ask, datagram.from),
            (SERVER_PORT, true) => self.answer_own(now, ask),
            (SERVER_PORT, false) => self.answer_proxy(now, ask),
            _ => {}
        }
    }

    /// Port 4011: the client has its address and asks this server for the file.
    fn answer_boot_port(&mut self, now: Instant, ask: &Ask, from: SocketAddrV4) {
        let asks = matches!(ask.kind, MessageType::Request | MessageType::Inform | MessageType::Discover);
        let for_us = ask.server.is_none_or(|server| server == self.config.server);
        if !asks || !for_us || !ask.is_netboot() {
            return;
        }
        let Some(file) = self.boot_file(now, ask) else { return };
        let bytes = reply::boot_ack(&self.config, ask, &file);
        // The socket's word on where the client is, never the packet's: else it could aim our answers at others.
        let to = if from.ip().is_unspecified() { broadcast() } else { from };
        self.send(Answer { bytes, to, from_port: BOOT_PORT });
    }

    /// Port 67 beside a router: only netbooting PCs, and only the boot file.
    fn answer_proxy(&mut self, now: Instant, ask: &Ask) {
        let kind = match ask.kind {
            MessageType::Discover => MessageType::Offer,
            // Normally the router is named here; a few ROMs confirm the proxy's offer too.
            MessageType::Request if ask.server == Some(self.config.server) => MessageType::Ack,
            _ => return,
        };
        if !ask.is_netboot() {
            return;
        }
        let Some(file) = self.boot_file(now, ask) else { return };
        let bytes = reply::proxy(&self.config, ask, kind, &file);
        self.send(Answer { bytes, to: broadcast(), from_port: SERVER_PORT });
    }

    /// Port 67 as the only server.
    fn answer_own(&mut self, now: Instant, ask: &Ask) {
        if let Some(other) = ask.server
            && other != self.config.server
        {
            // The client took another server's offer: ours is free again.
            self.table().give_up(ask.mac);
            return self.notice(now, other);
        }
        match ask.kind {
            MessageType::Discover => self.offer(now, ask),
            MessageType::Request => self.confirm(now, ask),
            MessageType::Inform => self.inform(now, ask),
            MessageType::Release => self.release(now, ask),
            MessageType::Decline => self.decline(now, ask),
            _ => {}
        }
    }

    fn offer(&mut self, now: Instant, ask: &Ask) {
        let Some(address) = self.table().offer(now, ask.mac, ask.requested) else {
            return self.tell(Event::PoolFull { mac: ask.mac });
        };
        self.lease_out(now, ask, MessageType::Offer, address, broadcast());
    }

    fn confirm(&mut self, now: Instant, ask: &Ask) {
        // A renewing client names its address in the head, a new one in option 50.
        let renewing = !ask.address.is_unspecified();
        let Some(address) = (if renewing { Some(ask.address) } else { ask.requested }) else { return };
        let to = if renewing { SocketAddrV4::new(address, CLIENT_PORT) } else { broadcast() };
        match self.table().claim(now, ask.mac, address) {
            Claim::Granted => {
                self.tell(Event::Leased { mac: ask.mac, address });
                self.lease_out(now, ask, MessageType::Ack, address, to);
            }
            Claim::Refused => {
                self.tell(Event::Refused { mac: ask.mac, address });
                let bytes = reply::nak(&self.config, ask);
                self.send(Answer { bytes, to: broadcast(), from_port: SERVER_PORT });
            }
        }
    }

    /// A client that has an address and wants the rest.
    fn inform(&mut self, now: Instant, ask: &Ask) {
        if !self.table().is_in_network(ask.address) {
            return;
        }
        let to = SocketAddrV4::new(ask.address, CLIENT_PORT);
        self.lease_out(now, ask, MessageType::Ack, Ipv4Addr::UNSPECIFIED, to);
    }

    fn release(&mut self, now: Instant, ask: &Ask) {
        if self.table().release(now, ask.mac, ask.address) {
            self.tell(Event::Freed { mac: ask.mac, address: ask.address });
        }
    }

    fn decline(&mut self, now: Instant, ask: &Ask) {
        let Some(address) = ask.requested else { return };
        if self.table().decline(now, ask.mac, address) {
            self.tell(Event::Declined { mac: ask.mac, address });
        }
    }

    /// Sends an own offer or ack; netbooting PCs also learn their file.
    fn lease_out(&mut self, now: Instant, ask: &Ask, kind: MessageType, address: Ipv4Addr, to: SocketAddrV4) {
        let file = if ask.is_netboot() { self.boot_file(now, ask) } else { None };
        let pool = self.table().pool().clone();
        let bytes = reply::own(&self.config, &pool, ask, kind, address, file.as_ref());
        self.send(Answer { bytes, to, from_port: SERVER_PORT });
    }

    /// What this PC is to load, as the tables stand; says so as an event.
    fn boot_file(&mut self, now: Instant, ask: &Ask) -> Option<stage::File> {
        let choice = self.choices.get(&ask.mac).copied().unwrap_or_default();
        let file = stage::choose(ask, choice, || self.guard.has_had_first_stage(now, ask));
        match file {
            Ok(file) => {
                self.tell(Event::Told { mac: ask.mac, file: file.name(&self.config, ask.mac) });
                Some(file)
            }
            Err(event) => {
                self.tell(event);
                None
            }
        }
    }

    /// An answer of another server. Beside a router that is as it should be.
    fn overhear(&mut self, now: Instant, ask: &Ask, from: Ipv4Addr) {
        let gives = matches!(ask.kind, MessageType::Offer | MessageType::Ack) && !ask.yours.is_unspecified();
        let other = ask.server.unwrap_or(from);
        if gives && self.leases.is_some() && other != self.config.server {
            self.notice(now, other);
        }
    }

    fn notice(&mut self, now: Instant, other: Ipv4Addr) {
        let quiet = |then: &Instant| now.saturating_duration_since(*then) < OTHERS_QUIET;
        if self.others.get(&other).is_some_and(quiet) {
            return;
        }
        self.others.retain(|_, then| quiet(then));
        if self.others.len() < OTHERS_MAX {
            self.others.insert(other, now);
            self.tell(Event::OtherServer { address: other });
        }
    }

    fn table(&mut self) -> &mut Leases {
        self.leases.as_mut().expect("only own mode comes here")
    }

    fn send(&mut self, answer: Answer) {
        self.push(Output::Send(answer));
    }

    fn tell(&mut self, event: Event) {
        self.push(Output::Event(event));
    }

    /// A caller that forgets to drain loses outputs, never memory.
    fn push(&mut self, output: Output) {
        if self.outputs.len() < OUTPUTS_MAX {
            self.outputs.push_back(output);
        }
    }
}

fn broadcast() -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::BROADCAST, CLIENT_PORT)
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::Server => f.write_str("the boot server needs an IPv4 address of its own"),
            ConfigError::Mask => f.write_str("the network mask is not one like 255.255.255.0"),
            ConfigError::Range => f.write_str("the address range is not inside the server's network"),
            ConfigError::TooMany => write!(f, "the address range holds more than {POOL_MAX} addresses"),
            ConfigError::Gateway => f.write_str("the gateway is not inside the server's network"),
            ConfigError::Dns => f.write_str("there can be at most eight name servers"),
            ConfigError::LeaseTime => f.write_str("a lease lasts from two minutes to 30 days"),
        }
    }
}

impl std::error::Error for ConfigError {}
