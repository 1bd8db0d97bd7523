//! What goes out on the wire, byte by byte, and every iPXE script, line by line.
//!
//! `UPDATE=1 cargo test -p tests --test golden_netboot` rewrites the files; read the difference like code.

use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use netboot::{Mac, dhcp, ra, script, tftp};
use release::{HostName, Mode, ReleaseId, Server};

const MAC: Mac = Mac([0x52, 0x54, 0, 0x77, 0, 1]);
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const BIOS: &[(u8, &[u8])] = &[(60, b"PXEClient:Arch:00000:UNDI:002001"), (93, &[0, 0]), UUID];
const EFI: &[(u8, &[u8])] =
    &[(60, b"PXEClient:Arch:00007:UNDI:003016"), (93, &[0, 7]), UUID, (55, &[1, 3, 66, 67])];
const EFI_HTTP: &[(u8, &[u8])] = &[(60, b"HTTPClient:Arch:00016:UNDI:003001"), (93, &[0, 16]), UUID];
const IPXE: &[(u8, &[u8])] =
    &[(60, b"PXEClient:Arch:00000:UNDI:002001"), (77, b"iPXE"), (93, &[0, 0]), (175, &[19, 1, 1, 33, 1, 1])];
const UUID: (u8, &[u8]) = (97, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
const DISCOVER: u8 = 1;
const REQUEST: u8 = 3;

/// Compares `text` with the file of that name, or writes the file.
fn check(name: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/netboot").join(name);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, text).expect("the golden file can be written");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == text, "{name} differs; UPDATE=1 rewrites it. Now it is:\n{text}");
}

/// Sends one request to a fresh server and compares its answer.
fn check_dhcp(name: &str, own: bool, port: u16, kind: u8, options: &[(u8, &[u8])]) {
    let mut server = dhcp_server(own);
    let now = Instant::now();
    let bytes = question(kind, options);
    let from = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 9), 68);
    server.handle(now, dhcp::Datagram { bytes: &bytes, from, port });
    let answers: Vec<dhcp::Answer> = std::iter::from_fn(|| server.poll())
        .filter_map(|output| match output {
            dhcp::Output::Send(answer) => Some(answer),
            dhcp::Output::Event(_) => None,
        })
        .collect();
    let [answer] = &answers[..] else { panic!("{name}: {} answers", answers.len()) };
    check(name, &dhcp_text(answer));
}

fn dhcp_server(own: bool) -> dhcp::Server {
    let pool = dhcp::Pool {
        first: Ipv4Addr::new(10, 0, 0, 100),
        last: Ipv4Addr::new(10, 0, 0, 199),
        mask: Ipv4Addr::new(255, 255, 255, 0),
        gateway: Some(Ipv4Addr::new(10, 0, 0, 254)),
        dns: vec![Ipv4Addr::new(10, 0, 0, 254)],
        lease: Duration::from_secs(3600),
    };
    let mode = if own { dhcp::Mode::Own(pool) } else { dhcp::Mode::Proxy };
    dhcp::Server::new(dhcp::Config { server: SERVER, http_port: 80, mode }).expect("the settings are good")
}

fn question(kind: u8, options: &[(u8, &[u8])]) -> Vec<u8> {
    let mut bytes = vec![1, 1, 6, 0, 0xde, 0xad, 0xbe, 0xef, 0, 4, 0x80, 0];
    bytes.resize(28, 0);
    bytes.extend_from_slice(&MAC.0);
    bytes.resize(236, 0);
    bytes.extend_from_slice(&[99, 130, 83, 99, 53, 1, kind]);
    for (number, data) in options {
        bytes.extend_from_slice(&[*number, data.len() as u8]);
        bytes.extend_from_slice(data);
    }
    bytes.push(255);
    bytes
}

/// One line for each field of the head that is not zero, and for each option.
fn dhcp_text(answer: &dhcp::Answer) -> String {
    let bytes = &answer.bytes;
    let mut text = format!("# {} bytes to {} from port {}\n", bytes.len(), answer.to, answer.from_port);
    let fields = [
        ("op htype hlen hops", 0, 4),
        ("xid", 4, 8),
        ("secs flags", 8, 12),
        ("ciaddr", 12, 16),
        ("yiaddr", 16, 20),
        ("siaddr", 20, 24),
        ("giaddr", 24, 28),
        ("chaddr", 28, 44),
        ("sname", 44, 108),
        ("file", 108, 236),
        ("cookie", 236, 240),
    ];
    for (name, from, to) in fields {
        text += &line(name, &bytes[from..to]);
    }
    let mut rest = &bytes[240..];
    while let [number, length, after @ ..] = rest
        && *number != 255
    {
        let (data, after) = after.split_at(usize::from(*length));
        text += &line(&format!("option {number}"), data);
        rest = after;
    }
    text + &line("end", rest)
}

/// Hex of the bytes without the zeros at their end, their number, and the readable ones.
fn line(name: &str, bytes: &[u8]) -> String {
    let used = bytes.len() - bytes.iter().rev().take_while(|byte| **byte == 0).count();
    let hex = bytes[..used].iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x} ").expect("text takes everything");
        hex
    });
    let zeros = bytes.len() - used;
    let padding = if zeros > 0 { format!("(00 x {zeros}) ") } else { String::new() };
    let readable = bytes[..used].iter().filter(|byte| byte.is_ascii_graphic() || **byte == b' ').count();
    let said = if used > 4 && readable == used { String::from_utf8_lossy(&bytes[..used]) } else { "".into() };
    format!("{name:20} {hex}{padding}{said}").trim_end().to_owned() + "\n"
}

#[test]
fn a_proxy_answers_each_kind_of_firmware_in_its_own_way() {
    check_dhcp("proxy-offer-bios.hex", false, 67, DISCOVER, BIOS);
    check_dhcp("proxy-offer-efi.hex", false, 67, DISCOVER, EFI);
    check_dhcp("proxy-offer-efi-http.hex", false, 67, DISCOVER, EFI_HTTP);
    check_dhcp("proxy-offer-ipxe.hex", false, 67, DISCOVER, IPXE);
}

#[test]
fn an_own_server_answers_each_kind_of_firmware_in_its_own_way() {
    check_dhcp("own-offer-bios.hex", true, 67, DISCOVER, BIOS);
    check_dhcp("own-offer-efi.hex", true, 67, DISCOVER, EFI);
    check_dhcp("own-offer-efi-http.hex", true, 67, DISCOVER, EFI_HTTP);
    check_dhcp("own-offer-ipxe.hex", true, 67, DISCOVER, IPXE);
    check_dhcp("own-offer-ordinary.hex", true, 67, DISCOVER, &[]);
}

#[test]
fn an_own_server_confirms_and_refuses() {
    let asked: (u8, &[u8]) = (50, &[10, 0, 0, 150]);
    let ours: (u8, &[u8]) = (54, &[10, 0, 0, 1]);
    check_dhcp("own-ack-bios.hex", true, 67, REQUEST, &[BIOS, &[asked, ours]].concat());
    check_dhcp("own-ack-ipxe.hex", true, 67, REQUEST, &[IPXE, &[asked, ours]].concat());
    check_dhcp("own-ack-ordinary.hex", true, 67, REQUEST, &[asked, ours]);
    check_dhcp("own-nak.hex", true, 67, REQUEST, &[(50, &[192, 168, 1, 5])]);
}

#[test]
fn port_4011_confirms_the_boot_file() {
    check_dhcp(
        "4011-ack-bios.hex",
        false,
        4011,
        REQUEST,
        &[BIOS, &[(43, &[71, 4, 0, 0, 0, 0, 255])]].concat(),
    );
    check_dhcp("4011-ack-efi.hex", false, 4011, REQUEST, EFI);
    check_dhcp("4011-ack-ipxe.hex", false, 4011, REQUEST, IPXE);
}

#[test]
fn tftp_says_options_data_and_errors() {
    let asked = b"\0\x01undionly.kpxe\0octet\0tsize\x000\0blksize\x001468\0windowsize\x004\0";
    let request = tftp::parse(asked).expect("the request is good");
    let now = Instant::now();
    let mut transfer = tftp::Transfer::new(now, &request, b"a first stage".to_vec().into());
    let mut text = tftp_text("options", &mut transfer);
    transfer.handle(now, tftp::Input::Datagram(&[0, 4, 0, 0]));
    text += &tftp_text("data", &mut transfer);
    check("tftp-transfer.hex", &text);
    let refusals =
        [tftp::Refusal::Malformed, tftp::Refusal::ReadOnly, tftp::Refusal::Mode, tftp::Refusal::NotFound];
    let lines = refusals.map(|why| line(&format!("{why:?}"), &why.bytes().expect("each of these is said")));
    check("tftp-errors.hex", &lines.concat());
}

fn tftp_text(name: &str, transfer: &mut tftp::Transfer) -> String {
    std::iter::from_fn(|| transfer.poll())
        .map(|output| match output {
            tftp::Output::Send(bytes) => line(name, &bytes),
            tftp::Output::End(end) => format!("{end}\n"),
        })
        .collect()
}

#[test]
fn the_router_advertisement_is_harmless() {
    let body = ra::advertisement(MAC);
    let fields =
        [("type code checksum", 0, 4), ("hops flags", 4, 6), ("router lifetime", 6, 8), ("timers", 8, 16)];
    let mut text: String = fields.iter().map(|(name, from, to)| line(name, &body[*from..*to])).collect();
    text += &line("source address", &body[16..]);
    check("router-advertisement.hex", &text);
}

fn boot_of(name: &HostName, settings: &script::Settings, ask: impl Fn(&script::Boot<'_>)) {
    let release = ReleaseId::parse("trixie-0123456789ab").expect("an id");
    let servers =
        ["http://10.0.0.1", "http://10.0.0.2:8080"].map(|url| Server::parse(url).expect("a server"));
    ask(&script::Boot { mac: MAC, name, settings, servers: &servers, release: &release, attempt: 3 });
}

#[test]
fn every_script_is_as_it_was() {
    let first = SocketAddrV4::new(SERVER, 80);
    let kitchen = HostName::parse("kitchen").expect("a name");
    let net = script::Settings { extra: vec!["loglevel=7".to_owned()], ..script::Settings::default() };
    let wrap = script::Settings { mode: Mode::Wrap, ..script::Settings::default() };
    let script = |boot: &script::Boot<'_>| script::boot(boot).expect("the settings are good");
    check("chain.ipxe", &script::chain(first));
    boot_of(&kitchen, &net, |boot| check("net.ipxe", &script(boot)));
    boot_of(&HostName::of_mac(MAC), &wrap, |boot| check("wrap.ipxe", &script(boot)));
    check("local.ipxe", &script::local(MAC, &kitchen));
    let waiting = script::waiting(MAC, first, "No release is promoted yet.").expect("the sentence is plain");
    check("waiting.ipxe", &waiting);
}

#[test]
fn init_reads_what_the_script_says() {
    boot_of(&HostName::of_mac(MAC), &script::Settings::default(), |boot| {
        let words = script::words(boot).expect("the settings are good");
        // iPXE puts its own address in.
        let words = words.replace("${netX/ip}", "10.0.0.5").replace("${netX/netmask}", "255.255.255.0");
        let words = words.replace("${netX/gateway}", "");
        let line = release::BootLine::parse(words.as_bytes()).expect("init reads it");
        let want = "duet.servers=http://10.0.0.1:80,http://10.0.0.2:8080 duet.release=trixie-0123456789ab \
                    duet.ip=10.0.0.5,255.255.255.0, duet.mac=52:54:00:77:00:01 duet.attempt=3 \
                    systemd.hostname=duet-770001";
        assert_eq!(line.to_string(), want);
    });
}
