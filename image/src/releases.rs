//! The releases in `out/releases`: which there are, which are promoted, and how to remove one.
//!
//! It knows names, sizes and dates, but neither what is in a release nor who wants it.
//! A promotion is one file written beside and renamed, so that a power cut leaves the old or the new one.

pub mod args;

use crate::calendar::Moment;
use crate::disk::{read_limited, write_whole};
use anyhow::{Context, Result, bail};
use release::{PROMOTED_BYTES_MAX, PROMOTED_MAX, ReleaseId, parse_promoted};
use serde::Serialize;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// So many releases are looked at; older ones should be removed.
pub const RELEASES_MAX: usize = 256;
/// So many files are looked at in one release; it has seven.
const FILES_MAX: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Release {
    pub id: String,
    pub bytes: u64,
    /// When it was built, in seconds since 1970.
    pub built_unix_s: u64,
    /// 1 for what PCs get, 2 for what they fall back to, and so on; `None` when not promoted.
    pub promoted: Option<usize>,
}

/// `out/releases`.
pub fn folder(out: &Path) -> PathBuf {
    out.join("releases")
}

/// Every release: promoted ones first, in their order, then the others, newest first.
pub fn list(out: &Path) -> Result<Vec<Release>> {
    let order = promoted(out)?;
    let folder = folder(out);
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("cannot list {}", folder.display()))?,
    };
    let mut releases = Vec::new();
    for entry in entries.take(RELEASES_MAX * 2) {
        let entry = entry.with_context(|| format!("cannot list {}", folder.display()))?;
        let Ok(id) = entry.file_name().into_string() else { continue };
        if ReleaseId::parse(&id).is_ok() && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            releases.push(measure(&entry.path(), id, &order)?);
        }
    }
    releases.sort_by(|a, b| {
        let rank = |r: &Release| (r.promoted.unwrap_or(usize::MAX), u64::MAX - r.built_unix_s);
        rank(a).cmp(&rank(b)).then_with(|| a.id.cmp(&b.id))
    });
    releases.truncate(RELEASES_MAX);
    Ok(releases)
}

fn measure(path: &Path, id: String, order: &[String]) -> Result<Release> {
    let context = || format!("cannot look into {}", path.display());
    let mut bytes = 0;
    for entry in fs::read_dir(path).with_context(context)?.take(FILES_MAX) {
        bytes += entry.with_context(context)?.metadata().with_context(context)?.len();
    }
    let built = fs::metadata(path).and_then(|meta| meta.modified()).with_context(context)?;
    let built_unix_s = built.duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs());
    let promoted = order.iter().position(|other| *other == id).map(|idx| idx + 1);
    Ok(Release { id, bytes, built_unix_s, promoted })
}

/// The promoted ids, newest first.
pub fn promoted(out: &Path) -> Result<Vec<String>> {
    let path = folder(out).join("promoted");
    let text = match read_limited(&path, PROMOTED_BYTES_MAX) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        text => text.with_context(|| format!("cannot read {}", path.display()))?,
    };
    let ids = parse_promoted(text.as_bytes());
    let ids = ids
        .with_context(|| format!("{} is damaged; mend it or remove it and promote again", path.display()))?;
    Ok(ids.iter().map(ReleaseId::to_string).collect())
}

/// Makes this release what PCs get; the one before becomes what they fall back to.
pub fn promote(out: &Path, id: &ReleaseId) -> Result<()> {
    existing(out, id)?;
    let mut order = promoted(out)?;
    order.retain(|other| other != id.as_str());
    order.insert(0, id.to_string());
    write_promoted(out, &order)
}

/// Removes a release. A promoted one only with `force`.
pub fn remove(out: &Path, id: &ReleaseId, force: bool) -> Result<()> {
    let path = existing(out, id)?;
    let mut order = promoted(out)?;
    if order.iter().any(|other| other == id.as_str()) {
        if !force {
            bail!(
                "release {id} is promoted, PCs may boot it; promote another first, or remove it with --force"
            );
        }
        order.retain(|other| other != id.as_str());
        write_promoted(out, &order)?;
    }
    // A half-removed release must not be offered: it leaves its name first, in one step.
    let leaving = folder(out).join(format!(".removing-{id}"));
    fs::rename(&path, &leaving).with_context(|| format!("cannot remove {}", path.display()))?;
    fs::remove_dir_all(&leaving).with_context(|| format!("cannot remove {}", leaving.display()))
}

fn existing(out: &Path, id: &ReleaseId) -> Result<PathBuf> {
    let path = folder(out).join(id.as_str());
    if !path.is_dir() {
        bail!(
            "there is no release {id} in {}; `duet release list` shows which there are",
            folder(out).display()
        );
    }
    Ok(path)
}

fn write_promoted(out: &Path, order: &[String]) -> Result<()> {
    let path = folder(out).join("promoted");
    let lines: String = order.iter().take(PROMOTED_MAX).map(|id| format!("{id}\n")).collect();
    write_whole(&path, lines.as_bytes())
}

/// The list as a table for people.
pub fn table(releases: &[Release]) -> String {
    if releases.is_empty() {
        return "no release yet: run `duet build`\n".to_owned();
    }
    let mut text = format!("{:<24} {:>9}  {:<16}  {}\n", "RELEASE", "SIZE", "BUILT (UTC)", "USE");
    for release in releases {
        let role = match release.promoted {
            Some(1) => "PCs get this",
            Some(2) => "PCs fall back to this",
            Some(_) => "promoted before",
            None => "",
        };
        let size = format!("{:.1} MB", release.bytes as f64 / 1e6);
        let line = format!("{:<24} {size:>9}  {:<16}  {role}", release.id, utc(release.built_unix_s));
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// `2026-01-31 12:05`.
pub fn utc(unix_s: u64) -> String {
    let moment = Moment::of(unix_s);
    format!("{} {:02}:{:02}", moment.date(), moment.hour, moment.minute)
}

/// Seconds since 1970 by the system's clock.
pub fn unix_now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> ReleaseId {
        ReleaseId::parse(text).unwrap()
    }

    const A: &str = "trixie-00000000000a";
    const B: &str = "trixie-00000000000b";
    const C: &str = "trixie-00000000000c";

    /// Runs `act` in a folder with the releases A, B and C, and shows what is promoted and what is there.
    fn check(name: &str, act: impl Fn(&Path) -> Result<()>, want: &str) {
        let out = std::env::temp_dir().join(format!("duet-releases-{}-{name}", std::process::id()));
        for id in [A, B, C] {
            fs::create_dir_all(folder(&out).join(id)).unwrap();
            fs::write(folder(&out).join(id).join("vmlinuz"), id).unwrap();
        }
        let error = act(&out).err().map(|error| format!(" error: {error}")).unwrap_or_default();
        let last = |id: &String| id[18..].to_owned();
        let there = list(&out).unwrap().iter().map(|r| last(&r.id)).collect::<String>();
        let got = format!("{}/{there}{error}", promoted(&out).unwrap().iter().map(last).collect::<String>());
        fs::remove_dir_all(&out).unwrap();
        assert!(got.starts_with(want), " got: {got}\nwant: {want}");
    }

    #[test]
    fn the_newest_promotion_comes_first() {
        check(
            "order",
            |out| {
                promote(out, &id(A)).and_then(|()| promote(out, &id(C))).and_then(|()| promote(out, &id(A)))
            },
            "ac/acb",
        );
    }

    #[test]
    fn only_a_release_that_exists_is_promoted() {
        check(
            "missing",
            |out| promote(out, &id("trixie-0123456789ab")),
            "/abc error: there is no release trixie-0123",
        );
    }

    #[test]
    fn a_promoted_release_is_removed_only_by_force() {
        check(
            "kept",
            |out| promote(out, &id(A)).and_then(|()| remove(out, &id(A), false)),
            "a/abc error: release trixie-0000",
        );
        check("force", |out| promote(out, &id(A)).and_then(|()| remove(out, &id(A), true)), "/bc");
        check("free", |out| promote(out, &id(A)).and_then(|()| remove(out, &id(B), false)), "a/ac");
    }

    #[test]
    fn a_damaged_list_of_promotions_is_told() {
        let write = |out: &Path, text: &str| fs::write(folder(out).join("promoted"), text).unwrap();
        let spoil = |out: &Path| {
            write(out, "../../x\n");
            let said = format!("{:#}", promote(out, &id(A)).unwrap_err());
            write(out, "");
            assert!(said.contains("is damaged; mend it") && said.contains("line 1"), "{said}");
            Ok(())
        };
        check("damaged", spoil, "/abc");
    }

    #[test]
    fn dates_follow_the_calendar() {
        for (unix_s, want) in [
            (0, "1970-01-01 00:00"),
            (951_782_400, "2000-02-29 00:00"),
            (951_868_800, "2000-03-01 00:00"),
            (1_760_000_000, "2025-10-09 08:53"),
            (4_107_542_399, "2100-02-28 23:59"),
        ] {
            assert_eq!(utc(unix_s), want);
        }
    }
}
