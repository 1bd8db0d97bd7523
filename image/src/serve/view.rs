//! The desk as viewers see it: the values of `GET /api/pcs`, of the page and of the table.
//!
//! Pure: desk and time in, plain values out.

use super::desk::Desk;
use super::pcs::{Mark, Pc, Stage};
use super::text;
use netboot::Mac;
use serde::Serialize;
use std::net::Ipv6Addr;

/// A PC that says nothing for this long on its way to healthy is shown as silent.
/// The slowest known stage, udev on one slow core, takes about a minute.
pub const SILENT_MS: u64 = 180_000;

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Snapshot {
    /// Grows with every change.
    pub version: u64,
    pub server: Server,
    pub pcs: Vec<PcView>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Server {
    pub url: String,
    pub interface: String,
    pub dhcp: &'static str,
    pub up_s: f64,
    /// What PCs get now, and what they fall back to.
    pub release: Option<String>,
    pub fallback: Option<String>,
    /// What the owner should know, newest first.
    pub notes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PcView {
    pub mac: String,
    pub name: String,
    pub address: Option<String>,
    pub firmware: Option<String>,
    pub attempt: Option<u32>,
    pub release: Option<String>,
    /// Why it is not the newest release.
    pub reason: Option<String>,
    pub state: State,
    /// The furthest stage of this boot.
    pub stage: Option<Stage>,
    /// The PC's own words on its failure.
    pub sentence: Option<String>,
    pub bytes_per_second: u64,
    pub seen_s_ago: f64,
    pub asked_s_ago: Option<f64>,
    /// How the cluster sees it now; absent if it never met it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gossip: Option<Gossip>,
    pub stages: Vec<StageView>,
    /// One line for people.
    #[serde(skip)]
    pub line: String,
}

/// A PC as the boot server's own place in the gossip sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gossip {
    /// `alive`, `down`, `left` and so on.
    pub standing: &'static str,
    /// Its address there, once it tells that it has an overlay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overlay: Option<Ipv6Addr>,
}

impl Gossip {
    pub const ALIVE: &str = "alive";

    pub fn is_alive(&self) -> bool {
        self.standing == Gossip::ALIVE
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Known from an earlier run of the server.
    Known,
    /// On its way.
    Booting,
    Healthy,
    Failed,
    /// Nothing was heard for long.
    Silent,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StageView {
    pub stage: Stage,
    /// When it was reached, in seconds since the boot began; absent when it was not.
    pub at_s: Option<f64>,
    /// How long its file took.
    pub took_s: Option<f64>,
    pub bytes: u64,
    pub of: u64,
}

pub fn snapshot(desk: &Desk, now_ms: u64) -> Snapshot {
    let server = Server {
        url: desk.url(),
        interface: desk.interface.clone(),
        dhcp: desk.dhcp,
        up_s: seconds(now_ms),
        release: desk.table.promoted.first().cloned(),
        fallback: desk.table.promoted.get(1).cloned(),
        notes: desk.notes.iter().rev().map(|(_, note)| note.clone()).collect(),
    };
    let gossip = |mac: &Mac| desk.gossip.get(mac);
    let pc_view = |(mac, pc): (&Mac, &Pc)| pc_view(mac, pc, gossip(mac), now_ms);
    let mut pcs: Vec<PcView> = desk.pcs.iter().map(pc_view).collect();
    // Names carry numbers more often than meaning; people look for the one that is in trouble first.
    pcs.sort_by(|a, b| (rank(a.state), &a.name, &a.mac).cmp(&(rank(b.state), &b.name, &b.mac)));
    Snapshot { version: desk.pcs.version, server, pcs }
}

fn rank(state: State) -> u8 {
    match state {
        State::Failed | State::Silent => 0,
        State::Booting => 1,
        State::Healthy => 2,
        State::Known => 3,
    }
}

fn pc_view(mac: &Mac, pc: &Pc, gossip: Option<&Gossip>, now_ms: u64) -> PcView {
    let since_ms = pc.since_ms();
    let state = state(pc, now_ms);
    let stages =
        Stage::ALL.into_iter().map(|stage| stage_view(stage, pc.marks.get(&stage), since_ms)).collect();
    let last = pc.last.as_ref().filter(|_| pc.order.is_none());
    PcView {
        mac: mac.to_string(),
        name: pc.name.clone(),
        address: pc.address.map(|address| address.to_string()),
        firmware: pc.firmware.clone(),
        attempt: pc.order.as_ref().map(|order| order.attempt),
        release: pc
            .order
            .as_ref()
            .map(|order| order.release.clone())
            .or(last.map(|last| last.release.clone())),
        reason: pc.order.as_ref().and_then(|order| order.reason.clone()),
        state,
        stage: pc.stage(),
        sentence: pc.failure.as_ref().map(|(_, sentence)| sentence.clone()),
        bytes_per_second: pc.bytes_per_second(now_ms),
        seen_s_ago: seconds(now_ms.saturating_sub(pc.seen_ms)),
        asked_s_ago: since_ms.map(|since| seconds(now_ms.saturating_sub(since))),
        gossip: gossip.cloned(),
        stages,
        // A PC that boots, or failed to, is missed anyway.
        line: match gossip.filter(|gossip| state == State::Healthy && !gossip.is_alive()) {
            Some(gossip) => format!("{}; the cluster sees it {}", line(pc, state, now_ms), gossip.standing),
            None => line(pc, state, now_ms),
        },
    }
}

fn state(pc: &Pc, now_ms: u64) -> State {
    match pc.stage() {
        _ if pc.failure.is_some() => State::Failed,
        None => State::Known,
        Some(Stage::Healthy) => State::Healthy,
        Some(_) if now_ms.saturating_sub(pc.seen_ms) >= SILENT_MS => State::Silent,
        Some(_) => State::Booting,
    }
}

fn stage_view(stage: Stage, mark: Option<&Mark>, since_ms: Option<u64>) -> StageView {
    let since = since_ms.unwrap_or(0);
    StageView {
        stage,
        at_s: mark.map(|mark| seconds(mark.at_ms - since)),
        took_s: mark.and_then(|mark| mark.done_ms.map(|done| seconds(done - mark.at_ms))),
        bytes: mark.map_or(0, |mark| mark.bytes),
        of: mark.map_or(0, |mark| mark.of),
    }
}

/// What the PC does now, in a few words.
fn line(pc: &Pc, state: State, now_ms: u64) -> String {
    let Some(stage) = pc.stage() else {
        let Some(last) = &pc.last else { return "not seen yet".to_owned() };
        return if last.healthy { "was healthy before".to_owned() } else { "was booting before".to_owned() };
    };
    let since = pc.since_ms().unwrap_or(now_ms);
    let at = |stage: Stage| pc.marks.get(&stage).map_or(0, |mark| mark.at_ms - since);
    match state {
        State::Failed => pc.failure.as_ref().map(|(_, sentence)| sentence.clone()).unwrap_or_default(),
        State::Silent => {
            let ago = text::duration(now_ms.saturating_sub(pc.seen_ms));
            format!("silent for {ago} after: {}", stage.name())
        }
        State::Healthy => format!("healthy after {}", text::duration(at(Stage::Healthy))),
        _ => match pc.marks.get(&stage).filter(|mark| mark.of > 0) {
            Some(mark) if mark.done_ms.is_none() => sending(stage, mark, pc.bytes_per_second(now_ms)),
            Some(mark) => format!("has the {} ({})", stage.name(), text::bytes(mark.of)),
            None => doing(stage).to_owned(),
        },
    }
}

fn sending(stage: Stage, mark: &Mark, rate: u64) -> String {
    let rate = if rate > 0 { format!(", {}/s", text::bytes(rate)) } else { String::new() };
    format!("{}: {}{rate}", stage.name(), text::part(mark.bytes, mark.of))
}

fn doing(stage: Stage) -> &'static str {
    match stage {
        Stage::Asked => "asks to boot",
        Stage::Script => "has its script",
        Stage::RootReady => "starts systemd",
        Stage::Booted => "booted, not yet healthy",
        _ => stage.name(),
    }
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

#[cfg(test)]
pub mod tests {
    use super::super::desk::Desk;
    use super::super::pcs::{Order, Piece};
    use super::*;

    const A: Mac = Mac([0x52, 0x54, 0, 0x77, 0, 1]);

    /// A PC that does these things, one a second, and what is said of it `wait_s` later.
    fn check(does: &[fn(&mut Desk, u64)], wait_s: u64, want: &str) {
        let mut desk = Desk::new("10.77.0.1:80".parse().unwrap(), "br0", "proxy");
        for (idx, act) in does.iter().enumerate() {
            act(&mut desk, 1000 * idx as u64);
        }
        let view = snapshot(&desk, 1000 * (does.len() as u64 - 1 + wait_s));
        assert_eq!(format!("{:?}: {}", view.pcs[0].state, view.pcs[0].line), want);
    }

    fn ask(desk: &mut Desk, now_ms: u64) {
        desk.pcs.asked(A, "a", "bios", false, now_ms);
    }

    fn order(desk: &mut Desk, now_ms: u64) {
        let order = Order { attempt: 1, release: "trixie-1".to_owned(), reason: None };
        desk.pcs.ordered(A, "a", [10, 77, 0, 101].into(), order, now_ms);
    }

    fn half(desk: &mut Desk, now_ms: u64) {
        let piece = Piece { stage: Stage::Root, n: 20_000_000, bytes: 20_000_000, of: 40_000_000 };
        desk.pcs.sent(A, piece, now_ms);
    }

    fn fail(desk: &mut Desk, now_ms: u64) {
        desk.pcs.failed(A, "root.squashfs is cut", now_ms);
    }

    fn healthy(desk: &mut Desk, now_ms: u64) {
        desk.pcs.reached(A, Stage::Healthy, now_ms);
    }

    #[test]
    fn the_line_says_what_a_pc_does() {
        check(&[ask], 1, "Booting: asks to boot");
        check(&[ask, order, half], 1, "Booting: root: 20.0 of 40.0 MB");
        check(&[ask, order, half, healthy], 500, "Healthy: healthy after 3.0 s");
    }

    #[test]
    fn a_healthy_pc_that_the_cluster_misses_is_told() {
        let down: fn(&mut Desk, u64) = |desk, _| {
            let gossip = Gossip { standing: "down", overlay: None };
            desk.see_gossip([(A, gossip)].into());
        };
        check(
            &[ask, order, half, healthy, down],
            1,
            "Healthy: healthy after 3.0 s; the cluster sees it down",
        );
    }

    #[test]
    fn a_failure_stays_until_the_pc_goes_on() {
        check(&[ask, order, fail], 500, "Failed: root.squashfs is cut");
        check(&[ask, order, fail, healthy], 1, "Healthy: healthy after 3.0 s");
    }

    #[test]
    fn a_pc_that_says_nothing_for_long_is_silent() {
        check(&[ask, order, half], 200, "Silent: silent for 3 min 20 s after: root");
    }
}
