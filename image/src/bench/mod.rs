//! `duet bench`: the figures that duet is held to, measured and shown beside their gates.

pub mod asked;
pub mod beside;
pub mod boot;
pub mod gateway;
pub mod kernels;
pub mod llm;
pub mod models;
pub mod plot;
pub mod recall;
pub mod routing;
pub mod served;
pub mod split;
pub mod spread;
pub mod stt;
pub mod turn;
pub mod worker;

use anyhow::Result;
use argh::{ArgsInfo, FromArgs};

/// Measure what duet is held to.
#[derive(FromArgs, ArgsInfo, Debug, Clone)]
#[argh(
    subcommand,
    name = "bench",
    example = "Sizes, memory and instructions of a boot:\n  duet bench boot",
    example = "The same for a program, without the search for the least memory:\n  duet bench boot --quick --json",
    example = "Our kernels beside ggml's own, alone and in whole models:\n  duet bench kernels\n  duet bench llm --quick",
    example = "Speech to text, ggml's own kernels beside ours:\n  duet bench stt",
    example = "From the key to the first sound of an answer:\n  duet bench turn --quick",
    example = "How good the models of the shelf are:\n  duet bench models",
    example = "How often each way of choosing an expert is right:\n  duet bench routing",
    example = "How often a question in other words finds a fact of the memory:\n  duet bench recall",
    example = "Speech to text beside a model that writes:\n  duet bench beside",
    example = "A model that is cut over several nodes, beside the whole one:\n  duet bench split",
    example = "How a model spreads from the boot server over twenty nodes:\n  duet bench spread",
    note = "Memory is measured on a node itself, or wherever an agent is: agent memory bench --vectors"
)]
pub struct BenchArgs {
    #[argh(subcommand)]
    pub what: What,
}

#[derive(FromArgs, ArgsInfo, Debug, Clone)]
#[argh(subcommand)]
pub enum What {
    Beside(beside::BesideArgs),
    Boot(boot::BootArgs),
    Gateway(gateway::GatewayArgs),
    Kernels(kernels::KernelsArgs),
    Llm(llm::args::LlmArgs),
    Models(models::ModelsArgs),
    Recall(recall::RecallArgs),
    Routing(routing::RoutingArgs),
    Split(split::SplitArgs),
    Spread(spread::SpreadArgs),
    Stt(stt::SttArgs),
    Turn(turn::TurnArgs),
}

/// Runs the command.
pub fn command(args: BenchArgs) -> Result<()> {
    match args.what {
        What::Beside(args) => beside::command(&args),
        What::Boot(args) => boot::command(args),
        What::Gateway(args) => gateway::command(&args),
        What::Kernels(args) => kernels::command(&args),
        What::Llm(args) => llm::command(&args),
        What::Models(args) => models::command(&args),
        What::Recall(args) => recall::command(&args),
        What::Routing(args) => routing::command(&args),
        What::Split(args) => split::command(&args),
        What::Spread(args) => spread::command(&args),
        What::Stt(args) => stt::command(&args),
        What::Turn(args) => turn::command(&args),
    }
}
