//! `duet bench spread`: how long one node and twenty take to get a model, and how much of it the boot server sends.
//!
//! The machines are the real ones of `crates/spread`; the wire and the time are simulated (`world`), so the figures are
//! the same on every machine. It knows nothing of hashes and disks: on a real node those cost less than the wire.

pub mod world;

use anyhow::{Result, ensure};
use argh::{ArgsInfo, FromArgs};
use serde::Serialize;
use std::time::Duration;
use world::{Course, Outcome};

const NODES: std::ops::RangeInclusive<usize> = 2..=200;
const MIB: std::ops::RangeInclusive<u64> = 4..=65_536;
const MBIT: std::ops::RangeInclusive<u64> = 1..=100_000;
/// Twenty are to have it in less than twice the time of one.
const RATIO_MAX: f64 = 2.0;
/// The server sends it about once.
const SERVER_SENT_MAX: f64 = 1.2;

/// Measure how a model spreads from the boot server over many nodes.
#[derive(FromArgs, ArgsInfo, Debug, Clone)]
#[argh(
    subcommand,
    name = "spread",
    example = "A model of 1 GB for one node and for twenty, as data:\n  duet bench spread --json",
    example = "On a wire of 100 Mbit/s:\n  duet bench spread --mbit 100",
    error_code(1, "A gate is missed; one sentence on stderr says which."),
    note = "Time and wire are simulated, the machines that decide are those of the nodes."
)]
pub struct SpreadArgs {
    /// print one JSON object on stdout
    #[argh(switch)]
    pub json: bool,
    /// nodes beside the one that is measured alone (default 20)
    #[argh(option, default = "20")]
    pub nodes: usize,
    /// size of the model in MiB (default 954, which is 1 GB)
    #[argh(option, default = "954")]
    pub mib: u64,
    /// what each cable carries, in Mbit/s each way (default 1000)
    #[argh(option, default = "1000")]
    pub mbit: u64,
    /// another story (default 1)
    #[argh(option, default = "1")]
    pub seed: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    pub nodes: usize,
    pub bytes: u64,
    pub mbit_per_s: u64,
    pub seed: u64,
    pub one_s: f64,
    pub twenty_s: f64,
    pub ratio: f64,
    pub server_sent_ratio: f64,
    /// The same with trouble on the wire: how long, and how much the server sends.
    pub rows: Vec<Row>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    pub what: &'static str,
    pub last_s: f64,
    pub server_sent_ratio: f64,
    pub n_dropped: usize,
}

/// Runs the command.
pub fn command(args: &SpreadArgs) -> Result<()> {
    ensure!(NODES.contains(&args.nodes), "--nodes is {} to {}", NODES.start(), NODES.end());
    ensure!(MIB.contains(&args.mib), "--mib is {} to {}", MIB.start(), MIB.end());
    ensure!(MBIT.contains(&args.mbit), "--mbit is {} to {}", MBIT.start(), MBIT.end());
    eprintln!("bench spread: six simulated wires, some seconds");
    let figures = measure(args)?;
    if args.json {
        println!("{}", serde_json::to_string(&figures)?);
    } else {
        print!("{}", table(&figures));
    }
    ensure!(
        figures.ratio < RATIO_MAX,
        "a gate is missed: {} nodes take {:.2} times as long as one",
        args.nodes,
        figures.ratio
    );
    let sent = figures.server_sent_ratio;
    ensure!(sent <= SERVER_SENT_MAX, "a gate is missed: the server sends the model {sent:.2} times");
    Ok(())
}

/// All courses of one run.
pub fn measure(args: &SpreadArgs) -> Result<Figures> {
    let whole = Course {
        n_nodes: args.nodes,
        file_bytes: args.mib << 20,
        mbit_per_s: args.mbit,
        seed: args.seed,
        liar: None,
        dies: None,
        server_leaves: false,
        broken_percent: 0,
    };
    let one = world::run(&Course { n_nodes: 1, ..whole.clone() });
    let all = world::run(&whole);
    let (one_s, twenty_s) = (seconds(&one, None)?, seconds(&all, None)?);
    // In the middle of it.
    let dies = Some((1, Duration::from_secs_f64(twenty_s / 2.0)));
    let troubles = [
        ("a node sends wrong chunks", Course { liar: Some(0), ..whole.clone() }),
        ("a node dies in the middle", Course { dies, ..whole.clone() }),
        ("the server leaves when all is sent", Course { server_leaves: true, ..whole.clone() }),
        ("one of ten transfers breaks", Course { broken_percent: 10, ..whole.clone() }),
    ];
    let rows = troubles.into_iter().map(|(what, course)| {
        let outcome = world::run(&course);
        let last_s = seconds(&outcome, course.liar.or(course.dies.map(|(idx, _)| idx)))?;
        let server_sent_ratio = sent(&outcome, &course);
        Ok(Row { what, last_s, server_sent_ratio, n_dropped: outcome.dropped.len() })
    });
    Ok(Figures {
        nodes: args.nodes,
        bytes: whole.file_bytes,
        mbit_per_s: args.mbit,
        seed: args.seed,
        one_s,
        twenty_s,
        ratio: twenty_s / one_s,
        server_sent_ratio: sent(&all, &whole),
        rows: rows.collect::<Result<_>>()?,
    })
}

fn sent(outcome: &Outcome, course: &Course) -> f64 {
    outcome.server_bytes as f64 / course.file_bytes as f64
}

fn seconds(outcome: &Outcome, but: Option<usize>) -> Result<f64> {
    let last = outcome.last(but);
    let last = last.ok_or_else(|| {
        anyhow::anyhow!("a simulated node never got the whole model; this is a bug in duet")
    })?;
    Ok(last.as_secs_f64())
}

fn table(figures: &Figures) -> String {
    let Figures { nodes, bytes, mbit_per_s, one_s, twenty_s, ratio, server_sent_ratio, .. } = figures;
    let mut text = format!(
        "a model of {:.2} GB on links of {mbit_per_s} Mbit/s\n  one node             {one_s:8.1} s\n  \
         {nodes:<3} nodes            {twenty_s:8.1} s   {ratio:.2} times\n  \
         the server sends it  {server_sent_ratio:8.2} times\n",
        *bytes as f64 / 1e9
    );
    for Row { what, last_s, server_sent_ratio, n_dropped } in &figures.rows {
        text +=
            &format!("  {what:<36} {last_s:6.1} s, sent {server_sent_ratio:.2} times, dropped {n_dropped}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn course(n_nodes: usize, mib: u64, seed: u64) -> Course {
        Course {
            n_nodes,
            file_bytes: mib << 20,
            mbit_per_s: 1000,
            seed,
            liar: None,
            dies: None,
            server_leaves: false,
            broken_percent: 0,
        }
    }

    #[test]
    fn twenty_take_less_than_twice_the_time_of_one_and_the_server_sends_about_once() {
        // 1 GB is what the bench itself is held to; unoptimised it would take half a minute.
        let (one, all) = (world::run(&course(1, 300, 1)), world::run(&course(20, 300, 1)));
        let ratio = all.last(None).unwrap().as_secs_f64() / one.last(None).unwrap().as_secs_f64();
        let sent = sent(&all, &course(20, 300, 1));
        assert!(ratio < RATIO_MAX && sent <= SERVER_SENT_MAX, "{ratio:.2} times, sent {sent:.2} times");
    }

    #[test]
    fn the_same_seed_tells_the_same_story() {
        assert_eq!(world::run(&course(5, 100, 7)), world::run(&course(5, 100, 7)));
    }

    #[test]
    fn who_sends_wrong_chunks_is_dropped_by_all_who_asked_and_holds_nobody_up() {
        let course = Course { liar: Some(3), ..course(8, 100, 2) };
        let outcome = world::run(&course);
        assert!(outcome.last(Some(3)).is_some(), "{:?}", outcome.done);
        assert!(!outcome.dropped.is_empty() && outcome.dropped.iter().all(|(who, _)| *who == 3));
        let mut by: Vec<usize> = outcome.dropped.iter().map(|(_, by)| *by).collect();
        by.sort_unstable();
        let n = by.len();
        by.dedup();
        assert_eq!(by.len(), n, "somebody dropped it twice");
    }

    #[test]
    fn the_others_get_all_when_a_node_dies_and_when_the_server_leaves_after_it_sent_all() {
        let dies = Some((2, Duration::from_millis(900)));
        let died = world::run(&Course { dies, ..course(8, 100, 3) });
        assert!(died.last(Some(2)).is_some(), "{:?}", died.done);
        let course = Course { server_leaves: true, ..course(8, 100, 4) };
        let left = world::run(&course);
        assert!(left.last(None).is_some(), "{:?}", left.done);
        assert!(sent(&left, &course) < 1.5);
    }

    #[test]
    fn a_wire_on_which_a_third_of_all_transfers_break_delays_and_ends() {
        let outcome = world::run(&Course { broken_percent: 33, ..course(6, 60, 5) });
        assert!(outcome.last(None).is_some(), "{:?}", outcome.done);
    }
}
