//! The hands: WireGuard and its interface through netlink, as `ip` and `wg` would do it, without either.
//!
//! Every request is answered before the next is sent, so one buffer serves all.
//! The kernel tells the private key to whoever may set it; what brought it is wiped.

use super::key::{Key, Pair};
use super::netlink::{self, Line};
use super::plan::{Change, Present, PresentPeer};
use super::route::Route;
use super::wish::PEERS_MAX;
use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE, NetlinkPayload};
use netlink_packet_generic::GenlMessage;
use netlink_packet_generic::ctrl::nlas::GenlCtrlAttrs;
use netlink_packet_generic::ctrl::{GenlCtrl, GenlCtrlCmd};
use netlink_packet_wireguard::{
    WireguardAddressFamily, WireguardAllowedIp, WireguardAllowedIpAttr, WireguardAttribute, WireguardCmd,
    WireguardMessage, WireguardPeer, WireguardPeerAttribute, WireguardPeerFlags,
};
use netlink_sys::protocols;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use zeroize::Zeroize;

/// The interface of the overlay.
pub const INTERFACE: &str = "wg0";
/// Where WireGuard listens.
pub const PORT: u16 = 51820;
/// An ethernet frame less what WireGuard adds over IPv6 (80 bytes).
pub const MTU: u32 = 1420;
/// Messages of one answer: a peer is less than 300 bytes.
const ANSWERS_MAX: usize = 4 * PEERS_MAX;
/// Peers of one request: a netlink attribute ends at 64 KiB.
const PEERS_AT_ONCE: usize = 128;
/// Linux's numbers of "no such file", "no such device" and "not supported": what a kernel without the module says.
const ENOENT: i32 = 2;
const ENODEV: i32 = 19;
const EOPNOTSUPP: i32 = 95;

/// Why nothing could be set.
#[derive(Debug)]
pub enum KernelError {
    /// The kernel has no WireGuard, and no module of it.
    NoWireguard,
    Io {
        doing: &'static str,
        error: io::Error,
    },
}

impl std::fmt::Display for KernelError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            KernelError::NoWireguard => write!(f, "this kernel has no WireGuard"),
            KernelError::Io { doing, error } => write!(f, "{doing}: {error}"),
        }
    }
}

type Result<T> = std::result::Result<T, KernelError>;

/// The kernel with its interface `wg0`.
pub struct Kernel {
    route: Line,
    generic: Line,
    /// Number of the family `wireguard`, given by the kernel when the module is there.
    family: u16,
    index: u32,
    /// The public half of the key in the kernel.
    pub key: Key,
}

impl Kernel {
    /// Makes the interface, or takes over the one that an earlier process left: its key then stays, so that a crash
    /// of this program costs no new admission.
    pub fn open(pair: &Pair) -> Result<Kernel> {
        let mut generic =
            Line::open(protocols::NETLINK_GENERIC, ANSWERS_MAX).map_err(io("opening netlink"))?;
        let mut route = Line::open(protocols::NETLINK_ROUTE, ANSWERS_MAX).map_err(io("opening netlink"))?;
        let family = family(&mut generic)?;
        let old = device(&mut generic, family)?;
        if old.is_none() {
            make(&mut route)?;
        }
        if old.is_none_or(|device| device.key.is_none()) {
            let secret = WireguardAttribute::PrivateKey(*pair.secret());
            set(&mut generic, family, vec![WireguardAttribute::ListenPort(PORT), secret])?;
        }
        let Some(Device { index, key: Some(key), .. }) = device(&mut generic, family)? else {
            return Err(io("making wg0")(io::Error::other("it has no key")));
        };
        let mut kernel = Kernel { route, generic, family, index, key };
        kernel.up()?;
        Ok(kernel)
    }

    fn up(&mut self) -> Result<()> {
        self.route.tell(Route::switch_on(self.index), 0).map_err(io("switching wg0 on"))
    }

    /// What is set now.
    pub fn present(&mut self) -> Result<Present> {
        let device = device(&mut self.generic, self.family)?;
        let device = device.filter(|device| device.index == self.index && device.key == Some(self.key));
        let Some(device) = device else {
            return Err(io("reading wg0")(io::Error::other("the interface is gone or another one")));
        };
        Ok(Present { addresses: self.addresses()?, peers: device.present.peers })
    }

    fn addresses(&mut self) -> Result<Vec<Ipv6Addr>> {
        let told = self.route.ask(Route::ask_addresses(), NLM_F_DUMP).map_err(io("reading the addresses"))?;
        Ok(told.iter().filter_map(|answer| answer.address_of(self.index)).collect())
    }

    /// Makes the changes, in their order.
    pub fn apply(&mut self, changes: &[Change]) -> Result<()> {
        let mut rest = changes;
        while let Some(first) = rest.first() {
            match first {
                Change::AddAddress(address) => self.add(*address)?,
                Change::DropAddress(address) => self.drop(*address)?,
                Change::DropPeer(_) | Change::SetPeer { .. } => {
                    let peers: Vec<_> = rest.iter().map_while(peer_message).take(PEERS_AT_ONCE).collect();
                    let n_peers = peers.len();
                    set(&mut self.generic, self.family, vec![WireguardAttribute::Peers(peers)])?;
                    rest = &rest[n_peers..];
                    continue;
                }
            }
            rest = &rest[1..];
        }
        Ok(())
    }

    fn add(&mut self, address: Ipv6Addr) -> Result<()> {
        let message = Route::add_address(self.index, address);
        self.route.tell(message, NLM_F_CREATE | NLM_F_REPLACE).map_err(io("giving wg0 its address"))
    }

    fn drop(&mut self, address: Ipv6Addr) -> Result<()> {
        let message = Route::drop_address(self.index, address);
        self.route.tell(message, 0).map_err(io("taking an address from wg0"))
    }
}

/// A change as what WireGuard calls a peer; none for changes of another kind.
fn peer_message(change: &Change) -> Option<WireguardPeer> {
    use WireguardPeerAttribute as Attribute;
    match change {
        Change::DropPeer(key) => Some(WireguardPeer(vec![
            Attribute::PublicKey(key.0),
            Attribute::Flags(WireguardPeerFlags::RemoveMe),
        ])),
        Change::SetPeer { key, address, endpoint } => {
            let allowed = WireguardAllowedIp(vec![
                WireguardAllowedIpAttr::Family(WireguardAddressFamily::Ipv6),
                WireguardAllowedIpAttr::IpAddr((*address).into()),
                WireguardAllowedIpAttr::Cidr(Ipv6Addr::BITS as u8),
            ]);
            let mut attributes = vec![
                Attribute::PublicKey(key.0),
                Attribute::Flags(WireguardPeerFlags::ReplaceAllowedIps),
                Attribute::AllowedIps(vec![allowed]),
            ];
            attributes.extend(endpoint.map(Attribute::Endpoint));
            Some(WireguardPeer(attributes))
        }
        Change::AddAddress(_) | Change::DropAddress(_) => None,
    }
}

fn io(doing: &'static str) -> impl Fn(io::Error) -> KernelError {
    move |error| KernelError::Io { doing, error }
}

/// Asking for the family makes the kernel load the module.
fn family(generic: &mut Line) -> Result<u16> {
    let nlas = vec![GenlCtrlAttrs::FamilyName("wireguard".into())];
    let message = GenlMessage::from_payload(GenlCtrl { cmd: GenlCtrlCmd::GetFamily, nlas });
    let answers = match generic.ask(message, NLM_F_ACK) {
        Err(error) if error.raw_os_error() == Some(ENOENT) => return Err(KernelError::NoWireguard),
        other => other.map_err(io("asking for WireGuard"))?,
    };
    let mut attributes = answers.into_iter().flat_map(|answer| answer.payload.nlas);
    let family = attributes.find_map(|attribute| match attribute {
        GenlCtrlAttrs::FamilyId(family) => Some(family),
        _ => None,
    });
    family.ok_or(KernelError::NoWireguard)
}

fn make(route: &mut Line) -> Result<()> {
    match route.tell(Route::make_wireguard(INTERFACE, MTU), NLM_F_CREATE | NLM_F_EXCL) {
        Err(error) if error.raw_os_error() == Some(EOPNOTSUPP) => Err(KernelError::NoWireguard),
        other => other.map_err(io("making wg0")),
    }
}

/// What the kernel says of `wg0`.
#[derive(Default)]
struct Device {
    index: u32,
    key: Option<Key>,
    present: Present,
}

fn device(generic: &mut Line, family: u16) -> Result<Option<Device>> {
    let attributes = vec![WireguardAttribute::IfName(INTERFACE.into())];
    let message = wireguard(WireguardCmd::GetDevice, family, attributes);
    let mut answers = match generic.ask(message, NLM_F_DUMP) {
        Err(error) if error.raw_os_error() == Some(ENODEV) => return Ok(None),
        other => other.map_err(io("reading wg0"))?,
    };
    let mut device = Device::default();
    answers.iter_mut().for_each(wipe);
    for attribute in answers.iter().flat_map(|answer| &answer.payload.attributes) {
        match attribute {
            WireguardAttribute::PublicKey(key) => device.key = Some(Key(*key)),
            WireguardAttribute::IfIndex(index) => device.index = *index,
            WireguardAttribute::Peers(peers) => peers.iter().for_each(|peer| take(&mut device.present, peer)),
            _ => {}
        }
    }
    Ok(Some(device))
}

/// A peer with many addresses comes in several pieces; ours have one.
fn take(present: &mut Present, peer: &WireguardPeer) {
    use WireguardPeerAttribute as Attribute;
    let (mut key, mut addresses, mut known) = (None, vec![], PresentPeer::default());
    for attribute in peer.iter() {
        match attribute {
            Attribute::PublicKey(bytes) => key = Some(Key(*bytes)),
            Attribute::Endpoint(endpoint) => known.endpoint = Some(*endpoint),
            Attribute::LastHandshake(time) => known.handshake_unix_s = time.seconds.max(0) as u64,
            Attribute::RxBytes(bytes) => known.received_bytes = *bytes,
            Attribute::TxBytes(bytes) => known.sent_bytes = *bytes,
            Attribute::AllowedIps(allowed) => addresses.extend(allowed.iter().map(whole_address)),
            _ => {}
        }
    }
    let Some(key) = key else { return };
    if let [Some(address)] = addresses[..] {
        known.address = Some(address);
    }
    if let Some(piece) = present.peers.insert(key, known) {
        present.peers.insert(key, PresentPeer { address: None, ..piece });
    }
}

/// The address of an allowed `/128`.
fn whole_address(allowed: &WireguardAllowedIp) -> Option<Ipv6Addr> {
    let is_whole = allowed.contains(&WireguardAllowedIpAttr::Cidr(Ipv6Addr::BITS as u8));
    let address = allowed.iter().find_map(|attribute| match attribute {
        WireguardAllowedIpAttr::IpAddr(IpAddr::V6(address)) => Some(*address),
        _ => None,
    });
    address.filter(|_| is_whole)
}

fn set(generic: &mut Line, family: u16, mut attributes: Vec<WireguardAttribute>) -> Result<()> {
    attributes.insert(0, WireguardAttribute::IfName(INTERFACE.into()));
    let mut request = netlink::request(wireguard(WireguardCmd::SetDevice, family, attributes), NLM_F_ACK);
    let done = generic.exchange(&mut request).map(drop).map_err(io("setting wg0"));
    if let NetlinkPayload::InnerMessage(message) = &mut request.payload {
        wipe(message);
    }
    done
}

/// Overwrites the private key, which every answer holds too.
fn wipe(message: &mut Wireguard) {
    for attribute in &mut message.payload.attributes {
        if let WireguardAttribute::PrivateKey(secret) = attribute {
            secret.zeroize();
        }
    }
}

type Wireguard = GenlMessage<WireguardMessage>;

fn wireguard(cmd: WireguardCmd, family: u16, attributes: Vec<WireguardAttribute>) -> Wireguard {
    let mut message = GenlMessage::from_payload(WireguardMessage { cmd, attributes });
    message.set_resolved_family_id(family);
    message
}
