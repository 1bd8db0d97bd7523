//! The desk on real folders: when there is an index, what becomes of one that is spoiled, and what forgetting leaves.

use super::desk::{Desk, FACTS_WITHOUT_INDEX, FoundFact, Question, Wish};
use journal::{Entry, Fact, FactId};
use std::fs;
use std::path::{Path, PathBuf};

const MODEL: &str = "a-model";

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("duet-{}-desk-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn desk(&self) -> Desk {
        Desk::start(Some(self.0.clone())).unwrap()
    }

    fn has_index(&self) -> bool {
        self.0.join("index").exists()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn id(n: usize) -> FactId {
    FactId(*blake3::hash(&n.to_le_bytes()).as_bytes().first_chunk().unwrap())
}

fn fact(n: usize) -> Entry {
    let text = format!("the {n}th thing lies on shelf{n}");
    Entry::Fact(Fact { id: id(n), salt: [1; 16], told_s: 0, node: 1, text })
}

async fn learn(desk: &Desk, entries: Vec<Entry>) {
    desk.ask(|told| Wish::Learn(entries, told)).await.unwrap();
}

async fn search(desk: &Desk, text: &str, vector: Option<Vec<f32>>) -> Vec<FoundFact> {
    let vector = vector.map(|vector| (MODEL.to_owned(), vector));
    let question = Question { text: text.to_owned(), vector, n: 3 };
    desk.ask(|told| Wish::Search(question, told)).await.unwrap()
}

async fn check(desk: &Desk, n: usize) {
    let found = search(desk, &format!("what is on shelf{n}?"), None).await;
    assert_eq!(found.first().map(|found| found.fact.id), Some(id(n)), "{n}");
}

/// Two numbers, which point where nothing else points.
fn vector(n: usize) -> Vec<f32> {
    let angle = n as f32 / 100.0;
    vec![angle.cos(), angle.sin()]
}

fn is_written(folder: &Path, text: &str) -> bool {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.into_iter().any(|path| match path.is_dir() {
        true => is_written(&path, text),
        false => fs::read(&path).unwrap().windows(text.len()).any(|at| at == text.as_bytes()),
    })
}

#[tokio::test]
async fn a_home_that_knows_little_has_no_index_and_finds_all_the_same() {
    let folder = Folder::new("little");
    let desk = folder.desk();
    learn(&desk, (0..FACTS_WITHOUT_INDEX).map(fact).collect()).await;
    check(&desk, 7).await;
    assert!(!folder.has_index() && desk.status().index == "not needed yet");
    learn(&desk, vec![fact(FACTS_WITHOUT_INDEX)]).await;
    check(&desk, 7).await;
    check(&desk, FACTS_WITHOUT_INDEX).await;
    assert!(folder.has_index() && desk.status().index.starts_with("made anew"), "{:?}", desk.status());
}

#[tokio::test]
async fn a_model_that_makes_vectors_brings_an_index_that_outlives_the_agent() {
    let folder = Folder::new("vectors");
    let desk = folder.desk();
    // Nothing is known, so nothing lacks a vector.
    let lacking =
        async |desk: &Desk| desk.ask(|told| Wish::Lacking(MODEL.into(), 100, told)).await.unwrap().len();
    assert_eq!(lacking(&desk).await, 0);
    assert!(!folder.has_index());
    learn(&desk, (0..50).map(fact).collect()).await;
    assert_eq!(lacking(&desk).await, 50);
    let vectors = (0..50).map(|n| (id(n), vector(n))).collect();
    desk.ask(|told| Wish::Vectors(MODEL.into(), vectors, told)).await.unwrap();
    assert_eq!(lacking(&desk).await, 0);
    drop(desk);
    let desk = again(&folder).await;
    assert_eq!((desk.status().n_vectors, desk.status().index.as_str()), (50, "whole"));
    let found = search(&desk, "nothing of these words", Some(vector(31))).await;
    assert!(found[0].fact.id == id(31) && found[0].is_near, "{found:?}");
    // Another model's are others.
    let other = desk.ask(|told| Wish::Lacking("another".into(), 100, told)).await.unwrap();
    assert_eq!(other.len(), 50);
}

/// The thread of the desk before ends soon after its last wish, and holds the folder until then.
async fn again(folder: &Folder) -> Desk {
    loop {
        let desk = folder.desk();
        if desk.ask(|told| Wish::List(1, told)).await.is_ok() {
            return desk;
        }
        drop(desk);
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_is_forgotten_is_in_no_file_of_journal_or_index() {
    let folder = Folder::new("forgotten");
    let desk = folder.desk();
    let n = FACTS_WITHOUT_INDEX + 10;
    learn(&desk, (0..n).map(fact).collect()).await;
    let vectors = (0..n).map(|n| (id(n), vector(n))).collect();
    desk.ask(|told| Wish::Vectors(MODEL.into(), vectors, told)).await.unwrap();
    assert!(is_written(&folder.0, "shelf123"));
    learn(&desk, vec![Entry::Forget(id(123))]).await;
    // The index follows behind the answer.
    check(&desk, 124).await;
    assert!(!is_written(&folder.0, "shelf123") && is_written(&folder.0, "shelf124"));
    assert_eq!(desk.status().n_vectors, n - 1);
    let found = search(&desk, "nothing of these words", Some(vector(123))).await;
    assert!(found.iter().all(|found| found.fact.id != id(123)), "{found:?}");
}

#[tokio::test]
async fn an_index_whose_files_are_spoiled_is_made_anew_and_nothing_is_missed() {
    let folder = Folder::new("spoiled");
    let desk = folder.desk();
    let n = FACTS_WITHOUT_INDEX + 10;
    learn(&desk, (0..n).map(fact).collect()).await;
    check(&desk, 3).await;
    drop(desk);
    drop(again(&folder).await);
    for name in ["conf", "db"] {
        let path = loop {
            // Until the last thread that wrote it is gone.
            if super::files::Files::open(&folder.0).is_ok() {
                break folder.0.join("index").join(name);
            }
            std::thread::yield_now();
        };
        let mut bytes = fs::read(&path).unwrap();
        bytes.fill(0xa5);
        fs::write(&path, bytes).unwrap();
        let desk = again(&folder).await;
        assert!(desk.status().index.starts_with("made anew"), "{name}: {:?}", desk.status());
        for n in (0..n).step_by(7) {
            check(&desk, n).await;
        }
    }
}
