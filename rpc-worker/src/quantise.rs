//! `rpc-worker quantize`: a smaller model file of a larger one, after a child of ours tried it.

use crate::args::Quantise;
use crate::probe;
use anyhow::bail;
use engine::{FileType, quantise};

pub fn run(args: &Quantise) -> anyhow::Result<()> {
    let Some(file_type) = FileType::from_name(&args.kind) else {
        let names: Vec<&str> = FileType::ALL.iter().map(|file_type| file_type.name).collect();
        bail!("there is no type {:?}, only {}", args.kind, names.join(", "));
    };
    if args.output.exists() {
        bail!("{} is there already", args.output.display());
    }
    probe::check(&args.input)?;
    let how = engine::Quantise { file_type, pure: args.pure, n_threads: args.threads };
    quantise(&args.input, &args.output, how)?;
    Ok(())
}
