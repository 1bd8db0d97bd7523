//! What the owner does from afar, on a shelf of real programs: closes the page, has a node look at itself, edits what
//! models are told, and sees who speaks.

#![allow(clippy::unwrap_used)] // A panic is how a test reports.

use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;
use tests::network::inside;
use tests::node::WAIT_MAX;
use tests::shelf::{Programs, Shelf};

const PROGRAMS: Programs =
    Programs { agent: env!("CARGO_BIN_EXE_agent-under-test"), duet: env!("CARGO_BIN_EXE_duet-under-test") };

/// Asks the agent of a node, on the node itself; gives status and the rest with its head.
fn ask(shelf: &Shelf, idx: usize, method: &str, path: &str, fields: &str, body: &str) -> (u16, String) {
    let length = body.len();
    let text = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nConnection: close\r\n{fields}Content-Length: {length}\r\n\r\n{body}"
    );
    let answer = shelf.network.hosts[idx].on(move || {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, 8000)).unwrap();
        stream.set_read_timeout(Some(WAIT_MAX)).unwrap();
        let _ = stream.write_all(text.as_bytes());
        let mut answer = vec![];
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    });
    (answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0), answer)
}

/// A key for the voice, and every node of `nodes` knows it.
fn key(shelf: &Shelf, nodes: &[usize]) -> String {
    let mut duet = Command::new(PROGRAMS.duet);
    let words = ["add", "anna", "--voice", "--per-minute", "60000"];
    let done = duet.args(["keys", "--out"]).arg(&shelf.out).args(words).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let key = String::from_utf8(done.stdout).unwrap().trim().to_owned();
    let bearer = bearer(&key);
    for idx in nodes {
        shelf.wait("the key is known", || ask(shelf, *idx, "GET", "/api/voice", &bearer, "").0 == 200);
    }
    key
}

fn bearer(key: &str) -> String {
    format!("Authorization: Bearer {key}\r\n")
}

fn say_of_the_page(shelf: &Shelf, open: bool) {
    std::fs::write(shelf.out.join("state/duet.toml"), format!("[page]\nopen = {open}\n")).unwrap();
}

#[test]
fn a_page_that_its_owner_closed_is_read_with_a_key_alone() {
    if !inside("a_page_that_its_owner_closed_is_read_with_a_key_alone") {
        return;
    }
    let shelf = Shelf::new(PROGRAMS, "owner-page", 1);
    shelf.wait_alive("a PC and the server meet", &[0], 2);
    let bearer = bearer(&key(&shelf, &[0]));
    let status = |path: &str, fields: &str| ask(&shelf, 0, "GET", path, fields, "").0;
    assert_eq!(status("/api/status", ""), 200);
    // Somebody listens while it closes.
    let listener = shelf.network.hosts[0].on(|| {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, 8000)).unwrap();
        stream.set_read_timeout(Some(WAIT_MAX)).unwrap();
        write!(stream, "GET /api/events HTTP/1.1\r\nHost: node\r\n\r\n").unwrap();
        let (mut text, mut piece) = (String::new(), [0; 512]);
        while !text.contains("retry:") {
            let n = stream.read(&mut piece).unwrap();
            assert!(n > 0, "{text}");
            text += &String::from_utf8_lossy(&piece[..n]);
        }
        stream
    });
    say_of_the_page(&shelf, false);
    shelf.wait("the page closes", || status("/api/status", "") == 401);
    let (mut listener, mut rest) = (listener, vec![]);
    // Without a time-out: it is ended, not forgotten.
    listener.read_to_end(&mut rest).unwrap();

    let paths = [
        "/api/status.txt",
        "/api/events",
        "/api/turns",
        "/api/workflows",
        "/api/personas",
        "/api/timers",
        "/api/tools",
        "/api/plan",
        "/metrics",
        "/nothing",
    ];
    for path in paths {
        assert_eq!(status(path, ""), 401, "{path}");
    }
    let (_, why) = ask(&shelf, 0, "GET", "/api/status", "", "");
    assert!(why.contains("[page] open in duet.toml") && why.contains("connection: close"), "{why}");
    assert_eq!(status("/api/status", "Authorization: Bearer wrong\r\n"), 401);
    assert_eq!(status("/api/status", &bearer), 200);
    // Whether it is well is told to everybody, and the page says how to log in and nothing else.
    assert!(matches!(status("/healthz", ""), 200 | 503));
    let (status_of_page, page) = ask(&shelf, 0, "GET", "/", "", "");
    assert!(status_of_page == 200 && page.contains("<body data-closed>") && page.contains("voice-key"));
    assert!(!page.contains("Working memory") && !page.contains("10.77.0."));

    let shown = json!({ "key": bearer.trim().rsplit(' ').next() }).to_string();
    let (logged_in, head) = ask(&shelf, 0, "POST", "/api/login", "", &shown);
    assert_eq!(logged_in, 200, "{head}");
    let cookie = head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
    let cookie = cookie.split(';').next().unwrap();
    // Only the page's own script may use it.
    assert_eq!(status("/api/status", &format!("Cookie: {cookie}\r\n")), 401);
    let login = format!("Cookie: {cookie}\r\nX-Duet: page\r\n");
    assert_eq!(status("/api/status", &login), 200);
    assert!(ask(&shelf, 0, "GET", "/", &login, "").1.contains("Working memory"));
    assert_eq!(status("/api/status", &format!("{login}Origin: http://elsewhere.example\r\n")), 401);
    // The PC's own line tells what it sees itself, and how the owner finds out the rest.
    let status_here = shelf.network.hosts[0].command(PROGRAMS.agent).arg("status").output().unwrap();
    let status_here = String::from_utf8(status_here.stdout).unwrap();
    assert!(status_here.contains("closed     the owner has closed the page"), "{status_here}");
    // What the boot server needs goes on.
    assert!(shelf.duet_nodes(&["run-diag", &shelf.nodes[0].mac]).contains("Core(TM)2 Duo"));
    say_of_the_page(&shelf, true);
    shelf.wait("the page opens", || status("/api/status", "") == 200);
}

#[test]
fn a_node_looks_at_itself_for_its_owner_and_nobody_else() {
    if !inside("a_node_looks_at_itself_for_its_owner_and_nobody_else") {
        return;
    }
    let shelf = Shelf::new(PROGRAMS, "owner-diag", 1);
    shelf.wait_alive("a PC and the server meet", &[0], 2);
    let mac = shelf.nodes[0].mac.clone();
    let part = |part: &str| shelf.duet_nodes(&["run-diag", &mac, "--part", part]);
    assert!(part("status").contains("/proc/meminfo"));
    let network = part("network");
    assert!(network.contains("network    eth0: ") && !network.contains("/proc/meminfo"), "{network}");
    assert!(part("units").contains("unit       agent.service active"));
    assert!(part("cluster").contains("2 nodes alive"));
    let memory = part("memory");
    assert!(memory.starts_with("Testing 64 MiB") && memory.contains("All of it remembered."), "{memory}");
    let models = part("models");
    assert!(models.contains("Asking: Tell me") && models.contains("I cannot reach a model"), "{models}");
    // One check after the other leaves no thread behind that would follow the agent.
    let n_threads = || {
        let pids =
            shelf.network.hosts[0].command("sh").args(["-c", "pgrep -f 'serve --root' | head -1"]).output();
        let pid = String::from_utf8(pids.unwrap().stdout).unwrap();
        std::fs::read_dir(format!("/proc/{}/task", pid.trim())).map_or(0, Iterator::count)
    };
    let before = n_threads();
    for _ in 0..5 {
        part("models");
    }
    shelf.wait("threads end", || n_threads() <= before + 2);

    let mut duet = Command::new(PROGRAMS.duet);
    let done = duet.arg("nodes").arg("--out").arg(&shelf.out).args(["run-diag", &mac, "--part", "shell"]);
    let said = String::from_utf8(done.output().unwrap().stderr).unwrap();
    assert!(said.contains("there is no part 'shell'; there are status, network"), "{said}");
    // Whoever is not the owner has no order to send, whatever key for models or voice he has.
    let bearer = bearer(&key(&shelf, &[0]));
    let order = json!({ "format": 1, "order": "00".repeat(137) }).to_string();
    let (status, why) = ask(&shelf, 0, "POST", "/api/order", &bearer, &order);
    assert!(status == 403 && !why.contains("node"), "{why}");
}

const KIND: &str = "---\nabout: Answers kindly.\nexamples: [how are you]\n---\nBe kind.\n";
const ASKS: &str =
    "workflow: asks\nabout: asks back\ninputs: {text: text}\nnodes:\n  told: {do: answer, text: '{text}'}\n";

#[test]
fn what_is_edited_on_one_page_holds_on_all_nodes_and_outlives_their_power() {
    if !inside("what_is_edited_on_one_page_holds_on_all_nodes_and_outlives_their_power") {
        return;
    }
    let mut shelf = Shelf::new(PROGRAMS, "owner-edits", 3);
    shelf.wait_alive("three PCs and the server meet", &[0, 1, 2], 4);
    (0..3).for_each(|idx| shelf.join_overlay(idx));
    let bearer = bearer(&key(&shelf, &[0]));
    let edit = |shelf: &Shelf, path: &str, text: &str| {
        ask(shelf, 0, "POST", path, &bearer, &json!({ "text": text }).to_string())
    };
    let persona = |shelf: &Shelf, idx: usize| {
        let (_, answer) = ask(shelf, idx, "GET", "/api/personas", "", "");
        let told: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
        let general =
            told["personas"].as_array().unwrap().iter().find(|one| one["name"] == "general").cloned();
        let general = general.unwrap();
        (general["prompt"].as_str().unwrap().to_owned(), general["source"].as_str().unwrap().to_owned())
    };
    let has_workflow =
        |shelf: &Shelf, idx: usize| ask(shelf, idx, "GET", "/api/workflows", "", "").1.contains("\"asks\"");
    let kind = ("Be kind.".to_owned(), "edited".to_owned());

    // Without a key nobody edits, and what is wrong is told with its place.
    assert_eq!(ask(&shelf, 0, "POST", "/api/personas/general", "", "{\"text\": \"\"}").0, 401);
    let (status, why) = edit(&shelf, "/api/personas/general", "rude");
    assert!(status == 422 && why.contains("general.md:1:1: "), "{why}");
    let (status, why) = edit(&shelf, "/api/workflows/asks", &ASKS.replace("{text}'", "{tex}'"));
    assert!(status == 422 && why.contains("asks.yaml:5:"), "{why}");
    assert_eq!(edit(&shelf, "/api/personas/general", KIND).0, 200);
    assert_eq!(edit(&shelf, "/api/workflows/asks", ASKS).0, 200);
    assert_eq!(persona(&shelf, 0), kind);
    for idx in [1, 2] {
        shelf.wait("it spreads", || persona(&shelf, idx) == kind && has_workflow(&shelf, idx));
    }
    // A PC without a disk that was switched off.
    shelf.kill(1);
    std::fs::remove_dir_all(&shelf.nodes[1].memory).unwrap();
    shelf.start(1);
    shelf.wait("it is back", || shelf.n_alive(1) == 4);
    shelf.wait("it is told again", || persona(&shelf, 1) == kind && has_workflow(&shelf, 1));
    // All of them.
    let kept = shelf.out.join("state/edits.json");
    let is_kept =
        || std::fs::read_to_string(&kept).is_ok_and(|text| text.contains("kind") && text.contains("asks"));
    shelf.wait("the boot server keeps it", is_kept);
    for idx in 0..3 {
        shelf.kill(idx);
        std::fs::remove_dir_all(&shelf.nodes[idx].memory).unwrap();
    }
    (0..3).for_each(|idx| shelf.start(idx));
    shelf.wait_alive("they come back", &[0, 1, 2], 4);
    for idx in 0..3 {
        shelf.wait("all know it again", || persona(&shelf, idx) == kind && has_workflow(&shelf, idx));
    }
    // One call, and it is everywhere as the program has it.
    shelf.wait("the key is known", || ask(&shelf, 0, "GET", "/api/voice", &bearer, "").0 == 200);
    assert_eq!(edit(&shelf, "/api/personas/general", "").0, 200);
    assert_eq!(edit(&shelf, "/api/workflows/asks", "").0, 200);
    for idx in 0..3 {
        shelf.wait("it is as before", || persona(&shelf, idx).1 == "shipped" && !has_workflow(&shelf, idx));
    }
    assert_eq!(edit(&shelf, "/api/personas/nobody", "").0, 404);
}

#[test]
fn who_listens_on_another_node_is_seen_on_the_page_of_any() {
    if !inside("who_listens_on_another_node_is_seen_on_the_page_of_any") {
        return;
    }
    let shelf = Shelf::new(PROGRAMS, "owner-moods", 2);
    shelf.wait_alive("two PCs and the server meet", &[0, 1], 3);
    let bearer = bearer(&key(&shelf, &[1]));
    let mood = || {
        let members = shelf.cluster(0)["picture"]["members"].as_array().cloned().unwrap_or_default();
        let found = members.into_iter().find(|member| member["id"] == shelf.nodes[1].id.as_str());
        found
            .map(|member| member["facts"]["mood"].as_str().unwrap_or_default().to_owned())
            .unwrap_or_default()
    };
    assert_eq!(mood(), "idle");
    assert_eq!(ask(&shelf, 1, "POST", "/api/talk/start", &bearer, "{}").0, 200);
    shelf.wait("it is seen to listen", || mood() == "listening");
    assert!(ask(&shelf, 0, "GET", "/", "", "").1.contains(">listening<"));
    assert_eq!(ask(&shelf, 1, "POST", "/api/talk/stop", &bearer, "{}").0, 200);
    shelf.wait("it is seen to rest", || mood() == "idle");
}
