//! The lock file: exactly which Debian packages an image is made of, with their hashes.
//!
//! It is text that a person can read and compare: one package a line.

use super::lists::{self, ListError};
use super::profile;
use std::fmt::{self, Write};

/// A Debian package is never larger than this; apt is not asked to fetch a mistake.
const PACKAGE_BYTES_MAX: u64 = 1 << 30;

/// All packages of an image together; a mirror must not fill the disk.
const LOCK_BYTES_MAX: u64 = 4 << 30;

/// What a package is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Use {
    /// Unpacked and configured in the root.
    Root,
    /// Gives the kernel and its modules.
    Kernel,
    /// Gives first stages for PXE ROMs; stays on the boot server.
    Loader,
    /// Unpacked without what it depends on; the root gets what speech needs of it.
    Speech,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Package {
    pub used: Use,
    pub name: String,
    pub version: String,
    pub architecture: String,
    pub bytes: u64,
    pub sha256: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    pub suite: String,
    /// The hash of what was asked for: another wish needs another lock file.
    pub wish: String,
    pub profiles: Vec<String>,
    pub packages: Vec<Package>,
}

impl fmt::Display for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Use::Root => "root",
            Use::Kernel => "kernel",
            Use::Loader => "loader",
            Use::Speech => "speech",
        })
    }
}

impl Package {
    /// The name under which the package lies in the cache.
    pub fn file_name(&self) -> String {
        format!("{}_{}_{}.deb", self.name, self.version.replace(':', "%3a"), self.architecture)
    }
}

impl Lock {
    pub fn used_for(&self, used: Use) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(move |package| package.used == used)
    }

    pub fn to_text(&self) -> String {
        let mut packages = self.packages.clone();
        packages.sort();
        let mut text = String::from(
            "# What the image is made of: use, package, version, architecture, bytes, SHA-256.\n\
             # Written by `duet build --update`; the same lock file gives the same image.\n",
        );
        let _ = writeln!(text, "suite {}\nwish {}", self.suite, self.wish);
        for profile in &self.profiles {
            let _ = writeln!(text, "profile {profile}");
        }
        for p in &packages {
            let _ = writeln!(
                text,
                "{} {} {} {} {} {}",
                p.used, p.name, p.version, p.architecture, p.bytes, p.sha256
            );
        }
        text
    }

    pub fn parse(file: &str, text: &str) -> Result<Lock, ListError> {
        let (suite, wish) = Default::default();
        let mut lock = Lock { suite, wish, profiles: Vec::new(), packages: Vec::new() };
        for entry in lists::entries(file, text)? {
            let words: Vec<&str> = entry.words.iter().map(String::as_str).collect();
            match words[..] {
                ["suite", suite] if super::recipe::is_suite(suite) => lock.suite = suite.into(),
                ["wish", wish] if wish.len() <= 64 => lock.wish = wish.into(),
                ["profile", name]
                    if profile::is_name(name) && lock.profiles.len() < profile::PROFILES_MAX =>
                {
                    lock.profiles.push(name.into());
                }
                [used, name, version, architecture, bytes, sha256] => {
                    let package = package(used, name, version, architecture, bytes, sha256);
                    lock.packages.push(package.map_err(|what| fail(file, entry.line, what))?);
                }
                _ => return Err(fail(file, entry.line, "a line has six words: use, package, version, ...")),
            }
        }
        if lock.packages.iter().map(|package| package.bytes).sum::<u64>() > LOCK_BYTES_MAX {
            return Err(fail(file, text.lines().count(), "the packages have more than 4 GiB together"));
        }
        if lock.suite.is_empty() || lock.packages.is_empty() {
            return Err(fail(file, text.lines().count(), "the lock file names no suite or no package"));
        }
        Ok(lock)
    }
}

fn fail(file: &str, line: usize, what: &str) -> ListError {
    ListError { file: file.into(), line, what: what.into() }
}

fn package(
    used: &str,
    name: &str,
    version: &str,
    architecture: &str,
    bytes: &str,
    sha256: &str,
) -> Result<Package, &'static str> {
    let used = match used {
        "root" => Use::Root,
        "kernel" => Use::Kernel,
        "loader" => Use::Loader,
        "speech" => Use::Speech,
        _ => return Err("the use is one of root, kernel, loader, speech"),
    };
    if !lists::is_package_name(name) {
        return Err("this is not the name of a package");
    }
    if !is_version(version) {
        return Err("this is not a version");
    }
    if !matches!(architecture, "amd64" | "all") {
        return Err("the architecture is amd64 or all");
    }
    let bytes: u64 = bytes.parse().map_err(|_| "the fifth word is the size in bytes")?;
    if bytes > PACKAGE_BYTES_MAX {
        return Err("no package is that large");
    }
    if sha256.len() != 64 || !sha256.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
        return Err("the last word is a SHA-256 in 64 hex digits");
    }
    Ok(Package {
        used,
        name: name.into(),
        version: version.into(),
        architecture: architecture.into(),
        bytes,
        sha256: sha256.into(),
    })
}

/// Debian Policy 5.6.12; a version becomes part of a file name, so nothing else passes.
pub fn is_version(version: &str) -> bool {
    version.starts_with(|c: char| c.is_ascii_digit())
        && version.len() <= 128
        && version.chars().all(|c| c.is_ascii_alphanumeric() || ".+-~:".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn check(line: &str, want: &str) {
        let got = match Lock::parse("packages.lock", &format!("suite trixie\n{line}\n")) {
            Ok(lock) => lock.packages[0].file_name(),
            Err(error) => format!("error: {error}"),
        };
        assert_eq!(got, want);
    }

    #[test]
    fn an_epoch_is_escaped_in_the_file_name() {
        check(&format!("root zlib1g 1:1.3-1 amd64 88720 {SHA}"), "zlib1g_1%3a1.3-1_amd64.deb");
    }

    #[test]
    fn a_path_is_no_version() {
        check(&format!("root a1 1/../x amd64 1 {SHA}"), "error: packages.lock:2: this is not a version");
    }

    #[test]
    fn a_short_hash_is_an_error() {
        let want = "error: packages.lock:2: the last word is a SHA-256 in 64 hex digits";
        check("root a1 1 amd64 1 abc", want);
    }

    #[test]
    fn a_mirror_cannot_fill_the_disk() {
        let lines: String = (0..5).map(|n| format!("root a{n} 1 all 1073741824 {SHA}\n")).collect();
        let error = Lock::parse("l", &format!("suite trixie\n{lines}")).unwrap_err();
        assert_eq!(error.what, "the packages have more than 4 GiB together");
    }

    #[test]
    fn a_lock_survives_writing_and_reading() {
        let text =
            format!("suite trixie\nwish 1f\nkernel linux-image 6.12 amd64 5 {SHA}\nroot a1 1 all 1 {SHA}\n");
        let lock = Lock::parse("l", &text).unwrap();
        let again = Lock::parse("l", &lock.to_text()).unwrap();
        assert_eq!(again.to_text(), lock.to_text());
        assert_eq!(again.packages.len(), 2);
    }
}
