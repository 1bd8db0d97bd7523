//! What a shelf did, as a table for people and as JSON for programs.

use super::machine::{self, Pc};
use super::stages::{Memory, Stage};
use super::watch::{Reached, View};
use serde::Serialize;
use std::fmt::Write;
use std::net::Ipv4Addr;

/// One PC of the report.
#[derive(Debug, Serialize)]
pub struct PcReport {
    pub name: String,
    pub mac: String,
    pub cpu: machine::Processor,
    pub nic: machine::Nic,
    pub firmware: machine::Firmware,
    pub memory_mib: u32,
    pub address: Option<Ipv4Addr>,
    /// The page's address on this machine.
    pub page: Option<String>,
    pub stage: Option<Stage>,
    pub stages: Vec<Reached>,
    pub memory: Option<Memory>,
    pub ended: Option<String>,
}

impl PcReport {
    pub fn new(pc_idx: usize, pc: &Pc, view: View, page: Option<String>) -> Self {
        Self {
            name: machine::name(pc_idx),
            mac: machine::mac(pc_idx),
            cpu: pc.processor,
            nic: pc.nic,
            firmware: pc.firmware,
            memory_mib: pc.memory_mib,
            address: view.address,
            page,
            stage: view.stage(),
            stages: view.reached,
            memory: view.memory,
            ended: view.ended,
        }
    }

    /// What a counting PC had executed when it reached a stage.
    pub fn instructions(&self, stage: Stage) -> Option<u64> {
        self.at(stage)?.instructions
    }

    fn at(&self, stage: Stage) -> Option<Reached> {
        self.stages.iter().find(|reached| reached.stage == stage).copied()
    }
}

/// A table: one line per PC, seconds per stage.
pub fn table(pcs: &[PcReport]) -> String {
    let mut text = format!("{:<6}{:<16}", "PC", "address");
    for stage in Stage::ALL {
        let _ = write!(text, "{:>12}", stage.name());
    }
    text.push_str("   memory occupied   page\n");
    for pc in pcs {
        let address = pc.address.map_or_else(|| "-".to_owned(), |address| address.to_string());
        let _ = write!(text, "{:<6}{:<16}", pc.name, address);
        for stage in Stage::ALL {
            let cell = pc.at(stage).map_or_else(|| "-".to_owned(), |at| format!("{:.1} s", at.seconds));
            let _ = write!(text, "{cell:>12}");
        }
        let memory = pc.memory.map_or_else(|| "-".to_owned(), |m| format!("{} MB", m.occupied / 1_000_000));
        let _ = writeln!(text, "{memory:>18}   {}", pc.page.as_deref().unwrap_or("-"));
    }
    text
}

/// The costs of one PC that counts: instructions executed, and guest time, which waiting also moves.
pub fn budget_table(pc: &PcReport) -> String {
    let mut text = String::from("stage         instructions since power-on   guest time\n");
    let mut last = 0;
    for reached in &pc.stages {
        let Some(count) = reached.instructions else { continue };
        let (all, step) = (count as f64 / 1e9, count.saturating_sub(last) as f64 / 1e9);
        let _ = write!(text, "{:<12}{all:>9.3} G  (+{step:>6.3} G)", reached.stage.name());
        let _ = match reached.clock {
            Some(clock) => writeln!(text, "{:>14.3} s", clock as f64 / 1e9),
            None => writeln!(text, "{:>16}", "-"),
        };
        last = count;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pc() -> PcReport {
        let reached = |stage, seconds, clock: Option<u64>| {
            let instructions = clock.map(|clock| clock - 100_000_000);
            Reached { stage, seconds, clock, instructions }
        };
        let view = View {
            reached: vec![
                reached(Stage::Ipxe, 0.5, None),
                reached(Stage::Fetch, 9.0, Some(2_350_000_000)),
                reached(Stage::Healthy, 31.62, Some(13_200_000_000)),
            ],
            memory: Some(Memory { total: 4, free: 3, available: 2, occupied: 137_500_000 }),
            address: Some(Ipv4Addr::new(10, 77, 0, 100)),
            ..View::default()
        };
        PcReport::new(0, &Pc::default(), view, Some("http://127.0.0.1:8001/".to_owned()))
    }

    #[test]
    fn a_pc_is_one_line_with_its_seconds_memory_and_page() {
        let table = table(&[pc()]);
        let line = table.lines().nth(1).unwrap();
        let words: Vec<_> = line.split_whitespace().collect();
        let want = "pc1 10.77.0.100 - 0.5 s - 9.0 s - - 31.6 s 137 MB http://127.0.0.1:8001/";
        assert_eq!(words.join(" "), want);
    }

    #[test]
    fn the_budget_counts_from_stage_to_stage() {
        let table = budget_table(&pc());
        assert!(table.contains("fetch           2.250 G  (+ 2.250 G)         2.350 s"), "{table}");
        assert!(table.contains("healthy        13.100 G  (+10.850 G)        13.200 s"), "{table}");
    }

    #[test]
    fn the_json_names_stages_as_the_boot_reports_do() {
        let json = serde_json::to_value(pc()).unwrap();
        assert_eq!(json["stages"][1]["stage"], "fetch");
        assert_eq!(json["stage"], "healthy");
        assert_eq!(json["cpu"], "core2duo");
    }
}
