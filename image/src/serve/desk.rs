//! Where everything that is known meets: PCs, gate, settings, releases and what is to be told.
//!
//! The hands (DHCP, TFTP, RA, HTTP) come here with what happened and go away with what to send.
//! It reads no clock and no socket; times are milliseconds since the server started.

use super::args::DhcpMode;
use super::events::{Event, Stamped};
use super::files::{Served, Table};
use super::models::Models;
use super::pcs::{Last, Order, Pc, Pcs, Piece, Stage, plain_text};
use super::report;
use super::settings::{Boot, Mode, PcSettings, Settings};
use super::store::{Kept, KeptLease};
use super::view::Gossip;
use netboot::gate::{Gate, Reason};
use netboot::{Mac, script};
use release::{HostName, ReleaseId, Report};
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddrV4};

/// Events not yet shown; beyond that the oldest are lost.
const EVENTS_MAX: usize = 1024;
/// Notes kept for the page and the table.
pub const NOTES_MAX: usize = 6;
/// The same note is told again only after this time.
const NOTE_AGAIN_MS: u64 = 60_000;

/// The attempt of a boot that is not counted; the gate's own begin at 1, so reports of it are refused.
const UNCOUNTED: u32 = 0;
/// Strangers are told of once in this time: inventing addresses fills no log.
const STRANGERS_AGAIN_MS: u64 = 60_000;

/// Everything that is known.
#[derive(Debug)]
pub struct Desk {
    pub server: SocketAddrV4,
    pub interface: String,
    pub dhcp: &'static str,
    pub pcs: Pcs,
    pub gate: Gate,
    pub settings: Settings,
    pub table: Table,
    /// The models of `OUT/models`.
    pub models: Models,
    /// PCs as the gossip sees them.
    pub gossip: BTreeMap<Mac, Gossip>,
    /// The last notes, oldest first.
    pub notes: VecDeque<(u64, String)>,
    /// Grows when the settings change.
    pub settings_version: u64,
    /// Addresses given out, to be kept over a restart.
    pub leases: Vec<KeptLease>,
    /// Something changed that is to be kept.
    pub unsaved: bool,
    events: VecDeque<Stamped>,
    /// When a stranger was last told of.
    stranger_ms: Option<u64>,
}

/// Who asks: the address, and the card that the kernel knows behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asker {
    pub address: IpAddr,
    /// `None` beyond a router and on this very machine.
    pub card: Option<Mac>,
}

/// Why a report was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportError {
    /// Not a report at all.
    Unreadable,
    /// Not of the attempt that this PC is in.
    Stale,
    /// From another card, at another address than the attempt began from.
    Stranger,
}

impl Desk {
    pub fn new(server: SocketAddrV4, interface: &str, dhcp: &'static str) -> Desk {
        Desk {
            server,
            interface: interface.to_owned(),
            dhcp,
            pcs: Pcs::default(),
            gate: Gate::default(),
            settings: Settings::default(),
            table: Table::default(),
            models: Models::default(),
            gossip: BTreeMap::new(),
            notes: VecDeque::new(),
            settings_version: 0,
            leases: Vec::new(),
            unsaved: false,
            events: VecDeque::new(),
            stranger_ms: None,
        }
    }

    pub fn url(&self) -> String {
        match self.server.port() {
            80 => format!("http://{}/", self.server.ip()),
            _ => format!("http://{}/", self.server),
        }
    }

    /// What the gossip says now; viewers hear of a change.
    pub fn see_gossip(&mut self, gossip: BTreeMap<Mac, Gossip>) {
        if self.gossip != gossip {
            self.gossip = gossip;
            self.pcs.version += 1;
        }
    }

    pub fn tell(&mut self, event: Event, now_ms: u64) {
        if self.events.len() >= EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(Stamped { at_s: now_ms as f64 / 1000.0, event });
    }

    /// Tells something of a PC, within that PC's share of lines.
    fn tell_of(&mut self, mac: Mac, event: Event, now_ms: u64) {
        let Some(left_out) = self.pcs.may_show(&mac, now_ms) else { return };
        if left_out > 0 {
            let sentence = format!("{}: {left_out} lines were left out", self.settings.name_of(&mac));
            self.tell(Event::Note { sentence }, now_ms);
        }
        self.tell(event, now_ms);
    }

    /// Tells the owner something, once a minute at most.
    pub fn note(&mut self, sentence: String, now_ms: u64) {
        let lately =
            |(at, old): &(u64, String)| *old == sentence && now_ms.saturating_sub(*at) < NOTE_AGAIN_MS;
        if self.notes.iter().any(lately) {
            return;
        }
        if self.notes.len() >= NOTES_MAX {
            self.notes.pop_front();
        }
        self.notes.push_back((now_ms, sentence.clone()));
        self.pcs.version += 1;
        self.tell(Event::Note { sentence }, now_ms);
    }

    /// The next event to show, until `None`.
    pub fn poll(&mut self) -> Option<Stamped> {
        self.events.pop_front()
    }

    /// A PC asked for a boot by DHCP.
    pub fn asked(&mut self, mac: Mac, firmware: &str, ipxe: bool, now_ms: u64) {
        let name = self.settings.name_of(&mac).to_string();
        if self.pcs.asked(mac, &name, firmware, ipxe, now_ms) {
            let event = Event::Asked { mac: mac.to_string(), name, firmware: firmware.to_owned() };
            self.tell_of(mac, event, now_ms);
        }
    }

    /// The script of `/boot/<mac>.ipxe`; asked for by the PC itself it begins a boot attempt.
    pub fn script(&mut self, mac: Mac, asker: Asker, now_ms: u64) -> Result<String, script::ScriptError> {
        let wishes = self.settings.of(&mac);
        let name = self.settings.name_of(&mac);
        if wishes.block == Some(true) {
            return script::waiting(mac, self.server, "This PC is blocked in duet.toml.");
        }
        if wishes.boot == Some(Boot::Local) {
            return Ok(script::local(mac, &name));
        }
        let counted = self.is_itself(mac, asker, now_ms);
        let Some((release, order)) = self.order(mac, &wishes, counted) else {
            let sentence = match wishes.release {
                Some(release) => {
                    format!("Release {release} is set for this PC but is not on the server.")
                }
                None => "The server has no release yet.".to_owned(),
            };
            return script::waiting(mac, self.server, &sentence);
        };
        let boot = script::Boot {
            mac,
            name: &name,
            settings: &script_settings(&wishes),
            servers: &[self.server.into()],
            release: &release,
            attempt: order.attempt,
        };
        let script = script::boot(&boot);
        if counted {
            self.ordered(mac, name, asker.address, order, now_ms);
        } else {
            self.note_stranger(mac, asker, now_ms);
        }
        script
    }

    fn ordered(&mut self, mac: Mac, name: HostName, address: IpAddr, order: Order, now_ms: u64) {
        self.unsaved = true;
        let name = name.to_string();
        self.pcs.ordered(mac, &name, address, order.clone(), now_ms);
        let Order { attempt, release, reason } = order;
        let event = Event::Ordered { mac: mac.to_string(), name, release, attempt, reason };
        self.tell_of(mac, event, now_ms);
    }

    /// Whether the PC itself asks, as far as the wire tells: its address belongs to its card,
    /// or where that cannot be known, DHCP heard it lately.
    ///
    /// Whoever puts another PC's MAC into its own frames still passes for that PC, and can make it fall back
    /// by fetching in its name; only a switch with port security keeps that from happening.
    pub fn is_itself(&self, mac: Mac, asker: Asker, now_ms: u64) -> bool {
        match asker.card {
            Some(card) => card == mac,
            None => self.dhcp == DhcpMode::Off.name() || self.pcs.asked_lately(&mac, now_ms),
        }
    }

    /// Without DHCP of ours PCs may come up by other means.
    pub fn boots_nobody(&self) -> bool {
        self.dhcp == DhcpMode::Off.name()
    }

    fn note_stranger(&mut self, mac: Mac, asker: Asker, now_ms: u64) {
        if self.stranger_ms.is_some_and(|told| now_ms.saturating_sub(told) < STRANGERS_AGAIN_MS) {
            return;
        }
        self.stranger_ms = Some(now_ms);
        let who = asker.card.map_or_else(|| "no known card".to_owned(), |card| card.to_string());
        let address = asker.address;
        self.note(
            format!("{address} ({who}) asked for the script of {mac}; such boots are not counted"),
            now_ms,
        );
    }

    /// Which release the PC gets, as a new attempt if it is counted.
    fn order(&mut self, mac: Mac, wishes: &PcSettings, counted: bool) -> Option<(ReleaseId, Order)> {
        if let Some(pin) = &wishes.release {
            if !self.table.has(pin.as_str()) {
                return None;
            }
            let attempt = if counted { self.gate.begin_pinned(mac, pin.as_str()) } else { UNCOUNTED };
            let reason = Some("set in duet.toml".to_owned());
            return Some((pin.clone(), Order { attempt, release: pin.to_string(), reason }));
        }
        let (attempt, release, reason) = if counted {
            let decision = self.gate.begin(&self.table.promoted, mac)?;
            (decision.attempt, decision.release, decision.reason)
        } else {
            let (release, reason) = self.gate.choose(&self.table.promoted, mac)?;
            (UNCOUNTED, release, reason)
        };
        let reason = (reason != Reason::Newest).then(|| reason.to_string());
        // The promoted list holds checked ids only, so this is always one.
        let id = ReleaseId::parse(&release).ok()?;
        Some((id, Order { attempt, release, reason }))
    }

    /// A piece of a release's file went out to this address.
    pub fn sent(&mut self, peer: IpAddr, served: &Served, n: u64, place: u64, now_ms: u64) {
        let Some(mac) = self.pcs.by_address(&peer) else { return };
        let Some(stage) = Stage::of_file(served.name.as_str()) else { return };
        let piece = Piece { stage, n, bytes: place, of: served.bytes };
        if let Some(seconds) = self.pcs.sent(mac, piece, now_ms) {
            self.tell_sent(mac, served.name.as_str(), served.bytes, seconds, now_ms);
            if stage == Stage::Root && self.pcs.get(&mac).is_some_and(|pc| pc.began_at == Some(peer)) {
                let attempt = self.gate.last(mac).map_or(0, |attempt| attempt.number);
                self.unsaved |= self.gate.fetched(mac, attempt);
            }
        }
    }

    /// A piece of a first stage went out by TFTP.
    pub fn sent_first_stage(&mut self, mac: Mac, file: &str, n: u64, place: u64, of: u64, now_ms: u64) {
        let piece = Piece { stage: Stage::FirstStage, n, bytes: place, of };
        if let Some(seconds) = self.pcs.sent(mac, piece, now_ms) {
            self.tell_sent(mac, file, of, seconds, now_ms);
        }
    }

    fn tell_sent(&mut self, mac: Mac, file: &str, bytes: u64, seconds: f64, now_ms: u64) {
        let name = self.settings.name_of(&mac).to_string();
        let event = Event::Sent { mac: mac.to_string(), name, file: file.to_owned(), bytes, seconds };
        self.tell_of(mac, event, now_ms);
    }

    /// A node's report, as it came.
    pub fn report(&mut self, body: &[u8], asker: Asker, now_ms: u64) -> Result<(), ReportError> {
        let report = report::parse(body).ok_or(ReportError::Unreadable)?;
        let mac = report.mac;
        let now = self.gate.last(mac);
        if !now.is_some_and(|open| open.number == report.attempt && open.release == report.release.as_str()) {
            return Err(ReportError::Stale);
        }
        // A PC may have another address by now, or answer with another of its cards, but hardly both.
        let began_at = self.pcs.get(&mac).and_then(|pc| pc.began_at);
        if began_at != Some(asker.address) && asker.card.is_some_and(|card| card != mac) {
            return Err(ReportError::Stranger);
        }
        self.note_order(&report, now_ms);
        let reached = match report.stage {
            release::Stage::Failed => {
                self.failed(&report, now_ms);
                return Ok(());
            }
            release::Stage::RootReady => {
                self.unsaved |= self.gate.fetched(mac, report.attempt);
                Stage::RootReady
            }
            release::Stage::Booted => Stage::Booted,
            release::Stage::Healthy => {
                self.unsaved |= self.gate.healthy(mac, report.attempt);
                Stage::Healthy
            }
        };
        self.reached(reached, &report, now_ms);
        Ok(())
    }

    /// After a restart the gate still knows the attempt that the table does not.
    fn note_order(&mut self, report: &Report, now_ms: u64) {
        let mac = report.mac;
        if self.pcs.get(&mac).is_some_and(|pc| pc.order.is_some()) {
            return;
        }
        let order = Order { attempt: report.attempt, release: report.release.to_string(), reason: None };
        let name = self.settings.name_of(&mac).to_string();
        self.pcs.resumed(mac, &name, order, now_ms);
    }

    fn failed(&mut self, report: &Report, now_ms: u64) {
        let mac = report.mac;
        self.pcs.failed(mac, &report.sentence, now_ms);
        let (name, sentence) = (self.settings.name_of(&mac).to_string(), plain_text(&report.sentence));
        let attempt = report.attempt;
        self.tell_of(mac, Event::Failed { mac: mac.to_string(), name, sentence, attempt }, now_ms);
    }

    fn reached(&mut self, stage: Stage, report: &Report, now_ms: u64) {
        let mac = report.mac;
        if !self.pcs.reached(mac, stage, now_ms) {
            return;
        }
        let since_ms = self.pcs.get(&mac).and_then(Pc::since_ms).unwrap_or(now_ms);
        let event = Event::Reached {
            mac: mac.to_string(),
            name: self.settings.name_of(&mac).to_string(),
            stage: stage.name(),
            attempt: report.attempt,
            clock: report.clock,
            after_s: now_ms.saturating_sub(since_ms) as f64 / 1000.0,
        };
        self.tell_of(mac, event, now_ms);
    }

    /// New settings are in force.
    pub fn set_settings(&mut self, settings: Settings) {
        self.settings = settings;
        self.settings_version += 1;
        self.pcs.version += 1;
        let names: Vec<_> = self.pcs.iter().map(|(mac, _)| (*mac, self.settings.name_of(mac))).collect();
        for (mac, name) in names {
            self.pcs.rename(&mac, name.as_str());
        }
    }

    /// Takes up what an earlier run kept.
    pub fn restore(&mut self, kept: Kept) {
        self.gate = kept.gate;
        self.leases = kept.leases;
        for (mac, last) in kept.last {
            self.remember(mac, last);
        }
    }

    pub fn remember(&mut self, mac: Mac, last: Last) {
        let name = self.settings.name_of(&mac).to_string();
        self.pcs.remember(mac, &name, last);
    }

    /// What is to be kept over a restart.
    pub fn kept(&self, unix_s: u64) -> Kept {
        let last = self.pcs.iter().filter_map(|(mac, pc)| Some((*mac, pc.last_of(unix_s)?))).collect();
        Kept { gate: self.gate.clone(), last, leases: self.leases.clone() }
    }
}

fn script_settings(wishes: &PcSettings) -> script::Settings {
    let mode = match wishes.mode {
        Some(Mode::Wrap) => release::Mode::Wrap,
        _ => release::Mode::Net,
    };
    let extra = wishes.words.as_ref().map(|words| words.0.clone()).unwrap_or_default();
    script::Settings { mode, extra, ..Default::default() }
}
