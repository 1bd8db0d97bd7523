//! The command line of `duet serve`, as data.

use argh::{ArgsInfo, FromArgs};
use std::path::PathBuf;

/// Boot the PCs of this network: DHCP or proxyDHCP, TFTP, HTTP and IPv6 router advertisements.
#[derive(FromArgs, ArgsInfo, Debug, Clone, PartialEq, Eq)]
#[argh(
    subcommand,
    name = "serve",
    example = "Beside the house's router, which stays as it is:\n  $ sudo duet serve",
    example = "On a network of its own, handing out addresses:\n  $ sudo duet serve --interface eth1 --dhcp own --range 10.77.0.100-10.77.0.199",
    example = "Files and pages only, as an ordinary user:\n  $ duet serve --dhcp off --ra off --http-port 8080",
    note = "Per-PC settings are in OUT/state/duet.toml and take effect while it runs.\nThe page with every PC's progress is at http://THIS-MACHINE/ and, as JSON, at /api/pcs.",
    error_code(1, "It cannot serve; one sentence on stderr says why and what to do.")
)]
pub struct ServeArgs {
    /// the folder with releases, keys and state (default: out)
    #[argh(option, default = "PathBuf::from(\"out\")")]
    pub out: PathBuf,

    /// the network interface to serve (default: the one with the default route)
    #[argh(option)]
    pub interface: Option<String>,

    /// proxy: leave addresses to the network's own DHCP server (default); own: hand them out; off: no DHCP and no TFTP
    #[argh(option, default = "DhcpMode::Proxy")]
    pub dhcp: DhcpMode,

    /// first and last address to hand out, FIRST-LAST; only with --dhcp own, where it is needed
    #[argh(option)]
    pub range: Option<String>,

    /// the port for files, pages and the API (default: 80)
    #[argh(option, default = "80")]
    pub http_port: u16,

    /// the port where PCs call home to join the cluster (default: 7948)
    #[argh(option, default = "admission::ENROL_PORT")]
    pub enrol_port: u16,

    /// folder with the first stages that PCs load by TFTP (default: OUT/ipxe, else /usr/lib/ipxe)
    #[argh(option)]
    pub tftp_root: Option<PathBuf>,

    /// on: answer router solicitations of booting PCs, which spares iPXE 13 s of waiting (default); off: do not
    #[argh(option, default = "Switch::On")]
    pub ra: Switch,

    /// print what happens as JSON, one object a line
    #[argh(switch)]
    pub json: bool,

    /// print what happens as plain lines instead of a live table
    #[argh(switch)]
    pub plain: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DhcpMode {
    Proxy,
    Own,
    Off,
}

impl DhcpMode {
    pub fn name(self) -> &'static str {
        match self {
            DhcpMode::Proxy => "proxy",
            DhcpMode::Own => "own",
            DhcpMode::Off => "off",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    On,
    Off,
}

impl argh::FromArgValue for DhcpMode {
    fn from_arg_value(value: &str) -> Result<Self, String> {
        match value {
            "proxy" => Ok(DhcpMode::Proxy),
            "own" => Ok(DhcpMode::Own),
            "off" => Ok(DhcpMode::Off),
            _ => Err(format!("--dhcp is proxy, own or off, not '{value}'")),
        }
    }
}

impl argh::FromArgValue for Switch {
    fn from_arg_value(value: &str) -> Result<Self, String> {
        match value {
            "on" => Ok(Switch::On),
            "off" => Ok(Switch::Off),
            _ => Err(format!("--ra is on or off, not '{value}'")),
        }
    }
}
