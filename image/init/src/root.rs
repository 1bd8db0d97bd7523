//! Puts the root together and hands over: squashfs below, a tmpfs above, the initramfs gone, systemd in charge.

use std::ffi::CStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use release::Mac;
use rustix::mount::{MountFlags, mount, mount_move};

use crate::sys;
use crate::trouble::plain;

/// Our own folder of the running node.
pub const OURS: &str = "/run/duet";

/// The tmpfs that holds the fetched image and everything the node writes into its root.
pub const MEMORY: &str = "/run/duet/memory";

const IMAGE: &str = "/run/duet/image";
/// Not below /run, which will itself move into the new root.
const NEW_ROOT: &str = "/newroot";

/// The kernel allows half of the memory by default, too little when the image is a large part of it.
const MEMORY_OPTIONS: &CStr = c"mode=755,size=90%";

const OVERLAY_OPTIONS: &CStr =
    c"lowerdir=/run/duet/image,upperdir=/run/duet/memory/upper,workdir=/run/duet/memory/work";

/// The kernel's own filesystems, and a place for ours.
pub fn mount_system() -> Result<(), String> {
    mount_new("proc", "/proc", "proc", MountFlags::empty(), c"")?;
    mount_new("sysfs", "/sys", "sysfs", MountFlags::empty(), c"")?;
    // CONFIG_DEVTMPFS_MOUNT does not reach an initramfs.
    mount_new("devtmpfs", "/dev", "devtmpfs", MountFlags::NOSUID, c"mode=755")?;
    mount_new("tmpfs", "/run", "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, c"mode=755")
}

/// The place for the image and for all that is written later.
pub fn mount_memory() -> Result<(), String> {
    mount_new("tmpfs", MEMORY, "tmpfs", MountFlags::empty(), MEMORY_OPTIONS)
}

/// Lays a writable root over the verified image.
pub fn assemble(image: &File) -> Result<(), String> {
    let (device, open) = sys::loop_over(image).map_err(|error| failed("the loop device", &error))?;
    mount_new(&device, IMAGE, "squashfs", MountFlags::RDONLY, c"")?;
    drop(open);
    for folder in ["upper", "work"] {
        let folder = Path::new(MEMORY).join(folder);
        fs::create_dir(&folder).map_err(|error| failed(&folder.display().to_string(), &error))?;
    }
    mount_new("overlay", NEW_ROOT, "overlay", MountFlags::empty(), OVERLAY_OPTIONS)
}

/// Gives the node the same machine id at each boot, unless its image brings one.
pub fn write_machine_id(mac: Mac) -> Result<(), String> {
    let path = Path::new(NEW_ROOT).join("etc/machine-id");
    let brought = fs::read_to_string(&path).unwrap_or_default();
    if !matches!(brought.trim(), "" | "uninitialized") {
        return Ok(());
    }
    fs::write(&path, machine_id(mac)).map_err(|error| failed("/etc/machine-id", &error))
}

/// 128 bits of BLAKE3 over the MAC, under a name that nothing else uses.
fn machine_id(mac: Mac) -> String {
    let hash = blake3::Hasher::new_derive_key("duet machine-id from MAC").update(&mac.0).finalize();
    format!("{}\n", &hash.to_hex()[..32])
}

/// Becomes the new root's first program. Returns only the reason why not.
pub fn hand_over() -> String {
    match enter() {
        Ok(()) => format!("/sbin/init of the root does not start: {}", plain(&sys::exec(c"/sbin/init"))),
        Err(error) => failed("the new root", &error),
    }
}

fn enter() -> io::Result<()> {
    let initramfs = fs::metadata("/")?.dev();
    rustix::process::chdir(NEW_ROOT)?;
    for name in ["dev", "proc", "sys", "run"] {
        mount_move(format!("/{name}"), name)?;
    }
    wipe(initramfs, Path::new("/"));
    mount_move(".", "/")?;
    rustix::process::chroot(".")?;
    rustix::process::chdir("/")?;
    Ok(())
}

/// Deletes the unpacked initramfs, whose memory nobody could reach any more.
/// An image placed by iPXE stays alive, because the loop device holds it.
fn wipe(initramfs: u64, folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(meta) = fs::symlink_metadata(&path) else { continue };
        if meta.dev() != initramfs {
            continue;
        }
        // What cannot be deleted only stays in memory.
        if meta.is_dir() {
            wipe(initramfs, &path);
            fs::remove_dir(&path).unwrap_or_default();
        } else {
            fs::remove_file(&path).unwrap_or_default();
        }
    }
}

fn mount_new(
    source: &str,
    target: &str,
    kind: &str,
    flags: MountFlags,
    options: &CStr,
) -> Result<(), String> {
    let made = fs::create_dir_all(target);
    let mounted = made.and_then(|()| Ok(mount(source, target, kind, flags, options)?));
    mounted.map_err(|error| format!("{kind} does not mount at {target}: {}", plain(&error)))
}

fn failed(what: &str, error: &io::Error) -> String {
    format!("{what} does not work: {}", plain(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_id_is_32_hex_digits_and_a_line_feed() {
        let id = machine_id(Mac([0x52, 0x54, 0, 0x77, 0, 1]));
        assert_eq!(id.len(), 33);
        assert!(id.trim_end().bytes().all(|b| b.is_ascii_hexdigit()));
    }

    #[test]
    fn a_machine_id_follows_the_mac_and_nothing_else() {
        assert_eq!(machine_id(Mac([1; 6])), machine_id(Mac([1; 6])));
        assert_ne!(machine_id(Mac([1; 6])), machine_id(Mac([2; 6])));
    }
}
