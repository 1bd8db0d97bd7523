//! Writing answers.

use std::net::Ipv4Addr;

use dhcproto::v4::{DhcpOption, Encodable, Flags, HType, Message, MessageType, Opcode, UnknownOption};
use dhcproto::v4::{DhcpOptions, OptionCode};

use super::ask::{Ask, Class};
use super::stage::{Arch, File, Firmware};
use super::{Config, Pool};

/// BOOTP's size; some ROMs drop anything shorter (RFC 1542, section 2.1).
const REPLY_BYTES_MIN: usize = 300;
/// PXE discovery control, bit 3: load the file named here, ask no boot server, show no menu.
const BOOT_AT_ONCE: [u8; 3] = [6, 1, 8];
const PXE_END: u8 = 255;
/// iPXE's own option 175 with number 176: wait for no proxy's offer (saves its 2 s).
const NO_PROXY: [u8; 3] = [176, 1, 1];

/// An offer or ack beside a router.
pub(super) fn proxy(config: &Config, ask: &Ask, kind: MessageType, file: &File) -> Vec<u8> {
    let mut message = head(config, ask, kind);
    add_file(&mut message, config, ask, file);
    add_pxe(message.opts_mut(), ask);
    if ask.class != Class::Http && (ask.arch == Arch::Bios || ask.firmware.is_ipxe()) {
        let control = [&BOOT_AT_ONCE[..], &[PXE_END]].concat();
        message.opts_mut().insert(DhcpOption::VendorExtensions(control));
    }
    finish(&message)
}

/// The answer of port 4011.
pub(super) fn boot_ack(config: &Config, ask: &Ask, file: &File) -> Vec<u8> {
    let mut message = head(config, ask, MessageType::Ack);
    message.set_ciaddr(ask.address);
    add_file(&mut message, config, ask, file);
    add_pxe(message.opts_mut(), ask);
    if let Some(item) = ask.item {
        let echo = [&[71, 4], &item[..], &[PXE_END]].concat();
        message.opts_mut().insert(DhcpOption::VendorExtensions(echo));
    }
    finish(&message)
}

/// An offer or ack with an address; an unspecified one answers an INFORM.
pub(super) fn own(
    config: &Config,
    pool: &Pool,
    ask: &Ask,
    kind: MessageType,
    address: Ipv4Addr,
    file: Option<&File>,
) -> Vec<u8> {
    let mut message = head(config, ask, kind);
    message.set_ciaddr(if kind == MessageType::Ack { ask.address } else { Ipv4Addr::UNSPECIFIED });
    message.set_yiaddr(address);
    add_network(message.opts_mut(), pool);
    if !address.is_unspecified() {
        add_times(message.opts_mut(), pool);
    }
    if let Some(file) = file {
        add_file(&mut message, config, ask, file);
        if ask.firmware == Firmware::Http {
            message.opts_mut().insert(DhcpOption::ClassIdentifier(b"HTTPClient".to_vec()));
        }
        if ask.firmware.is_ipxe() {
            let quick = UnknownOption::new(OptionCode::Unknown(175), NO_PROXY.to_vec());
            message.opts_mut().insert(DhcpOption::Unknown(quick));
        }
    }
    finish(&message)
}

/// The refusal of an address.
pub(super) fn nak(config: &Config, ask: &Ask) -> Vec<u8> {
    let mut message = head(config, ask, MessageType::Nak);
    // The client must hear it even if it believes in an address of another network (RFC 2131, section 4.3.2).
    message.set_flags(Flags::from(ask.flags).set_broadcast());
    finish(&message)
}

fn head(config: &Config, ask: &Ask, kind: MessageType) -> Message {
    let none = Ipv4Addr::UNSPECIFIED;
    let mut message = Message::new_with_id(ask.xid, none, none, none, none, &ask.mac.0);
    message.set_opcode(Opcode::BootReply).set_htype(HType::Eth).set_flags(Flags::from(ask.flags));
    message.opts_mut().insert(DhcpOption::MessageType(kind));
    message.opts_mut().insert(DhcpOption::ServerIdentifier(config.server));
    message
}

/// File and server in the head, where every ROM looks, and in options 66 and 67 for those that ask for them.
fn add_file(message: &mut Message, config: &Config, ask: &Ask, file: &File) {
    let name = file.name(config, ask.mac);
    message.set_siaddr(config.server);
    message.set_fname_str(&name);
    if ask.wants_names {
        let server = config.server.to_string().into_bytes();
        message.opts_mut().insert(DhcpOption::TFTPServerName(server));
        message.opts_mut().insert(DhcpOption::BootfileName(name.into_bytes()));
    }
}

fn add_pxe(options: &mut DhcpOptions, ask: &Ask) {
    let class: &[u8] = if ask.firmware == Firmware::Http { b"HTTPClient" } else { b"PXEClient" };
    options.insert(DhcpOption::ClassIdentifier(class.to_vec()));
    if let Some(uuid) = &ask.uuid {
        options.insert(DhcpOption::ClientMachineIdentifier(uuid.clone()));
    }
}

fn add_network(options: &mut DhcpOptions, pool: &Pool) {
    let broadcast = Ipv4Addr::from_bits(pool.first.to_bits() | !pool.mask.to_bits());
    options.insert(DhcpOption::SubnetMask(pool.mask));
    options.insert(DhcpOption::BroadcastAddr(broadcast));
    if let Some(gateway) = pool.gateway {
        options.insert(DhcpOption::Router(vec![gateway]));
    }
    if !pool.dns.is_empty() {
        options.insert(DhcpOption::DomainNameServer(pool.dns.clone()));
    }
}

/// Renew at a half, rebind at seven eighths (RFC 2131, section 4.4.5).
fn add_times(options: &mut DhcpOptions, pool: &Pool) {
    let seconds = u32::try_from(pool.lease.as_secs()).unwrap_or(u32::MAX);
    options.insert(DhcpOption::AddressLeaseTime(seconds));
    options.insert(DhcpOption::Renewal(seconds / 2));
    options.insert(DhcpOption::Rebinding(seconds / 8 * 7));
}

fn finish(message: &Message) -> Vec<u8> {
    let mut bytes = message.to_vec().expect("every field written here has a length that fits");
    bytes.resize(bytes.len().max(REPLY_BYTES_MIN), 0);
    bytes
}
