//! Models on a shelf: real agents and rpc-workers plan, load, answer and lose each other, each host in a network
//! namespace of its own.

#![allow(clippy::unwrap_used)] // A panic is how a test reports.

#[path = "../../crates/engine/tests/common/families.rs"]
mod families;
#[allow(dead_code)] // Only its vocabulary is needed.
#[path = "../../crates/engine/tests/common/tiny.rs"]
mod tiny;

use families::{ALL, Family, model};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tests::network::inside;
use tests::shelf::{Programs, Shelf};
use tests::worker::Worker;

const PROGRAMS: Programs =
    Programs { agent: env!("CARGO_BIN_EXE_agent-under-test"), duet: env!("CARGO_BIN_EXE_duet-under-test") };

/// Longer than what is read before a wire is cut.
const LONG: u32 = 300;

/// Each shelf has up to five nodes that compute, so the tests take turns.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// rpc-worker, and a small model of the shared ones.
fn needs(test: &str) -> Option<(PathBuf, PathBuf)> {
    let needs = Worker::needs(Path::new(PROGRAMS.agent), "llm/stories260K.gguf");
    needs.map_err(|why| tests::skip(test, &why)).ok()
}

fn chat(expert: &str, n_tokens: u32) -> Value {
    let messages = json!([{"role": "user", "content": "Once upon a time"}]);
    json!({"model": expert, "messages": messages, "max_tokens": n_tokens, "temperature": 0, "seed": 1})
}

/// Numbers of the hosts, the lowest id first: it plans.
fn by_id(shelf: &Shelf) -> Vec<usize> {
    let mut all: Vec<usize> = (0..shelf.nodes.len()).collect();
    all.sort_by_key(|idx| shelf.nodes[*idx].id.clone());
    all
}

/// All of these follow one plan of the first.
fn wait_plan(shelf: &Shelf, of: &[usize], above: u64) -> u64 {
    let generation = |idx: usize| shelf.plan(idx)["generation"].as_u64().unwrap_or(0);
    shelf
        .wait("the first plans", || shelf.plan(of[0])["is_coordinator"] == true && generation(of[0]) > above);
    shelf.wait("all follow one plan", || of.iter().all(|idx| generation(*idx) == generation(of[0])));
    generation(of[0])
}

/// Every one of these gateways answers for this expert, in one piece.
#[track_caller]
fn all_answer(shelf: &Shelf, key: &str, gateways: &[usize], expert: &str, by: &str) {
    let mut texts: Vec<String> = vec![];
    for idx in gateways {
        let reply = shelf.ask(*idx, key, &chat(expert, 8));
        assert_eq!(reply.status, 200, "{expert} at {idx}: {reply:?}");
        assert_eq!((&reply.body["model"], reply.body["duet"].is_null()), (&json!(by), true), "{reply:?}");
        texts.push(reply.body["choices"][0]["message"]["content"].as_str().unwrap().to_owned());
    }
    assert!(texts.windows(2).all(|two| two[0] == two[1]), "{texts:?}");
}

#[test]
fn models_find_their_nodes_and_outlive_them() {
    const NAME: &str = "models_find_their_nodes_and_outlive_them";
    let Some((worker, stories)) = needs(NAME) else { return };
    let _turn = turn();
    if !inside(NAME) {
        return;
    }
    let mut shelf = Shelf::unplugged(PROGRAMS, "shelf-models", 4);
    let order = by_id(&shelf);
    // Slow enough to be cut in the middle of an answer.
    let slow = shelf.out.join("slow.gguf");
    std::fs::write(&slow, model(&Family { n_embd: 512, n_layers: 8, ..ALL[0] })).unwrap();
    for idx in 0..4 {
        shelf.nodes[idx].root.put_proc(&format!("n{idx}"), 2000, 1024);
        shelf.put_model(idx, "small.gguf", &stories);
    }
    // Speeds that are measured on a busy machine are dice, so each has no more places than it wants.
    [1, 2].iter().for_each(|n| shelf.put_model(order[*n], "calm.gguf", &slow));
    shelf.put_model(order[1], "late.gguf", &stories);
    shelf.put_model(order[3], "code.gguf", &stories);
    let lines = |model: &str, copies: u32, tag: &str| {
        format!("model = \"{model}\"\ncontext = 512\nslots = 2\ncopies = {copies}\ntags = [\"{tag}\"]\n")
    };
    shelf.put_expert("calm", &lines("calm.gguf", 2, "general"));
    shelf.put_expert("code", &lines("code.gguf", 1, "coding"));
    shelf.put_expert("small", &(lines("small.gguf", 1, "small") + "fallback = true\n"));
    let key = shelf.lend(&worker);

    // The lowest id plans, letters arrive, and what they say is loaded and told.
    let first = wait_plan(&shelf, &order, 0);
    for (expert, n) in [("calm", 2), ("code", 1), ("small", 4)] {
        shelf.wait(&format!("{expert} is held"), || shelf.holders(&order, expert).len() == n);
        for idx in &order {
            shelf.wait(&format!("{expert} is told"), || shelf.n_told(*idx, expert) == n);
        }
    }
    assert_eq!(shelf.holders(&order, "code"), [order[3]]);
    let plan: Value =
        serde_json::from_str(&shelf.network.hosts[order[0]].on(|| tests::shelf::get("/api/plan"))).unwrap();
    assert!(plan["plan"]["seats"].as_array().is_some_and(|seats| seats.len() >= 7), "{plan:#}");

    // Every gateway finds them, wherever they are.
    all_answer(&shelf, &key, &order, "code", "code");
    all_answer(&shelf, &key, &order, "auto", "calm");
    assert_eq!(shelf.ask(order[0], &key, &chat("gpt-4", 8)).status, 404);

    // Facts that change are looked at, and change nothing where little is gained.
    let generation = wait_plan(&shelf, &order, first - 1);
    let n_made = || shelf.plan(order[0])["n_made"].as_u64().unwrap();
    let before = n_made();
    shelf.nodes[order[2]].root.put_proc("n-other", 2000, 768);
    shelf.wait("a new plan is made", || n_made() > before);
    assert_eq!(wait_plan(&shelf, &order, first - 1), generation);

    // A new expert's file is read, planned and held.
    shelf.put_expert("late", &lines("late.gguf", 1, "late"));
    shelf.wait("a new expert is held", || shelf.holders(&order, "late").len() == 1);
    shelf.wait("a new expert is told", || shelf.n_told(order[1], "late") == 1);
    all_answer(&shelf, &key, &order[1..2], "late", "late");

    // A file that takes the place of its model is loaded.
    let loaded = || shelf.n_said(order[1], " late is served");
    let (n, new) = (loaded(), shelf.models(order[1]).join("late.gguf.new"));
    std::fs::copy(&stories, &new).unwrap();
    std::fs::rename(&new, shelf.models(order[1]).join("late.gguf")).unwrap();
    shelf.wait("the new file is loaded", || loaded() > n);
    shelf.wait("it is told again", || shelf.n_told(order[1], "late") == 1);
    all_answer(&shelf, &key, &order[1..2], "late", "late");

    // What the owner writes for all nodes reaches them, and its end too.
    let status = |idx: usize| shelf.ask(idx, &key, &chat("gpt-4", 8)).status;
    for (text, want) in [("[models]\nllm_last_resort = ['http://10.77.0.1:9']\n", 503), ("", 404)] {
        std::fs::write(shelf.out.join("state/duet.toml"), text).unwrap();
        for idx in &order {
            shelf.wait("the owner's settings hold", || status(*idx) == want);
        }
    }

    // A wire is cut in the middle of a stream.
    let holders = shelf.holders(&order, "calm");
    let gateway = *order.iter().find(|idx| !holders.contains(idx)).unwrap();
    let mut stream = shelf.stream(gateway, &key, &{
        let mut body = chat("calm", LONG);
        body["stream"] = json!(true);
        body
    });
    stream.read(20);
    let busy = |idx: usize| shelf.n_busy(idx, "calm") > 0;
    let writer = *holders.iter().find(|idx| busy(**idx)).expect("somebody writes it");
    shelf.network.cut(&[writer]);
    stream.read(usize::MAX);
    println!("a cut in a stream: it went on after {:.1} s", stream.pause.as_secs_f64());
    assert!(stream.is_done && stream.error.is_null(), "{stream:?}");
    assert_eq!((stream.handovers.len(), &stream.handovers[0]["expert"]), (1, &json!("calm")), "{stream:?}");
    shelf.network.heal(&[writer]);
    shelf.wait_alive("all are one again", &order, 5);
    shelf.wait("both copies are told", || shelf.n_told(gateway, "calm") == 2);

    // Who planned is gone: the next one counts on, and what is held stays held.
    let generation = wait_plan(&shelf, &order, first - 1);
    let rest = &order[1..];
    let loaded = |shelf: &Shelf| -> Vec<(usize, usize, String)> {
        let each = |idx: &usize| {
            let idx = *idx;
            let told = |name: String| (idx, shelf.n_said(idx, &format!(" {name} is served")), name);
            let loaded: Vec<_> = shelf.served(idx).into_iter().map(told).collect();
            loaded
        };
        rest.iter().flat_map(each).collect()
    };
    let before = loaded(&shelf);
    assert!(!before.is_empty(), "the others hold nothing, so nothing could be loaded anew");
    shelf.kill(order[0]);
    shelf.kill_worker(order[0]);
    wait_plan(&shelf, rest, generation);
    shelf.wait("two copies are held again", || shelf.holders(rest, "calm").len() == 2);
    for (idx, n, name) in &before {
        assert!(shelf.served(*idx).contains(name), "{name} at {idx} was given up");
        assert_eq!(shelf.n_said(*idx, &format!(" {name} is served")), *n, "{name} at {idx} was loaded anew");
    }
    all_answer(&shelf, &key, rest, "code", "code");

    // A holder's worker dies: the copy comes up elsewhere.
    let holders = shelf.holders(rest, "calm");
    shelf.put_model(order[3], "calm.gguf", &slow);
    let lost = holders[0];
    shelf.kill_worker(lost);
    let left: Vec<usize> = rest.iter().copied().filter(|idx| *idx != lost).collect();
    shelf.wait("the copy is elsewhere", || shelf.holders(&left, "calm").len() == 2);
    all_answer(&shelf, &key, rest, "calm", "calm");

    // The last copy of an expert is gone: the small model answers, and says so.
    shelf.kill_worker(order[3]);
    let reply = shelf.ask(left[0], &key, &chat("code", 8));
    println!("{reply:?}");
    assert_eq!(
        (reply.status, &reply.body["duet"]["handover"]["expert"]),
        (200, &json!("small")),
        "{reply:?}"
    );
}

#[test]
fn a_model_that_no_node_can_hold_is_carried_by_several() {
    const NAME: &str = "a_model_that_no_node_can_hold_is_carried_by_several";
    let Some((worker, _)) = needs(NAME) else { return };
    let _turn = turn();
    if !inside(NAME) {
        return;
    }
    let mut shelf = Shelf::unplugged(PROGRAMS, "shelf-ring", 5);
    let order = by_id(&shelf);
    for idx in &order {
        // Beside what is left to others, room for a third of its layers with their caches; who plans first has none.
        let free_mib = if *idx == order[0] { 256 } else { 512 };
        shelf.nodes[*idx].root.put_proc(&format!("n{idx}"), 2000, free_mib);
    }
    let file = shelf.out.join("large.gguf");
    std::fs::write(&file, model(&Family { n_layers: 60, n_ctx: 1 << 17, ..ALL[0] })).unwrap();
    order[..4].iter().for_each(|idx| shelf.put_model(*idx, "large.gguf", &file));
    let lines = "model = \"large.gguf\"\ncontext = 131072\nslots = 1\ncopies = 1\nsplit = true\ntags = [\"general\"]\n";
    shelf.put_expert("large", lines);
    let key = shelf.lend(&worker);
    let first = wait_plan(&shelf, &order, 0);
    let stages = |idx: usize| shelf.plan(idx)["holds"][0].as_str().unwrap_or_default().to_owned();
    let all: Vec<String> = order[1..4].iter().map(|idx| stages(*idx)).collect();
    println!("{all:?}, {:#}", shelf.plan(order[0]));
    assert!(all.iter().all(|held| held.starts_with("large ")), "{all:?}");
    shelf.wait("the ring answers", || {
        breathe(&shelf, &order[1..4]);
        order.iter().all(|idx| shelf.n_told(*idx, "large") == 1)
    });
    // Nobody takes more than was planned.
    let plan: Value =
        serde_json::from_str(&shelf.network.hosts[order[0]].on(|| tests::shelf::get("/api/plan"))).unwrap();
    for idx in &order[1..4] {
        let parts = plan["plan"]["seats"][0]["parts"].as_array().unwrap();
        let part = parts.iter().find(|part| part["node"] == shelf.nodes[*idx].id.as_str()).unwrap();
        let (taken, planned) = (shelf.taken(*idx), part["bytes"].as_u64().unwrap());
        println!("{part}: {} MiB are taken", taken >> 20);
        assert!(taken <= planned && taken > planned / 2, "{part}: {taken} bytes are taken");
    }
    all_answer(&shelf, &key, &order, "large", "large");
    all_answer(&shelf, &key, &order, "auto", "large");
    // What is loaded is what was planned, also when another plans: the ring is neither loaded nor closed anew.
    let before = [said(&shelf, "the ring is closed"), said(&shelf, "large is served")];
    assert_eq!(before, [1, 1]);
    shelf.kill(order[0]);
    shelf.kill_worker(order[0]);
    wait_plan(&shelf, &order[1..], first);
    shelf.wait("all know the ring", || order[1..].iter().all(|idx| shelf.n_told(*idx, "large") == 1));
    all_answer(&shelf, &key, &order[1..], "large", "large");
    assert_eq!([said(&shelf, "the ring is closed"), said(&shelf, "large is served")], before);
}

#[test]
fn layers_of_a_model_come_without_the_rest_of_it() {
    const NAME: &str = "layers_of_a_model_come_without_the_rest_of_it";
    let Some((worker, stories)) = needs(NAME) else { return };
    let _turn = turn();
    if !inside(NAME) {
        return;
    }
    let mut shelf = Shelf::unplugged(PROGRAMS, "shelf-ranges", 4);
    let order = by_id(&shelf);
    for idx in &order {
        let free_mib = if *idx == order[0] { 256 } else { 512 };
        shelf.nodes[*idx].root.put_proc(&format!("n{idx}"), 2000, free_mib);
    }
    // 32 MB, so that a part of its layers is some of its chunks. Only the boot server has it, and tells its shape.
    let whole = model(&Family { n_layers: 57, n_embd: 128, n_ctx: 1 << 17, ..ALL[0] });
    let offered = shelf.out.join("models");
    std::fs::create_dir_all(&offered).unwrap();
    std::fs::write(offered.join("large.gguf.part"), &whole).unwrap();
    std::fs::rename(offered.join("large.gguf.part"), offered.join("large.gguf")).unwrap();
    // Every node gets the smallest that talks, whole.
    std::fs::copy(&stories, offered.join("small.gguf")).unwrap();
    shelf.put_expert(
        "large",
        "model = \"large.gguf\"\ncontext = 131072\nslots = 1\ncopies = 1\nsplit = true\n",
    );
    let key = shelf.lend(&worker);
    shelf.wait("the ring answers", || {
        breathe(&shelf, &order[1..]);
        order.iter().all(|idx| shelf.n_told(*idx, "large") == 1)
    });
    all_answer(&shelf, &key, &order, "large", "large");
    let large = |idx: &usize| -> Vec<String> {
        let files = std::fs::read_dir(shelf.models(*idx)).unwrap().flatten().map(|entry| entry.file_name());
        files.filter_map(|name| name.into_string().ok()).filter(|file| file.starts_with("large")).collect()
    };
    let carried: Vec<String> = order[1..].iter().flat_map(large).collect();
    assert!(carried.len() >= 2 && carried.iter().all(|file| file.contains(".layers-")), "{carried:?}");
    let n_chunks = |idx: &usize| -> u64 {
        let status: Value =
            serde_json::from_str(&shelf.network.hosts[*idx].on(|| tests::shelf::get("/api/status"))).unwrap();
        let files = status["spread"]["files"].as_array().unwrap();
        let of_it = files.iter().filter(|told| told["file"].as_str().unwrap().starts_with("large."));
        let from = of_it.flat_map(|told| told["from"].as_array().unwrap());
        from.map(|share| share[1].as_u64().unwrap()).sum()
    };
    let came: Vec<u64> = order[1..].iter().map(n_chunks).collect();
    let n_all = whole.len().div_ceil(4 << 20) as u64;
    println!("{came:?} chunks of {n_all} came for {carried:?}");
    // What is shown is without the head, which lies in the first; two neighbours may need the chunk between them.
    assert!(came.iter().all(|n| *n < n_all), "{came:?}");
    assert!((n_all - 3..n_all + 5).contains(&came.iter().sum()), "{came:?}");
    // Who plans next knows as much, and changes nothing.
    let before = [said(&shelf, "the ring is closed"), said(&shelf, "large is served")];
    let first = wait_plan(&shelf, &order, 0);
    shelf.kill(order[0]);
    shelf.kill_worker(order[0]);
    wait_plan(&shelf, &order[1..], first);
    shelf.wait("all know the ring", || order[1..].iter().all(|idx| shelf.n_told(*idx, "large") == 1));
    all_answer(&shelf, &key, &order[1..], "large", "large");
    assert_eq!([said(&shelf, "the ring is closed"), said(&shelf, "large is served")], before);
}

/// The memory is made up, so what these nodes have loaded is taken from it here.
fn breathe(shelf: &Shelf, of: &[usize]) {
    for idx in of {
        let free_mib = 512 - (shelf.taken(*idx) >> 20);
        shelf.nodes[*idx].root.put_proc(&format!("n{idx}"), 2000, free_mib);
    }
}

/// How often all rpc-workers have said this.
fn said(shelf: &Shelf, words: &str) -> usize {
    (0..shelf.nodes.len()).map(|idx| shelf.n_said(idx, words)).sum()
}
