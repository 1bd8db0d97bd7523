//! Bytes from a stream, each length held to what is left of the file before memory is asked for.

use crate::{Error, META_BYTES_MAX, TEXT_BYTES_MAX};
use std::io::Read;

/// A stream that knows where it is and where it must end.
pub(crate) struct Source<'a> {
    input: &'a mut dyn Read,
    pub at: u64,
    end: u64,
}

impl<'a> Source<'a> {
    pub fn new(input: &'a mut dyn Read, file_bytes: u64) -> Source<'a> {
        Source { input, at: 0, end: file_bytes }
    }

    /// Bytes until the end of the file, or of what metadata may take.
    pub fn left(&self) -> u64 {
        self.end.min(META_BYTES_MAX).saturating_sub(self.at)
    }

    /// Refuses `n` items of at least `each` bytes where they cannot be.
    pub fn room(&self, what: &str, n: u64, each: u64) -> Result<(), Error> {
        let needs = n.saturating_mul(each);
        if needs <= self.left() {
            return Ok(());
        }
        if needs <= self.end.saturating_sub(self.at) {
            return Err(Error::TooMany {
                what: format!("bytes of metadata up to {what}"),
                at: self.at,
                n: self.at.saturating_add(needs),
                max: META_BYTES_MAX,
            });
        }
        Err(Error::Truncated { what: what.to_owned(), at: self.at, needs, left: self.end - self.at })
    }

    fn fill(&mut self, what: &str, bytes: &mut [u8]) -> Result<(), Error> {
        self.room(what, bytes.len() as u64, 1)?;
        self.input.read_exact(bytes).map_err(|e| Error::Read { at: self.at, why: e.to_string() })?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    pub fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], Error> {
        let mut bytes = [0; N];
        self.fill(what, &mut bytes)?;
        Ok(bytes)
    }

    pub fn u32(&mut self, what: &str) -> Result<u32, Error> {
        self.array(what).map(u32::from_le_bytes)
    }

    pub fn u64(&mut self, what: &str) -> Result<u64, Error> {
        self.array(what).map(u64::from_le_bytes)
    }

    /// A count, refused above its limit.
    pub fn count(&mut self, what: &str, max: u64) -> Result<u64, Error> {
        let at = self.at;
        let n = self.u64(what)?;
        if n > max {
            return Err(Error::TooMany { what: what.to_owned(), at, n, max });
        }
        Ok(n)
    }

    pub fn bytes(&mut self, what: &str, n: u64) -> Result<Vec<u8>, Error> {
        self.room(what, n, 1)?;
        let mut bytes = vec![0; usize::try_from(n).expect("the limit of metadata fits in memory")];
        self.fill(what, &mut bytes)?;
        Ok(bytes)
    }

    /// A text of any matter.
    pub fn text(&mut self, what: &str) -> Result<String, Error> {
        let at = self.at;
        let n = self.count(&format!("the length of {what}"), TEXT_BYTES_MAX)?;
        let bytes = self.bytes(what, n)?;
        let wrong = |why| Error::Text { what: what.to_owned(), at, why };
        String::from_utf8(bytes).map_err(|_| wrong("is not UTF-8"))
    }

    /// A text that serves as a name: neither empty nor with a zero byte, which would end it for a C program.
    pub fn name(&mut self, what: &str, max: u64) -> Result<String, Error> {
        let at = self.at;
        let text = self.text(what)?;
        let wrong = |why| Err(Error::Text { what: what.to_owned(), at, why });
        if text.is_empty() {
            return wrong("is empty");
        }
        if text.contains('\0') {
            return wrong("holds a zero byte");
        }
        if text.len() as u64 > max {
            return Err(Error::TooMany {
                what: format!("the length of {what}"),
                at,
                n: text.len() as u64,
                max,
            });
        }
        Ok(text)
    }
}
