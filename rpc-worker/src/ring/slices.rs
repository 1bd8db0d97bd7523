//! Slices that an older plan left. A node has no disk, so each of them takes memory that the plan counts on.

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

/// What the slices of this folder take, whole or half written, whose model lies there too.
pub fn bytes(models: &Path) -> u64 {
    let entries = fs::read_dir(models).into_iter().flatten().flatten().take(FILES_MAX);
    let size = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        let (model, ..) = slice_named(name.strip_suffix(".part").unwrap_or(&name))?;
        models.join(model).is_file().then(|| entry.metadata().map_or(0, |facts| facts.len()))
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
