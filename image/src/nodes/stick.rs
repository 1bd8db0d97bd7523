//! The hands of `duet nodes usb-key`: opens a stick or a file, looks at what lies there, and writes one block.
//!
//! Nothing that may be somebody's data is overwritten without --force, and a disk that is in use never is.

use admission::{STICK_BYTES, Stick};
use anyhow::{Context, Result, bail};
use rustix::fs::OFlags;
use std::fs::{File, Permissions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Here partition tables and the heads of file systems lie; ISO 9660 begins at 32 KiB.
const LOOKED_AT_BYTES: usize = 128 * 1024;
/// The image of a file is so long: some programs write whole sectors of 4096 bytes only.
const IMAGE_BYTES: u64 = 4096;

/// Opens the place for writing, if it is free or `force` says that it may be lost.
pub fn open(path: &Path, force: bool) -> Result<File> {
    let found = match std::fs::metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return new_file(path),
        Err(error) => return Err(error).with_context(|| format!("cannot look at {}", path.display())),
    };
    let kind = found.file_type();
    if !kind.is_block_device() && !kind.is_file() {
        bail!("{} is neither a stick nor a file", path.display());
    }
    if kind.is_block_device() && is_partition(found.rdev()) {
        bail!("{} is a part of a disk; name the whole stick, such as /dev/sdb", path.display());
    }
    let mut options = File::options();
    options.read(true).write(true);
    if kind.is_block_device() {
        // The kernel then refuses a disk of which something is mounted or otherwise in use.
        options.custom_flags(OFlags::EXCL.bits() as i32);
    }
    let mut file = match options.open(path) {
        Ok(file) => file,
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::BUSY.raw_os_error()) => {
            bail!("{} is in use; unmount it first", path.display())
        }
        Err(error) => return Err(error).with_context(|| format!("cannot open {}", path.display())),
    };
    let mut head = Vec::new();
    (&mut file).take(LOOKED_AT_BYTES as u64).read_to_end(&mut head).context("cannot read what lies there")?;
    let is_fixed = kind.is_block_device() && !is_removable(found.rdev());
    let lost = match (what_lies_in(&head), is_fixed) {
        (None, false) => return Ok(file),
        (None, true) => "a disk that cannot be taken out".to_owned(),
        (Some(what), false) => what.to_owned(),
        (Some(what), true) => format!("{what}, on a disk that cannot be taken out"),
    };
    if !force {
        bail!("{} holds {lost}; with --force it would be lost", path.display());
    }
    eprintln!("{} held {lost}; it is overwritten, because of --force", path.display());
    Ok(file)
}

fn new_file(path: &Path) -> Result<File> {
    let file = File::options().write(true).create_new(true).mode(0o600).open(path);
    let file = file.with_context(|| format!("cannot make {}", path.display()))?;
    file.set_len(IMAGE_BYTES)?;
    Ok(file)
}

/// Writes the block at the beginning, and waits until it is there.
pub fn write(file: &mut File, stick: &Stick) -> Result<()> {
    if file.metadata()?.is_file() {
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    file.seek(SeekFrom::Start(0))?;
    // What else of a partition table or file system may lie in the first page must not be taken for one.
    let mut page = zeroize::Zeroizing::new(vec![0; IMAGE_BYTES as usize]);
    page[..STICK_BYTES].copy_from_slice(&*stick.encode());
    file.write_all(&page)?;
    file.sync_all()?;
    Ok(())
}

/// What would be lost; nothing if all is zeros or a stick of ours.
fn what_lies_in(head: &[u8]) -> Option<&'static str> {
    let has = |at: usize, mark: &[u8]| head.get(at..at + mark.len()) == Some(mark);
    if Stick::is_marked(head) || head.iter().all(|byte| *byte == 0) {
        return None;
    }
    Some(match () {
        () if has(512, b"EFI PART") || has(4096, b"EFI PART") => "a partition table (GPT)",
        () if has(32_769, b"CD001") => "the image of a CD (ISO 9660)",
        () if has(1080, &[0x53, 0xef]) => "a file system (ext)",
        () if has(3, b"NTFS") || has(3, b"EXFAT") => "a file system (NTFS or exFAT)",
        () if has(54, b"FAT") || has(82, b"FAT") => "a file system (FAT)",
        () if has(0, b"LUKS") => "an encrypted disk (LUKS)",
        () if has(510, &[0x55, 0xaa]) => "a partition table (MBR)",
        () => "data",
    })
}

/// The kernel's folder of a device, by its numbers.
fn folder(device: u64) -> String {
    format!("/sys/dev/block/{}:{}", rustix::fs::major(device), rustix::fs::minor(device))
}

fn is_partition(device: u64) -> bool {
    Path::new(&folder(device)).join("partition").exists()
}

/// Says so itself, or hangs on USB.
fn is_removable(device: u64) -> bool {
    let folder = folder(device);
    let says_so = std::fs::read_to_string(format!("{folder}/removable")).is_ok_and(|text| text.trim() == "1");
    let is_on_usb = std::fs::canonicalize(folder).is_ok_and(|path| path.to_string_lossy().contains("/usb"));
    says_so || is_on_usb
}

#[cfg(test)]
mod tests {
    use super::*;
    use admission::{AuthoritySecret, Pass, StickSecret};

    fn stick() -> Stick {
        let secret = StickSecret::from_seed(&[2; 32]);
        let pass = Pass::issue(&AuthoritySecret::from_seed(&[1; 32]), 1000, 30, secret.public()).unwrap();
        Stick::new(pass, secret).unwrap()
    }

    /// A head with these bytes at this place.
    fn check(at: usize, mark: &[u8], want: Option<&str>) {
        let mut head = vec![0; LOOKED_AT_BYTES];
        head[at..at + mark.len()].copy_from_slice(mark);
        assert_eq!(what_lies_in(&head), want);
    }

    #[test]
    fn what_would_be_lost_is_named() {
        check(0, &[], None);
        check(510, &[0x55, 0xaa], Some("a partition table (MBR)"));
        check(512, b"EFI PART", Some("a partition table (GPT)"));
        check(1080, &[0x53, 0xef], Some("a file system (ext)"));
        check(82, b"FAT32   ", Some("a file system (FAT)"));
        check(100_000, b"x", Some("data"));
        check(0, &stick().encode()[..], None);
    }

    #[test]
    fn a_file_with_something_in_it_is_overwritten_by_force_alone_and_a_stick_of_ours_freely() {
        let folder = std::env::temp_dir().join(format!("duet-stick-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("stick.img");
        write(&mut open(&path, false).unwrap(), &stick()).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes.len() as u64, IMAGE_BYTES);
        assert_eq!(Stick::decode(&bytes).unwrap().pass, stick().pass);
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        write(&mut open(&path, false).unwrap(), &stick()).unwrap();
        std::fs::write(&path, b"the owner's letters").unwrap();
        let error = open(&path, false).unwrap_err().to_string();
        assert!(error.contains("holds data; with --force it would be lost"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"the owner's letters");
        write(&mut open(&path, true).unwrap(), &stick()).unwrap();
        assert!(Stick::decode(&std::fs::read(&path).unwrap()).is_ok());
        assert!(open(&folder, true).is_err() && open(Path::new("/dev/null"), true).is_err());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
