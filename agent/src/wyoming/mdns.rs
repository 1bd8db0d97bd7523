//! A node's voice is found by name: `_wyoming._tcp.local.` by multicast DNS (RFC 6762, 6763), while the door is open.
//!
//! Ours, because a responder that says four records needs no more than this. It answers and never asks, so it does not
//! notice a stranger of the same name; names of nodes are the owner's, and one of a kind in a cluster.

pub mod answer;
pub mod cards;
pub mod packet;

use super::serve::Door;
use answer::{GROUP, PORT, Service, To};
use cards::{Card, Members, Step, is_on_link};
use service::log::{self, Level};
use socket2::{InterfaceIndexOrAddress, SockRef};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout};

/// A second announcement for those who missed the first.
const AGAIN: Duration = Duration::from_secs(1);
/// Cables, cards and addresses may have changed; whether it is wished, too.
const LOOK: Duration = Duration::from_secs(5);
/// Answers to the group follow each other at this distance (RFC 6762, section 6).
const PAUSE: Duration = Duration::from_secs(1);
/// Answers to single askers within that time; whoever asks in another's name is no louder than this.
const ALONE_MAX: u32 = 20;
const RETRY: Duration = Duration::from_secs(60);

/// Never ends: announces the door of this node while it is open. `cards` are its network cards.
pub async fn run(door: Arc<Door>, cards: impl Fn() -> Vec<Card>) {
    let mut settings = door.force.follow();
    loop {
        // On loopback nobody looks.
        let wished = door.wished().filter(|address| !address.ip().is_loopback());
        let Some(address) = wished else {
            if settings.changed().await.is_err() {
                return std::future::pending().await;
            }
            continue;
        };
        let tried = announce(&door, address.port(), &cards).await;
        if let Err(error) = tried {
            log::say(Level::Warning, &format!("duet: Wyoming cannot be announced by mDNS: {error}"));
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// Until it is wished no longer.
async fn announce(door: &Door, port: u16, cards: &impl Fn() -> Vec<Card>) -> std::io::Result<()> {
    let socket = socket()?;
    let service = |cards: &[Card]| {
        let addresses = cards.iter().map(|card| card.address).collect();
        Service { node: (door.offer)().node, port, addresses }
    };
    let (mut members, mut here) = (Members::default(), cards());
    let mut known = service(&here);
    let mut bytes = vec![0; packet::PACKET_BYTES_MAX];
    let mut due = Instant::now();
    let (mut n_announced, mut n_alone, mut quiet_until, mut pause_ends) = (0, 0, due, due);
    while door.wished().is_some_and(|address| address.port() == port) {
        if Instant::now() >= due {
            here = cards();
            let steps = members.look(&here);
            steps.iter().for_each(|step| take(&socket, &mut members, *step));
            let now = service(&here);
            // Behind a cable that was put back somebody else may be (RFC 6762, section 8.3).
            if now != known || !steps.is_empty() {
                (known, n_announced) = (now, 0);
            }
            if n_announced < 2 && !known.addresses.is_empty() {
                tell(&socket, &known, &answer::announcement(&known)).await;
                n_announced += 1;
            }
            due = Instant::now() + if n_announced < 2 { AGAIN } else { LOOK };
        }
        let Ok(came) =
            timeout(due.saturating_duration_since(Instant::now()), socket.recv_from(&mut bytes)).await
        else {
            continue;
        };
        let (n, from) = came?;
        if !matches!(from.ip(), IpAddr::V4(ip) if is_on_link(&here, ip)) {
            continue;
        }
        let Some((to, reply)) = answer::answer(&known, &bytes[..n], from.port()) else { continue };
        let now = Instant::now();
        if now >= pause_ends {
            (pause_ends, n_alone) = (now + PAUSE, 0);
        }
        match to {
            To::Asker if n_alone < ALONE_MAX => {
                n_alone += 1;
                let _ = socket.send_to(&reply, from).await;
            }
            To::Group if now >= quiet_until => {
                quiet_until = now + PAUSE;
                tell(&socket, &known, &reply).await;
            }
            To::Asker | To::Group => {}
        }
    }
    tell(&socket, &known, &answer::farewell(&known)).await;
    Ok(())
}

fn take(socket: &UdpSocket, members: &mut Members, step: Step) {
    let of = |index, address| match index {
        0 => InterfaceIndexOrAddress::Address(address),
        index => InterfaceIndexOrAddress::Index(index),
    };
    let socket = SockRef::from(socket);
    match step {
        // A card that is gone has left by that.
        Step::Leave(index, address) => _ = socket.leave_multicast_v4_n(&GROUP, &of(index, address)),
        Step::Join(index, address) => {
            // A card that takes no group is no reason to leave the others.
            if socket.join_multicast_v4_n(&GROUP, &of(index, address)).is_err() {
                members.failed(index);
            }
        }
    }
}

/// To the group on every network card: a shelf without a router has no way to it that the system would choose.
async fn tell(socket: &UdpSocket, service: &Service, bytes: &[u8]) {
    for address in &service.addresses {
        if SockRef::from(socket).set_multicast_if_v4(address).is_ok() {
            let _ = socket.send_to(bytes, SocketAddrV4::new(GROUP, PORT)).await;
        }
    }
}

/// Others on this machine may listen there as well.
fn socket() -> std::io::Result<UdpSocket> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    // Section 11: whoever hears knows by it that nobody routed the packet.
    socket.set_multicast_ttl_v4(255)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT)).into())?;
    UdpSocket::from_std(socket.into())
}
