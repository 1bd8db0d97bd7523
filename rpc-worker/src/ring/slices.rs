//! Slices that an older plan left. Where a node has no disk, each of them takes memory that the plan counts on.

use service::log::{self, Level};
use split::assign::slice_named;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

/// Files that are looked at.
const FILES_MAX: usize = 256;

/// Removes the slices of this folder that are not among these, if the model that they were cut from lies there too, so
/// that they can be cut again. What is loaded still works on: the file's memory is free once nobody has it open.
pub fn sweep(models: &Path, wished: &[&OsStr]) {
    for entry in fs::read_dir(models).into_iter().flatten().flatten().take(FILES_MAX) {
        let name = entry.file_name();
        if wished.contains(&name.as_os_str()) || !can_be_cut_again(&entry.path()) {
            continue;
        }
        let shown = name.display();
        match fs::remove_file(entry.path()) {
            Ok(()) => {
                log::say(Level::Info, &format!("rpc-worker: {shown} is in no plan any more, and removed"))
            }
            Err(error) => {
                log::say(Level::Warning, &format!("rpc-worker: {shown} cannot be removed: {error}"))
            }
        }
    }
}

/// What the slices of this folder take in memory, whole or half written: a plan counts their weights anew.
pub fn bytes(models: &Path) -> u64 {
    let entries = fs::read_dir(models).into_iter().flatten().flatten().take(FILES_MAX);
    let size = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        slice_named(name.strip_suffix(".part").unwrap_or(&name))?;
        entry.metadata().ok().map(|facts| facts.len())
    };
    entries.filter_map(size).fold(0, u64::saturating_add)
}

/// Whether name and head say slice, and the model is beside it.
fn can_be_cut_again(path: &Path) -> bool {
    let name = path.file_name().and_then(OsStr::to_str);
    let Some((model, first, last)) = name.and_then(slice_named) else { return false };
    let Ok(head) = gguf::read_head(path) else { return false };
    let Ok(Some(slice)) = head.slice_of() else { return false };
    slice.layers == (u64::from(first)..u64::from(last)) && path.with_file_name(model).is_file()
}

#[cfg(test)]
mod tests {
    use super::*;
    use split::assign::slice_file;

    #[test]
    fn every_slice_takes_memory_also_one_that_came_without_its_model() {
        let folder = std::env::temp_dir().join(format!("duet-slices-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        for (file, bytes) in [
            (slice_file("m.gguf", 0, 4), 100),
            (slice_file("other.gguf", 4, 9) + ".part", 20),
            ("m.gguf".to_owned(), 3),
        ] {
            fs::write(folder.join(file), vec![0; bytes]).unwrap();
        }
        assert_eq!(bytes(&folder), 120);
        fs::remove_dir_all(&folder).unwrap();
    }
}
