//! An input device that is open.

use super::event::{CODES, EVENT_BYTES, MASK_BYTES, Presses, Told};
use super::held::held;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::Path;

/// Events that are read at once.
const EVENTS_MAX: usize = 64;
/// Of the files that tell of a device.
const FILE_BYTES_MAX: u64 = 4096;
const NAME_CHARS_MAX: usize = 80;

#[derive(Debug)]
pub struct Device {
    /// `3`, of `event3`.
    pub number: u32,
    pub name: String,
    pub file: OwnedFd,
    presses: Presses,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// There was nothing more to read.
    Read,
    /// The device is no more.
    Gone,
}

impl Device {
    /// Opens `/dev/input/event3` below `root`; nothing if it has none of these keys.
    pub fn open(root: &Path, number: u32, wished: Option<&BTreeSet<u16>>) -> Result<Option<Device>, Errno> {
        let about = root.join(format!("sys/class/input/event{number}/device"));
        let mask = text(&about.join("capabilities/key"));
        // Where nothing is told of it, it may have any key.
        let has_one =
            |wished: &BTreeSet<u16>| mask.trim().is_empty() || wished.iter().any(|key| has(&mask, *key));
        if !wished.is_none_or(has_one) {
            return Ok(None);
        }
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::open(root.join(format!("dev/input/event{number}")), flags, Mode::empty())?;
        let name = text(&about.join("name"));
        let name: String = name.trim().chars().filter(|c| !c.is_control()).take(NAME_CHARS_MAX).collect();
        Ok(Some(Device { number, name, file, presses: Presses::new(wished.cloned()) }))
    }

    /// Reads what there is, but not without end.
    pub fn read(&mut self, tell: &mut dyn FnMut(Told)) -> End {
        let mut bytes = [0; EVENT_BYTES * EVENTS_MAX];
        let n = match rustix::io::read(&self.file, &mut bytes) {
            Ok(0) => return End::Gone,
            Ok(n) => n,
            Err(Errno::AGAIN | Errno::INTR) => return End::Read,
            Err(_) => return End::Gone,
        };
        let mut must_ask = false;
        self.presses.handle(&bytes[..n], &mut |told| match told {
            Told::Ask => must_ask = true,
            other => tell(other),
        });
        if must_ask {
            self.presses.held(held(&self.file).as_ref(), tell);
        }
        End::Read
    }

    pub fn is_down(&self) -> bool {
        self.presses.is_down()
    }
}

/// Words of 64 bits in hexadecimal, the highest first.
fn has(mask: &str, code: u16) -> bool {
    const WORDS_MAX: usize = MASK_BYTES / 8;
    if code >= CODES {
        return false;
    }
    let word = mask.split_whitespace().rev().take(WORDS_MAX).nth(usize::from(code / 64));
    word.and_then(|word| u64::from_str_radix(word, 16).ok()).is_some_and(|word| word >> (code % 64) & 1 == 1)
}

fn text(path: &Path) -> String {
    let mut bytes = Vec::new();
    // A device that is just going has no such file any more.
    _ = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_tells_which_keys_a_device_has() {
        let keyboard = "402000000 3803078f800d001 feffffdfffefffff fffffffffffffffe\n";
        assert!(has(keyboard, 97) && has(keyboard, 88) && has(keyboard, 30));
        let (power, mouse) = ("8000 10000000000000 0", "70000 0 0 0 0");
        assert!(has(power, 116) && !has(power, 97) && has(mouse, 272) && !has(mouse, 88));
        for garbage in ["", "zz", "ffffffffffffffffffffffff", "-1"] {
            assert!(!has(garbage, 1) && !has(garbage, u16::MAX), "{garbage:?}");
        }
    }
}
