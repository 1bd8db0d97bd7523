//! Network interfaces: facts of each from `/sys/class/net`, addresses from three tables of `/proc/net`.
//!
//! `fib_trie` names the local IPv4 addresses but not their interfaces, `route` names the networks of each interface:
//! an address belongs to the interface whose network holds it. That needs neither netlink nor a program.

use serde::Serialize;
use std::net::{Ipv4Addr, Ipv6Addr};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Interface {
    pub name: String,
    pub mac: String,
    /// With prefix lengths, IPv4 first.
    pub addresses: Vec<String>,
    /// A cable with a live other end.
    pub carrier: bool,
    /// Absent when the driver does not say.
    pub speed_mbit: Option<u32>,
    pub driver: String,
    pub received_bytes: u64,
    pub sent_bytes: u64,
}

impl Interface {
    /// The IPv4 address that another PC could use.
    pub fn ipv4(&self) -> Option<&str> {
        self.addresses.iter().find(|a| a.contains('.')).map(|a| a.split('/').next().unwrap_or(a))
    }
}

/// The three address tables.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tables<'a> {
    pub fib_trie: &'a str,
    pub route: &'a str,
    pub if_inet6: &'a str,
}

impl Tables<'_> {
    pub fn addresses(&self, interface: &str) -> Vec<String> {
        let networks: Vec<(u32, u32)> = networks(self.route, interface).collect();
        let mut own: Vec<Ipv4Addr> = local_ipv4(self.fib_trie);
        own.sort();
        own.dedup();
        let with_prefix = |ip: &Ipv4Addr| {
            let bits = u32::from(*ip);
            let (_, mask) = networks.iter().find(|(network, mask)| bits & mask == *network)?;
            Some(format!("{ip}/{}", mask.count_ones()))
        };
        own.iter().filter_map(with_prefix).chain(ipv6(self.if_inet6, interface)).collect()
    }
}

/// Addresses are followed by a line `/32 host LOCAL`.
fn local_ipv4(fib_trie: &str) -> Vec<Ipv4Addr> {
    let mut last: Option<Ipv4Addr> = None;
    let mut found = vec![];
    for line in fib_trie.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse().ok();
        } else if line == "/32 host LOCAL" {
            found.extend(last);
        }
    }
    found.retain(|ip: &Ipv4Addr| !ip.is_loopback());
    found
}

/// Network and mask of each on-link route of an interface, in the host's order of bytes.
fn networks(route: &str, interface: &str) -> impl Iterator<Item = (u32, u32)> {
    let hex = |word: &str| u32::from_str_radix(word, 16).ok().map(u32::swap_bytes);
    route.lines().skip(1).filter_map(move |line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (network, mask) = (hex(words.get(1)?)?, hex(words.get(7)?)?);
        (words[0] == interface && mask != 0).then_some((network, mask))
    })
}

/// `fe80000000000000505400fffe770001 02 40 20 80     eth0`.
fn ipv6(if_inet6: &str, interface: &str) -> Vec<String> {
    let one = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let bits = u128::from_str_radix(words.first()?, 16).ok()?;
        let prefix = u8::from_str_radix(words.get(2)?, 16).ok()?;
        (*words.get(5)? == interface).then(|| format!("{}/{prefix}", Ipv6Addr::from(bits)))
    };
    if_inet6.lines().filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIE: &str = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     |-- 10.0.2.0\n        \
        /24 link UNICAST\nLocal:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.0.2.15\n        /32 host LOCAL\n     |-- 127.0.0.1\n        \
        /32 host LOCAL\n     |-- 10.0.2.255\n        /32 link BROADCAST\n";
    const ROUTE: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
        eth0\t00000000\t0202000A\t0003\t0\t0\t100\t00000000\t0\t0\t0\neth0\t0002000A\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n";
    const INET6: &str = "00000000000000000000000000000001 01 80 10 80       lo\n\
        fe80000000000000505400fffe770001 02 40 20 80     eth0\n";

    fn check(tables: Tables, interface: &str, want: &[&str]) {
        assert_eq!(tables.addresses(interface), want);
    }

    #[test]
    fn an_address_belongs_to_the_interface_whose_network_holds_it() {
        let tables = Tables { fib_trie: TRIE, route: ROUTE, if_inet6: INET6 };
        check(tables, "eth0", &["10.0.2.15/24", "fe80::5054:ff:fe77:1/64"]);
        check(tables, "eth1", &[]);
    }

    #[test]
    fn loopback_and_broadcast_are_no_addresses_of_a_node() {
        check(
            Tables { fib_trie: TRIE, route: &ROUTE.replace("0002000A", "0000007F"), if_inet6: "" },
            "eth0",
            &[],
        );
    }

    #[test]
    fn a_repeated_address_is_named_once() {
        let twice = format!("{TRIE}{TRIE}");
        check(Tables { fib_trie: &twice, route: ROUTE, if_inet6: "" }, "eth0", &["10.0.2.15/24"]);
    }

    #[test]
    fn garbage_gives_no_address() {
        check(Tables::default(), "eth0", &[]);
        check(
            Tables { fib_trie: "|-- 1.2.3\n/32 host LOCAL", route: "h\neth0 zz", if_inet6: "xyz" },
            "eth0",
            &[],
        );
    }

    #[test]
    fn the_reachable_address_is_the_ipv4_one() {
        let addresses = vec!["10.0.2.15/24".to_string(), "fe80::1/64".to_string()];
        assert_eq!(Interface { addresses, ..Interface::default() }.ipv4(), Some("10.0.2.15"));
        assert_eq!(Interface { addresses: vec!["fe80::1/64".into()], ..Interface::default() }.ipv4(), None);
    }
}
