//! The virtual wire: a network of its own, a bridge, one tap per PC, and perhaps a house router.
//!
//! It only makes the words for `unshare`, `ip` and `dnsmasq`; the keeper runs them.

use super::machine::{ROUTER, SERVER, tap};
use anyhow::{Result, bail};
use std::process::Command;

/// The bridge, as the boot server's interface.
pub const BRIDGE: &str = "duet0";
const IPV6: &str = "fd77::1/64";

/// How to enter a network of one's own: as root, or as root of a user namespace.
const AS_ROOT: &[&str] = &["--net", "--pid", "--fork", "--kill-child"];
const AS_USER: &[&str] = &["--user", "--map-root-user", "--net", "--pid", "--fork", "--kill-child"];

/// The words before a program that give it a network of its own.
/// With `--pid` and `--kill-child` every process in there ends with the first one.
pub fn entrance() -> Result<Vec<String>> {
    let root = rustix::process::geteuid().is_root();
    let ways: &[&[&str]] = if root { &[AS_ROOT, AS_USER] } else { &[AS_USER] };
    let mut why = String::new();
    for way in ways {
        match Command::new("unshare").args(*way).arg("true").output() {
            Ok(done) if done.status.success() => {
                return Ok(["unshare"].iter().chain(*way).map(|&word| word.to_owned()).collect());
            }
            Ok(done) => why = String::from_utf8_lossy(&done.stderr).trim().to_owned(),
            Err(error) => why = format!("unshare of package util-linux does not start: {error}"),
        }
    }
    bail!(
        "this machine gives no network namespace ({why}); run as root, \
         or allow user namespaces (sysctl kernel.unprivileged_userns_clone=1, \
         kernel.apparmor_restrict_unprivileged_userns=0)"
    )
}

/// Lines for `ip -batch` that lay the wire.
pub fn lay(n_pcs: usize) -> Vec<String> {
    let mut lines = vec![
        "link set lo up".to_owned(),
        // With the spanning tree on, a port is deaf for 30 s and the network boot gives up.
        format!("link add {BRIDGE} type bridge stp_state 0 forward_delay 0 mcast_snooping 0"),
        format!("addr add {SERVER}/24 dev {BRIDGE}"),
        format!("addr add {IPV6} dev {BRIDGE} nodad"),
        format!("link set {BRIDGE} up"),
    ];
    for tap in (0..n_pcs).map(tap) {
        lines.push(format!("tuntap add {tap} mode tap"));
        lines.push(format!("link set {tap} master {BRIDGE} up"));
    }
    lines
}

/// The end of the house router's cable that is in the bridge.
pub const ROUTER_PORT: &str = "router0";
/// The end inside the router.
pub const ROUTER_LINK: &str = "lan0";

/// Lines for `ip -batch` inside the house router.
pub fn lay_router() -> Vec<String> {
    vec![
        "link set lo up".to_owned(),
        format!("addr add {ROUTER}/24 dev {ROUTER_LINK}"),
        format!("link set {ROUTER_LINK} up"),
    ]
}

/// A house router that gives addresses and knows nothing of network boot.
/// `leases` is a file; `--no-daemon` also keeps dnsmasq from changing its user, which a user namespace forbids.
pub fn router_command(leases: &str) -> Vec<String> {
    let range = "--dhcp-range=10.77.0.100,10.77.0.199,255.255.255.0,1h";
    let mut words: Vec<String> =
        ["dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--port=0", "--bind-interfaces", "--pid-file="]
            .map(str::to_owned)
            .to_vec();
    words.extend([
        format!("--interface={ROUTER_LINK}"),
        range.to_owned(),
        format!("--dhcp-option=option:router,{ROUTER}"),
        format!("--dhcp-leasefile={leases}"),
        "--dhcp-authoritative".to_owned(),
        "--log-dhcp".to_owned(),
    ]);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pc_has_a_tap_in_the_bridge() {
        let lines = lay(2).join("\n");
        for want in
            ["tuntap add tap0", "tuntap add tap1", "link set tap1 master duet0 up", "stp_state 0", "nodad"]
        {
            assert!(lines.contains(want), "{want:?} is missing in {lines}");
        }
        assert!(!lines.contains("tap2"));
    }

    #[test]
    fn the_house_router_says_nothing_of_network_boot() {
        let words = router_command("/l").join(" ");
        assert!(
            words.contains("--dhcp-range") && !words.contains("boot") && !words.contains("tftp"),
            "{words}"
        );
    }
}
