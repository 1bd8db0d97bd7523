//! What a home remembers, with real agents on hosts of their own: power that fails, a node that was away, a full disk, and
//! a neighbour whose model makes vectors.

#![allow(clippy::unwrap_used)] // A panic is how a test reports.

use admission::{ApiKey, ApiKeyFile, KeyLimits};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;
use tests::gateway::{self, Gateway};
use tests::model::{Manner, Model};
use tests::network::inside;
use tests::shelf::{Programs, Shelf};
use tests::worker::Worker;

const PROGRAMS: Programs =
    Programs { agent: env!("CARGO_BIN_EXE_agent-under-test"), duet: env!("CARGO_BIN_EXE_duet-under-test") };
const KEY: &str = "duet-key-of-the-tests";
const LIMITS: KeyLimits = KeyLimits { per_minute: 60_000, at_once: 64, tokens_per_day: 9_000_000 };

/// Asks a node on itself; status and body, 0 where nobody answers.
fn ask(shelf: &Shelf, idx: usize, path: &str, body: Option<Value>) -> (u16, Value) {
    let (path, key) = (path.to_owned(), format!("Authorization: Bearer {KEY}\r\n"));
    shelf.network.hosts[idx].on(move || {
        let there = SocketAddr::from((Ipv4Addr::LOCALHOST, 8000));
        let Ok(mut stream) = TcpStream::connect_timeout(&there, Duration::from_secs(2)) else {
            return (0, Value::Null);
        };
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let method = if body.is_some() { "POST" } else { "GET" };
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n{key}");
        let _ = write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len());
        let mut text = String::new();
        let _ = stream.read_to_string(&mut text);
        let status = text.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
        let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
        (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
    })
}

/// The best fact that a node finds.
fn best(shelf: &Shelf, idx: usize, question: &str) -> Option<String> {
    let (_, told) = ask(shelf, idx, "/api/memory/search", Some(json!({ "text": question })));
    told["facts"][0]["text"].as_str().map(str::to_owned)
}

fn is_written(folder: &Path, text: &str) -> bool {
    let entries: Vec<_> = std::fs::read_dir(folder).into_iter().flatten().flatten().collect();
    entries.iter().map(|entry| entry.path()).any(|path| match path.is_dir() {
        true => is_written(&path, text),
        false => {
            let file = std::fs::read(&path).unwrap_or_default();
            file.windows(text.len()).any(|at| at == text.as_bytes())
        }
    })
}

/// Three nodes whose addresses on the overlay are plain ones of the bridge.
fn shelf(name: &str) -> Shelf {
    let mut shelf = Shelf::unplugged(PROGRAMS, name, 3);
    let keys = keys(&shelf);
    for idx in 0..3 {
        shelf.nodes[idx].words.clone_from(&keys);
        shelf.start(idx);
    }
    shelf.wait_alive("three PCs and the server meet", &[0, 1, 2], 4);
    (0..3).for_each(|idx| shelf.join_overlay(idx));
    shelf
}

/// Words for an agent that takes the tests' key.
fn keys(shelf: &Shelf) -> Vec<String> {
    let keys = vec![ApiKey::new("tester", KEY, LIMITS).unwrap().with_voice()];
    let file = shelf.out.join("keys.json");
    std::fs::write(&file, ApiKeyFile { version: 1, keys }.to_json()).unwrap();
    vec!["--api-keys".into(), file.display().to_string()]
}

/// Until a fact lies on three nodes: their doors on the overlay open by and by.
fn remember(shelf: &Shelf, idx: usize, text: &str) -> String {
    let mut id = String::new();
    let told = std::cell::RefCell::new(&mut id);
    shelf.wait(text, || {
        let (status, answer) = ask(shelf, idx, "/api/memory", Some(json!({ "text": text })));
        **told.borrow_mut() = answer["id"].as_str().unwrap_or_default().to_owned();
        status == 200 && answer["nodes"] == 3 && answer["of"] == 3
    });
    id
}

fn boot_without_memory(shelf: &mut Shelf, idx: usize) {
    shelf.kill(idx);
    std::fs::remove_dir_all(&shelf.nodes[idx].memory).unwrap();
    shelf.start(idx);
}

#[test]
fn a_home_remembers_when_power_fails_and_forgets_on_a_node_that_was_away() {
    if !inside("a_home_remembers_when_power_fails_and_forgets_on_a_node_that_was_away") {
        return;
    }
    let mut shelf = shelf("memory-power");
    let id = remember(&shelf, 0, "the spare key is under the blue flower pot");
    // Said twice it is one fact.
    assert_eq!(remember(&shelf, 0, "the spare key is under the blue flower pot"), id);
    let key = |shelf: &Shelf, idx: usize| best(shelf, idx, "where is the spare key?").is_some();
    boot_without_memory(&mut shelf, 0);
    shelf.wait("its node knows again", || key(&shelf, 0));
    // Both that kept it, one after the other and without a disk.
    boot_without_memory(&mut shelf, 1);
    boot_without_memory(&mut shelf, 2);
    shelf.wait("both keepers know again", || key(&shelf, 1) && key(&shelf, 2));

    // Away with its memory, while the others forget.
    shelf.kill(2);
    let (status, _) = ask(&shelf, 0, "/api/memory/forget", Some(json!({ "id": id })));
    assert_eq!(status, 200);
    assert!(is_written(&shelf.nodes[2].memory, "blue flower pot"));
    shelf.wait("the others have forgotten", || {
        (0..2).all(|idx| !key(&shelf, idx) && !is_written(&shelf.nodes[idx].memory, "flower"))
    });
    shelf.start(2);
    shelf.wait("the one that was away has forgotten", || !is_written(&shelf.nodes[2].memory, "flower"));
    shelf.wait("it is up", || ask(&shelf, 2, "/api/memory", None).0 == 200);
    assert!(!key(&shelf, 2));
}

/// What a person hears at a node.
fn say(shelf: &Shelf, idx: usize, text: &str) -> String {
    let (_, told) = ask(shelf, idx, "/api/message", Some(json!({ "text": text })));
    words_of(told.as_str().unwrap_or_default())
}

fn words_of(answer: &str) -> String {
    let words = answer.lines().filter_map(|line| line.strip_prefix("data: {\"words\":"));
    words.filter_map(|json| serde_json::from_str::<String>(json.strip_suffix('}')?).ok()).collect()
}

#[test]
fn what_is_said_to_one_node_is_promised_when_two_others_keep_it_and_known_at_all() {
    if !inside("what_is_said_to_one_node_is_promised_when_two_others_keep_it_and_known_at_all") {
        return;
    }
    let mut shelf = shelf("memory-said");
    remember(&shelf, 0, "the bin goes out on Tuesday");
    assert_eq!(say(&shelf, 1, "Remember that the key lies under the mat."), "I will remember that.");
    shelf.wait("the third knows it", || {
        say(&shelf, 2, "What do you know about the key?") == "You told me: the key lies under the mat."
    });
    shelf.kill(0);
    shelf.wait("one is missed", || {
        say(&shelf, 1, "Remember that it rains.") == "I noted that, so far on 2 computers only."
    });
    // The one that is away cannot have forgotten yet.
    let told = say(&shelf, 2, "Forget that the key lies under the mat.");
    assert_eq!(
        told,
        "I have forgotten: the key lies under the mat. Computers that are away will forget it when they return."
    );
    shelf.start(0);
    shelf.wait("it has come back and forgotten", || {
        ask(&shelf, 0, "/api/memory", None).0 == 200 && !is_written(&shelf.nodes[0].memory, "under the mat")
    });
}

#[test]
fn an_expert_is_told_the_facts_that_belong_to_a_question_and_a_key_for_models_hears_none() {
    let model = Model::new(Manner::Well);
    let folder = std::env::temp_dir().join(format!("duet-{}-memory-told", std::process::id()));
    let words = ["--llm-url".to_owned(), format!("http://{}", model.address)];
    let words = words.into_iter().chain(["--memory".to_owned(), folder.display().to_string()]);
    let program = Path::new(PROGRAMS.agent);
    let gateway = Gateway::start(program, "memory-told", LIMITS, &words.collect::<Vec<_>>());
    let say = |key: &str, text: &str| {
        let body = json!({ "text": text, "conversation": "c" }).to_string();
        words_of(&gateway.ask("POST", "/api/message", &format!("Authorization: Bearer {key}\r\n"), &body))
    };
    let told = say(gateway::KEY, "Remember that the key lies under the mat.");
    assert_eq!(told, "I noted that, so far on one computer only.");
    assert_eq!(model.n_heard(), 0, "no model is asked");
    let asked = |key: &str, text: &str| {
        say(key, text);
        model.last().1["messages"].as_array().unwrap().last().unwrap()["content"].as_str().unwrap().to_owned()
    };
    let prompt = asked(gateway::KEY, "Where is the key?");
    assert!(prompt.contains("---\n- the key lies under the mat\n---\n\nWhere is the key?"), "{prompt}");
    assert_eq!(asked(gateway::KEY, "Why is the sky blue?"), "Why is the sky blue?");
    assert_eq!(asked(gateway::KEY_OF_MODELS, "Where is the key?"), "Where is the key?");
    let told = say(gateway::KEY_OF_MODELS, "What do you know about the key?");
    assert_eq!(told, "What I was told is only for those who have a key for the voice.");

    say(gateway::KEY, "Remember that the garage key is blue.");
    let told = say(gateway::KEY, "Forget about the key.");
    assert!(told.starts_with("I forgot nothing, because you may mean one of several: "), "{told}");
    let told = say(gateway::KEY, "Forget that the key lies under the mat.");
    assert_eq!(told, "I have forgotten: the key lies under the mat.");
    assert_eq!(asked(gateway::KEY, "What is under the mat?"), "What is under the mat?");
    assert!(!is_written(&folder, "under the mat") && is_written(&folder, "garage key"));
    assert_eq!(
        say(gateway::KEY, "What do you know about the garage?"),
        "You told me: the garage key is blue."
    );
    assert_eq!(say(gateway::KEY, "forget that"), "I have forgotten: the garage key is blue.");
    assert_eq!(say(gateway::KEY, "forget that"), "I know nothing about that.");
    assert!(say(gateway::KEY, "remember that").ends_with("say in one sentence what I am to remember."));
    drop(gateway);
    let _ = std::fs::remove_dir_all(folder);
}

#[test]
fn a_node_with_a_full_disk_is_not_counted_and_says_so() {
    if !inside("a_node_with_a_full_disk_is_not_counted_and_says_so") {
        return;
    }
    let mut shelf = shelf("memory-full");
    remember(&shelf, 0, "the garage code is 4711");
    // The same folder on a disk of its own that is full.
    shelf.kill(1);
    let folder = shelf.nodes[1].memory.join("memory");
    let at = folder.display();
    shelf.shell(1, &format!("rm -rf {at}; mkdir {at}; mount -t tmpfs -o size=64k none {at}"));
    shelf.shell(1, &format!("head -c 65536 /dev/zero >{at}/ballast"));
    shelf.start(1);
    shelf.wait("it runs", || ask(&shelf, 1, "/api/memory", None).0 != 0);
    shelf.wait("two are counted", || {
        let (status, told) =
            ask(&shelf, 0, "/api/memory", Some(json!({ "text": "the bin goes out on Tuesday" })));
        status == 200 && told["nodes"] == 2 && told["of"] == 3
    });
    let (status, why) = ask(&shelf, 1, "/api/memory", Some(json!({ "text": "nobody can keep this" })));
    assert!(status == 507 && why.to_string().contains("space"), "{status} {why}");
    // Room again: it takes what it missed.
    shelf.shell(1, &format!("rm {at}/ballast; mount -o remount,size=16m {at}"));
    shelf.wait("it catches up", || best(&shelf, 1, "when does the bin go out?").is_some());
}

#[test]
fn a_saved_memory_is_loaded_by_another_home() {
    if !inside("a_saved_memory_is_loaded_by_another_home") {
        return;
    }
    let shelf = shelf("memory-saved");
    remember(&shelf, 0, "Anna's birthday is on the 3rd of May");
    let command = |idx: usize, words: &[&str]| {
        let mut agent = shelf.network.hosts[idx].command(PROGRAMS.agent);
        let done = agent.arg("memory").args(words).env("DUET_API_KEY", KEY).output().unwrap();
        let said = [&done.stdout[..], &done.stderr].concat();
        (done.status.success(), String::from_utf8_lossy(&said).into_owned())
    };
    let file = shelf.out.join("saved.jsonl").display().to_string();
    assert_eq!(command(1, &["save", &file]), (true, String::new()));
    assert_eq!(command(1, &["load", &file]), (true, "0 new facts, 1 in all\n".into()));
    let (_, listed) = command(2, &["search", "when is Anna's birthday"]);
    assert!(listed.contains("Anna's birthday is on the 3rd of May") && listed.contains(" ms)"), "{listed}");
    let id = listed.split(' ').next().unwrap();
    let (is_done, said) = command(2, &["forget", id]);
    assert!(is_done && said.starts_with("forgotten on 3 of 3 nodes"), "{said}");
    // What was forgotten on purpose does not come back from a file.
    assert_eq!(command(0, &["load", &file]), (true, "0 new facts, 0 in all\n".into()));
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("May", "June")).unwrap();
    let (is_done, said) = command(0, &["load", &file]);
    assert!(!is_done && said.contains("cut or changed"), "{said}");
    let (is_done, said) = command(0, &["remember", "the bus leaves at 7:12"]);
    assert!(is_done && said.contains("lies on 3 of 3 nodes"), "{said}");
    let without_key = shelf.network.hosts[0]
        .on(|| tests::node::get(SocketAddr::from((Ipv4Addr::LOCALHOST, 8000)), "/api/memory"));
    assert!(without_key.starts_with("HTTP/1.1 401"), "{without_key}");
}

#[test]
fn a_fact_is_found_by_its_meaning_with_the_model_of_a_neighbour_and_by_words_when_that_is_gone() {
    const NAME: &str =
        "a_fact_is_found_by_its_meaning_with_the_model_of_a_neighbour_and_by_words_when_that_is_gone";
    let (worker, model) = match Worker::needs(Path::new(PROGRAMS.agent), "embed/all-MiniLM-L6-v2-q8_0.gguf") {
        Ok(needs) => needs,
        Err(why) => return tests::skip(NAME, &why),
    };
    if !inside(NAME) {
        return;
    }
    let mut shelf = Shelf::unplugged(PROGRAMS, "memory-meaning", 2);
    let lines = "model = \"vectors.gguf\"\nuse = \"embeddings\"\ncontext = 256\ntags = [\"embeddings\"]\n";
    shelf.put_expert("vectors", lines);
    // The second alone has the file.
    shelf.put_model(1, "vectors.gguf", &model);
    for idx in 0..2 {
        shelf.nodes[idx].root.put_proc(&format!("m{idx}"), 2000, 1024);
        std::fs::create_dir_all(shelf.models(idx)).unwrap();
        let folders = [("--experts", shelf.experts()), ("--models", shelf.models(idx))];
        let folders = folders.map(|(word, folder)| [word.to_owned(), folder.display().to_string()]);
        shelf.nodes[idx].words = keys(&shelf).into_iter().chain(folders.into_iter().flatten()).collect();
        shelf.start(idx);
        shelf.start_worker(idx, &worker);
    }
    shelf.wait_alive("two PCs and the server meet", &[0, 1], 3);
    (0..2).for_each(|idx| shelf.join_overlay(idx));
    for fact in ["I am allergic to peanuts", "the car is parked on the third level", "our dog is Bruno"] {
        shelf.wait(fact, || {
            let (status, told) = ask(&shelf, 0, "/api/memory", Some(json!({ "text": fact })));
            status == 200 && told["nodes"] == 2
        });
    }
    let status = |idx: usize| ask(&shelf, idx, "/api/memory", None).1["status"].clone();
    shelf.wait("the neighbour's model made vectors", || status(0)["n_vectors"] == 3);
    assert_eq!(status(0)["model"], "vectors");
    // No word of the question is a word of the fact.
    let question = json!({ "text": "Is there any food with nuts that would make me ill?" });
    let search = |shelf: &Shelf| ask(shelf, 0, "/api/memory/search", Some(question.clone())).1;
    // A question waits two seconds at most for its vector, which a busy machine may pass over.
    shelf.wait("a fact is found by its meaning", || {
        let told = search(&shelf);
        println!("{told}");
        let first = &told["facts"][0];
        first["text"] == "I am allergic to peanuts" && first["by_meaning"] == true && told["ms"].is_number()
    });
    // Words go on where nobody makes vectors any more.
    shelf.kill_worker(1);
    assert_eq!(best(&shelf, 0, "where is the car?").unwrap(), "the car is parked on the third level");
    assert_eq!(search(&shelf)["facts"].as_array().map(Vec::len), Some(0));
}
