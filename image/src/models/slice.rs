//! `duet models slice`: model files, cut into slices for several nodes.
//!
//! The cutting itself is in `crates/gguf`, which also says what must not be cut; a node does the same on the fly.

use anyhow::{Context, Result, bail};
use serde::Serialize;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::args::SliceArgs;

/// A slice that was written.
#[derive(Serialize)]
struct Written {
    file: PathBuf,
    first_layer: u64,
    end_layer: u64,
    bytes: u64,
}

/// `duet models slice`.
pub fn command(args: &SliceArgs) -> Result<()> {
    let model = &args.model;
    let name = || format!("cannot cut {}", model.display());
    let head = gguf::read_head(model).with_context(name)?;
    let facts = gguf::check_model(&head).with_context(name)?;
    let step = head.slice_step().with_context(name)?;
    let layers = match (&args.cuts, args.stages) {
        (Some(_), Some(_)) => bail!("--cuts and --stages both say how many slices there are; name one"),
        (Some(cuts), None) => ranges(cuts, facts.n_layers)?,
        (None, stages) => gguf::even_cuts(facts.n_layers, step, stages.unwrap_or(2)).with_context(name)?,
    };
    let folder = args.out.as_deref().or(model.parent()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let stem = model.file_stem().unwrap_or_default().to_string_lossy();
    let place =
        |layers: &Range<u64>| folder.join(format!("{stem}.layers-{}-{}.gguf", layers.start, layers.end));
    if let Some(file) = layers.iter().map(place).find(|file| file.exists()) {
        bail!("{} is there already; remove it, or name another folder with --out", file.display());
    }
    let mut written = Vec::new();
    for layers in layers {
        let file = place(&layers);
        let (first_layer, end_layer) = (layers.start, layers.end);
        let bytes = gguf::write_slice_file(model, layers, &file).with_context(name)?;
        written.push(Written { file, first_layer, end_layer, bytes });
    }
    if args.json {
        println!("{}", serde_json::to_string(&written)?);
    } else {
        for slice in written {
            let last = slice.end_layer - 1;
            println!(
                "{}  layers {} to {last}, {:.1} MB",
                slice.file.display(),
                slice.first_layer,
                slice.bytes as f64 / 1e6
            );
        }
    }
    Ok(())
}

/// `4,20` as layers 0 to 3, 4 to 19, 20 to the last.
fn ranges(cuts: &str, n_layers: u64) -> Result<Vec<Range<u64>>> {
    let mut edges = vec![0];
    for word in cuts.split(',') {
        let cut = word.trim().parse().with_context(|| format!("--cuts: '{word}' is no layer"))?;
        if edges.last().is_none_or(|last| cut <= *last) || cut >= n_layers {
            bail!("--cuts: layers rise and lie between 1 and {}, not '{cuts}'", n_layers.saturating_sub(1));
        }
        edges.push(cut);
    }
    edges.push(n_layers);
    Ok(edges.windows(2).map(|two| two[0]..two[1]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(cuts: &str, want: &str) {
        let told = ranges(cuts, 30).map_or_else(|e| format!("error: {e}"), |ranges| format!("{ranges:?}"));
        assert_eq!(told, want);
    }

    #[test]
    fn cuts_become_layers() {
        check("4,20", "[0..4, 4..20, 20..30]");
        check("29", "[0..29, 29..30]");
        check("20,4", "error: --cuts: layers rise and lie between 1 and 29, not '20,4'");
        check("0", "error: --cuts: layers rise and lie between 1 and 29, not '0'");
        check("30", "error: --cuts: layers rise and lie between 1 and 29, not '30'");
        check("4,x", "error: --cuts: 'x' is no layer");
    }
}
