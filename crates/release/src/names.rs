//! Names that are safe in a path, in a URL and on a boot line, because their letters were checked.

use std::fmt;
use std::str::FromStr;

use crate::{Error, Mac};

/// Longest release id: `trixie-` and 12 digits need 19.
pub const RELEASE_ID_BYTES_MAX: usize = 64;

/// Longest host name or other short word (RFC 1035, section 2.3.4).
pub const NAME_BYTES_MAX: usize = 63;

/// The name of a release, such as `trixie-0123456789ab`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReleaseId(String);

impl ReleaseId {
    /// Accepts small letters, digits, dots and hyphens; the first must be a letter or a digit.
    pub fn parse(text: &str) -> Result<ReleaseId, Error> {
        let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.' || b == b'-';
        let starts_well = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if starts_well && text.len() <= RELEASE_ID_BYTES_MAX && text.bytes().all(good) {
            return Ok(ReleaseId(text.to_string()));
        }
        Err(Error::Value {
            what: "the release id",
            want: "small letters, digits, dots and hyphens, at most 64",
        })
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A host name of one label.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostName(String);

impl HostName {
    /// Accepts small letters, digits and inner hyphens.
    pub fn parse(text: &str) -> Result<HostName, Error> {
        let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let edges = text.starts_with('-') || text.ends_with('-');
        if !edges && (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(good) {
            return Ok(HostName(text.to_string()));
        }
        Err(Error::Value {
            what: "the host name",
            want: "small letters, digits and inner hyphens, at most 63",
        })
    }

    /// What a PC is called that nobody named: `duet-` and the last six hex digits of its MAC.
    pub fn of_mac(mac: Mac) -> HostName {
        let [_, _, _, d, e, f] = mac.0;
        HostName(format!("duet-{d:02x}{e:02x}{f:02x}"))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A short word of one line: a suite, a kernel version, an interface.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Word(String);

impl Word {
    /// Accepts letters, digits and `. + - _ ~ : @`, at most 63 of them.
    pub fn parse(text: &str) -> Result<Word, Error> {
        let good = |b: u8| b.is_ascii_alphanumeric() || b".+-_~:@".contains(&b);
        if (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(good) {
            return Ok(Word(text.to_string()));
        }
        Err(Error::Value { what: "a name", want: "letters, digits and . + - _ ~ : @, at most 63" })
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The files of a release. A boot server sends these and no others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileName {
    Vmlinuz,
    Initrd,
    Root,
    Manifest,
    Signature,
    Lock,
    Sbom,
    Licences,
}

impl FileName {
    pub const ALL: [FileName; 8] = [
        FileName::Vmlinuz,
        FileName::Initrd,
        FileName::Root,
        FileName::Manifest,
        FileName::Signature,
        FileName::Lock,
        FileName::Sbom,
        FileName::Licences,
    ];

    /// What every boot needs; a manifest without one of them is refused.
    pub const BOOT: [FileName; 3] = [FileName::Vmlinuz, FileName::Initrd, FileName::Root];

    pub const fn as_str(self) -> &'static str {
        match self {
            FileName::Vmlinuz => "vmlinuz",
            FileName::Initrd => "initrd",
            FileName::Root => "root.squashfs",
            FileName::Manifest => "manifest.toml",
            FileName::Signature => "manifest.sig",
            FileName::Lock => "packages.lock",
            FileName::Sbom => "sbom.spdx.json",
            FileName::Licences => "licences.tar.zst",
        }
    }

    pub fn parse(text: &str) -> Result<FileName, Error> {
        let found = FileName::ALL.into_iter().find(|name| name.as_str() == text);
        found.ok_or(Error::Value { what: "the file name", want: "a release has no such file" })
    }

    /// Whether the manifest can state this file's hash: it cannot state its own.
    pub fn is_measured(self) -> bool {
        !matches!(self, FileName::Manifest | FileName::Signature)
    }

    /// Where a boot server offers this file.
    pub fn path(self, id: &ReleaseId) -> String {
        format!("/releases/{id}/{self}")
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

macro_rules! text_forms {
    ($($name:ident)*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<$name, Error> {
                $name::parse(text)
            }
        }
    )*};
}

text_forms!(ReleaseId HostName Word);

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, good: bool) {
        assert_eq!(ReleaseId::parse(text).is_ok(), good, "{text:?}");
    }

    #[test]
    fn a_release_id_is_small_letters_digits_dots_and_hyphens() {
        check("trixie-0123456789ab", true);
        check("a", true);
        check("Trixie-1", false);
        check("a/b", false);
        check("a b", false);
        check("a\n", false);
        check("é", false);
    }

    #[test]
    fn a_release_id_cannot_climb_out_of_its_folder() {
        check("", false);
        check(".", false);
        check("..", false);
        check(".hidden", false);
        check("-rf", false);
    }

    #[test]
    fn a_release_id_has_at_most_64_letters() {
        check(&"a".repeat(64), true);
        check(&"a".repeat(65), false);
    }

    #[test]
    fn every_file_name_is_found_by_its_text_and_nothing_else_is() {
        for name in FileName::ALL {
            assert_eq!(FileName::parse(name.as_str()), Ok(name));
        }
        assert!(FileName::parse("../keys/release.key").is_err());
        assert!(FileName::parse("").is_err());
    }

    #[test]
    fn a_host_name_is_one_label() {
        assert!(HostName::parse("duet-770001").is_ok());
        for bad in ["", "-a", "a-", "a.b", "A", &"a".repeat(64)] {
            assert!(HostName::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_pc_that_nobody_named_is_called_by_its_mac() {
        let name = HostName::of_mac(Mac([0x52, 0x54, 0, 0x77, 0, 0xab]));
        assert_eq!(HostName::parse("duet-7700ab"), Ok(name));
    }

    #[test]
    fn a_file_has_one_place_on_a_server() {
        let id = ReleaseId::parse("trixie-1").unwrap();
        assert_eq!(FileName::Root.path(&id), "/releases/trixie-1/root.squashfs");
    }
}
