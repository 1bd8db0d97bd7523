//! What the image needs to speak: Debian's espeak-ng without its sound output, and the data of the chosen languages.
//!
//! Its packages are unpacked, not installed: installed they would bring PulseAudio, D-Bus and X11, more than twenty
//! packages. In the place of the library of sound output, which leads there, stands `buildroot/libpcaudio.c`.
//! A dependency that Debian adds one day is found by the check for missing libraries.

use super::root::{link, put};
use crate::progress::{Step, megabytes};
use crate::tool;
use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Spoken where another language is missing, and by parts of other languages.
pub const ALWAYS: &str = "en";
const LANGUAGES_MAX: usize = 150;
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";
const DATA: &str = "usr/lib/x86_64-linux-gnu/espeak-ng-data";
/// What every language needs: its sounds, its melody, and kinds of voices.
const COMMON: [&str; 5] = ["intonations", "phondata", "phonindex", "phontab", "voices/!v"];
const STUB: &str = "libpcaudio.so.0";
/// Languages lie two folders deep.
const DEPTH_MAX: usize = 4;

/// Refuses what cannot be a choice of languages.
pub fn check(languages: &[String]) -> Result<()> {
    let is_code =
        |code: &String| (2..=8).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_lowercase());
    if let Some(code) = languages.iter().find(|code| !is_code(code)) {
        bail!("buildroot/build.toml: {code:?} is not the code of a language, such as en or de");
    }
    if languages.len() > LANGUAGES_MAX || !languages.iter().any(|code| code == ALWAYS) {
        bail!("buildroot/build.toml: languages must hold {ALWAYS}, and at most {LANGUAGES_MAX}");
    }
    Ok(())
}

/// Takes libraries and data out of the unpacked packages in `parts`, and makes the stub there.
pub fn take(
    parts: &Path,
    languages: &[String],
    stub: &str,
    root: &Path,
    log: &Path,
    step: &Step,
) -> Result<String> {
    let mut taker = Taker { parts, root, n_files: 0, n_bytes: 0 };
    for name in names(&parts.join(LIBRARIES))? {
        if name.starts_with("lib") && name.contains(".so.") {
            taker.take(&format!("{LIBRARIES}/{name}"))?;
        }
    }
    for place in data(&parts.join(DATA), languages)? {
        taker.take(&format!("{DATA}/{place}"))?;
    }
    make_stub(stub, parts, log, step)?;
    let bytes = fs::read(parts.join(STUB)).context("reading the stub of libpcaudio")?;
    put(&root.join(LIBRARIES).join(STUB), &bytes, 0o644)?;
    let (n_files, size) = (taker.n_files, megabytes(taker.n_bytes));
    Ok(format!("speech in {} ({n_files} files, {size})", languages.join(" ")))
}

/// A library of eight functions that need nothing; the same compiler makes the same bytes of it wherever it works.
fn make_stub(source: &str, folder: &Path, log: &Path, step: &Step) -> Result<()> {
    fs::write(folder.join("libpcaudio.c"), source).context("writing libpcaudio.c")?;
    let mut compiler = tool::command("cc");
    compiler.current_dir(folder).args(["-shared", "-nostdlib", "-fPIC", "-Os", "-march=core2"]);
    compiler.args(["-fno-asynchronous-unwind-tables", "-fcf-protection=none", "-fno-ident", "-s"]);
    compiler.arg(format!("-Wl,-soname,{STUB}")).args(["-Wl,--build-id=none", "-o", STUB, "libpcaudio.c"]);
    tool::run(&mut compiler, log, step)
}

/// The files of the data that the languages need, below its folder.
fn data(folder: &Path, languages: &[String]) -> Result<BTreeSet<String>> {
    let mut wanted: BTreeSet<String> = BTreeSet::new();
    for place in COMMON {
        let path = folder.join(place);
        match path.is_dir() {
            true => wanted.extend(below(&path, place, 0)?),
            false => drop(wanted.insert(place.to_owned())),
        }
    }
    let voices = below(&folder.join("lang"), "lang", 0)?;
    for code in languages {
        let own: Vec<&String> = voices.iter().filter(|place| is_of(code, place)).collect();
        if own.is_empty() {
            let mut known: Vec<&str> = voices.iter().map(|place| primary(place)).collect();
            known.dedup();
            bail!("espeak-ng speaks no language {code}; it speaks {}", known.join(" "));
        }
        for place in own {
            let text = fs::read_to_string(folder.join(place)).with_context(|| format!("reading {place}"))?;
            wanted.insert(format!("{}_dict", dictionary(&text).unwrap_or(code)));
            wanted.insert(place.clone());
        }
    }
    Ok(wanted)
}

/// `lang/gmw/en-US` is of `en`.
fn is_of(code: &str, place: &str) -> bool {
    primary(place) == code
}

fn primary(place: &str) -> &str {
    let name = place.rsplit('/').next().unwrap_or(place);
    name.split('-').next().unwrap_or(name)
}

/// The dictionary that a language's file names, if it is not its own.
fn dictionary(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("dictionary")?.split_whitespace().next())
}

/// All files below a folder, sorted.
fn below(folder: &Path, place: &str, depth: usize) -> Result<Vec<String>> {
    anyhow::ensure!(depth < DEPTH_MAX, "{} is nested too deeply", folder.display());
    let mut found = vec![];
    for name in names(folder)? {
        let (path, place) = (folder.join(&name), format!("{place}/{name}"));
        if path.is_dir() {
            found.extend(below(&path, &place, depth + 1)?);
        } else {
            found.push(place);
        }
    }
    Ok(found)
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let reading = || format!("reading {}", folder.display());
    let mut names = vec![];
    for entry in fs::read_dir(folder).with_context(reading)? {
        let name = entry.with_context(reading)?.file_name().into_string();
        names
            .push(name.ok().with_context(|| format!("{} holds a name that is not UTF-8", folder.display()))?);
    }
    names.sort();
    Ok(names)
}

struct Taker<'a> {
    parts: &'a Path,
    root: &'a Path,
    n_files: usize,
    n_bytes: u64,
}

impl Taker<'_> {
    fn take(&mut self, place: &str) -> Result<()> {
        let (from, to): (PathBuf, PathBuf) = (self.parts.join(place), self.root.join(place));
        let reading = || format!("the packages of speech hold no {place}");
        if from.is_symlink() {
            let target = fs::read_link(&from).with_context(reading)?;
            return link(target.to_str().with_context(reading)?, &to);
        }
        let bytes = fs::read(&from).with_context(reading)?;
        self.n_files += 1;
        self.n_bytes += bytes.len() as u64;
        put(&to, &bytes, 0o644)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Progress;

    const STUB_SOURCE: &str = include_str!("../../../buildroot/libpcaudio.c");

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let path = std::env::temp_dir().join(format!("duet-speech-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Folder(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// Packages as Debian's, with two bytes in each file.
    fn packages(name: &str) -> Folder {
        let folder = Folder::new(name);
        let files = [
            "intonations",
            "phondata",
            "phonindex",
            "phontab",
            "voices/!v/f3",
            "voices/mb/mb-de1",
            "en_dict",
            "de_dict",
            "no_dict",
            "ru_dict",
            "lang/gmw/en",
            "lang/gmw/en-US",
            "lang/gmw/de",
            "lang/gmq/nb",
            "lang/zle/ru",
            "lang/eo",
        ];
        for place in files {
            let text =
                if place.ends_with("/nb") { "name Norwegian\nlanguage nb\ndictionary no\n" } else { "x\n" };
            put(&folder.0.join(DATA).join(place), text.as_bytes(), 0o644).unwrap();
        }
        put(&folder.0.join(LIBRARIES).join("libespeak-ng.so.1.1.51"), b"x\n", 0o644).unwrap();
        link("libespeak-ng.so.1.1.51", &folder.0.join(LIBRARIES).join("libespeak-ng.so.1")).unwrap();
        put(&folder.0.join("usr/share/doc/x/copyright"), b"x\n", 0o644).unwrap();
        folder
    }

    fn check(name: &str, languages: &[&str], want: &str) {
        let (parts, root) = (packages(name), Folder::new(&format!("{name}-root")));
        let languages: Vec<String> = languages.iter().map(|code| code.to_string()).collect();
        let step = Progress::new(1).step("taking speech", None);
        let told = take(&parts.0, &languages, STUB_SOURCE, &root.0, &parts.0.join("cc.log"), &step);
        let got = match told {
            Ok(_) => {
                let all = below(&root.0.join(DATA), "", 0).unwrap();
                all.iter().map(|place| &place[1..]).collect::<Vec<_>>().join(" ")
            }
            Err(error) => format!("error: {error}"),
        };
        assert_eq!(got, want);
        if !want.starts_with("error") {
            let libraries: Vec<String> = names(&root.0.join(LIBRARIES)).unwrap();
            let all = ["espeak-ng-data", "libespeak-ng.so.1", "libespeak-ng.so.1.1.51", STUB];
            assert_eq!(libraries, all);
        }
    }

    #[test]
    fn a_language_brings_its_voices_and_its_dictionary_alone() {
        let common = "intonations lang/gmw/en lang/gmw/en-US phondata phonindex phontab voices/!v/f3";
        check("en", &["en"], &format!("en_dict {common}"));
        let want = "de_dict en_dict intonations lang/gmw/de lang/gmw/en lang/gmw/en-US phondata phonindex phontab \
                    voices/!v/f3";
        check("de", &["en", "de"], want);
    }

    #[test]
    fn a_dictionary_may_have_another_name() {
        let want = "intonations lang/gmq/nb no_dict phondata phonindex phontab voices/!v/f3";
        check("nb", &["nb"], want);
    }

    #[test]
    fn a_language_that_nobody_speaks_is_an_error_with_those_that_are_spoken() {
        check("xx", &["xx"], "error: espeak-ng speaks no language xx; it speaks eo nb de en ru");
        // It is named, but its dictionary is not there.
        let want = format!("error: the packages of speech hold no {DATA}/eo_dict");
        check("eo", &["eo"], &want);
    }

    #[test]
    fn a_choice_of_languages_holds_english_and_codes() {
        let told = |codes: &[&str]| {
            let codes: Vec<String> = codes.iter().map(|code| code.to_string()).collect();
            check_error(&codes)
        };
        assert_eq!(told(&["en", "de"]), "");
        assert!(told(&["de"]).contains("languages must hold en"));
        assert!(told(&["en", "../x"]).contains("\"../x\" is not the code of a language"));
    }

    fn check_error(codes: &[String]) -> String {
        super::check(codes).map_or_else(|error| error.to_string(), |()| String::new())
    }

    #[test]
    fn the_stub_is_the_same_everywhere_and_needs_nothing() {
        let make = |name: &str| {
            let folder = Folder::new(name);
            let step = Progress::new(1).step("compiling the stub", None);
            make_stub(STUB_SOURCE, &folder.0, &folder.0.join("cc.log"), &step).unwrap();
            let mut readelf = tool::command("readelf");
            let told =
                tool::capture(readelf.current_dir(&folder.0).args(["--wide", "--dynamic", STUB])).unwrap();
            (fs::read(folder.0.join(STUB)).unwrap(), told)
        };
        let (bytes, told) = make("stub");
        assert!(bytes == make("stub-in-another-place").0, "two places gave two libraries");
        assert!(told.contains("soname: [libpcaudio.so.0]") && !told.contains("NEEDED"), "{told}");
    }
}
