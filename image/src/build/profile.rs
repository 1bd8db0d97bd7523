//! Profiles: what not every image needs, chosen by name; each is a folder of `buildroot/profiles`.

use super::lists;
use super::recipe::{Recipe, parse_presets, read_overlay, read_text, read_units, sorted};
use anyhow::{Result, bail, ensure};
use std::path::Path;

/// Letters and dashes: a name becomes part of a path.
const NAME_BYTES_MAX: usize = 40;
/// Nobody needs so many, and a lock file is not to name more.
pub const PROFILES_MAX: usize = 16;

pub fn is_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
}

/// Adds what the profile's folder holds.
pub fn add(recipe: &mut Recipe, repository: &Path, name: &str) -> Result<()> {
    ensure!(is_name(name), "{name:?} is not the name of a profile (lower case letters and -)");
    let folder = repository.join("buildroot/profiles").join(name);
    if !folder.is_dir() {
        bail!("there is no profile {name}; there are: {}", names(repository)?.join(", "));
    }
    for (entry, path) in sorted(&folder)? {
        let file = format!("buildroot/profiles/{name}/{entry}");
        match entry.as_str() {
            "packages.list" => recipe.packages.extend(lists::packages(&file, &read_text(&path)?)?),
            "modules-root.list" => recipe.modules_root.extend(lists::words(&file, &read_text(&path)?)?),
            "presets.list" => recipe.presets.extend(parse_presets(&file, &read_text(&path)?)?),
            "cpu-floor.list" => add_floor(&mut recipe.cpu_floor, &read_text(&path)?),
            "systemd" => read_units(&path, &mut recipe.overlay)?,
            "overlay" => read_overlay(&path, "", &mut recipe.overlay)?,
            "prune.list" => recipe.prune.extend(lists::words(&file, &read_text(&path)?)?),
            "keep.list" => {
                for kept in lists::words(&file, &read_text(&path)?)? {
                    let n_before = recipe.prune.len();
                    recipe.prune.retain(|pattern| *pattern != kept);
                    // A pattern that was mended elsewhere would else silently prune what the profile needs.
                    ensure!(recipe.prune.len() < n_before, "{file}: {kept} is not in buildroot/prune.list");
                }
            }
            _ => bail!("{file}: a profile has no such part; see buildroot/profiles/README.md"),
        }
    }
    for list in [&mut recipe.packages, &mut recipe.modules_root] {
        list.sort();
        list.dedup();
    }
    recipe.profiles.push(name.into());
    Ok(())
}

/// Two profiles may bring the same library: a line counts once, because one that allows nothing is an error.
fn add_floor(floor: &mut String, more: &str) {
    for line in more.lines() {
        if !floor.lines().any(|known| known == line) {
            *floor += &format!("{line}\n");
        }
    }
}

/// All that there are.
pub fn names(repository: &Path) -> Result<Vec<String>> {
    let all = sorted(&repository.join("buildroot/profiles"))?;
    Ok(all.into_iter().filter(|(_, path)| path.is_dir()).map(|(name, _)| name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn names_are_letters_and_dashes() {
        for (name, want) in
            [("shell", true), ("full-python", true), ("", false), ("../x", false), ("A", false)]
        {
            assert_eq!(is_name(name), want, "{name}");
        }
    }

    /// A repository with this profile beside the shipped recipe.
    fn check(files: &[(&str, &str)], want: &str) {
        let shipped = crate::build::repository().unwrap();
        let mut recipe = Recipe::read(&shipped, &[]).unwrap();
        let folder = std::env::temp_dir().join(format!(
            "duet-profile-{}-{}",
            std::process::id(),
            files[0].0.replace('/', "-")
        ));
        for (place, text) in files {
            let path = folder.join("buildroot/profiles/some").join(place);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let got = match add(&mut recipe, &folder, "some") {
            Ok(()) => {
                let has = |list: &[String], word: &str| list.iter().filter(|entry| *entry == word).count();
                format!(
                    "{} {} {}",
                    has(&recipe.packages, "git"),
                    has(&recipe.modules_root, "uvcvideo"),
                    recipe.profiles.join(" ")
                )
            }
            Err(error) => format!("error: {error}"),
        };
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(got, want);
    }

    #[test]
    fn what_it_has_is_added_once() {
        check(&[("packages.list", "git\nalsa-utils\n"), ("modules-root.list", "uvcvideo\n")], "1 1 some");
    }

    #[test]
    fn a_line_of_the_cpu_floor_that_two_profiles_have_counts_once() {
        let mut floor = "usr/bin/a  *  AVX  by CPUID\n".to_owned();
        let line = "usr/lib/b  *  AVX  by CPUID\n";
        add_floor(&mut floor, line);
        add_floor(&mut floor, line);
        assert_eq!(floor, format!("usr/bin/a  *  AVX  by CPUID\n{line}"));
    }

    #[test]
    fn what_no_profile_has_is_an_error_that_says_where() {
        let want = "error: buildroot/profiles/some/strange.list: a profile has no such part; see buildroot/profiles/README.md";
        check(&[("strange.list", "x\n")], want);
    }

    #[test]
    fn what_is_kept_must_have_been_pruned() {
        let want = "error: buildroot/profiles/some/keep.list: usr/bin/nothing is not in buildroot/prune.list";
        check(&[("keep.list", "usr/bin/nothing\n")], want);
    }
}
