//! Which file a PC loads next.

use std::fmt;
use std::net::SocketAddrV4;

use super::ask::{Ask, Class};
use super::{Config, Event};
use crate::{Mac, script};

/// The first-stage files, by the names asked for over TFTP (and over HTTP under `/ipxe/`).
pub const FIRST_STAGES: [&str; 4] = [UNDIONLY, IPXE_PXE, SNPONLY, IPXE_EFI];

const UNDIONLY: &str = "undionly.kpxe";
const IPXE_PXE: &str = "ipxe.pxe";
const SNPONLY: &str = "snponly.efi";
const IPXE_EFI: &str = "ipxe.efi";

/// A client's processor and firmware kind (RFC 4578, option 93).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    /// 0: a BIOS.
    Bios,
    /// 7 or 9: UEFI on x86-64; both numbers are in use for it.
    Efi64,
    /// 16: UEFI on x86-64 that boots over HTTP.
    HttpEfi64,
    /// Any other; duet has nothing for it.
    Other(u16),
}

/// Who is asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firmware {
    /// A PXE ROM or UEFI.
    Pxe,
    /// UEFI that boots over HTTP.
    Http,
    /// iPXE, as a ROM or started by us.
    Ipxe,
}

/// What the owner chose as first stage for one PC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// undionly.kpxe for a BIOS, snponly.efi for UEFI.
    #[default]
    Auto,
    Undionly,
    IpxePxe,
    Snponly,
    IpxeEfi,
    /// The PC gets nothing to boot.
    None,
}

/// A first-stage file or the PC's script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum File {
    First(&'static str),
    FirstUrl(&'static str),
    Script,
}

/// Decides the file. `guarded` is asked only for an iPXE without HTTP: was it sent to a first stage already?
pub(super) fn choose(ask: &Ask, choice: Choice, guarded: impl FnOnce() -> bool) -> Result<File, Event> {
    if choice == Choice::None {
        return Err(Event::Blocked { mac: ask.mac });
    }
    if ask.firmware.is_ipxe() && ask.can_http {
        return Ok(File::Script);
    }
    let nothing = Event::NothingFor { mac: ask.mac, arch: ask.arch };
    let name = choice.first_stage(ask.arch).ok_or(nothing)?;
    if ask.firmware.is_ipxe() && guarded() {
        return Ok(File::Script);
    }
    Ok(if ask.class == Class::Http && !ask.firmware.is_ipxe() {
        File::FirstUrl(name)
    } else {
        File::First(name)
    })
}

impl Choice {
    /// Reads the spelling used in settings.
    pub fn from_name(name: &str) -> Option<Choice> {
        Some(match name {
            "auto" => Choice::Auto,
            "undionly" | UNDIONLY => Choice::Undionly,
            "ipxe" | IPXE_PXE => Choice::IpxePxe,
            "snponly" | SNPONLY => Choice::Snponly,
            IPXE_EFI => Choice::IpxeEfi,
            "none" => Choice::None,
            _ => return None,
        })
    }

    /// The file for a processor; a choice that does not fit it counts as [`Choice::Auto`].
    fn first_stage(self, arch: Arch) -> Option<&'static str> {
        match (arch, self) {
            (Arch::Bios, Choice::IpxePxe) => Some(IPXE_PXE),
            (Arch::Bios, _) => Some(UNDIONLY),
            (Arch::Efi64 | Arch::HttpEfi64, Choice::IpxeEfi) => Some(IPXE_EFI),
            (Arch::Efi64 | Arch::HttpEfi64, _) => Some(SNPONLY),
            (Arch::Other(_), _) => None,
        }
    }
}

impl File {
    /// The name or URL as it stands in the answer.
    pub(super) fn name(self, config: &Config, mac: Mac) -> String {
        let server = SocketAddrV4::new(config.server, config.http_port);
        match self {
            File::First(name) => name.to_owned(),
            File::FirstUrl(name) => format!("http://{server}/ipxe/{name}"),
            File::Script => script::script_url(server, mac),
        }
    }
}

impl Arch {
    pub(super) fn from_number(number: u16) -> Arch {
        match number {
            0 => Arch::Bios,
            7 | 9 => Arch::Efi64,
            16 => Arch::HttpEfi64,
            other => Arch::Other(other),
        }
    }
}

impl Firmware {
    pub fn is_ipxe(self) -> bool {
        self == Firmware::Ipxe
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Arch::Bios => f.write_str("BIOS"),
            Arch::Efi64 => f.write_str("UEFI"),
            Arch::HttpEfi64 => f.write_str("UEFI over HTTP"),
            Arch::Other(number) => write!(f, "PXE architecture {number}"),
        }
    }
}

impl fmt::Display for Firmware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Firmware::Pxe => "PXE",
            Firmware::Http => "HTTP boot",
            Firmware::Ipxe => "iPXE",
        })
    }
}
