//! A stock llama.cpp client's way to a node's memory: `duet rpc`, the agent with its keys, rpc-worker with its gate.

#![allow(clippy::unwrap_used)] // A panic is how a test reports.

use admission::KeyLimits;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tests::gateway::{Gateway, KEY};
use tests::node::{WAIT_MAX, connect};

const LIMITS: KeyLimits = KeyLimits { per_minute: 6000, at_once: 64, tokens_per_day: 1_000_000 };
const UPGRADE: &str = "Connection: upgrade\r\nUpgrade: ggml-rpc\r\n";

fn agent() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_agent-under-test"))
}

/// A program that says where it listens; it ends with the test.
struct Running {
    child: Child,
    address: SocketAddr,
    said: BufReader<std::process::ChildStderr>,
}

impl Running {
    fn start(command: &mut Command, words: &str) -> Running {
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let line = heard(&mut said, words);
        let address = line.trim().rsplit(' ').next().unwrap().parse().unwrap();
        Running { child, address, said }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn heard(said: &mut impl BufRead, words: &str) -> String {
    let mut line = String::new();
    while !line.contains(words) {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0, "it ended without saying {words:?}");
    }
    line
}

/// A folder that is gone when the test is over.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("duet-lending-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The rpc-worker beside the agent, if it was built.
fn worker(folder: &Folder) -> Option<Running> {
    let program = agent().with_file_name("rpc-worker");
    if !program.is_file() {
        tests::skip("lending", "there is no rpc-worker; cargo build -p rpc-worker makes it");
        return None;
    }
    let nothing = folder.0.join("nothing");
    let mut command = Command::new(program);
    command.args(["--listen", "127.0.0.1:0", "--threads", "1", "--stock"]);
    command.arg(folder.file("stock.json", "{\"memory_mib\":64}"));
    for place in ["--overlay", "--assignment", "--models"] {
        command.arg(place).arg(&nothing);
    }
    command.env("OMP_WAIT_POLICY", "passive").env_remove("JOURNAL_STREAM");
    Some(Running::start(&mut command, "listening on "))
}

fn node(name: &str, worker: SocketAddr, keys: &[&str]) -> Gateway {
    let mut words = vec!["--worker".to_owned(), worker.to_string(), "--rpc-memory-mib".into(), "64".into()];
    words.extend(keys.iter().flat_map(|key| ["--rpc-key".to_owned(), (*key).to_owned()]));
    Gateway::start(agent(), name, LIMITS, &words)
}

fn carrier(folder: &Folder, node: SocketAddr, key: &str) -> Running {
    let mut command = Command::new(env!("CARGO_BIN_EXE_duet-under-test"));
    command.args(["rpc", "--listen", "127.0.0.1:0", "--at", &format!("http://{node}"), "--key-file"]);
    command.arg(folder.file("key", &format!("{key}\n")));
    Running::start(&mut command, "find the node at --rpc ")
}

/// What a client hears that greets.
fn greeting(carrier: &Running) -> (TcpStream, Vec<u8>) {
    let mut client = TcpStream::connect(carrier.address).unwrap();
    client.set_read_timeout(Some(WAIT_MAX)).unwrap();
    let hello = [&[14][..], &24u64.to_le_bytes(), &[0; 24]].concat();
    client.write_all(&hello).unwrap();
    let mut answer = vec![0; 36];
    let n = client.read(&mut answer[..1]).unwrap_or(0);
    if n == 1 {
        client.read_exact(&mut answer[1..]).unwrap();
    }
    answer.truncate(36 * n);
    (client, answer)
}

#[test]
fn a_client_is_carried_to_the_server_and_its_end_is_too() {
    let folder = Folder::new("carried");
    let Some(mut worker) = worker(&folder) else { return };
    let node = node("lending", worker.address, &["tester"]);
    let carrier = carrier(&folder, node.address, KEY);
    for _ in 0..2 {
        let (client, answer) = greeting(&carrier);
        assert_eq!(answer[..10], [28, 0, 0, 0, 0, 0, 0, 0, 7, 0]);
        drop(client);
        heard(&mut worker.said, " s: it went");
    }
    // The server is killed, so to say: what it refuses ends the client's connection on this side.
    let (mut client, _) = greeting(&carrier);
    client.write_all(&[77; 9]).unwrap();
    assert_eq!(client.read(&mut [0; 1]).unwrap_or(0), 0);
    heard(&mut worker.said, "refused: there is no command 77");
}

#[test]
fn a_key_that_may_not_is_refused_and_told_why() {
    let folder = Folder::new("refused");
    let Some(worker) = worker(&folder) else { return };
    let node = node("lending-refused", worker.address, &["another"]);
    let mut other = carrier(&folder, node.address, KEY);
    assert!(greeting(&other).1.is_empty());
    let line = heard(&mut other.said, "refuses (403)");
    assert!(
        line.contains("the API key tester may not; keys under [rpc] in duet.toml says whose may"),
        "{line}"
    );
    let mut none = carrier(&folder, node.address, "duet-wrong");
    assert!(greeting(&none).1.is_empty());
    heard(&mut none.said, "refuses (401): this API key is not known here");
    assert!(node.ask("GET", "/api/rpc", UPGRADE, "").starts_with("HTTP/1.1 401 "));
}

#[test]
fn a_node_lends_nothing_unless_it_is_told_to() {
    let folder = Folder::new("off");
    let node = Gateway::start(agent(), "lending-off", LIMITS, &[]);
    let answer = node.get("/api/rpc");
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    assert!(answer.contains("[rpc] in duet.toml allows it"), "{answer}");
    let mut carrier = carrier(&folder, node.address, KEY);
    assert!(greeting(&carrier).1.is_empty());
    heard(&mut carrier.said, "refuses (404): this node lends no memory");
}

#[test]
fn a_node_whose_worker_is_away_says_so() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let node = node("lending-away", nobody, &["tester"]);
    let fields = format!("Authorization: Bearer {KEY}\r\n{UPGRADE}");
    let mut stream = connect(node.address);
    write!(stream, "GET /api/rpc HTTP/1.1\r\nHost: 127.0.0.1\r\n{fields}\r\n").unwrap();
    let mut head = [0; 12];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 502");
    // A page of a browser has no business here, and whoever wants no upgrade is told what to use.
    let page = format!("Authorization: Bearer {KEY}\r\nOrigin: http://evil\r\n{UPGRADE}");
    assert!(node.ask("GET", "/api/rpc", &page, "").starts_with("HTTP/1.1 403 "));
    let plain = format!("GET /api/rpc HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {KEY}\r\n");
    let mut stream = connect(node.address);
    write!(stream, "{plain}Connection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 426 ") && answer.contains("duet rpc"), "{answer}");
}
