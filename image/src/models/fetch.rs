//! `duet models fetch`: brings models to the shelf, and holds each to what is known of it.
//!
//! Everything that can be refused is refused before the first byte: names, licence, size, room on the disk.
//! What stops in between goes on where it was; what turns out wrong is thrown away.

use super::args::FetchArgs;
use super::part::{End, Part, sha256_of};
use super::pins::{Kind, Pin};
use super::shelf::{By, Shelf};
use super::web::{Address, Trouble, Waits, Web};
use super::{choose, head, stick};
use crate::disk;
use crate::progress::{Progress, Step, megabytes};
use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use split::expert::Expert;
use split::manifest::{Known, Manifest};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Left free on the disk.
pub(super) const RESERVE_BYTES: u64 = 64 << 20;
/// Tries without progress.
const PAUSES: [Duration; 6] = [
    Duration::from_secs(1),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
    Duration::from_secs(16),
];
/// Less in one try is no progress.
const PROGRESS_BYTES: u64 = 1 << 20;

/// How patient it is, and how much it leaves free.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub waits: Waits,
    pub pauses: &'static [Duration],
    pub reserve_bytes: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        let waits = Waits {
            connect: Duration::from_secs(20),
            answer: Duration::from_secs(60),
            silence: Duration::from_secs(60),
        };
        Limits { waits, pauses: &PAUSES, reserve_bytes: RESERVE_BYTES }
    }
}

/// Where files come from, if not from their own addresses.
pub enum Place {
    Internet,
    Folder(PathBuf),
}

/// What became of one model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Done {
    pub file: String,
    pub bytes: u64,
    pub sha256: String,
    pub from: String,
    /// Whether it came now, or lay there already.
    pub is_new: bool,
    /// Whether its hash was pinned by this very download, because nobody knew it.
    pub is_pinned_now: bool,
}

/// Runs the command.
pub fn command(args: &FetchArgs) -> Result<()> {
    let manifest = super::manifest(args.manifest.as_deref())?;
    let place = match (&args.from, &args.stick) {
        (Some(_), Some(_)) => bail!("--from and --stick are two places; name one"),
        (Some(folder), None) => Place::Folder(folder.clone()),
        (None, Some(label)) => Place::Folder(stick::place(label)?),
        (None, None) => Place::Internet,
    };
    if let Place::Folder(folder) = &place {
        ensure!(folder.is_dir(), "{} is no folder", folder.display());
    }
    let models = choose::chosen(&manifest, args)?;
    if args.names.is_empty() {
        eprintln!("these PCs suit the set {}", choose::suited(&manifest, args)?.name);
    }
    choose::fits(&manifest, &models, &experts(), args)?;
    choose::accepted(&models, &args.accept_licence)?;
    let mut shelf = Shelf::alone(&args.out)?;
    let done = fetch(&mut shelf, &models, &place, &Limits::default())?;
    if args.json {
        println!("{}", serde_json::to_string(&serde_json::json!({ "models": done }))?);
        return Ok(());
    }
    for one in &done {
        let new = if one.is_new { "fetched" } else { "was there" };
        let pinned = if one.is_pinned_now { ", pinned: the next one must be the same" } else { "" };
        println!("{}  {new}, {}{pinned}", one.file, megabytes(one.bytes));
    }
    Ok(())
}

/// A set that `duet build` fetches when all else is done; its name is checked before.
pub struct Shopping {
    models: Vec<Known>,
}

impl Shopping {
    pub fn of(repository: &Path, name: &str) -> Result<Shopping> {
        let manifest = super::manifest(Some(&repository.join("models/manifest.toml")))?;
        let set = manifest.set(name).with_context(|| {
            let sets: Vec<&str> = manifest.sets.iter().map(|set| set.name.as_str()).collect();
            format!("there is no set {name:?}, only {}", sets.join(", "))
        })?;
        let models: Vec<&Known> = manifest.of_set(set);
        choose::accepted(&models, &[])?;
        Ok(Shopping { models: models.into_iter().cloned().collect() })
    }

    pub fn fetch(&self, out: &Path) -> Result<()> {
        // Those of the repository lie on the shelf by then.
        let models: Vec<&Known> = self.models.iter().filter(|known| known.path.is_none()).collect();
        fetch(&mut Shelf::alone(out)?, &models, &Place::Internet, &Limits::default())?;
        Ok(())
    }
}

/// Those of the checkout; without them every model gets a plain one.
fn experts() -> Vec<Expert> {
    let folder = crate::build::repository().map(|repository| repository.join("models/experts"));
    folder.and_then(|folder| crate::plan::experts(&folder)).unwrap_or_default()
}

/// Brings these models, one after the other.
pub fn fetch(shelf: &mut Shelf, models: &[&Known], place: &Place, limits: &Limits) -> Result<Vec<Done>> {
    let mut done = Vec::new();
    let mut missing = Vec::new();
    for known in models {
        match lies_there(shelf, known)? {
            Some(one) => done.push(one),
            None => missing.push(*known),
        }
    }
    let absent = absent(place, &missing);
    missing.retain(|known| !absent.contains(&known.file.as_str()));
    enough_room(shelf, &missing, limits.reserve_bytes)?;
    for known in &missing {
        eprintln!("{}", choose::line(known));
    }
    let web = Web::new(limits.waits)?;
    let progress = Progress::new(missing.len());
    for known in missing {
        let step = progress.step(&known.file, Some(known.bytes));
        let one = bring(shelf, known, place, &web, limits, &step)
            .with_context(|| format!("fetching {}", known.file))?;
        step.done(&megabytes(one.bytes));
        done.push(one);
    }
    if let (Place::Folder(folder), false) = (place, absent.is_empty()) {
        bail!(
            "{}: not there: {}; what was there lies on the shelf now, and the same command without --from fetches the rest",
            folder.display(),
            absent.join(", ")
        );
    }
    Ok(done)
}

/// Those that do not lie in the folder that they are to come from.
fn absent<'a>(place: &Place, missing: &[&'a Known]) -> Vec<&'a str> {
    let Place::Folder(folder) = place else { return Vec::new() };
    let absent = missing.iter().filter(|known| found(folder, known).is_none());
    absent.map(|known| known.file.as_str()).collect()
}

/// A file that lies there whole, and is what it should be.
fn lies_there(shelf: &Shelf, known: &Known) -> Result<Option<Done>> {
    let Some(bytes) = shelf.bytes(&known.file) else { return Ok(None) };
    let manifest = Manifest { models: vec![known.clone()], sets: Vec::new() };
    let Some(wanted) = shelf.wanted(&known.file, &manifest) else {
        bail!(
            "{} lies on the shelf and nobody knows its hash; `duet models remove` it first, or `add` it as your own",
            known.file
        );
    };
    let sha256 = sha256_of(&shelf.file(&known.file), &|_| {})?;
    if bytes != wanted.bytes || sha256 != wanted.sha256 {
        bail!(
            "{} lies on the shelf and is damaged; take it away with `duet models remove {}`, then fetch again",
            known.file,
            known.file
        );
    }
    let from = wanted.by.name().to_owned();
    Ok(Some(Done { file: known.file.clone(), bytes, sha256, from, is_new: false, is_pinned_now: false }))
}

fn enough_room(shelf: &Shelf, missing: &[&Known], reserve: u64) -> Result<()> {
    let still = |known: &&Known| known.bytes.saturating_sub(shelf.part_bytes(&known.file).unwrap_or(0));
    let needed: u64 = missing.iter().map(still).sum();
    let free = disk::free_bytes(&shelf.folder)?;
    if missing.is_empty() || free >= needed.saturating_add(reserve) {
        return Ok(());
    }
    bail!(
        "{} has {} free, and {} are needed with {} in reserve; free some, or use --out",
        shelf.folder.display(),
        megabytes(free),
        megabytes(needed),
        megabytes(reserve)
    )
}

fn bring(
    shelf: &mut Shelf,
    known: &Known,
    place: &Place,
    web: &Web,
    limits: &Limits,
    step: &Step,
) -> Result<Done> {
    let manifest = Manifest { models: vec![known.clone()], sets: Vec::new() };
    let wanted = shelf.wanted(&known.file, &manifest);
    ensure!(
        wanted.as_ref().is_none_or(|wanted| wanted.by != By::Owner),
        "a file of your own was added under this name; `duet models remove {}` forgets it",
        known.file
    );
    let sha256 = wanted.map(|wanted| wanted.sha256);
    let source = match (place, &known.url, &known.path) {
        (Place::Folder(folder), ..) => Source::File(lying(folder, known)?),
        (Place::Internet, Some(url), _) => Source::Net(url.clone(), Address::parse(url)?),
        (Place::Internet, None, Some(path)) => Source::File(crate::build::repository()?.join(path)),
        (Place::Internet, None, None) => bail!("the manifest does not say where it comes from"),
    };
    let sha256 = source.bring(shelf, known, sha256.as_deref(), web, limits, step)?;
    let is_pinned_now = shelf.wanted(&known.file, &manifest).is_none();
    if is_pinned_now {
        let (file, sha256, source) = (known.file.clone(), sha256.clone(), source.told());
        let (kind, purpose, bytes) = (Kind::FirstDownload, known.purpose, known.bytes);
        shelf.pins.put(Pin { file, kind, purpose, bytes, sha256, source })?;
    }
    let from = source.told();
    Ok(Done { file: known.file.clone(), bytes: known.bytes, sha256, from, is_new: true, is_pinned_now })
}

/// In the folder, or in a folder `models` of it, as on a stick.
fn found(folder: &Path, known: &Known) -> Option<PathBuf> {
    let found = [folder.to_path_buf(), folder.join("models")].map(|folder| folder.join(&known.file));
    found.into_iter().find(|path| path.is_file())
}

fn lying(folder: &Path, known: &Known) -> Result<PathBuf> {
    let path =
        found(folder, known).with_context(|| format!("{} is not in {}", known.file, folder.display()))?;
    let bytes = path.metadata().with_context(|| format!("reading {}", path.display()))?.len();
    ensure!(
        bytes == known.bytes,
        "{} has {bytes} bytes, and {} are expected; take the file of the manifest, or `duet models add` it as your own",
        path.display(),
        known.bytes
    );
    Ok(path)
}

enum Source {
    Net(String, Address),
    File(PathBuf),
}

impl Source {
    fn told(&self) -> String {
        match self {
            Source::Net(url, _) => url.clone(),
            Source::File(path) => path.display().to_string(),
        }
    }

    /// Brings the whole file and places it; gives its hash.
    fn bring(
        &self,
        shelf: &Shelf,
        known: &Known,
        wanted: Option<&str>,
        web: &Web,
        limits: &Limits,
        step: &Step,
    ) -> Result<String> {
        let mut is_again = false;
        loop {
            let mut part = Part::open(shelf, &known.file, &self.told(), known.bytes)?;
            match self {
                Source::Net(_, address) => {
                    if let Err(error) = patiently(web, address, &mut part, limits, step) {
                        part.leave()?;
                        return Err(error);
                    }
                }
                Source::File(path) => {
                    part.called(None)?;
                    part.copy_from(path, &|bytes| step.at(bytes))?;
                }
            }
            if wanted.is_none() {
                // Whatever is pinned must at least be a model for what it is said to be for.
                let told = head::purpose(part.path(), &known.file).and_then(|purpose| {
                    ensure!(purpose == known.purpose, "it is a model for {}", purpose.name());
                    Ok(())
                });
                if let Err(error) = told {
                    part.throw_away()?;
                    return Err(error);
                }
            }
            let was_resumed = part.is_resumed;
            match part.end(wanted)? {
                End::Placed { sha256 } => return Ok(sha256),
                // The two halves may be of two files.
                End::WrongHash { .. } if was_resumed && !is_again => is_again = true,
                End::WrongHash { sha256 } => bail!(
                    "its hash is {sha256} and not {}: it was changed or damaged on the way, and thrown away; \
                     try again later or take it from elsewhere with --from",
                    wanted.unwrap_or_default()
                ),
            }
        }
    }
}

/// Tries until it is whole: pauses grow while nothing comes.
fn patiently(web: &Web, address: &Address, part: &mut Part, limits: &Limits, step: &Step) -> Result<()> {
    let mut n_vain = 0;
    while part.bytes < part.bytes_whole {
        let before = part.bytes;
        step.at(before);
        match web.fill(address, part, &|bytes| step.at(bytes)) {
            Ok(()) => return Ok(()),
            Err(Trouble::Lasting(error)) => return Err(error),
            Err(Trouble::Passing(error)) => {
                n_vain = if part.bytes >= before.saturating_add(PROGRESS_BYTES) { 0 } else { n_vain + 1 };
                let Some(pause) = limits.pauses.get(n_vain) else {
                    return Err(error.context(
                        "the server does not send it now; the same command later goes on where it stopped, \
                         and --from takes files that came another way",
                    ));
                };
                step.say(&format!("{error:#}; trying again in {} s", pause.as_secs()));
                std::thread::sleep(*pause);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
pub mod tests;
