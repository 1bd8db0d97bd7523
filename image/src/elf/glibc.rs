//! Whether a program finds the symbol versions that it was linked against.
//!
//! The loader refuses a program that asks for `GLIBC_2.41` where the C library
//! ends at 2.40, and says so only on the running PC.
//! A program lists what it asks of each library in `.gnu.version_r`, a library
//! what it offers in `.gnu.version_d`; both are compared here, for the C library
//! and for every other one that has versions.

use super::ElfError;
use super::closure::SEARCHED;
use super::file::{Elf, Refused};
use super::tree::{Tree, join, read_file};
use object::LittleEndian as Le;
use object::read::elf::SectionHeader;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Version names in one file; libc.so.6 itself defines about 50.
const VERSIONS_MAX: usize = 10_000;
/// Set on a version that the program can do without.
const VER_FLG_WEAK: u16 = 2;

/// Versions by the library they are asked of.
pub type Wanted = BTreeMap<String, BTreeSet<String>>;

/// What the program in `data` asks of which library.
pub fn wanted(data: &[u8]) -> Result<Wanted, String> {
    Ok(read_wanted(&Elf::parse(data)?)?)
}

/// The versions that the library in `data` offers.
pub fn offered(data: &[u8]) -> Result<BTreeSet<String>, String> {
    Ok(read_offered(&Elf::parse(data)?)?)
}

/// The highest `GLIBC_x.y` that the program asks for, as `(x, y)`.
pub fn glibc_wanted(wanted: &Wanted) -> Option<(u32, u32)> {
    wanted.values().flatten().filter_map(|version| glibc_number(version)).max()
}

/// Checks one program, given as bytes, against the libraries below `root`.
///
/// A library that the root does not have is not spoken of: `closure` does that.
pub fn check(root: &Path, program: &str, data: &[u8]) -> Result<(), ElfError> {
    let malformed = |path: &str| {
        let path = path.to_string();
        move |why| ElfError::Malformed { path, why }
    };
    let tree = Tree::read(root)?;
    for (library, versions) in wanted(data).map_err(malformed(program))? {
        let Some(path) = SEARCHED.iter().find_map(|folder| tree.resolve(&join(folder, &library))) else {
            continue;
        };
        let offered = offered(&read_file(root, path)?).map_err(malformed(path))?;
        compare(program, &library, &versions, &offered)?;
    }
    Ok(())
}

fn compare(
    program: &str,
    library: &str,
    wanted: &BTreeSet<String>,
    offered: &BTreeSet<String>,
) -> Result<(), ElfError> {
    let missing = wanted.iter().filter(|version| !offered.contains(*version));
    let Some(version) = missing.max_by_key(|version| number(version)) else { return Ok(()) };
    let family = family(version);
    let newest = offered.iter().filter(|o| self::family(o) == family).max_by_key(|version| number(version));
    Err(ElfError::TooNew {
        program: program.to_string(),
        version: version.clone(),
        library: library.to_string(),
        has: newest.map_or_else(|| format!("none of {family}"), |newest| newest[family.len()..].to_string()),
    })
}

fn read_wanted(file: &Elf) -> Result<Wanted, Refused> {
    let mut wanted = Wanted::new();
    let mut n_versions = 0;
    for section in file.sections.iter() {
        let Some((needs, link)) = section.gnu_verneed(Le, file.data)? else { continue };
        let strings = file.sections.strings(Le, file.data, link)?;
        for need in needs {
            let (need, versions) = need?;
            count(&mut n_versions)?;
            let of = wanted.entry(text(need.file(Le, strings)?)).or_default();
            for version in versions {
                let version = version?;
                count(&mut n_versions)?;
                if version.vna_flags.get(Le).0 & VER_FLG_WEAK == 0 {
                    of.insert(text(version.name(Le, strings)?));
                }
            }
        }
    }
    Ok(wanted)
}

fn read_offered(file: &Elf) -> Result<BTreeSet<String>, Refused> {
    let mut offered = BTreeSet::new();
    let mut n_versions = 0;
    for section in file.sections.iter() {
        let Some((definitions, link)) = section.gnu_verdef(Le, file.data)? else { continue };
        let strings = file.sections.strings(Le, file.data, link)?;
        for definition in definitions {
            let (_, mut names) = definition?;
            count(&mut n_versions)?;
            // The first name is the version's own, the others are its parents.
            if let Some(name) = names.next()? {
                offered.insert(text(name.name(Le, strings)?));
            }
        }
    }
    Ok(offered)
}

/// Damaged counts would otherwise keep the loops above busy for hours.
fn count(n_versions: &mut usize) -> Result<(), Refused> {
    *n_versions += 1;
    if *n_versions > VERSIONS_MAX {
        return Err(Refused::Broken(format!("damaged ELF file: more than {VERSIONS_MAX} symbol versions")));
    }
    Ok(())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `GLIBC_` of `GLIBC_2.41`.
fn family(version: &str) -> &str {
    &version[..version.find(|c: char| c.is_ascii_digit()).unwrap_or(version.len())]
}

fn number(version: &str) -> Vec<u64> {
    version[family(version).len()..].split('.').map(|part| part.parse().unwrap_or(0)).collect()
}

fn glibc_number(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.strip_prefix("GLIBC_")?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Lab, needs_cc};
    use super::*;

    fn check_versions(wanted: &[&str], offered: &[&str], want: &str) {
        let set = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<BTreeSet<_>>();
        let got = match compare("agent", "libc.so.6", &set(wanted), &set(offered)) {
            Ok(()) => "fine".to_string(),
            Err(error) => error.to_string(),
        };
        assert_eq!(got, want);
    }

    #[test]
    fn a_program_for_the_same_c_library_is_fine() {
        check_versions(&["GLIBC_2.2.5", "GLIBC_2.40"], &["GLIBC_2.2.5", "GLIBC_2.39", "GLIBC_2.40"], "fine");
    }

    #[test]
    fn a_program_for_a_newer_c_library_is_refused_with_both_versions() {
        check_versions(
            &["GLIBC_2.9", "GLIBC_2.41"],
            &["GLIBC_2.9", "GLIBC_2.40"],
            "agent needs GLIBC_2.41 of libc.so.6, the image has 2.40: \
             build it on the image's Debian release or an older one",
        );
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        check_versions(
            &["GLIBC_2.100", "GLIBC_2.99"],
            &["GLIBC_2.9", "GLIBC_2.10"],
            "agent needs GLIBC_2.100 of libc.so.6, the image has 2.10: \
             build it on the image's Debian release or an older one",
        );
    }

    #[test]
    fn a_feature_that_the_c_library_lacks_is_refused() {
        check_versions(
            &["GLIBC_ABI_DT_RELR"],
            &["GLIBC_2.31"],
            "agent needs GLIBC_ABI_DT_RELR of libc.so.6, the image has none of GLIBC_ABI_DT_RELR: \
             build it on the image's Debian release or an older one",
        );
    }

    #[test]
    fn a_program_is_checked_against_the_library_that_the_root_has() {
        let Some(cc) = needs_cc() else { return };
        let lab = Lab::new("versions");
        lab.write("two.map", "V_1.0 { global: one; };\nV_1.2 { global: two; };\n");
        lab.write("one.map", "V_1.0 { global: one; };\n");
        let source = "int one(void) { return 1; }\nint two(void) { return 2; }\n";
        let folder = "usr/lib/x86_64-linux-gnu";
        let library = |map: &str| {
            let map = format!("-Wl,--version-script={}", lab.path(map).display());
            cc.library(&lab, source, &format!("{folder}/libv.so.1"), "libv.so.1", &[&map]);
        };
        library("two.map");
        cc.program(&lab, "int two(void); int main(void) { return two(); }", "usr/bin/p", &["-l:libv.so.1"]);
        let data = lab.read("usr/bin/p");
        assert_eq!(wanted(&data).unwrap()["libv.so.1"], BTreeSet::from(["V_1.2".to_string()]));
        check(&lab.root(), "p", &data).unwrap();
        library("one.map");
        let error = check(&lab.root(), "p", &data).unwrap_err().to_string();
        assert!(error.starts_with("p needs V_1.2 of libv.so.1, the image has 1.0"), "{error}");
    }

    #[test]
    fn a_program_of_this_machine_asks_for_a_version_that_its_c_library_offers() {
        let wanted = wanted(&std::fs::read(std::env::current_exe().unwrap()).unwrap()).unwrap();
        let (major, minor) = glibc_wanted(&wanted).unwrap();
        assert!(major == 2 && minor >= 14, "{major}.{minor}");
    }
}
