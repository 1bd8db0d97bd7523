//! Fixed binary forms, read strictly: big-endian numbers, exact lengths, nothing left over.
//! And small hex digits, the one form in which keys travel inside JSON.

use crate::Error;

/// Reads a form from its first byte to its last.
pub(crate) struct Reader<'a> {
    what: &'static str,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(what: &'static str, bytes: &'a [u8]) -> Reader<'a> {
        Reader { what, rest: bytes }
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(Error::Form { what: self.what })?;
        self.rest = rest;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Error> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Error> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Error> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Error> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    /// The first byte of every form: its age.
    pub(crate) fn format(&mut self, known: u8) -> Result<(), Error> {
        let found = self.u8()?;
        if found == known { Ok(()) } else { Err(Error::Format { what: self.what, found }) }
    }

    pub(crate) fn slice(&mut self, n: usize) -> Result<&'a [u8], Error> {
        let (head, rest) = self.rest.split_at_checked(n).ok_or(Error::Form { what: self.what })?;
        self.rest = rest;
        Ok(head)
    }

    /// Everything that is left.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn end(self) -> Result<(), Error> {
        if self.rest.is_empty() { Ok(()) } else { Err(Error::Form { what: self.what }) }
    }
}

/// Small hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |n: u8| char::from(b"0123456789abcdef"[usize::from(n)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Reads small hex digits of at most `bytes_max` bytes.
pub(crate) fn unhex(text: &str, bytes_max: usize) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || text.len() / 2 > bytes_max {
        return None;
    }
    let value = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    text.as_bytes().chunks_exact(2).map(|pair| Some(value(pair[0])? << 4 | value(pair[1])?)).collect()
}

/// Reads exactly N bytes of small hex digits.
pub(crate) fn unhex_exact<const N: usize>(text: &str) -> Option<[u8; N]> {
    unhex(text, N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_survives_and_has_one_form() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(unhex(&hex(&bytes), 256), Some(bytes));
        for bad in ["0", "0G", "AB", "é", "00000"] {
            assert_eq!(unhex(bad, 256), None, "{bad:?}");
        }
        assert_eq!(unhex("0000", 1), None);
        assert_eq!(unhex_exact::<2>("00"), None);
    }

    #[test]
    fn a_reader_takes_every_byte_or_refuses() {
        let mut reader = Reader::new("a form", &[1, 0, 2, 9]);
        assert_eq!(reader.format(1), Ok(()));
        assert_eq!(reader.u16(), Ok(2));
        assert_eq!(reader.u32(), Err(Error::Form { what: "a form" }));
        assert_eq!(reader.end(), Err(Error::Form { what: "a form" }));
        assert_eq!(Reader::new("a form", &[7]).format(1), Err(Error::Format { what: "a form", found: 7 }));
    }
}
