//! `duet bench boot`: how large the image is, how much memory a node needs, how many instructions a boot costs.
//!
//! Times are noisy on any machine and stand here only to be read; sizes, memory and instructions are held to gates.

use crate::releases;
use crate::setup::{self, For};
use crate::vm::machine::{Dhcp, Pc};
use crate::vm::report::{PcReport, budget_table};
use crate::vm::shelf::{Options, Shelf};
use crate::vm::stages::Stage;
use crate::vm::{alike, reports, wait_all};
use anyhow::{Context, Result};
use argh::{ArgsInfo, FromArgs};
use serde::Serialize;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A usual PC, for the memory that a node occupies.
const USUAL_MIB: u32 = 1024;
/// Sizes of memory to try, downwards.
const SEARCH_MIB: [u32; 8] = [192, 176, 160, 144, 128, 112, 96, 80];
/// A PC of the search that is not healthy by then has too little memory.
const SEARCH_MAX: Duration = Duration::from_secs(180);
const BOOT_MAX: Duration = Duration::from_secs(900);
/// Counting slows QEMU down five times.
const COUNT_MAX: Duration = Duration::from_secs(2400);

/// Measure a boot: sizes, memory, instructions.
#[derive(FromArgs, ArgsInfo, Debug, Clone)]
#[argh(
    subcommand,
    name = "boot",
    example = "Everything, in about ten minutes, as data:\n  duet bench boot --json"
)]
pub struct BootArgs {
    /// folder with the releases (default: out)
    #[argh(option, default = "PathBuf::from(\"out\")")]
    pub out: PathBuf,
    /// print one JSON object on stdout; progress goes to stderr
    #[argh(switch)]
    pub json: bool,
    /// leave out the search for the least memory
    #[argh(switch)]
    pub quick: bool,
    /// install missing packages without asking
    #[argh(switch, short = 'y')]
    pub yes: bool,
}

/// All figures of a boot.
#[derive(Debug, Serialize)]
pub struct Figures {
    pub release: String,
    pub squashfs_bytes: u64,
    pub initrd_bytes: u64,
    pub ram_occupied_bytes: Option<u64>,
    /// The least memory of a PC that became healthy; absent with `--quick`.
    pub ram_least_mib: Option<u32>,
    /// From power-on, with firmware and iPXE, executed on one core; sleeping does not count.
    /// iPXE turns in circles while it waits for bytes, so a small part of this follows the host's network.
    pub instructions_to_multi_user: Option<u64>,
    /// The part from the start of the kernel.
    pub instructions_from_kernel: Option<u64>,
    pub stages: Vec<PcReport>,
}

/// Runs the command.
pub fn command(args: BootArgs) -> Result<()> {
    setup::ensure(&[For::Vm], args.yes)?;
    let figures = measure(&args)?;
    if args.json {
        println!("{}", serde_json::to_string(&figures)?);
    } else {
        print!("{}", table(&figures));
    }
    Ok(())
}

fn measure(args: &BootArgs) -> Result<Figures> {
    let promoted = releases::promoted(&args.out)?;
    let release =
        promoted.into_iter().next().context("nothing is promoted yet; `duet build` makes a release")?;
    let folder = releases::folder(&args.out).join(&release);
    let mut figures = Figures {
        squashfs_bytes: bytes_of(&folder.join("root.squashfs"))?,
        initrd_bytes: bytes_of(&folder.join("initrd"))?,
        release,
        ram_occupied_bytes: None,
        ram_least_mib: None,
        instructions_to_multi_user: None,
        instructions_from_kernel: None,
        stages: vec![],
    };
    say(&format!("one PC with {USUAL_MIB} MiB: memory and times, about a minute"));
    let usual = boot(args, Pc { memory_mib: USUAL_MIB, ..Pc::default() }, BOOT_MAX)?;
    figures.ram_occupied_bytes = usual.memory.map(|memory| memory.occupied);
    figures.stages.push(usual);
    if !args.quick {
        say("PCs with less and less memory, from 192 MiB: about a minute each");
        figures.ram_least_mib = search(args)?;
    }
    say("one PC that counts its instructions: one to five minutes");
    let counting = boot(args, Pc { counting: true, ..Pc::default() }, COUNT_MAX)?;
    let (kernel, multi_user) =
        (counting.instructions(Stage::Kernel), counting.instructions(Stage::MultiUser));
    figures.instructions_to_multi_user = multi_user;
    figures.instructions_from_kernel = kernel.zip(multi_user).map(|(kernel, end)| end - kernel);
    figures.stages.push(counting);
    Ok(figures)
}

fn bytes_of(path: &Path) -> Result<u64> {
    Ok(fs::metadata(path).with_context(|| format!("{} cannot be read", path.display()))?.len())
}

fn say(what: &str) {
    eprintln!("bench boot: {what}");
}

fn shelf(args: &BootArgs, pcs: Vec<Pc>) -> Result<Shelf> {
    let options = alike(args.out.clone(), 1, Pc::default(), Dhcp::Own)?;
    Shelf::start(Options { pcs, logs: args.out.join("bench"), ..options })
}

fn boot(args: &BootArgs, pc: Pc, limit: Duration) -> Result<PcReport> {
    let started = Instant::now();
    let mut shelf = shelf(args, vec![pc])?;
    shelf.power_on(0)?;
    wait_all(&shelf, limit)?;
    shelf.wait_counted(0);
    say(&format!("took {} seconds", started.elapsed().as_secs()));
    reports(&shelf).pop().context("a shelf has a PC")
}

/// The least memory with which a PC becomes healthy.
fn search(args: &BootArgs) -> Result<Option<u32>> {
    let pcs = SEARCH_MIB.map(|memory_mib| Pc { memory_mib, words: vec![], ..Pc::default() });
    let mut shelf = shelf(args, pcs.to_vec())?;
    let mut least = None;
    for (pc_idx, memory_mib) in SEARCH_MIB.into_iter().enumerate() {
        shelf.power_on(pc_idx)?;
        let healthy = shelf.wait_for(pc_idx, Stage::Healthy, SEARCH_MAX);
        shelf.pull_plug(pc_idx)?;
        match healthy {
            Ok(reached) => say(&format!("{memory_mib} MiB: healthy after {:.1} s", reached.seconds)),
            Err(_) => {
                let far = shelf.view(pc_idx).stage().map_or("nothing", Stage::name);
                say(&format!("{memory_mib} MiB: not healthy, came to {far}"));
                break;
            }
        }
        least = Some(memory_mib);
    }
    Ok(least)
}

struct Gate {
    what: &'static str,
    value: Option<f64>,
    unit: &'static str,
    /// At most this, and what would be better still.
    gate: f64,
    beyond: f64,
}

fn gates(figures: &Figures) -> [Gate; 5] {
    let gate = |what, value, unit, gate, beyond| Gate { what, value, unit, gate, beyond };
    let mb = |bytes: u64| bytes as f64 / 1e6;
    [
        gate("root.squashfs", Some(mb(figures.squashfs_bytes)), "MB", 48.0, 36.0),
        gate("initrd", Some(mb(figures.initrd_bytes)), "MB", 2.5, 2.0),
        gate("memory occupied after boot", figures.ram_occupied_bytes.map(mb), "MB", 140.0, 110.0),
        gate("least memory that boots", figures.ram_least_mib.map(f64::from), "MiB", 192.0, 160.0),
        gate(
            "power-on to multi-user",
            figures.instructions_to_multi_user.map(|n| n as f64 / 1e9),
            "G instructions",
            11.0,
            8.0,
        ),
    ]
}

/// The figures beside their gates.
pub fn table(figures: &Figures) -> String {
    let mut text =
        format!("{}\n{:<28}{:>10}{:>10}{:>10}\n", figures.release, "", "measured", "gate", "beyond");
    for Gate { what, value, unit, gate, beyond } in gates(figures) {
        let (measured, verdict) = match value {
            None => ("-".to_owned(), "not measured"),
            Some(value) if value <= beyond => (format!("{value:.2}"), "beyond"),
            Some(value) if value <= gate => (format!("{value:.2}"), "reached"),
            Some(value) => (format!("{value:.2}"), "missed"),
        };
        let _ = writeln!(text, "{what:<28}{measured:>10}{gate:>10}{beyond:>10}  {unit}, {verdict}");
    }
    if let Some(counting) = figures.stages.iter().find(|pc| pc.instructions(Stage::MultiUser).is_some()) {
        let _ = write!(text, "\n{}", budget_table(counting));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(instructions: Option<u64>, want: &str) {
        let figures = Figures {
            release: "trixie-0123456789ab".to_owned(),
            squashfs_bytes: 27_750_400,
            initrd_bytes: 2_100_000,
            ram_occupied_bytes: Some(150_000_000),
            ram_least_mib: None,
            instructions_to_multi_user: instructions,
            instructions_from_kernel: None,
            stages: vec![],
        };
        let table = table(&figures);
        let line = table.lines().find(|line| line.contains(want.split("  ").next().unwrap()));
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(line.map(words), Some(words(want)), "{table}");
    }

    #[test]
    fn a_figure_better_than_the_wish_is_beyond() {
        check(None, "root.squashfs  27.75 48 36 MB, beyond");
    }

    #[test]
    fn a_figure_between_gate_and_wish_reaches() {
        check(None, "initrd  2.10 2.5 2 MB, reached");
        check(Some(9_500_000_000), "power-on to multi-user  9.50 11 8 G instructions, reached");
    }

    #[test]
    fn a_figure_over_the_gate_is_missed() {
        check(None, "memory occupied after boot  150.00 140 110 MB, missed");
    }

    #[test]
    fn what_was_not_measured_says_so() {
        check(None, "least memory that boots  - 192 160 MiB, not measured");
    }
}
