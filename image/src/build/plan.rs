//! What a build will do, from the recipe alone: no disk, no network, no clock.
//!
//! `duet build --plan` prints it, and a golden file holds it still.

use super::recipe::{Overlay, Preset, Recipe};
use std::fmt::{self, Write};

/// A step of the build. Their order is the order of the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Work {
    Lock,
    Fetch,
    Programs,
    Kernel,
    Base,
    Root,
    Squashfs,
    Initrd,
    Papers,
    Release,
}

impl Work {
    pub const ALL: [Work; 10] = [
        Work::Lock,
        Work::Fetch,
        Work::Programs,
        Work::Kernel,
        Work::Base,
        Work::Root,
        Work::Squashfs,
        Work::Initrd,
        Work::Papers,
        Work::Release,
    ];

    /// The stamp's name.
    pub fn name(self) -> &'static str {
        match self {
            Work::Lock => "lock",
            Work::Fetch => "fetch",
            Work::Programs => "programs",
            Work::Kernel => "kernel",
            Work::Base => "base",
            Work::Root => "root",
            Work::Squashfs => "squashfs",
            Work::Initrd => "initrd",
            Work::Papers => "papers",
            Work::Release => "release",
        }
    }

    /// What a person reads while it is done.
    pub fn sentence(self) -> &'static str {
        match self {
            Work::Lock => "lock file: ask the mirror what the packages are today",
            Work::Fetch => "packages: fetch what the cache lacks, hold all to their hashes",
            Work::Programs => "programs: agent, rpc-worker and init for a Core 2",
            Work::Kernel => "kernel: unpack the package",
            Work::Base => "base system: mmdebstrap, from the locked packages alone",
            Work::Root => "root: prune, speech, overlay, units, modules, checks",
            Work::Squashfs => "root.squashfs: mksquashfs",
            Work::Initrd => "initrd: init, public key, network modules",
            Work::Papers => "papers: bill of materials, licence texts",
            Work::Release => "release: manifest, signature, promotion",
        }
    }
}

/// The plan of one recipe.
pub struct Plan<'a> {
    recipe: &'a Recipe,
}

impl<'a> Plan<'a> {
    pub fn of(recipe: &'a Recipe) -> Plan<'a> {
        Plan { recipe }
    }
}

impl fmt::Display for Plan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let recipe = self.recipe;
        let settings = &recipe.settings;
        writeln!(f, "Steps")?;
        for (idx, work) in Work::ALL.iter().enumerate() {
            writeln!(f, "  {}. {}", idx + 1, work.sentence())?;
        }
        writeln!(f, "\nSettings")?;
        writeln!(f, "  suite {}, kernel {}, file times {}", settings.suite, settings.kernel, settings.epoch)?;
        writeln!(f, "  zstd level {}, blocks of {} bytes", settings.compression_level, settings.block_bytes)?;
        list(f, "Profiles", &recipe.profiles)?;
        list(f, "First stages, from", &settings.loaders)?;
        list(f, "Unpacked for speech, without what they depend on", &settings.speech)?;
        list(f, "Languages that are spoken", &settings.languages)?;
        list(f, "Packages, beside the essential ones", &recipe.packages)?;
        list(f, "Never unpacked", &recipe.excludes)?;
        list(f, "Pruned", &recipe.prune)?;
        list(f, "Kernel modules of the initrd, and what they need", &recipe.modules_initrd)?;
        list(f, "Kernel modules of the root, and what they need", &recipe.modules_root)?;
        list(f, "Units", &recipe.presets.iter().map(preset).collect::<Vec<_>>())?;
        let overlay: Vec<String> = recipe.overlay.iter().map(|(place, what)| added(place, what)).collect();
        list(f, "Added files", &overlay)
    }
}

fn preset(preset: &Preset) -> String {
    match preset {
        Preset::Enable(unit) => format!("enable {unit}"),
        Preset::Mask(unit) => format!("mask {unit}"),
    }
}

fn added(place: &str, what: &Overlay) -> String {
    match what {
        Overlay::File { executable: false, .. } => format!("/{place}"),
        Overlay::File { executable: true, .. } => format!("/{place} (executable)"),
        Overlay::Link { to } => format!("/{place} -> {to}"),
    }
}

fn list(f: &mut fmt::Formatter<'_>, head: &str, entries: &[String]) -> fmt::Result {
    let mut text = String::new();
    for entry in entries {
        writeln!(text, "  {entry}")?;
    }
    write!(f, "\n{head} ({})\n{text}", entries.len())
}
