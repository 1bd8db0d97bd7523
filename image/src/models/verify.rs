//! `duet models verify`: holds files of the shelf to their hashes.

use super::args::VerifyArgs;
use super::part::sha256_of;
use super::shelf::Shelf;
use crate::progress::Progress;
use anyhow::{Result, bail};
use serde::Serialize;
use split::manifest::Manifest;

/// How one file turned out.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Checked {
    pub file: String,
    pub is_right: bool,
    /// Who knows its hash.
    pub by: Option<&'static str>,
    /// What is wrong and what to do.
    pub trouble: Option<String>,
}

/// Runs the command.
pub fn command(args: &VerifyArgs) -> Result<()> {
    let manifest = super::manifest(args.manifest.as_deref())?;
    let shelf = Shelf::read(&args.out)?;
    let names: Result<Vec<String>> = args.names.iter().map(|word| shelf.meant(word)).collect();
    let names = if args.names.is_empty() { all(&shelf)? } else { names? };
    let checked = verify(&shelf, &names, &manifest)?;
    if args.json {
        println!("{}", serde_json::to_string(&serde_json::json!({ "models": checked }))?);
    } else if checked.is_empty() {
        println!("no model lies in {}; `duet models fetch` brings some", shelf.folder.display());
    } else {
        for one in &checked {
            match &one.trouble {
                None => println!("{}  as it should be (by {})", one.file, one.by.unwrap_or("nobody")),
                Some(trouble) => println!("{}  WRONG: {trouble}", one.file),
            }
        }
    }
    let n_wrong = checked.iter().filter(|one| !one.is_right).count();
    if n_wrong > 0 {
        bail!("{n_wrong} of {} models are not what they should be", checked.len());
    }
    Ok(())
}

/// Whole files, and those of which only a part has come.
fn all(shelf: &Shelf) -> Result<Vec<String>> {
    let mut names = shelf.names()?;
    let halves = shelf.halves().into_iter().filter(|half| shelf.bytes(half).is_none());
    names.extend(halves);
    Ok(names)
}

/// Reads these files to their ends.
pub fn verify(shelf: &Shelf, names: &[String], manifest: &Manifest) -> Result<Vec<Checked>> {
    let progress = Progress::new(names.len());
    let mut checked = Vec::new();
    for name in names {
        let Some(bytes) = shelf.bytes(name) else {
            let trouble = format!("it is not whole; `duet models fetch {name}` goes on with it");
            checked.push(Checked { file: name.clone(), is_right: false, by: None, trouble: Some(trouble) });
            continue;
        };
        let wanted = shelf.wanted(name, manifest);
        let trouble = match &wanted {
            None => Some(format!(
                "nobody knows its hash; `duet models add {}` takes it in as your own",
                shelf.file(name).display()
            )),
            Some(wanted) if wanted.bytes != bytes => Some(format!(
                "it has {bytes} bytes and not {}; `duet models remove {name}`, then fetch or add it again",
                wanted.bytes
            )),
            Some(wanted) => {
                let step = progress.step(name, Some(bytes));
                let sha256 = sha256_of(&shelf.file(name), &|bytes| step.at(bytes))?;
                (sha256 != wanted.sha256).then(|| {
                    format!("its bytes have changed; `duet models remove {name}`, then fetch or add it again")
                })
            }
        };
        let by = wanted.map(|wanted| wanted.by.name());
        checked.push(Checked { file: name.clone(), is_right: trouble.is_none(), by, trouble });
    }
    Ok(checked)
}
