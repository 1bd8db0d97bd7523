//! Kernel modules: the listed ones and what they need, decompressed.
//!
//! Decompressed, because the node's own loader takes them as they are, and because the outer zstd packs
//! them better together.
//! Debian's signatures are cut off: the root as a whole is signed, and the kernel's own check costs
//! 73 to 230 M instructions a module (icount: squashfs 97 M signed, 3 M unsigned). The price is one line in
//! the kernel log about a module without a signature.

use crate::progress::Step;
use crate::tool;
use anyhow::{Context, Result, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What depmod wants to see beside the modules.
const BUILTIN_FILES: [&str; 3] = ["modules.builtin", "modules.builtin.modinfo", "modules.order"];
const MODULE_BYTES_MAX: usize = 64 << 20;
const DEPTH_MAX: usize = 16;

pub struct Kernel {
    /// The folder of an unpacked kernel package.
    folder: PathBuf,
    pub version: String,
}

impl Kernel {
    pub fn open(folder: &Path) -> Result<Kernel> {
        let modules = folder.join("usr/lib/modules");
        let reading = || format!("reading {}", modules.display());
        let mut names = fs::read_dir(&modules).with_context(reading)?;
        let (Some(name), None) = (names.next(), names.next()) else {
            bail!("the kernel package does not hold exactly one kernel");
        };
        let version = name.with_context(reading)?.file_name().into_string();
        let Ok(version) = version else { bail!("the kernel's version is not UTF-8") };
        Ok(Kernel { folder: folder.to_path_buf(), version })
    }

    pub fn vmlinuz(&self) -> PathBuf {
        self.folder.join(format!("boot/vmlinuz-{}", self.version))
    }

    fn modules(&self) -> PathBuf {
        self.folder.join("usr/lib/modules").join(&self.version)
    }
}

/// What was taken.
pub struct Taken {
    pub n_modules: usize,
    pub bytes: u64,
    /// Listed names the package has no module for: built into the kernel, or a misspelling.
    pub built_in: Vec<String>,
}

/// Puts the listed modules and all they need below `root`, and writes the index files.
pub fn take(kernel: &Kernel, list: &[String], root: &Path, log: &Path, step: &Step) -> Result<Taken> {
    let files = find_modules(&kernel.modules())?;
    let builtin = built_in(&kernel.modules())?;
    let target = root.join("usr/lib/modules").join(&kernel.version);
    let mut taken = Taken { n_modules: 0, bytes: 0, built_in: Vec::new() };
    let mut todo: Vec<(String, bool)> = list.iter().map(|name| (plain(name), true)).collect();
    let mut seen = BTreeSet::new();
    while let Some((name, listed)) = todo.pop() {
        if !seen.insert(name.clone()) {
            continue;
        }
        let Some(relative) = files.get(&name) else {
            if listed && !builtin.contains(&name) {
                bail!("the module lists of buildroot name {name}, which this kernel does not have");
            }
            taken.built_in.push(name);
            continue;
        };
        step.note(&name);
        let bytes = decompressed(&kernel.modules().join(relative))?;
        todo.extend(needs(&bytes).into_iter().map(|name| (name, false)));
        let bytes = without_signature(&bytes);
        let place = target.join(relative.with_extension(""));
        super::root::put(&place, bytes, 0o644)?;
        taken.n_modules += 1;
        taken.bytes += bytes.len() as u64;
    }
    for name in BUILTIN_FILES {
        let bytes = fs::read(kernel.modules().join(name)).with_context(|| format!("reading {name}"))?;
        super::root::put(&target.join(name), &bytes, 0o644)?;
    }
    index(kernel, root, log, step)?;
    Ok(taken)
}

/// depmod of Debian 12 looks only into lib/modules, so the tree has `lib` as a link.
fn index(kernel: &Kernel, root: &Path, log: &Path, step: &Step) -> Result<()> {
    if !root.join("lib").exists() {
        std::os::unix::fs::symlink("usr/lib", root.join("lib")).context("linking lib")?;
    }
    let mut command = tool::command("depmod");
    tool::run(command.arg("-b").arg(root).arg(&kernel.version), log, step)
}

fn find_modules(folder: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let mut found = BTreeMap::new();
    walk(folder, Path::new(""), 0, &mut found)?;
    Ok(found)
}

fn walk(folder: &Path, below: &Path, depth: usize, found: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    if depth > DEPTH_MAX {
        bail!("{} is nested too deeply", folder.display());
    }
    let reading = || format!("reading {}", folder.display());
    for entry in fs::read_dir(folder).with_context(reading)? {
        let entry = entry.with_context(reading)?;
        let (name, path) = (entry.file_name(), entry.path());
        let Some(text) = name.to_str() else { bail!("{} holds a name that is not UTF-8", folder.display()) };
        if entry.file_type().with_context(reading)?.is_dir() {
            walk(&path, &below.join(text), depth + 1, found)?;
        } else if let Some(module) = text.strip_suffix(".ko.xz") {
            found.insert(plain(module), below.join(text));
        }
    }
    Ok(())
}

fn built_in(folder: &Path) -> Result<BTreeSet<String>> {
    let text = fs::read_to_string(folder.join("modules.builtin")).context("reading modules.builtin")?;
    let name = |line: &str| Some(plain(line.rsplit('/').next()?.strip_suffix(".ko")?));
    Ok(text.lines().filter_map(name).collect())
}

fn plain(name: &str) -> String {
    name.replace('-', "_")
}

fn decompressed(file: &Path) -> Result<Vec<u8>> {
    let mut command = tool::command("xz");
    let output = command.args(["--decompress", "--stdout"]).arg(file).output().context("starting xz")?;
    if !output.status.success() || output.stdout.len() > MODULE_BYTES_MAX {
        bail!("{} does not unpack: {}", file.display(), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(output.stdout)
}

/// What ends a signed module (kernel: include/linux/module_signature.h).
const SIGNATURE_MARK: &[u8] = b"~Module signature appended~\n";
/// `struct module_signature`: at byte 3 and 4 two lengths, at byte 8 the signature's as a big-endian word.
const SIGNATURE_HEAD_BYTES: usize = 12;

/// The module as it was before it was signed; one that does not look signed stays as it is.
fn without_signature(module: &[u8]) -> &[u8] {
    let cut = || {
        let rest = module.strip_suffix(SIGNATURE_MARK)?;
        let (rest, head) = rest.split_at_checked(rest.len().checked_sub(SIGNATURE_HEAD_BYTES)?)?;
        let signature = u32::from_be_bytes(head[8..].try_into().ok()?);
        let bytes = usize::try_from(signature).ok()? + usize::from(head[3]) + usize::from(head[4]);
        rest.get(..rest.len().checked_sub(bytes)?)
    };
    cut().unwrap_or(module)
}

/// What a module says it needs: `depends=` and the first part of `softdep=`.
fn needs(module: &[u8]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for text in info(module, b"depends=") {
        names.extend(text.split(',').map(plain));
    }
    for text in info(module, b"softdep=") {
        let words = text.split_whitespace().skip_while(|word| *word != "pre:").skip(1);
        names.extend(words.take_while(|word| *word != "post:").map(plain));
    }
    names.retain(|name| !name.is_empty());
    names
}

/// The values of one key in the module's `.modinfo`, which is text between zero bytes.
fn info(module: &[u8], key: &[u8]) -> Vec<String> {
    let mut values = Vec::new();
    for start in memchr_key(module, key) {
        let value = &module[start..];
        let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
        if let Ok(text) = std::str::from_utf8(&value[..end]) {
            values.push(text.to_string());
        }
    }
    values
}

fn memchr_key<'m>(module: &'m [u8], key: &'m [u8]) -> impl Iterator<Item = usize> + 'm {
    let hit = move |at: &usize| module[*at] == 0 && module[at + 1..].starts_with(key);
    (0..module.len().saturating_sub(1)).filter(hit).map(move |at| at + 1 + key.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(modinfo: &str, want: &str) {
        assert_eq!(needs(modinfo.as_bytes()).join(" "), want);
    }

    fn check_cut(signature_bytes: u32, want: &[u8]) {
        let mut module = b"ELF code, then a signature of six".to_vec();
        module.extend([0, 0, 2, 0, 0, 0, 0, 0]);
        module.extend(signature_bytes.to_be_bytes());
        module.extend(SIGNATURE_MARK);
        assert_eq!(without_signature(&module), if want.is_empty() { &module[..] } else { want });
    }

    #[test]
    fn a_signature_is_cut_off() {
        check_cut(21, b"ELF code, th");
    }

    #[test]
    fn a_signature_longer_than_the_module_is_none() {
        check_cut(4000, b"");
    }

    #[test]
    fn an_unsigned_module_stays_whole() {
        assert_eq!(without_signature(b"ELF"), b"ELF");
    }

    #[test]
    fn depends_are_split_at_commas() {
        check("\0license=GPL\0depends=mii,fixed-phy\0", "mii fixed_phy");
    }

    #[test]
    fn only_the_first_part_of_a_softdep_counts() {
        check("\0softdep=pre: crc32c libphy post: late\0depends=\0", "crc32c libphy");
    }

    #[test]
    fn text_inside_another_value_does_not_count() {
        check("\0description=x depends=y\0", "");
    }
}
