//! The papers of a release: the bill of materials and the licence texts.
//!
//! They are made from the base system before it is pruned, from the kernel's package, and from the crates of our
//! own programs; they lie beside the root, so that no PC holds them in memory.

use super::licences::Licences;
use super::lock::{Lock, Use};
use super::programs::cargo_program;
use super::sbom::crates::{Crate, Metadata};
use super::sbom::debian::{self, DebianPackage};
use super::sbom::{Materials, Program, spdx};
use super::steps::{Key, KeyMaker};
use crate::disk::hash_file;
use crate::progress::Step;
use crate::tool;
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Our own programs that travel to a node.
const PROGRAMS: [&str; 3] = ["agent", "rpc-worker", "init"];

/// Where the materials are found.
pub struct Sources<'a> {
    pub repository: &'a Path,
    pub base_tar: &'a Path,
    pub kernel: &'a Path,
    /// The unpacked packages of speech.
    pub speech: &'a Path,
    pub debs: &'a Path,
    pub lock: &'a Lock,
    pub epoch: u64,
}

/// What the papers follow from, beside the packages.
pub fn key(repository: &Path) -> Result<Key> {
    let key = KeyMaker::new("papers").with(hash_file(&repository.join("Cargo.lock"))?);
    Ok(key.with(hash_file(&repository.join("LICENSE"))?).with(standard_library()?.version).key())
}

pub struct Papers {
    pub sbom: String,
    pub licences: Vec<u8>,
    pub n_packages: usize,
    pub n_crates: usize,
}

/// Gathers everything; `scratch` holds the unpacked texts for that long.
pub fn gather(from: &Sources<'_>, release: &str, scratch: &Path, log: &Path, step: &Step) -> Result<Papers> {
    super::root::remove_tree(scratch)?;
    fs::create_dir_all(scratch).with_context(|| format!("making {}", scratch.display()))?;
    let mut unpack = tool::command("tar");
    unpack.args(["--extract", "--no-same-owner", "--wildcards", "--file"]).arg(from.base_tar);
    unpack.arg("--directory").arg(scratch);
    unpack.args(["./usr/share/doc/*", "./usr/share/common-licenses/*", "./var/lib/dpkg/status"]);
    tool::run(&mut unpack, log, step)?;

    let mut licences = Licences::default();
    licences.take_debian(scratch)?;
    licences.take_debian(from.kernel)?;
    licences.take_debian(from.speech)?;
    let debian = packages(from, scratch, &licences)?;
    let programs = programs(from, &mut licences)?;
    let own = fs::read(from.repository.join("LICENSE")).context("reading LICENSE")?;
    licences.add("duet/LICENSE", own);
    super::root::remove_tree(scratch)?;

    let n_crates = programs.iter().map(|program| program.crates.len()).sum();
    let materials = Materials {
        release: release.into(),
        suite: from.lock.suite.clone(),
        epoch: from.epoch,
        debian,
        programs,
    };
    Ok(Papers {
        n_packages: materials.debian.len(),
        n_crates,
        sbom: spdx(&materials),
        licences: licences.pack(from.epoch)?,
    })
}

/// What dpkg installed, and what is only unpacked: the kernel, and what speech needs.
fn packages(from: &Sources<'_>, scratch: &Path, licences: &Licences) -> Result<Vec<DebianPackage>> {
    let status = fs::read_to_string(scratch.join("var/lib/dpkg/status")).context("reading dpkg's records")?;
    let mut packages = debian::installed(&status)?;
    for unpacked in from.lock.used_for(Use::Kernel).chain(from.lock.used_for(Use::Speech)) {
        let deb = from.debs.join(unpacked.file_name());
        let control = tool::capture(tool::command("dpkg-deb").arg("--field").arg(deb))?;
        packages.push(debian::control(&control)?);
    }
    for package in &mut packages {
        let locked =
            from.lock.packages.iter().find(|p| p.name == package.name && p.version == package.version);
        package.sha256 = locked.map(|p| p.sha256.clone());
        package.licences = licences.copyright_of(&package.name).and_then(debian::licences);
    }
    Ok(packages)
}

fn programs(from: &Sources<'_>, licences: &mut Licences) -> Result<Vec<Program>> {
    let mut command = Command::new(cargo_program());
    command.current_dir(from.repository).args(["metadata", "--format-version", "1", "--locked"]);
    command.args(["--filter-platform", "x86_64-unknown-linux-gnu"]);
    let metadata = Metadata::parse(&tool::capture(&mut command)?).context("reading cargo's metadata")?;
    let cargo_lock = fs::read_to_string(from.repository.join("Cargo.lock")).context("reading Cargo.lock")?;
    let mut programs = Vec::new();
    for name in PROGRAMS {
        let (version, licence) = metadata.describe(name).with_context(|| format!("cargo knows no {name}"))?;
        let mut crates = vec![standard_library()?];
        for (part, folder) in metadata.crates_of(name, &cargo_lock).unwrap_or_default() {
            licences.take_crate(&format!("{}-{}", part.name, part.version), &folder)?;
            crates.push(part);
        }
        programs.push(Program { name: name.into(), version, licence, crates });
    }
    Ok(programs)
}

/// Rust's own library is linked in as well; its version is the compiler's.
fn standard_library() -> Result<Crate> {
    let told = tool::capture(Command::new("rustc").arg("--version"))?;
    let version = told.split_whitespace().nth(1).unwrap_or("unknown").to_string();
    Ok(Crate { name: "std".into(), version, licence: Some("MIT OR Apache-2.0".into()), sha256: None })
}
