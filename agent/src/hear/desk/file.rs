//! Which file is the model that hears, and whether it is still the one that was opened.
//!
//! What the owner names goes first, then the largest whisper that somebody brought, then pocketsphinx where the image has
//! it, then the ear of our own: the last two hear a little without anything being fetched, and say on the page that more
//! is one command away.

use super::Wanted;
use crate::hear::sphinx;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Files of the folder that may be tried where the owner names none.
pub const MODEL_FILES_MAX: usize = 16;
/// What whisper models end with; the detectors' models bear their name.
const ENDING: &str = "bin";
const DETECTOR: &str = "silero";
/// Begins the name of the ear of our own, which every shelf has.
const OWN: &str = "duet-ear-";

/// What brings a whisper to all nodes.
const FETCH: &str = "duet models fetch ggml-tiny.en-q8_0.bin (44 MB; it hears free English speech)";

/// A file as it lies there; another is another choice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    pub path: PathBuf,
    bytes: u64,
    changed: (i64, i64),
    inode: u64,
}

impl Choice {
    pub fn name(&self) -> String {
        match is_sphinx(&self.path) {
            true => sphinx::NAME.to_owned(),
            false => name_of(&self.path),
        }
    }

    /// What a person reads of an ear that hears.
    pub fn sentence(&self) -> String {
        let name = self.name();
        let what = match (is_sphinx(&self.path), is_own(&self.path)) {
            (false, false) => return format!("{name} hears"),
            (true, _) => "the commands that need no model, in English, and nothing else",
            (false, true) => "our own small ear, for short commands in English, which mishears many voices",
        };
        format!("{name} hears: {what}; a real whisper is one command at the boot server away: {FETCH}")
    }
}

/// What a person reads when this one hears: also that it is not the one that was asked for.
pub fn sentence(choice: &Choice, wanted: &Wanted) -> String {
    match wanted.model.as_ref().filter(|name| **name != choice.name()) {
        Some(name) => format!("{}; {name}, which duet.toml names, does not hear here yet", choice.sentence()),
        None => choice.sentence(),
    }
}

/// What is to be tried, best first; or a sentence on why there is nothing.
pub fn choices(wanted: &Wanted) -> Result<Vec<Choice>, String> {
    let folder = wanted.models.display();
    let second = wanted.sphinx.as_deref().and_then(look);
    if wanted.model.as_deref() == Some(sphinx::NAME) {
        return second.map(|choice| vec![choice]).ok_or_else(|| {
            "this image has no pocketsphinx: build it with --profile pocketsphinx, or take hearing under [voice] \
             out of duet.toml"
                .to_owned()
        });
    }
    // It may be on its way still, and until then another hears.
    let named = wanted.model.as_ref().and_then(|name| look(&wanted.models.join(name)));
    let entries = fs::read_dir(&wanted.models).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<Choice> =
        entries.filter(|path| is_candidate(path)).filter_map(|path| look(&path)).collect();
    // The one with more weights is the better one.
    found.sort_by_cached_key(|choice| {
        (is_own(&choice.path), std::cmp::Reverse(choice.bytes), choice.path.clone())
    });
    found.truncate(MODEL_FILES_MAX);
    let n_brought = found.partition_point(|choice| !is_own(&choice.path));
    found.splice(n_brought..n_brought, second);
    if let Some(named) = named {
        found.retain(|choice| *choice != named);
        found.insert(0, named);
    }
    match (found.is_empty(), &wanted.model) {
        (false, _) => Ok(found),
        (true, None) => Err(format!("no model that hears (a whisper model, *.bin) is in {folder}")),
        (true, Some(name)) => Err(format!(
            "the model that hears, {name}, is not in {folder}; hearing under [voice] in duet.toml names it"
        )),
    }
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn is_own(path: &Path) -> bool {
    name_of(path).starts_with(OWN)
}

fn is_sphinx(path: &Path) -> bool {
    path.ends_with(sphinx::PROGRAM)
}

fn is_candidate(path: &Path) -> bool {
    let name = name_of(path).to_lowercase();
    path.extension().is_some_and(|ending| ending == ENDING) && !name.contains(DETECTOR)
}

fn look(path: &Path) -> Option<Choice> {
    let told = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    let changed = (told.mtime(), told.mtime_nsec());
    Some(Choice { path: path.to_owned(), bytes: told.len(), changed, inode: told.ino() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `files` lie in the folder of models; `sphinx` is whether the image has it.
    #[track_caller]
    fn check(name: &str, files: &[&str], sphinx: bool, model: Option<&str>, want: &[&str]) {
        let root = std::env::temp_dir().join(format!("duet-choices-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        let program = root.join(sphinx::PROGRAM);
        fs::create_dir_all(program.parent().unwrap()).unwrap();
        if sphinx {
            fs::write(&program, "").unwrap();
        }
        files.iter().for_each(|file| fs::write(root.join(file), "").unwrap());
        let wanted = Wanted {
            models: root.clone(),
            model: model.map(str::to_owned),
            language: "en".into(),
            sphinx: Some(program),
        };
        let got = choices(&wanted).map(|found| found.iter().map(Choice::sentence).collect::<Vec<_>>());
        fs::remove_dir_all(&root).unwrap();
        let got =
            got.unwrap_or_else(|why| vec![why.split(&[' ', ':']).take(4).collect::<Vec<_>>().join(" ")]);
        let heads: Vec<&str> = got.iter().map(|text| text.split(';').next().unwrap_or_default()).collect();
        assert_eq!(heads, want);
    }

    const OWN_EAR: &str = "duet-ear-q8_0.bin hears: our own small ear, for short commands in English, which mishears \
                           many voices";
    const SPHINX: &str = "pocketsphinx hears: the commands that need no model, in English, and nothing else";

    #[test]
    fn a_whisper_that_somebody_brought_goes_before_the_ear_of_our_own() {
        check(
            "brought",
            &["duet-ear-q8_0.bin", "ggml-tiny.en-q8_0.bin", "ggml-silero-v6.2.0.bin"],
            false,
            None,
            &["ggml-tiny.en-q8_0.bin hears", OWN_EAR],
        );
        check("early", &["base.bin", "duet-ear-q8_0.bin"], true, None, &["base.bin hears", SPHINX, OWN_EAR]);
    }

    #[test]
    fn without_one_the_image_and_the_shelf_hear() {
        check("own", &["duet-ear-q8_0.bin"], false, None, &[OWN_EAR]);
        check("both", &["duet-ear-q8_0.bin"], true, None, &[SPHINX, OWN_EAR]);
    }

    #[test]
    fn the_owner_chooses() {
        let files = ["duet-ear-q8_0.bin", "ggml-tiny.en-q8_0.bin"];
        let tiny = "ggml-tiny.en-q8_0.bin hears";
        check("named", &files, false, Some("duet-ear-q8_0.bin"), &[OWN_EAR, tiny]);
        check("coming", &files, false, Some("base.bin"), &[tiny, OWN_EAR]);
        check("never", &[], false, Some("base.bin"), &["the model that hears,"]);
        check("sphinx", &files, true, Some("pocketsphinx"), &[SPHINX]);
        check("absent", &files, false, Some("pocketsphinx"), &["this image has no"]);
        check("nothing", &[], false, None, &["no model that hears"]);
    }

    #[test]
    fn the_largest_hears_and_says_where_another_is_meant() {
        let choice = |bytes| Choice { path: "/m/a.bin".into(), bytes, changed: (0, 0), inode: 0 };
        let wanted = |model: Option<&str>| Wanted {
            models: "/m".into(),
            model: model.map(str::to_owned),
            language: "en".into(),
            sphinx: None,
        };
        assert_eq!(sentence(&choice(1), &wanted(None)), "a.bin hears");
        assert_eq!(sentence(&choice(1), &wanted(Some("a.bin"))), "a.bin hears");
        let want = "a.bin hears; b.bin, which duet.toml names, does not hear here yet";
        assert_eq!(sentence(&choice(1), &wanted(Some("b.bin"))), want);
        let root = std::env::temp_dir().join(format!("duet-choices-largest-{}", std::process::id()));
        fs::create_dir_all(&root).unwrap();
        for (name, n) in [("a.bin", 1), ("b.bin", 3), ("c.bin", 2)] {
            fs::write(root.join(name), vec![0; n]).unwrap();
        }
        let found = choices(&Wanted { models: root.clone(), ..wanted(None) }).unwrap();
        fs::remove_dir_all(&root).unwrap();
        assert_eq!(found.iter().map(Choice::name).collect::<Vec<_>>(), ["b.bin", "c.bin", "a.bin"]);
    }

    #[test]
    fn an_ear_that_came_with_us_says_what_brings_a_better_one() {
        let own = Choice { path: "/m/duet-ear-q8_0.bin".into(), bytes: 0, changed: (0, 0), inode: 0 };
        assert!(own.sentence().contains("duet models fetch ggml-tiny.en-q8_0.bin"), "{}", own.sentence());
    }
}
