//! Call home over a real wire: the real `duet serve`, the real agent, the owner's commands, and callers of no good.

use crate::lab::{CLIENT, CLIENT_MAC, Lab, NEW, PATIENCE, SERVER, run, wait};
use admission::{
    Answer, Ask, BoxSecret, Caller, Challenge, ENROL_PATH, ENROL_PORT, Hardware, Membership, NodeSecret,
    OPEN_PATH, Open, OverlayPublic,
};
use release::{Address, BootFacts, Mac, Mode, ReleaseId, SecretKey};
use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use tests::node::{Root, units};

const FILES_ONLY: &str = "--dhcp off --ra off";

/// An agent on the client's side, with a journal of two lines.
struct Agent {
    child: Option<Child>,
    root: Root,
    kept: PathBuf,
    log: PathBuf,
}

impl Agent {
    /// It has no address to gossip with.
    fn new(lab: &Lab, name: &str, release_key: &SecretKey) -> Agent {
        Agent::at(None, lab, name, release_key)
    }

    /// It gossips too.
    fn gossiping(lab: &Lab, name: &str, release_key: &SecretKey) -> Agent {
        let address = Address { ip: CLIENT, mask: [255, 255, 255, 0].into(), gateway: None };
        Agent::at(Some(address), lab, name, release_key)
    }

    fn at(address: Option<Address>, lab: &Lab, name: &str, release_key: &SecretKey) -> Agent {
        let facts = BootFacts {
            release: ReleaseId::parse(NEW).expect("an id"),
            release_key: Some(release_key.public()),
            mode: Mode::Net,
            attempt: Some(1),
            mac: Some(Mac::parse(CLIENT_MAC).expect("a MAC")),
            interface: None,
            address,
            servers: vec![release::Server { ip: SERVER, port: 80 }],
            stamps: vec![],
        };
        let root = Root::new(&format!("admission-{name}"), &facts.to_text(), units());
        root.put_overlay_key(5);
        let journal = UnixListener::bind(root.path().join("run/duet/journal.sock")).expect("a socket");
        std::thread::spawn(move || {
            for mut stream in journal.incoming().flatten() {
                let _ = stream.write_all(b"[1.0] first line\n[2.0] last line \x1b[2J\n");
            }
        });
        let (kept, log) = (lab.out.join("kept"), lab.out.join("agent.log"));
        std::fs::create_dir_all(&kept).expect("a folder");
        Agent { child: None, root, kept, log }
    }

    fn start(&mut self, lab: &Lab) {
        let log = File::create(&self.log).expect("a log");
        let mut command = lab.inside(false, env!("CARGO_BIN_EXE_agent-under-test"));
        command.args(["serve", "--listen", "0.0.0.0:8000", "--root"]).arg(self.root.path());
        command.env("RUNTIME_DIRECTORY", &self.kept).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.child = Some(command.spawn().expect("an agent"));
    }

    fn kill(&mut self) {
        let mut child = self.child.take().expect("a running agent");
        child.kill().expect("a signal");
        child.wait().expect("an end");
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn wait_log(&self, text: &str) -> String {
        let line = || self.log().lines().find(|line| line.contains(text)).map(str::to_owned);
        wait(line, || format!("no {text} in:\n{}", self.log()))
    }

    fn status(&self, lab: &Lab) -> serde_json::Value {
        lab.at_client(|| {
            let mut stream = TcpStream::connect("127.0.0.1:8000").expect("the page");
            stream.write_all(b"GET /api/status HTTP/1.0\r\n\r\n").expect("a request");
            let mut text = String::new();
            stream.read_to_string(&mut text).expect("an answer");
            serde_json::from_str(text.split_once("\r\n\r\n").expect("a body").1).expect("JSON")
        })
    }
}

impl Agent {
    /// The status with which the gateway answers for its models.
    fn models(&self, lab: &Lab, key: &str) -> String {
        lab.at_client(|| {
            let mut stream = TcpStream::connect("127.0.0.1:8000").expect("the gateway");
            let head = format!("GET /v1/models HTTP/1.0\r\nAuthorization: Bearer {key}\r\n\r\n");
            stream.write_all(head.as_bytes()).expect("a request");
            let mut text = String::new();
            stream.read_to_string(&mut text).expect("an answer");
            text.split(' ').nth(1).expect("a status").to_owned()
        })
    }

    /// Waits until these are the names of all keys.
    fn wait_keys(&self, lab: &Lab, want: &[&str]) {
        let names = || {
            let status = self.status(lab);
            let keys = status["gateway"]["keys"].as_array().expect("a list").clone();
            keys.iter().map(|key| key["name"].as_str().expect("a name").to_owned()).collect::<Vec<_>>()
        };
        wait(|| (names() == want).then_some(()), || format!("{:?} instead of {want:?}", names()));
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
    }
}

/// `duet nodes` of the owner.
fn nodes(lab: &Lab, words: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_duet-under-test"));
    command.args(["nodes", "--out"]).arg(&lab.out).args(words.split(' '));
    command
}

fn said(lab: &Lab, words: &str) -> String {
    String::from_utf8(run(&mut nodes(lab, words)).stdout).expect("text")
}

/// `duet keys` of the owner.
fn keys(lab: &Lab, words: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_duet-under-test"));
    command.args(["keys", "--out"]).arg(&lab.out).args(words.split(' '));
    String::from_utf8(run(&mut command).stdout).expect("text").trim_end().to_owned()
}

/// The only PC of the cluster.
fn listed(lab: &Lab) -> serde_json::Value {
    let list: serde_json::Value = serde_json::from_str(&said(lab, "list --json")).expect("JSON");
    list["nodes"][0].clone()
}

fn policy(lab: &Lab, policy: &str) {
    std::fs::create_dir_all(lab.out.join("state")).expect("a folder");
    let text = format!("[cluster]\npolicy = \"{policy}\"\n");
    std::fs::write(lab.out.join("state/duet.toml"), text).expect("settings");
}

/// A caller of our own: the PC with these seeds.
struct Pc {
    mac: Mac,
    node: NodeSecret,
    letterbox: BoxSecret,
    nonce: [u8; 32],
}

impl Pc {
    fn new(n: u8) -> Pc {
        let mac = Mac::parse(CLIENT_MAC).expect("a MAC");
        let letterbox = BoxSecret::from_seed(&[n ^ 0x55; 32]);
        Pc { mac, node: NodeSecret::from_seed(&[n; 32]), letterbox, nonce: [n ^ 0xaa; 32] }
    }

    fn ask(&self) -> Ask {
        let caller = Caller {
            mac: self.mac,
            attempt: 1,
            release: ReleaseId::parse(NEW).expect("an id"),
            hardware: Hardware::default(),
            overlay_key: OverlayPublic([5; 32]),
        };
        Ask::new(&caller, &self.node, self.letterbox.public(), &self.nonce)
    }

    /// A whole call; nothing when the server went away meanwhile.
    fn call(&self, lab: &Lab) -> Option<Membership> {
        let ask = self.ask();
        let (200, text) = post(lab, ENROL_PATH, &ask.to_json())? else { return None };
        let challenge =
            Challenge::parse(&text, &ask.id(), &tests::release::key().public()).expect("a challenge");
        let open = Open::new(ask.id(), &self.node, &self.nonce, &challenge.nonce);
        let (200, text) = post(lab, OPEN_PATH, &open.to_json())? else { return None };
        let answer =
            Answer::open(&text, &ask.id(), &self.letterbox, &challenge.authority).expect("an answer");
        let Answer::Admitted(admission) = answer else { panic!("not admitted: {answer:?}") };
        let member = Membership::new(*admission, challenge.authority, challenge.proof, self.node.clone());
        Some(member.expect("an admission that holds"))
    }
}

/// Status and body; nothing when the connection broke.
fn post(lab: &Lab, path: &str, json: &str) -> Option<(u16, Vec<u8>)> {
    exchange(lab, "POST", path, json)
}

/// What anyone may see.
fn seen(lab: &Lab, path: &str) -> serde_json::Value {
    let (status, body) = exchange(lab, "GET", path, "").expect("an answer");
    assert_eq!(status, 200, "{path}");
    serde_json::from_slice(&body).expect("JSON")
}

fn exchange(lab: &Lab, method: &str, path: &str, json: &str) -> Option<(u16, Vec<u8>)> {
    lab.at_client(|| {
        let mut stream = TcpStream::connect((SERVER, ENROL_PORT)).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let n = json.len();
        let head = format!("{method} {path} HTTP/1.0\r\nHost: {SERVER}\r\nContent-Length: {n}\r\n\r\n");
        stream.write_all((head + json).as_bytes()).ok()?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).ok()?;
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let status = std::str::from_utf8(&bytes[9..12]).ok()?.parse().ok()?;
        Some((status, bytes[end..].to_vec()))
    })
}

fn serial(member: &Membership) -> u32 {
    member.certificate.claim().serial
}

#[test]
fn a_pc_joins_in_the_first_hour_and_a_crash_of_its_agent_needs_no_new_call() {
    let Some(mut lab) = Lab::new("admission-join") else { return };
    lab.start(FILES_ONLY);
    let mut agent = Agent::new(&lab, "join", &tests::release::key());
    agent.start(&lab);
    let joined = agent.wait_log("duet: member of cluster");
    assert!(joined.contains("as duet-990002"), "{joined}");
    let node = listed(&lab);
    assert_eq!((&node["state"], &node["mac"]), (&"admitted".into(), &CLIENT_MAC.into()));
    assert_eq!(agent.status(&lab)["cluster"]["phase"], "member");

    // The owner reads its journal and its state; what it says cannot command the terminal.
    assert_eq!(said(&lab, &format!("logs {CLIENT_MAC} --lines 1")), "[2.0] last line ?[2J\n");
    let diag = said(&lab, "run-diag duet-990002");
    assert!(diag.contains("health") && diag.contains("/proc/meminfo"), "{diag}");

    // A crash: the membership is taken up from RAM, without a word to the server.
    lab.kill();
    agent.kill();
    agent.start(&lab);
    agent.wait_log("duet: member of cluster");
}

#[test]
fn the_owner_approves_by_the_code_that_both_sides_show_renames_and_takes_out() {
    let Some(mut lab) = Lab::new("admission-approve") else { return };
    policy(&lab, "approve");
    lab.start(FILES_ONLY);
    let mut agent = Agent::new(&lab, "approve", &tests::release::key());
    agent.start(&lab);
    let line = agent.wait_log("duet: code ");
    let code = line.split_once("duet: code ").expect("a code").1.to_owned();
    assert_eq!(agent.status(&lab)["cluster"]["code"], code);
    let node = listed(&lab);
    assert_eq!((&node["state"], &node["code"]), (&"waiting-for-approval".into(), &code.clone().into()));

    // On the wire everyone sees that it waits, and nobody the code.
    let all = seen(&lab, "/v1/nodes");
    let one = seen(&lab, &format!("/v1/nodes/{}", node["id"].as_str().expect("an id")));
    for view in [&all["nodes"][0], &one] {
        assert_eq!((&view["state"], view.get("code")), (&"waiting-for-approval".into(), None), "{view}");
    }

    let wrong = if code == "000 000" { "000001" } else { "000000" };
    let refused = nodes(&lab, &format!("approve {wrong}")).output().expect("duet");
    assert!(!refused.status.success());
    let words = format!("approve {}", code.replace(' ', ""));
    assert!(said(&lab, &words).contains("is taken in"));
    agent.wait_log("duet: member of cluster");

    said(&lab, "rename duet-990002 kitchen");
    assert_eq!(listed(&lab)["name"], "kitchen");
    let settings = std::fs::read_to_string(lab.out.join("state/duet.toml")).expect("settings");
    assert!(
        settings.contains("policy = \"approve\"") && settings.contains("name = \"kitchen\""),
        "{settings}"
    );

    assert!(said(&lab, "remove kitchen").contains("is taken out"));
    let list: serde_json::Value = serde_json::from_str(&said(&lab, "list --json")).expect("JSON");
    assert_eq!(list["nodes"][0]["state"], "removed");
    // The new ring key is on its way, or already takes over, because nobody is left to wait for.
    assert!([&list["ring_next"], &list["ring"]].contains(&&2.into()), "{list}");
    let refused = nodes(&lab, "logs kitchen").output().expect("duet");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("no member"), "{refused:?}");
}

#[test]
fn a_key_of_the_owners_opens_every_node_until_it_is_removed() {
    let Some(mut lab) = Lab::new("admission-keys") else { return };
    lab.start(FILES_ONLY);
    let mut agent = Agent::gossiping(&lab, "keys", &tests::release::key());
    agent.start(&lab);
    agent.wait_log("duet: member of cluster");
    let key = keys(&lab, "add laptop");
    agent.wait_keys(&lab, &["laptop"]);
    assert_eq!((agent.models(&lab, &key), agent.models(&lab, "duet-other")), ("200".into(), "401".into()));

    // A crash of both: the node knows its keys from RAM, without a word from the server.
    lab.kill();
    agent.kill();
    agent.start(&lab);
    agent.wait_log("duet: member of cluster");
    agent.wait_keys(&lab, &["laptop"]);
    assert_eq!(agent.models(&lab, &key), "200");

    lab.start(FILES_ONLY);
    keys(&lab, "remove laptop");
    agent.wait_keys(&lab, &[]);
    assert_eq!(agent.models(&lab, &key), "401");
}

#[test]
fn under_usb_a_pc_waits_for_the_owners_stick_and_never_shows_the_key_on_it() {
    let Some(mut lab) = Lab::new("admission-usb") else { return };
    policy(&lab, "usb");
    lab.start(FILES_ONLY);
    let mut agent = Agent::new(&lab, "usb", &tests::release::key());
    agent.root.serve_stick(env!("CARGO_BIN_EXE_agent-under-test"));
    agent.start(&lab);
    agent.wait_log("put a stick of `duet nodes usb-key` into this PC");
    assert_eq!(listed(&lab)["state"], "failed");

    let image = lab.out.join("stick.img");
    let written = said(&lab, &format!("usb-key {} --days 7", image.display()));
    assert!(written.contains("for 7 days, under policy usb"), "{written}");
    let block = std::fs::read(&image).expect("the stick's image");
    // A stick that was made void is none.
    said(&lab, "void-sticks");
    agent.root.put_stick(&block);
    agent.wait_log("the stick in this PC was made void");
    said(&lab, &format!("usb-key {}", image.display()));
    let block = std::fs::read(&image).expect("the stick's image");
    agent.root.put_stick(&block);
    agent.wait_log("duet: member of cluster");
    assert_eq!((&listed(&lab)["state"], &listed(&lab)["approved"]), (&"admitted".into(), &true.into()));

    // The next boot of this PC needs no stick.
    agent.kill();
    std::fs::remove_file(agent.kept.join("membership")).expect("what a boot forgets");
    agent.root.put_stick(&[0; 512]);
    agent.start(&lab);
    agent.wait_log("duet: member of cluster");
}

#[test]
fn a_node_with_another_release_key_does_not_believe_this_server() {
    let Some(mut lab) = Lab::new("admission-key") else { return };
    lab.start(FILES_ONLY);
    let mut agent = Agent::new(&lab, "key", &SecretKey::from_seed(&[8; 32]));
    agent.start(&lab);
    agent.wait_log("is not believed: the signature of the cluster's authority");
    let cluster = agent.status(&lab)["cluster"].clone();
    assert_eq!(cluster["phase"], "refused", "{cluster}");
    assert_eq!(listed(&lab)["state"], "called");
}

#[test]
fn what_was_acknowledged_outlives_a_server_that_is_killed_at_any_moment() {
    let Some(mut lab) = Lab::new("admission-kill") else { return };
    let (mut last, mut epoch, mut n) = (0, 0, 0u8);
    for round in 0..6u64 {
        lab.start(FILES_ONLY);
        // Calls until the server dies of a kill that comes after so many of them, in the middle of the next.
        let pause = std::time::Duration::from_micros(700 * round * round);
        let killed = std::sync::atomic::AtomicBool::new(false);
        let acknowledged = std::sync::Mutex::new(Vec::new());
        let pid = lab.server_pid();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..12 {
                    n = n.wrapping_add(1);
                    let Some(member) = Pc::new(n).call(&lab) else { break };
                    acknowledged.lock().expect("a list").push(member);
                }
                killed.store(true, std::sync::atomic::Ordering::SeqCst);
            });
            let enough = || acknowledged.lock().expect("a list").len() > round as usize;
            let over = || killed.load(std::sync::atomic::Ordering::SeqCst);
            wait(|| (enough() || over()).then_some(()), || "no admission".to_owned());
            std::thread::sleep(pause);
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("a signal");
        });
        lab.kill();
        let acknowledged = acknowledged.into_inner().expect("a list");
        let newest = acknowledged.last().expect("an admission");
        assert!(acknowledged.iter().map(serial).is_sorted());
        assert!(serial(&acknowledged[0]) > last && acknowledged[0].epoch > epoch);
        let book = std::fs::read_to_string(lab.out.join("state/nodes.json")).expect("a book");
        let book: serde_json::Value = serde_json::from_str(&book).expect("JSON");
        assert!(book["serial"].as_u64() >= Some(serial(newest).into()), "round {round}: {book}");
        last = serial(newest);
        epoch = newest.epoch;
    }
}

#[test]
fn strangers_browsers_and_crowds_get_no_further_than_the_door() {
    let Some(mut lab) = Lab::new("admission-strangers") else { return };
    lab.start(FILES_ONLY);
    let stranger = Pc { mac: Mac([0x52, 0x54, 0, 0x99, 0, 9]), ..Pc::new(1) };
    let (status, body) = post(&lab, ENROL_PATH, &stranger.ask().to_json()).expect("an answer");
    assert_eq!(status, 403, "{}", String::from_utf8_lossy(&body));
    for (body, want) in [("{}", 400), (&*" ".repeat(5000), 413)] {
        assert_eq!(post(&lab, ENROL_PATH, body).expect("an answer").0, want);
    }

    // Many at once, all with the right card: each is answered or told to come later, and the last call holds.
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let lab = &lab;
        let crowd = (10..50).map(|n| scope.spawn(move || post(lab, ENROL_PATH, &Pc::new(n).ask().to_json())));
        let crowd: Vec<_> = crowd.collect();
        crowd.into_iter().filter_map(|one| one.join().expect("a thread")).map(|(status, _)| status).collect()
    });
    assert!(statuses.contains(&200) && statuses.iter().all(|s| [200, 429].contains(s)), "{statuses:?}");
    let calm = || post(&lab, ENROL_PATH, &Pc::new(9).ask().to_json()).filter(|(status, _)| *status == 200);
    wait(calm, || "the door stays closed".to_owned());
    let failures: serde_json::Value = serde_json::from_str(&said(&lab, "list --json")).expect("JSON");
    assert_eq!(failures["failures"][0]["sentence"], "another PC's card is behind this address");
}
