//! The hands of DHCP: sockets on ports 67 and 4011, bound to the served interface.
//!
//! What to answer is decided in `netboot::dhcp`; here datagrams go in and out, and events go to the desk.

use super::Shared;
use super::settings::{FirstStage, PcSettings};
use super::store::KeptLease;
use super::trouble::port_trouble;
use super::wire::Wire;
use crate::releases::unix_now_s;
use anyhow::{Context, Result, bail};
use netboot::Mac;
use netboot::dhcp::{BOOT_PORT, CLIENT_PORT, Choice, Config, DATAGRAM_BYTES_MAX, Datagram, Event, Mode};
use netboot::dhcp::{Output, Pool, SERVER_PORT, Server};
use rustix::rand::{GetRandomFlags, getrandom};
use socket2::{Domain, Protocol, Socket, Type};
use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;

/// How long an address is given for.
const LEASE: Duration = Duration::from_secs(12 * 3600);
/// How long another server may take to answer the question at the start.
const PROBE: Duration = Duration::from_millis(1500);
/// After an error of the socket (the interface went away), so long.
const PAUSE: Duration = Duration::from_secs(1);

pub struct Hands {
    server: Server,
    port_67: UdpSocket,
    port_4011: UdpSocket,
    settings_seen: Option<u64>,
}

/// The range as it was asked for.
pub type Range = (Ipv4Addr, Ipv4Addr);

/// Opens the sockets. With a range this first makes sure that no other server gives addresses here.
pub async fn open(wire: &Wire, http_port: u16, range: Option<Range>) -> Result<Hands> {
    let mode = match range {
        None => Mode::Proxy,
        Some((first, last)) => Mode::Own(Pool {
            first,
            last,
            mask: wire.mask,
            gateway: wire.gateway,
            dns: Vec::new(),
            lease: LEASE,
        }),
    };
    let own = range.is_some();
    let mut server = Server::new(Config { server: wire.address, http_port, mode })?;
    if own {
        refuse_second_server(wire, &mut server).await?;
    }
    // Beside a DHCP server of the same machine port 67 is shared: broadcasts reach both.
    // As the only server it is not, so that a second one is noticed here.
    let port_67 = udp(wire, SERVER_PORT, !own).map_err(|error| port_trouble(error, SERVER_PORT, "DHCP"))?;
    let port_4011 = udp(wire, BOOT_PORT, !own).map_err(|error| port_trouble(error, BOOT_PORT, "PXE"))?;
    Ok(Hands { server, port_67, port_4011, settings_seen: None })
}

/// A UDP socket that hears and speaks only on this interface.
pub fn udp(wire: &Wire, port: u16, shared: bool) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    socket.set_reuse_address(shared)?;
    socket.bind_device(Some(wire.name.as_bytes()))?;
    socket.set_broadcast(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)).into())?;
    UdpSocket::from_std(socket.into())
}

impl Hands {
    /// Answers for ever.
    pub async fn serve(mut self, shared: Arc<Shared>) {
        self.restore(&shared);
        let (mut at_67, mut at_4011) = ([0; DATAGRAM_BYTES_MAX + 1], [0; DATAGRAM_BYTES_MAX + 1]);
        loop {
            let (received, port) = tokio::select! {
                received = self.port_67.recv_from(&mut at_67) => (received, SERVER_PORT),
                received = self.port_4011.recv_from(&mut at_4011) => (received, BOOT_PORT),
            };
            match received {
                Ok((n, SocketAddr::V4(from))) => {
                    let bytes = if port == SERVER_PORT { &at_67[..n] } else { &at_4011[..n] };
                    self.renew_choices(&shared);
                    self.server.handle(Instant::now(), Datagram { bytes, from, port });
                    self.drain(&shared).await;
                }
                Ok(_) => {}
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    async fn drain(&mut self, shared: &Shared) {
        while let Some(output) = self.server.poll() {
            match output {
                Output::Send(answer) => {
                    let socket = if answer.from_port == BOOT_PORT { &self.port_4011 } else { &self.port_67 };
                    // An answer that cannot be sent is like one that was lost: the client asks again.
                    let _ = socket.send_to(&answer.bytes, answer.to).await;
                }
                Output::Event(event) => self.tell(event, shared),
            }
        }
    }

    fn tell(&self, event: Event, shared: &Shared) {
        let now_ms = shared.now_ms();
        let mut desk = shared.desk();
        match event {
            Event::Asked { mac, arch, firmware } => {
                desk.asked(mac, &format!("{arch}, {firmware}"), firmware.is_ipxe(), now_ms);
            }
            Event::Leased { mac, address } => {
                desk.leases = self.leases();
                desk.unsaved = true;
                desk.pcs.has_address(mac, address.into());
                desk.tell(super::events::Event::leased(mac, address), now_ms);
            }
            Event::Freed { .. } => {
                desk.leases = self.leases();
                desk.unsaved = true;
            }
            // What it is told is seen in what it fetches; and garbage is not worth a line.
            Event::Told { .. } | Event::Ignored { .. } | Event::Refused { .. } => {}
            event => desk.note(event.to_string(), now_ms),
        }
    }

    fn leases(&self) -> Vec<KeptLease> {
        let (now, unix_s) = (Instant::now(), unix_now_s());
        let kept = |lease: netboot::dhcp::Lease| KeptLease {
            mac: lease.mac.to_string(),
            address: lease.address,
            until_unix_s: unix_s + lease.until.saturating_duration_since(now).as_secs(),
        };
        self.server.leases(now).into_iter().map(kept).collect()
    }

    fn restore(&mut self, shared: &Shared) {
        let (now, unix_s) = (Instant::now(), unix_now_s());
        for lease in &shared.desk().leases {
            let left = Duration::from_secs(lease.until_unix_s.saturating_sub(unix_s)).min(LEASE);
            if let Ok(mac) = lease.mac.parse::<Mac>()
                && !left.is_zero()
            {
                self.server.restore(now, mac, lease.address, left);
            }
        }
    }

    /// The settings may have changed since the last datagram.
    fn renew_choices(&mut self, shared: &Shared) {
        let desk = shared.desk();
        if self.settings_seen != Some(desk.settings_version) {
            self.settings_seen = Some(desk.settings_version);
            let choices: BTreeMap<Mac, Choice> =
                desk.settings.macs().map(|mac| (*mac, choice(&desk.settings.of(mac)))).collect();
            self.server.set_choices(choices);
        }
    }
}

fn choice(wishes: &PcSettings) -> Choice {
    if wishes.block == Some(true) {
        return Choice::None;
    }
    match wishes.first_stage {
        None | Some(FirstStage::Auto) => Choice::Auto,
        Some(FirstStage::Undionly) => Choice::Undionly,
        Some(FirstStage::IpxePxe) => Choice::IpxePxe,
        Some(FirstStage::Snponly) => Choice::Snponly,
        Some(FirstStage::IpxeEfi) => Choice::IpxeEfi,
        Some(FirstStage::None) => Choice::None,
    }
}

/// Asks for an address as a client would; whoever offers one is another server.
async fn refuse_second_server(wire: &Wire, server: &mut Server) -> Result<()> {
    let socket =
        udp(wire, CLIENT_PORT, true).map_err(|error| port_trouble(error, CLIENT_PORT, "DHCP clients"))?;
    let discover = discover().context("the kernel gives no random numbers")?;
    let everyone = SocketAddrV4::new(Ipv4Addr::BROADCAST, SERVER_PORT);
    // Where nothing can be sent, for example without a link, nobody is asked and nobody answers.
    if socket.send_to(&discover, everyone).await.is_err() {
        return Ok(());
    }
    let until = tokio::time::Instant::now() + PROBE;
    let mut buffer = [0; DATAGRAM_BYTES_MAX + 1];
    while let Ok(Ok((n, SocketAddr::V4(from)))) =
        tokio::time::timeout_at(until, socket.recv_from(&mut buffer)).await
    {
        // Only an answer to this question counts: other clients' answers pass here too.
        if buffer.get(4..8) != discover.get(4..8) {
            continue;
        }
        server.handle(Instant::now(), Datagram { bytes: &buffer[..n], from, port: CLIENT_PORT });
        while let Some(output) = server.poll() {
            if let Output::Event(event @ Event::OtherServer { .. }) = output {
                bail!("{event}");
            }
        }
    }
    Ok(())
}

/// A DISCOVER from an invented card (locally administered), with the broadcast flag.
fn discover() -> io::Result<Vec<u8>> {
    let mut random = [0; 10];
    getrandom(&mut random, GetRandomFlags::empty())?;
    let mut bytes = vec![0; 240];
    bytes[0..4].copy_from_slice(&[1, 1, 6, 0]);
    bytes[4..8].copy_from_slice(&random[0..4]);
    bytes[10] = 0x80;
    bytes[28..34].copy_from_slice(&random[4..10]);
    bytes[28] = bytes[28] & 0xfc | 0x02;
    bytes[236..240].copy_from_slice(&[99, 130, 83, 99]);
    bytes.extend([53, 1, 1, 55, 2, 1, 3, 255]);
    bytes.resize(300, 0);
    Ok(bytes)
}
