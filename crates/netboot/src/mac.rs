//! A network card's address: the name of a PC everywhere in duet.
//!
//! It knows two spellings, `52:54:00:77:00:01` and `52-54-00-77-00-01` (iPXE's `hexhyp`), and no others:
//! one PC must not have two names.

use std::fmt;
use std::str::FromStr;

/// An ethernet address of six bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

/// The text is not six pairs of hex digits, all parted by colons or all by hyphens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MacError;

impl Mac {
    /// The form used in URLs and file names, `52-54-00-77-00-01`.
    pub fn hyphenated(self) -> String {
        self.joined('-')
    }

    /// Whether this can be the address of one card: not a group's, not all zero.
    pub fn is_card(self) -> bool {
        self.0[0] & 1 == 0 && self.0 != [0; 6]
    }

    fn joined(self, mark: char) -> String {
        let [a, b, c, d, e, f] = self.0;
        format!("{a:02x}{mark}{b:02x}{mark}{c:02x}{mark}{d:02x}{mark}{e:02x}{mark}{f:02x}")
    }
}

impl FromStr for Mac {
    type Err = MacError;

    fn from_str(text: &str) -> Result<Mac, MacError> {
        let text: [u8; 17] = text.as_bytes().try_into().map_err(|_| MacError)?;
        let mark = text[2];
        if mark != b':' && mark != b'-' {
            return Err(MacError);
        }
        let mut mac = [0; 6];
        for (idx, byte) in mac.iter_mut().enumerate() {
            if idx > 0 && text[idx * 3 - 1] != mark {
                return Err(MacError);
            }
            *byte = digit(text[idx * 3])? << 4 | digit(text[idx * 3 + 1])?;
        }
        Ok(Mac(mac))
    }
}

fn digit(byte: u8) -> Result<u8, MacError> {
    let value = char::from(byte).to_digit(16).ok_or(MacError)?;
    Ok(value as u8)
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.joined(':'))
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.joined(':'))
    }
}

impl fmt::Display for MacError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a MAC address is six pairs of hex digits, like 52:54:00:77:00:01")
    }
}

impl std::error::Error for MacError {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parses `text` and says what came out, in both spellings.
    fn check(text: &str, want: &str) {
        let got = match text.parse::<Mac>() {
            Ok(mac) => format!("{mac} {}", mac.hyphenated()),
            Err(MacError) => "error".to_owned(),
        };
        assert_eq!(got, want, "{text:?}");
    }

    #[test]
    fn colons_and_hyphens_name_the_same_card() {
        check("52:54:00:77:00:0a", "52:54:00:77:00:0a 52-54-00-77-00-0a");
        check("52-54-00-77-00-0a", "52:54:00:77:00:0a 52-54-00-77-00-0a");
    }

    #[test]
    fn capitals_are_read_and_never_written() {
        check("DE:AD:BE:EF:00:FF", "de:ad:be:ef:00:ff de-ad-be-ef-00-ff");
    }

    #[test]
    fn two_marks_in_one_address_are_an_error() {
        check("52:54-00:77-00:01", "error");
    }

    #[test]
    fn other_marks_and_other_lengths_are_errors() {
        check("", "error");
        check("525400770001", "error");
        check("52 54 00 77 00 01", "error");
        check("52:54:00:77:00:1", "error");
        check("52:54:00:77:00:010", "error");
        check("52:54:00:77:00:\u{e9}", "error");
        check("52:54:00:77:00:+1", "error");
    }

    #[test]
    fn a_group_address_is_no_card() {
        assert!(Mac([0x52, 0, 0, 0, 0, 1]).is_card());
        assert!(!Mac([0xff; 6]).is_card());
        assert!(!Mac([0; 6]).is_card());
    }
}
