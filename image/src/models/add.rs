//! `duet models add` and `remove`: files of the owner's own, and room on the shelf.

use super::args::{AddArgs, RemoveArgs};
use super::fetch::RESERVE_BYTES;
use super::head;
use super::part::{End, Part, sha256_of};
use super::pins::{Kind, Pin};
use super::quality;
use super::shelf::Shelf;
use crate::disk;
use crate::progress::{Progress, megabytes};
use anyhow::{Context, Result, bail, ensure};
use split::assign::slice_named;
use split::manifest::{MODEL_FILE_LENGTH_MAX, Manifest, is_file_name};
use std::fs;
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
    ensure!(
        slice_named(name).is_none(),
        "{name} is a slice; add the whole model, and PCs cut it by themselves"
    );
    let facts = file.metadata().with_context(|| format!("reading {}", file.display()))?;
    ensure!(facts.is_file(), "{} is no file", file.display());
    let (bytes, purpose) = (facts.len(), head::purpose_of_whole(file, name)?);
    ensure!((1..=MODEL_FILE_LENGTH_MAX).contains(&bytes), "{} is longer than any model", file.display());
    let known = manifest.model(name);
    let another = || {
        format!(
            "{name} is the name of a model that duet knows, and {} is another; choose one with --name",
            file.display()
        )
    };
    ensure!(known.is_none_or(|known| known.bytes == bytes), another());
    let own = |sha256| {
        let source = file.display().to_string();
        Pin { file: name.into(), kind: Kind::Owner, purpose, bytes, sha256, source }
    };
    if shelf.bytes(name).is_some() {
        let (here, there) = (fs::canonicalize(file).ok(), fs::canonicalize(shelf.file(name)).ok());
        ensure!(
            here == there && known.is_none(),
            "{name} lies on the shelf already; `duet models remove {name}` first, or add it with --name"
        );
        shelf.pins.put(own(sha256_of(file, &|_| {})?))?;
        return Ok(format!("{name} lay on the shelf, and is your own from now on, for {}", purpose.name()));
    }
    let free = disk::free_bytes(&shelf.folder)?;
    ensure!(
        free >= bytes.saturating_add(RESERVE_BYTES),
        "{} has {} free, and {} are needed with {} in reserve; free some, or use --out",
        shelf.folder.display(),
        megabytes(free),
        megabytes(bytes),
        megabytes(RESERVE_BYTES)
    );
    let step = Progress::new(1).step(name, Some(bytes));
    // It may change between here and there, and what is pinned is what lies on the shelf.
    let mut part = Part::open(shelf, name, &file.display().to_string(), bytes)?;
    part.copy_from(file, &|at| step.at(at))?;
    let hash = known.and_then(|known| known.hash());
    let End::Placed { sha256 } = part.end(hash)? else { bail!(another()) };
    step.done(&megabytes(bytes));
    if hash.is_some() {
        return Ok(format!("{name} lies on the shelf: the very file that duet knows by this name"));
    }
    shelf.pins.put(own(sha256))?;
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
    use crate::models::fetch::tests::Room;
    use crate::models::part::sha256_of;
    use voice::whisper::forge;

    fn whisper() -> Vec<u8> {
        forge::small(forge::Kind::Q8_0)
    }

    #[test]
    fn an_own_file_is_read_copied_pinned_and_removed() {
        let room = Room::new("add");
        let mut shelf = Shelf::alone(&room.out).unwrap();
        let file = room.out.join("my ear.bin");
        let whole = whisper();
        let manifest = Manifest::default();
        std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
        let half = add(&mut shelf, &file, "my-ear.bin", &manifest).unwrap_err();
        assert!(
            format!("{half:#}").ends_with("no whole model: the model ends in the middle of a tensor"),
            "{half:#}"
        );
        assert_eq!(shelf.names().unwrap(), Vec::<String>::new());
        std::fs::write(&file, &whole).unwrap();
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
        // One that was put there by hand is taken in where it lies.
        let by_hand = shelf.file("by-hand.bin");
        std::fs::copy(&file, &by_hand).unwrap();
        assert!(
            add(&mut shelf, &by_hand, "by-hand.bin", &manifest).unwrap().contains("is your own from now on")
        );
        assert!(by_hand.is_file() && shelf.pins.of("by-hand.bin").is_some());
        let slice = add(&mut shelf, &file, "m.layers-0-2.gguf", &manifest).unwrap_err();
        assert!(slice.to_string().contains("is a slice"), "{slice}");
        let folder = add(&mut shelf, &room.out.clone(), "folder.bin", &manifest).unwrap_err();
        assert!(folder.to_string().contains("is no file"), "{folder}");
        std::fs::write(&file, "<html>").unwrap();
        let odd = add(&mut shelf, &file, "my-ear.bin", &manifest).unwrap_err();
        assert!(format!("{odd:#}").contains("is no model"), "{odd:#}");
    }

    #[test]
    fn a_name_that_duet_knows_is_of_its_own_file_alone() {
        let room = Room::new("add-known");
        let mut shelf = Shelf::alone(&room.out).unwrap();
        let (file, good) = (room.out.join("ear.bin"), whisper());
        std::fs::write(&file, &good).unwrap();
        let sha256 = sha256_of(&file, &|_| {}).unwrap();
        let text = format!(
            "[[model]]\nfile = \"ear.bin\"\nuse = \"speech\"\nurl = \"https://example.org/ear.bin\"\nbytes = {}\n\
             sha256 = \"{sha256}\"\nsha256_from = \"a test\"\nlicence = \"MIT\"\nmemory_mib = 1\nnode_gib = 2\n\
             quantisation = \"Q8_0\"\nwhy = \"a test\"\n",
            good.len()
        );
        let manifest = Manifest::parse(&text).unwrap();
        let mut other = good.clone();
        *other.last_mut().unwrap() ^= 1;
        for (bad, why) in
            [(&other[..], "choose one with --name"), (&good[..good.len() - 1], "no whole model")]
        {
            std::fs::write(&file, bad).unwrap();
            let odd = add(&mut shelf, &file, "ear.bin", &manifest).unwrap_err();
            assert!(odd.to_string().contains(why), "{odd}");
            assert_eq!(shelf.names().unwrap(), Vec::<String>::new());
        }
        std::fs::write(&file, &good).unwrap();
        assert!(add(&mut shelf, &file, "ear.bin", &manifest).unwrap().contains("the very file"));
        assert_eq!(shelf.pins.of("ear.bin"), None);
    }

    #[test]
    fn the_lock_is_no_way_to_another_file() {
        let room = Room::new("lock");
        let (kept, folder) = (room.out.join("kept"), room.out.join("models"));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(&kept, "keep").unwrap();
        std::os::unix::fs::symlink(&kept, folder.join(".lock")).unwrap();
        assert!(Shelf::alone(&room.out).is_err());
        assert_eq!(std::fs::read_to_string(&kept).unwrap(), "keep");
    }
}
