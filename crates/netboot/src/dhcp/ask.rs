//! Reading a DHCP message: everything from outside is checked here, once.
//!
//! Options are walked raw with dhcproto's borrowed reader: its owned one stops at the first option it cannot
//! decode (a hostname that is not UTF-8, say), and would lose the PXE options that follow.

use std::net::Ipv4Addr;

use dhcproto::v4::borrowed::{DhcpOption, Message};
use dhcproto::v4::{HType, MAGIC, MessageType, Opcode, OptionCode};

use super::stage::{Arch, Firmware};
use super::{DATAGRAM_BYTES_MAX, Ignored};
use crate::Mac;

/// The fixed head with the magic cookie.
const HEAD_BYTES: usize = 240;
const COOKIE_AT: usize = 236;
const UUID_BYTES: usize = 17;
const PXE_BOOT_ITEM: u8 = 71;
const IPXE_ENCAPSULATED: u8 = 175;
const IPXE_HTTP: u8 = 0x13;

/// A message, as far as the server cares.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) is_reply: bool,
    pub(super) kind: MessageType,
    pub(super) xid: u32,
    pub(super) flags: u16,
    pub(super) mac: Mac,
    /// `ciaddr`: the address the client has.
    pub(super) address: Ipv4Addr,
    /// `yiaddr`: the address a server gives.
    pub(super) yours: Ipv4Addr,
    pub(super) requested: Option<Ipv4Addr>,
    pub(super) server: Option<Ipv4Addr>,
    pub(super) class: Class,
    pub(super) arch: Arch,
    pub(super) firmware: Firmware,
    /// iPXE says that it can do HTTP, or does not say what it can do.
    pub(super) can_http: bool,
    pub(super) uuid: Option<Vec<u8>>,
    /// The boot item asked of a boot server (option 43, number 71), to be echoed.
    pub(super) item: Option<[u8; 4]>,
    /// The client asks for options 66 and 67.
    pub(super) wants_names: bool,
}

/// What the client calls itself in option 60.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Pxe,
    Http,
    Other,
}

impl Ask {
    pub(super) fn read(bytes: &[u8]) -> Result<Ask, Ignored> {
        if bytes.len() > DATAGRAM_BYTES_MAX {
            return Err(Ignored::TooLong);
        }
        if bytes.len() < HEAD_BYTES {
            return Err(Ignored::TooShort);
        }
        if bytes[COOKIE_AT..HEAD_BYTES] != MAGIC {
            return Err(Ignored::NotDhcp);
        }
        let message = Message::new(bytes).map_err(|_| Ignored::TooShort)?;
        let is_reply = match message.opcode() {
            Opcode::BootRequest => false,
            Opcode::BootReply => true,
            Opcode::Unknown(_) => return Err(Ignored::NotDhcp),
        };
        // Before chaddr() is called: it slices by the length on the wire.
        if message.htype() != HType::Eth || message.hlen() != 6 {
            return Err(Ignored::NotEthernet);
        }
        let chaddr: [u8; 6] = message.chaddr().try_into().map_err(|_| Ignored::NotEthernet)?;
        let mac = Mac(chaddr);
        if !mac.is_card() {
            return Err(Ignored::NotEthernet);
        }
        if !message.giaddr().is_unspecified() {
            return Err(Ignored::Relayed);
        }
        let mut ask = Ask {
            is_reply,
            kind: MessageType::Unknown(0),
            xid: message.xid(),
            flags: message.flags().into(),
            mac,
            address: message.ciaddr(),
            yours: message.yiaddr(),
            requested: None,
            server: None,
            class: Class::Other,
            arch: Arch::Bios,
            firmware: Firmware::Pxe,
            can_http: true,
            uuid: None,
            item: None,
            wants_names: false,
        };
        let mut said = Said::default();
        for option in message.opts() {
            ask.read_option(&option, &mut said);
        }
        if ask.kind == MessageType::Unknown(0) {
            return Err(Ignored::NotDhcp);
        }
        ask.conclude(&said);
        Ok(ask)
    }

    /// Whether the client wants to boot from the network.
    pub(super) fn is_netboot(&self) -> bool {
        self.class != Class::Other || self.firmware.is_ipxe()
    }

    fn read_option(&mut self, option: &DhcpOption<'_>, said: &mut Said) {
        let data = option.data();
        match option.code() {
            OptionCode::MessageType => self.kind = data.first().map_or(self.kind, |kind| (*kind).into()),
            OptionCode::RequestedIpAddress => self.requested = address(data),
            OptionCode::ServerIdentifier => self.server = address(data),
            OptionCode::ClassIdentifier => (self.class, said.class_arch) = read_class(data),
            OptionCode::ClientSystemArchitecture => said.arch = first_known_arch(data),
            OptionCode::UserClass => said.is_ipxe = is_ipxe(data),
            OptionCode::ClientMachineIdentifier if data.len() <= UUID_BYTES => {
                self.uuid = Some(data.to_vec())
            }
            OptionCode::VendorExtensions => self.item = boot_item(data),
            OptionCode::ParameterRequestList => self.wants_names = data.contains(&66) || data.contains(&67),
            OptionCode::Unknown(IPXE_ENCAPSULATED) => self.can_http = has_http(data),
            _ => {}
        }
    }

    /// Options come in any order, so what hangs on two of them is settled at the end.
    fn conclude(&mut self, said: &Said) {
        self.arch = said.arch.or(said.class_arch).unwrap_or(Arch::Bios);
        self.firmware = match (said.is_ipxe, self.class) {
            (true, _) => Firmware::Ipxe,
            (false, Class::Http) => Firmware::Http,
            (false, _) => Firmware::Pxe,
        };
    }
}

/// Options that count only together with others.
#[derive(Default)]
struct Said {
    is_ipxe: bool,
    arch: Option<Arch>,
    class_arch: Option<Arch>,
}

fn address(data: &[u8]) -> Option<Ipv4Addr> {
    let four: [u8; 4] = data.try_into().ok()?;
    Some(four.into())
}

/// `PXEClient:Arch:00007:UNDI:003016`; the processor is there for ROMs that send no option 93.
fn read_class(data: &[u8]) -> (Class, Option<Arch>) {
    let class = match data {
        _ if data.starts_with(b"PXEClient") => Class::Pxe,
        _ if data.starts_with(b"HTTPClient") => Class::Http,
        _ => return (Class::Other, None),
    };
    let digits = data.split(|byte| *byte == b':').nth(2).unwrap_or_default();
    let number = std::str::from_utf8(digits).ok().and_then(|text| text.parse::<u16>().ok());
    (class, number.map(Arch::from_number))
}

/// Option 93 is a list; the first kind we know counts.
fn first_known_arch(data: &[u8]) -> Option<Arch> {
    let mut all = data.chunks_exact(2).map(|pair| Arch::from_number(u16::from_be_bytes([pair[0], pair[1]])));
    let first = all.next()?;
    let known = std::iter::once(first).chain(all).find(|arch| !matches!(arch, Arch::Other(_)));
    Some(known.unwrap_or(first))
}

/// iPXE sends the plain four letters; RFC 3004 wants a list of length and text.
fn is_ipxe(data: &[u8]) -> bool {
    data == b"iPXE" || pieces(data).any(|class| class == b"iPXE")
}

/// Walks a list of length and bytes; stops where it breaks.
fn pieces(mut data: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = data.split_first()?;
        let (piece, rest) = rest.split_at_checked(usize::from(*length))?;
        data = rest;
        Some(piece)
    })
}

/// Walks encapsulated options: number, length, bytes, with 0 as padding and 255 as end.
fn encapsulated(mut data: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        while let Some((0, rest)) = data.split_first() {
            data = rest;
        }
        let (number, rest) = data.split_first().filter(|(number, _)| **number != 255)?;
        let (length, rest) = rest.split_first()?;
        let (value, rest) = rest.split_at_checked(usize::from(*length))?;
        data = rest;
        Some((*number, value))
    })
}

fn boot_item(data: &[u8]) -> Option<[u8; 4]> {
    encapsulated(data).find(|(number, _)| *number == PXE_BOOT_ITEM)?.1.try_into().ok()
}

/// iPXE lists what it can do in option 175; a list without HTTP means that it cannot.
fn has_http(data: &[u8]) -> bool {
    encapsulated(data).any(|(number, value)| number == IPXE_HTTP && value.first() != Some(&0))
}
