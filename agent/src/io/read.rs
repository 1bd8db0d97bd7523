//! Small files, read with a limit.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Longest file that is read; `/proc/cpuinfo` of a large server is the longest of ours.
pub const FILE_BYTES_MAX: u64 = 256 * 1024;

/// The text of a file, cut at the limit; empty when it cannot be read, as for a card that was pulled just now.
pub fn text(path: &Path) -> String {
    String::from_utf8_lossy(&bytes(path, FILE_BYTES_MAX)).into_owned()
}

/// The first word of a file: sysfs keeps one value in each.
pub fn word(path: &Path) -> String {
    text(path).split_whitespace().next().unwrap_or("").to_string()
}

/// A file's bytes, cut at `bytes_max`; empty when it cannot be read.
pub fn bytes(path: &Path, bytes_max: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    // An error after some bytes leaves those bytes, which is what a status wants.
    let _ = File::open(path).and_then(|f| f.take(bytes_max).read_to_end(&mut bytes));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endless_file_is_cut_at_the_limit() {
        assert_eq!(text(Path::new("/dev/zero")).len() as u64, FILE_BYTES_MAX);
    }

    #[test]
    fn a_missing_file_and_a_folder_are_empty() {
        assert_eq!(text(Path::new("/nonexistent")), "");
        assert_eq!(text(Path::new("/")), "");
    }
}
