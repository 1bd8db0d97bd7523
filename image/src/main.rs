//! The program `duet`: arguments, then the work.

use std::process::ExitCode;

fn main() -> ExitCode {
    service::unread::ends_the_program();
    let args: image::args::Args = argh::from_env();
    match image::run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("duet: {error:#}");
            ExitCode::FAILURE
        }
    }
}
