//! The node programs as they ship, on an emulated Core 2: they answer, they report, and no stranger stops them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::sync::mpsc;
use tests::core2::{CONROE, command};
use tests::node::{Root, WAIT_MAX, connect, exchange, fixture_text, get, server, units};

/// A program that serves; ended when dropped.
struct Running {
    child: Child,
    address: SocketAddr,
}

impl Running {
    /// Nothing where the emulator is missing.
    fn start(test: &str, program: &str, arguments: &[&str]) -> Option<Running> {
        let mut command = command(test, CONROE, program)?;
        command.args(arguments);
        let child = command.stderr(Stdio::piped()).spawn().expect("the emulator");
        // From here on a panic ends the program too: left alone, it would hold the pipes of the whole test run open.
        let mut running = Running { child, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        let mut log = BufReader::new(running.child.stderr.take().expect("a pipe"));
        let (mut told, mut address) = (String::new(), None);
        while address.is_none() {
            let from = told.len();
            let n = log.read_line(&mut told).expect("a line");
            assert!(n > 0, "no address in: {told}");
            address = told[from..]
                .trim()
                .trim_end_matches('/')
                .rsplit([' ', '/'])
                .next()
                .and_then(|a| a.parse().ok());
        }
        running.address = address.expect("the loop ends with one");
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Some(running)
    }

    fn agent(test: &str, root: &Root, worker: SocketAddr) -> Option<Running> {
        let (root, worker) = (root.path().to_str().expect("a plain path"), worker.to_string());
        Running::start(
            test,
            "agent",
            &["serve", "--listen", "127.0.0.1:0", "--root", root, "--worker", &worker],
        )
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn root(test: &str) -> Root {
    let root = Root::new(test, &fixture_text("run/duet/boot.toml"), units());
    root.put("run/duet/multi-user", "9340 45690000000");
    root
}

fn worker() -> SocketAddr {
    server(|_| 200)
}

#[test]
fn the_agent_serves_page_and_api_on_a_core_2() {
    let root = root("conroe-agent");
    let Some(agent) = Running::agent("the agent on a Core 2", &root, worker()) else { return };
    let page = get(agent.address, "/");
    assert!(
        page.starts_with("HTTP/1.1 200 OK\r\n") && page.contains("<h1><i class=\"lamp\"></i>kitchen</h1>"),
        "{page}"
    );
    assert!(page.contains("content-security-policy: default-src 'none';"), "{page}");
    let api = get(agent.address, "/api/status");
    let json = api.split("\r\n\r\n").nth(1).expect("a body");
    let status: serde_json::Value = serde_json::from_str(json).expect("JSON");
    assert_eq!(status["boot"]["release"], "trixie-0123456789ab");
    assert_eq!(status["memory"]["occupied_kib"], 2_046_112 - 1_905_228);
    assert!(get(agent.address, "/healthz").ends_with("healthy: everything that belongs to this node runs\n"));
    assert!(get(agent.address, "/../../etc/passwd").starts_with("HTTP/1.1 404"));
}

#[test]
fn the_rpc_worker_tells_its_health_on_a_core_2() {
    let Some(worker) = Running::start("rpc-worker on a Core 2", "rpc-worker", &["--listen", "127.0.0.1:0"])
    else {
        return;
    };
    let answer = get(worker.address, "/health");
    let json: serde_json::Value =
        serde_json::from_str(answer.split("\r\n\r\n").nth(1).expect("a body")).expect("JSON");
    assert_eq!(json["build"], env!("CARGO_PKG_VERSION"));
    assert!(json["memory_total_kib"].as_u64() > json["memory_own_kib"].as_u64());
    assert_eq!(json["kernels"], "ssse3");
}

#[test]
fn the_command_line_explains_itself_on_a_core_2() {
    for (program, example) in
        [("agent", "agent status --json"), ("rpc-worker", "curl http://127.0.0.1:8081/health")]
    {
        let Some(mut command) = command("the command line on a Core 2", CONROE, program) else { return };
        let help = command.arg("--help").output().expect("the emulator");
        assert!(help.status.success() && String::from_utf8_lossy(&help.stdout).contains(example));
    }
}

/// What strangers send to an open port, and whether any answer is due.
fn check_stranger(address: SocketAddr, request: &[u8], want: &str) {
    let answer = exchange(address, request);
    assert!(
        answer.starts_with(want),
        "{:?} got {answer:?}",
        String::from_utf8_lossy(&request[..request.len().min(40)])
    );
}

#[test]
fn garbage_gets_a_short_answer_and_the_next_guest_a_good_one() {
    let root = root("conroe-garbage");
    let Some(agent) = Running::agent("garbage on the port", &root, worker()) else { return };
    let long = |n: usize| format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(n));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(500));
    check_stranger(agent.address, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "HTTP/1.1 400");
    check_stranger(agent.address, &[0; 20_000], "HTTP/1.1 400");
    check_stranger(agent.address, b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "HTTP/1.1 400");
    check_stranger(agent.address, long(7_000).as_bytes(), "HTTP/1.1 200");
    check_stranger(agent.address, long(20_000).as_bytes(), "HTTP/1.1 431");
    check_stranger(agent.address, many.as_bytes(), "HTTP/1.1 431");
    check_stranger(
        agent.address,
        b"DELETE / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 405",
    );
    check_stranger(agent.address, b"GET / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", "HTTP/1.1 413");
    check_stranger(
        agent.address,
        b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        "HTTP/1.1 413",
    );
    assert!(get(agent.address, "/healthz").starts_with("HTTP/1.1 200"));
}

#[test]
fn clients_that_say_nothing_lose_their_places_to_those_who_ask() {
    let root = root("conroe-slow");
    let Some(agent) = Running::agent("slow clients", &root, worker()) else { return };
    let mut silent: Vec<_> = (0..100).map(|_| connect(agent.address)).collect();
    for (idx, stream) in silent.iter_mut().enumerate().filter(|(idx, _)| idx % 2 == 0) {
        let _ = write!(stream, "GET /{idx} HTTP/1.1\r\nX-Slow: ");
    }
    // The agent closes each by itself, at once or when its time for a head is over; a hang would fail on the time-out.
    for stream in &mut silent {
        let mut rest = vec![];
        let error = stream.read_to_end(&mut rest).err().map(|e| e.kind());
        assert!(error.is_none_or(|kind| kind == std::io::ErrorKind::ConnectionReset), "{error:?}");
    }
    assert!(get(agent.address, "/healthz").starts_with("HTTP/1.1 200"));
}

/// Runs the agent against two boot servers, the first of them dead, and returns the first `n` reports.
fn reports(test: &str, units: String, n: usize) -> Option<Vec<serde_json::Value>> {
    let (tell, told) = mpsc::channel();
    let boot_server = server(move |body| if tell.send(body.to_string()).is_ok() { 204 } else { 500 });
    let dead = "http://127.0.0.1:9";
    let servers = format!("servers = [\"{dead}\", \"http://{boot_server}\"]");
    let boot = fixture_text("run/duet/boot.toml")
        .replace(&format!("servers = [\"{dead}\", \"http://127.0.0.2:9\"]"), &servers);
    let root = Root::new(test, &boot, units);
    let _agent = Running::agent(test, &root, worker())?;
    reached(&root);
    let report = |_| serde_json::from_str(&told.recv_timeout(WAIT_MAX).expect("a report")).expect("JSON");
    Some((0..n).map(report).collect())
}

/// systemd runs this after multi-user.target.
fn reached(root: &Root) {
    let mut command = command("reached on a Core 2", CONROE, "agent").expect("the agent runs already");
    command.args(["reached", "--root"]).arg(root.path());
    assert!(command.stderr(Stdio::null()).status().expect("the emulator").success());
}

#[test]
fn a_boot_server_hears_booted_and_then_healthy() {
    let Some(reports) = reports("conroe-healthy", units(), 2) else { return };
    for (report, stage) in reports.iter().zip(["booted", "healthy"]) {
        assert_eq!(report["stage"], stage);
        assert_eq!(report["mac"], "00:1c:c0:12:34:56");
        assert_eq!(report["attempt"], 1);
        assert_eq!(report["release"], "trixie-0123456789ab");
        assert!(report["clock"].as_u64() > Some(0));
    }
    assert!(reports[0]["clock"].as_u64() < reports[1]["clock"].as_u64());
}

#[test]
fn a_boot_server_hears_in_one_sentence_what_failed() {
    let failed = units() + "systemd-networkd.service loaded failed failed x\n";
    let failed = failed.replace("Id=systemd-networkd.service", "Id=other.service");
    let Some(reports) = reports("conroe-failed", failed, 2) else { return };
    assert_eq!(reports[1]["stage"], "failed");
    assert_eq!(reports[1]["sentence"], "systemd-networkd.service failed");
}
