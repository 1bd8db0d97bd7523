//! What a stranger on the same wire tries against the counts of other PCs, and what comes of it.

use super::desk::{Asker, Desk, ReportError};
use super::events::Event;
use super::files::{Served, Table};
use super::fixture::{Fixture, ID};
use super::pcs::LINES_MAX;
use netboot::Mac;
use netboot::gate::Attempt;
use std::net::IpAddr;
use std::sync::Arc;

const PC: Mac = Mac([0x52, 0x54, 0, 0x77, 0, 1]);
const STRANGER: Mac = Mac([0x52, 0x54, 0, 0x77, 0, 9]);

fn address(n: u8) -> IpAddr {
    IpAddr::from([10, 77, 0, n])
}

fn asker(n: u8, card: Option<Mac>) -> Asker {
    Asker { address: address(n), card }
}

/// A desk with one release, and its root image of 300 000 bytes.
fn desk(name: &str, dhcp: &'static str) -> (Desk, Arc<Served>) {
    let fixture = Fixture::new(name);
    let mut desk = Desk::new("10.77.0.1:80".parse().unwrap(), "br0", dhcp);
    desk.table = Table::read(&fixture.out).unwrap();
    let root = desk.table.find(ID, "root.squashfs").expect("the root image");
    (desk, root)
}

/// The PC began at address 1; then these bytes of the image go to address `to`. Whether that counts as a fetch.
fn check_fetch(name: &str, to: u8, range: (u64, u64), want: bool) {
    let (mut desk, root) = desk(name, "off");
    desk.script(PC, asker(1, Some(PC)), 0).unwrap();
    desk.sent(address(to), &root, range.1 - range.0, range.1, 1);
    let fetched = desk.gate.last(PC).map(|attempt| attempt.fetched);
    assert_eq!(fetched, Some(want), "{range:?} to {to}");
}

/// Whether a script asked for in this way begins an attempt.
fn check_script(name: &str, dhcp: &'static str, asked: bool, card: Option<Mac>, want: bool) {
    let (mut desk, _) = desk(name, dhcp);
    if asked {
        desk.asked(PC, "bios", false, 0);
    }
    let script = desk.script(PC, asker(1, card), 1).unwrap();
    assert_eq!(desk.gate.last(PC).is_some(), want, "{dhcp} {card:?}");
    // It boots all the same, and what it reports is taken only when it counts.
    let attempt = u32::from(want);
    assert!(script.contains(&format!("duet.attempt={attempt} ")), "{script}");
    let report = format!(r#"{{"mac":"{PC}","attempt":{attempt},"release":"{ID}","stage":"healthy"}}"#);
    assert_eq!(desk.report(report.as_bytes(), asker(1, card), 2).is_ok(), want);
}

#[test]
fn only_the_whole_image_to_the_address_that_began_counts() {
    check_fetch("whole", 1, (0, 300_000), true);
    check_fetch("last-byte", 1, (299_999, 300_000), false);
    check_fetch("elsewhere", 2, (0, 300_000), false);
}

#[test]
fn an_address_that_the_pc_has_later_does_not_count_for_the_attempt_before() {
    let (mut desk, root) = desk("later", "off");
    desk.script(PC, asker(1, Some(PC)), 0).unwrap();
    desk.pcs.has_address(PC, address(2));
    desk.sent(address(2), &root, root.bytes, root.bytes, 1);
    assert_eq!(desk.gate.last(PC).map(|attempt| attempt.fetched), Some(false));
}

#[test]
fn a_script_counts_only_when_the_pc_itself_asks() {
    check_script("own-card", "off", false, Some(PC), true);
    check_script("other-card", "off", true, Some(STRANGER), false);
    check_script("no-dhcp", "off", false, None, true);
    check_script("asked", "proxy", true, None, true);
    check_script("not-asked", "proxy", false, None, false);
    check_script("card-after-restart", "proxy", false, Some(PC), true);
}

#[test]
fn a_stranger_changes_nothing_of_a_pc_and_is_told_of_once_a_minute() {
    let (mut desk, root) = desk("stranger", "off");
    desk.script(PC, asker(1, Some(PC)), 0).unwrap();
    let before = desk.pcs.get(&PC).cloned();
    for n in 0..200 {
        desk.script(PC, asker(n, Some(STRANGER)), 1).unwrap();
        desk.sent(address(9), &root, root.bytes, root.bytes, 1);
    }
    let attempt = Attempt { number: 1, release: ID.to_owned(), fetched: false };
    assert_eq!((desk.gate.last(PC), desk.pcs.get(&PC).cloned()), (Some(&attempt), before));
    assert_eq!(desk.notes.len(), 1);
}

#[test]
fn one_pc_cannot_flood_the_log_and_what_was_left_out_is_counted() {
    let (mut desk, _) = desk("flood", "off");
    desk.script(PC, asker(1, Some(PC)), 0).unwrap();
    let report = format!(r#"{{"mac":"{PC}","attempt":1,"release":"{ID}","stage":"failed","sentence":"no"}}"#);
    let n_more = 500;
    for _ in 0..u64::from(LINES_MAX) - 1 + n_more {
        desk.report(report.as_bytes(), asker(1, Some(PC)), 1).unwrap();
    }
    let shown = std::iter::from_fn(|| desk.poll()).count();
    assert_eq!(shown, LINES_MAX as usize);
    desk.report(report.as_bytes(), asker(1, Some(PC)), 60_000).unwrap();
    let sentence = format!("{}: {n_more} lines were left out", desk.settings.name_of(&PC));
    assert_eq!(desk.poll().map(|stamped| stamped.event), Some(Event::Note { sentence }));
    assert!(matches!(desk.poll().map(|stamped| stamped.event), Some(Event::Failed { .. })));
}

/// Whether a report of the PC's open attempt, which began at address 1, is taken from there.
fn check_report(name: &str, from: Asker, want: Result<(), ReportError>) {
    let (mut desk, _) = desk(name, "off");
    desk.script(PC, asker(1, Some(PC)), 0).unwrap();
    let report = format!(r#"{{"mac":"{PC}","attempt":1,"release":"{ID}","stage":"root-ready"}}"#);
    assert_eq!(desk.report(report.as_bytes(), from, 1), want, "{from:?}");
    assert_eq!(desk.gate.last(PC).map(|attempt| attempt.fetched), Some(want.is_ok()));
}

#[test]
fn a_report_is_not_taken_from_another_pc() {
    check_report("report-own", asker(1, Some(PC)), Ok(()));
    check_report("report-moved", asker(2, Some(PC)), Ok(()));
    check_report("report-other-card", asker(1, Some(STRANGER)), Ok(()));
    check_report("report-routed", asker(2, None), Ok(()));
    check_report("report-stranger", asker(2, Some(STRANGER)), Err(ReportError::Stranger));
}
