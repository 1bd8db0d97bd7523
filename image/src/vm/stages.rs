//! What the serial line of a PC and the boot server tell of it: stages, memory, page.
//!
//! Pure: lines and answers in, facts out. The quiet kernel lets few lines through,
//! so the stages between iPXE and multi-user come from the boot server.

use super::console::plain;
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

/// A line that is longer is cut.
const LINE_BYTES_MAX: usize = 4096;

/// How far a PC has come since it was switched on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The first sign of life on the serial line.
    Firmware,
    /// iPXE runs, from the card or from the boot server.
    Ipxe,
    /// iPXE has kernel and initrd and starts the kernel.
    Kernel,
    /// The node's own first process has found its network and asks for the root image.
    Fetch,
    /// The root image is there, checked and mounted.
    RootReady,
    MultiUser,
    /// The node's programs answer.
    Healthy,
}

impl Stage {
    pub const ALL: [Self; 7] = [
        Self::Firmware,
        Self::Ipxe,
        Self::Kernel,
        Self::Fetch,
        Self::RootReady,
        Self::MultiUser,
        Self::Healthy,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Firmware => "firmware",
            Self::Ipxe => "ipxe",
            Self::Kernel => "kernel",
            Self::Fetch => "fetch",
            Self::RootReady => "root-ready",
            Self::MultiUser => "multi-user",
            Self::Healthy => "healthy",
        }
    }
}

/// Memory as the node counts it after boot, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Memory {
    pub total: u64,
    pub free: u64,
    pub available: u64,
    pub occupied: u64,
}

/// What one line tells.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Told {
    pub stage: Option<Stage>,
    /// The guest's time stamp counter.
    pub clock: Option<u64>,
    pub memory: Option<Memory>,
    pub address: Option<Ipv4Addr>,
}

/// Reads one line of a serial log.
pub fn read(line: &str) -> Told {
    let Some((_, words)) = line.split_once("duet: ") else {
        return Told { stage: stage_of_firmware(line), ..Told::default() };
    };
    let value = |key: &str| {
        let found = words.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
        found.map(|value| value.trim_end_matches([',', '.']))
    };
    let number = |key: &str| value(key).and_then(|value| value.parse::<u64>().ok());
    let kib = |key: &str| number(key)?.checked_mul(1024);
    Told {
        stage: stage_of_duet(words),
        clock: number("clock").filter(|&clock| clock > 0),
        memory: words.strip_prefix("memory ").and_then(|_| {
            Some(Memory {
                total: kib("total")?,
                free: kib("free")?,
                available: kib("available")?,
                occupied: kib("occupied")?,
            })
        }),
        address: value("page").and_then(address_of_page),
    }
}

fn stage_of_firmware(line: &str) -> Option<Stage> {
    // iPXE ends the line of a file that it fetched with "ok".
    let fetched = |name: &str| line.contains(name) && line.trim_end().ends_with("ok");
    if fetched("initrd...") || line.contains("] Linux version ") {
        Some(Stage::Kernel)
    } else if line.contains("iPXE 1.") || line.contains("iPXE 2.") || line.contains("iPXE initialising") {
        Some(Stage::Ipxe)
    } else {
        (!line.trim().is_empty()).then_some(Stage::Firmware)
    }
}

fn stage_of_duet(words: &str) -> Option<Stage> {
    match words.split_whitespace().next() {
        Some("multi-user") => Some(Stage::MultiUser),
        Some("healthy") => Some(Stage::Healthy),
        _ => None,
    }
}

fn address_of_page(page: &str) -> Option<Ipv4Addr> {
    let host = page.strip_prefix("http://").unwrap_or(page);
    host.split([':', '/']).next()?.parse().ok()
}

/// What the boot server says of one PC, in its answer to `GET /api/pcs`.
#[derive(Debug, Deserialize)]
pub struct ServerPc {
    pub mac: String,
    pub address: Option<String>,
    asked_s_ago: Option<f64>,
    stages: Vec<ServerStage>,
}

#[derive(Debug, Deserialize)]
struct ServerStage {
    stage: String,
    at_s: Option<f64>,
    took_s: Option<f64>,
}

impl ServerPc {
    /// The furthest stage of a boot that began within the last `seconds`.
    pub fn stage(&self, seconds: f64) -> Option<Stage> {
        // A boot that began earlier is the one before this power-on.
        self.asked_s_ago.filter(|&ago| ago < seconds)?;
        self.stages.iter().filter_map(ServerStage::reached).max()
    }
}

impl ServerStage {
    fn reached(&self) -> Option<Stage> {
        self.at_s?;
        match self.stage.as_str() {
            "initrd" => self.took_s.map(|_| Stage::Kernel),
            "root" => Some(Stage::Fetch),
            "root-ready" => Some(Stage::RootReady),
            "booted" => Some(Stage::MultiUser),
            "healthy" => Some(Stage::Healthy),
            _ => None,
        }
    }
}

/// Cuts a growing log into lines.
#[derive(Debug, Default)]
pub struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    /// Takes new bytes and gives the lines that they end.
    pub fn add(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for &byte in bytes {
            if byte != b'\n' && self.rest.len() < LINE_BYTES_MAX {
                self.rest.push(byte);
                continue;
            }
            let line = String::from_utf8_lossy(&self.rest);
            lines.push(plain(&line).trim_end().to_owned());
            self.rest.clear();
            if byte != b'\n' {
                self.rest.push(byte);
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, stage: Option<Stage>, clock: Option<u64>) {
        let told = read(line);
        assert_eq!((told.stage, told.clock), (stage, clock), "{line}");
    }

    #[test]
    fn the_banner_of_ipxe_is_a_stage() {
        check("iPXE 1.0.0+git-20190125 -- Open Source Network Boot Firmware", Some(Stage::Ipxe), None);
    }

    #[test]
    fn a_fetched_initrd_means_that_the_kernel_starts() {
        check("http://10.77.0.1/releases/x/initrd... ok", Some(Stage::Kernel), None);
    }

    #[test]
    fn a_talking_kernel_has_started() {
        check("[    0.000000] Linux version 6.12.1 (x)", Some(Stage::Kernel), None);
    }

    #[test]
    fn an_initrd_on_its_way_is_not_the_kernel() {
        check("http://10.77.0.1/releases/x/initrd... 42%", Some(Stage::Firmware), None);
    }

    #[test]
    fn multi_user_comes_with_the_clock() {
        check("duet: multi-user clock=9000000000", Some(Stage::MultiUser), Some(9_000_000_000));
    }

    #[test]
    fn the_kernels_own_time_stamp_before_a_line_does_not_matter() {
        check(
            "[   12.345678] duet: healthy clock=5 page=http://10.77.0.100:8000/",
            Some(Stage::Healthy),
            Some(5),
        );
    }

    #[test]
    fn a_clock_of_zero_is_unknown() {
        check("duet: multi-user clock=0", Some(Stage::MultiUser), None);
    }

    #[test]
    fn an_empty_line_is_no_stage() {
        check("   ", None, None);
    }

    #[test]
    fn the_address_is_read_from_the_page() {
        let told = read("duet: healthy clock=5 page=http://10.77.0.100:8000/");
        assert_eq!(told.address, Some(Ipv4Addr::new(10, 77, 0, 100)));
    }

    #[test]
    fn memory_is_read_whole_or_not_at_all() {
        let memory = Memory { total: 4096, free: 3072, available: 2048, occupied: 1024 };
        assert_eq!(read("duet: memory total=4 free=3 available=2 occupied=1").memory, Some(memory));
        assert_eq!(read("duet: memory total=4 free=3").memory, None);
    }

    #[track_caller]
    fn check_server(asked_s_ago: f64, stages: &str, want: Option<Stage>) {
        let json = format!(
            r#"{{"mac": "x", "address": null, "asked_s_ago": {asked_s_ago}, "new": 1, "stages": [{stages}]}}"#
        );
        let pc: ServerPc = serde_json::from_str(&json).unwrap();
        assert_eq!(pc.stage(60.0), want);
    }

    #[test]
    fn the_server_knows_when_the_root_is_asked_for() {
        check_server(9.0, r#"{"stage": "root", "at_s": 5, "took_s": null}"#, Some(Stage::Fetch));
    }

    #[test]
    fn a_stage_that_was_not_reached_does_not_count() {
        check_server(9.0, r#"{"stage": "healthy", "at_s": null, "took_s": null}"#, None);
    }

    #[test]
    fn an_initrd_on_its_way_from_the_server_is_not_the_kernel() {
        check_server(9.0, r#"{"stage": "initrd", "at_s": 5, "took_s": null}"#, None);
        check_server(9.0, r#"{"stage": "initrd", "at_s": 5, "took_s": 1}"#, Some(Stage::Kernel));
    }

    #[test]
    fn the_boot_before_this_one_does_not_count() {
        check_server(61.0, r#"{"stage": "healthy", "at_s": 5, "took_s": null}"#, None);
    }

    #[test]
    fn words_of_ipxe_and_of_trouble_are_no_stage() {
        check("duet: pc2 boots trixie-0d5be6aef6c8, attempt 1", None, None);
    }

    #[test]
    fn a_line_may_come_in_pieces_and_without_an_end() {
        let mut lines = Lines::default();
        assert_eq!(lines.add(b"one\r\ntw"), ["one"]);
        assert_eq!(lines.add(b"o\n"), ["two"]);
        assert_eq!(lines.add(&[b'x'; LINE_BYTES_MAX + 1]).len(), 1);
    }
}
