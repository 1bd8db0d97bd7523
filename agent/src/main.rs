//! The program `agent`: arguments, then [`agent::run`].

use agent::args::Args;
use std::process::ExitCode;

fn main() -> ExitCode {
    service::unread::ends_the_program();
    let args: Args = argh::from_env();
    if args.version {
        println!("agent {}", env!("CARGO_PKG_VERSION"));
        return ExitCode::SUCCESS;
    }
    let Some(command) = args.command else {
        eprintln!("agent: no command given; see agent --help");
        return ExitCode::from(2);
    };
    match agent::run(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("agent: {e:#}");
            ExitCode::FAILURE
        }
    }
}
