//! The command line, as data.

use crate::build::args::{BuildArgs, VerifyArgs};
use crate::releases::args::ReleaseArgs;
use crate::serve::ServeArgs;
use crate::test::TestArgs;
use argh::{ArgsInfo, FromArgs};

/// duet: build a netboot image for old PCs, serve it, and try it on virtual ones.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    example = "From nothing to two virtual PCs that boot:\n  cargo duet demo",
    example = "Boot the PCs in the house:\n  cargo duet build\n  sudo target/release/duet serve",
    note = "Every command says more with --help."
)]
pub struct Args {
    #[argh(subcommand)]
    pub command: Command,
}

#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(subcommand)]
pub enum Command {
    Build(BuildArgs),
    Verify(VerifyArgs),
    Test(TestArgs),
    Vm(crate::vm::VmArgs),
    Demo(crate::demo::DemoArgs),
    Bench(crate::bench::BenchArgs),
    Sim(crate::sim::args::SimArgs),
    Serve(ServeArgs),
    Models(crate::models::args::ModelsArgs),
    Nodes(crate::nodes::args::NodesArgs),
    Keys(crate::keys::args::KeysArgs),
    Ask(crate::talk::args::AskArgs),
    Say(crate::talk::args::SayArgs),
    Plan(crate::plan::PlanArgs),
    Rpc(crate::rpc::args::RpcArgs),
    Release(ReleaseArgs),
}
