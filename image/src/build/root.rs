//! The root tree: Debian's base by mmdebstrap, unpacked, pruned, and given what duet adds.

use super::lists::Globs;
use super::lock::{Lock, Use};
use super::mirror::Mirror;
use super::recipe::{Overlay, Preset, Recipe, Settings};
use crate::progress::{Step, megabytes};
use crate::tool;
use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// Deeper trees than this are loops.
const DEPTH_MAX: usize = 64;

/// Makes the base system as one tar file, from the locked packages only.
pub fn base(
    recipe: &Recipe,
    lock: &Lock,
    debs: &Path,
    tar: &Path,
    log: &Path,
    step: &Step,
) -> Result<String> {
    let mirror = Mirror::start(lock, debs)?;
    let names: Vec<String> = lock.used_for(Use::Root).map(|p| format!("{}={}", p.name, p.version)).collect();
    let mut command = tool::command("mmdebstrap");
    command.env("SOURCE_DATE_EPOCH", recipe.settings.epoch.to_string()).env("LC_ALL", "C");
    let mode = if rustix::process::geteuid().is_root() { "root" } else { "unshare" };
    command.arg(format!("--mode={mode}")).args(["--variant=essential", "--format=tar"]);
    // The archive is on loopback: no proxy of the host may stand between.
    command.arg("--aptopt=Acquire::http::Proxy \"DIRECT\"");
    for pattern in &recipe.excludes {
        let option = match pattern.strip_prefix('!') {
            Some(kept) => format!("--dpkgopt=path-include={kept}"),
            None => format!("--dpkgopt=path-exclude={pattern}"),
        };
        command.arg(option);
    }
    command.arg(format!("--include={}", names.join(","))).arg(&lock.suite).arg("-").arg(mirror.source());
    // Into a pipe of ours: in unshare mode mmdebstrap is another user and may not write into our folder.
    // Into a new file each time: a tool whose build was killed may still be writing into the old one.
    let writing = || format!("writing {}", tar.display());
    let beside = tar.with_extension("tar.new");
    let _ = fs::remove_file(&beside);
    let file = fs::File::create_new(&beside).with_context(writing)?;
    tool::run_into(&mut command, file, log, step)?;
    fs::rename(&beside, tar).with_context(writing)?;
    let bytes = fs::metadata(tar).with_context(|| format!("{}", tar.display()))?.len();
    Ok(megabytes(bytes))
}

/// Unpacks the base as the calling user; the image gives every file to root anyway.
pub fn unpack(tar: &Path, root: &Path, log: &Path, step: &Step) -> Result<()> {
    remove_tree(root)?;
    fs::create_dir_all(root).with_context(|| format!("making {}", root.display()))?;
    let mut command = tool::command("tar");
    command.args(["--extract", "--no-same-owner", "--same-permissions", "--exclude=./dev/*", "--file"]);
    tool::run(command.arg(tar).arg("--directory").arg(root), log, step)?;
    open_tree(root, 0)
}

/// Removes a tree of ours, also where folders forbid their owner to write.
pub fn remove_tree(tree: &Path) -> Result<()> {
    if !tree.exists() {
        return Ok(());
    }
    open_tree(tree, 0)?;
    fs::remove_dir_all(tree).with_context(|| format!("removing {}", tree.display()))
}

/// Lets the owner of a tree read and change it: a few of Debian's files forbid even that (etc/gshadow), and an
/// ordinary user could neither pack nor remove them. Their owner on a node is root, who is never forbidden.
fn open_tree(folder: &Path, depth: usize) -> Result<()> {
    let at = || format!("{}", folder.display());
    anyhow::ensure!(depth <= DEPTH_MAX, "{} is nested too deeply", folder.display());
    open(folder, 0o700)?;
    for entry in fs::read_dir(folder).with_context(at)? {
        let entry = entry.with_context(at)?;
        let kind = entry.file_type().with_context(at)?;
        if kind.is_dir() {
            open_tree(&entry.path(), depth + 1)?;
        } else if kind.is_file() {
            open(&entry.path(), 0o400)?;
        }
    }
    Ok(())
}

fn open(path: &Path, bits: u32) -> Result<()> {
    let at = || format!("{}", path.display());
    let mode = fs::symlink_metadata(path).with_context(at)?.permissions().mode() & 0o7777;
    if mode & bits != bits {
        fs::set_permissions(path, Permissions::from_mode(mode | bits)).with_context(at)?;
    }
    Ok(())
}

/// Packs the tree: every file belongs to root and has the recipe's time, whoever built it and when.
pub fn pack(settings: &Settings, tree: &Path, image: &Path, log: &Path, step: &Step) -> Result<()> {
    let beside = image.with_extension("squashfs.new");
    let _ = fs::remove_file(&beside);
    let (epoch, level) = (settings.epoch.to_string(), settings.compression_level.to_string());
    let mut command = tool::command("mksquashfs");
    command.env_remove("SOURCE_DATE_EPOCH").arg(tree).arg(&beside);
    command.args(["-comp", "zstd", "-Xcompression-level", &level, "-b", &settings.block_bytes.to_string()]);
    command.args(["-all-root", "-no-xattrs", "-noappend", "-no-progress"]);
    command.args(["-all-time", &epoch, "-mkfs-time", &epoch]);
    tool::run(&mut command, log, step)?;
    fs::rename(&beside, image).with_context(|| format!("naming {}", image.display()))
}

/// What pruning did.
pub struct Pruned {
    pub n_paths: usize,
    /// Patterns that found nothing: perhaps a spelling, perhaps Debian has changed.
    pub idle: Vec<String>,
}

/// Removes what the prune list names.
pub fn prune(root: &Path, globs: &Globs) -> Result<Pruned> {
    let mut pruner = Pruner { globs, used: BTreeSet::new(), n_paths: 0 };
    pruner.below(root, "", None, 0)?;
    let idle = (0..globs.n_patterns()).filter(|idx| globs.takes(*idx) && !pruner.used.contains(idx));
    Ok(Pruned { n_paths: pruner.n_paths, idle: idle.map(|idx| globs.pattern(idx).to_string()).collect() })
}

struct Pruner<'a> {
    globs: &'a Globs,
    used: BTreeSet<usize>,
    n_paths: usize,
}

impl Pruner<'_> {
    /// `taken` is the pattern that took the folder itself; only parts named by a `!pattern` escape it.
    fn below(&mut self, folder: &Path, below: &str, taken: Option<usize>, depth: usize) -> Result<()> {
        if depth > DEPTH_MAX {
            bail!("{} is nested too deeply", folder.display());
        }
        let at = || format!("{}", folder.display());
        for entry in fs::read_dir(folder).with_context(at)? {
            let entry = entry.with_context(at)?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                bail!("{} holds a name that is not UTF-8", folder.display())
            };
            let place = if below.is_empty() { name.to_string() } else { format!("{below}/{name}") };
            let is_dir = entry.file_type().with_context(at)?.is_dir();
            let hit = match self.globs.speaks_of(&place) {
                Some(idx) => self.globs.takes(idx).then_some(idx),
                None => taken,
            };
            self.used.extend(hit);
            if is_dir && (hit.is_none() || self.globs.keeps_below(&place)) {
                self.below(&entry.path(), &place, hit, depth + 1)?;
            } else if hit.is_some() {
                self.n_paths += 1;
                remove(&entry.path(), is_dir)?;
            }
        }
        Ok(())
    }
}

fn remove(path: &Path, is_dir: bool) -> Result<()> {
    if is_dir {
        return remove_tree(path);
    }
    fs::remove_file(path).with_context(|| format!("removing {}", path.display()))
}

/// Lays the overlay over the root.
pub fn lay_over(root: &Path, recipe: &Recipe) -> Result<()> {
    for (place, what) in &recipe.overlay {
        let path = inside(root, place)?;
        match what {
            Overlay::File { bytes, executable } => {
                put(&path, bytes, if *executable { 0o755 } else { 0o644 })?;
            }
            Overlay::Link { to } => link(to, &path)?,
        }
    }
    Ok(())
}

/// Enables and masks units by the links systemd itself would make.
pub fn preset(root: &Path, presets: &[Preset]) -> Result<()> {
    for preset in presets {
        match preset {
            Preset::Mask(unit) => {
                link("/dev/null", &inside(root, &format!("etc/systemd/system/{unit}"))?)?;
            }
            Preset::Enable(unit) => enable(root, unit)?,
        }
    }
    Ok(())
}

fn enable(root: &Path, unit: &str) -> Result<()> {
    let (file, instance) = template_of(unit);
    let place = format!("usr/lib/systemd/system/{file}");
    let text = fs::read_to_string(inside(root, &place)?)
        .with_context(|| format!("systemd/presets.list enables {unit}, which the image does not have"))?;
    let links = install_links(&text, unit, instance);
    if links.is_empty() {
        bail!("systemd/presets.list enables {unit}, but the unit has no [Install] section");
    }
    for place in links {
        link(
            &format!("/usr/lib/systemd/system/{file}"),
            &inside(root, &format!("etc/systemd/system/{place}"))?,
        )?;
    }
    Ok(())
}

/// `a@b.service` is made from `a@.service`.
fn template_of(unit: &str) -> (String, &str) {
    match unit.split_once('@') {
        Some((name, rest)) => {
            let (instance, kind) = rest.rsplit_once('.').unwrap_or((rest, "service"));
            (format!("{name}@.{kind}"), instance)
        }
        None => (unit.to_string(), ""),
    }
}

/// The links below etc/systemd/system that `systemctl enable` would make.
fn install_links(text: &str, unit: &str, instance: &str) -> Vec<String> {
    let mut links = Vec::new();
    let section = text.lines().skip_while(|line| line.trim() != "[Install]").skip(1);
    for line in section.take_while(|line| !line.trim_start().starts_with('[')) {
        let Some((key, value)) = line.split_once('=') else { continue };
        for name in value.split_whitespace().map(|name| name.replace("%i", instance)) {
            match key.trim() {
                "WantedBy" => links.push(format!("{name}.wants/{unit}")),
                "RequiredBy" => links.push(format!("{name}.requires/{unit}")),
                "Alias" => links.push(name),
                _ => {}
            }
        }
    }
    links
}

/// Puts a file into the tree, its folders with it.
pub fn put(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let writing = || format!("writing {}", path.display());
    clear(path)?;
    fs::write(path, bytes).with_context(writing)?;
    fs::set_permissions(path, Permissions::from_mode(mode)).with_context(writing)
}

/// Puts a link into the tree, its folders with it.
pub fn link(to: &str, path: &Path) -> Result<()> {
    clear(path)?;
    symlink(to, path).with_context(|| format!("linking {}", path.display()))
}

fn clear(path: &Path) -> Result<()> {
    let folder = path.parent().context("a path without a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("replacing {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// A path of the image below `root`. Absolute links inside the image would lead to the host, so no
/// folder on the way may be a link that leaves the tree.
fn inside(root: &Path, place: &str) -> Result<PathBuf> {
    let mut path = root.to_path_buf();
    for part in place.split('/') {
        if part.is_empty() || part == "." || part == ".." {
            bail!("{place} is not a plain path inside the image");
        }
        if path.is_symlink() {
            let to = fs::read_link(&path).with_context(|| format!("{}", path.display()))?;
            let real = fs::canonicalize(&path).with_context(|| format!("{}", path.display()))?;
            let base = fs::canonicalize(root).with_context(|| format!("{}", root.display()))?;
            if to.is_absolute() || !real.starts_with(&base) {
                bail!("{place} leads out of the image through the link {}", path.display());
            }
        }
        path.push(part);
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(unit: &str, text: &str, want: &str) {
        let (_, instance) = template_of(unit);
        assert_eq!(install_links(text, unit, instance).join(" "), want);
    }

    #[test]
    fn wanted_by_becomes_a_link() {
        check("a.service", "[Install]\nWantedBy=multi-user.target\n", "multi-user.target.wants/a.service");
    }

    #[test]
    fn an_instance_fills_its_template() {
        assert_eq!(template_of("diag@ttyS0.service"), ("diag@.service".into(), "ttyS0"));
        check("d@x.service", "[Install]\nAlias=%i.service\n", "x.service");
    }

    #[test]
    fn keys_of_other_sections_do_not_count() {
        check(
            "a.service",
            "[Unit]\nWantedBy=x.target\n[Install]\nRequiredBy=y.target\n[X]\nAlias=z\n",
            "y.target.requires/a.service",
        );
    }

    #[test]
    fn pruning_takes_what_is_listed_and_names_idle_patterns() {
        let root = std::env::temp_dir().join(format!("duet-prune-{}", std::process::id()));
        for file in ["usr/bin/perl", "usr/bin/bash", "usr/share/doc/x/copyright", "usr/share/doc/y"] {
            put(&root.join(file), b"x", 0o644).unwrap();
        }
        let list = ["usr/bin/perl*", "usr/share/doc", "!usr/share/doc/x/copyright", "nowhere"];
        let pruned = prune(&root, &Globs::new(&list.map(String::from))).unwrap();
        assert!(!root.join("usr/bin/perl").exists() && root.join("usr/bin/bash").exists());
        assert!(root.join("usr/share/doc/x/copyright").exists() && !root.join("usr/share/doc/y").exists());
        assert_eq!(pruned.idle.join(" "), "nowhere");
        remove_tree(&root).unwrap();
    }

    #[test]
    fn a_link_out_of_the_image_is_not_followed() {
        let root = std::env::temp_dir().join(format!("duet-inside-{}", std::process::id()));
        fs::create_dir_all(&root).unwrap();
        symlink("/etc", root.join("etc")).unwrap();
        assert!(inside(&root, "etc/passwd").is_err());
        assert!(inside(&root, "../x").is_err());
        fs::remove_dir_all(root).unwrap();
    }
}
