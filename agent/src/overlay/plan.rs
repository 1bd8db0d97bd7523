//! From wish and present state to changes: pure, so that every case can be tried without a kernel.

use super::key::Key;
use super::wish::Wish;
use std::collections::BTreeMap;
use std::net::{Ipv6Addr, SocketAddr};

/// What the kernel says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Present {
    pub addresses: Vec<Ipv6Addr>,
    pub peers: BTreeMap<Key, PresentPeer>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PresentPeer {
    /// Its only allowed address; none where it has another number of them.
    pub address: Option<Ipv6Addr>,
    pub endpoint: Option<SocketAddr>,
    /// Unix time of the last handshake; 0 for never.
    pub handshake_unix_s: u64,
    pub received_bytes: u64,
    pub sent_bytes: u64,
}

/// One change in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    DropPeer(Key),
    DropAddress(Ipv6Addr),
    AddAddress(Ipv6Addr),
    /// `endpoint` is none where WireGuard's own knowledge of where the peer is stays.
    SetPeer {
        key: Key,
        address: Ipv6Addr,
        endpoint: Option<SocketAddr>,
    },
}

/// The endpoints that were given to the kernel: a peer that roams is found by WireGuard itself, and only a new wish
/// may overrule that.
pub type Told = BTreeMap<Key, SocketAddr>;

/// What must change, those who go first: nothing may hold their going up.
pub fn changes(wish: &Wish, present: &Present, told: &Told) -> Vec<Change> {
    let gone = present.peers.keys().filter(|key| !wish.peers.contains_key(key));
    let mut changes: Vec<Change> = gone.map(|key| Change::DropPeer(*key)).collect();
    let old = present.addresses.iter().filter(|address| Some(**address) != wish.address);
    changes.extend(old.map(|address| Change::DropAddress(*address)));
    let new = wish.address.filter(|address| !present.addresses.contains(address));
    changes.extend(new.map(Change::AddAddress));
    for (key, peer) in &wish.peers {
        let known = present.peers.get(key);
        let is_there = known.is_some_and(|known| known.endpoint == Some(peer.endpoint));
        let is_told = known.is_some() && told.get(key) == Some(&peer.endpoint);
        let endpoint = (!is_there && !is_told).then_some(peer.endpoint);
        if endpoint.is_some() || known.and_then(|known| known.address) != Some(peer.address) {
            changes.push(Change::SetPeer { key: *key, address: peer.address, endpoint });
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::super::wish::testing::{address, key, peer};
    use super::*;

    fn wish(peers: &[u8]) -> Wish {
        let peers = peers.iter().map(|n| (key(*n), peer(*n))).collect();
        Wish { address: Some(address(1)), peers, left_out: None }
    }

    fn present(peers: &[u8]) -> Present {
        let known = |n: u8| PresentPeer {
            address: Some(peer(n).address),
            endpoint: Some(peer(n).endpoint),
            ..PresentPeer::default()
        };
        Present { addresses: vec![address(1)], peers: peers.iter().map(|n| (key(*n), known(*n))).collect() }
    }

    fn set(n: u8, endpoint: bool) -> Change {
        let to = peer(n);
        Change::SetPeer { key: key(n), address: to.address, endpoint: endpoint.then_some(to.endpoint) }
    }

    fn check(wish: &Wish, present: &Present, told: &[u8], want: &[Change]) {
        let told = told.iter().map(|n| (key(*n), peer(*n).endpoint)).collect();
        assert_eq!(changes(wish, present, &told), want);
    }

    #[test]
    fn what_is_as_wished_stays() {
        check(&wish(&[2, 3]), &present(&[2, 3]), &[], &[]);
    }

    #[test]
    fn a_fresh_interface_gets_address_and_peers() {
        check(&wish(&[2]), &Present::default(), &[], &[Change::AddAddress(address(1)), set(2, true)]);
    }

    #[test]
    fn who_is_no_longer_wished_goes_before_anything_else() {
        check(&wish(&[3]), &present(&[2]), &[2], &[Change::DropPeer(key(2)), set(3, true)]);
    }

    #[test]
    fn without_a_wish_nothing_stays() {
        let want = [Change::DropPeer(key(2)), Change::DropAddress(address(1))];
        check(&Wish::default(), &present(&[2]), &[2], &want);
    }

    #[test]
    fn a_peer_that_roams_is_left_to_wireguard() {
        let mut roams = present(&[2]);
        roams.peers.values_mut().for_each(|known| known.endpoint = Some(peer(9).endpoint));
        check(&wish(&[2]), &roams, &[2], &[]);
        // After a start of this program nobody knows what the kernel was told: the wish counts.
        check(&wish(&[2]), &roams, &[], &[set(2, true)]);
    }

    #[test]
    fn a_peer_dropped_behind_our_back_gets_its_endpoint_again() {
        check(&wish(&[2]), &present(&[]), &[2], &[set(2, true)]);
    }

    #[test]
    fn a_peer_with_other_addresses_gets_its_own_alone() {
        let mut wide = present(&[2]);
        wide.peers.values_mut().for_each(|known| known.address = None);
        check(&wish(&[2]), &wide, &[2], &[set(2, false)]);
    }

    #[test]
    fn a_new_address_takes_the_place_of_the_old_one() {
        let mut moved = wish(&[]);
        moved.address = Some(address(7));
        let want = [Change::DropAddress(address(1)), Change::AddAddress(address(7))];
        check(&moved, &present(&[]), &[], &want);
    }
}
