//! Where a folder lies: in memory, as all of a node without a disk, or on a disk.

use std::io;
use std::path::Path;

/// File systems whose files are in memory: tmpfs, ramfs, and the overlay of a node's root.
const IN_MEMORY: [i64; 3] = [0x0102_1994, 0x8584_58f6_u32 as i64, 0x794c_7630];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    pub free_bytes: u64,
    pub total_bytes: u64,
    pub is_memory: bool,
}

impl Space {
    pub fn of(folder: &Path) -> io::Result<Space> {
        let space = rustix::fs::statvfs(folder)?;
        let bytes = |blocks: u64| blocks.saturating_mul(space.f_frsize);
        Ok(Space {
            free_bytes: bytes(space.f_bavail),
            total_bytes: bytes(space.f_blocks),
            is_memory: IN_MEMORY.contains(&rustix::fs::statfs(folder)?.f_type),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_told_from_a_disk() {
        let shm = Space::of(Path::new("/dev/shm")).unwrap();
        assert!(shm.is_memory && shm.free_bytes <= shm.total_bytes);
        assert!(!Space::of(Path::new("/proc")).unwrap().is_memory);
        assert!(Space::of(Path::new("/nowhere")).is_err());
    }
}
