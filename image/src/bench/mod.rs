//! `duet bench`: the figures that duet is held to, measured and shown beside their gates.

pub mod boot;

use anyhow::Result;
use argh::{ArgsInfo, FromArgs};

/// Measure what duet is held to.
#[derive(FromArgs, ArgsInfo, Debug, Clone)]
#[argh(
    subcommand,
    name = "bench",
    example = "Sizes, memory and instructions of a boot:\n  duet bench boot",
    example = "The same for a program, without the search for the least memory:\n  duet bench boot --quick --json"
)]
pub struct BenchArgs {
    #[argh(subcommand)]
    pub what: What,
}

#[derive(FromArgs, ArgsInfo, Debug, Clone)]
#[argh(subcommand)]
pub enum What {
    Boot(boot::BootArgs),
}

/// Runs the command.
pub fn command(args: BenchArgs) -> Result<()> {
    match args.what {
        What::Boot(args) => boot::command(args),
    }
}
