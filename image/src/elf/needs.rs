//! What one ELF file asks the loader for.
//!
//! Three kinds of wishes are read: libraries it cannot start without
//! (DT_NEEDED), libraries it says it may open later (the `.note.dlopen` note of
//! the FDO packaging metadata, which is JSON), and library names that merely
//! stand in the file as whole strings, which is how most `dlopen` calls without
//! a note look.
//! Names composed at run time cannot be seen; `keep-libraries.list` names them.

use super::file::{Elf, Refused};
use object::LittleEndian as Le;
use object::elf;
use object::read::elf::{FileHeader, ProgramHeader};
use std::collections::BTreeSet;

/// The type of the FDO note, and its owner.
const NOTE_DLOPEN: u32 = 0x407c_0c0a;
const NOTE_OWNER: &[u8] = b"FDO";
/// One note is a few hundred bytes of JSON.
const NOTE_BYTES_MAX: usize = 64 << 10;
const NOTES_MAX: usize = 1000;
/// Longer names are no sonames.
const MENTION_BYTES_MAX: usize = 80;

/// A `.note.dlopen` entry: any one of the sonames will do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Dlopen {
    pub sonames: Vec<String>,
    pub required: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Needs {
    pub soname: Option<String>,
    pub needed: Vec<String>,
    /// RUNPATH, or RPATH where there is no RUNPATH; `$ORIGIN` still in it.
    pub search: Vec<String>,
    pub interpreter: Option<String>,
    pub dlopen: Vec<Dlopen>,
    pub mentions: BTreeSet<String>,
}

impl Needs {
    pub fn read(data: &[u8]) -> Result<Needs, Refused> {
        let file = Elf::parse(data)?;
        let mut needs = Needs { interpreter: file.interpreter()?, ..Needs::default() };
        // A relocatable object names nothing to a loader.
        if file.header.e_type(Le) == elf::ET_REL {
            return Ok(needs);
        }
        needs.read_dynamic(&file)?;
        needs.dlopen = dlopen_notes(&file)?;
        needs.mentions = mentions(data);
        Ok(needs)
    }

    fn read_dynamic(&mut self, file: &Elf) -> Result<(), Refused> {
        let entries = file.dynamic()?;
        let strings = file.dynamic_strings(&entries)?;
        let mut rpath = Vec::new();
        for (tag, value) in &entries {
            let text = || -> Result<String, Refused> {
                let bytes = u32::try_from(*value).ok().and_then(|at| strings.get(at).ok());
                let bytes =
                    bytes.ok_or_else(|| Refused::Broken("damaged ELF file: a name lies outside".into()))?;
                Ok(String::from_utf8_lossy(bytes).into_owned())
            };
            match *tag {
                elf::DT_NEEDED => self.needed.push(text()?),
                elf::DT_SONAME => self.soname = Some(text()?),
                elf::DT_RUNPATH => self.search.extend(text()?.split(':').map(str::to_string)),
                elf::DT_RPATH => rpath.extend(text()?.split(':').map(str::to_string)),
                _ => {}
            }
        }
        if self.search.is_empty() {
            self.search = rpath;
        }
        Ok(())
    }
}

fn dlopen_notes(file: &Elf) -> Result<Vec<Dlopen>, Refused> {
    let mut found = Vec::new();
    for segment in file.segments {
        let Some(mut notes) = segment.notes(Le, file.data)? else { continue };
        let mut n_notes = 0;
        while let Some(note) = notes.next()? {
            n_notes += 1;
            if n_notes > NOTES_MAX {
                return Err(Refused::Broken("damaged ELF file: too many notes".into()));
            }
            if note.n_type(Le).0 == NOTE_DLOPEN && note.name() == NOTE_OWNER {
                found.extend(parse_dlopen(note.desc())?);
            }
        }
    }
    Ok(found)
}

/// `[{"soname": ["libx.so.1"], "priority": "recommended", ...}]`, zero-terminated.
fn parse_dlopen(desc: &[u8]) -> Result<Vec<Dlopen>, Refused> {
    #[derive(serde::Deserialize)]
    struct Entry {
        soname: Vec<String>,
        #[serde(default)]
        priority: String,
    }
    let broken = |why: String| Refused::Broken(format!("its dlopen note cannot be read: {why}"));
    if desc.len() > NOTE_BYTES_MAX {
        return Err(broken(format!("{} bytes long", desc.len())));
    }
    let text = desc.split(|byte| *byte == 0).next().unwrap_or_default();
    let entries: Vec<Entry> = serde_json::from_slice(text).map_err(|error| broken(error.to_string()))?;
    Ok(entries
        .into_iter()
        .map(|e| Dlopen { sonames: e.soname, required: e.priority == "required" })
        .collect())
}

/// Whole zero-terminated strings that look like a soname, without their folder.
fn mentions(data: &[u8]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut from = 0;
    while let Some(dot) = data[from..].iter().position(|byte| *byte == b'.').map(|at| from + at) {
        from = dot + 1;
        if data[dot..].starts_with(b".so")
            && let Some(name) = soname_around(data, dot)
        {
            found.insert(name.to_string());
        }
    }
    found
}

fn soname_around(data: &[u8], dot: usize) -> Option<&str> {
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"._+-/".contains(byte);
    let window = dot.saturating_sub(MENTION_BYTES_MAX);
    let start = window + data[window..dot].iter().rposition(|byte| !is_name(byte)).map_or(0, |at| at + 1);
    let end = dot + data[dot..].iter().take(MENTION_BYTES_MAX).position(|byte| !is_name(byte))?;
    // The byte in front may be anything: linkers share the tails of strings.
    let text = std::str::from_utf8(&data[start..end]).ok()?;
    let name = text.rsplit('/').next()?;
    (data[end] == 0 && name.starts_with("lib")).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_mentions(data: &[u8], want: &[&str]) {
        assert_eq!(mentions(data).iter().map(String::as_str).collect::<Vec<_>>(), want);
    }

    fn check_note(json: &str, want: &str) {
        let got = match parse_dlopen(json.as_bytes()) {
            Ok(all) => all
                .iter()
                .map(|d| format!("{}{} ", d.sonames.join("|"), if d.required { "!" } else { "" }))
                .collect(),
            Err(refused) => String::from(refused),
        };
        assert_eq!(got.trim_end(), want);
    }

    #[test]
    fn a_whole_string_that_is_a_soname_is_a_mention() {
        check_mentions(b"\0libkmod.so.2\0x", &["libkmod.so.2"]);
        check_mentions(b"\0/usr/lib/libkmod.so.2\0", &["libkmod.so.2"]);
        check_mentions(b"libstdc++.so.6\0", &["libstdc++.so.6"]);
    }

    #[test]
    fn a_pattern_or_a_part_of_a_sentence_is_no_mention() {
        check_mentions(b"\0libnss_%s.so.2\0", &[]);
        check_mentions(b"\0cannot open libx.so.1 now\0", &[]);
        check_mentions(b"\0libx.so", &[]);
        check_mentions(b".so\0", &[]);
    }

    #[test]
    fn a_note_lists_alternatives_and_says_what_is_required() {
        check_note(
            r#"[{"soname":["a.so.1","a.so.0"]},{"soname":["b.so"],"priority":"required"}]"#,
            "a.so.1|a.so.0 b.so!",
        );
    }

    #[test]
    fn a_note_ends_at_its_zero() {
        check_note("[{\"soname\":[\"a.so.1\"],\"feature\":\"x\"}]\0garbage", "a.so.1");
    }

    #[test]
    fn a_note_that_is_no_json_is_a_sentence() {
        check_note("[{", "its dlopen note cannot be read: EOF while parsing an object at line 1 column 2");
    }
}
