//! Nodes fail while they load a model, read a prompt or write an answer: the client's stream goes on, nothing hangs,
//! and nobody dies but the node at fault. Real agent, real rpc-workers, each on a host of its own.

#![allow(clippy::unwrap_used)] // A panic is how a test reports.

use admission::KeyLimits;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tests::cage::Cage;
use tests::gateway::{Gateway, KEY};
use tests::network::{Network, inside};
use tests::node::{WAIT_MAX, connect, get};
use tests::worker::{Worker, with_long_context};

const LIMITS: KeyLimits = KeyLimits { per_minute: 6000, at_once: 64, tokens_per_day: 1_000_000 };
const MODEL: &str = "llm/stories260K.gguf";
const PORT: u16 = 8081;
/// Letters of a prompt that takes this small model some seconds.
const LONG_PROMPT: usize = 12_000;
const SHORT_PROMPT: usize = 200;
/// Tokens that the client has before a node that writes is at fault, and entries of the list that is written.
const TOKENS_BEFORE: usize = 20;
const LONG_LIST: usize = 80;
const SHORT_LIST: usize = 2;
/// Between two looks at what a process does.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// A start that was over before it was looked at is tried again.
const STARTS_MAX: usize = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Killed,
    /// Stopped: its connections stay, and nothing comes.
    Frozen,
    /// Its cable is out; the process is well.
    Cut,
    OutOfMemory,
    /// The model's bytes change after they were checked.
    Changed,
    /// The model's file is cut while it is mapped.
    Truncated,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    Prompt,
    Answer,
}

/// Two nodes with a copy of an expert each, and an agent that asks the first one first.
struct Shelf {
    program: PathBuf,
    folder: PathBuf,
    network: Network,
    gateway: Gateway,
}

impl Shelf {
    fn new(name: &str, (program, model): (PathBuf, PathBuf)) -> Shelf {
        let network = Network::new(2);
        let folder = std::env::temp_dir().join(format!("duet-{name}"));
        fs::create_dir_all(&folder).unwrap();
        let long = with_long_context(fs::read(model).unwrap());
        (0..2).for_each(|idx| fs::write(folder.join(format!("{idx}.gguf")), &long).unwrap());
        let address = |idx: usize| SocketAddr::from((network.hosts[idx].address, PORT));
        let words = (0..2).flat_map(|idx| ["--llm-last-resort".into(), format!("http://{}", address(idx))]);
        let gateway = Gateway::start(agent(), name, LIMITS, &words.collect::<Vec<_>>());
        Shelf { program, folder, network, gateway }
    }

    fn model(&self, idx: usize) -> PathBuf {
        self.folder.join(format!("{idx}.gguf"))
    }

    fn start(&self, idx: usize, lines: &str) -> Worker {
        let host = &self.network.hosts[idx];
        let command = host.command(self.program.to_str().unwrap());
        let listen = SocketAddr::from((host.address, PORT));
        Worker::begin(command, listen, &self.model(idx), ("failures", "e", lines))
    }

    fn served(&self, idx: usize) -> Worker {
        let worker = self.start(idx, "context = 16384\nslots = 1\n");
        worker.hear("is served");
        worker
    }

    /// A node whose model is loaded until its child, which is stopped, may go on.
    fn loading(&self, idx: usize, lines: &str) -> (Worker, Pid) {
        for _ in 0..STARTS_MAX {
            let worker = self.start(idx, lines);
            if let Some(child) = stopped_child(worker.pid()) {
                return (worker, child);
            }
        }
        panic!("no load was caught in {STARTS_MAX} starts");
    }

    fn stream(&self, letters: usize, entries: usize) -> Stream {
        Stream::open(self.gateway.address, letters, entries)
    }

    /// A question that anybody can answer soon.
    #[track_caller]
    fn ask(&self) -> Duration {
        let (start, mut stream) = (Instant::now(), self.stream(SHORT_PROMPT, SHORT_LIST));
        stream.token().expect("an answer");
        let first = start.elapsed();
        stream.finish();
        assert_eq!(stream.n_handovers, 0);
        first
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn agent() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_agent-under-test"))
}

/// The child that tries a model, once it is there and stopped. `None` when the load was over sooner.
fn stopped_child(parent: Pid) -> Option<Pid> {
    let until = Instant::now() + WAIT_MAX;
    while Instant::now() < until {
        let tasks = fs::read_dir(format!("/proc/{parent}/task")).unwrap().flatten();
        let children = |task: fs::DirEntry| fs::read_to_string(task.path().join("children")).ok();
        let child = tasks.filter_map(children).find_map(|ids| ids.split_whitespace().next()?.parse().ok());
        if let Some(child) = child.and_then(Pid::from_raw) {
            return (kill_process(child, Signal::STOP).is_ok() && reaches(child, 'T')).then_some(child);
        }
        std::thread::sleep(LOOK_EVERY);
    }
    None
}

/// Waits until the process is in this state; `false` when it is over instead.
fn reaches(pid: Pid, wanted: char) -> bool {
    let until = Instant::now() + WAIT_MAX;
    while Instant::now() < until {
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
        match stat.rsplit(") ").next().and_then(|rest| rest.chars().next()) {
            Some(state) if state == wanted => return true,
            Some('Z' | 'X') => return false,
            _ => std::thread::sleep(LOOK_EVERY),
        }
    }
    panic!("process {pid} does not come to the state {wanted}");
}

/// A number of rpc-worker's `/metrics`.
fn metric(address: SocketAddr, name: &str) -> f64 {
    let text = get(address, "/metrics");
    let line = text.lines().find(|line| line.starts_with(&format!("duet_expert_{name}{{")));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0.0)
}

#[track_caller]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + WAIT_MAX;
    while !is_so() {
        assert!(Instant::now() < until, "{what}: not within {WAIT_MAX:?}");
        std::thread::sleep(LOOK_EVERY);
    }
}

/// An answer as a client reads it.
struct Stream {
    lines: BufReader<TcpStream>,
    n_tokens: usize,
    n_handovers: usize,
    text: String,
    entries: usize,
}

impl Stream {
    fn open(address: SocketAddr, letters: usize, entries: usize) -> Stream {
        let words = "Once upon a time there was a small cat. ";
        let content: String = words.chars().cycle().take(letters).collect();
        // The answer must be so long: it is not over before it is disturbed.
        let schema =
            json!({"type": "array", "items": {"type": "boolean"}, "minItems": entries, "maxItems": entries});
        let body = json!({
            "model": "e",
            "messages": [{"role": "user", "content": content}],
            "max_tokens": 3000,
            "temperature": 0.5,
            "seed": 7,
            "stream": true,
            "response_format": {"type": "json_schema", "json_schema": {"name": "list", "schema": schema}},
        })
        .to_string();
        let mut stream = connect(address);
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: node\r\nConnection: close\r\nAuthorization: Bearer {KEY}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all((head + &body).as_bytes()).unwrap();
        Stream { lines: BufReader::new(stream), n_tokens: 0, n_handovers: 0, text: String::new(), entries }
    }

    /// Waits for the next token; `None` at the stream's good end.
    #[track_caller]
    fn token(&mut self) -> Option<()> {
        loop {
            let mut line = String::new();
            let n = self.lines.read_line(&mut line).expect("the stream hangs");
            assert!(n > 0, "the stream ended without its last word after {} tokens", self.n_tokens);
            assert!(!line.starts_with("HTTP/1.1 ") || line.contains(" 200 "), "{line}");
            let Some(data) = line.strip_prefix("data: ") else { continue };
            if data.trim() == "[DONE]" {
                return None;
            }
            let event: Value = serde_json::from_str(data).unwrap();
            assert!(event["error"].is_null(), "after {} tokens: {event}", self.n_tokens);
            self.n_handovers += usize::from(!event["duet"]["handover"].is_null());
            let text = event["choices"][0]["delta"]["content"].as_str().unwrap_or_default();
            if !text.is_empty() {
                self.n_tokens += 1;
                self.text.push_str(text);
                return Some(());
            }
        }
    }

    #[track_caller]
    fn finish(&mut self) {
        while self.token().is_some() {}
        let list: Vec<bool> = serde_json::from_str(&self.text).expect("the promised form");
        assert_eq!(list.len(), self.entries);
    }
}

/// Does it to the first node, and tells since when.
fn strike(shelf: &Shelf, worker: &Worker, fault: Fault) -> (Instant, Option<Cage>) {
    let (pid, start) = (worker.pid(), Instant::now());
    let mut cage = None;
    match fault {
        Fault::Killed => kill_process(pid, Signal::KILL).unwrap(),
        Fault::Frozen => kill_process(pid, Signal::STOP).unwrap(),
        Fault::Cut => shelf.network.cut(&[0]),
        Fault::OutOfMemory => {
            let around = Cage::around(pid);
            around.fill(worker.address);
            cage = Some(around);
        }
        Fault::Changed => change(&shelf.model(0)),
        Fault::Truncated => truncate(&shelf.model(0)),
    }
    (start, cage)
}

/// Every weight becomes something that is no number; the file's head stays as it is.
fn change(path: &Path) {
    let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let bytes = file.metadata().unwrap().len();
    let head = gguf::Gguf::read(&mut BufReader::new(&file), bytes).unwrap();
    file.write_all_at(&vec![0xff; (bytes - head.data_at) as usize], head.data_at).unwrap();
}

fn truncate(path: &Path) {
    fs::OpenOptions::new().write(true).open(path).unwrap().set_len(0).unwrap();
}

/// Who is not at fault lives; who is, ended as the fault ends a process, or is well again once it is over.
fn look_after(shelf: &Shelf, worker: &mut Worker, fault: Fault) {
    match fault {
        Fault::Killed => assert_eq!(worker.ended().signal(), Some(9)),
        // It is killed by the kernel, or ends itself where only addresses are limited.
        Fault::OutOfMemory => assert!(matches!(worker.ended().signal(), Some(9 | 6))),
        Fault::Truncated => assert_eq!(worker.ended().signal(), Some(7), "SIGBUS"),
        Fault::Frozen => kill_process(worker.pid(), Signal::CONT).unwrap(),
        Fault::Cut => shelf.network.heal(&[0]),
        Fault::Changed => {}
    }
    if worker.is_alive() {
        until("the first node is free again", || metric(worker.address, "busy") == 0.0);
    }
}

fn ready(test: &str, name: &str) -> Option<Shelf> {
    if !inside(test) {
        return None;
    }
    match Worker::needs(agent(), MODEL) {
        Ok(needs) => Some(Shelf::new(name, needs)),
        Err(why) => {
            tests::skip(test, &why);
            None
        }
    }
}

/// A stream whose first node is at fault while it reads the prompt, or writes the answer.
#[track_caller]
fn check(test: &str, fault: Fault, moment: Moment) {
    let Some(shelf) = ready(test, &format!("{fault:?}-{moment:?}")) else { return };
    let (mut first, second) = (shelf.served(0), shelf.served(1));
    let (letters, entries) = match moment {
        Moment::Prompt => (LONG_PROMPT, SHORT_LIST),
        Moment::Answer => (SHORT_PROMPT, LONG_LIST),
    };
    let mut stream = shelf.stream(letters, entries);
    match moment {
        Moment::Prompt => until("the prompt is read", || metric(first.address, "busy") == 1.0),
        _ => (0..TOKENS_BEFORE).for_each(|_| stream.token().expect("a long answer")),
    }
    let (since, _cage) = strike(&shelf, &first, fault);
    until("the second node takes it up", || metric(second.address, "requests_total") == 1.0);
    let taken_up = since.elapsed();
    // What was on its way at the fault may still come; the token after the hand-over is another's.
    let n_handovers = usize::from(moment == Moment::Answer);
    stream.token().expect("a long answer");
    while stream.n_handovers < n_handovers {
        stream.token().expect("a hand-over");
    }
    let next = since.elapsed();
    println!("{fault:?} in {moment:?}: taken up after {taken_up:.2?}, the next token after {next:.2?}");
    stream.finish();
    // Before the first token nobody needs to know.
    assert_eq!(stream.n_handovers, n_handovers, "the prompt was read before the fault came");
    println!("{fault:?} in {moment:?}: the next request has its first token after {:.2?}", shelf.ask());
    look_after(&shelf, &mut first, fault);
    drop(second);
}

/// Requests while the first node loads, and after it is at fault there.
#[track_caller]
fn check_load(test: &str, fault: Fault) {
    let Some(shelf) = ready(test, &format!("{fault:?}-load")) else { return };
    let _second = shelf.served(1);
    let lines = if fault == Fault::OutOfMemory { "context = 120000\nslots = 1\n" } else { "context = 512\n" };
    let (mut first, child) = shelf.loading(0, lines);
    let health = get(first.address, "/health");
    assert!(health.contains("\"loading\""), "{health}");
    let ask = |when: &str| println!("{fault:?} in Load: a first token {when} after {:.2?}", shelf.ask());
    ask("before it");
    let release = || kill_process(child, Signal::CONT).unwrap();
    let _cage = match fault {
        Fault::OutOfMemory => {
            let cage = Cage::around(first.pid());
            release();
            Some(cage)
        }
        Fault::Changed | Fault::Truncated => {
            // The child says that the file is good, and its parent hears it when it is good no more.
            kill_process(first.pid(), Signal::STOP).unwrap();
            release();
            assert!(reaches(child, 'Z'), "its parent cannot have heard");
            let (_, cage) = strike(&shelf, &first, fault);
            kill_process(first.pid(), Signal::CONT).unwrap();
            cage
        }
        _ => strike(&shelf, &first, fault).1,
    };
    match fault {
        Fault::Killed => assert_eq!(first.ended().signal(), Some(9)),
        Fault::OutOfMemory => {
            // Where only addresses are limited it hears of it, and lives.
            let is_over = || !first.is_alive() || get(first.address, "/health").contains("\"failed\"");
            until("the load ends", is_over);
        }
        Fault::Changed => drop(first.hear("is served")),
        Fault::Truncated => drop(first.hear("is not served")),
        Fault::Frozen | Fault::Cut => {}
    }
    ask("after it");
    match fault {
        // Nobody would hear what the child finds out. It may be gone before it is told to go on.
        Fault::Killed => {
            let _ = kill_process(child, Signal::CONT);
            until("the child ends too", || !is_there(child));
        }
        Fault::Frozen => kill_process(first.pid(), Signal::CONT).unwrap(),
        Fault::Cut => shelf.network.heal(&[0]),
        _ => {}
    }
    if matches!(fault, Fault::Frozen | Fault::Cut) {
        release();
        first.hear("is served");
        ask("when it is well");
        assert_eq!(metric(first.address, "requests_total"), 1.0);
    }
}

/// Whether the process is there and more than a name.
fn is_there(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}

macro_rules! cells {
    ($($name:ident: $check:ident($($what:expr),+);)+) => {$(
        #[test]
        fn $name() {
            $check(stringify!($name), $($what),+);
        }
    )+};
}

cells! {
    a_node_killed_while_it_loads_is_passed_over: check_load(Fault::Killed);
    a_node_frozen_while_it_loads_is_passed_over: check_load(Fault::Frozen);
    a_node_cut_off_while_it_loads_is_passed_over: check_load(Fault::Cut);
    a_node_without_memory_for_its_model_is_passed_over: check_load(Fault::OutOfMemory);
    a_model_that_was_changed_after_its_check_is_answered_by_another: check_load(Fault::Changed);
    a_model_that_was_cut_after_its_check_is_answered_by_another: check_load(Fault::Truncated);
    a_node_killed_while_it_reads_hands_its_request_on: check(Fault::Killed, Moment::Prompt);
    a_node_frozen_while_it_reads_hands_its_request_on: check(Fault::Frozen, Moment::Prompt);
    a_node_cut_off_while_it_reads_hands_its_request_on: check(Fault::Cut, Moment::Prompt);
    a_node_out_of_memory_while_it_reads_hands_its_request_on: check(Fault::OutOfMemory, Moment::Prompt);
    a_model_changed_while_it_reads_hands_its_request_on: check(Fault::Changed, Moment::Prompt);
    a_model_cut_while_it_reads_hands_its_request_on: check(Fault::Truncated, Moment::Prompt);
    a_node_killed_while_it_writes_hands_its_answer_on: check(Fault::Killed, Moment::Answer);
    a_node_frozen_while_it_writes_hands_its_answer_on: check(Fault::Frozen, Moment::Answer);
    a_node_cut_off_while_it_writes_hands_its_answer_on: check(Fault::Cut, Moment::Answer);
    a_node_out_of_memory_while_it_writes_hands_its_answer_on: check(Fault::OutOfMemory, Moment::Answer);
    a_model_changed_while_it_writes_hands_its_answer_on: check(Fault::Changed, Moment::Answer);
    a_model_cut_while_it_writes_hands_its_answer_on: check(Fault::Truncated, Moment::Answer);
}
