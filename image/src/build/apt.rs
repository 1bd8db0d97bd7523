//! Debian's packages by way of apt, with folders of its own: nothing of the host's apt is touched.
//!
//! apt checks the archive's signatures. Which mirror is asked comes from mmdebstrap's own default or from
//! `--mirror`; this file names none.

use super::lists;
use super::lock::{Lock, Package, Use, is_version};
use super::recipe::Recipe;
use crate::disk::write_whole;
use crate::progress::{Step, megabytes};
use crate::tool;
use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often apt tries again when the network fails.
const RETRIES: u32 = 5;
const SECONDS_WITHOUT_DATA_MAX: u32 = 30;

pub struct Apt {
    folder: PathBuf,
    debs: PathBuf,
}

/// Where packages come from: the owner's own wish, or mmdebstrap's default.
pub struct Source<'a> {
    pub suite: &'a str,
    pub mirror: Option<&'a str>,
}

impl Apt {
    /// `cache` keeps package lists and packages between builds.
    pub fn new(cache: &Path) -> Result<Apt> {
        let apt = Apt { folder: cache.join("apt"), debs: cache.join("debs") };
        for part in ["lists/partial", "archives/partial", "etc/apt.conf.d", "etc/preferences.d"] {
            let folder = apt.folder.join(part);
            fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        }
        fs::create_dir_all(&apt.debs).with_context(|| format!("making {}", apt.debs.display()))?;
        write_whole(&apt.folder.join("status"), b"")?;
        write_whole(&apt.folder.join("apt.conf"), apt.configuration()?.as_bytes())?;
        Ok(apt)
    }

    pub fn debs(&self) -> &Path {
        &self.debs
    }

    fn configuration(&self) -> Result<String> {
        let folder = fs::canonicalize(&self.folder).context("the cache folder")?;
        let folder = folder.to_str().context("the cache folder's path is not UTF-8")?;
        if folder.contains(['"', '\n']) {
            bail!("the path {folder} holds a quote, which apt cannot take");
        }
        Ok(format!(
            "Dir \"{folder}\";\nDir::State \"{folder}\";\nDir::State::Lists \"{folder}/lists\";\n\
             Dir::State::status \"{folder}/status\";\nDir::Cache \"{folder}\";\n\
             Dir::Cache::Archives \"{folder}/archives\";\nDir::Etc \"{folder}/etc\";\n\
             Dir::Etc::SourceList \"{folder}/sources.list\";\nDir::Etc::Trusted \"/etc/apt/trusted.gpg\";\n\
             Dir::Etc::TrustedParts \"/etc/apt/trusted.gpg.d\";\nAPT::Sandbox::User \"\";\n\
             APT::Architecture \"amd64\";\nAPT::Architectures {{ \"amd64\"; }};\n\
             pkgCacheGen::ForceEssential \",\";\nAPT::Install-Recommends \"false\";\nAcquire::Languages \"none\";\n\
             Acquire::GzipIndexes \"false\";\nAcquire::Retries \"{RETRIES}\";\n\
             Acquire::http::Timeout \"{SECONDS_WITHOUT_DATA_MAX}\";\n"
        ))
    }

    fn command(&self, program: &str) -> Command {
        let mut command = tool::command(program);
        command.env("APT_CONFIG", self.folder.join("apt.conf")).env("LC_ALL", "C");
        command
    }

    /// Asks the mirror for its lists and writes down what the recipe means today.
    pub fn resolve(&self, recipe: &Recipe, source: &Source<'_>, log: &Path, step: &Step) -> Result<Lock> {
        write_whole(&self.folder.join("sources.list"), source.lines(log, step)?.as_bytes())?;
        tool::run(self.command("apt-get").arg("update").arg("--error-on=any"), log, step).context(
            "the package lists could not be fetched; is there a network, and is the mirror right?",
        )?;
        let settings = &recipe.settings;
        let mut wanted = vec!["?essential".to_string()];
        wanted.extend(recipe.packages.iter().cloned());
        let mut found: Vec<(Use, String, String)> = Vec::new();
        for (name, version) in self.simulate(&wanted)? {
            found.push((Use::Root, name, version));
        }
        let kernel = self.kernel_of(&settings.kernel)?;
        found.push((Use::Kernel, kernel.0, kernel.1));
        for (used, names) in [(Use::Loader, &settings.loaders), (Use::Speech, &settings.speech)] {
            for name in names {
                let stanza = self.show(std::slice::from_ref(name))?.pop();
                let stanza = stanza.with_context(|| format!("no package {name}"))?;
                found.push((used, name.clone(), field(&stanza, "Version")?));
            }
        }
        self.lock(recipe, found)
    }

    fn lock(&self, recipe: &Recipe, found: Vec<(Use, String, String)>) -> Result<Lock> {
        let names: Vec<String> = found.iter().map(|(_, name, version)| format!("{name}={version}")).collect();
        let mut by_name = BTreeMap::new();
        for stanza in self.show(&names)? {
            by_name.insert((field(&stanza, "Package")?, field(&stanza, "Version")?), stanza);
        }
        let mut packages = Vec::new();
        for (used, name, version) in found {
            let stanza = by_name
                .get(&(name.clone(), version.clone()))
                .with_context(|| format!("the package lists do not know {name} {version}"))?;
            packages.push(Package {
                used,
                architecture: field(stanza, "Architecture")?,
                bytes: field(stanza, "Size")?.parse().with_context(|| format!("the size of {name}"))?,
                sha256: field(stanza, "SHA256")?,
                name,
                version,
            });
        }
        packages.sort();
        let (suite, wish, profiles) = (recipe.settings.suite.clone(), recipe.wish(), recipe.profiles.clone());
        let lock = Lock { suite, wish, profiles, packages };
        // What comes from outside must survive the strict reader before it is trusted.
        Lock::parse("the package lists", &lock.to_text())?;
        Ok(lock)
    }

    /// Names and versions of everything that installing these would bring.
    fn simulate(&self, wanted: &[String]) -> Result<Vec<(String, String)>> {
        let mut command = self.command("apt-get");
        command.args(["install", "--simulate", "--yes", "--quiet"]).args(wanted);
        let answer = tool::capture(&mut command).map_err(unknown_package)?;
        let mut found = Vec::new();
        for line in answer.lines().filter_map(|line| line.strip_prefix("Inst ")) {
            let mut words = line.split_whitespace();
            let name = words.next().unwrap_or_default();
            let version = words.next().and_then(|word| word.strip_prefix('(')).unwrap_or_default();
            if !lists::is_package_name(name) || !is_version(version) {
                bail!("apt answered with a line that is not understood: Inst {line}");
            }
            found.push((name.to_string(), version.to_string()));
        }
        if found.is_empty() {
            bail!("apt found nothing to install; the package lists are empty");
        }
        Ok(found)
    }

    /// The package that a kernel's meta package stands for.
    fn kernel_of(&self, meta: &str) -> Result<(String, String)> {
        let stanza = self.show(&[meta.to_string()])?.pop().with_context(|| format!("no package {meta}"))?;
        let depends = field(&stanza, "Depends")?;
        let name =
            depends.split([' ', ',']).find(|word| word.starts_with("linux-image-")).unwrap_or_default();
        let real =
            self.show(&[name.to_string()])?.pop().with_context(|| format!("{meta} needs no kernel"))?;
        Ok((name.to_string(), field(&real, "Version")?))
    }

    fn show(&self, names: &[String]) -> Result<Vec<String>> {
        let mut command = self.command("apt-cache");
        let answer = tool::capture(command.args(["show", "--no-all-versions"]).args(names))
            .map_err(unknown_package)?;
        Ok(answer.split("\n\n").filter(|s| !s.trim().is_empty()).map(str::to_string).collect())
    }

    /// The packages that are not in the cache yet, or not whole.
    pub fn absent<'l>(&self, lock: &'l Lock) -> Vec<&'l Package> {
        let size = |p: &Package| fs::metadata(self.debs.join(p.file_name())).map(|facts| facts.len());
        lock.packages.iter().filter(|p| !size(p).is_ok_and(|bytes| bytes == p.bytes)).collect()
    }

    /// Fetches what is absent; broken transfers go on where they stopped at the next try.
    pub fn fetch(&self, lock: &Lock, source: &Source<'_>, log: &Path, step: &Step) -> Result<()> {
        let absent = self.absent(lock);
        if absent.is_empty() {
            return Ok(());
        }
        let sources = self.folder.join("sources.list");
        let lists_are_old = !sources.exists() || source.mirror.is_some();
        if lists_are_old {
            write_whole(&sources, source.lines(log, step)?.as_bytes())?;
            tool::run(self.command("apt-get").arg("update").arg("--error-on=any"), log, step)?;
        }
        let names = absent.iter().map(|p| format!("{}={}", p.name, p.version));
        let mut command = self.command("apt-get");
        command.current_dir(&self.debs).args(["download", "--quiet"]).args(names);
        let done = AtomicBool::new(false);
        let downloading = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    step.at(self.bytes_there(lock));
                    std::thread::sleep(Duration::from_millis(300));
                }
            });
            let result = tool::run(&mut command, log, step);
            done.store(true, Ordering::Relaxed);
            result
        });
        downloading.context(
            "the packages of the lock file could not be fetched; if the mirror has newer versions by now, \
             `duet build --update` writes a new lock file, or --mirror names an archive of that day",
        )
    }

    fn bytes_there(&self, lock: &Lock) -> u64 {
        let size = |p: &Package| fs::metadata(self.debs.join(p.file_name())).map_or(0, |facts| facts.len());
        lock.packages.iter().map(size).sum()
    }

    /// Holds every package of the lock file to its hash; what is wrong is removed and named.
    pub fn check(&self, lock: &Lock) -> Result<String> {
        for package in &lock.packages {
            let path = self.debs.join(package.file_name());
            let mut hasher = HashWriter(Sha256::new());
            let mut file = File::open(&path).with_context(|| format!("reading {}", path.display()))?;
            std::io::copy(&mut file, &mut hasher).with_context(|| format!("reading {}", path.display()))?;
            let got: String = hasher.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
            if got != package.sha256 {
                fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
                bail!(
                    "{} has SHA-256 {got}, the lock file says {}; it was removed, the next build fetches it again",
                    package.file_name(),
                    package.sha256
                );
            }
        }
        let bytes = lock.packages.iter().map(|p| p.bytes).sum();
        Ok(format!("{} packages, {}", lock.packages.len(), megabytes(bytes)))
    }
}

struct HashWriter(Sha256);

impl std::io::Write for HashWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Source<'_> {
    /// The lines of a sources.list: the owner's mirror, or what mmdebstrap would take.
    fn lines(&self, log: &Path, step: &Step) -> Result<String> {
        match self.mirror {
            Some(mirror) if mirror.starts_with("deb ") => Ok(format!("{mirror}\n")),
            Some(mirror) => Ok(format!("deb {mirror} {} main\n", self.suite)),
            None => self.default_lines(log, step),
        }
    }

    /// mmdebstrap writes its default sources, runs our hook and is stopped by it; nothing is downloaded.
    fn default_lines(&self, log: &Path, step: &Step) -> Result<String> {
        let copy = log.with_extension("sources");
        let _ = fs::remove_file(&copy);
        let hook = format!("cat \"$1\"/etc/apt/sources.list > '{}'; exit 1", copy.display());
        let mut command = tool::command("mmdebstrap");
        command.args(["--variant=custom", "--mode=root", "--setup-hook", &hook, self.suite, "/dev/null"]);
        if !rustix::process::geteuid().is_root() {
            command = unprivileged_default(self.suite, &copy);
        }
        // The hook ends the run on purpose, so only its copy tells whether it worked.
        let told = tool::run(&mut command, log, step);
        let lines = fs::read_to_string(&copy).unwrap_or_default();
        if !lines.lines().any(|line| line.starts_with("deb ")) {
            let why = told.err().map(|e| e.to_string()).unwrap_or_default();
            bail!("mmdebstrap does not say which mirror it would take; name one with --mirror\n{why}");
        }
        Ok(lines)
    }
}

/// The same question for an ordinary user: the hook runs in the user's own name through the tar pipe.
fn unprivileged_default(suite: &str, copy: &Path) -> Command {
    let hook = format!("download /etc/apt/sources.list '{}'", copy.display());
    let mut command = tool::command("mmdebstrap");
    command.args(["--variant=custom", "--mode=unshare", "--setup-hook", &hook]);
    command.args(["--setup-hook", "exit 1", suite, "/dev/null"]);
    command
}

fn field(stanza: &str, name: &str) -> Result<String> {
    let value = stanza.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    value.map(str::to_string).with_context(|| format!("a package of the lists has no field {name}"))
}

/// apt's answer about an unknown package, with what to do.
fn unknown_package(error: anyhow::Error) -> anyhow::Error {
    let told = error.to_string();
    let name = told.split("Unable to locate package ").nth(1).and_then(|rest| rest.split_whitespace().next());
    match name {
        Some(name) => anyhow::anyhow!(
            "Debian has no package {name} in this suite; correct buildroot/packages.list or --suite"
        ),
        None => error,
    }
}
