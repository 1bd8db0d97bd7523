//! The program `duet` again, built with the tests, so that they start the very code they belong to.

use std::process::ExitCode;

fn main() -> ExitCode {
    match image::run(argh::from_env()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("duet: {error:#}");
            ExitCode::FAILURE
        }
    }
}
