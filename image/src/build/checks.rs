//! What a root must stand before it is packed: no library that nothing reaches, none missing, no
//! instruction a Core 2 does not have, no program that needs a newer C library than the image has.

use super::programs::{NODE_PROGRAMS, Programs};
use super::recipe::Recipe;
use crate::elf::list::{FloorList, KeepList};
use crate::elf::{closure, floor, glibc};
use crate::progress::megabytes;
use anyhow::{Context, Result, bail};
use std::fmt::Display;
use std::fs;
use std::path::Path;

/// How many findings an error shows.
const SHOWN_MAX: usize = 20;

/// The init is static: it carries the C library's variants, picked by IFUNC.
const INIT_FLOOR: &str = "init * * the static C library picks its variants by IFUNC, from CPUID\n";

/// Deletes libraries that nothing reaches; a missing one is an error. Gives a result for the person.
pub fn close(root: &Path, recipe: &Recipe) -> Result<String> {
    let keep = KeepList::parse(&recipe.keep_libraries)?;
    let found = closure::closure(root, &keep)?;
    for loose in &found.loose {
        let path = root.join(&loose.path);
        fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
    }
    Ok(format!("{} unreached libraries, {}", found.loose.len(), megabytes(found.loose_bytes())))
}

/// Refuses code above the CPU floor, in the root and in the init.
pub fn processor(root: &Path, recipe: &Recipe, programs: &Programs, scratch: &Path) -> Result<String> {
    let report = floor::floor(root, &FloorList::parse(&recipe.cpu_floor)?)?;
    refuse(&report.findings)?;
    super::root::remove_tree(scratch)?;
    super::root::put(&scratch.join("init"), &fs::read(programs.init()).context("reading init")?, 0o755)?;
    refuse(&floor::floor(scratch, &FloorList::parse(INIT_FLOOR)?)?.findings)?;
    super::root::remove_tree(scratch)?;
    Ok(format!("{} ELF files, {} of code", report.n_files, megabytes(report.n_code_bytes)))
}

fn refuse(findings: &[impl Display]) -> Result<()> {
    if findings.is_empty() {
        return Ok(());
    }
    let shown: Vec<String> =
        findings.iter().take(SHOWN_MAX).map(|finding| format!("\n  {finding}")).collect();
    bail!(
        "{} places hold code that a Core 2 cannot run; if a look at the processor guards one, \
         say so in buildroot/cpu-floor.list:{}",
        findings.len(),
        shown.concat()
    )
}

/// Refuses node programs that ask for a newer C library than the image has.
pub fn c_library(root: &Path, programs: &Programs) -> Result<()> {
    for (name, _) in NODE_PROGRAMS {
        let bytes = fs::read(programs.node(name)).with_context(|| format!("reading {name}"))?;
        glibc::check(root, name, &bytes)?;
    }
    Ok(())
}
