//! Addresses as the boot line writes them: MAC, IPv4 with mask and gateway, boot servers.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::str::FromStr;

use crate::Error;

/// Most boot servers a node is told about.
pub const SERVERS_MAX: usize = 8;

const HTTP_PORT: u16 = 80;
const MAC_FORM: &str = "six pairs of hex digits, like 52:54:00:77:00:01";

/// A network card's address: the name of a PC everywhere in duet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Reads `aa:bb:cc:dd:ee:ff`, or the same with hyphens as URLs write it; capitals too.
    pub fn parse(text: &str) -> Result<Mac, Error> {
        let wrong = Error::Value { what: "the MAC address", want: MAC_FORM };
        let separator = if text.contains('-') { '-' } else { ':' };
        let mut mac = [0u8; 6];
        let mut parts = text.split(separator);
        for byte in &mut mac {
            let part = parts.next().filter(|p| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit()));
            *byte = part.and_then(|p| u8::from_str_radix(p, 16).ok()).ok_or_else(|| wrong.clone())?;
        }
        if parts.next().is_some() { Err(wrong) } else { Ok(Mac(mac)) }
    }

    /// The form that is safe in a URL: a colon there would look like a scheme.
    pub fn hyphenated(self) -> String {
        self.to_string().replace(':', "-")
    }

    /// Whether this can be the address of one card: not a group's, not all zero.
    pub fn is_card(self) -> bool {
        self.0[0] & 1 == 0 && self.0 != [0; 6]
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Mac {
    type Err = Error;

    fn from_str(text: &str) -> Result<Mac, Error> {
        Mac::parse(text)
    }
}

/// A boot server: plain HTTP on an IPv4 address. What it sends is trusted only by its signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Server {
    pub ip: Ipv4Addr,
    pub port: u16,
}

impl Server {
    /// Reads `http://A.B.C.D` or `http://A.B.C.D:PORT`.
    pub fn parse(text: &str) -> Result<Server, Error> {
        let wrong = || Error::Value { what: "a boot server", want: "http://ADDRESS or http://ADDRESS:PORT" };
        let host = text.strip_prefix("http://").ok_or_else(wrong)?;
        let (ip, port) = match host.split_once(':') {
            Some((ip, port)) => (ip, parse_port(port).ok_or_else(wrong)?),
            None => (host, HTTP_PORT),
        };
        Ok(Server { ip: ip.parse().map_err(|_| wrong())?, port })
    }
}

/// With the port always: one server has one name.
impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}:{}", self.ip, self.port)
    }
}

impl From<SocketAddrV4> for Server {
    fn from(address: SocketAddrV4) -> Server {
        Server { ip: *address.ip(), port: address.port() }
    }
}

/// Reads a list of boot servers with commas between them.
pub fn parse_servers(text: &str) -> Result<Vec<Server>, Error> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    if text.split(',').count() > SERVERS_MAX {
        return Err(Error::Value { what: "the list of boot servers", want: "at most 8" });
    }
    text.split(',').map(Server::parse).collect()
}

/// The address that iPXE got for the boot interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    pub ip: Ipv4Addr,
    pub mask: Ipv4Addr,
    pub gateway: Option<Ipv4Addr>,
}

impl Address {
    /// Reads `ADDRESS,NETMASK,GATEWAY`; the gateway may be empty or left out.
    pub fn parse(text: &str) -> Result<Address, Error> {
        let wrong = || Error::Value { what: "duet.ip", want: "ADDRESS,NETMASK,GATEWAY" };
        let mut parts = text.split(',');
        let mut next = || parts.next().unwrap_or("");
        let ip: Ipv4Addr = next().parse().map_err(|_| wrong())?;
        let mask: Ipv4Addr = next().parse().map_err(|_| wrong())?;
        let gateway = match next() {
            "" | "0.0.0.0" => None,
            gateway => Some(gateway.parse().map_err(|_| wrong())?),
        };
        let is_host = !ip.is_unspecified() && !ip.is_multicast() && !ip.is_broadcast();
        let is_mask = mask.to_bits().leading_ones() == 32 - mask.to_bits().trailing_zeros().min(32);
        if !is_host || !is_mask || mask.is_unspecified() || parts.next().is_some() {
            return Err(wrong());
        }
        Ok(Address { ip, mask, gateway })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{},", self.ip, self.mask)?;
        self.gateway.map_or(Ok(()), |gateway| write!(f, "{gateway}"))
    }
}

/// `u16::from_str` would also take `+80` and `0080`.
fn parse_port(text: &str) -> Option<u16> {
    let port: u16 = text.parse().ok()?;
    (port != 0 && port.to_string() == text).then_some(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: fmt::Display>(parsed: Result<T, Error>, want: &str) {
        let got = parsed.map_or_else(|error| format!("error: {error}"), |value| value.to_string());
        assert_eq!(got, want);
    }

    const BAD_SERVER: &str = "error: a boot server is wrong: http://ADDRESS or http://ADDRESS:PORT";
    const BAD_ADDRESS: &str = "error: duet.ip is wrong: ADDRESS,NETMASK,GATEWAY";
    const BAD_MAC: &str = "error: the MAC address is wrong: six pairs of hex digits, like 52:54:00:77:00:01";

    #[test]
    fn a_mac_is_read_with_colons_or_hyphens() {
        check(Mac::parse("52:54:00:77:00:01"), "52:54:00:77:00:01");
        check(Mac::parse("52-54-00-77-00-FF"), "52:54:00:77:00:ff");
        assert_eq!(Mac([1; 6]).hyphenated(), "01-01-01-01-01-01");
    }

    #[test]
    fn a_broken_mac_is_an_error() {
        for bad in ["", "52:54:00:77:00", "52:54:00:77:00:01:02", "52:54:00:77:00:+1", "5:54:00:77:00:01"] {
            check(Mac::parse(bad), BAD_MAC);
        }
        for bad in ["525400770001", "52 54 00 77 00 01", "52:54-00:77-00:01", "52:54:00:77:00:\u{e9}"] {
            check(Mac::parse(bad), BAD_MAC);
        }
    }

    #[test]
    fn a_group_address_is_no_card() {
        assert!(Mac([0x52, 0, 0, 0, 0, 1]).is_card());
        assert!(!Mac([0xff; 6]).is_card());
        assert!(!Mac([0; 6]).is_card());
    }

    #[test]
    fn port_80_is_written_though_it_may_be_left_out() {
        check(Server::parse("http://10.0.0.1"), "http://10.0.0.1:80");
        check(Server::parse("http://10.0.0.1:80"), "http://10.0.0.1:80");
        check(Server::parse("http://10.0.0.1:8080"), "http://10.0.0.1:8080");
    }

    #[test]
    fn a_server_without_an_ipv4_address_is_an_error() {
        for bad in [
            "",
            "10.0.0.1",
            "https://10.0.0.1",
            "http://boot",
            "http://[::1]",
            "http://10.0.0.1/",
            "http://10.0.0.1:",
            "http://10.0.0.1:0",
            "http://10.0.0.1:+80",
            "http://10.0.0.1:65536",
            "http://u@10.0.0.1",
        ] {
            check(Server::parse(bad), BAD_SERVER);
        }
    }

    #[test]
    fn nine_servers_are_too_many() {
        let list = |n| vec!["http://10.0.0.1"; n].join(",");
        assert_eq!(parse_servers(&list(8)).map(|s| s.len()), Ok(8));
        assert!(parse_servers(&list(9)).is_err());
        assert_eq!(parse_servers(""), Ok(Vec::new()));
    }

    #[test]
    fn a_gateway_may_be_empty() {
        check(Address::parse("10.0.0.5,255.255.255.0,10.0.0.1"), "10.0.0.5,255.255.255.0,10.0.0.1");
        check(Address::parse("10.0.0.5,255.255.255.0,"), "10.0.0.5,255.255.255.0,");
        check(Address::parse("10.0.0.5,255.255.255.255"), "10.0.0.5,255.255.255.255,");
    }

    #[test]
    fn an_impossible_address_is_an_error() {
        for bad in [
            "",
            "10.0.0.5",
            "10.0.0.5,255.0.255.0,",
            "10.0.0.5,0.0.0.0,",
            "0.0.0.0,255.0.0.0,",
            "224.0.0.1,255.0.0.0,",
            "10.0.0.5,255.0.0.0,x",
            "10.0.0.5,255.0.0.0,,",
        ] {
            check(Address::parse(bad), BAD_ADDRESS);
        }
    }
}
