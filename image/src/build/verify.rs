//! `duet verify`: is a release what its manifest says, and does its lock file give the same bytes again?

use super::args::VerifyArgs;
use super::{Options, build, publish, repository};
use crate::setup::{self, For};
use anyhow::{Context, Result, bail};
use release::{Manifest, ReleaseId, parse_promoted};
use std::fs;
use std::path::Path;

/// Runs the command.
pub fn command(args: VerifyArgs) -> Result<()> {
    let key = publish::public_key(&args.out)?;
    let id = match &args.id {
        Some(id) => ReleaseId::parse(id)?,
        None => promoted(&args.out)?,
    };
    let place = args.out.join("releases").join(id.as_str());
    let manifest = publish::check(&place, &key)?;
    println!("{id}: signature, lengths and hashes are right ({} files)", manifest.files.len());
    if args.rebuild {
        setup::ensure(&[For::Build], args.yes)?;
        rebuild(&args.out, &place, &manifest)?;
    }
    Ok(())
}

/// Checks the promoted release and builds it once more.
pub fn rebuild_promoted(out: &Path) -> Result<()> {
    let place = out.join("releases").join(promoted(out)?.as_str());
    let manifest = publish::check(&place, &publish::public_key(out)?)?;
    rebuild(out, &place, &manifest)
}

fn promoted(out: &Path) -> Result<ReleaseId> {
    let path = out.join("releases/promoted");
    let text =
        fs::read(&path).with_context(|| format!("reading {}; run `duet build` first", path.display()))?;
    parse_promoted(&text)?.into_iter().next().context("no release is promoted; run `duet build` first")
}

/// Builds from the release's own lock file in an empty folder, programs included, and compares all bytes.
fn rebuild(out: &Path, place: &Path, first: &Manifest) -> Result<()> {
    let repository = repository()?;
    let again = out.join("verify");
    super::root::remove_tree(&again)?;
    for folder in ["keys", "cache"] {
        let from = out.join(folder);
        copy_folder(&from, &again.join(folder))?;
    }
    let lock = place.join("packages.lock");
    let options = Options { lock: Some(lock), promote: false, ..Options::new(again.clone()) };
    let second = build(&repository, &options)?;
    if second.id != first.id {
        bail!(
            "the second build is {}, the first was {}: the recipe, the programs or the tools have changed since; \
             run `duet build`, then verify the new release",
            second.id,
            first.id
        );
    }
    let other = publish::check(&second.place, &publish::public_key(&again)?)?;
    for (name, fact) in &first.files {
        if other.files.get(name) != Some(fact) {
            bail!(
                "{name} differs between the two builds; compare {} and {}",
                place.display(),
                second.place.display()
            );
        }
        println!("{name}: the same {} bytes", fact.bytes);
    }
    super::root::remove_tree(&again)
}

/// Hard links where possible: packages are large, and nobody changes them.
fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    let copying = || format!("copying {} to {}", from.display(), to.display());
    fs::create_dir_all(to).with_context(copying)?;
    for entry in fs::read_dir(from).with_context(copying)? {
        let entry = entry.with_context(copying)?;
        let kind = entry.file_type().with_context(copying)?;
        let to = to.join(entry.file_name());
        if kind.is_dir() {
            copy_folder(&entry.path(), &to)?;
        } else if kind.is_file() && fs::hard_link(entry.path(), &to).is_err() {
            fs::copy(entry.path(), &to).with_context(copying)?;
        }
    }
    Ok(())
}
