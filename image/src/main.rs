//! The program `duet`: arguments, then the work.

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: image::args::Args = argh::from_env();
    match image::run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("duet: {error:#}");
            ExitCode::FAILURE
        }
    }
}
