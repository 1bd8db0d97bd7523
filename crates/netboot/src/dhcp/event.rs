//! What the server has to say to people; every event reads as one sentence.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};

use super::{Arch, DATAGRAM_BYTES_MAX, Firmware};
use crate::Mac;

/// Something worth a line in a log or a cell in a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A netbooting PC asked.
    Asked { mac: Mac, arch: Arch, firmware: Firmware },
    /// It was told this file or URL.
    Told { mac: Mac, file: String },
    /// Its setting says that it is not to boot from here.
    Blocked { mac: Mac },
    /// There is no first stage for its processor.
    NothingFor { mac: Mac, arch: Arch },
    /// An address was confirmed.
    Leased { mac: Mac, address: Ipv4Addr },
    /// A client wanted an address that is not its own.
    Refused { mac: Mac, address: Ipv4Addr },
    /// A client gave its address back.
    Freed { mac: Mac, address: Ipv4Addr },
    /// A client found its address in use by someone else.
    Declined { mac: Mac, address: Ipv4Addr },
    /// There is no address left.
    PoolFull { mac: Mac },
    /// Another DHCP server gives addresses on this wire.
    OtherServer { address: Ipv4Addr },
    /// A datagram that was not answered.
    Ignored { from: SocketAddrV4, why: Ignored },
}

/// Why a datagram was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ignored {
    TooLong,
    TooShort,
    /// Not DHCP: wrong operation or magic cookie, or no message type.
    NotDhcp,
    /// Not from an ethernet card.
    NotEthernet,
    /// Sent on by a relay; duet serves its own wire only.
    Relayed,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Asked { mac, arch, firmware } => write!(f, "{mac} asks to boot ({arch}, {firmware})"),
            Event::Told { mac, file } => write!(f, "{mac} is told to load {file}"),
            Event::Blocked { mac } => write!(f, "{mac} is set to get nothing from this server"),
            Event::NothingFor { mac, arch } => write!(f, "{mac} cannot be booted: no first stage for {arch}"),
            Event::Leased { mac, address } => write!(f, "{mac} has {address}"),
            Event::Refused { mac, address } => write!(f, "{mac} wanted {address}, which is not its own"),
            Event::Freed { mac, address } => write!(f, "{mac} gave {address} back"),
            Event::Declined { mac, address } => {
                write!(f, "{mac} says that {address} is in use by another machine")
            }
            Event::PoolFull { mac } => write!(f, "{mac} got no address: the range is used up"),
            Event::OtherServer { address } => write!(
                f,
                "another DHCP server at {address} gives addresses on this network: \
                 stop one of the two, or serve beside it without an own range"
            ),
            Event::Ignored { from, why } => write!(f, "a datagram from {from} was ignored: {why}"),
        }
    }
}

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ignored::TooLong => write!(f, "longer than {DATAGRAM_BYTES_MAX} bytes"),
            Ignored::TooShort => f.write_str("too short for DHCP"),
            Ignored::NotDhcp => f.write_str("not DHCP"),
            Ignored::NotEthernet => f.write_str("not from an ethernet card"),
            Ignored::Relayed => f.write_str("it came through a relay"),
        }
    }
}
