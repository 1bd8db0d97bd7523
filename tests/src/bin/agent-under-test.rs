//! The program `agent` again, built with the tests, so that they start the very code they belong to.

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: agent::args::Args = argh::from_env();
    match args.command.map(agent::run) {
        Some(Ok(())) => ExitCode::SUCCESS,
        Some(Err(error)) => {
            eprintln!("agent: {error:#}");
            ExitCode::FAILURE
        }
        None => ExitCode::from(2),
    }
}
