//! The hands of the router advertisement that ends iPXE's wait for an IPv6 router.
//!
//! Only PCs that asked for a boot lately are answered; every other machine of the house hears nothing.

use super::Shared;
use super::wire::Wire;
use netboot::{Mac, ra};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::Semaphore;

/// Who asked for a boot within this time is answered.
const LATELY_MS: u64 = 120_000;
/// A solicitation may overtake the DHCP question of the same PC: it is looked at again so often.
const LOOKS: u32 = 10;
const LOOK_PAUSE: Duration = Duration::from_millis(200);
/// Solicitations that wait for their PC's question.
const WAITING_MAX: usize = 64;
const MESSAGE_BYTES_MAX: usize = 1501;
const PAUSE: Duration = Duration::from_secs(1);
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
const HOPS: u8 = 255;

/// A raw socket in the clothes of a UDP socket: sending and receiving are the same calls.
pub fn open(wire: &Wire) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV6, Type::RAW.nonblocking(), Some(Protocol::ICMPV6))?;
    socket.bind_device(Some(wire.name.as_bytes()))?;
    socket.join_multicast_v6(&ALL_ROUTERS, wire.index)?;
    socket.set_unicast_hops_v6(HOPS.into())?;
    socket.set_multicast_hops_v6(HOPS.into())?;
    UdpSocket::from_std(socket.into())
}

/// Answers for ever.
pub async fn serve(socket: UdpSocket, wire: Wire, shared: Arc<Shared>) {
    let socket = Arc::new(socket);
    let waiting = Arc::new(Semaphore::new(WAITING_MAX));
    let mut buffer = [0; MESSAGE_BYTES_MAX];
    loop {
        let Ok((n, from)) = socket.recv_from(&mut buffer).await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let Some((mac, from)) = asker(&buffer[..n], from) else { continue };
        let Ok(place) = waiting.clone().try_acquire_owned() else { continue };
        let (socket, shared, answer) = (socket.clone(), shared.clone(), ra::advertisement(wire.mac));
        tokio::spawn(async move {
            for _ in 0..LOOKS {
                if asked_lately(mac, &shared) {
                    // A lost advertisement costs the PC some seconds, nothing else.
                    let _ = socket.send_to(&answer, from).await;
                    break;
                }
                tokio::time::sleep(LOOK_PAUSE).await;
            }
            drop(place);
        });
    }
}

fn asked_lately(mac: Mac, shared: &Shared) -> bool {
    let now_ms = shared.now_ms();
    let desk = shared.desk();
    desk.pcs.get(&mac).is_some_and(|pc| pc.stage().is_some() && now_ms.saturating_sub(pc.seen_ms) < LATELY_MS)
}

/// The card that asks, and where: a link-local address, else nobody can be answered.
fn asker(message: &[u8], from: SocketAddr) -> Option<(Mac, SocketAddr)> {
    let IpAddr::V6(address) = from.ip() else { return None };
    // What the hop limit proves, that no router passed it on, a link-local sender proves too (RFC 4291, 2.5.6).
    let solicitation = ra::solicited_by(message, HOPS).ok()?;
    if address.segments()[0] & 0xffc0 != 0xfe80 {
        return None;
    }
    let mac = solicitation.mac.or_else(|| card_of(&address))?;
    Some((mac, from))
}

/// The MAC that a link-local address was made from (RFC 4291, appendix A).
fn card_of(address: &Ipv6Addr) -> Option<Mac> {
    let [.., a, b, c, 0xff, 0xfe, d, e, f] = address.octets() else { return None };
    Some(Mac([a ^ 2, b, c, d, e, f]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A solicitation from `from`, and the card it is taken to come from.
    fn check(from: &str, option: &[u8], want: Option<&str>) {
        let bytes = [&[133, 0, 0, 0, 0, 0, 0, 0], option].concat();
        let from = std::net::SocketAddrV6::new(from.parse().unwrap(), 0, 0, 2);
        let got = asker(&bytes, from.into());
        assert_eq!(got.map(|(mac, _)| mac.to_string()).as_deref(), want);
    }

    #[test]
    fn the_asker_is_known_by_its_option_or_its_address() {
        check("fe80::1", &[1, 1, 0x52, 0x54, 0, 0x77, 0, 1], Some("52:54:00:77:00:01"));
        check("fe80::5054:ff:fe77:1", &[], Some("52:54:00:77:00:01"));
    }

    #[test]
    fn who_cannot_be_answered_is_not() {
        check("::", &[1, 1, 0x52, 0x54, 0, 0x77, 0, 1], None);
        check("2001:db8::1", &[1, 1, 0x52, 0x54, 0, 0x77, 0, 1], None);
        check("fe80::1", &[], None);
    }
}
