//! Files that outlive a power cut, and files that may be longer than they should.

use anyhow::{Context, Result};
use service::folder::Space;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// Writes a file so that a reader, or the next start after a power cut, sees the old one or the new one.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let writing = || format!("writing {}", path.display());
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let mut file = File::create(&beside).with_context(writing)?;
    file.write_all(bytes).with_context(writing)?;
    file.sync_all().with_context(writing)?;
    fs::rename(&beside, path).with_context(writing)?;
    sync_folder(path.parent().unwrap_or(Path::new(".")))
}

/// The same for what only the owner of this process may read; at no moment may others.
pub fn write_secret(path: &Path, bytes: &[u8]) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let writing = || format!("writing {}", path.display());
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    // One that was left behind may have other permissions.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(writing);
        }
        _ => {}
    }
    let mut file =
        File::options().write(true).create_new(true).mode(0o600).open(&beside).with_context(writing)?;
    file.write_all(bytes).with_context(writing)?;
    file.sync_all().with_context(writing)?;
    fs::rename(&beside, path).with_context(writing)?;
    sync_folder(path.parent().unwrap_or(Path::new(".")))
}

/// Makes renames in this folder last through a power cut.
pub fn sync_folder(folder: &Path) -> Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let open = || File::open(folder)?.sync_all();
    open().with_context(|| format!("syncing {}", folder.display()))
}

/// How much may still be written where this folder lies.
pub fn free_bytes(folder: &Path) -> Result<u64> {
    let space = Space::of(folder).with_context(|| format!("asking how full {} is", folder.display()))?;
    Ok(space.free_bytes)
}

/// The BLAKE3 hash of a file, as hex digits.
pub fn hash_file(path: &Path) -> Result<String> {
    let mut hasher = blake3::Hasher::new();
    let reading = || format!("reading {}", path.display());
    let mut file = File::open(path).with_context(reading)?;
    std::io::copy(&mut file, &mut hasher).with_context(reading)?;
    Ok(hasher.finalize().to_hex().to_string())
}

/// Reads a small text file, and refuses a long one before it is in memory.
pub fn read_limited(path: &Path, bytes_max: usize) -> std::io::Result<String> {
    let file = File::open(path)?;
    let mut text = String::new();
    file.take(bytes_max as u64 + 1).read_to_string(&mut text)?;
    if text.len() > bytes_max {
        return Err(std::io::Error::new(
            std::io::ErrorKind::FileTooLarge,
            format!("it is longer than {bytes_max} bytes"),
        ));
    }
    Ok(text)
}
