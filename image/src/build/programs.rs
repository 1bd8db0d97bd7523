//! The node programs and the init, built for a Core 2 in a target folder of their own.
//!
//! The paths of this machine are mapped away, so that the bytes do not tell where they were built.
//! What C and C++ are built with stands in `.cargo/config.toml`, which cargo reads for every build here.

use super::steps::{Key, KeyMaker};
use crate::disk::hash_file;
use crate::progress::Step;
use crate::tool;
use anyhow::{Context, Result};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Every processor since 2006 has this; nothing newer may be assumed.
const PROCESSOR: &str = "core2";
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// A git that finds no repository.
pub const NO_GIT: &str = "/nonexistent";

/// Of each cipher, curve and hash the arithmetic that a Core 2 would pick anyway: the others are dead weight.
const ARITHMETIC: &str = "--cfg curve25519_dalek_backend=\"serial\" --cfg sha2_backend=\"soft\" \
                          --cfg chacha20_backend=\"sse2\" --cfg poly1305_backend=\"soft\"";

/// Static and without relocations: with one curve arithmetic 54 KB less in every initrd.
const INIT_FLAGS: &str = "-C target-feature=+crt-static -C relocation-model=static";

/// The programs of the root, with the place they are installed at.
pub const NODE_PROGRAMS: [(&str, &str); 2] =
    [("agent", "usr/bin/agent"), ("rpc-worker", "usr/bin/rpc-worker")];

const INIT: &str = "init";

/// What cargo has built, with and without names.
pub struct Programs {
    folder: PathBuf,
}

impl Programs {
    /// Builds all of them below `target`; cargo skips what has not changed.
    pub fn build(repository: &Path, target: &Path, logs: &Path, step: &Step) -> Result<Programs> {
        let node = target.join("node");
        let init = target.join("init");
        let mut cargo = cargo("build", repository, &node, "");
        for (name, _) in NODE_PROGRAMS {
            cargo.args(["--package", name]);
        }
        tool::run(&mut cargo, &logs.join("programs.log"), step)?;
        // The init is static; its own folder keeps the two sets of flags from rebuilding each other.
        let mut cargo = self::cargo("build", repository, &init, INIT_FLAGS);
        tool::run(cargo.args(["--package", "init"]), &logs.join("init.log"), step)?;
        let programs = Programs { folder: target.to_path_buf() };
        for name in NODE_PROGRAMS.map(|(name, _)| name).into_iter().chain([INIT]) {
            programs.strip(name, &logs.join("strip.log"), step)?;
        }
        Ok(programs)
    }

    /// A program as it ships.
    pub fn node(&self, name: &str) -> PathBuf {
        self.folder.join("stripped").join(name)
    }

    /// The same with the names of its functions.
    pub fn with_names(&self, name: &str) -> PathBuf {
        let flags = if name == INIT { "init" } else { "node" };
        self.folder.join(flags).join(TARGET).join("node").join(name)
    }

    pub fn init(&self) -> PathBuf {
        self.node(INIT)
    }

    /// The build id goes too: it is a hash of the names as well.
    fn strip(&self, name: &str, log: &Path, step: &Step) -> Result<()> {
        let to = self.node(name);
        let folder = self.folder.join("stripped");
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        let mut command = tool::command("strip");
        command.args([
            "--strip-all",
            "--remove-section=.note.gnu.build-id",
            "--remove-section=.comment",
            "-o",
        ]);
        tool::run(command.arg(to).arg(self.with_names(name)), log, step)
    }

    pub fn key(&self) -> Result<Key> {
        let mut key = KeyMaker::new("programs");
        for (name, place) in NODE_PROGRAMS {
            key = key.with(place).with(hash_file(&self.node(name))?);
        }
        Ok(key.with(hash_file(&self.init())?).key())
    }
}

/// Builds our kernels as a static library that C++ can link; gives its place.
pub fn kernels(repository: &Path, target: &Path, logs: &Path, step: &Step) -> Result<PathBuf> {
    let mut cargo = cargo("rustc", repository, target, "");
    cargo.args(["--package", "kernels", "--lib", "--crate-type", "staticlib", "--features", "variant"]);
    tool::run(&mut cargo, &logs.join("kernels.log"), step)?;
    Ok(target.join(TARGET).join("node/libkernels.a"))
}

fn cargo(subcommand: &str, repository: &Path, target: &Path, more_flags: &str) -> Command {
    let mut command = Command::new(cargo_program());
    command.current_dir(repository);
    // What a calling cargo has set would leak into this build.
    for name in ["CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "CARGO_TARGET_DIR", "RUSTC_WRAPPER"] {
        command.env_remove(name);
    }
    let paths = remap(repository, target);
    command.env("RUSTFLAGS", format!("-C target-cpu={PROCESSOR} {ARITHMETIC} {more_flags} {paths}"));
    // ggml writes the commit of the git repository around it into itself, and its build folder lies in ours.
    command.env("GIT_DIR", NO_GIT);
    command
        .args([subcommand, "--locked", "--profile", "node", "--target", TARGET, "--target-dir"])
        .arg(target);
    command
}

/// Builds one node program alone, with the names of its functions: what the benches run.
pub fn one(repository: &Path, target: &Path, name: &str, logs: &Path, step: &Step) -> Result<PathBuf> {
    let node = target.join("node");
    let mut cargo = cargo("build", repository, &node, "");
    tool::run(cargo.args(["--package", name]), &logs.join("programs.log"), step)?;
    Ok(node.join(TARGET).join("node").join(name))
}

/// The cargo that started us, or the one of the path.
pub fn cargo_program() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

fn remap(repository: &Path, target: &Path) -> String {
    let home = std::env::var("CARGO_HOME")
        .or_else(|_| std::env::var("HOME").map(|home| format!("{home}/.cargo")))
        .unwrap_or_else(|_| "/root/.cargo".into());
    format!(
        "--remap-path-prefix={}=/target --remap-path-prefix={}=/duet --remap-path-prefix={home}=/cargo",
        target.display(),
        repository.display()
    )
}

/// Refuses a path that RUSTFLAGS cannot carry, before cargo does something strange with it.
pub fn check_path(repository: &Path) -> Result<()> {
    let text = repository.to_str().context("the path of the repository is not UTF-8")?;
    anyhow::ensure!(
        !text.contains(char::is_whitespace),
        "the path {text} holds a space, which cargo's flags cannot carry; move the checkout"
    );
    Ok(())
}
