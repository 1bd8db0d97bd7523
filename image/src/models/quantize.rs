//! `duet models quantize`: hands the work to rpc-worker, which holds the library that can do it.
//!
//! `duet` itself has no model library, so that it builds before a C++ compiler is installed.

use super::args::QuantizeArgs;
use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

const PROGRAM: &str = "rpc-worker";

/// Runs the command.
pub fn command(args: &QuantizeArgs) -> Result<()> {
    ensure!(args.input.is_file(), "{} is no file", args.input.display());
    ensure!(!args.output.exists(), "{} is there already", args.output.display());
    let beside = std::env::current_exe().ok().and_then(|path| Some(path.parent()?.to_path_buf()));
    let program = program(&args.out, beside.as_deref())?;
    let here = || std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1));
    let mut command = Command::new(&program);
    command.arg("quantize").arg(&args.input).arg(&args.output).arg(&args.kind);
    command.args(["--threads", &args.threads.unwrap_or_else(here).to_string()]);
    if args.pure {
        command.arg("--pure");
    }
    let status = command.status().with_context(|| format!("starting {}", program.display()))?;
    if !status.success() {
        bail!("{} ended with {status}; what is wrong stands above", program.display());
    }
    let bytes = args.output.metadata().context("reading what was made")?.len();
    println!("{}  {}", args.output.display(), crate::progress::megabytes(bytes));
    Ok(())
}

/// The one that `duet build` made, or one beside this program.
fn program(out: &Path, beside: Option<&Path>) -> Result<PathBuf> {
    let built = out.join("target/stripped").join(PROGRAM);
    let found = std::iter::once(built).chain(beside.map(|folder| folder.join(PROGRAM)));
    found.into_iter().find(|path| path.is_file()).with_context(|| {
        format!(
            "no {PROGRAM} is there; `duet build` makes one, or `cargo build --release -p {PROGRAM}` in the checkout"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_rpc_worker_it_says_how_to_come_by_one() {
        let nowhere = Path::new("/nonexistent");
        let told = format!("{:#}", program(nowhere, Some(nowhere)).unwrap_err());
        assert!(told.contains("`duet build` makes one"), "{told}");
    }
}
