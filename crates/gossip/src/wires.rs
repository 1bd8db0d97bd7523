//! Where a word to everybody on the wire goes: the broadcast of each IPv4 network, and one link-local group of IPv6.
//!
//! 255.255.255.255 alone is not enough: without a default route the kernel sends nothing there, and a shelf may have
//! no router. The group is the second way, for a wire that carries no broadcasts; identities stay IPv4, so it finds
//! company and nothing more. It needs a socket of its own, since one of IPv4 hears no group of IPv6, but no thread.
//! The texts come from the kernel's tables of the program's own network.

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt};
use std::collections::BTreeSet;
use std::io::{self, Read};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6, UdpSocket};

/// Transient and link-local (RFC 4291, section 2.7): never forwarded, and no group of the registry's.
pub const GROUP: Ipv6Addr = Ipv6Addr::new(0xff12, 0, 0, 0, 0, 0, 0x6475, 0x6574);
/// Networks and cards that are told; more is no PC of a shelf.
const WIRES_MAX: usize = 16;
/// More of a table is not read.
const TABLE_BYTES_MAX: u64 = 256 * 1024;
const NETWORKS: &str = "/proc/self/net/fib_trie";
const LINKS: &str = "/proc/self/net/if_inet6";

/// The group's socket, and on which cards it listens.
pub struct Group {
    socket: UdpSocket,
    joined: BTreeSet<u32>,
}

impl Group {
    /// Nothing where the kernel has no IPv6, or the port is taken.
    pub fn open(port: u16) -> Option<Group> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::INET6, SocketType::DGRAM, flags, None).ok()?;
        // IPv4 has the port already.
        sockopt::set_ipv6_v6only(&socket, true).ok()?;
        bind(&socket, &SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, port, 0, 0)).ok()?;
        let socket = UdpSocket::from(socket);
        socket.set_multicast_loop_v6(false).ok()?;
        let mut group = Group { socket, joined: BTreeSet::new() };
        group.look();
        Some(group)
    }

    pub fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// Joins on cards that are new; one that went took its membership along.
    pub fn look(&mut self) {
        let links = links(&table(LINKS));
        self.joined.retain(|link| links.contains(link));
        for link in links {
            if !self.joined.contains(&link) && self.socket.join_multicast_v6(&GROUP, link).is_ok() {
                self.joined.insert(link);
            }
        }
    }

    pub fn send(&self, bytes: &[u8], port: u16) {
        for link in &self.joined {
            // Lost like any other datagram.
            let _ = self.socket.send_to(bytes, SocketAddrV6::new(GROUP, port, 0, *link));
        }
    }
}

/// Every address that reaches a whole network.
pub fn broadcasts(port: u16) -> Vec<SocketAddrV4> {
    let mut all = networks(&table(NETWORKS));
    if all.is_empty() {
        all.push(Ipv4Addr::BROADCAST);
    }
    all.into_iter().map(|address| SocketAddrV4::new(address, port)).collect()
}

fn table(path: &str) -> String {
    let mut text = String::new();
    let read = std::fs::File::open(path).map(|file| file.take(TABLE_BYTES_MAX).read_to_string(&mut text));
    match read {
        Ok(Ok(_)) => text,
        _ => String::new(),
    }
}

/// The broadcast addresses in the table of routes: a line with the address, the next with what it is.
fn networks(text: &str) -> Vec<Ipv4Addr> {
    let mut found = Vec::new();
    let mut last: Option<Ipv4Addr> = None;
    for line in text.lines().map(str::trim) {
        if let Some((_, address)) = line.split_once("-- ") {
            last = address.parse().ok();
        } else if line == "/32 link BROADCAST"
            && let Some(address) = last.filter(|address| !address.is_loopback())
            && !found.contains(&address)
            && found.len() < WIRES_MAX
        {
            found.push(address);
        }
    }
    found
}

/// Cards with a link-local address of IPv6, by the kernel's number.
fn links(text: &str) -> Vec<u32> {
    const SCOPE_LINK: &str = "20";
    let link = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, index, _, SCOPE_LINK, ..] = words[..] else { return None };
        u32::from_str_radix(index, 16).ok()
    };
    let mut links: Vec<u32> = text.lines().filter_map(link).take(WIRES_MAX).collect();
    links.sort_unstable();
    links.dedup();
    links
}

/// What a socket of IPv6 heard has no address of IPv4; strangers there are counted as one.
pub fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<(usize, SocketAddrV4)> {
    let (n, from) = socket.recv_from(buffer)?;
    let from = match from {
        std::net::SocketAddr::V4(from) => from,
        std::net::SocketAddr::V6(from) => SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, from.port()),
    };
    Ok((n, from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_network_but_loopback_has_its_broadcast() {
        let text = "\
Local:
  +-- 0.0.0.0/0 3 0 5
     +-- 10.77.0.0/24 2 0 2
        |-- 10.77.0.11
           /32 host LOCAL
        |-- 10.77.0.255
           /32 link BROADCAST
     |-- 127.255.255.255
        /32 link BROADCAST
     |-- 192.168.7.255
        /32 link BROADCAST
     |-- 10.77.0.255
        /32 link BROADCAST
";
        let want = [Ipv4Addr::new(10, 77, 0, 255), Ipv4Addr::new(192, 168, 7, 255)];
        assert_eq!(networks(text), want);
        assert!(networks("|-- 1.2.3\n/32 link BROADCAST\n/32 link BROADCAST\n").is_empty());
    }

    #[test]
    fn only_cards_with_an_address_of_the_link_are_told() {
        let text = "\
00000000000000000000000000000001 01 80 10 80       lo
fe8000000000000054d4e4fffe7eb6ab 0b 40 20 c0     eth0
fe8000000000000054d4e4fffe7eb6ac 0b 40 20 c0     eth0
fd0102030405060708090a0b0c0d0e0f 0c 80 00 80      wg0
fe8000000000000054d4e4fffe7eb6ad zz 40 20 c0     bad
fe80
";
        assert_eq!(links(text), [11]);
    }
}
