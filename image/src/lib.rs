//! `duet`: builds, serves and tries the netboot image.

pub mod args;
pub mod bench;
pub mod build;
pub mod calendar;
pub mod demo;
pub mod disk;
pub mod elf;
pub mod keys;
pub mod man;
pub mod models;
pub mod nodes;
pub mod plan;
pub mod progress;
pub mod releases;
pub mod rpc;
pub mod serve;
pub mod setup;
pub mod sim;
pub mod talk;
pub mod test;
pub mod tool;
pub mod vm;

use anyhow::Result;
use args::{Args, Command};

/// Does what the command line says.
pub fn run(args: Args) -> Result<()> {
    match args.command {
        Command::Build(args) => build::command(args),
        Command::Verify(args) => build::verify::command(args),
        Command::Test(args) => test::command(args),
        Command::Vm(args) => vm::run(args),
        Command::Demo(args) => demo::command(args),
        Command::Bench(args) => bench::command(args),
        Command::Sim(args) => sim::command(args),
        Command::Serve(args) => serve::command(args),
        Command::Models(args) => models::command(args),
        Command::Nodes(args) => nodes::command(args),
        Command::Keys(args) => keys::command(args),
        Command::Ask(args) => talk::ask(args),
        Command::Say(args) => talk::say(args),
        Command::Plan(args) => plan::command(args),
        Command::Rpc(args) => rpc::command(args),
        Command::Release(args) => releases::args::command(args),
    }
}
