//! Where this node last heard others: the last resort of an agent that crashed while nobody answers its seeds; pure.
//!
//! A list beside the membership, in RAM, gone with the power. It is no secret and proves nothing: whoever answers
//! there must have the ring key, like everybody.

use gossip::Picture;
use std::fmt::Write;
use std::net::SocketAddrV4;

/// The list's name in the agent's own folder.
pub const KNOWN_FILE: &str = "last-known";
/// Most addresses; the gossip takes no more.
const KNOWN_MAX: usize = 64;
/// A full list stays below this.
pub const KNOWN_BYTES_MAX: u64 = 64 * 22;

/// Live members first, then those of before: who is alone keeps what it knew.
pub fn remember(picture: &Picture, before: &[SocketAddrV4]) -> Vec<SocketAddrV4> {
    let is_other =
        |member: &&gossip::Member| !member.is_self && member.is_alive() && member.certificate.is_some();
    let live = picture.members.iter().filter(is_other).map(|member| member.address);
    let mut known: Vec<SocketAddrV4> = Vec::new();
    for address in live.chain(before.iter().copied()) {
        if known.len() < KNOWN_MAX && !known.contains(&address) {
            known.push(address);
        }
    }
    known
}

/// Whether they are the same, in whatever order.
pub fn is_same(one: &[SocketAddrV4], other: &[SocketAddrV4]) -> bool {
    one.len() == other.len() && one.iter().all(|address| other.contains(address))
}

/// One address a line.
pub fn to_text(known: &[SocketAddrV4]) -> String {
    let mut text = String::new();
    for address in known {
        // Writing into a text does not fail.
        let _ = writeln!(text, "{address}");
    }
    text
}

/// What is no address is left out.
pub fn parse(text: &str) -> Vec<SocketAddrV4> {
    let addresses = text.lines().filter_map(|line| line.parse::<SocketAddrV4>().ok());
    addresses.filter(|address| address.port() != 0).take(KNOWN_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u8) -> SocketAddrV4 {
        SocketAddrV4::new([10, 0, 0, n].into(), 7947)
    }

    fn alone() -> Picture {
        let traffic = gossip::Traffic::default();
        let (members, refused, senders) = (vec![], vec![], vec![]);
        let own = admission::NodeId(1);
        Picture { own, ring: 1, n_alive: 1, agreement: 0, members, traffic, refused, senders }
    }

    #[test]
    fn who_is_alone_keeps_what_it_knew() {
        assert_eq!(remember(&alone(), &[address(1), address(2)]), [address(1), address(2)]);
    }

    #[test]
    fn a_list_survives_its_text_and_a_damaged_line_costs_one_address() {
        let known: Vec<SocketAddrV4> = (1..=200).map(address).collect();
        let text = to_text(&known);
        assert_eq!(parse(&text), known[..KNOWN_MAX]);
        assert_eq!(parse(&text.replacen("10.0.0.2:", "10.0.0.2/", 1))[..2], [address(1), address(3)]);
        assert!(to_text(&known[..KNOWN_MAX]).len() as u64 <= KNOWN_BYTES_MAX);
        assert!(is_same(&known[..2], &[address(2), address(1)]) && !is_same(&known[..2], &known[1..3]));
    }
}
