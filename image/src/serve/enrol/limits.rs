//! How often one address, and all together, may call: buckets of tokens.
//!
//! Pure: the time in milliseconds is handed in.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// A PC that waits asks every few seconds; so many calls at once and so many a second are more than it needs.
pub const ADDRESS_BURST: u32 = 30;
pub const ADDRESS_PER_SECOND: u32 = 2;
/// A shelf of 1000 PCs that came up together is heard within seconds.
pub const ALL_BURST: u32 = 1000;
pub const ALL_PER_SECOND: u32 = 200;
/// Addresses remembered; a full bucket says nothing and is forgotten.
pub const ADDRESSES_MAX: usize = 4096;

#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// Thousandths of a call.
    left: u64,
    at_ms: u64,
}

impl Bucket {
    fn full(burst: u32, now_ms: u64) -> Bucket {
        Bucket { left: u64::from(burst) * 1000, at_ms: now_ms }
    }

    fn refill(&mut self, burst: u32, per_second: u32, now_ms: u64) {
        let gained = now_ms.saturating_sub(self.at_ms).saturating_mul(u64::from(per_second));
        self.left = self.left.saturating_add(gained).min(u64::from(burst) * 1000);
        self.at_ms = now_ms;
    }

    fn is_full(&self, burst: u32) -> bool {
        self.left >= u64::from(burst) * 1000
    }
}

/// Who may call now.
#[derive(Debug)]
pub struct Limits {
    all: Bucket,
    addresses: BTreeMap<IpAddr, Bucket>,
}

impl Limits {
    pub fn new(now_ms: u64) -> Limits {
        Limits { all: Bucket::full(ALL_BURST, now_ms), addresses: BTreeMap::new() }
    }

    /// Whether this address may call now. A call that is refused for its address costs the others nothing.
    pub fn admit(&mut self, address: IpAddr, now_ms: u64) -> bool {
        self.all.refill(ALL_BURST, ALL_PER_SECOND, now_ms);
        if self.addresses.len() >= ADDRESSES_MAX && !self.addresses.contains_key(&address) {
            self.addresses.retain(|_, bucket| {
                bucket.refill(ADDRESS_BURST, ADDRESS_PER_SECOND, now_ms);
                !bucket.is_full(ADDRESS_BURST)
            });
            if self.addresses.len() >= ADDRESSES_MAX {
                return false;
            }
        }
        let fresh = || Bucket::full(ADDRESS_BURST, now_ms);
        let own = self.addresses.entry(address).or_insert_with(fresh);
        own.refill(ADDRESS_BURST, ADDRESS_PER_SECOND, now_ms);
        if own.left < 1000 || self.all.left < 1000 {
            return false;
        }
        own.left -= 1000;
        self.all.left -= 1000;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u32) -> IpAddr {
        IpAddr::from(n.to_be_bytes())
    }

    fn admitted(limits: &mut Limits, n: u32, times: u32, now_ms: u64) -> u32 {
        (0..times).filter(|_| limits.admit(address(n), now_ms)).count() as u32
    }

    #[test]
    fn one_address_has_its_burst_and_then_its_rate() {
        let mut limits = Limits::new(0);
        assert_eq!(admitted(&mut limits, 1, 100, 0), ADDRESS_BURST);
        assert_eq!(admitted(&mut limits, 1, 100, 5000), 5 * ADDRESS_PER_SECOND);
        assert_eq!(admitted(&mut limits, 2, 100, 5000), ADDRESS_BURST);
    }

    #[test]
    fn all_together_have_a_limit_and_memory_too() {
        let mut limits = Limits::new(0);
        let n: u32 = (0..20_000).map(|n| admitted(&mut limits, n, 1, 0)).sum();
        assert_eq!(n, ALL_BURST);
        let n: u32 = (0..20_000).map(|n| admitted(&mut limits, n, 1, u64::from(n) * 2)).sum();
        assert!(n > 1000 && limits.addresses.len() <= ADDRESSES_MAX);
    }
}
