//! Saving what a sequence has in the cache, and putting it back: a long beginning is then evaluated once.
//!
//! The library's own bytes are wrapped: a head says which model and cache they belong to, and a checksum guards them,
//! because the library trusts what it is given.

use crate::fingerprint::{EMPTY, fnv};
use crate::{Cache, Context, Error, Seq, log, part, sys};
use std::fs;
use std::io::{Read, Write};
use std::path::Path;

/// Bytes of a saved state: the cache of 8B models at 4,000 positions needs about 300 MB.
pub const STATE_BYTES_MAX: usize = 1 << 30;

const MAGIC: &[u8; 8] = b"duetkv01";
/// Magic, fingerprint, length, checksum.
const HEAD_BYTES: usize = 8 + 8 + 8 + 8;

impl Context {
    /// What a sequence has in the cache, as bytes.
    pub fn save(&mut self, seq: Seq) -> Result<Vec<u8>, Error> {
        self.check_seq(seq)?;
        // SAFETY: the context is live and the sequence within its limits.
        let room = unsafe { sys::llama_state_seq_get_size(self.raw(), seq as i32) };
        if room > STATE_BYTES_MAX {
            return Err(Error::TooLong { what: "the state", bytes: room, max: STATE_BYTES_MAX });
        }
        let mut bytes = vec![0u8; HEAD_BYTES + room];
        log::clear();
        // SAFETY: the pointer has `room` bytes behind it.
        let n = unsafe {
            sys::llama_state_seq_get_data(self.raw(), bytes[HEAD_BYTES..].as_mut_ptr(), room, seq as i32)
        };
        if n == 0 || n > room {
            return Err(log::refused("save the state"));
        }
        bytes.truncate(HEAD_BYTES + n);
        let sum = fnv(EMPTY, &bytes[HEAD_BYTES..]);
        let head = [*MAGIC, self.fingerprint().to_le_bytes(), (n as u64).to_le_bytes(), sum.to_le_bytes()];
        bytes[..HEAD_BYTES].copy_from_slice(head.as_flattened());
        Ok(bytes)
    }

    /// Puts a saved state in place of what a sequence has.
    pub fn restore(&mut self, seq: Seq, bytes: &[u8]) -> Result<(), Error> {
        self.check_seq(seq)?;
        let wrong = |why| Err(Error::State { why });
        if bytes.len() > HEAD_BYTES + STATE_BYTES_MAX {
            return Err(Error::TooLong { what: "the state", bytes: bytes.len(), max: STATE_BYTES_MAX });
        }
        let Some((head, body)) = bytes.split_at_checked(HEAD_BYTES) else { return wrong("is cut short") };
        let (words, _) = head.as_chunks::<8>();
        let number = |idx: usize| u64::from_le_bytes(words[idx]);
        if &words[0] != MAGIC {
            return wrong("is of another kind");
        }
        if number(1) != self.fingerprint() {
            return wrong("belongs to another model or another kind of cache");
        }
        if number(2) != body.len() as u64 {
            return wrong("is cut short");
        }
        if number(3) != fnv(EMPTY, body) {
            return wrong("is damaged");
        }
        self.forget(seq, 0);
        log::clear();
        // SAFETY: the pointer has that many bytes behind it, and they are what this library wrote for such a model.
        let n = unsafe { sys::llama_state_seq_set_data(self.raw(), body.as_ptr(), body.len(), seq as i32) };
        if n != body.len() {
            self.forget(seq, 0);
            return Err(log::refused("restore the state"));
        }
        Ok(())
    }

    /// Saves into a file, which appears whole or not at all.
    pub fn save_file(&mut self, seq: Seq, path: &Path) -> Result<(), Error> {
        let bytes = self.save(seq)?;
        let part = part::part_of(path);
        let write = || {
            let mut file = fs::File::create(&part)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&part, path)
        };
        write().map_err(|e| {
            // What is left of a failed attempt is of no use; if it cannot be removed, the error says enough.
            let _ = fs::remove_file(&part);
            part::error(path)(e)
        })
    }

    pub fn restore_file(&mut self, seq: Seq, path: &Path) -> Result<(), Error> {
        let mut bytes = Vec::new();
        let most = (HEAD_BYTES + STATE_BYTES_MAX) as u64 + 1;
        fs::File::open(path)
            .and_then(|file| file.take(most).read_to_end(&mut bytes))
            .map_err(|e| Error::File { path: path.display().to_string(), why: e.to_string() })?;
        self.restore(seq, &bytes)
    }

    /// What two contexts must have in common to share a state.
    fn fingerprint(&self) -> u64 {
        let cache = match self.cache() {
            Cache::Q8_0 => 8,
            Cache::F16 => 16,
        };
        fnv(self.model().fingerprint(), &[cache])
    }
}
