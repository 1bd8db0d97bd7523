//! `agent memory bench`: a memory in a folder of its own, filled with facts of no meaning, and how long each thing takes.
//!
//! Journal, index and vectors are those that a desk has; only the thread and the door are left out. It needs no agent and
//! changes none. What is measured depends on where the folder lies: on a node that is most often RAM.

use super::files::Files;
use super::index::Index;
use super::search;
use super::vectors::{DIMENSIONS_MAX, quantize};
use crate::args::MemoryBench;
use anyhow::{Context, ensure};
use journal::{Book, Entry, FACTS_MAX, Fact, FactId, Limits, Store};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Searches of each kind; few of them read the whole book.
const ROUNDS: usize = 101;
const ROUNDS_OF_BOOK: usize = 7;
/// Facts of one commit, and commits of that size; what is left comes in the last size.
const COMMITS: [(usize, usize); 3] = [(1, 64), (16, 64), (256, usize::MAX)];
const WORDS_OF_FACT: usize = 10;
const WORDS_OF_QUESTION: usize = 5;
const FOUND: usize = 10;
const MODEL: &str = "dice";

pub fn run(args: &MemoryBench) -> anyhow::Result<String> {
    ensure!((1..=FACTS_MAX).contains(&args.facts), "--facts is 1 to {FACTS_MAX}");
    ensure!((2..=DIMENSIONS_MAX).contains(&args.dimensions), "--dimensions is 2 to {DIMENSIONS_MAX}");
    let folder = Folder::new(args.folder.as_deref())?;
    let told = measure(args, &folder.0)?;
    Ok(if args.json { format!("{told}\n") } else { table(&told) })
}

/// Gone again when the bench ends, however it ends.
struct Folder(PathBuf);

impl Folder {
    fn new(above: Option<&Path>) -> anyhow::Result<Folder> {
        let above = above.map_or_else(std::env::temp_dir, Path::to_path_buf);
        let path = above.join(format!("duet-memory-bench-{}", std::process::id()));
        std::fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Folder(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn measure(args: &MemoryBench, folder: &Path) -> anyhow::Result<Value> {
    let mut dice = Dice(7);
    let empty_kib = own_kib();
    let appended = append(args.facts, folder, &mut dice)?;
    let (store, journal_ms) = timed(|| open(folder));
    let store = store?;
    let book_kib = own_kib().saturating_sub(empty_kib);
    let (book, head) = (store.book(), store.journal().head());

    let path = folder.join("index");
    let (index, build_ms) = timed(|| Index::open(&path, book, head));
    drop(index.context("the index cannot be made")?);
    let (index, open_ms) = timed(|| Index::open(&path, book, head));
    let (mut index, _) = index.context("the index cannot be opened")?;
    let index_bytes = bytes_of(&path);
    let index_kib = own_kib().saturating_sub(empty_kib + book_kib);

    let questions: Vec<String> = (0..ROUNDS).map(|_| dice.text(WORDS_OF_QUESTION)).collect();
    let words = times(&questions, |text| search::by_words(book, Some(&index), text, FOUND));
    let few = &questions[..ROUNDS_OF_BOOK];
    let without = times(few, |text| search::by_words(book, None, text, FOUND));
    let vectors = match args.vectors {
        true => by_vectors(args.dimensions, book, &mut index, &path, &questions, &mut dice)?,
        false => Value::Null,
    };
    Ok(json!({
        "facts": args.facts,
        "journal": {
            "bytes": store.journal().n_bytes(), "open_ms": journal_ms, "memory_kib": book_kib, "commits": appended,
        },
        "index": {
            "build_ms": build_ms, "open_ms": open_ms, "bytes": index_bytes, "memory_kib": index_kib,
        },
        "search": { "words_ms": words, "words_without_index_ms": without, "vectors_ms": vectors["search_ms"] },
        "vectors": vectors,
    }))
}

fn open(folder: &Path) -> anyhow::Result<Store<Files>> {
    let files = Files::open(folder).with_context(|| format!("cannot open {}", folder.display()))?;
    Ok(Store::open(files, Limits::default())?)
}

/// Facts into the journal; what a commit of each size costs.
fn append(n_facts: usize, folder: &Path, dice: &mut Dice) -> anyhow::Result<Vec<Value>> {
    let mut store = open(folder)?;
    let (mut n, mut told) = (0, vec![]);
    for (size, commits) in COMMITS {
        let mut ms = vec![];
        let first = n;
        while n < n_facts && ms.len() < commits {
            let some: Vec<Entry> = (n..n_facts.min(n + size)).map(|n| fact(n, dice)).collect();
            let (learned, took) = timed(|| store.learn(&some));
            learned.context("the journal takes no more")?;
            n += some.len();
            ms.push(took);
        }
        if n > first {
            let per_second = 1000.0 * (n - first) as f64 / ms.iter().sum::<f64>().max(1e-9);
            told.push(json!({ "facts": size, "ms": spread(ms), "facts_per_second": per_second }));
        }
    }
    Ok(told)
}

fn by_vectors(
    dimensions: usize,
    book: &Book,
    index: &mut Index,
    folder: &Path,
    questions: &[String],
    dice: &mut Dice,
) -> anyhow::Result<Value> {
    let before_kib = own_kib();
    let bytes = bytes_of(folder);
    let ids: Vec<FactId> = book.facts().map(|fact| fact.id).collect();
    index.set_model(MODEL)?;
    let began = Instant::now();
    for id in ids {
        index.put_vector(id, &dice.vector(dimensions)?)?;
    }
    let put_ms = began.elapsed().as_secs_f64() * 1000.0;
    // Beside them sled keeps a log, which the system writes and gives back when it wants.
    let memory_kib = own_kib().saturating_sub(before_kib);
    let asked = questions.iter().map(|_| dice.vector(dimensions)).collect::<anyhow::Result<Vec<_>>>()?;
    let search_ms = times(&asked, |vector| index.near().nearest(vector, FOUND));
    Ok(json!({
        "dimensions": dimensions,
        "put_ms": put_ms,
        "bytes": bytes_of(folder).saturating_sub(bytes),
        "memory_kib": memory_kib,
        "search_ms": search_ms,
    }))
}

fn fact(n: usize, dice: &mut Dice) -> Entry {
    let hash = blake3::hash(&n.to_le_bytes());
    let mut id = FactId([0; 16]);
    id.0.copy_from_slice(&hash.as_bytes()[..16]);
    Entry::Fact(Fact { id, salt: id.0, told_s: 0, node: 0, text: dice.text(WORDS_OF_FACT) })
}

/// Dice (xorshift64*).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % below
    }

    /// A few words are common and most are rare, as in a language.
    fn text(&mut self, n_words: usize) -> String {
        let word = |dice: &mut Dice| {
            let rank = dice.roll(200).pow(2) / 2;
            format!("w{:05}", dice.roll(rank.max(1)))
        };
        (0..n_words).map(|_| word(self)).collect::<Vec<_>>().join(" ")
    }

    fn vector(&mut self, n: usize) -> anyhow::Result<Vec<i8>> {
        let numbers: Vec<f32> = (0..n).map(|_| self.roll(2001) as f32 - 1000.0).collect();
        quantize(&numbers).context("all numbers of a vector were 0")
    }
}

fn timed<T>(act: impl FnOnce() -> T) -> (T, f64) {
    let began = Instant::now();
    let done = act();
    (done, began.elapsed().as_secs_f64() * 1000.0)
}

/// Each question once.
fn times<Q, T>(questions: &[Q], search: impl Fn(&Q) -> T) -> Value {
    let mut ms = vec![];
    for question in questions {
        let (_, took) = timed(|| search(question));
        ms.push(took);
    }
    spread(ms)
}

fn spread(mut ms: Vec<f64>) -> Value {
    ms.sort_by(f64::total_cmp);
    json!({ "median": ms.get(ms.len() / 2), "worst": ms.last(), "n": ms.len() })
}

fn own_kib() -> u64 {
    crate::own_memory::bytes() / 1024
}

/// Of all files in a folder and below.
fn bytes_of(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let bytes = entries.map(|entry| match entry.metadata() {
        Ok(about) if about.is_dir() => bytes_of(&entry.path()),
        Ok(about) => about.len(),
        Err(_) => 0,
    });
    bytes.sum()
}

fn table(told: &Value) -> String {
    let ms = |value: &Value| value.as_f64().map_or("-".to_owned(), |ms| format!("{ms:.2}"));
    let mib = |value: &Value, unit: f64| format!("{:.1} MiB", value.as_f64().unwrap_or(0.0) / unit);
    let mut text = format!("{} facts                     median ms    worst ms      n\n", told["facts"]);
    let mut line = |name: &str, times: &Value| {
        if !times.is_null() {
            let (median, worst) = (ms(&times["median"]), ms(&times["worst"]));
            text += &format!("{name:<32} {median:>10}  {worst:>10}  {:>5}\n", times["n"]);
        }
    };
    line("search by words", &told["search"]["words_ms"]);
    line("search by words, no index", &told["search"]["words_without_index_ms"]);
    line("search by vectors, exact", &told["search"]["vectors_ms"]);
    for commit in told["journal"]["commits"].as_array().into_iter().flatten() {
        line(&format!("one commit of {} facts", commit["facts"]), &commit["ms"]);
    }
    let (journal, index, vectors) = (&told["journal"], &told["index"], &told["vectors"]);
    text += &format!("\njournal read again          {:>10} ms\n", ms(&journal["open_ms"]));
    text += &format!("index made of the journal   {:>10} ms\n", ms(&index["build_ms"]));
    text += &format!("index opened, whole         {:>10} ms\n\n", ms(&index["open_ms"]));
    text += "             files       memory\n";
    for (name, part) in [("journal", journal), ("index", index), ("vectors", vectors)] {
        if !part.is_null() {
            let (files, memory) = (mib(&part["bytes"], 1048576.0), mib(&part["memory_kib"], 1024.0));
            text += &format!("{name:<8} {files:>12} {memory:>12}\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bench_measures_each_part_and_leaves_nothing_behind() {
        let above = std::env::temp_dir().join(format!("duet-bench-above-{}", std::process::id()));
        let args = |json| MemoryBench {
            facts: 700,
            dimensions: 16,
            vectors: true,
            folder: Some(above.clone()),
            json,
        };
        let told: Value = serde_json::from_str(&run(&args(true)).unwrap()).unwrap();
        let n_commits: Vec<&Value> =
            told["journal"]["commits"].as_array().unwrap().iter().map(|one| &one["ms"]["n"]).collect();
        assert_eq!(n_commits, [64, 40], "{told}");
        assert_eq!(told["search"]["vectors_ms"]["n"], ROUNDS);
        let more = |at: &str, least: u64| {
            let got = told.pointer(at).and_then(Value::as_f64).unwrap_or(0.0);
            assert!(got >= least as f64, "{at}: {told}");
        };
        more("/index/bytes", 10_000);
        more("/journal/bytes", 700 * WORDS_OF_FACT as u64 * 7);
        more("/search/words_ms/worst", 0);
        let text = run(&args(false)).unwrap();
        assert!(
            text.contains("search by vectors, exact") && text.contains("one commit of 16 facts"),
            "{text}"
        );
        assert_eq!(std::fs::read_dir(&above).unwrap().count(), 0);
        std::fs::remove_dir_all(&above).unwrap();
    }

    #[test]
    fn more_facts_than_a_memory_holds_are_refused() {
        let args =
            MemoryBench { facts: FACTS_MAX + 1, dimensions: 2, vectors: false, folder: None, json: true };
        assert!(run(&args).unwrap_err().to_string().contains("--facts is 1 to 100000"));
    }
}
