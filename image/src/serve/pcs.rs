//! What every PC is doing: fed with events and the time, read by the table, the page and the API.
//!
//! Pure: it reads no clock, no socket and no file; times are milliseconds since the server started.
//! It does not know which release a PC should get; it only keeps what it was given.

use netboot::Mac;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// So many PCs are remembered; beyond that the least telling one is forgotten.
pub const PCS_MAX: usize = 1024;
/// A PC's own sentence is cut to this many characters.
pub const SENTENCE_CHARS_MAX: usize = 240;
/// So many lines are shown of one PC within `LINES_WINDOW_MS`, the rest is counted: six whole boots.
pub const LINES_MAX: u32 = 60;
const LINES_WINDOW_MS: u64 = 60_000;
/// A rate is measured over at least this time.
const RATE_WINDOW_MS: u64 = 500;
/// Asking again within this time is the same question: PXE ROMs repeat themselves after 4, 8 and 16 s.
const ASK_AGAIN_MS: u64 = 30_000;
/// A script may follow a question by DHCP for this long: ROM, first stage and iPXE's own DHCP take a minute at worst.
const ASKED_LATELY_MS: u64 = 600_000;

/// The steps from power-on to healthy, in order.
#[allow(clippy::enum_variant_names)] // "first stage" is the domain's own name for it
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    Asked,
    FirstStage,
    Script,
    Kernel,
    Initrd,
    Root,
    RootReady,
    Booted,
    Healthy,
}

impl Stage {
    pub const ALL: [Stage; 9] = [
        Stage::Asked,
        Stage::FirstStage,
        Stage::Script,
        Stage::Kernel,
        Stage::Initrd,
        Stage::Root,
        Stage::RootReady,
        Stage::Booted,
        Stage::Healthy,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Stage::Asked => "asked",
            Stage::FirstStage => "first stage",
            Stage::Script => "script",
            Stage::Kernel => "kernel",
            Stage::Initrd => "initrd",
            Stage::Root => "root",
            Stage::RootReady => "root ready",
            Stage::Booted => "booted",
            Stage::Healthy => "healthy",
        }
    }

    /// The stage that fetches this file of a release.
    pub fn of_file(name: &str) -> Option<Stage> {
        match name {
            "vmlinuz" => Some(Stage::Kernel),
            "initrd" => Some(Stage::Initrd),
            "root.squashfs" => Some(Stage::Root),
            _ => None,
        }
    }
}

/// One stage of one boot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mark {
    pub at_ms: u64,
    /// So much of the file went out, from its beginning without a gap, and the file's length;
    /// 0 of 0 where no file is meant.
    pub bytes: u64,
    pub of: u64,
    /// When the last byte went out.
    pub done_ms: Option<u64>,
}

/// What a PC was told to boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    pub attempt: u32,
    pub release: String,
    /// Why it is not the newest release, for people.
    pub reason: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pc {
    pub name: String,
    pub address: Option<IpAddr>,
    /// What DHCP told of its firmware.
    pub firmware: Option<String>,
    pub order: Option<Order>,
    /// The address that asked for the script of `order`; only what goes there counts for it.
    pub began_at: Option<IpAddr>,
    /// When it last asked by DHCP.
    pub asked_ms: Option<u64>,
    pub marks: BTreeMap<Stage, Mark>,
    /// The PC's own sentence on its last failure in this boot.
    pub failure: Option<(u64, String)>,
    pub seen_ms: u64,
    /// What an earlier run of the server knew.
    pub last: Option<Last>,
    worth: Worth,
    lines: Lines,
    rate: Rate,
}

/// How a boot stood when it was last heard of, kept over restarts of the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Last {
    pub release: String,
    pub healthy: bool,
    pub unix_s: u64,
}

/// What would be lost with a PC; kept over its boots. Fetching a script, or a byte, earns nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Worth {
    #[default]
    New,
    /// It had a whole root image, or an earlier run of the server knew it.
    Known,
    /// It was healthy once.
    Healthy,
}

/// Lines shown lately, and left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Lines {
    since_ms: u64,
    shown: u32,
    left_out: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Rate {
    since_ms: u64,
    bytes: u64,
    per_second: u64,
}

impl Pc {
    fn new(name: String, now_ms: u64) -> Pc {
        Pc {
            name,
            address: None,
            firmware: None,
            order: None,
            began_at: None,
            asked_ms: None,
            marks: BTreeMap::new(),
            failure: None,
            seen_ms: now_ms,
            last: None,
            worth: Worth::New,
            lines: Lines::default(),
            rate: Rate::default(),
        }
    }

    /// The furthest stage of this boot.
    pub fn stage(&self) -> Option<Stage> {
        self.marks.keys().next_back().copied()
    }

    /// When this boot began.
    pub fn since_ms(&self) -> Option<u64> {
        self.marks.values().map(|mark| mark.at_ms).min()
    }

    /// Bytes per second of the file that is being sent now; 0 when none is.
    pub fn bytes_per_second(&self, now_ms: u64) -> u64 {
        let sending = self.marks.values().any(|mark| mark.of > 0 && mark.done_ms.is_none());
        let fresh = now_ms.saturating_sub(self.rate.since_ms) < 4 * RATE_WINDOW_MS;
        if sending && fresh { self.rate.per_second } else { 0 }
    }

    /// How this boot stands, to be kept over a restart of the server.
    pub fn last_of(&self, unix_s: u64) -> Option<Last> {
        let Some(order) = &self.order else { return self.last.clone() };
        let healthy = self.stage() == Some(Stage::Healthy) && self.failure.is_none();
        Some(Last { release: order.release.clone(), healthy, unix_s })
    }

    fn restart(&mut self) {
        self.marks.clear();
        self.failure = None;
        self.rate = Rate::default();
    }

    fn mark(&mut self, stage: Stage, now_ms: u64) -> &mut Mark {
        self.seen_ms = now_ms;
        self.marks.entry(stage).or_insert(Mark { at_ms: now_ms, ..Mark::default() })
    }

    /// Who is forgotten first: of the new PCs that which got least far and was not seen for longest;
    /// of the known ones the newest, which a flood consists of; of the healthy ones that not seen for longest.
    fn rank(&self) -> (Worth, Option<Stage>, u64) {
        match self.worth {
            Worth::New => (Worth::New, self.stage(), self.seen_ms),
            Worth::Known => (Worth::Known, None, u64::MAX - self.seen_ms),
            Worth::Healthy => (Worth::Healthy, None, self.seen_ms),
        }
    }

    fn count(&mut self, n: u64, now_ms: u64) {
        let rate = &mut self.rate;
        let elapsed = now_ms.saturating_sub(rate.since_ms);
        if rate.bytes == 0 || elapsed > 4 * RATE_WINDOW_MS {
            *rate = Rate { since_ms: now_ms, bytes: n, per_second: 0 };
            return;
        }
        if elapsed >= RATE_WINDOW_MS {
            *rate =
                Rate { since_ms: now_ms, bytes: 0, per_second: rate.bytes.saturating_mul(1000) / elapsed };
        }
        rate.bytes += n;
    }
}

/// A piece of a file went out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    pub stage: Stage,
    pub n: u64,
    /// The place in the file after this piece, and the file's length.
    pub bytes: u64,
    pub of: u64,
}

#[derive(Debug, Default)]
pub struct Pcs {
    pcs: BTreeMap<Mac, Pc>,
    by_address: BTreeMap<IpAddr, Mac>,
    /// Grows with every change, so that viewers know when to look again.
    pub version: u64,
}

impl Pcs {
    pub fn iter(&self) -> impl Iterator<Item = (&Mac, &Pc)> {
        self.pcs.iter()
    }

    pub fn get(&self, mac: &Mac) -> Option<&Pc> {
        self.pcs.get(mac)
    }

    pub fn by_address(&self, address: &IpAddr) -> Option<Mac> {
        self.by_address.get(address).copied()
    }

    /// A PC asked for a boot. Returns true when this begins a new boot.
    ///
    /// One boot asks several times: the ROM first (and again when nobody answers), then iPXE.
    /// After the script, or when a ROM asks although its first stage was loaded, the PC has started again.
    pub fn asked(&mut self, mac: Mac, name: &str, firmware: &str, ipxe: bool, now_ms: u64) -> bool {
        let pc = self.pc(mac, name, now_ms);
        let again = match pc.stage() {
            None => true,
            Some(Stage::Asked) => now_ms.saturating_sub(pc.seen_ms) > ASK_AGAIN_MS,
            Some(Stage::FirstStage) => !ipxe,
            Some(_) => true,
        };
        if again {
            pc.restart();
        }
        // What the ROM told says more than what its iPXE tells afterwards.
        if again || !ipxe {
            pc.firmware = Some(firmware.to_owned());
        }
        pc.asked_ms = Some(now_ms);
        pc.mark(Stage::Asked, now_ms);
        again
    }

    /// Whether DHCP heard this PC a short while ago.
    pub fn asked_lately(&self, mac: &Mac, now_ms: u64) -> bool {
        let asked_ms = self.pcs.get(mac).and_then(|pc| pc.asked_ms);
        asked_ms.is_some_and(|asked_ms| now_ms.saturating_sub(asked_ms) <= ASKED_LATELY_MS)
    }

    /// A PC is known to have this address.
    pub fn has_address(&mut self, mac: Mac, address: IpAddr) {
        let Some(pc) = self.pcs.get_mut(&mac) else { return };
        if let Some(old) = pc.address.replace(address)
            && old != address
        {
            self.by_address.remove(&old);
        }
        if let Some(before) = self.by_address.insert(address, mac)
            && before != mac
            && let Some(other) = self.pcs.get_mut(&before)
        {
            other.address = None;
        }
        self.version += 1;
    }

    /// A PC was given its script: a boot attempt begins.
    pub fn ordered(&mut self, mac: Mac, name: &str, address: IpAddr, order: Order, now_ms: u64) {
        let pc = self.pc(mac, name, now_ms);
        if pc.stage() >= Some(Stage::Script) {
            pc.restart();
        }
        pc.order = Some(order);
        pc.began_at = Some(address);
        pc.mark(Stage::Script, now_ms);
        self.has_address(mac, address);
    }

    /// A piece went out. Returns the seconds that the whole file took when this was its last piece.
    ///
    /// Only a piece that begins where the ones before it reached adds to the file:
    /// a resumed transfer adds up, and the last byte alone, or the first one many times, is not a whole file.
    pub fn sent(&mut self, mac: Mac, piece: Piece, now_ms: u64) -> Option<f64> {
        let pc = self.pcs.get_mut(&mac)?;
        self.version += 1;
        pc.count(piece.n, now_ms);
        let mark = pc.mark(piece.stage, now_ms);
        mark.of = piece.of;
        if piece.bytes.saturating_sub(piece.n) <= mark.bytes {
            mark.bytes = mark.bytes.max(piece.bytes).min(piece.of);
        }
        if mark.bytes < mark.of || mark.done_ms.is_some() {
            return None;
        }
        mark.done_ms = Some(now_ms);
        let took_ms = now_ms.saturating_sub(mark.at_ms);
        if piece.stage == Stage::Root {
            pc.worth = pc.worth.max(Worth::Known);
        }
        Some(took_ms as f64 / 1000.0)
    }

    /// A PC told that it reached a stage. Returns true when that was news.
    pub fn reached(&mut self, mac: Mac, stage: Stage, now_ms: u64) -> bool {
        let Some(pc) = self.pcs.get_mut(&mac) else { return false };
        self.version += 1;
        let news = !pc.marks.contains_key(&stage);
        pc.mark(stage, now_ms);
        if stage == Stage::Healthy {
            pc.worth = Worth::Healthy;
        }
        pc.failure = None;
        news
    }

    /// A PC goes on with a boot that an earlier run of the server began.
    pub fn resumed(&mut self, mac: Mac, name: &str, order: Order, now_ms: u64) {
        self.pc(mac, name, now_ms).order = Some(order);
    }

    pub fn remember(&mut self, mac: Mac, name: &str, last: Last) {
        let pc = self.pc(mac, name, 0);
        pc.worth = if last.healthy { Worth::Healthy } else { Worth::Known };
        pc.last = Some(last);
    }

    /// A PC told what went wrong.
    pub fn failed(&mut self, mac: Mac, sentence: &str, now_ms: u64) {
        let Some(pc) = self.pcs.get_mut(&mac) else { return };
        self.version += 1;
        pc.seen_ms = now_ms;
        pc.failure = Some((now_ms, plain_text(sentence)));
    }

    /// Whether one more line of this PC may be shown, and how many were left out since the last.
    pub fn may_show(&mut self, mac: &Mac, now_ms: u64) -> Option<u64> {
        // A PC that is not known any more was forgotten in a flood.
        let lines = &mut self.pcs.get_mut(mac)?.lines;
        if now_ms.saturating_sub(lines.since_ms) >= LINES_WINDOW_MS {
            (lines.since_ms, lines.shown) = (now_ms, 0);
        }
        if lines.shown >= LINES_MAX {
            lines.left_out += 1;
            return None;
        }
        lines.shown += 1;
        Some(std::mem::take(&mut lines.left_out))
    }

    pub fn rename(&mut self, mac: &Mac, name: &str) {
        if let Some(pc) = self.pcs.get_mut(mac)
            && pc.name != name
        {
            pc.name = name.to_owned();
            self.version += 1;
        }
    }

    /// The PC of this MAC, made when it is new.
    fn pc(&mut self, mac: Mac, name: &str, now_ms: u64) -> &mut Pc {
        self.version += 1;
        if !self.pcs.contains_key(&mac) && self.pcs.len() >= PCS_MAX {
            self.forget_one();
        }
        let pc = self.pcs.entry(mac).or_insert_with(|| Pc::new(name.to_owned(), now_ms));
        if pc.name != name {
            pc.name = name.to_owned();
        }
        pc
    }

    /// A flood of invented MACs pushes out itself, not the PCs that boot.
    fn forget_one(&mut self) {
        let least = self.pcs.iter().min_by_key(|(_, pc)| pc.rank()).map(|(mac, _)| *mac);
        if let Some(pc) = least.and_then(|mac| self.pcs.remove(&mac))
            && let Some(address) = pc.address
        {
            self.by_address.remove(&address);
        }
    }
}

/// A sentence from outside, on one line, without control characters, cut to its limit.
pub fn plain_text(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SENTENCE_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Mac = Mac([0x52, 0x54, 0, 0x77, 0, 1]);
    const B: Mac = Mac([0x52, 0x54, 0, 0x77, 0, 2]);

    fn address(n: u8) -> IpAddr {
        IpAddr::from([10, 77, 0, n])
    }

    fn order(attempt: u32) -> Order {
        Order { attempt, release: "trixie-1".to_owned(), reason: None }
    }

    fn root(n: u64, bytes: u64) -> Piece {
        Piece { stage: Stage::Root, n, bytes, of: 1000 }
    }

    /// Plays a story of one PC, a word a second, and says which stages its boot has and when it began.
    /// `rom` and `ipxe` ask, `tftp` loads the first stage, `boot` gets the script, numbers wait so many seconds.
    fn check(story: &str, want: &str) {
        let (mut pcs, mut now_ms) = (Pcs::default(), 0);
        for word in story.split(' ') {
            match word {
                "rom" => drop(pcs.asked(A, "a", "bios", false, now_ms)),
                "ipxe" => drop(pcs.asked(A, "a", "bios", true, now_ms)),
                "tftp" => {
                    let _ = pcs.sent(A, Piece { stage: Stage::FirstStage, n: 9, bytes: 9, of: 9 }, now_ms);
                }
                "boot" => pcs.ordered(A, "a", address(1), order(1), now_ms),
                "root" => assert!(pcs.sent(A, root(1000, 1000), now_ms).is_some()),
                "healthy" => drop(pcs.reached(A, Stage::Healthy, now_ms)),
                wait => now_ms += wait.parse::<u64>().expect("a number") * 1000 - 1000,
            }
            now_ms += 1000;
        }
        let pc = pcs.get(&A).expect("the pc");
        let stages: Vec<&str> = pc.marks.keys().map(|stage| stage.name()).collect();
        assert_eq!(
            format!("{} from {} s", stages.join(", "), pc.since_ms().unwrap_or(0) / 1000),
            want,
            "{story}"
        );
    }

    #[test]
    fn one_boot_asks_several_times() {
        check("rom rom tftp ipxe boot", "asked, first stage, script from 0 s");
        check("ipxe boot root healthy", "asked, script, root, healthy from 0 s");
    }

    #[test]
    fn a_pc_that_asks_again_after_its_script_has_started_again() {
        check("rom tftp ipxe boot root rom", "asked from 5 s");
        check("ipxe boot healthy ipxe boot", "asked, script from 3 s");
    }

    #[test]
    fn a_rom_that_asks_after_its_first_stage_has_started_again() {
        check("rom tftp rom", "asked from 2 s");
    }

    #[test]
    fn a_question_repeated_much_later_is_a_new_one() {
        check("rom 10 rom", "asked from 0 s");
        check("rom 40 rom", "asked from 41 s");
    }

    #[test]
    fn a_second_script_begins_a_new_boot() {
        check("rom tftp ipxe boot root boot", "script from 5 s");
    }

    #[test]
    fn the_rate_is_that_of_the_last_moments() {
        let mut pcs = Pcs::default();
        pcs.ordered(A, "a", address(1), order(1), 0);
        for (idx, now_ms) in (0..=1000).step_by(100).enumerate() {
            pcs.sent(A, root(50, 50 * (idx as u64 + 1)), now_ms);
        }
        assert_eq!(pcs.get(&A).expect("a").bytes_per_second(1000), 500);
        assert_eq!(pcs.get(&A).expect("a").bytes_per_second(60_000), 0);
    }

    #[test]
    fn a_file_is_whole_only_once() {
        let mut pcs = Pcs::default();
        pcs.ordered(A, "a", address(1), order(1), 0);
        let got: Vec<_> =
            [500, 1000, 1000].map(|place| pcs.sent(A, root(500, place), place).is_some()).into();
        assert_eq!(got, [false, true, false]);
    }

    /// Sends these ranges of a file of 1000 bytes and says how much of it is there.
    fn check_sent(ranges: &[(u64, u64)], want: u64) {
        let mut pcs = Pcs::default();
        pcs.ordered(A, "a", address(1), order(1), 0);
        let whole = ranges.iter().filter(|(from, to)| pcs.sent(A, root(to - from, *to), 1).is_some()).count();
        let mark = pcs.get(&A).expect("a").marks[&Stage::Root];
        assert_eq!((mark.bytes, whole), (want, usize::from(want == 1000)), "{ranges:?}");
    }

    #[test]
    fn a_file_is_whole_when_all_of_it_was_sent_and_not_when_its_end_was() {
        check_sent(&[(999, 1000)], 0);
        check_sent(&[(0, 1), (999, 1000)], 1);
        check_sent(&[(0, 600), (0, 600)], 600);
        check_sent(&[(0, 600), (700, 1000)], 600);
    }

    #[test]
    fn a_resumed_transfer_adds_up() {
        check_sent(&[(0, 600), (600, 1000)], 1000);
        check_sent(&[(0, 600), (500, 1000)], 1000);
        check_sent(&[(0, 600), (0, 1000), (0, 1000)], 1000);
    }

    #[test]
    fn an_address_belongs_to_the_pc_that_had_it_last() {
        let mut pcs = Pcs::default();
        pcs.ordered(A, "a", address(1), order(1), 0);
        pcs.ordered(B, "b", address(1), order(1), 1);
        assert_eq!(pcs.by_address(&address(1)), Some(B));
        pcs.has_address(B, address(2));
        assert_eq!((pcs.by_address(&address(1)), pcs.get(&A).expect("a").address), (None, None));
    }

    #[test]
    fn invented_macs_push_out_each_other_and_not_a_pc_that_boots() {
        let mut pcs = Pcs::default();
        pcs.ordered(A, "a", address(1), order(1), 0);
        for n in 0..2 * PCS_MAX as u64 {
            let [.., c, d, e, f] = n.to_be_bytes();
            pcs.asked(Mac([2, 0, c, d, e, f]), "x", "bios", false, 1 + n);
        }
        assert_eq!((pcs.iter().count(), pcs.get(&A).is_some()), (PCS_MAX, true));
    }

    #[test]
    fn a_flood_that_fetches_pushes_out_no_pc_with_a_history() {
        let (c, mut pcs) = (Mac([0x52, 0x54, 0, 0x77, 0, 3]), Pcs::default());
        pcs.remember(c, "c", Last { release: "trixie-1".to_owned(), healthy: false, unix_s: 0 });
        pcs.ordered(A, "a", address(1), order(1), 1);
        pcs.reached(A, Stage::Healthy, 2);
        // It starts again, so its marks are gone.
        pcs.asked(A, "a", "bios", false, 3);
        pcs.ordered(B, "b", address(2), order(1), 3);
        pcs.sent(B, root(1000, 1000), 4);
        for n in 0..2 * PCS_MAX as u64 {
            let [.., x, y] = n.to_be_bytes();
            let stranger = Mac([2, 0, 0, 0, x, y]);
            pcs.ordered(stranger, "x", IpAddr::from([10, 0, x, y]), order(1), 5 + n);
            let n_sent = if n % 2 == 0 { 1 } else { 1000 };
            pcs.sent(stranger, root(n_sent, n_sent), 5 + n);
        }
        assert_eq!(pcs.iter().count(), PCS_MAX);
        assert!([A, B, c].iter().all(|mac| pcs.get(mac).is_some()));
        assert!(pcs.by_address.len() <= PCS_MAX);
    }

    #[test]
    fn a_sentence_from_outside_stays_on_its_line() {
        assert_eq!(plain_text("a\nb\u{1b}[2J"), "a b [2J");
        assert_eq!(plain_text(&"ü".repeat(999)).chars().count(), SENTENCE_CHARS_MAX);
    }
}
