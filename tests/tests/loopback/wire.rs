//! DHCP, TFTP and router advertisements, with real clients and with garbage.

use crate::lab::{CLIENT_MAC, Lab, PATIENCE, SERVER, noise, read, run, wait};
use socket2::{Domain, Protocol, Socket, Type};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

const OWN: &str = "--dhcp own --range 10.99.0.100-10.99.0.120 --ra off";
const PROXY: &str = "--dhcp proxy --ra off";
/// A PXE ROM of a BIOS, in the words of its vendor class.
const ROM: &str = "PXEClient:Arch:00000:UNDI:002001";

/// Runs a DHCP client that calls a script; gives back the environments that the script was called with.
fn lease(lab: &Lab, client: &str, words: &str) -> String {
    let (script, kept) = (lab.out.join("keep.sh"), lab.out.join("kept"));
    let _ = std::fs::remove_file(&kept);
    std::fs::write(&script, format!("#!/bin/sh\n(echo called=$1; env) >> {}\n", kept.display()))
        .expect("a script");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("a right");
    let words = words.replace("OUT", &lab.out.display().to_string());
    // A client that got nothing says so by its exit status; what counts is what the script heard.
    let output = lab.inside(false, client).args(words.split(' ')).output().expect("a DHCP client");
    let heard = std::fs::read(kept);
    assert!(heard.is_ok(), "{client} called no script: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&heard.unwrap_or_default()).into_owned()
}

fn udhcpc(lab: &Lab) -> String {
    lease(lab, "udhcpc", "-i c0 -n -q -f -t 5 -T 1 -s OUT/keep.sh")
}

fn address<'a>(kept: &'a str, name: &str) -> &'a str {
    let found = kept.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('=')).next_back();
    found.unwrap_or_else(|| panic!("no {name} in:\n{kept}"))
}

fn check_in_range(address: &str) {
    let address: Ipv4Addr = address.parse().expect("an address");
    let range = Ipv4Addr::new(10, 99, 0, 100)..=Ipv4Addr::new(10, 99, 0, 120);
    assert!(range.contains(&address), "{address}");
}

#[test]
fn udhcpc_gets_an_address_in_own_mode_and_the_same_after_a_restart() {
    let Some(mut lab) = Lab::new("udhcpc") else { return };
    lab.start(OWN);
    let kept = udhcpc(&lab);
    check_in_range(address(&kept, "ip"));
    assert_eq!((address(&kept, "subnet"), address(&kept, "serverid")), ("255.255.255.0", "10.99.0.1"));
    lab.wait_log("\"event\":\"leased\"");
    lab.stop();
    lab.start(OWN);
    assert_eq!(address(&udhcpc(&lab), "ip"), address(&kept, "ip"));
}

#[test]
fn dhclient_gets_an_address_in_own_mode() {
    let Some(mut lab) = Lab::new("dhclient") else { return };
    lab.start(OWN);
    let kept = lease(&lab, "dhclient", "-1 -sf OUT/keep.sh -lf OUT/leases -pf OUT/dhclient.pid c0");
    if let Ok(pid) = std::fs::read_to_string(lab.out.join("dhclient.pid"))
        && let Some(pid) = pid.trim().parse().ok().and_then(rustix::process::Pid::from_raw)
    {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    check_in_range(address(&kept, "new_ip_address"));
    assert_eq!(address(&kept, "new_dhcp_server_identifier"), "10.99.0.1");
}

#[test]
fn beside_a_router_only_netbooting_pcs_are_answered() {
    let Some(mut lab) = Lab::new("proxy") else { return };
    lab.start(PROXY);
    let kept = lease(&lab, "udhcpc", "-i c0 -n -q -f -t 3 -T 1 -s OUT/keep.sh");
    // It began, asked, and gave up.
    assert!(kept.contains("called=deconfig\n") && kept.contains("called=leasefail\n"), "{kept}");
    assert!(!kept.contains("serverid="), "{kept}");
    let offer = ask_as(&lab, ROM).expect("an offer for the ROM");
    assert_eq!(offer[16..20], [0; 4], "a proxy gives no address");
    assert!(holds(&offer, b"PXEClient") && holds(&offer, b"undionly.kpxe"), "{offer:?}");
    assert_eq!(ask_as(&lab, "udhcp 1.30"), None);
    lab.wait_log("\"event\":\"asked\"");
}

/// Broadcasts a DISCOVER with this vendor class, and waits a little for an answer.
fn ask_as(lab: &Lab, class: &str) -> Option<Vec<u8>> {
    lab.at_client(|| {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).expect("a socket");
        socket.set_broadcast(true).expect("broadcast");
        socket.bind_device(Some(b"c0")).expect("a device");
        socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, 68)).into()).expect("port 68");
        let socket = UdpSocket::from(socket);
        socket.set_read_timeout(Some(Duration::from_secs(3))).expect("a patience");
        socket.send_to(&discover(class), (Ipv4Addr::BROADCAST, 67)).expect("a question");
        let mut buffer = [0; 2048];
        let n = socket.recv(&mut buffer).ok()?;
        Some(buffer[..n].to_vec())
    })
}

fn discover(class: &str) -> Vec<u8> {
    let mac: netboot::Mac = CLIENT_MAC.parse().expect("a card");
    let mut bytes = vec![0; 240];
    bytes[0..4].copy_from_slice(&[1, 1, 6, 0]);
    bytes[10] = 0x80;
    bytes[28..34].copy_from_slice(&mac.0);
    bytes[236..240].copy_from_slice(&[99, 130, 83, 99]);
    bytes.extend([53, 1, 1, 60, class.len() as u8]);
    bytes.extend(class.as_bytes());
    // Architecture 0, network interface 2.1, an identifier, and the options that are wished for.
    bytes.extend([
        93, 2, 0, 0, 94, 3, 1, 2, 1, 97, 17, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
    ]);
    bytes.extend([55, 4, 1, 3, 60, 67, 255]);
    bytes
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn real_tftp_clients_get_the_first_stage_bit_by_bit() {
    let Some(mut lab) = Lab::new("tftp") else { return };
    lab.start(PROXY);
    let got = lab.out.join("got");
    let path = got.display().to_string();
    let server = SERVER.to_string();
    run(lab.inside(false, "tftp").args(["-m", "binary", &server, "-c", "get", "undionly.kpxe", &path]));
    assert!(read(&got) == noise(70_123));
    let url = format!("tftp://{server}/ipxe.efi");
    run(lab.inside(false, "curl").args(["-s", "-o", &path, &url]));
    assert!(read(&got) == noise(1_048_576));
    run(lab.inside(false, "curl").args(["-s", "--tftp-blksize", "1468", "-o", &path, &url]));
    assert!(read(&got) == noise(1_048_576));
    // Of curl: 68 is TFTP's own "file not found".
    let url = format!("tftp://{server}/../keys/release.key");
    let missing = lab.inside(false, "curl").args(["-s", "--path-as-is", &url]).output().expect("curl");
    assert_eq!((missing.status.code(), missing.stdout.len()), (Some(68), 0));
    for name in ["../keys/release.key", "/etc/passwd", "ipxe/../../keys/release.key"] {
        let answer = request_file(&lab, 1, name).pop().flatten().expect("an answer");
        assert_eq!(answer[..4], [0, 5, 0, 1], "{name}: {answer:?}");
    }
}

/// Asks for a file from so many sockets, and gives back the first answer to each, acknowledging none.
fn request_file(lab: &Lab, n_sockets: usize, name: &str) -> Vec<Option<Vec<u8>>> {
    lab.at_client(|| {
        let ask = |_| {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a socket");
            socket.set_read_timeout(Some(Duration::from_secs(3))).expect("a patience");
            let request = [b"\0\x01", name.as_bytes(), b"\0octet\0"].concat();
            socket.send_to(&request, (SERVER, 69)).expect("a request");
            let mut buffer = [0; 600];
            let n = socket.recv(&mut buffer).ok()?;
            // Kept open, or the kernel would tell the server that nobody is there.
            std::mem::forget(socket);
            Some(buffer[..n].to_vec())
        };
        (0..n_sockets).map(ask).collect()
    })
}

#[test]
fn requests_that_nobody_acknowledges_lock_nobody_out() {
    let Some(mut lab) = Lab::new("tftp-flood") else { return };
    lab.start(PROXY);
    let answers = request_file(&lab, 20, "undionly.kpxe");
    assert!(answers.iter().all(|answer| answer.as_ref().is_some_and(|bytes| bytes[..4] == [0, 3, 0, 1])));
    let got = lab.out.join("got");
    let words =
        ["-m", "binary", &SERVER.to_string(), "-c", "get", "undionly.kpxe", &got.display().to_string()];
    run(lab.inside(false, "tftp").args(words));
    assert!(read(&got) == noise(70_123));
}

#[test]
fn a_second_dhcp_server_is_told_of_and_does_not_start() {
    let Some(mut lab) = Lab::new("second") else { return };
    lab.start(OWN);
    let second = lab.duet(false, OWN).output().expect("a second server");
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(!second.status.success());
    assert!(
        said.starts_with("duet: another DHCP server at 10.99.0.1 gives addresses on this network: "),
        "{said}"
    );
}

#[test]
fn what_is_missing_at_the_start_is_told_in_one_sentence() {
    let Some(lab) = Lab::new("missing") else { return };
    let check = |words: &str, want: &str| {
        let output = lab.duet(true, words).output().expect("a server that does not start");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.starts_with(want) && said.lines().count() == 1, "{said}");
    };
    check("--tftp-root /nonexistent", "duet: there is no first stage (undionly.kpxe, ");
    check(
        "--dhcp own --range 10.0.0.1-10.0.0.9",
        "duet: the address range is not inside the server's network",
    );
    lab.ip(true, "address flush dev s0");
    check("", "duet: the network interface s0 has no IPv4 address; ");
    lab.ip(true, "link set s0 down");
    check("", "duet: the network interface s0 is down; ");
    lab.ip(true, "link del s0");
    check("", "duet: there is no network interface s0; there are: lo");
}

#[test]
fn without_a_release_there_is_nothing_to_serve() {
    let Some(lab) = Lab::new("empty") else { return };
    let check = |want: &str| {
        let output = lab.duet(true, "").output().expect("a server that does not start");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.starts_with(want), "{said}");
    };
    std::fs::remove_file(lab.out.join("releases/promoted")).expect("promotions");
    check("duet: no release is promoted; run `duet release promote ID`");
    std::fs::remove_dir_all(lab.out.join("releases")).expect("releases");
    check("duet: there is no release in ");
}

#[test]
fn garbage_on_every_port_leaves_the_server_serving() {
    let Some(mut lab) = Lab::new("garbage") else { return };
    lab.start("--dhcp proxy --ra on");
    let noise = noise(2_000_000);
    lab.at_client(|| {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a socket");
        for (idx, bytes) in noise.chunks(1_000).enumerate() {
            let port = [67, 69, 4011][idx % 3];
            let n = (idx * 37) % 1_000;
            let mut bytes = bytes[..n].to_vec();
            // Half of it begins like the real thing.
            if idx % 2 == 0 && n > 240 {
                bytes[0..4].copy_from_slice(&[1, 1, 6, 0]);
                bytes[236..240].copy_from_slice(&[99, 130, 83, 99]);
            } else if idx % 4 == 1 && n > 2 {
                bytes[0..2].copy_from_slice(&[0, (idx % 6) as u8]);
            }
            let _ = socket.send_to(&bytes, (SERVER, port));
        }
    });
    for bytes in noise.chunks(20_000).take(40) {
        let answer = lab.exchange(bytes);
        assert!(matches!(answer.status, 0 | 400 | 431), "{}", answer.head);
    }
    assert!(ask_as(&lab, ROM).is_some());
    assert_eq!(lab.get("/", "").status, 200);
    let url = format!("tftp://{SERVER}/undionly.kpxe");
    run(lab.inside(false, "curl").args(["-s", "-o", "/dev/null", &url]));
    lab.stop();
}

#[test]
fn only_a_pc_that_asked_for_a_boot_gets_a_router_advertisement() {
    let Some(mut lab) = Lab::new("ra") else { return };
    lab.start("--dhcp proxy --ra on");
    let local = wait(|| link_local(&lab), || "no link-local address".to_owned());
    assert_eq!(solicit(&lab, local, Duration::from_secs(4)), None);
    assert!(ask_as(&lab, ROM).is_some());
    let advertisement = solicit(&lab, local, PATIENCE).expect("an advertisement");
    assert_eq!((advertisement[0], &advertisement[6..8]), (134, &[0, 0][..]), "no default router");
}

/// The client's link-local address, once the kernel has made sure that nobody else has it.
fn link_local(lab: &Lab) -> Option<SocketAddrV6> {
    let text =
        run(lab.inside(false, "ip").args(["-6", "-o", "address", "show", "dev", "c0", "scope", "link"]))
            .stdout;
    let text = String::from_utf8_lossy(&text).into_owned();
    if text.contains("tentative") {
        return None;
    }
    let address: Ipv6Addr = text.split_whitespace().nth(3)?.split_once('/')?.0.parse().ok()?;
    let index = text.split(':').next()?.trim().parse().ok()?;
    Some(SocketAddrV6::new(address, 0, 0, index))
}

/// Asks all routers from the client's card; gives back the first advertisement.
fn solicit(lab: &Lab, from: SocketAddrV6, patience: Duration) -> Option<Vec<u8>> {
    lab.at_client(|| {
        let socket = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6)).expect("a raw socket");
        socket.bind(&from.into()).expect("the address");
        socket.set_multicast_hops_v6(255).expect("hops");
        let mac: netboot::Mac = CLIENT_MAC.parse().expect("a card");
        let message = [&[133, 0, 0, 0, 0, 0, 0, 0, 1, 1], &mac.0[..]].concat();
        let routers = SocketAddrV6::new("ff02::2".parse().expect("all routers"), 0, 0, from.scope_id());
        let socket = UdpSocket::from(socket);
        socket.send_to(&message, routers).expect("a solicitation");
        let until = std::time::Instant::now() + patience;
        let mut buffer = [0; 1500];
        while let Some(left) =
            until.checked_duration_since(std::time::Instant::now()).filter(|left| !left.is_zero())
        {
            socket.set_read_timeout(Some(left)).expect("a patience");
            let n = socket.recv(&mut buffer).ok()?;
            if n >= 16 && buffer[0] == 134 {
                return Some(buffer[..n].to_vec());
            }
        }
        None
    })
}
