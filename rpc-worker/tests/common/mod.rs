//! A real rpc-worker on loopback, and a client that speaks plain HTTP to it.

#![allow(dead_code)] // Each test file uses its part.

#[path = "../../../crates/engine/tests/common/mod.rs"]
pub mod models;

use serde_json::Value;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// A file of the shared models, or a line that says why the test is skipped.
pub fn shared(name: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/models-data");
    let folder = std::env::var_os("DUET_MODELS_DATA").map_or(beside, PathBuf::from);
    let path = folder.join(name);
    if path.is_file() {
        return Some(path);
    }
    println!("skipped: there is no {name} in DUET_MODELS_DATA");
    None
}

/// Longer than anything takes on a loaded machine of two cores.
const SAID_MAX: Duration = Duration::from_secs(120);

/// What it says, read as it comes.
fn lines(said: ChildStderr) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(said).lines().map_while(Result::ok) {
            // Nobody may listen any more, and it goes on saying.
            let _ = sender.send(line);
        }
    });
    receiver
}

/// A running rpc-worker; it ends with the test.
pub struct Worker {
    child: Child,
    said: Mutex<Receiver<String>>,
    /// What it said before it listened: a small model can be ready by then.
    early: VecDeque<String>,
    pub address: String,
}

impl Worker {
    /// Starts it and waits until it listens. Nothing of this machine's own node is read.
    pub fn start(folder: &Path, arguments: &[&str]) -> Worker {
        let mut child = Command::new(env!("CARGO_BIN_EXE_rpc-worker"))
            .args(["--listen", "127.0.0.1:0", "--threads", "1"])
            .env("DUET_KERNELS", "ours")
            .arg("--overlay")
            .arg(folder.join("overlay/address"))
            .args(arguments)
            .env("OMP_WAIT_POLICY", "passive")
            .env_remove("JOURNAL_STREAM")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = Mutex::new(lines(child.stderr.take().unwrap()));
        let mut worker = Worker { child, said, early: VecDeque::new(), address: String::new() };
        let mut line = worker.next_line("listening on ");
        while !line.contains("listening on ") {
            worker.early.push_back(line);
            line = worker.next_line("listening on ");
        }
        worker.address = line.rsplit(' ').next().unwrap().trim().to_owned();
        worker
    }

    /// One expert with this file's further lines and this model, once it is served.
    pub fn expert(folder: &models::Folder, model: &Path, lines: &str) -> Worker {
        let text = format!("name = \"e\"\nmodel = \"m.gguf\"\nquantisation = \"F32\"\n{lines}");
        let expert = folder.file("e.toml", text.as_bytes());
        let arguments = ["--expert", expert.to_str().unwrap(), "--model", model.to_str().unwrap()];
        let mut worker = Worker::start(&folder.0, &arguments);
        worker.hear("e is served");
        worker
    }

    /// The next line with these words.
    pub fn hear(&mut self, words: &str) -> String {
        loop {
            let line = self.early.pop_front().unwrap_or_else(|| self.next_line(words));
            if line.contains(words) {
                return line;
            }
        }
    }

    fn next_line(&mut self, words: &str) -> String {
        let line = self.said.get_mut().unwrap().recv_timeout(SAID_MAX);
        line.unwrap_or_else(|why| panic!("it does not say {words:?}: {why}"))
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.open("POST", path, &body.to_string()).whole()
    }

    pub fn chat(&self, body: Value) -> Answer {
        self.post("/v1/chat/completions", &body)
    }

    /// The same, once it answers: a ring is closed a moment before its head serves, and on a busy machine it may take its
    /// own silence for a death and close again.
    pub fn answered(&self, body: &Value) -> Answer {
        let begin = Instant::now();
        loop {
            let answer = self.chat(body.clone());
            if answer.status == 200 {
                return answer;
            }
            assert!(begin.elapsed() < SAID_MAX, "it does not answer: {:#}", self.health());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    pub fn get(&self, path: &str) -> Answer {
        self.open("GET", path, "").whole()
    }

    /// Sends a request, and gives what will be read of its answer.
    pub fn open(&self, method: &str, path: &str, body: &str) -> Opened {
        self.open_with(method, path, "", body)
    }

    /// The same with more header fields, each with its line's end.
    pub fn open_with(&self, method: &str, path: &str, fields: &str, body: &str) -> Opened {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let length =
            if method == "POST" { format!("content-length: {}\r\n", body.len()) } else { String::new() };
        let host = &self.address;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: {host}\r\n{length}{fields}connection: close\r\n\r\n{body}"
        )
        .unwrap();
        Opened(BufReader::new(stream))
    }

    /// Asks for another protocol on the connection.
    pub fn upgrade(&self, path: &str, protocol: &str) -> Opened {
        upgrade_at(&self.address, path, protocol)
    }

    /// One number of `/metrics`.
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").text;
        let line = text.lines().find(|line| line.starts_with(&format!("duet_expert_{name}{{")));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).rsplit(' ').next().unwrap().parse().unwrap()
    }

    pub fn health(&self) -> Value {
        self.get("/health").json()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The same for a worker whose address alone is known.
pub fn upgrade_at(address: &str, path: &str, protocol: &str) -> Opened {
    let mut stream = TcpStream::connect(address).unwrap();
    let fields = format!("host: {address}\r\nconnection: upgrade\r\nupgrade: {protocol}\r\n");
    write!(stream, "GET {path} HTTP/1.1\r\n{fields}\r\n").unwrap();
    Opened(BufReader::new(stream))
}

/// A request that was sent.
pub struct Opened(BufReader<TcpStream>);

/// What came back.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub text: String,
}

impl Opened {
    pub fn head(&mut self) -> String {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(self.0.read_line(&mut head).unwrap() > 0, "the answer has no head: {head}");
        }
        head.to_ascii_lowercase()
    }

    /// The data of the next event of a stream; the sizes of chunks stand on lines of their own.
    pub fn event(&mut self) -> Option<String> {
        let mut line = String::new();
        while self.0.read_line(&mut line).ok()? > 0 {
            if let Some(data) = line.strip_prefix("data: ") {
                return Some(data.trim_end().to_owned());
            }
            line.clear();
        }
        None
    }

    /// The bare connection, where nothing came behind the head yet.
    pub fn stream(self) -> TcpStream {
        assert!(self.0.buffer().is_empty());
        self.0.into_inner()
    }

    pub fn whole(mut self) -> Answer {
        let head = self.head();
        self.rest(head)
    }

    /// The body, whose head was read. A connection that stays open gives as much as it said.
    pub fn rest(mut self, head: String) -> Answer {
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut bytes = Vec::new();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        self.0.by_ref().take(length.unwrap_or(u64::MAX)).read_to_end(&mut bytes).unwrap();
        if head.contains("transfer-encoding: chunked") {
            bytes = unchunked(&bytes);
        }
        Answer { status, head, text: String::from_utf8(bytes).unwrap() }
    }
}

fn unchunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    loop {
        let end = bytes.windows(2).position(|two| two == b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).unwrap(), 16).unwrap();
        if size == 0 {
            return whole;
        }
        whole.extend_from_slice(&bytes[end + 2..][..size]);
        bytes = &bytes[end + 2 + size + 2..];
    }
}

impl Answer {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    #[track_caller]
    pub fn good(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        self.json()
    }

    /// Status, parameter and code of an error.
    #[track_caller]
    pub fn error(&self) -> (u16, Option<String>, Option<String>) {
        let json = self.json();
        let text = |key: &str| json["error"][key].as_str().map(str::to_owned);
        assert!(text("message").is_some() && text("type").is_some(), "{self:?}");
        (self.status, text("param"), text("code"))
    }

    /// The pieces of a stream that came to its end.
    #[track_caller]
    pub fn pieces(&self) -> Vec<Value> {
        let mut data: Vec<&str> = self.text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
        assert_eq!(data.pop(), Some("[DONE]"), "{self:?}");
        data.iter().map(|piece| serde_json::from_str(piece).unwrap()).collect()
    }

    /// The text of a chat, streamed or not.
    #[track_caller]
    pub fn said(&self) -> String {
        assert_eq!(self.status, 200, "{self:?}");
        if !self.head.contains("text/event-stream") {
            return self.json()["choices"][0]["message"]["content"].as_str().unwrap_or_default().to_owned();
        }
        let pieces = self.pieces();
        let text =
            |piece: &Value| piece["choices"][0]["delta"]["content"].as_str().unwrap_or_default().to_owned();
        pieces.iter().map(text).collect()
    }
}

/// The small model of the shared ones, whose file says that it knows long texts.
pub fn long_stories(folder: &models::Folder) -> Option<PathBuf> {
    let bytes = std::fs::read(shared("llm/stories260K.gguf")?).unwrap();
    let mut parts = models::Parts::read(&bytes);
    parts.set("llama.context_length", gguf::Value::U32(1 << 16));
    Some(folder.file("long.gguf", &parts.write()))
}
