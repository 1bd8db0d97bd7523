//! `duet build --ggml-variant`: a CPU variant for programs with dynamic ggml, such as Debian's.
//!
//! Such a program loads every `libggml-cpu-*.so` it finds and takes the one whose score is best. This one holds
//! ggml's own objects for a Core 2 with our kernels linked in their place, and a score that wins up to AVX.
//! ggml's source must be the program's own version: the library shares its structures.

use super::{programs, repository};
use crate::progress::Progress;
use crate::setup::{self, For};
use crate::tool;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The crate that carries ggml's source.
const CARRIER: &str = "llama-cpp-sys-2";
/// Objects of ggml's CPU code; there are about 20.
const OBJECTS_MAX: usize = 500;
/// Folders below a CMake target's own.
const DEPTH_MAX: usize = 8;
/// What ggml's loader asks of a variant.
const EXPORTS: &str = "{ global: ggml_backend_init; ggml_backend_score; local: *; };\n";
/// What of llama.cpp around ggml is left out.
const LEFT_OUT: [&str; 7] = ["COMMON", "TESTS", "EXAMPLES", "SERVER", "TOOLS", "APP", "UI"];

/// What was built.
pub struct Variant {
    pub library: PathBuf,
    /// ggml's other libraries of the same build, among them its own CPU backend.
    pub bin: PathBuf,
    /// ggml's headers.
    pub include: PathBuf,
}

/// Runs the command.
pub fn command(out: &Path, source: Option<&Path>, yes: bool) -> Result<()> {
    setup::ensure(&[For::Build], yes)?;
    let variant = build(&repository()?, out, source)?;
    println!("{}", variant.library.display());
    Ok(())
}

/// Builds `libggml-cpu-core2.so` below `out`, from ggml's source in `source` or from the one that llama.cpp brings.
pub fn build(repository: &Path, out: &Path, source: Option<&Path>) -> Result<Variant> {
    programs::check_path(repository)?;
    let place = out.join("ggml");
    fs::create_dir_all(&place).with_context(|| format!("making {}", place.display()))?;
    let place = fs::canonicalize(&place).with_context(|| format!("{}", place.display()))?;
    let source = match source {
        Some(source) => source.to_path_buf(),
        None => carried_source(repository)?,
    };
    let (logs, build) = (place.join("logs"), place.join("build"));
    let progress = Progress::new(3);
    let step = progress.step("ggml: its own code for a Core 2", None);
    let environment = environment(repository)?;
    forget_another(&build, &source)?;
    tool::run(&mut configure(&source, &build, &environment), &logs.join("configure.log"), &step)?;
    let mut make = tool::command("cmake");
    make.arg("--build").arg(&build).args(["--parallel", "--target", "ggml"]);
    tool::run(&mut make, &logs.join("make.log"), &step)?;
    step.done("ready");

    let step = progress.step("kernels: a library of their own", None);
    let kernels = programs::kernels(repository, &place.join("target"), &logs, &step)?;
    step.done("ready");

    let step = progress.step("libggml-cpu-core2.so: link both", None);
    let library = place.join("libggml-cpu-core2.so");
    let mut link = link(&build, &kernels, &place, &library)?;
    tool::run(&mut link, &logs.join("link.log"), &step)?;
    step.done("ready");
    let ggml = if source.join("ggml/include").is_dir() { source.join("ggml") } else { source };
    Ok(Variant { library, bin: build.join("bin"), include: ggml.join("include") })
}

/// The flavour of every build here: one table, in cargo's configuration.
fn environment(repository: &Path) -> Result<BTreeMap<String, String>> {
    #[derive(Deserialize)]
    struct Config {
        env: BTreeMap<String, Entry>,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Entry {
        Plain(String),
        Full { value: String },
    }
    let value = |entry| match entry {
        Entry::Plain(value) | Entry::Full { value } => value,
    };
    let path = repository.join(".cargo/config.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let config: Config = toml::from_str(&text).with_context(|| format!("{}", path.display()))?;
    Ok(config.env.into_iter().map(|(name, entry)| (name, value(entry))).collect())
}

/// cmake refuses a folder that it made elsewhere or from another source: a checkout that was moved, a new ggml.
fn forget_another(build: &Path, source: &Path) -> Result<()> {
    let cache = fs::read_to_string(build.join("CMakeCache.txt")).unwrap_or_default();
    let has = |name: &str, path: &Path| cache.contains(&format!("\n{name}:INTERNAL={}\n", path.display()));
    if cache.is_empty() || has("CMAKE_CACHEFILE_DIR", build) && has("CMAKE_HOME_DIRECTORY", source) {
        return Ok(());
    }
    fs::remove_dir_all(build).with_context(|| format!("removing {}", build.display()))
}

fn configure(source: &Path, build: &Path, environment: &BTreeMap<String, String>) -> Command {
    let mut command = tool::command("cmake");
    command.arg("-S").arg(source).arg("-B").arg(build).env("GIT_DIR", programs::NO_GIT);
    command.args(["-DBUILD_SHARED_LIBS=ON", "-DGGML_BACKEND_DL=ON", "-DLLAMA_CURL=OFF"]);
    command.args(LEFT_OUT.map(|part| format!("-DLLAMA_BUILD_{part}=OFF")));
    for (name, value) in environment {
        if name.starts_with("GGML_") || name.starts_with("CMAKE_") {
            command.arg(format!("-D{name}={value}"));
        } else {
            command.env(name, value);
        }
    }
    command
}

/// Where cargo has unpacked the source that rpc-worker is built from.
fn carried_source(repository: &Path) -> Result<PathBuf> {
    #[derive(Deserialize)]
    struct Metadata {
        packages: Vec<Package>,
    }
    #[derive(Deserialize)]
    struct Package {
        name: String,
        manifest_path: PathBuf,
    }
    let mut command = Command::new(programs::cargo_program());
    command.current_dir(repository).args(["metadata", "--format-version", "1", "--locked"]);
    let metadata: Metadata =
        serde_json::from_str(&tool::capture(&mut command)?).context("reading cargo's metadata")?;
    let carrier = metadata.packages.into_iter().find(|package| package.name == CARRIER);
    let carrier = carrier.with_context(|| format!("cargo knows no {CARRIER}"))?;
    let folder = carrier.manifest_path.parent().context("a manifest without a folder")?;
    Ok(folder.join("llama.cpp"))
}

fn link(build: &Path, kernels: &Path, place: &Path, library: &Path) -> Result<Command> {
    let mut objects = Vec::new();
    find_objects(build, &mut objects, 0)?;
    objects.sort();
    if objects.is_empty() {
        bail!("{} holds no objects of ggml-cpu; its source may be of another version", build.display());
    }
    let exports = place.join("exports.map");
    fs::write(&exports, EXPORTS).with_context(|| format!("writing {}", exports.display()))?;
    let mut command = tool::command("c++");
    command.args(["-shared", "-s", "-fopenmp", "-Wl,--gc-sections", "-o"]).arg(library);
    command.args(&objects).arg(kernels).arg("-L").arg(build.join("bin")).arg("-lggml-base");
    command.args(kernels::WRAPPED.iter().map(|symbol| format!("-Wl,--wrap={symbol}")));
    command.arg(format!("-Wl,--version-script={}", exports.display()));
    Ok(command)
}

/// The objects of CMake's target `ggml-cpu`; those that score a processor belong to another target.
fn find_objects(folder: &Path, found: &mut Vec<PathBuf>, depth: usize) -> Result<()> {
    let reading = || format!("reading {}", folder.display());
    for entry in fs::read_dir(folder).with_context(reading)? {
        let path = entry.with_context(reading)?.path();
        let is_ours = path.components().any(|part| part.as_os_str() == "ggml-cpu.dir");
        if path.is_dir() && depth < DEPTH_MAX {
            find_objects(&path, found, depth + 1)?;
        } else if is_ours && path.extension() == Some(OsStr::new("o")) {
            anyhow::ensure!(found.len() < OBJECTS_MAX, "more than {OBJECTS_MAX} objects: is this ggml?");
            found.push(path);
        }
    }
    Ok(())
}
