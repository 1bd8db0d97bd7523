//! Which shared libraries nothing reaches, and which needed ones are missing.
//!
//! The walk starts at every program and every plugin, that is at each ELF file
//! that does not lie in a folder the loader searches for libraries.
//! From there it follows what each file needs, announces in its dlopen notes or
//! merely mentions; the last rule keeps a library too many rather than one too
//! few, because deleting a library that is opened late is found out only on a
//! running PC.
//! Variants under `glibc-hwcaps` are never loaded on a Core 2 and count as
//! unreachable.

use super::file::Refused;
use super::list::{KEEP_FILE, KeepList, glob};
use super::needs::Needs;
use super::tree::{Tree, folder_of, join, name_of, read_file};
use super::{ElfError, Missing, Skipped};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Where Debian's loader looks on amd64, beside `/etc/ld.so.conf`.
pub(super) const SEARCHED: [&str; 7] = [
    "usr/lib/x86_64-linux-gnu",
    "lib/x86_64-linux-gnu",
    "usr/lib",
    "lib",
    "usr/lib64",
    "usr/local/lib/x86_64-linux-gnu",
    "usr/local/lib",
];

/// A file that can go; a link or second name to one has 0 bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Loose {
    pub path: String,
    pub bytes: u64,
}

/// A library that is kept only because its name stands in a reached file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mentioned {
    pub library: String,
    pub by: String,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Closure {
    /// What nothing reaches, by path: delete these.
    pub loose: Vec<Loose>,
    pub mentioned: Vec<Mentioned>,
    pub skipped: Vec<Skipped>,
    pub n_files: usize,
}

impl Closure {
    /// What deleting the loose files saves.
    pub fn loose_bytes(&self) -> u64 {
        self.loose.iter().map(|loose| loose.bytes).sum()
    }
}

/// Reads the tree below `root` and answers both questions.
pub fn closure(root: &Path, keep: &KeepList) -> Result<Closure, ElfError> {
    let tree = Tree::read(root)?;
    let mut needs = BTreeMap::new();
    let mut skipped = tree.skipped.clone();
    for path in tree.elf_files(root)? {
        match Needs::read(&read_file(root, &path)?) {
            Ok(wishes) => drop(needs.insert(path, wishes)),
            Err(refused @ Refused::Foreign(_)) => skipped.push(Skipped { path, why: refused.into() }),
            Err(refused @ Refused::Broken(_)) => {
                return Err(ElfError::Malformed { path, why: refused.into() });
            }
        }
    }
    let mut closure = solve(&tree, &needs, keep)?;
    closure.skipped = skipped;
    Ok(closure)
}

/// The same, over what was read.
fn solve(tree: &Tree, needs: &BTreeMap<String, Needs>, keep: &KeepList) -> Result<Closure, ElfError> {
    let mut walk = Walk::new(tree, needs);
    let libraries = walk.libraries();
    for path in needs.keys().filter(|path| !libraries.contains(path.as_str())) {
        walk.reach(path);
    }
    walk.keep(keep, &libraries)?;
    walk.run();
    let mut mentioned = Vec::new();
    while walk.reach_a_mention(&libraries, &mut mentioned) {
        walk.run();
    }
    if !walk.missing.is_empty() {
        return Err(ElfError::Missing(walk.missing.into_iter().collect()));
    }
    let loose: BTreeSet<&str> = libraries.into_iter().filter(|path| !walk.reached.contains(path)).collect();
    mentioned.sort();
    Ok(Closure { loose: with_all_names(tree, &loose), mentioned, skipped: Vec::new(), n_files: needs.len() })
}

struct Walk<'a> {
    tree: &'a Tree,
    needs: &'a BTreeMap<String, Needs>,
    /// The one name under which an inode is known in `needs`.
    by_id: BTreeMap<(u64, u64), &'a str>,
    by_soname: BTreeMap<&'a str, &'a str>,
    reached: BTreeSet<&'a str>,
    todo: Vec<&'a str>,
    missing: BTreeSet<Missing>,
}

impl<'a> Walk<'a> {
    fn new(tree: &'a Tree, needs: &'a BTreeMap<String, Needs>) -> Walk<'a> {
        let id = |path: &'a String| tree.files.get(path).map(move |file| (file.id, path.as_str()));
        let soname = |(path, needs): (&'a String, &'a Needs)| {
            (!in_hwcaps(path)).then_some(())?;
            needs.soname.as_deref().map(|soname| (soname, path.as_str()))
        };
        Walk {
            tree,
            needs,
            by_id: needs.keys().filter_map(id).collect(),
            by_soname: needs.iter().filter_map(soname).collect(),
            reached: BTreeSet::new(),
            todo: Vec::new(),
            missing: BTreeSet::new(),
        }
    }

    /// Files that live only as long as something asks for them.
    fn libraries(&self) -> BTreeSet<&'a str> {
        let searched: BTreeSet<String> = SEARCHED.iter().map(|folder| folder.to_string()).collect();
        let private: BTreeSet<String> =
            self.needs.iter().flat_map(|(path, needs)| expand(path, &needs.search)).collect();
        let is_library = |(path, needs): &(&'a String, &'a Needs)| {
            let folder = folder_of(path);
            name_of(path).contains(".so")
                && (searched.contains(folder)
                    || in_hwcaps(path)
                    || private.contains(folder) && needs.soname.as_deref() == Some(name_of(path)))
        };
        self.needs.iter().filter(is_library).map(|(path, _)| path.as_str()).collect()
    }

    fn reach(&mut self, path: &'a str) {
        if self.reached.insert(path) {
            self.todo.push(path);
        }
    }

    /// The file behind a path, under the name the walk knows it by.
    fn file(&self, path: &str) -> Option<&'a str> {
        let file = self.tree.resolve(path)?;
        self.by_id.get(&self.tree.files.get(file)?.id).copied()
    }

    fn find(&self, soname: &str, needs: &Needs, by: &str) -> Option<&'a str> {
        if soname.contains('/') {
            return self.file(soname);
        }
        let private = expand(by, &needs.search);
        let folders = private.iter().map(String::as_str).chain(SEARCHED);
        let found = folders.filter_map(|folder| self.file(&join(folder, soname))).next();
        // A library that is already loaded satisfies its soname from any folder.
        found.or_else(|| self.by_soname.get(soname).copied())
    }

    fn keep(&mut self, keep: &KeepList, libraries: &BTreeSet<&'a str>) -> Result<(), ElfError> {
        for entry in &keep.0 {
            let is_meant = |path: &&'a str| {
                let soname = self.needs[*path].soname.as_deref().unwrap_or(name_of(path));
                glob(&entry.soname, soname) || glob(&entry.soname, name_of(path))
            };
            let meant: Vec<&str> = libraries.iter().copied().filter(is_meant).collect();
            if meant.is_empty() {
                let entry_text = entry.soname.clone();
                return Err(ElfError::Stale { list: KEEP_FILE, line: entry.line, entry: entry_text });
            }
            meant.into_iter().for_each(|path| self.reach(path));
        }
        Ok(())
    }

    fn run(&mut self) {
        while let Some(path) = self.todo.pop() {
            let needs = &self.needs[path];
            let mut wanted: Vec<&'a str> = Vec::new();
            for soname in &needs.needed {
                match self.find(soname, needs, path) {
                    Some(library) => wanted.push(library),
                    None => self.miss(soname, path),
                }
            }
            if let Some(loader) = &needs.interpreter {
                match self.file(loader) {
                    Some(library) => wanted.push(library),
                    None => self.miss(loader, path),
                }
            }
            for note in &needs.dlopen {
                let present: Vec<&str> =
                    note.sonames.iter().filter_map(|soname| self.find(soname, needs, path)).collect();
                if present.is_empty() && note.required {
                    self.miss(&note.sonames.join(" or "), path);
                }
                wanted.extend(present);
            }
            wanted.into_iter().for_each(|library| self.reach(library));
        }
    }

    fn miss(&mut self, library: &str, needed_by: &str) {
        self.missing.insert(Missing { library: library.to_string(), needed_by: needed_by.to_string() });
    }

    /// Reaches one more library that a reached file mentions, if there is one.
    fn reach_a_mention(&mut self, libraries: &BTreeSet<&'a str>, mentioned: &mut Vec<Mentioned>) -> bool {
        let reached: Vec<&'a str> = self.reached.iter().copied().collect();
        for by in reached {
            let needs = &self.needs[by];
            for name in &needs.mentions {
                let Some(library) = self.find(name, needs, by) else { continue };
                if libraries.contains(library) && !self.reached.contains(library) {
                    mentioned.push(Mentioned { library: library.to_string(), by: by.to_string() });
                    self.reach(library);
                    return true;
                }
            }
        }
        false
    }
}

/// glibc's folders for newer processors; version 2 already wants SSE4.2.
fn in_hwcaps(path: &str) -> bool {
    path.contains("/glibc-hwcaps/")
}

/// Search paths as folders of the tree; `$ORIGIN` is the folder of the file itself.
fn expand(path: &str, search: &[String]) -> Vec<String> {
    let folder = folder_of(path);
    let one = |text: &String| {
        let text = text.replace("${ORIGIN}", "$ORIGIN").replace("${LIB}", "$LIB");
        let text = text.replace("$ORIGIN", &format!("/{folder}")).replace("$LIB", "lib/x86_64-linux-gnu");
        let mut parts: Vec<&str> = Vec::new();
        for part in text.split('/') {
            match part {
                "" | "." => {}
                ".." => drop(parts.pop()),
                part => parts.push(part),
            }
        }
        parts.join("/")
    };
    search.iter().filter(|text| !text.is_empty()).map(one).collect()
}

/// The loose files with their hard links and with the links that lead to them.
fn with_all_names(tree: &Tree, loose: &BTreeSet<&str>) -> Vec<Loose> {
    let ids: BTreeSet<(u64, u64)> =
        loose.iter().filter_map(|path| tree.files.get(*path)).map(|f| f.id).collect();
    let is_loose = |path: &str| tree.files.get(path).is_some_and(|file| ids.contains(&file.id));
    let files = tree.files.iter().filter(|(_, file)| ids.contains(&file.id)).map(|(path, file)| {
        let bytes = if loose.contains(path.as_str()) { file.bytes } else { 0 };
        Loose { path: path.clone(), bytes }
    });
    let links = tree.links.keys().filter(|link| tree.resolve(link).is_some_and(is_loose));
    let mut all: Vec<Loose> = files.chain(links.map(|path| Loose { path: path.clone(), bytes: 0 })).collect();
    all.sort();
    all
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Cc, LIB, Lab, mutate, needs_cc};
    use super::*;

    /// What is loose, or the error, over a root that `build` makes.
    fn check(name: &str, keep: &str, build: impl Fn(&Cc, &Lab), want: &str) {
        let Some(cc) = needs_cc() else { return };
        let lab = Lab::new(name);
        build(&cc, &lab);
        let got = match closure(&lab.root(), &KeepList::parse(keep).unwrap()) {
            Ok(found) => {
                let name = |loose: &Loose| {
                    format!("{}{} ", name_of(&loose.path), if loose.bytes == 0 { "@" } else { "" })
                };
                found.loose.iter().map(name).collect::<String>().trim_end().to_string()
            }
            Err(error) => format!("error: {error}"),
        };
        assert_eq!(got, want);
    }

    fn library(cc: &Cc, lab: &Lab, name: &str, more: &[&str]) {
        cc.library(lab, "int f(void) { return 1; }", &format!("{LIB}/{name}"), name, more);
    }

    fn program(cc: &Cc, lab: &Lab, more: &[&str]) {
        let flags = [&["-Wl,--no-as-needed,--unresolved-symbols=ignore-all"], more].concat();
        cc.program(lab, "int main(void) { return 0; }", "usr/bin/p", &flags);
    }

    #[test]
    fn what_a_program_needs_stays_and_the_rest_is_loose() {
        check(
            "needed",
            "",
            |cc, lab| {
                library(cc, lab, "libb.so.1", &[]);
                library(cc, lab, "liba.so.1", &["-Wl,--no-as-needed", "-l:libb.so.1"]);
                library(cc, lab, "libc.so.1", &[]);
                program(cc, lab, &["-l:liba.so.1"]);
            },
            "libc.so.1",
        );
    }

    #[test]
    fn a_missing_library_is_named_with_its_user() {
        check(
            "missing",
            "",
            |cc, lab| {
                library(cc, lab, "liba.so.1", &[]);
                program(cc, lab, &["-l:liba.so.1"]);
                std::fs::remove_file(lab.root().join(LIB).join("liba.so.1")).unwrap();
            },
            "error: liba.so.1 is missing, needed by usr/bin/p",
        );
    }

    #[test]
    fn links_and_second_names_of_a_loose_library_are_loose_too() {
        check(
            "names",
            "",
            |cc, lab| {
                library(cc, lab, "libx.so.1.2", &[]);
                lab.link(&format!("{LIB}/libx.so.1"), "libx.so.1.2");
                lab.link(&format!("{LIB}/libx.so"), &format!("/{LIB}/libx.so.1"));
                let folder = lab.root().join(LIB);
                std::fs::hard_link(folder.join("libx.so.1.2"), folder.join("liby.so.1")).unwrap();
            },
            "libx.so@ libx.so.1@ libx.so.1.2 liby.so.1@",
        );
    }

    #[test]
    fn a_library_behind_an_absolute_link_is_reached_inside_the_root() {
        check(
            "absolute",
            "",
            |cc, lab| {
                cc.library(
                    lab,
                    "int f(void) { return 1; }",
                    &format!("{LIB}/x/liba.so.1.0"),
                    "liba.so.1",
                    &[],
                );
                lab.link(&format!("{LIB}/liba.so.1"), &format!("/{LIB}/x/liba.so.1.0"));
                // The linker would follow the link out of the root, so it gets the file.
                program(cc, lab, &[&format!("-L{}/x", lab.root().join(LIB).display()), "-l:liba.so.1.0"]);
                lab.link("lib", "usr/lib");
            },
            "",
        );
    }

    #[test]
    fn loops_of_links_are_walked_past() {
        check(
            "loop",
            "",
            |cc, lab| {
                program(cc, lab, &[]);
                lab.link(&format!("{LIB}/liba.so.1"), "libb.so.1");
                lab.link(&format!("{LIB}/libb.so.1"), "liba.so.1");
                lab.link("usr/up", "..");
            },
            "",
        );
    }

    #[test]
    fn a_private_library_is_found_beside_its_user() {
        check(
            "origin",
            "",
            |cc, lab| {
                cc.library(lab, "int f(void) { return 1; }", "usr/lib/own/libown.so", "libown.so", &[]);
                cc.library(lab, "int f(void) { return 1; }", "usr/lib/own/libidle.so", "libidle.so", &[]);
                let beside = format!("-L{}", lab.root().join("usr/lib/own").display());
                program(
                    cc,
                    lab,
                    &[&beside, "-l:libown.so", "-Wl,--enable-new-dtags,-rpath,$ORIGIN/../lib/own"],
                );
            },
            "libidle.so",
        );
    }

    #[test]
    fn a_plugin_in_a_folder_of_its_own_stays_and_keeps_what_it_needs() {
        check(
            "plugin",
            "",
            |cc, lab| {
                library(cc, lab, "liba.so.1", &[]);
                let flags = ["-Wl,--no-as-needed", "-l:liba.so.1"];
                cc.library(lab, "int f(void) { return 1; }", &format!("{LIB}/plugins/p.so"), "p.so", &flags);
            },
            "",
        );
    }

    #[test]
    fn a_library_in_a_dlopen_note_stays() {
        let note = r#"
            asm(".pushsection .note.dlopen, \"a\", @note\n .balign 4\n .long 4, 2f-1f, 0x407c0c0a\n .asciz \"FDO\"\n"
                "1: .asciz \"[{\\\"soname\\\":[\\\"liba.so.1\\\"]}]\"\n2: .balign 4\n .popsection");
            int main(void) { return 0; }"#;
        check(
            "note",
            "",
            |cc, lab| {
                library(cc, lab, "liba.so.1", &[]);
                library(cc, lab, "libz.so.1", &[]);
                cc.program(lab, note, "usr/bin/p", &[]);
            },
            "libz.so.1",
        );
    }

    #[test]
    fn a_required_library_of_a_dlopen_note_must_be_there() {
        let note = r#"
            asm(".pushsection .note.dlopen, \"a\", @note\n .balign 4\n .long 4, 2f-1f, 0x407c0c0a\n .asciz \"FDO\"\n"
                "1: .asciz \"[{\\\"soname\\\":[\\\"liba.so.1\\\"],\\\"priority\\\":\\\"required\\\"}]\"\n"
                "2: .balign 4\n .popsection");
            int main(void) { return 0; }"#;
        let want = "error: liba.so.1 is missing, needed by usr/bin/p";
        check("required", "", |cc, lab| cc.program(lab, note, "usr/bin/p", &[]), want);
    }

    #[test]
    fn a_library_whose_name_stands_in_a_reached_file_stays_and_is_reported() {
        let Some(cc) = needs_cc() else { return };
        let lab = Lab::new("mention");
        library(&cc, &lab, "liba.so.1", &[]);
        cc.program(
            &lab,
            "const char *name = \"liba.so.1\"; int main(void) { return name[0]; }",
            "usr/bin/p",
            &[],
        );
        let found = closure(&lab.root(), &KeepList::default()).unwrap();
        assert_eq!(found.loose, []);
        let library = format!("{LIB}/liba.so.1");
        assert_eq!(found.mentioned, [Mentioned { library, by: "usr/bin/p".to_string() }]);
    }

    #[test]
    fn a_kept_library_stays() {
        check("keep", "libn*  why\n", |cc, lab| library(cc, lab, "libnss_x.so.2", &[]), "");
    }

    #[test]
    fn a_kept_library_that_is_not_there_is_an_error() {
        let want =
            "error: keep-libraries.list line 2: libgone.so.1 matches nothing in the image, remove the line";
        check("stale", "\nlibgone.so.1  why\n", |cc, lab| library(cc, lab, "liba.so.1", &[]), want);
    }

    #[test]
    fn a_variant_for_newer_processors_is_loose_even_if_the_library_is_needed() {
        check(
            "hwcaps",
            "",
            |cc, lab| {
                library(cc, lab, "liba.so.1", &[]);
                let path = format!("{LIB}/glibc-hwcaps/x86-64-v3/liba.so.1");
                cc.library(lab, "int f(void) { return 3; }", &path, "liba.so.1", &[]);
                program(cc, lab, &["-l:liba.so.1"]);
                std::fs::rename(lab.root().join(LIB).join("liba.so.1"), lab.root().join("usr/lib/liba.so.1"))
                    .unwrap();
            },
            "liba.so.1",
        );
    }

    #[test]
    fn a_file_cut_short_is_a_sentence() {
        let want = "error: usr/bin/p: damaged ELF file: cut short";
        check("short", "", |_, lab| lab.put("usr/bin/p", b"\x7fELF\x02\x01"), want);
    }

    #[test]
    fn a_file_for_another_machine_is_skipped_with_a_sentence() {
        let lab = Lab::new("foreign");
        lab.put("usr/bin/p", &[b"\x7fELF\x01\x01\x01".as_slice(), &[0; 60]].concat());
        let found = closure(&lab.root(), &KeepList::default()).unwrap();
        let why = "an ELF file for another machine than x86-64".to_string();
        assert_eq!(found.skipped, [Skipped { path: "usr/bin/p".to_string(), why }]);
    }

    #[test]
    fn damaged_files_give_a_sentence_and_never_a_panic() {
        let Some(cc) = needs_cc() else { return };
        let lab = Lab::new("mutants");
        library(&cc, &lab, "liba.so.1", &[]);
        program(&cc, &lab, &["-l:liba.so.1"]);
        let whole = lab.read("usr/bin/p");
        let mut n_refused = 0;
        for seed in 0..3000 {
            let mut bytes = whole.clone();
            mutate(&mut bytes, seed);
            n_refused += usize::from(Needs::read(&bytes).is_err());
        }
        assert!(
            (100..2900).contains(&n_refused),
            "{n_refused} of 3000 were refused: the mutations prove little"
        );
    }
}
