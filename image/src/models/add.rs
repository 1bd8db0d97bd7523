//! `duet models add` and `remove`: files of the owner's own, and room on the shelf.

use super::args::{AddArgs, RemoveArgs};
use super::head;
use super::part::{End, Part};
use super::pins::{Kind, Pin};
use super::quality;
use super::shelf::Shelf;
use crate::disk;
use crate::progress::{Progress, megabytes};
use anyhow::{Context, Result, bail, ensure};
use split::manifest::{MODEL_FILE_LENGTH_MAX, Manifest, is_file_name};
use std::path::Path;

/// Runs `duet models add`.
pub fn command(args: &AddArgs) -> Result<()> {
    let manifest = super::manifest(args.manifest.as_deref())?;
    let own = || args.file.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = args.name.clone().or_else(own).context("it has no name; say one with --name")?;
    let told = add(&mut Shelf::alone(&args.out)?, &args.file, &name, &manifest)?;
    println!("{told}");
    Ok(())
}

/// Copies the file onto the shelf and pins it; gives a sentence for the owner.
pub fn add(shelf: &mut Shelf, file: &Path, name: &str, manifest: &Manifest) -> Result<String> {
    ensure!(
        is_file_name(name),
        "{name:?} is no name for the shelf: letters, digits, '.', '_' and '-', and .gguf or .bin at its end; \
         choose one with --name"
    );
    let purpose = head::purpose(file, name)?;
    let bytes = file.metadata().with_context(|| format!("reading {}", file.display()))?.len();
    ensure!((1..=MODEL_FILE_LENGTH_MAX).contains(&bytes), "{} is longer than any model", file.display());
    if shelf.bytes(name).is_some() {
        bail!("{name} lies on the shelf already; `duet models remove {name}` first, or add it with --name");
    }
    let free = disk::free_bytes(&shelf.folder)?;
    ensure!(free > bytes, "{} has only {} free", shelf.folder.display(), megabytes(free));
    let step = Progress::new(1).step(name, Some(bytes));
    // It may change between here and there, and what is pinned is what lies on the shelf.
    let mut part = Part::open(shelf, name, &file.display().to_string(), bytes)?;
    part.copy_from(file, &|at| step.at(at))?;
    let End::Placed { sha256 } = part.end(None)? else {
        bail!("{name} was compared with nothing, and differs")
    };
    step.done(&megabytes(bytes));
    if manifest.model(name).and_then(|known| known.hash()) == Some(&sha256) {
        return Ok(format!("{name} is the manifest's own file, as it should be"));
    }
    let source = file.display().to_string();
    shelf.pins.put(Pin { file: name.into(), kind: Kind::Owner, purpose, bytes, sha256, source })?;
    Ok(format!("{name} lies on the shelf as your own, for {}, {}", purpose.name(), megabytes(bytes)))
}

/// Runs `duet models remove`.
pub fn remove(args: &RemoveArgs) -> Result<()> {
    ensure!(!args.names.is_empty(), "name the models to remove; `duet models list` shows them");
    let mut shelf = Shelf::alone(&args.out)?;
    let names: Result<Vec<String>> = args.names.iter().map(|word| shelf.meant(word)).collect();
    for name in names? {
        shelf.remove(&name)?;
        quality::forget(&args.out, &name)?;
        println!("{name} is gone from the shelf; PCs that hold it keep it until they need the room");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::fetch::tests::{Room, whisper};
    use crate::models::part::sha256_of;

    #[test]
    fn an_own_file_is_read_copied_pinned_and_removed() {
        let room = Room::new("add");
        let mut shelf = Shelf::alone(&room.out).unwrap();
        let file = room.out.join("my ear.bin");
        std::fs::write(&file, whisper(70_000)).unwrap();
        let manifest = Manifest::default();
        let odd = add(&mut shelf, &file, "my ear.bin", &manifest).unwrap_err();
        assert!(format!("{odd:#}").contains("choose one with --name"));
        let told = add(&mut shelf, &file, "my-ear.bin", &manifest).unwrap();
        assert!(told.starts_with("my-ear.bin lies on the shelf as your own, for speech"), "{told}");
        let pinned = shelf.pins.of("my-ear.bin").map(|pin| pin.sha256.clone());
        assert_eq!(sha256_of(&shelf.file("my-ear.bin"), &|_| {}).ok(), pinned);
        let again = add(&mut shelf, &file, "my-ear.bin", &manifest).unwrap_err();
        assert!(format!("{again:#}").contains("lies on the shelf already"));
        assert_eq!(shelf.meant("MY-EAR").unwrap(), "my-ear.bin");
        shelf.remove("my-ear.bin").unwrap();
        assert_eq!((shelf.names().unwrap(), shelf.pins.of("my-ear.bin")), (Vec::new(), None));
        std::fs::write(&file, "<html>").unwrap();
        let odd = add(&mut shelf, &file, "my-ear.bin", &manifest).unwrap_err();
        assert!(format!("{odd:#}").contains("is no model"), "{odd:#}");
    }
}
