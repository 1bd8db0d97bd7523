//! How the overlay is, as `state.json`: written by its process, read by the agent for health and page.

use super::key::Key;
use super::plan::{Present, PresentPeer};
use serde::{Deserialize, Serialize};
use std::net::{Ipv6Addr, SocketAddr};

/// Longest `state.json`: 1024 peers at less than 300 bytes each, with room.
pub const STATE_BYTES_MAX: usize = 512 * 1024;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlay {
    pub state: State,
    /// What a person should know; without a full stop.
    pub sentence: String,
    pub key: String,
    pub address: Option<Ipv6Addr>,
    pub peers: Vec<ShownPeer>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// The interface has its address and its peers.
    Up,
    /// The interface is there, and nobody has wished an address yet.
    Waiting,
    /// The kernel has no WireGuard.
    Absent,
    /// The kernel refuses what is wished.
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownPeer {
    pub key: String,
    pub address: Option<Ipv6Addr>,
    pub endpoint: Option<SocketAddr>,
    /// Unix time of the last handshake; 0 for never.
    pub handshake_unix_s: u64,
    pub received_bytes: u64,
    pub sent_bytes: u64,
}

impl Overlay {
    /// With what the kernel says; the first address is the wished one once changes were made.
    pub fn of(state: State, sentence: String, key: Key, present: &Present) -> Overlay {
        let peers = present.peers.iter().map(|(key, peer)| shown(*key, peer)).collect();
        Overlay { state, sentence, key: key.to_string(), address: present.addresses.first().copied(), peers }
    }

    /// Nothing where no overlay process has written yet, or something else has.
    pub fn parse(bytes: &[u8]) -> Option<Overlay> {
        (bytes.len() <= STATE_BYTES_MAX).then(|| serde_json::from_slice(bytes).ok()).flatten()
    }

    /// What is wrong, as a sentence for the node's health; a node alone needs no overlay.
    pub fn trouble(&self) -> Option<&str> {
        matches!(self.state, State::Absent | State::Failed).then_some(&self.sentence)
    }
}

fn shown(key: Key, peer: &PresentPeer) -> ShownPeer {
    ShownPeer {
        key: key.to_string(),
        address: peer.address,
        endpoint: peer.endpoint,
        handshake_unix_s: peer.handshake_unix_s,
        received_bytes: peer.received_bytes,
        sent_bytes: peer.sent_bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::super::wish::testing::{address, key, peer};
    use super::*;

    fn overlay(state: State) -> Overlay {
        let known = PresentPeer { endpoint: Some(peer(2).endpoint), sent_bytes: 7, ..PresentPeer::default() };
        let present = Present { addresses: vec![address(1)], peers: [(key(2), known)].into() };
        Overlay::of(state, "a sentence".into(), key(1), &present)
    }

    #[test]
    fn what_is_written_is_read_again() {
        let overlay = overlay(State::Up);
        let bytes = serde_json::to_vec(&overlay).unwrap();
        assert_eq!(Overlay::parse(&bytes), Some(overlay));
        assert_eq!(Overlay::parse(&bytes[1..]), None);
        assert_eq!(Overlay::parse(&vec![b' '; STATE_BYTES_MAX + 1]), None);
    }

    #[test]
    fn only_absence_and_failure_are_trouble() {
        let trouble = |state| overlay(state).trouble().map(str::to_owned);
        assert_eq!([State::Up, State::Waiting].map(trouble), [None, None]);
        assert_eq!(
            [State::Absent, State::Failed].map(trouble),
            [Some("a sentence".to_owned()), Some("a sentence".to_owned())]
        );
    }
}
