//! Mission Control, the page of a node: every panel used in Chromium, its API asked by schemathesis as its document says,
//! and a thousand who listen.

#![allow(clippy::unwrap_used)] // A panic is how a test reports.

use admission::KeyLimits;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tests::gateway::{Gateway, KEY};
use tests::node::WAIT_MAX;

const LIMITS: KeyLimits = KeyLimits { per_minute: 60_000, at_once: 64, tokens_per_day: 1_000_000 };

fn agent() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_agent-under-test"))
}

/// An agent that remembers in a folder of its own, which goes with it.
struct Node {
    gateway: Gateway,
    memory: PathBuf,
}

impl Node {
    fn start(name: &str) -> Node {
        Node::with(name, &[])
    }

    /// `more` follow `agent serve`.
    fn with(name: &str, more: &[&str]) -> Node {
        let memory = std::env::temp_dir().join(format!("duet-mission-{name}-{}", std::process::id()));
        fs::create_dir_all(&memory).unwrap();
        let mut words = vec!["--memory".into(), memory.display().to_string()];
        words.extend(more.iter().map(ToString::to_string));
        Node { gateway: Gateway::start(agent(), name, LIMITS, &words), memory }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.memory);
    }
}

/// Pictures stay for people to look at.
fn pictures() -> PathBuf {
    let folder = tests::out().join("pictures");
    fs::create_dir_all(&folder).unwrap();
    folder
}

#[track_caller]
fn run(mut client: Command, cases: &[&str]) {
    let output = client.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let done: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("ok ")).collect();
    assert_eq!(done, cases, "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A browser at the page of this node, with the words that say what it does there.
fn browser(node: &Node, words: &[&str]) -> Result<Command, String> {
    let chromium = tests::clients::chromium().ok_or("there is no chromium")?;
    let mut client = tests::clients::python("voice", "voice-requirements.txt", "mission")?;
    let axe = tests::clients::npm()?.join("node_modules/axe-core/axe.min.js");
    let golden = tests::repository().join("tests/golden/status");
    client.args([chromium, &node.gateway.address.to_string(), KEY]).arg(axe).arg(pictures()).arg(golden);
    client.args(words);
    Ok(client)
}

#[test]
fn a_closed_page_shows_what_it_has_after_a_login() {
    let node = Node::with("closed", &["--closed"]);
    match browser(&node, &["closed"]) {
        Ok(client) => run(client, &["a_closed_page", "a_login_opens_it", "a_logout_closes_it"]),
        Err(why) => tests::skip("closed", &why),
    }
}

#[test]
fn a_person_uses_every_panel_of_the_page() {
    let node = Node::start("mission");
    let client = match browser(&node, &[]) {
        Ok(client) => client,
        Err(why) => return tests::skip("mission", &why),
    };
    run(
        client,
        &[
            "a_wrong_key",
            "a_login",
            "a_typed_question",
            "a_timer",
            "a_persona",
            "a_log",
            "a_volume",
            "a_memory",
            "a_theme",
            "a_keyboard",
            "a_typed_question",
            "every_panel",
            "models",
            "a_logout",
        ],
    );
}

/// What is held against the document; of the answers that it names none is 500.
const CHECKS: &str =
    "status_code_conformance,content_type_conformance,response_schema_conformance,ignored_auth";
/// What is no answer that ends, no JSON, or a model that nobody serves here.
const ENDLESS: &str = "/(events|message|log|audio|rpc|load)$|^/v1/";

#[test]
fn schemathesis_finds_nothing_that_the_document_does_not_say() {
    let installed = tests::clients::python("schemathesis", "schemathesis-requirements.txt", "")
        .map(|python| python.get_program().to_owned());
    let python = match installed {
        Ok(python) => PathBuf::from(python),
        Err(why) => return tests::skip("schemathesis", &why),
    };
    let node = Node::start("schemathesis");
    let gateway = &node.gateway;
    let mut st = Command::new(python.with_file_name("st"));
    st.arg("run").arg(format!("http://{}/api/openapi.json", gateway.address));
    st.args(["--checks", CHECKS, "--exclude-path-regex", ENDLESS, "--max-examples", "25", "--seed", "7"]);
    st.args(["--phases", "examples,coverage,fuzzing", "--request-timeout", "20", "--no-color"]);
    st.arg("--header").arg(format!("Authorization: Bearer {KEY}"));
    // It leaves notes where it stands.
    st.current_dir(std::env::temp_dir());
    let output = st.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    // One that found no operation to try would be content as well.
    let cases = said.lines().find_map(|line| {
        let (generated, rest) = line.trim().split_once(" generated, ")?;
        Some((generated.parse::<u32>().ok()?, rest.split_once(" passed")?.0.parse::<u32>().ok()?))
    });
    assert!(cases.is_some_and(|(generated, passed)| generated > 500 && generated == passed), "{said}");
}

const LISTENERS: usize = 1000;
/// A few for each address, as of many PCs.
const PER_ADDRESS: usize = 50;
/// What one listener may cost the agent.
const KIB_EACH_MAX: u64 = 40;
const N_NEWS: usize = 500;
/// What all of these may add: the lines that are kept, and what a thousand sockets wait for.
const KIB_GROWN_MAX: u64 = 4096;

fn rss_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Follows from an address of its own, and has read the head and the first word.
fn listener(to: SocketAddr, idx: usize) -> BufReader<TcpStream> {
    let from = Ipv4Addr::new(127, 0, 1, 1 + (idx / PER_ADDRESS) as u8);
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::V4(SocketAddrV4::new(from, 0)).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(WAIT_MAX)).unwrap();
    let ask = format!("GET /api/log HTTP/1.1\r\nHost: node\r\nAuthorization: Bearer {KEY}\r\n\r\n");
    stream.write_all(ask.as_bytes()).unwrap();
    let mut stream = BufReader::with_capacity(512, stream);
    let mut line = String::new();
    while !line.contains("retry:") {
        line.clear();
        assert!(stream.read_line(&mut line).unwrap() > 0, "listener {idx} was sent away");
    }
    stream
}

#[test]
fn a_thousand_listeners_cost_little_and_no_more_with_time() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = 4096.min(limit.maximum.unwrap_or(u64::MAX));
    setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), ..limit }).unwrap();
    // The agent inherits what is raised here.
    let node = Node::start("listeners");
    let gateway = &node.gateway;
    let before = rss_kib(gateway.pid());
    let mut listeners: Vec<_> = (0..LISTENERS).map(|idx| listener(gateway.address, idx)).collect();
    let with_all = rss_kib(gateway.pid());
    println!("{} KiB for each of {LISTENERS} listeners", (with_all - before) / LISTENERS as u64);
    assert!(with_all - before < KIB_EACH_MAX * LISTENERS as u64, "{before} KiB, then {with_all} KiB");
    // More than is kept, so that the oldest give way, and all of it goes to everybody.
    for n in 0..N_NEWS {
        let told = gateway.post("/api/log", &format!("{{\"banner\": \"number {n} of all\"}}"));
        assert!(told.starts_with("HTTP/1.1 200 "), "{told}");
    }
    let last = format!("number {} of all", N_NEWS - 1);
    for (idx, stream) in listeners.iter_mut().enumerate() {
        let mut line = String::new();
        while !line.contains(&last) {
            line.clear();
            assert!(stream.read_line(&mut line).unwrap() > 0, "listener {idx} was sent away");
        }
    }
    let later = rss_kib(gateway.pid());
    println!("{N_NEWS} news took {} KiB more", later.saturating_sub(with_all));
    assert!(later < with_all + KIB_GROWN_MAX, "{with_all} KiB, then {later} KiB");
    // Somebody else still comes in.
    assert!(gateway.get("/api/status").starts_with("HTTP/1.1 200 "));
}
