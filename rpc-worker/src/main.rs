//! The program `rpc-worker`: arguments, then [`rpc_worker::run`].

use rpc_worker::args::Args;
use std::process::ExitCode;

fn main() -> ExitCode {
    service::unread::ends_the_program();
    let args: Args = argh::from_env();
    if args.version {
        println!("rpc-worker {}", env!("CARGO_PKG_VERSION"));
        return ExitCode::SUCCESS;
    }
    match rpc_worker::run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("rpc-worker: {e:#}");
            ExitCode::FAILURE
        }
    }
}
