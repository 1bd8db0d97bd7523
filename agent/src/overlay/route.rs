//! The few messages of rtnetlink that an overlay needs: pure. The crate that knows all of them would make the agent
//! 0.6 MB larger.

use super::wish::PREFIX_BITS;
use netlink_packet_core::{
    DecodeError, DefaultNla, Emitable, NLA_F_NESTED, NetlinkDeserializable, NetlinkHeader,
    NetlinkSerializable, Nla, NlasIterator,
};
use std::net::Ipv6Addr;

// Numbers of linux/rtnetlink.h, linux/if_link.h, linux/if_addr.h and linux/if.h.
const RTM_NEWLINK: u16 = 16;
const RTM_SETLINK: u16 = 19;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_GETADDR: u16 = 22;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;
const IFA_ADDRESS: u16 = 1;
const IFF_UP: u32 = 1;
const IFA_F_NODAD: u8 = 2;
const AF_INET6: u8 = 10;
/// `struct ifinfomsg` and `struct ifaddrmsg`.
const LINK_HEAD_BYTES: usize = 16;
const ADDRESS_HEAD_BYTES: usize = 8;

/// One message, as its number and its bytes.
#[derive(Debug, PartialEq, Eq)]
pub struct Route {
    number: u16,
    bytes: Vec<u8>,
}

impl Route {
    /// A new interface of WireGuard.
    pub fn make_wireguard(name: &str, mtu: u32) -> Route {
        let kind = bytes_of(&[DefaultNla::new(IFLA_INFO_KIND, b"wireguard".to_vec())]);
        let name = [name.as_bytes(), &[0]].concat();
        let attributes = [
            DefaultNla::new(IFLA_IFNAME, name),
            DefaultNla::new(IFLA_MTU, mtu.to_ne_bytes().to_vec()),
            DefaultNla::new(IFLA_LINKINFO | NLA_F_NESTED, kind),
        ];
        Route { number: RTM_NEWLINK, bytes: [&[0; LINK_HEAD_BYTES][..], &bytes_of(&attributes)].concat() }
    }

    /// Switches an interface on.
    pub fn switch_on(interface: u32) -> Route {
        let mut bytes = vec![0; LINK_HEAD_BYTES];
        bytes[4..8].copy_from_slice(&interface.to_ne_bytes());
        bytes[8..12].copy_from_slice(&IFF_UP.to_ne_bytes());
        bytes[12..16].copy_from_slice(&IFF_UP.to_ne_bytes());
        Route { number: RTM_SETLINK, bytes }
    }

    /// Gives an interface an address. Nobody else can have it, so the kernel need not ask around and wait.
    pub fn add_address(interface: u32, address: Ipv6Addr) -> Route {
        Route { number: RTM_NEWADDR, bytes: address_bytes(interface, address) }
    }

    pub fn drop_address(interface: u32, address: Ipv6Addr) -> Route {
        Route { number: RTM_DELADDR, bytes: address_bytes(interface, address) }
    }

    /// All IPv6 addresses of the node.
    pub fn ask_addresses() -> Route {
        let mut bytes = vec![0; ADDRESS_HEAD_BYTES];
        bytes[0] = AF_INET6;
        Route { number: RTM_GETADDR, bytes }
    }

    /// The address that an answer tells, if it is one of this interface.
    pub fn address_of(&self, interface: u32) -> Option<Ipv6Addr> {
        let (head, attributes) = self.bytes.split_at_checked(ADDRESS_HEAD_BYTES)?;
        if self.number != RTM_NEWADDR || head[0] != AF_INET6 || head[4..8] != interface.to_ne_bytes() {
            return None;
        }
        let mut attributes = NlasIterator::new(attributes).map_while(Result::ok);
        let address = attributes.find(|attribute| attribute.kind() == IFA_ADDRESS)?;
        <[u8; 16]>::try_from(address.value()).ok().map(Ipv6Addr::from)
    }
}

fn address_bytes(interface: u32, address: Ipv6Addr) -> Vec<u8> {
    let head = [AF_INET6, PREFIX_BITS, IFA_F_NODAD, 0];
    let attributes = bytes_of(&[DefaultNla::new(IFA_ADDRESS, address.octets().to_vec())]);
    [&head[..], &interface.to_ne_bytes(), &attributes].concat()
}

fn bytes_of(attributes: &[impl Nla]) -> Vec<u8> {
    let mut bytes = vec![0; attributes.buffer_len()];
    attributes.emit(&mut bytes);
    bytes
}

impl NetlinkSerializable for Route {
    fn message_type(&self) -> u16 {
        self.number
    }

    fn buffer_len(&self) -> usize {
        self.bytes.len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        buffer.copy_from_slice(&self.bytes);
    }
}

impl NetlinkDeserializable for Route {
    type Error = DecodeError;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Route, DecodeError> {
        Ok(Route { number: header.message_type, bytes: payload.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: Ipv6Addr = Ipv6Addr::new(0xfd01, 0x203, 0x405, 0, 0, 0, 0, 7);

    fn check(message: Route, number: u16, want: &str) {
        let hex: String = message.bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!((message.number, hex), (number, want.replace(' ', "")));
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn messages_are_those_of_the_tool_ip() {
        // Read by hand along the kernel's headers.
        let head = "00000000000000000000000000000000";
        let link = "0800 0300 77673000 0800 0400 8c050000 1400 1280 0d00 0100 776972656775617264 000000";
        check(Route::make_wireguard("wg0", 1420), RTM_NEWLINK, &format!("{head}{link}"));
        check(Route::switch_on(5), RTM_SETLINK, "00000000 05000000 01000000 01000000");
        let address = "0a400200 05000000 1400 0100 fd010203040500000000000000000007";
        check(Route::add_address(5, ADDRESS), RTM_NEWADDR, address);
        check(Route::drop_address(5, ADDRESS), RTM_DELADDR, address);
        check(Route::ask_addresses(), RTM_GETADDR, "0a00000000000000");
    }

    #[test]
    fn an_answer_tells_the_addresses_of_its_interface_only() {
        let answer = Route::add_address(5, ADDRESS);
        assert_eq!(answer.address_of(5), Some(ADDRESS));
        assert_eq!(answer.address_of(6), None);
        assert_eq!(Route::drop_address(5, ADDRESS).address_of(5), None);
        for n_bytes in 0..answer.bytes.len() {
            let cut = Route { number: RTM_NEWADDR, bytes: answer.bytes[..n_bytes].to_vec() };
            assert_eq!(cut.address_of(5), None);
        }
    }
}
