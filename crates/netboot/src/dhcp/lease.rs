//! Who has which address of the own range.
//!
//! A client is its MAC and nothing else: ROM, iPXE and Linux on one PC send different client identifiers,
//! and all three must get the same address.
//! A client's first address follows from its MAC, so that it is most often the same after a restart too.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use super::{ConfigError, Pool};
use crate::Mac;

/// The most addresses in a range.
pub const POOL_MAX: u32 = 4096;
/// The most clients remembered: each has an address of the range.
pub const LEASES_MAX: usize = POOL_MAX as usize;
const DNS_MAX: usize = 8;
const LEASE_MIN: Duration = Duration::from_secs(120);
const LEASE_MAX: Duration = Duration::from_secs(30 * 86_400);
/// How long an offered address waits for its client.
const OFFER_HOLD: Duration = Duration::from_secs(60);
/// How long an address that another machine uses is left alone.
const DECLINED_HOLD: Duration = Duration::from_secs(600);

/// A confirmed lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    pub mac: Mac,
    pub address: Ipv4Addr,
    pub until: Instant,
}

/// The answer to a client that wants an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    Granted,
    Refused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Offered,
    Bound,
    /// Given back or ended; kept so that the client finds its address again.
    Remembered,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    address: Ipv4Addr,
    state: State,
    until: Instant,
}

/// The table. Invariant: `owners` and `entries` name each other, so no address has two clients.
#[derive(Clone, Debug)]
pub(super) struct Leases {
    pool: Pool,
    server: Ipv4Addr,
    entries: BTreeMap<Mac, Entry>,
    owners: BTreeMap<Ipv4Addr, Mac>,
    declined: BTreeMap<Ipv4Addr, Instant>,
}

impl Leases {
    pub(super) fn new(pool: Pool, server: Ipv4Addr) -> Result<Leases, ConfigError> {
        check(&pool, server)?;
        Ok(Leases {
            pool,
            server,
            entries: BTreeMap::new(),
            owners: BTreeMap::new(),
            declined: BTreeMap::new(),
        })
    }

    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }

    pub(super) fn is_in_network(&self, address: Ipv4Addr) -> bool {
        same_network(address, self.server, self.pool.mask)
    }

    /// Finds an address for a client and holds it for a moment.
    pub(super) fn offer(&mut self, now: Instant, mac: Mac, wish: Option<Ipv4Addr>) -> Option<Ipv4Addr> {
        if let Some(entry) = self.entries.get_mut(&mac) {
            if entry.state != State::Bound || entry.until <= now {
                (entry.state, entry.until) = (State::Offered, now + OFFER_HOLD);
            }
            return Some(entry.address);
        }
        let wish = wish.filter(|address| self.is_free(now, *address));
        let address = wish.or_else(|| self.find(now, mac))?;
        self.give(mac, address, State::Offered, now + OFFER_HOLD);
        Some(address)
    }

    /// A client wants this very address, newly or again.
    pub(super) fn claim(&mut self, now: Instant, mac: Mac, address: Ipv4Addr) -> Claim {
        let own = self.entries.get(&mac).map(|entry| entry.address);
        let granted = match own {
            Some(own) => own == address,
            // Unknown after a restart of the server: an address nobody else has is confirmed.
            None => self.is_free(now, address),
        };
        if !granted {
            return Claim::Refused;
        }
        self.give(mac, address, State::Bound, now + self.pool.lease);
        Claim::Granted
    }

    pub(super) fn restore(&mut self, now: Instant, mac: Mac, address: Ipv4Addr, left: Duration) -> bool {
        let free = !self.entries.contains_key(&mac) && self.is_free(now, address);
        if free {
            self.give(mac, address, State::Bound, now + left.min(self.pool.lease));
        }
        free
    }

    /// The client chose another server's offer.
    pub(super) fn give_up(&mut self, mac: Mac) {
        if let Some(entry) = self.entries.get_mut(&mac)
            && entry.state == State::Offered
        {
            entry.state = State::Remembered;
        }
    }

    /// The client gives its address back.
    pub(super) fn release(&mut self, now: Instant, mac: Mac, address: Ipv4Addr) -> bool {
        match self.entries.get_mut(&mac) {
            Some(entry) if entry.address == address && entry.state == State::Bound => {
                (entry.state, entry.until) = (State::Remembered, now);
                true
            }
            _ => false,
        }
    }

    /// The client found its address in use. Only its holder may say so.
    pub(super) fn decline(&mut self, now: Instant, mac: Mac, address: Ipv4Addr) -> bool {
        let holds = self.entries.get(&mac).is_some_and(|entry| entry.address == address);
        if holds {
            self.forget(mac);
            self.declined.insert(address, now + DECLINED_HOLD);
        }
        holds
    }

    pub(super) fn bound(&self, now: Instant) -> Vec<Lease> {
        let live = self.entries.iter().filter(|(_, entry)| entry.state == State::Bound && entry.until > now);
        live.map(|(mac, entry)| Lease { mac: *mac, address: entry.address, until: entry.until }).collect()
    }

    fn give(&mut self, mac: Mac, address: Ipv4Addr, state: State, until: Instant) {
        self.forget(mac);
        // Whoever had it is done with it: callers have asked is_free.
        if let Some(former) = self.owners.insert(address, mac) {
            self.entries.remove(&former);
        }
        self.declined.remove(&address);
        self.entries.insert(mac, Entry { address, state, until });
    }

    fn forget(&mut self, mac: Mac) {
        if let Some(entry) = self.entries.remove(&mac) {
            self.owners.remove(&entry.address);
        }
    }

    /// Whether nobody lives at this address of the range.
    fn is_free(&self, now: Instant, address: Ipv4Addr) -> bool {
        let held = |mac: &Mac| {
            let entry = &self.entries[mac];
            entry.state != State::Remembered && entry.until > now
        };
        self.is_usable(address)
            && !self.owners.get(&address).is_some_and(held)
            && self.declined.get(&address).is_none_or(|until| *until <= now)
    }

    /// Whether the address is one that may be given at all.
    fn is_usable(&self, address: Ipv4Addr) -> bool {
        let host = !self.pool.mask.to_bits();
        let bits = address.to_bits();
        (self.pool.first..=self.pool.last).contains(&address)
            && bits & host != 0
            && bits & host != host
            && address != self.server
            && Some(address) != self.pool.gateway
    }

    /// The first free address from the MAC's own place on; one that nobody remembers, if there is any.
    fn find(&self, now: Instant, mac: Mac) -> Option<Ipv4Addr> {
        let first = self.pool.first.to_bits();
        let size = self.pool.last.to_bits() - first + 1;
        let start = place(mac) % size;
        let all = (0..size).map(|step| Ipv4Addr::from_bits(first + (start + step) % size));
        let free = || all.clone().filter(|address| self.is_free(now, *address));
        free().find(|address| !self.owners.contains_key(address)).or_else(|| free().next())
    }
}

/// FNV-1a over the MAC: spreads neighbours, needs no state.
fn place(mac: Mac) -> u32 {
    mac.0.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

fn same_network(a: Ipv4Addr, b: Ipv4Addr, mask: Ipv4Addr) -> bool {
    a & mask == b & mask
}

fn check(pool: &Pool, server: Ipv4Addr) -> Result<(), ConfigError> {
    let mask = pool.mask.to_bits();
    if mask.leading_ones() + mask.trailing_zeros() != 32 || mask.trailing_zeros() < 2 || mask == 0 {
        return Err(ConfigError::Mask);
    }
    let inside = |address| same_network(address, server, pool.mask);
    if pool.first > pool.last || !inside(pool.first) || !inside(pool.last) {
        return Err(ConfigError::Range);
    }
    if pool.last.to_bits() - pool.first.to_bits() >= POOL_MAX {
        return Err(ConfigError::TooMany);
    }
    if pool.gateway.is_some_and(|gateway| !inside(gateway)) {
        return Err(ConfigError::Gateway);
    }
    if pool.dns.len() > DNS_MAX {
        return Err(ConfigError::Dns);
    }
    if !(LEASE_MIN..=LEASE_MAX).contains(&pool.lease) {
        return Err(ConfigError::LeaseTime);
    }
    Ok(())
}
