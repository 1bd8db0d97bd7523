//! One conversation per line: what a client says, and what comes back in short words.

use super::*;

const SERVER: &str = "10.0.0.1";
const MAC: Mac = Mac([0x52, 0x54, 0, 0x77, 0, 1]);
const OTHER: Mac = Mac([0x52, 0x54, 0, 0x77, 0, 2]);

struct World {
    server: Server,
    now: Instant,
}

/// A request under construction: the fixed head, then options as they are said.
#[derive(Clone)]
struct Say(Vec<u8>);

fn pool() -> Pool {
    Pool {
        first: "10.0.0.100".parse().unwrap(),
        last: "10.0.0.101".parse().unwrap(),
        mask: "255.255.255.0".parse().unwrap(),
        gateway: Some("10.0.0.1".parse().unwrap()),
        dns: vec![],
        lease: Duration::from_secs(3600),
    }
}

fn world(mode: Mode) -> World {
    let config = Config { server: SERVER.parse().unwrap(), http_port: 80, mode };
    World { server: Server::new(config).unwrap(), now: Instant::now() }
}

fn own() -> World {
    world(Mode::Own(pool()))
}

fn proxy() -> World {
    world(Mode::Proxy)
}

fn say(kind: u8, mac: Mac) -> Say {
    let mut bytes = vec![1, 1, 6, 0, 1, 2, 3, 4];
    bytes.resize(28, 0);
    bytes.extend_from_slice(&mac.0);
    bytes.resize(236, 0);
    bytes.extend_from_slice(&[99, 130, 83, 99, 53, 1, kind]);
    Say(bytes)
}

fn discover() -> Say {
    say(1, MAC)
}

fn request() -> Say {
    say(3, MAC)
}

impl Say {
    fn option(mut self, number: u8, data: &[u8]) -> Say {
        self.0.extend_from_slice(&[number, data.len() as u8]);
        self.0.extend_from_slice(data);
        self
    }

    fn address(self, number: u8, address: &str) -> Say {
        let address: Ipv4Addr = address.parse().unwrap();
        self.option(number, &address.octets())
    }

    /// Writes an address into the head: 12 ciaddr, 16 yiaddr, 24 giaddr.
    fn head(mut self, at: usize, address: &str) -> Say {
        let address: Ipv4Addr = address.parse().unwrap();
        self.0[at..at + 4].copy_from_slice(&address.octets());
        self
    }

    fn session(mut self, number: u8) -> Say {
        self.0[7] = number;
        self
    }

    fn bios(self) -> Say {
        self.option(60, b"PXEClient:Arch:00000:UNDI:002001").option(93, &[0, 0])
    }

    fn efi(self) -> Say {
        self.option(60, b"PXEClient:Arch:00007:UNDI:003016").option(93, &[0, 7])
    }

    fn ipxe(self) -> Say {
        self.bios().option(77, b"iPXE").option(175, &[19, 1, 1])
    }
}

impl World {
    /// Hands one request in and says what came out.
    fn hear(&mut self, said: &Say, port: u16) -> String {
        let from = SocketAddrV4::new("10.0.0.50".parse().unwrap(), 68);
        self.server.handle(self.now, Datagram { bytes: &said.0, from, port });
        let mut all = Vec::new();
        while let Some(output) = self.server.poll() {
            all.push(match output {
                Output::Send(answer) => short(&answer),
                Output::Event(event) => event.to_string(),
            });
        }
        all.join("; ")
    }

    fn later(&mut self, seconds: u64) -> &mut World {
        self.now += Duration::from_secs(seconds);
        self
    }

    /// DISCOVER and REQUEST; the address that was confirmed.
    fn lease(&mut self, mac: Mac) -> String {
        let offered = self.hear(&say(1, mac), 67);
        let Some(address) = offered.strip_prefix("offer ").and_then(|text| text.split(' ').next()) else {
            return offered;
        };
        let said = say(3, mac).address(50, address).address(54, SERVER);
        let acked = self.hear(&said, 67);
        assert!(acked.contains(&format!("ack {address} ")), "{acked}");
        address.to_owned()
    }
}

/// Kind, address, file, class, option 43, destination.
fn short(answer: &Answer) -> String {
    let message = dhcproto::v4::borrowed::Message::new(&answer.bytes).unwrap();
    let mut words = Vec::new();
    for option in message.opts() {
        match (u8::from(option.code()), option.data()) {
            (53, kind) => {
                words.insert(0, ["?", "?", "offer", "?", "?", "ack", "nak"][usize::from(kind[0])].to_owned())
            }
            (60, class) => words.push(String::from_utf8_lossy(class).into_owned()),
            (43, data) => words.push(format!("43={data:?}")),
            (175, _) => words.push("no-proxy".to_owned()),
            _ => {}
        }
    }
    words.insert(1, message.yiaddr().to_string());
    if !message.fname().is_empty() {
        words.push(format!("{} from {}", String::from_utf8_lossy(message.fname()), message.siaddr()));
    }
    let to = if answer.to.ip().is_broadcast() { "all".to_owned() } else { answer.to.to_string() };
    format!("{} to {to} by {}", words.join(" "), answer.from_port)
}

/// A fresh server beside a router hears one request.
fn check_proxy(said: Say, want: &str) {
    let heard = proxy().hear(&said, 67);
    assert_eq!(heard.split("; ").last().unwrap(), want);
}

#[test]
fn a_bios_rom_gets_its_file_in_the_proxy_offer() {
    check_proxy(
        discover().bios(),
        "offer 0.0.0.0 43=[6, 1, 8, 255] PXEClient undionly.kpxe from 10.0.0.1 to all by 67",
    );
}

#[test]
fn uefi_gets_an_offer_without_discovery_control() {
    check_proxy(discover().efi(), "offer 0.0.0.0 PXEClient snponly.efi from 10.0.0.1 to all by 67");
    let nine = discover().option(60, b"PXEClient").option(93, &[0, 9]);
    check_proxy(nine, "offer 0.0.0.0 PXEClient snponly.efi from 10.0.0.1 to all by 67");
}

#[test]
fn a_processor_named_only_in_the_class_counts() {
    let said = discover().option(60, b"PXEClient:Arch:00009:UNDI:003016");
    check_proxy(said, "offer 0.0.0.0 PXEClient snponly.efi from 10.0.0.1 to all by 67");
}

#[test]
fn uefi_over_http_gets_a_url() {
    let said = discover().option(60, b"HTTPClient:Arch:00016:UNDI:003001").option(93, &[0, 16]);
    let want = "offer 0.0.0.0 HTTPClient http://10.0.0.1:80/ipxe/snponly.efi from 10.0.0.1 to all by 67";
    check_proxy(said, want);
}

#[test]
fn ipxe_gets_its_script() {
    let want = "offer 0.0.0.0 43=[6, 1, 8, 255] PXEClient \
                http://10.0.0.1:80/boot/52-54-00-77-00-01.ipxe from 10.0.0.1 to all by 67";
    check_proxy(discover().ipxe(), want);
    check_proxy(discover().bios().option(77, b"\x04iPXE"), want);
    check_proxy(discover().bios().option(77, b"\x03abc\x04iPXE"), want);
}

#[test]
fn what_only_looks_like_ipxe_is_a_rom() {
    let want = "offer 0.0.0.0 43=[6, 1, 8, 255] PXEClient undionly.kpxe from 10.0.0.1 to all by 67";
    check_proxy(discover().bios().option(77, b"iPXE2"), want);
    check_proxy(discover().bios().option(77, b"\x09iPXE"), want);
}

#[test]
fn a_proxy_is_silent_to_ordinary_clients() {
    assert_eq!(proxy().hear(&discover(), 67), "");
    assert_eq!(proxy().hear(&request().bios().address(54, "10.0.0.254"), 67), "");
}

#[test]
fn port_4011_confirms_the_file_to_where_the_question_came_from() {
    let said = request().efi().head(12, "10.0.0.9").address(54, SERVER);
    let want = "52:54:00:77:00:01 is told to load snponly.efi; \
                ack 0.0.0.0 PXEClient snponly.efi from 10.0.0.1 to 10.0.0.50:68 by 4011";
    assert_eq!(proxy().hear(&said, 4011), want);
    assert_eq!(own().hear(&said, 4011), want);
}

#[test]
fn port_4011_echoes_the_boot_item() {
    let said = request().bios().option(43, &[71, 4, 0, 1, 0, 0, 255]);
    assert!(proxy().hear(&said, 4011).contains("ack 0.0.0.0 43=[71, 4, 0, 1, 0, 0, 255] PXEClient"));
}

#[test]
fn port_4011_is_silent_when_another_server_is_meant() {
    assert_eq!(proxy().hear(&request().bios().address(54, "10.0.0.7"), 4011), "");
    assert_eq!(proxy().hear(&request(), 4011), "");
}

#[test]
fn a_hostname_that_is_not_utf8_hides_nothing() {
    let said = discover().option(12, &[0xff, 0xfe]).efi();
    check_proxy(said, "offer 0.0.0.0 PXEClient snponly.efi from 10.0.0.1 to all by 67");
}

#[test]
fn an_ipxe_without_http_takes_turns_between_first_stage_and_script() {
    let mut world = proxy();
    let poor = |session| discover().bios().option(77, b"iPXE").option(175, &[33, 1, 1]).session(session);
    let first = "undionly.kpxe";
    let script = "/boot/52-54-00-77-00-01.ipxe";
    assert!(world.hear(&poor(1), 67).contains(first));
    assert!(world.hear(&poor(1), 67).contains(first), "the same session asks again");
    assert!(world.hear(&poor(2), 67).contains(script), "it came back: no loop");
    assert!(world.hear(&poor(2), 67).contains(script));
    assert!(world.hear(&poor(3), 67).contains(first));
    assert!(world.later(301).hear(&poor(4), 67).contains(first), "much later it starts afresh");
}

#[test]
fn a_choice_changes_the_file_while_the_server_runs() {
    let mut world = proxy();
    let mut choose = |choice, said: &Say| {
        world.server.set_choices([(MAC, choice)].into());
        world.hear(said, 67)
    };
    assert!(choose(Choice::IpxePxe, &discover().bios()).contains("ipxe.pxe"));
    assert!(choose(Choice::IpxeEfi, &discover().efi()).contains("ipxe.efi"));
    assert!(choose(Choice::IpxeEfi, &discover().bios()).contains("undionly.kpxe"));
    let blocked = choose(Choice::None, &discover().ipxe());
    assert!(blocked.ends_with("52:54:00:77:00:01 is set to get nothing from this server"), "{blocked}");
}

#[test]
fn a_blocked_pc_still_gets_an_address_of_the_own_range() {
    let mut world = own();
    world.server.set_choices([(MAC, Choice::None)].into());
    let heard = world.hear(&discover().bios(), 67);
    assert!(heard.contains("is set to get nothing") && heard.ends_with(" to all by 67"), "{heard}");
    assert!(!heard.contains("undionly"));
}

#[test]
fn a_processor_without_a_first_stage_is_named() {
    let said = discover().option(60, b"PXEClient").option(93, &[0, 11]);
    check_proxy(said, "52:54:00:77:00:01 cannot be booted: no first stage for PXE architecture 11");
}

#[test]
fn an_own_lease_carries_the_file_without_a_class() {
    let heard = own().hear(&discover().bios(), 67);
    assert!(heard.contains("; offer 10.0.0.10"), "{heard}");
    assert!(heard.ends_with(" undionly.kpxe from 10.0.0.1 to all by 67") && !heard.contains("PXEClient "));
    let heard = own().hear(&discover().ipxe(), 67);
    assert!(heard.contains("no-proxy http://10.0.0.1:80/boot/52-54-00-77-00-01.ipxe"), "{heard}");
}

#[test]
fn a_client_keeps_its_address() {
    let mut world = own();
    let first = world.lease(MAC);
    assert_eq!(world.lease(MAC), first);
    assert_ne!(world.lease(OTHER), first);
    assert_eq!(world.later(100_000).lease(MAC), first);
    assert_eq!(own().lease(MAC), first, "and gets it again from a server that forgot");
}

#[test]
fn two_clients_never_share_and_a_third_waits_for_an_end() {
    let mut world = own();
    let third = Mac([0x52, 0x54, 0, 0x77, 0, 3]);
    let (a, b) = (world.lease(MAC), world.lease(OTHER));
    assert_ne!(a, b);
    assert_eq!(world.lease(third), "52:54:00:77:00:03 got no address: the range is used up");
    let freed = world.hear(&say(7, OTHER).head(12, &b).address(54, SERVER), 67);
    assert_eq!(freed, format!("52:54:00:77:00:02 gave {b} back"));
    assert_eq!(world.lease(third), b);
    assert_eq!(world.later(4000).lease(OTHER).len(), b.len(), "leases end by themselves");
}

#[test]
fn an_offer_is_free_again_after_a_minute() {
    let mut world = own();
    world.hear(&discover(), 67);
    world.hear(&say(1, OTHER), 67);
    let third = Mac([0x52, 0x54, 0, 0x77, 0, 3]);
    assert!(world.lease(third).contains("used up"));
    assert!(world.later(61).lease(third).starts_with("10.0.0.10"));
}

#[test]
fn an_address_of_someone_else_or_of_elsewhere_is_refused() {
    let mut world = own();
    let taken = world.lease(OTHER);
    for wrong in [taken.as_str(), "192.168.1.5", "10.0.0.1", "10.0.0.200"] {
        let heard = world.hear(&request().address(50, wrong), 67);
        let want =
            format!("52:54:00:77:00:01 wanted {wrong}, which is not its own; nak 0.0.0.0 to all by 67");
        assert_eq!(heard, want);
    }
}

#[test]
fn a_renewal_is_answered_to_the_client_itself() {
    let mut world = own();
    let address = world.lease(MAC);
    let heard = world.later(1800).hear(&request().head(12, &address), 67);
    assert!(heard.ends_with(&format!("ack {address} to {address}:68 by 67")), "{heard}");
    world.later(3000);
    assert_eq!(world.server.leases(world.now).len(), 1, "the lease was made longer");
}

#[test]
fn a_declined_address_is_left_alone() {
    let mut world = own();
    let address = world.lease(MAC);
    let foreign = world.hear(&say(4, OTHER).address(50, &address), 67);
    assert_eq!(foreign, "", "only its holder can decline it");
    let heard = world.hear(&say(4, MAC).address(50, &address).address(54, SERVER), 67);
    assert_eq!(heard, format!("52:54:00:77:00:01 says that {address} is in use by another machine"));
    assert_ne!(world.lease(MAC), address);
}

#[test]
fn an_inform_gets_no_address() {
    let heard = own().hear(&say(8, MAC).head(12, "10.0.0.77"), 67);
    assert_eq!(heard, "ack 0.0.0.0 to 10.0.0.77:68 by 67");
    assert_eq!(own().hear(&say(8, MAC).head(12, "8.8.8.8"), 67), "");
}

#[test]
fn leases_can_be_kept_over_a_restart() {
    let mut world = own();
    let address: Ipv4Addr = world.lease(MAC).parse().unwrap();
    let mut fresh = own();
    assert!(fresh.server.restore(fresh.now, OTHER, address, Duration::from_secs(60)));
    assert!(!fresh.server.restore(fresh.now, MAC, address, Duration::from_secs(60)), "it is taken");
    assert!(!fresh.server.restore(fresh.now, MAC, "8.8.8.8".parse().unwrap(), Duration::from_secs(60)));
    assert_ne!(fresh.lease(MAC), address.to_string());
}

#[test]
fn another_server_is_spoken_of_once_an_hour() {
    let mut world = own();
    let said = request().address(50, "10.0.0.9").address(54, "10.0.0.254");
    let want = "another DHCP server at 10.0.0.254 gives addresses on this network: \
                stop one of the two, or serve beside it without an own range";
    assert_eq!(world.hear(&said, 67), want);
    assert_eq!(world.hear(&said, 67), "");
    assert_eq!(world.later(3601).hear(&said, 67), want);
    let mut offer = say(2, MAC).head(16, "10.0.0.9").address(54, "10.0.0.253");
    offer.0[0] = 2;
    assert!(world.hear(&offer, 68).starts_with("another DHCP server at 10.0.0.253"));
    assert_eq!(proxy().hear(&offer, 68), "", "beside a router that is as it should be");
}

#[test]
fn broken_messages_are_ignored_and_say_why() {
    let ignored = |mut said: Say, change: &dyn Fn(&mut Vec<u8>)| {
        change(&mut said.0);
        proxy().hear(&said, 67)
    };
    let because = |why: &str| format!("a datagram from 10.0.0.50:68 was ignored: {why}");
    assert_eq!(ignored(discover(), &|all| all.truncate(239)), because("too short for DHCP"));
    assert_eq!(ignored(discover(), &|all| all.resize(2049, 0)), because("longer than 2048 bytes"));
    assert_eq!(ignored(discover(), &|all| all[236] = 0), because("not DHCP"));
    assert_eq!(ignored(discover(), &|all| all[0] = 9), because("not DHCP"));
    assert_eq!(ignored(discover(), &|all| all.truncate(240)), because("not DHCP"));
    assert_eq!(ignored(discover(), &|all| all[2] = 255), because("not from an ethernet card"));
    assert_eq!(ignored(discover(), &|all| all[28] = 1), because("not from an ethernet card"));
    assert_eq!(ignored(discover(), &|all| all[24] = 10), because("it came through a relay"));
}

#[test]
fn a_config_that_cannot_work_says_why() {
    let with = |change: &dyn Fn(&mut Pool)| {
        let mut pool = pool();
        change(&mut pool);
        Server::new(Config { server: SERVER.parse().unwrap(), http_port: 80, mode: Mode::Own(pool) }).err()
    };
    let ip = |text: &str| text.parse::<Ipv4Addr>().unwrap();
    assert_eq!(with(&|_| ()), None);
    assert_eq!(with(&|pool| pool.first = ip("10.0.0.102")), Some(ConfigError::Range));
    assert_eq!(with(&|pool| pool.last = ip("10.0.1.1")), Some(ConfigError::Range));
    assert_eq!(with(&|pool| pool.mask = ip("255.0.255.0")), Some(ConfigError::Mask));
    assert_eq!(with(&|pool| pool.mask = ip("0.0.0.0")), Some(ConfigError::Mask));
    assert_eq!(with(&|pool| pool.gateway = Some(ip("10.1.0.1"))), Some(ConfigError::Gateway));
    assert_eq!(with(&|pool| pool.dns = vec![ip("1.1.1.1"); 9]), Some(ConfigError::Dns));
    assert_eq!(with(&|pool| pool.lease = Duration::ZERO), Some(ConfigError::LeaseTime));
    let wide = with(&|pool| {
        pool.mask = ip("255.0.0.0");
        pool.last = ip("10.99.0.0");
    });
    assert_eq!(wide, Some(ConfigError::TooMany));
    let config = Config { server: Ipv4Addr::UNSPECIFIED, http_port: 80, mode: Mode::Proxy };
    assert_eq!(Server::new(config).err(), Some(ConfigError::Server));
}
