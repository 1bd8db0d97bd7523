//! Sentences for what keeps the server from starting: what is wrong, and what to do.

use anyhow::{Error, anyhow};
use std::io::ErrorKind;

/// A socket on `port` could not be opened.
pub fn port_trouble(error: std::io::Error, port: u16, purpose: &str) -> Error {
    match error.kind() {
        ErrorKind::AddrInUse => {
            anyhow!("port {port} ({purpose}) is taken by another program; {}", way_out(port))
        }
        ErrorKind::PermissionDenied => anyhow!(
            "no permission for port {port} ({purpose}): run it with sudo, or give it the right once with \
             `sudo setcap cap_net_bind_service,cap_net_raw+ep {}`, or serve files only with \
             `--dhcp off --ra off --http-port 8080`",
            std::env::current_exe().map_or_else(|_| "duet".to_owned(), |path| path.display().to_string())
        ),
        _ => anyhow!("cannot open port {port} ({purpose}): {error}"),
    }
}

fn way_out(port: u16) -> String {
    match port {
        67 | 68 | 4011 => {
            format!(
                "stop it (`sudo ss -ulpn sport = :{port}` shows which), or serve without DHCP by `--dhcp off`"
            )
        }
        69 => "stop it (`sudo ss -ulpn sport = :69` shows which), or serve without TFTP by `--dhcp off`"
            .to_owned(),
        admission::ENROL_PORT => format!(
            "stop it (`sudo ss -tlpn sport = :{port}` shows which), or choose another with `--enrol-port`"
        ),
        _ => format!(
            "stop it (`sudo ss -tlpn sport = :{port}` shows which), or choose another with `--http-port`"
        ),
    }
}

/// The socket for router advertisements could not be opened.
pub fn ra_trouble(error: std::io::Error) -> Error {
    match error.kind() {
        ErrorKind::PermissionDenied => anyhow!(
            "no permission for IPv6 router advertisements: run it with sudo, or leave them out with `--ra off`"
        ),
        _ => anyhow!("cannot open a socket for IPv6 router advertisements: {error}"),
    }
}
