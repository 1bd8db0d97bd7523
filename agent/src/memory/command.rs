//! `agent memory`: asks the agent that runs, as any other client with a key does; and measures searching.

use super::door::{FORGET_PATH, LOAD_PATH, PATH, SAVE_PATH, SEARCH_PATH};
use super::index::Index;
use super::search;
use super::vectors::{Vectors, quantize};
use crate::args::{Memory, MemoryBench, MemoryDeed};
use anyhow::{Context, bail, ensure};
use journal::{Book, Chain, Entry, FACTS_MAX, Fact, FactId, SAVED_BYTES_MAX};
use serde_json::{Value, json};
use service::upstream::{self, Ask};
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

const KEY: &str = "DUET_API_KEY";
const KEY_BYTES_MAX: usize = 4096;
const ANSWER_TIME_MAX: Duration = Duration::from_secs(120);
/// Searches of each kind that are measured.
const ROUNDS: usize = 21;

pub async fn run(args: Memory) -> anyhow::Result<()> {
    let Memory { agent, key_file, deed } = args;
    if let MemoryDeed::Bench(bench) = deed {
        return measure(&bench);
    }
    let client = Client { agent, key: key(key_file.as_deref())? };
    match deed {
        MemoryDeed::List(_) => show(&client.ask(PATH, None).await?),
        MemoryDeed::Search(search) => {
            show(&client.ask(SEARCH_PATH, Some(json!({ "text": search.text }).to_string())).await?)
        }
        MemoryDeed::Remember(remember) => {
            let told = client.ask(PATH, Some(json!({ "text": remember.text }).to_string())).await?;
            let told: Value = serde_json::from_slice(&told).context("the answer is no JSON")?;
            let id = told["id"].as_str().unwrap_or_default();
            crate::print(&format!("{id} lies on {} of {} nodes\n", told["nodes"], told["of"]))
        }
        MemoryDeed::Forget(forget) => {
            let told = client.ask(FORGET_PATH, Some(json!({ "id": forget.id }).to_string())).await?;
            let told: Value = serde_json::from_slice(&told).context("the answer is no JSON")?;
            crate::print(&format!(
                "forgotten on {} of {} nodes; those that are away forget it when they return\n",
                told["nodes"], told["of"]
            ))
        }
        MemoryDeed::Save(save) => {
            let told = client.ask(SAVE_PATH, None).await?;
            std::fs::write(&save.file, told).with_context(|| format!("cannot write {}", save.file.display()))
        }
        MemoryDeed::Load(load) => {
            let text = std::fs::read_to_string(&load.file)
                .with_context(|| format!("cannot read {}", load.file.display()))?;
            let told = client.ask(LOAD_PATH, Some(text)).await?;
            let told: Value = serde_json::from_slice(&told).context("the answer is no JSON")?;
            crate::print(&format!("{} new facts, {} in all\n", told["new"], told["facts"]))
        }
        MemoryDeed::Bench(_) => Ok(()),
    }
}

fn key(file: Option<&Path>) -> anyhow::Result<String> {
    let text = match file {
        Some(file) => {
            std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?
        }
        None => std::env::var(KEY)
            .with_context(|| format!("no API key: set {KEY}, or name a file by --key-file"))?,
    };
    let key = text.trim().to_owned();
    ensure!(!key.is_empty() && key.len() <= KEY_BYTES_MAX, "this is no API key");
    Ok(key)
}

struct Client {
    agent: SocketAddr,
    key: String,
}

impl Client {
    /// The body of a good answer.
    async fn ask(&self, path: &str, body: Option<String>) -> anyhow::Result<Vec<u8>> {
        let shown = format!("Bearer {}", self.key);
        let fields = [("authorization", shown.as_str())];
        let ask = Ask { address: self.agent, path, fields: &fields, body: body.map(Into::into) };
        let answer = upstream::ask(ask, ANSWER_TIME_MAX)
            .await
            .with_context(|| format!("the agent at {} does not answer", self.agent))?;
        let status = answer.status;
        let body = answer.whole(SAVED_BYTES_MAX, ANSWER_TIME_MAX).await.context("the answer broke")?;
        if status != 200 {
            bail!("{}", String::from_utf8_lossy(&body).trim_end());
        }
        Ok(body)
    }
}

fn show(body: &[u8]) -> anyhow::Result<()> {
    let told: Value = serde_json::from_slice(body).context("the answer is no JSON")?;
    let facts = told["facts"].as_array().cloned().unwrap_or_default();
    let line = |fact: &Value| {
        let part = |name: &str| fact[name].as_str().unwrap_or_default().to_owned();
        format!("{}  {}\n", part("id"), part("text"))
    };
    let mut text: String = facts.iter().map(line).collect();
    if facts.is_empty() {
        text = "nothing is known\n".into();
    }
    if let Some(ms) = told["ms"].as_f64() {
        text += &format!("({ms:.1} ms)\n");
    }
    crate::print(&text)
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

    fn vector(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.roll(2001) as f32 - 1000.0).collect()
    }
}

fn measure(args: &MemoryBench) -> anyhow::Result<()> {
    ensure!((1..=FACTS_MAX).contains(&args.facts), "1 to {FACTS_MAX} facts");
    ensure!((1..=super::vectors::DIMENSIONS_MAX).contains(&args.dimensions), "too many numbers in a vector");
    let mut dice = Dice(7);
    let (mut book, mut vectors) = (Book::default(), Vectors::default());
    for n in 0..args.facts {
        let id = FactId(*blake3::hash(&n.to_le_bytes()).as_bytes().first_chunk().context("a hash")?);
        let text = dice.text(10);
        book.take(Entry::Fact(Fact { id, salt: [0; 16], told_s: 0, node: 0, text }));
        if let Some(vector) = quantize(&dice.vector(args.dimensions)) {
            vectors.put(id, &vector);
        }
    }
    let folder = std::env::temp_dir().join(format!("duet-memory-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).context("no folder for an index")?;
    let path = folder.join("index");
    let (index, build_ms) = timed(|| Index::open(&path, &book, (1, Chain::default())));
    let (index, _) = index.context("no index")?;
    drop(index);
    let (index, open_ms) = timed(|| Index::open(&path, &book, (1, Chain::default())));
    let (index, _) = index.context("no index")?;
    let (mut by_words, mut by_book, mut by_vectors) = (vec![], vec![], vec![]);
    for round in 0..ROUNDS {
        let question = dice.text(5);
        by_words.push(timed(|| search::by_words(&book, Some(&index), &question, 10)).1);
        if round % 5 == 0 {
            by_book.push(timed(|| search::by_words(&book, None, &question, 10)).1);
        }
        let vector = quantize(&dice.vector(args.dimensions)).context("a vector")?;
        by_vectors.push(timed(|| vectors.nearest(&vector, 10)).1);
    }
    drop(index);
    let _ = std::fs::remove_dir_all(&folder);
    let told = json!({
        "facts": args.facts,
        "dimensions": args.dimensions,
        "index_build_ms": build_ms,
        "index_open_ms": open_ms,
        "words_ms": median(by_words),
        "words_without_index_ms": median(by_book),
        "vectors_ms": median(by_vectors),
    });
    crate::print(&format!("{told}\n"))
}

fn timed<T>(act: impl FnOnce() -> T) -> (T, f64) {
    let began = Instant::now();
    let done = act();
    (done, began.elapsed().as_secs_f64() * 1000.0)
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or_default()
}
