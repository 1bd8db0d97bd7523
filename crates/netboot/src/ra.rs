//! The router advertisement that ends iPXE's wait.
//!
//! iPXE configures IPv4 and IPv6 together and asks for an IPv6 router for 16 seconds.
//! An advertisement without a prefix, with a router lifetime of zero, says "no router here, no DHCPv6 either":
//! iPXE stops waiting, and no machine of the house changes anything (RFC 4861, section 6.3.4).
//! The kernel fills in the checksum on a raw ICMPv6 socket; here it is zero.

use crate::Mac;

/// Router solicitation and advertisement (RFC 4861, section 4).
const SOLICITATION: u8 = 133;
const ADVERTISEMENT: u8 = 134;
const SOLICITATION_HEAD_BYTES: usize = 8;
/// Options come in units of eight bytes.
const UNIT_BYTES: usize = 8;
const SOURCE_LINK_ADDRESS: u8 = 1;
/// An ethernet frame's worth; a solicitation has 16 bytes.
const BODY_BYTES_MAX: usize = 1500;

/// A checked router solicitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Solicitation {
    /// The asker's card, if it says so (it does not while it has no address).
    pub mac: Option<Mac>,
}

/// Why a message is not a router solicitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RaError {
    /// Another ICMPv6 type or code.
    OtherType,
    /// Longer than a frame or shorter than its head.
    Length,
    /// An option is empty or longer than the message.
    Option,
    /// It came through a router: the hop limit must be 255.
    HopLimit,
}

/// Reads an ICMPv6 body as a router solicitation. `hop_limit` is that of the IPv6 packet.
pub fn solicited_by(body: &[u8], hop_limit: u8) -> Result<Solicitation, RaError> {
    if hop_limit != 255 {
        return Err(RaError::HopLimit);
    }
    if body.len() < SOLICITATION_HEAD_BYTES || body.len() > BODY_BYTES_MAX {
        return Err(RaError::Length);
    }
    if body[0] != SOLICITATION || body[1] != 0 {
        return Err(RaError::OtherType);
    }
    let (mut rest, mut mac) = (&body[SOLICITATION_HEAD_BYTES..], None);
    while let Some((kind, data)) = next_option(&mut rest)? {
        if kind == SOURCE_LINK_ADDRESS {
            mac = data.try_into().ok().map(Mac).filter(|mac| mac.is_card()).or(mac);
        }
    }
    Ok(Solicitation { mac })
}

/// The ICMPv6 body to send to the asker or to all nodes (`ff02::1`), with hop limit 255.
pub fn advertisement(from: Mac) -> Vec<u8> {
    let mut body = vec![
        ADVERTISEMENT,
        0,
        0,
        0, // checksum: the kernel's
        0, // hop limit: not ours to say
        0, // no DHCPv6, neither for addresses nor for the rest
        0,
        0, // router lifetime 0: not a default router
        0,
        0,
        0,
        0, // reachable time: not ours to say
        0,
        0,
        0,
        0, // retransmission: not ours to say
        SOURCE_LINK_ADDRESS,
        1,
    ];
    body.extend_from_slice(&from.0);
    body
}

fn next_option<'a>(rest: &mut &'a [u8]) -> Result<Option<(u8, &'a [u8])>, RaError> {
    if rest.is_empty() {
        return Ok(None);
    }
    let [kind, units, ..] = **rest else { return Err(RaError::Option) };
    let length = usize::from(units) * UNIT_BYTES;
    if length == 0 {
        return Err(RaError::Option);
    }
    let (option, after) = rest.split_at_checked(length).ok_or(RaError::Option)?;
    *rest = after;
    Ok(Some((kind, &option[2..])))
}

impl std::fmt::Display for RaError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            RaError::OtherType => "not a router solicitation",
            RaError::Length => "a router solicitation of an impossible length",
            RaError::Option => "a router solicitation with a broken option",
            RaError::HopLimit => "a router solicitation from another network",
        })
    }
}

impl std::error::Error for RaError {}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: Mac = Mac([0x52, 0x54, 0, 0x77, 0, 1]);

    /// Reads a solicitation with these option bytes.
    fn check(options: &[u8], want: Result<Option<Mac>, RaError>) {
        let body = [&[133, 0, 0xab, 0xcd, 0, 0, 0, 0], options].concat();
        assert_eq!(solicited_by(&body, 255).map(|asked| asked.mac), want);
    }

    #[test]
    fn the_askers_card_is_read() {
        check(&[1, 1, 0x52, 0x54, 0, 0x77, 0, 1], Ok(Some(MAC)));
        check(&[14, 1, 9, 9, 9, 9, 9, 9, 1, 1, 0x52, 0x54, 0, 0x77, 0, 1], Ok(Some(MAC)));
    }

    #[test]
    fn an_asker_without_a_card_is_an_asker() {
        check(&[], Ok(None));
        check(&[1, 1, 0, 0, 0, 0, 0, 0], Ok(None));
        check(&[1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], Ok(None));
    }

    #[test]
    fn a_broken_option_is_an_error() {
        check(&[1], Err(RaError::Option));
        check(&[1, 0, 0, 0, 0, 0, 0, 0], Err(RaError::Option));
        check(&[1, 2, 0, 0, 0, 0, 0, 0], Err(RaError::Option));
    }

    #[test]
    fn other_messages_are_refused() {
        assert_eq!(solicited_by(&[134, 0, 0, 0, 0, 0, 0, 0], 255), Err(RaError::OtherType));
        assert_eq!(solicited_by(&[133, 1, 0, 0, 0, 0, 0, 0], 255), Err(RaError::OtherType));
        assert_eq!(solicited_by(&[133, 0, 0, 0, 0, 0, 0], 255), Err(RaError::Length));
        assert_eq!(solicited_by(&[133; 1501], 255), Err(RaError::Length));
        assert_eq!(solicited_by(&[133, 0, 0, 0, 0, 0, 0, 0], 64), Err(RaError::HopLimit));
    }

    #[test]
    fn the_advertisement_makes_no_router_and_no_prefix() {
        let body = advertisement(MAC);
        assert_eq!(body.len(), 24);
        assert_eq!((body[5], &body[6..8]), (0, &[0, 0][..]));
        assert_eq!(&body[16..], &[1, 1, 0x52, 0x54, 0, 0x77, 0, 1]);
    }
}
