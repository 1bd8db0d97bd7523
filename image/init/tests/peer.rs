//! Drives the real fetching and checking against HTTP servers on loopback that misbehave in one way each.
//!
//! Time is a number that the test holds: pauses are remembered and take no time.
#![allow(clippy::unwrap_used, reason = "a test may stop at what it did not expect")]

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use init::World;
use init::fetch::Limits;
use init::rounds::{Order, ROUNDS_MAX, fetch_from_any};
use init::verify::check_placed;
use release::{FileFact, FileName, Manifest, ReleaseId, SecretKey, Server, Word, sign};

const ID: &str = "trixie-0123456789ab";

/// What a scripted server does with one request.
enum Answer {
    /// Sends these bytes and closes.
    Bytes(Vec<u8>),
    /// Sends these bytes and then nothing, with the connection open.
    Hang(Vec<u8>),
    /// Sends these bytes and then one letter at a time, for as long as somebody listens.
    Drip(Vec<u8>),
    /// Sends these bytes and then more of the same letter, for as long as somebody listens.
    Endless(Vec<u8>, u8),
}

use Answer::{Bytes, Drip, Endless, Hang};

/// A server that gives its answers in order, and the last one again and again.
struct Peer {
    server: Server,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Peer {
    fn start(answers: Vec<Answer>) -> Peer {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let server = server_at(listener.local_addr().unwrap().port());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = asked.clone();
        std::thread::spawn(move || {
            let mut answers = VecDeque::from(answers);
            let mut open = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                heard.lock().unwrap().push(request(&mut stream));
                let answer = &answers[0];
                answer.give(&mut stream);
                if matches!(answer, Hang(_)) {
                    open.push(stream);
                }
                if answers.len() > 1 {
                    answers.pop_front();
                }
            }
        });
        Peer { server, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Answer {
    /// The other side may have closed already; that is its right.
    fn give(&self, stream: &mut TcpStream) {
        match self {
            Bytes(bytes) | Hang(bytes) => stream.write_all(bytes).unwrap_or_default(),
            Drip(bytes) => pour(stream, bytes, b"x"),
            Endless(bytes, letter) => pour(stream, bytes, &[*letter; 4096]),
        }
    }
}

fn pour(stream: &mut TcpStream, first: &[u8], more: &[u8]) {
    stream.set_nodelay(true).unwrap();
    let mut sent = stream.write_all(first);
    while sent.is_ok() {
        sent = stream.write_all(more);
    }
}

/// The path that was asked for, and its range.
fn request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
        bytes.push(byte[0]);
    }
    let text = String::from_utf8(bytes).unwrap();
    let path = text.split(' ').nth(1).unwrap().to_string();
    let range = text.lines().find_map(|line| line.strip_prefix("Range: "));
    range.map_or(path.clone(), |range| format!("{path} {range}"))
}

fn server_at(port: u16) -> Server {
    Server { ip: Ipv4Addr::LOCALHOST, port }
}

/// A server that nobody runs.
fn dead() -> Server {
    server_at(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port())
}

/// A world that remembers what was said; every look at its clock costs a second.
#[derive(Default)]
struct Script {
    now: Duration,
    waits: Vec<Duration>,
    said: Vec<String>,
    memory: Option<u64>,
}

impl World for Script {
    fn now(&mut self) -> Duration {
        self.now += Duration::from_secs(1);
        self.now
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.waits.push(time);
    }

    fn say(&mut self, sentence: &str) {
        self.said.push(sentence.to_string());
    }

    fn note(&mut self, _: &str) {}

    fn stamp(&mut self, _: &'static str) {}

    fn memory_bytes(&mut self) -> u64 {
        self.memory.unwrap_or(1 << 30)
    }
}

/// Silence is the one thing a real socket must wait for; it waits only this long.
const LIMITS: Limits = Limits {
    connect: Duration::from_secs(5),
    idle: Duration::from_millis(200),
    total: Duration::from_secs(100),
    bytes_per_s_min: 1 << 20,
};

fn key() -> SecretKey {
    SecretKey::from_seed(&[1; 32])
}

/// Larger than a buffer, and not a multiple of anything.
fn root() -> Vec<u8> {
    (0u32..700_001).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn manifest(id: &str, root: &[u8]) -> String {
    let fact = |bytes: &[u8]| FileFact { bytes: bytes.len() as u64, blake3: blake3::hash(bytes) };
    let files = [(FileName::Vmlinuz, fact(b"")), (FileName::Initrd, fact(b"")), (FileName::Root, fact(root))];
    let word = |text| Word::parse(text).unwrap();
    let id = ReleaseId::parse(id).unwrap();
    Manifest { id, suite: word("trixie"), kernel: word("6.12"), files: BTreeMap::from(files) }.to_text()
}

fn ok(body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
}

fn ok_manifest() -> Answer {
    Bytes(ok(manifest(ID, &root()).as_bytes()))
}

fn ok_signature() -> Answer {
    Bytes(ok(sign(&key(), manifest(ID, &root()).as_bytes()).as_bytes()))
}

/// The answers before the root, and then these for the root itself.
fn then(answers: Vec<Answer>) -> Vec<Answer> {
    [ok_manifest(), ok_signature()].into_iter().chain(answers).collect()
}

fn not_found() -> Answer {
    Bytes(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec())
}

struct Outcome {
    result: Result<(Server, Manifest), String>,
    kept: Vec<u8>,
    script: Script,
}

fn boot(servers: &[Server], script: Script) -> Outcome {
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let n = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("init-peer-{}-{n}", std::process::id()));
    let mut file = File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
    let (release, key, mut script) = (ReleaseId::parse(ID).unwrap(), key().public(), script);
    let order = Order { servers, release: &release, key: &key, seed: 7, limits: LIMITS };
    let result = fetch_from_any(&mut script, &order, &mut file);
    let kept = fs::read(&path).unwrap();
    fs::remove_file(path).unwrap();
    Outcome { result, kept, script }
}

/// One misbehaving server, tried until the PC gives up: it must say `want` and keep nothing.
fn check(answers: Vec<Answer>, want: &str) {
    let peer = Peer::start(answers);
    let Outcome { result, kept, script } = boot(&[peer.server], Script::default());
    let first = script.said.first().unwrap().replace(&peer.server.to_string(), "SERVER");
    let (sentence, next) = first.rsplit_once("; ").unwrap();
    assert_eq!(sentence, want);
    assert!(next.starts_with("trying again in "), "{first}");
    assert!(result.is_err());
    assert!(kept.is_empty(), "{} bytes were kept", kept.len());
}

/// These answers must lead to the right root without a word.
fn check_boots(answers: Vec<Answer>) -> Vec<String> {
    let peer = Peer::start(answers);
    let Outcome { result, kept, script } = boot(&[peer.server], Script::default());
    assert_eq!(
        result.map(|(server, manifest)| (server, manifest.id.to_string())),
        Ok((peer.server, ID.to_string()))
    );
    assert!(kept == root(), "{} bytes were kept", kept.len());
    assert_eq!(script.said, [""; 0]);
    peer.asked()
}

#[test]
fn a_good_server_is_asked_three_times() {
    let asked = check_boots(then(vec![Bytes(ok(&root()))]));
    let want =
        ["manifest.toml", "manifest.sig", "root.squashfs"].map(|name| format!("/releases/{ID}/{name}"));
    assert_eq!(asked, want);
}

#[test]
fn a_missing_file_is_not_called_a_wrong_hash() {
    let want = "did not come: the server does not have it (status 404)";
    check(vec![not_found()], &format!("manifest.toml from SERVER {want}"));
    check(
        then(vec![not_found(), ok_manifest(), ok_signature(), not_found()]),
        &format!("root.squashfs from SERVER {want}"),
    );
}

#[test]
fn a_wrong_length_is_refused_before_the_body() {
    let want = "root.squashfs from SERVER has a wrong length, 700000 instead of 700001 bytes; not booting it";
    check(then(vec![Bytes(ok(&root()[1..])), not_found()]), want);
}

#[test]
fn a_broken_transfer_goes_on_where_it_stopped() {
    let root = root();
    let cut = ok(&root)[..300_000].to_vec();
    let head_bytes = ok(&root).len() - root.len();
    let done = 300_000 - head_bytes;
    let head = format!(
        "HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\nContent-Range: bytes {done}-700000/700001\r\n\r\n",
        root.len() - done
    );
    let rest = [head.as_bytes(), &root[done..]].concat();
    let asked = check_boots(then(vec![Bytes(cut), Bytes(rest)]));
    assert_eq!(asked.last().unwrap(), &format!("/releases/{ID}/root.squashfs bytes={done}-"));
}

#[test]
fn a_server_without_ranges_is_read_from_the_start_again() {
    let cut = ok(&root())[..300_000].to_vec();
    check_boots(then(vec![Bytes(cut), Bytes(ok(&root()))]));
}

#[test]
fn a_wrong_part_is_refused() {
    let cut = ok(&root())[..300_000].to_vec();
    let head = "HTTP/1.1 206 P\r\nContent-Length: 700001\r\nContent-Range: bytes 0-700000/700001\r\n\r\n";
    let want =
        "root.squashfs from SERVER did not come: the server's answer holds another part than was asked for";
    check(then(vec![Bytes(cut), Bytes([head.as_bytes(), &root()].concat()), not_found()]), want);
}

#[test]
fn a_transfer_that_breaks_without_progress_is_given_up() {
    let head = ok(&root())[..ok(&root()).len() - root().len()].to_vec();
    let want = "root.squashfs from SERVER was cut off after 0 of 700001 bytes";
    check(then(vec![Bytes(head), not_found()]), want);
}

#[test]
fn a_server_that_always_breaks_at_the_same_byte_is_given_up() {
    let cut = ok(&root())[..ok(&root()).len() - 1].to_vec();
    let want = "root.squashfs from SERVER was cut off after 700000 of 700001 bytes";
    check(then(vec![Bytes(cut.clone()), Bytes(cut), not_found()]), want);
}

#[test]
fn a_silent_server_is_given_up() {
    let want = "manifest.toml from SERVER did not come: no bytes for 0 seconds";
    check(vec![Hang(vec![]), not_found()], want);
    check(vec![Hang(b"HTTP/1.1 200 OK\r\n".to_vec()), not_found()], want);
}

#[test]
fn a_body_that_drips_is_given_up() {
    // A second passes at every look at the clock; 8 MiB may take 108 of them and come in many small pieces.
    let root = vec![b'x'; 8 << 20];
    let text = manifest(ID, &root);
    let signature = sign(&key(), text.as_bytes());
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", root.len());
    let drip = Drip(head.into_bytes());
    let want = "root.squashfs from SERVER did not come within 108 seconds";
    check(vec![Bytes(ok(text.as_bytes())), Bytes(ok(signature.as_bytes())), drip, not_found()], want);
}

#[test]
fn a_file_that_is_too_large_is_not_read() {
    let want = "manifest.toml from SERVER is larger than 16384 bytes; not reading it";
    check(
        vec![Endless(b"HTTP/1.1 200 OK\r\nContent-Length: 16385\r\n\r\n".to_vec(), b'a'), not_found()],
        want,
    );
}

#[test]
fn an_endless_head_is_given_up() {
    let want = "manifest.toml from SERVER did not come: the server's answer has an endless head";
    check(vec![Endless(b"HTTP/1.1 200 OK\r\nX: ".to_vec(), b'a'), not_found()], want);
}

#[test]
fn an_endless_body_ends_at_its_stated_length() {
    let mut long = ok(&root());
    long.extend_from_slice(b"more");
    check_boots(then(vec![Bytes(long)]));
}

#[test]
fn a_wrong_hash_is_never_booted() {
    let mut wrong = root();
    wrong[699_999] ^= 1;
    let want = "root.squashfs from SERVER has a wrong hash; not booting it";
    check(then(vec![Bytes(ok(&wrong)), not_found()]), want);
}

#[test]
fn a_wrong_signature_is_never_booted() {
    let signature = sign(&SecretKey::from_seed(&[2; 32]), manifest(ID, &root()).as_bytes());
    let want = "manifest.toml from SERVER has a wrong signature; not booting this release";
    check(vec![ok_manifest(), Bytes(ok(signature.as_bytes()))], want);
}

#[test]
fn another_release_is_never_booted_even_when_it_is_signed() {
    let other = manifest("trixie-ffffffffffff", &root());
    let signature = sign(&key(), other.as_bytes());
    let want = "manifest.toml from SERVER is for release trixie-ffffffffffff, \
                and trixie-0123456789ab was asked for; not booting it";
    check(vec![Bytes(ok(other.as_bytes())), Bytes(ok(signature.as_bytes())), not_found()], want);
}

#[test]
fn the_next_server_is_asked_at_once() {
    let (dead, bad) = (dead(), Peer::start(vec![not_found()]));
    let good = Peer::start(then(vec![Bytes(ok(&root()))]));
    let Outcome { result, kept, script } = boot(&[dead, bad.server, good.server], Script::default());
    assert_eq!(result.unwrap().0, good.server);
    assert!(kept == root());
    let refused =
        format!("manifest.toml from {dead} did not come: connection refused; trying {} now", bad.server);
    assert_eq!(script.said[0], refused);
    assert!(
        script.said[1].ends_with(&format!("(status 404); trying {} now", good.server)),
        "{}",
        script.said[1]
    );
    assert_eq!(script.waits, [Duration::ZERO; 0]);
}

#[test]
fn bytes_of_two_servers_are_never_mixed() {
    let mut wrong = root();
    wrong[0] ^= 1;
    let poison = Peer::start(then(vec![Bytes(ok(&wrong)[..400_000].to_vec()), not_found()]));
    let good = Peer::start(then(vec![Bytes(ok(&root()))]));
    let Outcome { result, kept, .. } = boot(&[poison.server, good.server], Script::default());
    assert_eq!(result.unwrap().0, good.server);
    assert!(kept == root());
    assert!(good.asked().iter().all(|asked| !asked.contains("bytes=")));
}

#[test]
fn a_pc_that_is_never_served_gives_up_after_20_rounds() {
    let dead = dead();
    let Outcome { result, script, .. } = boot(&[dead], Script::default());
    let want =
        format!("manifest.toml from {dead} did not come: connection refused; that was try {ROUNDS_MAX}");
    assert_eq!(result.unwrap_err(), want);
    assert_eq!(script.waits.len() as u32, ROUNDS_MAX - 1);
}

#[test]
fn a_root_that_does_not_fit_is_not_fetched() {
    let peer = Peer::start(then(vec![not_found()]));
    let script = Script { memory: Some(20 << 20), ..Script::default() };
    let said = boot(&[peer.server], script).script.said;
    let want = "root.squashfs needs more memory: 25 MB (1 to hold it, 24 to run) and 20 MB are free; trying again in";
    assert!(said[0].starts_with(want), "{}", said[0]);
    assert!(!peer.asked()[..3].iter().any(|asked| asked.contains("root.squashfs")));
}

/// A folder as iPXE leaves it in wrap mode.
fn placed(name: &str, id: &str, kept: &[u8], signer: &SecretKey) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("init-placed-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let text = manifest(id, &root());
    fs::write(folder.join("manifest.toml"), &text).unwrap();
    fs::write(folder.join("manifest.sig"), sign(signer, text.as_bytes())).unwrap();
    fs::write(folder.join("root.squashfs"), kept).unwrap();
    folder
}

fn check_wrap(name: &str, id: &str, kept: &[u8], signer: &SecretKey, want: &str) {
    let folder = placed(name, id, kept, signer);
    let asked = ReleaseId::parse(ID).unwrap();
    let got = check_placed(&folder, Some(&asked), &key().public());
    fs::remove_dir_all(folder).unwrap();
    let got =
        got.map_or_else(|(file, trouble)| format!("{file} {trouble}"), |manifest| manifest.id.to_string());
    assert_eq!(got, want);
}

#[test]
fn a_placed_root_is_checked_like_a_fetched_one() {
    let mut wrong = root();
    wrong[5] ^= 1;
    check_wrap("good", ID, &root(), &key(), ID);
    check_wrap("hash", ID, &wrong, &key(), "root.squashfs has a wrong hash; not booting it");
    let want = "root.squashfs has a wrong length, 700000 instead of 700001 bytes; not booting it";
    check_wrap("length", ID, &root()[1..], &key(), want);
    let want = "manifest.toml has a wrong signature; not booting this release";
    check_wrap("key", ID, &root(), &SecretKey::from_seed(&[9; 32]), want);
    let want = "manifest.toml is for release trixie-1, and trixie-0123456789ab was asked for; not booting it";
    check_wrap("id", "trixie-1", &root(), &key(), want);
}

#[test]
fn a_placed_root_without_a_manifest_is_refused() {
    let folder = placed("bare", ID, &root(), &key());
    fs::remove_file(folder.join("manifest.toml")).unwrap();
    let (file, trouble) = check_placed(&folder, None, &key().public()).unwrap_err();
    fs::remove_dir_all(folder).unwrap();
    assert_eq!(format!("{file} {trouble}"), "manifest.toml cannot be read: no such file or directory");
}
