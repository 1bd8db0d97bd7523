//! Where a USB stick is mounted, by its label. Mounting is the system's business; nothing here touches a device.

use anyhow::{Context, Result, bail};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

const LABELS: &str = "/dev/disk/by-label";
const MOUNTS: &str = "/proc/self/mounts";

/// The folder of the stick.
pub fn place(label: &str) -> Result<PathBuf> {
    let is_name = !label.is_empty() && !label.starts_with('.') && !label.contains('/');
    if !is_name {
        bail!("{label:?} is no label of a stick");
    }
    // udev writes a blank as \x20.
    let link = Path::new(LABELS).join(label.replace(' ', "\\x20"));
    let device = std::fs::canonicalize(&link).with_context(|| {
        format!("no stick with the label {label:?} is in this machine (`lsblk -o NAME,LABEL` shows labels)")
    })?;
    let mounts = std::fs::read(MOUNTS).with_context(|| format!("reading {MOUNTS}"))?;
    mounted(&mounts, &device).with_context(|| {
        let link = link.display();
        format!("the stick {label:?} is not mounted; mount it, for example: udisksctl mount -b {link}")
    })
}

/// Where this device is mounted, by the kernel's table.
fn mounted(table: &[u8], device: &Path) -> Option<PathBuf> {
    table.split(|b| *b == b'\n').find_map(|line| {
        let mut words = line.split(|b| *b == b' ');
        let (from, to) = (path_of(words.next()?)?, path_of(words.next()?)?);
        (std::fs::canonicalize(&from).unwrap_or(from) == device).then_some(to)
    })
}

/// The table writes blanks and the like as `\040`.
fn path_of(word: &[u8]) -> Option<PathBuf> {
    let (mut bytes, mut rest) = (Vec::new(), word);
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first == b'\\' {
            let digits = std::str::from_utf8(rest.get(..3)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 8).ok()?);
            rest = &rest[3..];
        } else {
            bytes.push(*first);
        }
    }
    Some(std::ffi::OsString::from_vec(bytes).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mounted_stick_is_found_by_its_device() {
        let table =
            b"proc /proc proc rw 0 0\n/dev/none9 /media/me/MY\\040MODELS vfat rw 0 0\n/dev/none8 bad\\9 x\n";
        let place = mounted(table, Path::new("/dev/none9"));
        assert_eq!(place, Some(PathBuf::from("/media/me/MY MODELS")));
        assert_eq!(mounted(table, Path::new("/dev/none7")), None);
        assert!(super::place("../x").is_err());
    }
}
