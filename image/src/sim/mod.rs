//! `duet sim`: the cluster's real code in virtual time, with figures.

pub mod args;
pub mod cast;
pub mod story;
pub mod trials;
pub mod world;

use anyhow::Result;
use args::{ClusterArgs, SimArgs, What};
use story::Figures;

/// Runs the command.
pub fn command(args: SimArgs) -> Result<()> {
    match args.what {
        What::Cluster(args) => cluster(&args),
        What::Trials(args) => {
            trials::play(&args.only, args.seed..args.seed + args.seeds, &mut |line| eprintln!("{line}"))
        }
    }
}

fn cluster(args: &ClusterArgs) -> Result<()> {
    eprintln!("{} nodes, loss {}, seed {}", args.nodes, args.loss, args.seed);
    let start = std::time::Instant::now();
    let figures =
        story::tell(args, &mut |line| eprintln!("{:7.1} s  {line}", start.elapsed().as_secs_f64()))?;
    if args.json {
        println!("{}", serde_json::to_string(&figures)?);
    } else {
        print!("{}", page(&figures));
    }
    Ok(())
}

/// The figures beside their gates.
fn page(figures: &Figures) -> String {
    let is_large = figures.nodes > 100;
    let gates: [f64; 4] = if is_large { [30.0, 15.0, 30.0, f64::NAN] } else { [1.0, 8.0, f64::NAN, 500.0] };
    let rows = [
        ("converge, s", figures.converge_s, gates[0]),
        ("dead seen by all, s", figures.dead_seen_by_all_s, gates[1]),
        ("partition healed, s", figures.partition_healed_s, gates[2]),
        ("bytes/s/node at rest", figures.bytes_per_second_per_node, gates[3]),
        ("false deaths at rest", figures.false_downs as f64, 0.0),
        ("back with all records, s", figures.back_s, f64::NAN),
        ("news to all, s", figures.news_s, f64::NAN),
    ];
    let mut page = format!("{:28} {:>8} {:>8}\n", "", "here", "gate");
    for (what, value, gate) in rows {
        let gate = if gate.is_nan() { String::new() } else { format!("{gate:.0}") };
        page.push_str(format!("{what:28} {value:8.2} {gate:>8}").trim_end());
        page.push('\n');
    }
    page
}
