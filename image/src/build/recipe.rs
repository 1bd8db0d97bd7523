//! The recipe: everything in `buildroot/` and `systemd/`, read once and checked once.
//!
//! A recipe is data. What follows from it is the plan (`plan.rs`), which never looks at a disk again.

use super::lists::{self, Globs, ListError};
use super::profile;
use super::steps::KeyMaker;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A list or an overlay file above this size is a mistake.
const FILE_BYTES_MAX: u64 = 8 << 20;
const OVERLAY_FILES_MAX: usize = 5000;

/// What a node knows of experts, and where: folders of the repository, and their places inside the root.
const MODELS: [(&str, &str); 2] =
    [("models/experts", "usr/share/duet/experts"), ("models/personas", "usr/share/duet/personas")];

/// `buildroot/build.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub suite: String,
    pub kernel: String,
    pub loaders: Vec<String>,
    /// Packages that are unpacked without what they depend on.
    pub speech: Vec<String>,
    /// What nodes can speak.
    pub languages: Vec<String>,
    pub epoch: u64,
    pub block_bytes: u32,
    pub compression_level: i32,
}

#[derive(Debug, Clone)]
pub struct Recipe {
    pub settings: Settings,
    /// What was chosen of `buildroot/profiles`.
    pub profiles: Vec<String>,
    pub packages: Vec<String>,
    pub excludes: Vec<String>,
    pub prune: Vec<String>,
    pub modules_initrd: Vec<String>,
    pub modules_root: Vec<String>,
    pub presets: Vec<Preset>,
    /// Path inside the root, without a leading slash, and what stands there.
    pub overlay: BTreeMap<String, Overlay>,
    pub keep_libraries: String,
    /// Source of the library that stands in for espeak-ng's sound output.
    pub libpcaudio: String,
    pub cpu_floor: String,
}

/// A file or link that the image adds to Debian's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Overlay {
    File { bytes: Vec<u8>, executable: bool },
    Link { to: String },
}

/// What a unit is told before the first boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Preset {
    Enable(String),
    Mask(String),
}

impl Recipe {
    /// Reads the recipe below the repository's root, and adds these profiles.
    pub fn read(repository: &Path, profiles: &[String]) -> Result<Recipe> {
        let buildroot = repository.join("buildroot");
        let text = |name: &str| read_text(&buildroot.join(name));
        let settings: Settings = toml::from_str(&text("build.toml")?).context("buildroot/build.toml")?;
        if !is_suite(&settings.suite) {
            bail!("buildroot/build.toml: {:?} is not the name of a Debian suite", settings.suite);
        }
        super::speech::check(&settings.languages)?;
        let presets = repository.join("systemd/presets.list");
        let mut recipe = Recipe {
            settings,
            profiles: Vec::new(),
            packages: lists::packages("buildroot/packages.list", &text("packages.list")?)?,
            excludes: lists::words("buildroot/excludes.list", &text("excludes.list")?)?,
            prune: lists::words("buildroot/prune.list", &text("prune.list")?)?,
            modules_initrd: lists::words("buildroot/modules-initrd.list", &text("modules-initrd.list")?)?,
            modules_root: lists::words("buildroot/modules-root.list", &text("modules-root.list")?)?,
            presets: parse_presets("systemd/presets.list", &read_text(&presets)?)?,
            overlay: BTreeMap::new(),
            keep_libraries: text("keep-libraries.list")?,
            libpcaudio: text("libpcaudio.c")?,
            cpu_floor: text("cpu-floor.list")?,
        };
        read_overlay(&buildroot.join("overlay"), "", &mut recipe.overlay)?;
        read_units(&repository.join("systemd"), &mut recipe.overlay)?;
        for (from, to) in MODELS {
            read_overlay(&repository.join(from), to, &mut recipe.overlay)?;
        }
        let bytes = read_bytes(&repository.join("models/manifest.toml"))?;
        recipe
            .overlay
            .insert("usr/share/duet/manifest.toml".into(), Overlay::File { bytes, executable: false });
        for name in profiles {
            profile::add(&mut recipe, repository, name)?;
        }
        Ok(recipe)
    }

    /// The hash of what Debian is asked for.
    pub fn wish(&self) -> String {
        let settings = &self.settings;
        let key = KeyMaker::new("wish").with(&settings.suite).with(&settings.kernel);
        let key = key.with_each(&settings.loaders).with_each(&settings.speech).with_each(&self.packages);
        let key = if self.profiles.is_empty() { key } else { key.with_each(&self.profiles) };
        key.key().as_str()[..16].into()
    }

    pub fn prune_globs(&self) -> Globs {
        Globs::new(&self.prune)
    }
}

pub fn is_suite(name: &str) -> bool {
    !name.is_empty() && name.len() <= 40 && name.chars().all(|c| c.is_ascii_lowercase() || c == '-')
}

pub fn parse_presets(file: &str, text: &str) -> Result<Vec<Preset>, ListError> {
    let one = |entry: &lists::Entry| match &entry.words[..] {
        [word, unit] if word == "enable" => Ok(Preset::Enable(unit.clone())),
        [word, unit] if word == "mask" => Ok(Preset::Mask(unit.clone())),
        _ => Err(ListError {
            file: file.into(),
            line: entry.line,
            what: "a line says 'enable UNIT' or 'mask UNIT'".into(),
        }),
    };
    lists::entries(file, text)?.iter().map(one).collect()
}

/// Where the files of `systemd/` go inside the root.
fn unit_place(name: &str) -> Option<String> {
    let folder = match name.rsplit('.').next()? {
        "service" | "socket" | "target" | "timer" | "mount" | "path" => "usr/lib/systemd/system",
        "network" | "netdev" | "link" => "usr/lib/systemd/network",
        "rules" => "usr/lib/udev/rules.d",
        _ => return None,
    };
    Some(format!("{folder}/{name}"))
}

pub fn read_units(folder: &Path, overlay: &mut BTreeMap<String, Overlay>) -> Result<()> {
    for (name, path) in sorted(folder)? {
        if path.is_dir() && name.ends_with(".d") {
            for (part, file) in sorted(&path)? {
                let place = format!("usr/lib/systemd/system/{name}/{part}");
                overlay.insert(place, Overlay::File { bytes: read_bytes(&file)?, executable: false });
            }
        } else if let Some(place) = unit_place(&name) {
            overlay.insert(place, Overlay::File { bytes: read_bytes(&path)?, executable: false });
        }
    }
    Ok(())
}

pub fn read_overlay(folder: &Path, below: &str, overlay: &mut BTreeMap<String, Overlay>) -> Result<()> {
    for (name, path) in sorted(folder)? {
        let place = if below.is_empty() { name } else { format!("{below}/{name}") };
        let facts = fs::symlink_metadata(&path).with_context(|| format!("{}", path.display()))?;
        if overlay.len() >= OVERLAY_FILES_MAX {
            bail!("buildroot/overlay holds more than {OVERLAY_FILES_MAX} files");
        }
        if facts.is_dir() {
            read_overlay(&path, &place, overlay)?;
        } else if facts.is_symlink() {
            let to = fs::read_link(&path).with_context(|| format!("{}", path.display()))?;
            let to = to.to_str().context("a link of the overlay is not UTF-8")?.to_string();
            overlay.insert(place, Overlay::Link { to });
        } else if facts.is_file() {
            let executable = facts.permissions().mode() & 0o100 != 0;
            overlay.insert(place, Overlay::File { bytes: read_bytes(&path)?, executable });
        } else {
            bail!("{} is neither file nor link nor folder", path.display());
        }
    }
    Ok(())
}

/// Names and paths in a folder.
pub fn sorted(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    let reading = || format!("reading {}", folder.display());
    for entry in fs::read_dir(folder).with_context(reading)? {
        let entry = entry.with_context(reading)?;
        let name = entry.file_name().into_string();
        let Ok(name) = name else { bail!("{} holds a name that is not UTF-8", folder.display()) };
        // Editors and git leave these; they are no part of an image.
        if name != ".gitkeep" && !name.ends_with('~') {
            found.push((name, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

fn read_bytes(path: &Path) -> Result<Vec<u8>> {
    let reading = || format!("reading {}", path.display());
    if fs::metadata(path).with_context(reading)?.len() > FILE_BYTES_MAX {
        bail!("{} is larger than {FILE_BYTES_MAX} bytes", path.display());
    }
    fs::read(path).with_context(reading)
}

pub fn read_text(path: &Path) -> Result<String> {
    let bytes = read_bytes(path)?;
    String::from_utf8(bytes).map_err(|error| {
        let line =
            error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count();
        anyhow::anyhow!("{}:{}: this line is not UTF-8 text", path.display(), line + 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_presets(text: &str, want: &str) {
        let got = match parse_presets("presets.list", text) {
            Ok(list) => format!("{list:?}"),
            Err(error) => format!("error: {error}"),
        };
        assert_eq!(got, want);
    }

    #[test]
    fn a_preset_enables_or_masks() {
        check_presets("enable a.service\nmask b.timer # why\n", r#"[Enable("a.service"), Mask("b.timer")]"#);
    }

    #[test]
    fn another_verb_is_an_error_with_its_line() {
        let want = "error: presets.list:2: a line says 'enable UNIT' or 'mask UNIT'";
        check_presets("enable a.service\nstart b.service\n", want);
    }

    #[test]
    fn a_network_file_goes_to_the_network_folder() {
        assert_eq!(
            unit_place("10-wired.network").as_deref(),
            Some("usr/lib/systemd/network/10-wired.network")
        );
        assert_eq!(unit_place("presets.list"), None);
    }
}
