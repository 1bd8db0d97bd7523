//! The command line of `duet sim`, as data.

use argh::{ArgsInfo, FromArgs};

/// Play the cluster's real code in virtual time.
#[derive(FromArgs, ArgsInfo, Debug, Clone)]
#[argh(
    subcommand,
    name = "sim",
    example = "Twenty PCs on a good wire:\n  duet sim cluster",
    example = "A thousand on one that loses a datagram in a hundred:\n  duet sim cluster --nodes 1000 --loss 0.01 --json"
)]
pub struct SimArgs {
    #[argh(subcommand)]
    pub what: What,
}

#[derive(FromArgs, ArgsInfo, Debug, Clone)]
#[argh(subcommand)]
pub enum What {
    Cluster(ClusterArgs),
    Trials(TrialsArgs),
}

/// Gossip: a cold start, a rest, deaths, a split in two halves, and the figures of each.
#[derive(FromArgs, ArgsInfo, Debug, Clone)]
#[argh(subcommand, name = "cluster")]
pub struct ClusterArgs {
    /// how many PCs (default 20)
    #[argh(option, default = "20")]
    pub nodes: usize,
    /// share of datagrams that the wire loses (default 0)
    #[argh(option, default = "0.0")]
    pub loss: f64,
    /// the story's seed: the same one tells the same story (default 1)
    #[argh(option, default = "1")]
    pub seed: u64,
    /// minutes of rest, in which traffic and false deaths are counted (default 1)
    #[argh(option, default = "1.0")]
    pub minutes: f64,
    /// how many PCs die, one after the other (default 3)
    #[argh(option, default = "3")]
    pub deaths: usize,
    /// print one JSON object
    #[argh(switch)]
    pub json: bool,
}

/// Gossip on bad days: splits, dead clocks, stalls, strangers, replays; each told with many seeds.
#[derive(FromArgs, ArgsInfo, Debug, Clone)]
#[argh(subcommand, name = "trials")]
pub struct TrialsArgs {
    /// play only those whose name contains this
    #[argh(option, default = "String::new()")]
    pub only: String,
    /// how many seeds each (default 10)
    #[argh(option, default = "10")]
    pub seeds: u64,
    /// the first seed (default 0)
    #[argh(option, default = "0")]
    pub seed: u64,
}
