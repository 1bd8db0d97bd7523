//! Finds out which tools of Debian are missing, and installs them with apt after asking once.
//!
//! Nothing is ever downloaded from elsewhere, and nothing is changed without `--yes`, CI or a yes.

use crate::elf::list::glob;
use crate::tool;
use anyhow::{Context, Result, bail};
use std::fs::{self, DirEntry};
use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;
use std::process::Command;

/// What a piece of work needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum For {
    Build,
    Vm,
    Test,
    /// Counting instructions.
    Bench,
    /// Sentences in several voices.
    Speech,
}

struct Need {
    purpose: For,
    package: &'static str,
    /// A program (looked up in PATH) or an absolute path, whose parts may hold `*`; one of them is enough.
    shown_by: &'static [&'static str],
}

const fn need(purpose: For, package: &'static str, shown_by: &'static [&'static str]) -> Need {
    Need { purpose, package, shown_by }
}

const NEEDS: &[Need] = &[
    need(For::Build, "apt", &["apt-get"]),
    need(For::Build, "binutils", &["strip"]),
    need(For::Build, "cmake", &["cmake"]),
    need(For::Build, "debian-archive-keyring", &["/usr/share/keyrings/debian-archive-keyring.gpg"]),
    need(For::Build, "g++", &["c++"]),
    need(For::Build, "gcc", &["cc"]),
    need(For::Build, "kmod", &["depmod"]),
    need(For::Build, "libasound2-dev", &["/usr/lib/x86_64-linux-gnu/libasound.so"]),
    need(For::Build, "libc6-dev", &["/usr/lib/x86_64-linux-gnu/libc.a"]),
    need(For::Build, "libclang-dev", &["/usr/lib/llvm-*/lib/libclang.so"]), // reads the headers of llama.cpp for Rust
    need(For::Build, "libespeak-ng-dev", &["/usr/lib/x86_64-linux-gnu/libespeak-ng.so"]),
    need(For::Build, "make", &["make"]),
    need(For::Build, "mmdebstrap", &["mmdebstrap"]),
    need(For::Build, "pkg-config", &["pkg-config"]), // finds libasound
    need(For::Build, "squashfs-tools", &["mksquashfs"]),
    need(For::Build, "tar", &["tar"]),
    need(For::Build, "uidmap", &["newuidmap"]),
    need(For::Build, "xz-utils", &["xz"]),
    need(For::Vm, "dnsmasq-base", &["dnsmasq"]),
    need(For::Vm, "iproute2", &["ip"]),
    need(For::Vm, "ipxe-qemu", &["/usr/lib/ipxe/qemu/pxe-e1000.rom", "/usr/share/qemu/pxe-e1000.rom"]),
    need(For::Vm, "ovmf", &["/usr/share/OVMF/OVMF_CODE_4M.fd"]),
    need(For::Vm, "qemu-system-x86", &["qemu-system-x86_64"]),
    need(For::Vm, "util-linux", &["unshare"]),
    need(For::Test, "bubblewrap", &["bwrap"]),
    need(For::Test, "busybox", &["busybox"]),
    need(For::Test, "chromium", &["chromium", "chromium-browser", "google-chrome"]), // talks through the page
    need(For::Test, "curl", &["curl"]),
    need(For::Test, "e2fsprogs", &["mkfs.ext4"]),
    need(For::Test, "isc-dhcp-client", &["dhclient"]),
    need(For::Test, "nodejs", &["node"]), // for the real clients of the gateway
    need(For::Test, "npm", &["npm"]),
    need(
        For::Test,
        "python3-venv",
        &["/usr/lib/python3*/ensurepip/__init__.py", "/usr/local/lib/python3*/ensurepip/__init__.py"],
    ),
    need(For::Test, "openssh-client", &["ssh"]),
    need(For::Test, "openssh-server", &["/usr/sbin/sshd"]),
    need(For::Test, "pocketsphinx", &["pocketsphinx_batch"]),
    need(For::Test, "pocketsphinx-en-us", &["/usr/share/pocketsphinx/model/en-us/cmudict-en-us.dict"]),
    need(For::Test, "qemu-user", &["qemu-x86_64"]),
    need(For::Test, "tftp-hpa", &["tftp"]),
    need(For::Test, "tmux", &["tmux"]), // a terminal for the diagnosis
    need(For::Test, "udhcpc", &["udhcpc"]),
    need(For::Bench, "valgrind", &["valgrind"]),
    need(For::Speech, "espeak-ng", &["espeak-ng"]),
    need(For::Speech, "flite", &["flite"]), // a voice to be heard
];

/// The packages that are missing for these purposes.
pub fn missing(purposes: &[For]) -> Vec<&'static str> {
    let is_there = |place: &&str| match place.strip_prefix('/') {
        Some(path) => exists(Path::new("/"), path),
        None => tool::find(place).is_some(),
    };
    let wanted = NEEDS.iter().filter(|need| purposes.contains(&need.purpose));
    wanted.filter(|need| !need.shown_by.iter().any(&is_there)).map(|need| need.package).collect()
}

/// Whether `folder` holds a path that fits the pattern.
fn exists(folder: &Path, pattern: &str) -> bool {
    let (part, rest) = pattern.split_once('/').unwrap_or((pattern, ""));
    let goes_on = |path: &Path| path.exists() && (rest.is_empty() || exists(path, rest));
    if !part.contains('*') {
        return goes_on(&folder.join(part));
    }
    let fits = |entry: &DirEntry| entry.file_name().to_str().is_some_and(|name| glob(part, name));
    fs::read_dir(folder).into_iter().flatten().flatten().any(|entry| fits(&entry) && goes_on(&entry.path()))
}

/// Makes sure that everything is there; asks once, unless `yes` or CI says so already.
pub fn ensure(purposes: &[For], yes: bool) -> Result<()> {
    let packages = missing(purposes);
    if packages.is_empty() {
        return Ok(());
    }
    if tool::find("apt-get").is_none() {
        bail!(
            "this needs a Debian system: apt-get is missing, so nothing can install {}",
            packages.join(" ")
        );
    }
    let prefix = root_prefix(&packages)?;
    eprintln!("These Debian packages are missing: {}", packages.join(" "));
    if !(yes || std::env::var_os("CI").is_some() || agreed()?) {
        bail!("nothing was installed; install them by hand: {}", by_hand(&packages));
    }
    apt(prefix, &["update", "--quiet"])?;
    let install = ["install", "--quiet", "--yes", "--no-install-recommends"];
    apt(prefix, &[&install[..], &packages[..]].concat())?;
    let still = missing(purposes);
    if !still.is_empty() {
        bail!("apt was content, but these are still missing: {}", still.join(" "));
    }
    Ok(())
}

/// `sudo` for an ordinary user.
fn root_prefix(packages: &[&str]) -> Result<Option<&'static str>> {
    if rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    if tool::find("sudo").is_none() {
        bail!("packages are missing and sudo is not there; as root, run: {}", by_hand(packages));
    }
    Ok(Some("sudo"))
}

fn by_hand(packages: &[&str]) -> String {
    format!("apt-get install --no-install-recommends {}", packages.join(" "))
}

fn agreed() -> Result<bool> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        bail!("nobody can be asked here whether to install packages; say --yes");
    }
    eprint!("Install them with apt now? [Y/n] ");
    std::io::stderr().flush().context("asking")?;
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer).context("reading the answer")?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "" | "y" | "yes"))
}

fn apt(prefix: Option<&str>, arguments: &[&str]) -> Result<()> {
    let mut command = match prefix {
        Some(sudo) => {
            let mut command = Command::new(sudo);
            command.args(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]);
            command
        }
        None => {
            let mut command = Command::new("apt-get");
            command.env("DEBIAN_FRONTEND", "noninteractive");
            command
        }
    };
    // Apt's own progress is of use on stderr; stdout stays free for figures.
    let status = command.args(arguments).stdout(std::io::stderr()).status().context("starting apt-get")?;
    if !status.success() {
        bail!("apt-get {} failed ({status}); its own words stand above", arguments[0]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_package_is_needed_for_one_purpose_only() {
        let mut names: Vec<_> = NEEDS.iter().map(|need| need.package).collect();
        names.sort_unstable();
        let n_before = names.len();
        names.dedup();
        assert_eq!(names.len(), n_before);
    }

    #[test]
    fn a_star_stands_for_part_of_one_name() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for (pattern, want) in
            [("s*c/setup.rs", true), ("s*/setup.*", true), ("*/nowhere.rs", false), ("*.rs", false)]
        {
            assert_eq!(exists(root, pattern), want, "{pattern}");
        }
    }

    #[test]
    fn nothing_is_missing_for_no_purpose() {
        assert!(missing(&[]).is_empty());
    }
}
