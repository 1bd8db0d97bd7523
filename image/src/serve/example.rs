//! A fixed desk with one PC in each state, for the golden page and for tests of the table.

use super::desk::Desk;
use super::pcs::{Last, Order, Piece, Stage};
use super::settings::Settings;
use super::view::{self, Gossip, Snapshot};
use netboot::Mac;
use std::net::SocketAddrV4;

const NEW: &str = "trixie-2b6e0c41d9a7";
const OLD: &str = "trixie-91f0ce77a3d2";

/// The desk 95 s after the server started.
pub fn snapshot() -> Snapshot {
    view::snapshot(&desk(), 95_000)
}

pub fn desk() -> Desk {
    let mut desk = Desk::new(SocketAddrV4::new([10, 77, 0, 1].into(), 80), "br0", "proxy");
    desk.table.promoted = vec![NEW.to_owned(), OLD.to_owned()];
    let names = "pc.'52:54:00:77:00:01'.name='kitchen'\npc.'52:54:00:77:00:02'.name='workshop'\n";
    desk.settings = Settings::parse(names).expect("the names are good");
    healthy(&mut desk, 1, "BIOS", 20_000);
    fetching(&mut desk, 2, "UEFI", 78_000);
    fell_back(&mut desk, 3, 40_000);
    failed(&mut desk, 4, 55_000);
    desk.asked(mac(5), "BIOS", false, 94_000);
    desk.remember(mac(6), Last { release: OLD.to_owned(), healthy: true, unix_s: 1_760_000_000 });
    let overlay = Some("fd01:203:405::a".parse().expect("an address"));
    let gossip = |standing, overlay| Gossip { standing, overlay };
    desk.see_gossip([(mac(1), gossip(Gossip::ALIVE, overlay)), (mac(4), gossip("down", None))].into());
    let broken =
        "duet.toml, line 7: unknown variant `nett`, expected `net` or `wrap`; the settings from before stay";
    desk.note(broken.to_owned(), 90_000);
    desk
}

fn mac(n: u8) -> Mac {
    Mac([0x52, 0x54, 0, 0x77, 0, n])
}

fn order(attempt: u32, release: &str, reason: Option<&str>) -> Order {
    Order { attempt, release: release.to_owned(), reason: reason.map(str::to_owned) }
}

/// Asked at `at`, first stage and script by 8.1 s later.
fn begin(desk: &mut Desk, n: u8, firmware: &str, order: Order, at: u64) {
    desk.asked(mac(n), firmware, false, at);
    file(desk, n, Stage::FirstStage, 70_208, at + 400, 300);
    let name = desk.settings.name_of(&mac(n));
    desk.pcs.ordered(mac(n), name.as_str(), [10, 77, 0, 100 + n].into(), order, at + 8_100);
}

fn file(desk: &mut Desk, n: u8, stage: Stage, of: u64, at: u64, took: u64) {
    desk.pcs.sent(mac(n), Piece { stage, n: of / 2, bytes: of / 2, of }, at);
    desk.pcs.sent(mac(n), Piece { stage, n: of - of / 2, bytes: of, of }, at + took);
}

fn fetched(desk: &mut Desk, n: u8, at: u64) {
    file(desk, n, Stage::Kernel, 12_100_000, at + 8_200, 400);
    file(desk, n, Stage::Initrd, 2_270_000, at + 8_700, 100);
    file(desk, n, Stage::Root, 39_900_000, at + 14_000, 2_400);
}

fn healthy(desk: &mut Desk, n: u8, firmware: &str, at: u64) {
    begin(desk, n, firmware, order(3, NEW, None), at);
    fetched(desk, n, at);
    for (stage, after) in [(Stage::RootReady, 16_800), (Stage::Booted, 29_000), (Stage::Healthy, 31_400)] {
        desk.pcs.reached(mac(n), stage, at + after);
    }
}

fn fetching(desk: &mut Desk, n: u8, firmware: &str, at: u64) {
    begin(desk, n, firmware, order(1, NEW, None), at);
    file(desk, n, Stage::Kernel, 12_100_000, at + 8_200, 400);
    file(desk, n, Stage::Initrd, 2_270_000, at + 8_700, 100);
    for place in 1..=20 {
        let piece = Piece { stage: Stage::Root, n: 1_200_000, bytes: 1_200_000 * place, of: 39_900_000 };
        desk.pcs.sent(mac(n), piece, at + 15_000 + 100 * place);
    }
}

fn fell_back(desk: &mut Desk, n: u8, at: u64) {
    let reason = format!("fell back: {NEW} was fetched 2 times and never healthy");
    begin(desk, n, "BIOS", order(4, OLD, Some(&reason)), at);
    fetched(desk, n, at);
    desk.pcs.reached(mac(n), Stage::RootReady, at + 17_000);
    desk.pcs.reached(mac(n), Stage::Booted, at + 30_100);
}

fn failed(desk: &mut Desk, n: u8, at: u64) {
    begin(desk, n, "BIOS", order(2, NEW, None), at);
    fetched(desk, n, at);
    let sentence =
        "root.squashfs from http://10.77.0.1 is not what was signed: <b>hash</b> differs; trying again";
    desk.pcs.failed(mac(n), sentence, at + 19_000);
}
