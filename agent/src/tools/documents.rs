//! Searches the owner's documents by their words: plain texts below one folder that the configuration names.

use super::setup::Wishes;
use super::{Call, Field, Limits, Spec, Tool};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use tools::search::search;

const QUERY_BYTES_MAX: usize = 300;
const FOUND_MAX: usize = 4;
const FILES_MAX: usize = 1000;
const FILE_BYTES_MAX: u64 = 512 << 10;
/// All together: they are read anew at each search, and wait for it in memory.
const ALL_BYTES_MAX: usize = 16 << 20;
const DEPTH_MAX: usize = 8;
/// Of files that are texts.
const ENDINGS: [&str; 8] = ["txt", "md", "markdown", "rst", "adoc", "csv", "org", "html"];

pub struct Documents(pub Wishes);

impl Tool for Documents {
    fn spec(&self) -> Spec {
        Spec::new("docs.search", "Searches the documents of this home and shows the passages that fit best.")
            .field(Field::text("query", "words that stand in what is looked for", QUERY_BYTES_MAX))
            .seconds(20)
            .output(4 << 10)
            .heavy()
    }

    fn run(&self, call: &Call, limits: &Limits<'_>) -> Result<String, String> {
        let wishes = self.0.now();
        let folder = wishes.documents.folder.as_deref();
        let folder = folder
            .ok_or("there are no documents; name a folder in tools.toml: [documents] folder = \"...\"")?;
        let texts = texts(folder, limits)?;
        let documents: Vec<(&str, &str)> =
            texts.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        let found = search(&documents, call.text("query").unwrap_or_default(), FOUND_MAX);
        if found.is_empty() {
            return Ok(format!("none of {} documents has these words", texts.len()));
        }
        let shown = found.iter().map(|found| format!("{}:\n{}", found.document, found.text));
        Ok(shown.collect::<Vec<_>>().join("\n\n"))
    }
}

/// Names below the folder, and texts; links are not followed.
fn texts(folder: &Path, limits: &Limits<'_>) -> Result<Vec<(String, String)>, String> {
    let (mut texts, mut n_bytes) = (vec![], 0);
    let mut waiting = vec![(folder.to_owned(), 0)];
    while let Some((place, depth)) = waiting.pop() {
        let entries = std::fs::read_dir(&place);
        let entries = match entries {
            Ok(entries) => entries,
            Err(error) if depth == 0 => return Err(format!("{}: {error}", place.display())),
            Err(_) => continue,
        };
        let mut entries: Vec<_> = entries.flatten().take(FILES_MAX).collect();
        entries.sort_by_key(|entry| entry.file_name());
        for entry in entries {
            if limits.is_over() {
                return Err("there was no time to read all documents".into());
            }
            let (path, Ok(about)) = (entry.path(), entry.metadata()) else { continue };
            if about.is_dir() && depth < DEPTH_MAX && waiting.len() < FILES_MAX {
                waiting.push((path, depth + 1));
                continue;
            }
            let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
            let is_text = about.is_file() && about.len() <= FILE_BYTES_MAX && ENDINGS.contains(&ending);
            if !is_text || texts.len() >= FILES_MAX || n_bytes >= ALL_BYTES_MAX {
                continue;
            }
            let mut bytes = vec![];
            let read = File::open(&path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes));
            if read.is_err() {
                continue;
            }
            let mut text = String::from_utf8_lossy(&bytes).into_owned();
            if ending == "html" {
                text = tools::page::text(&text);
            }
            n_bytes += text.len();
            let name = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
            texts.push((name, text));
        }
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;
    use std::time::{Duration, Instant};

    #[test]
    fn texts_below_the_folder_are_read_and_nothing_beyond_it() {
        let room = std::env::temp_dir().join(format!("duet-documents-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&room);
        std::fs::create_dir_all(room.join("home/deep")).unwrap();
        std::fs::write(room.join("secret.txt"), "secret").unwrap();
        std::fs::write(room.join("home/a.md"), "the cellar").unwrap();
        std::fs::write(room.join("home/deep/b.html"), "<p>the attic").unwrap();
        std::fs::write(room.join("home/c.bin"), "no text").unwrap();
        std::os::unix::fs::symlink("../secret.txt", room.join("home/link.txt")).unwrap();
        let stop = AtomicBool::new(false);
        let limits = |seconds| Limits {
            deadline: Instant::now() + Duration::from_secs(seconds),
            output_max: 100,
            stop: &stop,
        };
        let texts = |seconds| texts(&room.join("home"), &limits(seconds));
        let want = [("a.md", "the cellar"), ("deep/b.html", "the attic\n")];
        assert_eq!(texts(60).unwrap(), want.map(|(name, text)| (name.to_owned(), text.to_owned())));
        assert!(texts(0).is_err());
        std::fs::remove_dir_all(&room).unwrap();
        assert!(texts(60).is_err());
    }
}
