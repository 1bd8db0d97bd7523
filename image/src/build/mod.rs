//! `duet build`: from the lists to a signed release.
//!
//! recipe (data) -> plan (pure) -> steps. Each step is skipped while what it follows from is unchanged,
//! and the release id follows from everything that went in.

mod apt;
pub mod args;
mod checks;
pub mod initrd;
pub mod licences;
pub mod lists;
pub mod lock;
mod mirror;
mod modules;
mod papers;
pub mod plan;
mod profile;
pub mod programs;
pub mod publish;
pub mod recipe;
pub mod root;
pub mod sbom;
mod speech;
pub mod steps;
pub mod variant;
pub mod verify;

use crate::disk::{free_bytes, hash_file, write_whole};
use crate::models::{fetch, own};
use crate::progress::{Progress, Step, megabytes};
use crate::setup::{self, For};
use crate::{releases, tool};
use anyhow::{Context, Result, bail};
use apt::{Apt, Source};
use args::BuildArgs;
use lock::{Lock, Use};
use modules::Kernel;
use plan::{Plan, Work};
use programs::{NODE_PROGRAMS, Programs};
use recipe::Recipe;
use release::{FileName, ReleaseId, SecretKey};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use steps::{Key, KeyMaker, Stamps};

/// Raised when the work itself changes, so that old results are made again.
const REVISION: &str = "5";
/// Packages, trees and images of one build; measured, with room.
const DISK_BYTES_LEAST: u64 = 2_500_000_000;

/// What the owner wants.
pub struct Options {
    pub out: PathBuf,
    pub mirror: Option<String>,
    pub suite: Option<String>,
    /// Of `buildroot/profiles`; a lock file that is kept to brings its own.
    pub profiles: Vec<String>,
    /// A lock file to keep to, whatever the recipe would ask for today.
    pub lock: Option<PathBuf>,
    pub update: bool,
    pub promote: bool,
    /// Where cargo builds the node programs; `out/target` unless a test wants another.
    pub target: Option<PathBuf>,
}

impl Options {
    pub fn new(out: PathBuf) -> Options {
        Options {
            out,
            mirror: None,
            suite: None,
            profiles: Vec::new(),
            lock: None,
            update: false,
            promote: true,
            target: None,
        }
    }
}

/// What came out.
pub struct Built {
    pub id: ReleaseId,
    pub place: PathBuf,
    pub squashfs_bytes: u64,
    pub initrd_bytes: u64,
    pub seconds: f64,
}

impl Built {
    fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "release": self.id.as_str(),
            "place": self.place,
            "squashfs_bytes": self.squashfs_bytes,
            "initrd_bytes": self.initrd_bytes,
            "seconds": self.seconds,
        })
    }
}

/// `duet build`.
pub fn command(args: BuildArgs) -> Result<()> {
    if args.ggml_variant {
        return variant::command(&args.out, args.ggml_source.as_deref(), args.yes);
    }
    let repository = repository()?;
    let options = Options {
        mirror: args.mirror,
        suite: args.suite,
        profiles: args.profile,
        lock: args.lock,
        update: args.update,
        promote: !args.no_promote,
        ..Options::new(args.out)
    };
    let models = args.models.map(|name| fetch::Shopping::of(&repository, &name)).transpose()?;
    if args.plan {
        print!("{}", Plan::of(&read_recipe(&repository, &options)?));
        return Ok(());
    }
    setup::ensure(&[For::Build], args.yes)?;
    let built = build(&repository, &options)?;
    if let Some(models) = models {
        models.fetch(&options.out)?;
    }
    if args.json {
        println!("{}", built.to_json());
    } else {
        println!("{} in {}", built.id, built.place.display());
    }
    Ok(())
}

/// The repository around the current folder.
pub fn repository() -> Result<PathBuf> {
    let here = std::env::current_dir().context("the current folder")?;
    let found = here.ancestors().find(|folder| folder.join("buildroot/build.toml").is_file());
    found.map(Path::to_path_buf).with_context(|| {
        format!("{} is not inside duet's repository; change into your checkout first", here.display())
    })
}

/// Builds a release, or finds that it stands already.
pub fn build(repository: &Path, options: &Options) -> Result<Built> {
    programs::check_path(repository)?;
    let recipe = read_recipe(repository, options)?;
    fs::create_dir_all(&options.out).with_context(|| format!("making {}", options.out.display()))?;
    let out = fs::canonicalize(&options.out).with_context(|| format!("{}", options.out.display()))?;
    let _alone = alone(&out)?;
    enough_disk(&out)?;
    let built = Build::new(repository, recipe, out.clone(), options)?.run()?;
    own::place(repository, &out).context("putting the models of our own on the shelf")?;
    Ok(built)
}

fn read_recipe(repository: &Path, options: &Options) -> Result<Recipe> {
    let profiles = match &options.lock {
        Some(lock) => read_lock(lock)?.profiles,
        None => options.profiles.clone(),
    };
    let mut recipe = Recipe::read(repository, &profiles)?;
    if let Some(suite) = options.suite.as_deref() {
        anyhow::ensure!(recipe::is_suite(suite), "{suite:?} is not the name of a Debian suite");
        recipe.settings.suite = suite.into();
    }
    Ok(recipe)
}

fn read_lock(path: &Path) -> Result<Lock> {
    let name = path.display().to_string();
    let text = fs::read_to_string(path).with_context(|| format!("reading {name}"))?;
    Ok(Lock::parse(&name, &text)?)
}

/// Images with and without profiles are built by turns, each from its own packages.
fn lock_name(profiles: &[String]) -> String {
    match profiles {
        [] => "packages.lock".into(),
        some => format!("packages-{}.lock", some.join("+")),
    }
}

/// Two builds in one folder would tread on each other; the lock goes with the process.
fn alone(out: &Path) -> Result<File> {
    let path = out.join("build.lock");
    let file = File::create(&path).with_context(|| format!("writing {}", path.display()))?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).with_context(|| {
        format!("another build is at work in {}; wait for it, or use --out", out.display())
    })?;
    Ok(file)
}

fn enough_disk(out: &Path) -> Result<()> {
    let free = free_bytes(out)?;
    // A finished build needs little more; only the first one needs all of it.
    let needed =
        if out.join("work/root.squashfs").exists() { DISK_BYTES_LEAST / 5 } else { DISK_BYTES_LEAST };
    if free < needed {
        let (free, needed) = (megabytes(free), megabytes(needed));
        bail!("{} has {free} left, a build needs {needed}; free some, or use --out", out.display());
    }
    Ok(())
}

struct Build<'a> {
    repository: &'a Path,
    options: &'a Options,
    recipe: Recipe,
    out: PathBuf,
    work: PathBuf,
    stamps: Stamps,
    progress: Progress,
    apt: Apt,
    key: SecretKey,
}

impl<'a> Build<'a> {
    fn new(repository: &'a Path, recipe: Recipe, out: PathBuf, options: &'a Options) -> Result<Build<'a>> {
        let work = out.join("work");
        Ok(Build {
            repository,
            options,
            recipe,
            stamps: Stamps::new(work.join("stamps"))?,
            progress: Progress::new(Work::ALL.len()),
            apt: Apt::new(&out.join("cache"))?,
            key: publish::signing_key(&out)?,
            work,
            out,
        })
    }

    fn run(&self) -> Result<Built> {
        let lock = self.lock()?;
        self.fetch(&lock)?;
        let programs = self.programs()?;
        let kernel_key = self.kernel(&lock)?;
        let kernel = Kernel::open(&self.work.join("kernel"))?;
        let base_key = self.base(&lock)?;
        let root_key = self.root(&lock, [&base_key, &kernel_key], &kernel, &programs)?;
        let squashfs_key = self.squashfs(&root_key)?;
        let initrd_key = self.initrd(&kernel_key, &kernel, &programs)?;
        let inputs = KeyMaker::new("release").with(REVISION).with(lock.to_text());
        let inputs = inputs.with(squashfs_key.as_str()).with(initrd_key.as_str());
        let inputs = inputs.with(papers::key(self.repository)?.as_str()).key();
        let id = ReleaseId::parse(&format!("{}-{}", lock.suite, &inputs.as_str()[..12]))
            .context("the release id")?;
        self.papers(&lock, &inputs, &id)?;
        self.release(&lock, &kernel, id)
    }

    fn log(&self, work: Work) -> PathBuf {
        self.out.join("logs").join(format!("{}.log", work.name()))
    }

    /// Does a step unless its stamp says that its result stands.
    fn once(&self, work: Work, key: Key, act: impl FnOnce(&Step) -> Result<String>) -> Result<Key> {
        if self.stamps.is_done(work.name(), &key) {
            self.progress.skip(work.sentence());
            return Ok(key);
        }
        self.stamps.begin(work.name())?;
        let step = self.progress.step(work.sentence(), None);
        let told = act(&step).with_context(|| format!("step {} failed", work.name()))?;
        self.stamps.done(work.name(), &key)?;
        step.done(&told);
        Ok(key)
    }

    fn source(&self) -> Source<'_> {
        Source { suite: &self.recipe.settings.suite, mirror: self.options.mirror.as_deref() }
    }

    /// The lock file in force: the owner's, or the one in `out`, or a new one when the wish has changed.
    fn lock(&self) -> Result<Lock> {
        let own = self.out.join(lock_name(&self.recipe.profiles));
        let path = self.options.lock.clone().unwrap_or(own);
        let name = path.display().to_string();
        if path.exists() && !self.options.update {
            let lock = read_lock(&path)?;
            if self.options.lock.is_some() || lock.wish == self.recipe.wish() {
                self.progress.skip(Work::Lock.sentence());
                return Ok(lock);
            }
        } else if self.options.lock.is_some() {
            bail!("there is no lock file {name}");
        }
        let step = self.progress.step(Work::Lock.sentence(), None);
        let lock = self.apt.resolve(&self.recipe, &self.source(), &self.log(Work::Lock), &step)?;
        write_whole(&path, lock.to_text().as_bytes())?;
        step.done(&format!("{} packages, written to {name}", lock.packages.len()));
        Ok(lock)
    }

    fn fetch(&self, lock: &Lock) -> Result<()> {
        let key = KeyMaker::new("fetch").with(lock.to_text()).key();
        if self.stamps.is_done(Work::Fetch.name(), &key) && self.apt.absent(lock).is_empty() {
            // The cache is a folder like any other: what lies in it is held to its hash before each use.
            self.apt.check(lock)?;
            self.progress.skip(Work::Fetch.sentence());
            return Ok(());
        }
        self.stamps.begin(Work::Fetch.name())?;
        let bytes = lock.packages.iter().map(|p| p.bytes).sum();
        let step = self.progress.step(Work::Fetch.sentence(), Some(bytes));
        self.apt.fetch(lock, &self.source(), &self.log(Work::Fetch), &step)?;
        let told = self.apt.check(lock)?;
        self.loaders(lock)?;
        self.stamps.done(Work::Fetch.name(), &key)?;
        step.done(&told);
        Ok(())
    }

    /// The first stages for PXE ROMs, for the boot server.
    fn loaders(&self, lock: &Lock) -> Result<()> {
        let beside = self.work.join("loaders.new");
        root::remove_tree(&beside)?;
        for package in lock.used_for(Use::Loader) {
            self.unpack_package(package, &beside)?;
        }
        let place = self.out.join("ipxe");
        root::remove_tree(&place)?;
        let from = beside.join("usr/lib/ipxe");
        fs::rename(&from, &place).with_context(|| format!("naming {}", place.display()))?;
        root::remove_tree(&beside)
    }

    fn unpack_package(&self, package: &lock::Package, into: &Path) -> Result<()> {
        fs::create_dir_all(into).with_context(|| format!("making {}", into.display()))?;
        let deb = self.apt.debs().join(package.file_name());
        tool::capture(tool::command("dpkg-deb").arg("--extract").arg(deb).arg(into)).map(drop)
    }

    fn programs(&self) -> Result<Programs> {
        let step = self.progress.step(Work::Programs.sentence(), None);
        let target = self.options.target.clone().unwrap_or_else(|| self.out.join("target"));
        let programs = Programs::build(self.repository, &target, &self.out.join("logs"), &step)
            .context("step programs failed")?;
        step.done("up to date");
        Ok(programs)
    }

    fn kernel(&self, lock: &Lock) -> Result<Key> {
        let package = lock.used_for(Use::Kernel).next().context("the lock file names no kernel")?;
        let key = KeyMaker::new("kernel").with(REVISION).with(&package.sha256).key();
        self.once(Work::Kernel, key, |_| {
            let place = self.work.join("kernel");
            root::remove_tree(&place)?;
            self.unpack_package(package, &place)?;
            Ok(package.name.clone())
        })
    }

    fn base(&self, lock: &Lock) -> Result<Key> {
        let packages = lock.used_for(Use::Root).map(|p| &p.sha256);
        let key = KeyMaker::new("base").with(REVISION).with(version_of("mmdebstrap")?).with_each(packages);
        let key = key.with(&lock.suite).with(self.recipe.settings.epoch.to_string());
        let key = key.with_each(&self.recipe.excludes).key();
        self.once(Work::Base, key, |step| {
            let tar = self.work.join("base.tar");
            root::base(&self.recipe, lock, self.apt.debs(), &tar, &self.log(Work::Base), step)
        })
    }

    fn root(&self, lock: &Lock, before: [&Key; 2], kernel: &Kernel, programs: &Programs) -> Result<Key> {
        let recipe = &self.recipe;
        let mut key = KeyMaker::new("root").with(REVISION).with_each(before.map(Key::as_str));
        key = key.with_each(lock.used_for(Use::Speech).map(|package| &package.sha256));
        key = key.with_each(&recipe.settings.languages).with(&recipe.libpcaudio);
        key = key.with(version_of("cc")?);
        key = key.with(programs.key()?.as_str()).with_each(&recipe.prune).with_each(&recipe.modules_root);
        key = key.with(format!("{:?}", recipe.presets)).with(format!("{:?}", recipe.overlay));
        key = key.with(&recipe.keep_libraries).with(&recipe.cpu_floor);
        self.once(Work::Root, key.key(), |step| self.make_root(lock, kernel, programs, step))
    }

    fn make_root(&self, lock: &Lock, kernel: &Kernel, programs: &Programs, step: &Step) -> Result<String> {
        let root = self.work.join("root");
        let log = self.log(Work::Root);
        step.note("unpacking the base system");
        root::unpack(&self.work.join("base.tar"), &root, &log, step)?;
        // The CPU floor speaks of functions by name; what ships has none.
        put_programs(&root, |name| programs.with_names(name))?;
        step.note("pruning");
        let pruned = root::prune(&root, &self.recipe.prune_globs())?;
        let speech = self.speech(lock, &root, step)?;
        root::lay_over(&root, &self.recipe)?;
        root::preset(&root, &self.recipe.presets)?;
        let taken = modules::take(kernel, &self.recipe.modules_root, &root, &log, step)?;
        step.note("looking for libraries that nothing reaches");
        let closed = checks::close(&root, &self.recipe)?;
        step.note("looking for code above the CPU floor");
        let scanned = checks::processor(&root, &self.recipe, programs, &self.work.join("init.scan"))?;
        checks::c_library(&root, programs)?;
        put_programs(&root, |name| programs.node(name))?;
        if !pruned.idle.is_empty() {
            eprintln!("      patterns of buildroot/prune.list that found nothing: {}", pruned.idle.join(" "));
        }
        let (n_paths, n_modules) = (pruned.n_paths, taken.n_modules);
        Ok(format!(
            "{n_paths} paths pruned, {speech}, {closed}, {n_modules} modules, CPU floor held by {scanned}"
        ))
    }

    fn speech(&self, lock: &Lock, root: &Path, step: &Step) -> Result<String> {
        step.note("taking what speech needs");
        let parts = self.work.join("speech");
        root::remove_tree(&parts)?;
        anyhow::ensure!(
            lock.used_for(Use::Speech).next().is_some(),
            "the lock file names no packages of speech; `duet build --update` writes one that does"
        );
        for package in lock.used_for(Use::Speech) {
            self.unpack_package(package, &parts)?;
        }
        let (languages, stub) = (&self.recipe.settings.languages, &self.recipe.libpcaudio);
        speech::take(&parts, languages, stub, root, &self.log(Work::Root).with_extension("cc.log"), step)
    }

    fn squashfs(&self, root: &Key) -> Result<Key> {
        let settings = &self.recipe.settings;
        let key =
            KeyMaker::new("squashfs").with(REVISION).with(root.as_str()).with(version_of("mksquashfs")?);
        let key = key.with(format!("{settings:?}")).key();
        self.once(Work::Squashfs, key, |step| {
            let (tree, image) = (self.work.join("root"), self.work.join("root.squashfs"));
            root::pack(settings, &tree, &image, &self.log(Work::Squashfs), step)?;
            Ok(megabytes(size(&image)?))
        })
    }

    fn initrd(&self, kernel_key: &Key, kernel: &Kernel, programs: &Programs) -> Result<Key> {
        let settings = &self.recipe.settings;
        let public = self.key.public().to_text();
        let mut key = KeyMaker::new("initrd").with(REVISION).with(hash_file(&programs.init())?).with(&public);
        key = key
            .with(kernel_key.as_str())
            .with(format!("{settings:?}"))
            .with_each(&self.recipe.modules_initrd);
        self.once(Work::Initrd, key.key(), |step| {
            let tree = self.work.join("initrd.tree");
            root::remove_tree(&tree)?;
            let list = &self.recipe.modules_initrd;
            let taken = modules::take(kernel, list, &tree, &self.log(Work::Initrd), step)?;
            let archive = initrd::contents(&tree, &programs.init(), &public, settings.epoch)?;
            let packed = initrd::pack(&archive.to_bytes()?, settings.compression_level)?;
            write_whole(&self.work.join("initrd"), &packed)?;
            Ok(format!("{} modules, {}", taken.n_modules, megabytes(packed.len() as u64)))
        })
    }

    fn papers(&self, lock: &Lock, inputs: &Key, id: &ReleaseId) -> Result<Key> {
        let key = KeyMaker::new("papers").with(REVISION).with(inputs.as_str()).key();
        self.once(Work::Papers, key, |step| {
            let from = papers::Sources {
                repository: self.repository,
                base_tar: &self.work.join("base.tar"),
                kernel: &self.work.join("kernel"),
                speech: &self.work.join("speech"),
                debs: self.apt.debs(),
                lock,
                epoch: self.recipe.settings.epoch,
            };
            let scratch = self.work.join("papers.tree");
            let papers = papers::gather(&from, id.as_str(), &scratch, &self.log(Work::Papers), step)?;
            write_whole(&self.work.join(FileName::Sbom.as_str()), papers.sbom.as_bytes())?;
            write_whole(&self.work.join(FileName::Licences.as_str()), &papers.licences)?;
            Ok(format!("{} Debian packages, {} crates", papers.n_packages, papers.n_crates))
        })
    }

    fn release(&self, lock: &Lock, kernel: &Kernel, id: ReleaseId) -> Result<Built> {
        let step = self.progress.step(Work::Release.sentence(), None);
        let locked = self.work.join("packages.lock");
        write_whole(&locked, lock.to_text().as_bytes())?;
        let parts = publish::Parts {
            id,
            suite: lock.suite.clone(),
            kernel: kernel.version.clone(),
            files: BTreeMap::from([
                (FileName::Vmlinuz, kernel.vmlinuz()),
                (FileName::Initrd, self.work.join("initrd")),
                (FileName::Root, self.work.join("root.squashfs")),
                (FileName::Lock, locked),
                (FileName::Sbom, self.work.join(FileName::Sbom.as_str())),
                (FileName::Licences, self.work.join(FileName::Licences.as_str())),
            ]),
        };
        let place = publish::publish(&self.out, &parts, &self.key)?;
        if self.options.promote {
            releases::promote(&self.out, &parts.id)?;
        }
        fs::create_dir_all(self.out.join("man")).context("making the folder of the manual")?;
        write_whole(&self.out.join("man/duet.1"), crate::man::page().as_bytes())?;
        step.done(parts.id.as_str());
        Ok(Built {
            squashfs_bytes: size(&place.join(FileName::Root.as_str()))?,
            initrd_bytes: size(&place.join(FileName::Initrd.as_str()))?,
            id: parts.id,
            place,
            seconds: self.progress.seconds(),
        })
    }
}

fn put_programs(root: &Path, built: impl Fn(&str) -> PathBuf) -> Result<()> {
    for (name, place) in NODE_PROGRAMS {
        let bytes = fs::read(built(name)).with_context(|| format!("reading {name}"))?;
        root::put(&root.join(place), &bytes, 0o755)?;
    }
    Ok(())
}

fn size(path: &Path) -> Result<u64> {
    Ok(fs::metadata(path).with_context(|| format!("{}", path.display()))?.len())
}

/// The first line a tool says about its version; another version may give other bytes.
fn version_of(program: &str) -> Result<String> {
    let flag = if program == "mksquashfs" { "-version" } else { "--version" };
    // mksquashfs ends with an error after telling its version, so only the words count.
    let output = tool::command(program).arg(flag).output().with_context(|| format!("starting {program}"))?;
    let text = String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_string();
    anyhow::ensure!(!text.is_empty(), "{program} does not tell its version");
    Ok(text)
}
