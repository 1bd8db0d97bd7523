//! Loads kernel modules with what each needs, from the three small tables that depmod writes.
//!
//! Only network cards are looked for: everything else can wait for udev in the real root.
//! The kernel itself may ask for more (the driver of a PHY chip, say): it then starts this program again as
//! its module loader, see [`answer_kernel`].
//! Usually there are one to three cards, so the alias table is read once per card and never indexed.

use std::ffi::CStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::trouble::plain;

/// Cards looked at; more than any PC has.
const CARDS_MAX: usize = 64;

/// How deep needs may nest; more is a circle.
const DEPTH_MAX: u32 = 16;

/// Where the kernel keeps the name of its module loader.
const LOADER: &str = "/proc/sys/kernel/modprobe";

/// The tables of one kernel's modules.
pub struct Modules {
    folder: PathBuf,
    needs: String,
    aliases: String,
    wishes: String,
}

impl Modules {
    /// Reads the tables; without them there is simply nothing to load.
    pub fn open(folder: PathBuf) -> Modules {
        let text = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
        let (needs, aliases, wishes) = (text("modules.dep"), text("modules.alias"), text("modules.softdep"));
        Modules { folder, needs, aliases, wishes }
    }

    /// The tables of the running kernel.
    pub fn of_this_kernel() -> Modules {
        let release = rustix::system::uname();
        let release = release.release().to_string_lossy().into_owned();
        let folders = ["/usr/lib/modules", "/lib/modules"].map(|parent| Path::new(parent).join(&release));
        let [first, second] = folders;
        Modules::open(if first.exists() { first } else { second })
    }

    /// The files to load for a module, needs first.
    fn plan(&self, name: &str) -> Vec<&str> {
        let mut files = Vec::new();
        self.plan_into(name, DEPTH_MAX, &mut files);
        files
    }

    fn plan_into<'a>(&'a self, name: &str, depth: u32, files: &mut Vec<&'a str>) {
        let Some((file, needs)) = self.needs_of(name) else { return };
        if depth == 0 || files.contains(&file) {
            return;
        }
        for wish in self.wishes_of(name) {
            self.plan_into(wish, depth - 1, files);
        }
        // depmod lists all needs, the deepest last.
        for need in needs.split_ascii_whitespace().rev().chain([file]) {
            if !files.contains(&need) {
                files.push(need);
            }
        }
    }

    /// A module's own file and the files it needs.
    fn needs_of(&self, name: &str) -> Option<(&str, &str)> {
        let lines = self.needs.lines().filter_map(|line| line.split_once(':'));
        lines.into_iter().find(|(file, _)| same_name(module_name(file), name))
    }

    /// What a module wants to find already loaded: the words between `pre:` and `post:`.
    fn wishes_of(&self, name: &str) -> impl Iterator<Item = &str> {
        let lines = self.wishes.lines().filter_map(|line| line.strip_prefix("softdep "));
        let line =
            lines.filter_map(|line| line.split_once(' ')).find(move |(module, _)| same_name(module, name));
        let words = line.map_or("", |(_, rest)| rest).split_ascii_whitespace();
        words.skip_while(|word| *word != "pre:").skip(1).take_while(|word| *word != "post:")
    }

    /// The modules that say they serve a device.
    fn serving(&self, device: &str) -> Vec<&str> {
        let lines = self.aliases.lines().filter_map(|line| line.strip_prefix("alias "));
        let pairs = lines.filter_map(|line| line.split_once(' '));
        let mut names: Vec<&str> =
            pairs.filter(|(pattern, _)| matches(pattern, device)).map(|(_, name)| name).collect();
        names.dedup();
        names
    }

    /// Loads a module and what it needs; `words` go to the module itself. A module that is there already is fine.
    pub fn load(&self, name: &str, words: &CStr) -> Result<(), String> {
        let files = self.plan(name);
        let last = files.len();
        for (idx, file) in files.into_iter().enumerate() {
            let words = if idx + 1 == last { words } else { c"" };
            self.insert(file, words).map_err(|error| format!("the module {file} does not load: {error}"))?;
        }
        Ok(())
    }

    fn insert(&self, file: &str, words: &CStr) -> Result<(), String> {
        let open = File::open(self.folder.join(file)).map_err(|error| plain(&error))?;
        match rustix::system::finit_module(&open, words, compressed(file)) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
            Err(error) => Err(plain(&error.into())),
        }
    }

    /// Loads the driver of every network card found; gives the troubles.
    pub fn load_for_cards(&self) -> Vec<String> {
        let mut troubles = Vec::new();
        // A virtio card shows itself only behind the driver of its bus, hence the second look.
        for devices in ["/sys/bus/pci/devices", "/sys/bus/virtio/devices"] {
            for device in network_cards(Path::new(devices)) {
                let loads = self.serving(&device).into_iter().map(|name| self.load(name, c""));
                troubles.extend(loads.filter_map(Result::err));
            }
        }
        troubles
    }
}

/// Makes the kernel ask this program for modules; gives the loader that was set before.
pub fn become_loader() -> String {
    let before = fs::read_to_string(LOADER).unwrap_or_default();
    set_loader("/init");
    before
}

/// Sets the kernel's module loader. When that fails the kernel just has no loader, as at its start.
pub fn set_loader(path: &str) {
    fs::write(LOADER, path.trim_end()).unwrap_or_default();
}

/// The kernel calls its loader with `-q -- NAME`; NAME is a module or the alias of a device.
pub fn answer_kernel(name: &str) -> bool {
    let modules = Modules::of_this_kernel();
    let mut names = modules.serving(name);
    names.push(name);
    names.into_iter().any(|name| !modules.plan(name).is_empty() && modules.load(name, c"").is_ok())
}

/// The modalias of every network card on a bus: PCI class 02, virtio device 1.
fn network_cards(devices: &Path) -> Vec<String> {
    let entries = fs::read_dir(devices).into_iter().flatten().flatten().take(CARDS_MAX);
    let mut cards: Vec<String> =
        entries.filter_map(|entry| fs::read_to_string(entry.path().join("modalias")).ok()).collect();
    cards.retain(|card| is_network_card(card));
    cards.sort();
    cards.dedup();
    cards.into_iter().map(|card| card.trim_end().to_string()).collect()
}

fn is_network_card(modalias: &str) -> bool {
    modalias.starts_with("virtio:d00000001v") || (modalias.starts_with("pci:") && modalias.contains("bc02sc"))
}

/// Tells the kernel that a module's file is compressed (MODULE_INIT_COMPRESSED_FILE of linux/module.h).
fn compressed(file: &str) -> i32 {
    if file.ends_with(".ko") { 0 } else { 4 }
}

fn module_name(file: &str) -> &str {
    let name = file.rsplit('/').next().unwrap_or(file);
    name.split(".ko").next().unwrap_or(name)
}

/// Hyphen and underscore are the same letter in a module's name.
fn same_name(a: &str, b: &str) -> bool {
    let plain = |byte: u8| if byte == b'-' { b'_' } else { byte };
    a.len() == b.len() && a.bytes().map(plain).eq(b.bytes().map(plain))
}

/// Shell patterns as modules.alias has them: `*`, `?`, `[a-f0]`; a `[` without `]` matches nothing.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut from) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        if pattern.get(at) == Some(&b'*') {
            retry = Some((at + 1, from));
            at += 1;
            continue;
        }
        let Some(&byte) = text.get(from) else { return at == pattern.len() };
        (at, from) = match (step(&pattern[at..], byte), retry) {
            (Some(n), _) => (at + n, from + 1),
            (None, Some((star, start))) => {
                retry = Some((star, start + 1));
                (star, start + 1)
            }
            (None, None) => return false,
        };
    }
}

/// How many bytes of the pattern one byte of text uses up.
fn step(pattern: &[u8], byte: u8) -> Option<usize> {
    match *pattern.first()? {
        b'[' => {
            let end = pattern.iter().position(|&b| b == b']')?;
            is_in_set(&pattern[1..end], byte).then_some(end + 1)
        }
        b'?' => Some(1),
        same => (same == byte).then_some(1),
    }
}

fn is_in_set(set: &[u8], byte: u8) -> bool {
    match *set {
        [] => false,
        [first, b'-', last, ref rest @ ..] => (first..=last).contains(&byte) || is_in_set(rest, byte),
        [one, ref rest @ ..] => one == byte || is_in_set(rest, byte),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, text: &str, want: bool) {
        assert_eq!(matches(pattern, text), want, "{pattern} on {text}");
    }

    fn tables() -> Modules {
        let needs = "kernel/net/r8169.ko: kernel/phy/mdio_devres.ko kernel/phy/libphy.ko\n\
                     kernel/phy/mdio_devres.ko: kernel/phy/libphy.ko\nkernel/phy/libphy.ko:\n\
                     kernel/phy/realtek.ko: kernel/phy/libphy.ko\nkernel/net/via-rhine.ko.xz: kernel/net/mii.ko\n\
                     kernel/net/mii.ko:\n";
        let aliases = "# Aliases\nalias pci:v000010ECd00008168sv*sd*bc*sc*i* r8169\n\
                       alias pci:v00001106d00003065sv*sd*bc*sc*i* via_rhine\n";
        let wishes = "softdep r8169 pre: realtek post: mii\n";
        let [needs, aliases, wishes] = [needs, aliases, wishes].map(str::to_string);
        Modules { folder: PathBuf::new(), needs, aliases, wishes }
    }

    const CARD: &str = "pci:v000010ECd00008168sv00001043sd000082C6bc02sc00i00";

    #[test]
    fn a_pattern_matches_like_modules_alias() {
        check("pci:v000010ECd00008168sv*sd*bc*sc*i*", CARD, true);
        check("pci:v000010ECd0000816[0-8]sv*", CARD, true);
        check("pci:v000010ECd0000816[0-79]sv*", CARD, false);
        check("pci:v000010ECd0000816?sv*bc02*", CARD, true);
        check("a*b*c", "axxbyybzc", true);
        check("a*b*c", "axxbyybz", false);
        check("*", "", true);
        check("", "a", false);
    }

    #[test]
    fn a_broken_pattern_matches_nothing() {
        check("a[bc", "ab", false);
        check("a[]", "ab", false);
        check("a[b-", "ab", false);
    }

    #[test]
    fn needs_come_before_the_module_and_wishes_before_both() {
        let want = [
            "kernel/phy/libphy.ko",
            "kernel/phy/realtek.ko",
            "kernel/phy/mdio_devres.ko",
            "kernel/net/r8169.ko",
        ];
        assert_eq!(tables().plan("r8169"), want);
    }

    #[test]
    fn hyphen_and_underscore_are_one_letter() {
        assert_eq!(tables().plan("via_rhine"), ["kernel/net/mii.ko", "kernel/net/via-rhine.ko.xz"]);
    }

    #[test]
    fn a_circle_of_wishes_ends() {
        let mut modules = tables();
        modules.wishes = "softdep r8169 pre: realtek\nsoftdep realtek pre: r8169\n".to_string();
        assert!(modules.plan("r8169").contains(&"kernel/net/r8169.ko"));
    }

    #[test]
    fn a_card_finds_its_module() {
        assert_eq!(tables().serving(CARD), ["r8169"]);
        assert!(tables().serving("pci:v00000000d00000000sv").is_empty());
        assert!(tables().plan("nothing").is_empty());
    }

    #[test]
    fn only_network_cards_are_looked_at() {
        assert!(is_network_card(CARD));
        assert!(is_network_card("virtio:d00000001v00001AF4\n"));
        assert!(!is_network_card("virtio:d00000002v00001AF4\n"));
        assert!(!is_network_card("pci:v00008086d00002668sv00001AF4sd00001100bc04sc03i00"));
    }
}
