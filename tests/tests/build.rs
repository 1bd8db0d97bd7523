//! `duet build` and what can go wrong: each mistake gives one clear sentence, and nothing half-made is left.

#![allow(clippy::unwrap_used)] // A panic is how a test reports.

use image::build::{Options, build, publish};
use release::FileName;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// An address where nothing listens: what a build without a network meets.
const NO_MIRROR: &str = "http://127.0.0.1:1/";

/// A repository of its own with the shipped lists, and an output folder beside it.
struct Trial {
    folder: PathBuf,
}

impl Trial {
    fn new(name: &str) -> Trial {
        let folder = std::env::temp_dir().join(format!("duet-build-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("repository")).unwrap();
        for part in ["buildroot", "models", "systemd"] {
            let mut copy = Command::new("cp");
            copy.arg("-a").arg(tests::repository().join(part)).arg(folder.join("repository"));
            assert!(copy.status().unwrap().success());
        }
        Trial { folder }
    }

    fn out(&self) -> PathBuf {
        self.folder.join("out")
    }

    fn edit(&self, file: &str, change: impl Fn(String) -> String) {
        let path = self.folder.join("repository").join(file);
        fs::write(&path, change(fs::read_to_string(&path).unwrap())).unwrap();
    }

    /// Builds and gives the error as the person reads it.
    fn fails(&self) -> String {
        let mirror = Some(NO_MIRROR.to_string());
        self.fails_with(&Options { mirror, ..Options::new(self.out()) })
    }

    fn fails_with(&self, options: &Options) -> String {
        let error = build(&self.folder.join("repository"), options).err().expect("this build must fail");
        assert!(!options.out.join("releases").exists(), "a failed build must not leave a release");
        format!("{error:#}")
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn check(error: &str, parts: &[&str]) {
    for part in parts {
        assert!(error.contains(part), "{part:?} is not in: {error}");
    }
}

#[test]
fn a_double_package_is_named_with_file_and_line() {
    let trial = Trial::new("double");
    trial.edit("buildroot/packages.list", |_| "kmod\nudev\nkmod\n".into());
    check(&trial.fails(), &["buildroot/packages.list:3: kmod is listed twice"]);
}

#[test]
fn a_list_that_is_no_text_is_named_with_its_line() {
    let trial = Trial::new("binary");
    let path = trial.folder.join("repository/buildroot/prune.list");
    fs::write(path, b"usr/share/doc\n\xff\xfe\n").unwrap();
    check(&trial.fails(), &["prune.list:2: this line is not UTF-8 text"]);
}

#[test]
fn a_missing_list_is_named() {
    let trial = Trial::new("missing");
    fs::remove_file(trial.folder.join("repository/buildroot/excludes.list")).unwrap();
    check(&trial.fails(), &["reading", "excludes.list", "No such file"]);
}

#[test]
fn an_unknown_setting_is_refused() {
    let trial = Trial::new("setting");
    trial.edit("buildroot/build.toml", |text| text + "\ncolour = 3\n");
    check(&trial.fails(), &["buildroot/build.toml", "colour"]);
}

#[test]
fn without_a_network_the_sentence_says_so() {
    check(&Trial::new("network").fails(), &["the package lists could not be fetched", "network"]);
}

#[test]
fn a_package_debian_does_not_have_is_named() {
    let trial = Trial::new("unknown");
    trial.edit("buildroot/packages.list", |text| text + "\nno-such-package-anywhere\n");
    let error = trial.fails_with(&Options::new(trial.out()));
    check(&error, &["Debian has no package no-such-package-anywhere", "buildroot/packages.list"]);
}

#[test]
fn a_lock_file_with_a_wrong_line_is_named_with_the_line() {
    let trial = Trial::new("lock");
    let lock = trial.folder.join("packages.lock");
    fs::write(&lock, "suite trixie\nwish 1\nroot bash 5.2\n").unwrap();
    let error = trial.fails_with(&Options { lock: Some(lock), ..Options::new(trial.out()) });
    check(&error, &["packages.lock:3: a line has six words"]);
}

#[test]
fn two_builds_in_one_folder_do_not_tread_on_each_other() {
    let trial = Trial::new("twice");
    fs::create_dir_all(trial.out()).unwrap();
    let held = fs::File::create(trial.out().join("build.lock")).unwrap();
    held.lock().unwrap();
    check(&trial.fails(), &["another build is at work", "--out"]);
}

#[test]
fn a_full_disk_is_noticed_before_the_work_begins() {
    let trial = Trial::new("disk");
    let small = trial.folder.join("small");
    fs::create_dir_all(&small).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=64m", "none"]).arg(&small).status();
    if !mounted.is_ok_and(|status| status.success()) {
        return tests::skip(
            "a_full_disk_is_noticed_before_the_work_begins",
            "only root may mount a small disk",
        );
    }
    let error = trial.fails_with(&Options::new(small.clone()));
    assert!(Command::new("umount").arg(&small).status().unwrap().success());
    check(&error, &["left, a build needs 2500.0 MB", "--out"]);
}

#[test]
fn a_signing_key_that_others_may_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let trial = Trial::new("key");
    publish::signing_key(&trial.out()).unwrap();
    let path = trial.out().join("keys/release.key");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    check(&trial.fails(), &["others may read", "chmod 600"]);
}

/// A release of small files, as `publish` makes it.
fn small_release(trial: &Trial) -> PathBuf {
    let key = publish::signing_key(&trial.out()).unwrap();
    fs::create_dir_all(trial.out().join("work")).unwrap();
    let from = trial.folder.join("part");
    fs::write(&from, b"some bytes").unwrap();
    let parts = publish::Parts {
        id: release::ReleaseId::parse("trixie-0123456789ab").unwrap(),
        suite: "trixie".into(),
        kernel: "6.12".into(),
        files: FileName::BOOT.into_iter().map(|name| (name, from.clone())).collect(),
    };
    publish::publish(&trial.out(), &parts, &key).unwrap()
}

fn check_release(trial: &Trial, place: &Path) -> Result<(), String> {
    let key = publish::public_key(&trial.out()).unwrap();
    publish::check(place, &key).map(drop).map_err(|error| format!("{error:#}"))
}

#[test]
fn a_release_is_right_until_a_byte_changes() {
    let trial = Trial::new("byte");
    let place = small_release(&trial);
    assert_eq!(check_release(&trial, &place), Ok(()));
    fs::write(place.join("initrd"), b"some bytez").unwrap();
    check(&check_release(&trial, &place).unwrap_err(), &["initrd", "does not have the hash of the manifest"]);
    fs::write(place.join("initrd"), b"some").unwrap();
    check(&check_release(&trial, &place).unwrap_err(), &["has 4 bytes, the manifest says 10"]);
}

#[test]
fn a_manifest_that_was_edited_is_refused() {
    let trial = Trial::new("edited");
    let place = small_release(&trial);
    let path = place.join("manifest.toml");
    let text = fs::read_to_string(&path).unwrap().replace("6.12", "6.13");
    fs::write(&path, text).unwrap();
    check(&check_release(&trial, &place).unwrap_err(), &["signature"]);
}

#[test]
fn a_damaged_release_is_made_whole_by_the_next_build() {
    let trial = Trial::new("mend");
    let place = small_release(&trial);
    fs::write(place.join("vmlinuz"), b"").unwrap();
    small_release(&trial);
    assert_eq!(check_release(&trial, &place), Ok(()));
}
