//! The network interface to serve: which one, its addresses, its way out.
//!
//! It asks the kernel by netlink and /proc/net, which follow the network namespace; /sys does not.
//! The readers are pure; only `find` touches the system.

use anyhow::{Context, Result, anyhow, bail};
use netboot::Mac;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// So many messages of one answer are read; a machine with more interfaces is no boot server.
const ANSWERS_MAX: usize = 256;
const ANSWER_BYTES_MAX: usize = 64 * 1024;
const ANSWER_SECONDS_MAX: u64 = 2;
const PROC_BYTES_MAX: usize = 1024 * 1024;

// linux/netlink.h, linux/rtnetlink.h
const DONE: u16 = 3;
const FAILED: u16 = 2;
const NEW_LINK: u16 = 16;
const GET_LINK: u16 = 18;
const NEW_ADDRESS: u16 = 20;
const GET_ADDRESS: u16 = 22;
const REQUEST_DUMP: u16 = 0x301;
const LINK_ADDRESS: u16 = 1;
const LINK_NAME: u16 = 3;
const LOCAL_ADDRESS: u16 = 2;
const UP: u32 = 1;

/// An interface that can be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wire {
    pub name: String,
    pub index: u32,
    /// All zero on the loopback interface.
    pub mac: Mac,
    pub address: Ipv4Addr,
    pub mask: Ipv4Addr,
    pub gateway: Option<Ipv4Addr>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Link {
    name: String,
    is_up: bool,
    mac: Mac,
}

/// One line of /proc/net/route.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Route {
    interface: String,
    gateway: Ipv4Addr,
    metric: u32,
}

/// The interface of this name, or else the one with the default route.
pub fn find(name: Option<&str>) -> Result<Wire> {
    let routes = default_routes(&read_proc("/proc/net/route")?);
    let links = links(&dump(GET_LINK, 16)?);
    let addresses = addresses(&dump(GET_ADDRESS, 8)?);
    choose(name, &routes, &links, &addresses)
}

fn choose(
    name: Option<&str>,
    routes: &[Route],
    links: &BTreeMap<u32, Link>,
    addresses: &[(u32, Ipv4Addr, u8)],
) -> Result<Wire> {
    let name = match name {
        Some(name) => name,
        None => default_interface(routes)?,
    };
    let Some((index, link)) = links.iter().find(|(_, link)| link.name == name) else {
        let names: Vec<&str> = links.values().map(|link| link.name.as_str()).collect();
        bail!("there is no network interface {name}; there are: {}", names.join(", "));
    };
    if !link.is_up {
        bail!("the network interface {name} is down; `sudo ip link set {name} up` turns it on");
    }
    let Some((_, address, bits)) = addresses.iter().find(|(of, _, _)| of == index) else {
        bail!(
            "the network interface {name} has no IPv4 address; `sudo ip address add 10.77.0.1/24 dev {name}` gives it one"
        );
    };
    let mask = Ipv4Addr::from(u32::MAX.checked_shl(32 - u32::from((*bits).min(32))).unwrap_or(0));
    let gateway = routes.iter().find(|route| route.interface == name).map(|route| route.gateway);
    let gateway = gateway.filter(|gateway| !gateway.is_unspecified());
    Ok(Wire { name: name.to_owned(), index: *index, mac: link.mac, address: *address, mask, gateway })
}

fn default_interface(routes: &[Route]) -> Result<&str> {
    let best = routes.iter().min_by_key(|route| route.metric);
    let best =
        best.ok_or_else(|| anyhow!("no network interface has the default route; name one with --interface"))?;
    let mut same =
        routes.iter().filter(|route| route.metric == best.metric && route.interface != best.interface);
    match same.next() {
        Some(other) => bail!(
            "{} and {} both have the default route; name the one to serve with --interface",
            best.interface,
            other.interface
        ),
        None => Ok(&best.interface),
    }
}

/// The MAC of a neighbour that the kernel has spoken with on this interface.
pub fn neighbour(address: IpAddr, interface: &str) -> Option<Mac> {
    neighbour_in(&read_proc("/proc/net/arp").ok()?, address, interface)
}

fn neighbour_in(arp: &str, address: IpAddr, interface: &str) -> Option<Mac> {
    let found = arp.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut of_address = found.filter(|words| {
        words.first().and_then(|word| word.parse().ok()) == Some(address) && words.get(5) == Some(&interface)
    });
    of_address.find_map(|words| words.get(3)?.parse().ok()).filter(|mac: &Mac| mac.is_card())
}

fn read_proc(path: &str) -> Result<String> {
    let text = crate::disk::read_limited(path.as_ref(), PROC_BYTES_MAX);
    text.with_context(|| format!("cannot read {path}"))
}

/// Lines with destination and mask 0. The numbers are hexadecimal in the machine's byte order.
fn default_routes(table: &str) -> Vec<Route> {
    let route = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |idx: usize| u32::from_str_radix(words.get(idx)?, 16).ok();
        if number(1)? != 0 || number(7)? != 0 {
            return None;
        }
        let gateway = Ipv4Addr::from(number(2)?.to_ne_bytes());
        Some(Route { interface: (*words.first()?).to_owned(), gateway, metric: words.get(6)?.parse().ok()? })
    };
    table.lines().skip(1).filter_map(route).collect()
}

/// Asks the kernel for a whole table; the answer's messages lie one after another.
fn dump(kind: u16, body_bytes: usize) -> Result<Vec<u8>> {
    let context = || "cannot ask the kernel for its network interfaces";
    // Protocol 0 of this family is the routing tables'.
    let flags = SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)
        .with_context(context)?;
    let patience = Some(Duration::from_secs(ANSWER_SECONDS_MAX));
    rustix::net::sockopt::set_socket_timeout(&socket, rustix::net::sockopt::Timeout::Recv, patience)
        .with_context(context)?;
    let length = 16 + body_bytes;
    let mut request = vec![0; length];
    request[0..4].copy_from_slice(&(length as u32).to_ne_bytes());
    request[4..6].copy_from_slice(&kind.to_ne_bytes());
    request[6..8].copy_from_slice(&REQUEST_DUMP.to_ne_bytes());
    rustix::net::send(&socket, &request, SendFlags::empty()).with_context(context)?;
    let (mut answer, mut buffer) = (Vec::new(), vec![0u8; ANSWER_BYTES_MAX]);
    for _ in 0..ANSWERS_MAX {
        let (n, _) =
            rustix::net::recv(&socket, buffer.as_mut_slice(), RecvFlags::empty()).with_context(context)?;
        answer.extend_from_slice(&buffer[..n]);
        if messages(&buffer[..n]).any(|(kind, _)| kind == DONE || kind == FAILED) || n == 0 {
            break;
        }
    }
    Ok(answer)
}

/// Type and body of each netlink message.
fn messages(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = u32::from_ne_bytes(rest.get(0..4)?.try_into().ok()?) as usize;
        let kind = u16_at(rest, 4)?;
        let body = rest.get(16..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, body))
    })
}

/// Type and value of each attribute.
fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(rest, 0)?);
        let kind = u16_at(rest, 2)?;
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// All interfaces, by index.
fn links(answer: &[u8]) -> BTreeMap<u32, Link> {
    let link = |(kind, body): (u16, &[u8])| {
        let head = (kind == NEW_LINK).then_some(body)?;
        let (index, flags) = (u32_at(head, 4)?, u32_at(head, 8)?);
        let mut link = Link { name: String::new(), is_up: flags & UP != 0, mac: Mac([0; 6]) };
        for (kind, value) in attributes(body.get(16..)?) {
            match kind {
                LINK_NAME => link.name = String::from_utf8_lossy(value).trim_end_matches('\0').to_owned(),
                LINK_ADDRESS => link.mac = Mac(value.try_into().unwrap_or_default()),
                _ => {}
            }
        }
        Some((index, link))
    };
    messages(answer).filter_map(link).collect()
}

/// Interface index, address and prefix length, in the kernel's order: primary addresses first.
fn addresses(answer: &[u8]) -> Vec<(u32, Ipv4Addr, u8)> {
    let address = |(kind, body): (u16, &[u8])| {
        let head = (kind == NEW_ADDRESS).then_some(body)?;
        let (bits, index) = (*head.get(1)?, u32_at(head, 4)?);
        let mut found = attributes(body.get(8..)?).filter(|(kind, _)| *kind == LOCAL_ADDRESS);
        let address: [u8; 4] = found.next()?.1.try_into().ok()?;
        Some((index, Ipv4Addr::from(address), bits))
    };
    messages(answer).filter_map(address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTES: &str = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n\
        eth0\t00000000\t0100A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
        eth0\t0000A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n\
        wlan0\t00000000\t0100A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n";

    /// eth0 is up with an address, wlan0 is down, tap0 is up without one.
    fn check(name: Option<&str>, routes: &str, want: &str) {
        let link = |name: &str, is_up| Link { name: name.to_owned(), is_up, mac: Mac([2; 6]) };
        let links =
            BTreeMap::from([(2, link("eth0", true)), (3, link("wlan0", false)), (4, link("tap0", true))]);
        let addresses = [(2, Ipv4Addr::new(192, 168, 0, 7), 24)];
        let got = match choose(name, &default_routes(routes), &links, &addresses) {
            Ok(wire) => format!("{} {}/{} via {:?}", wire.name, wire.address, wire.mask, wire.gateway),
            Err(error) => format!("error: {error}"),
        };
        assert_eq!(got, want);
    }

    #[test]
    fn the_interface_with_the_best_default_route_is_served() {
        check(None, ROUTES, "eth0 192.168.0.7/255.255.255.0 via Some(192.168.0.1)");
    }

    #[test]
    fn no_default_route_or_two_need_a_choice() {
        check(None, "", "error: no network interface has the default route; name one with --interface");
        let two = ROUTES.replace("600", "100");
        check(
            None,
            &two,
            "error: eth0 and wlan0 both have the default route; name the one to serve with --interface",
        );
    }

    #[test]
    fn an_interface_that_cannot_serve_is_told() {
        check(
            Some("eth9"),
            ROUTES,
            "error: there is no network interface eth9; there are: eth0, wlan0, tap0",
        );
        let down = "error: the network interface wlan0 is down; `sudo ip link set wlan0 up` turns it on";
        check(Some("wlan0"), ROUTES, down);
        let bare = "error: the network interface tap0 has no IPv4 address; \
                    `sudo ip address add 10.77.0.1/24 dev tap0` gives it one";
        check(Some("tap0"), ROUTES, bare);
    }

    #[test]
    fn the_kernel_tells_of_the_loopback_interface() {
        let links = links(&dump(GET_LINK, 16).unwrap());
        // The first interface of every network namespace, by drivers/net/loopback.c.
        let link = links.get(&1).expect("interface 1");
        assert_eq!((link.name.as_str(), link.mac), ("lo", Mac([0; 6])));
    }

    #[test]
    fn damaged_answers_are_read_as_far_as_they_go() {
        let whole = dump(GET_LINK, 16).unwrap();
        let all = links(&whole);
        assert!(!all.is_empty());
        for end in 0..whole.len() {
            let found = links(&whole[..end]);
            assert!(
                found.iter().all(|(index, link)| all.get(index) == Some(link)),
                "cut at {end}: {found:?}"
            );
        }
        assert_eq!((messages(&[0; 64]).count(), attributes(&[0; 64]).count()), (0, 0));
    }

    #[test]
    fn a_neighbour_is_found_by_its_address() {
        let arp = "IP address       HW type     Flags       HW address            Mask     Device\n\
                   10.77.0.101      0x1         0x2         52:54:00:77:00:01     *        br0\n\
                   10.77.0.102      0x1         0x0         00:00:00:00:00:00     *        br0\n";
        let found = |n, on| neighbour_in(arp, IpAddr::from([10, 77, 0, n]), on).map(|mac| mac.to_string());
        assert_eq!(found(101, "br0").as_deref(), Some("52:54:00:77:00:01"));
        assert_eq!((found(101, "br1"), found(102, "br0"), found(103, "br0")), (None, None, None));
    }
}
