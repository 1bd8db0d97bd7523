//! The HTTP side: ranges, refusals, slow clients, many clients.

use crate::lab::{Lab, NEW, SERVER, noise, run, wait};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const FILES_ONLY: &str = "--dhcp off --ra off";

#[test]
fn a_file_is_sent_whole_or_in_the_range_that_was_asked_for() {
    let Some(mut lab) = Lab::new("ranges") else { return };
    lab.start(FILES_ONLY);
    let (path, root) = (format!("/releases/{NEW}/root.squashfs"), noise(300_000));
    let check = |range: &str, status: u16, want: &[u8], content_range: Option<&str>| {
        let field = if range.is_empty() { String::new() } else { format!("Range: bytes={range}\r\n") };
        let answer = lab.get(&path, &field);
        assert_eq!((answer.status, answer.field("content-range")), (status, content_range), "{range}");
        assert!(answer.body == want, "{range}: {} bytes", answer.body.len());
        assert_eq!(answer.field("content-length"), Some(want.len().to_string().as_str()), "{range}");
    };
    check("", 200, &root, None);
    check("0-0", 206, &root[..1], Some("bytes 0-0/300000"));
    check("299990-", 206, &root[299_990..], Some("bytes 299990-299999/300000"));
    check("-5", 206, &root[299_995..], Some("bytes 299995-299999/300000"));
    check("100-200000", 206, &root[100..=200_000], Some("bytes 100-200000/300000"));
    check("300000-", 416, b"", Some("bytes */300000"));
    check("1-2,4-5", 200, &root, None);
    let answer = lab.get(&path, "");
    assert_eq!(answer.field("etag"), Some(format!("\"{}\"", blake3::hash(&root)).as_str()));
    let head = lab.exchange(format!("HEAD {path} HTTP/1.1\r\nConnection: close\r\n\r\n").as_bytes());
    assert_eq!((head.status, head.field("content-length"), head.body.len()), (200, Some("300000"), 0));
}

#[test]
fn several_files_travel_on_one_connection() {
    let Some(mut lab) = Lab::new("keep-alive") else { return };
    lab.start(FILES_ONLY);
    let ask = |file: &str, close: &str| format!("GET /releases/{NEW}/{file} HTTP/1.1\r\n{close}\r\n");
    let both = ask("vmlinuz", "") + &ask("missing", "") + &ask("initrd", "Connection: close\r\n");
    let answer = lab.exchange(both.as_bytes());
    let text = String::from_utf8_lossy(&answer.body);
    assert_eq!(answer.status, 200);
    assert!(
        text.starts_with("kernel") && text.ends_with("initrd") && text.contains("404 Not Found"),
        "{text}"
    );
}

#[test]
fn no_path_leads_out_of_the_releases() {
    let Some(mut lab) = Lab::new("traversal") else { return };
    std::fs::write(lab.out.join("releases").join(NEW).join("secret"), "x").expect("a file");
    lab.start(FILES_ONLY);
    let (up, n) = ("..", NEW);
    for path in [
        format!("/releases/{up}/keys/release.key"),
        format!("/releases/{n}/{up}/{up}/keys/release.key"),
        format!("/releases/{n}/%2e%2e/%2e%2e/keys/release.key"),
        format!("/releases/{n}/..%2f..%2fkeys%2frelease.key"),
        format!("/releases/{n}/..%5c..%5ckeys"),
        format!("/releases/{n}/%252e%252e/x"),
        format!("/releases/{n}//etc/passwd"),
        format!("/releases/{n}/secret"),
        format!("/releases/{n}/vmlinuz%00.txt"),
        format!("/releases/{n}/"),
        "/releases/promoted".to_owned(),
        "/../../etc/passwd".to_owned(),
        "//etc/passwd".to_owned(),
        "/ipxe/../keys/release.key".to_owned(),
        "http://x/releases/../keys/release.key".to_owned(),
    ] {
        let answer = lab.get(&path, "");
        assert!(matches!(answer.status, 400 | 404), "{path}: {}", answer.head);
    }
}

#[test]
fn slow_silent_and_stuck_clients_are_dropped() {
    let Some(mut lab) = Lab::new("slow") else { return };
    lab.add_release("trixie-00000000000b", &noise(40_000_000));
    lab.start(FILES_ONLY);
    let (silent, mut loris, mut stuck) = (lab.connect(), lab.connect(), lab.connect());
    stuck.write_all(b"GET /releases/trixie-00000000000b/root.squashfs HTTP/1.1\r\n\r\n").expect("a request");
    // A letter now and then keeps no connection alive: the whole head has its time.
    let refused = wait(
        || {
            let closed = loris.write_all(b"G").is_err();
            loris.set_read_timeout(Some(Duration::from_millis(200))).expect("a patience");
            let mut answer = [0; 64];
            let n = loris.read(&mut answer).ok()?;
            (closed || n > 0).then(|| String::from_utf8_lossy(&answer[..n]).into_owned())
        },
        || "the slow client is still connected".to_owned(),
    );
    assert!(refused.starts_with("HTTP/1.1 4"), "{refused}");
    let rest = |mut stream: TcpStream| {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        bytes.len()
    };
    assert_eq!(rest(silent), 0);
    let is_dropped = || (connections(&lab, &["01"]) == 0).then_some(());
    wait(is_dropped, || "the stuck client is still connected".to_owned());
    assert!(rest(stuck) < 40_000_000);
}

/// Connections at the server's port 80 in these states of /proc/net/tcp; 01 is: established.
fn connections(lab: &Lab, states: &[&str]) -> usize {
    let table = run(lab.inside(true, "cat").arg("/proc/net/tcp")).stdout;
    let table = String::from_utf8_lossy(&table).into_owned();
    let words = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    words.filter(|words| words.len() > 3 && words[1].ends_with(":0050") && states.contains(&words[3])).count()
}

#[test]
fn a_client_that_was_switched_off_is_forgotten() {
    let Some(mut lab) = Lab::new("half-open") else { return };
    lab.add_release("trixie-00000000000b", &noise(40_000_000));
    lab.start(FILES_ONLY);
    let (idle, mut fetching) = (lab.connect(), lab.connect());
    fetching
        .write_all(b"GET /releases/trixie-00000000000b/root.squashfs HTTP/1.1\r\n\r\n")
        .expect("a request");
    fetching.read_exact(&mut [0; 1000]).expect("the first bytes");
    assert_eq!(connections(&lab, &["01"]), 2);
    // From here on the server hears nothing: no acknowledgement, no reset.
    lab.ip(false, "link set c0 down");
    // Established, or closed here and still sending to nobody (FIN_WAIT1, FIN_WAIT2).
    let is_gone = || (connections(&lab, &["01", "04", "05"]) == 0).then_some(());
    wait(is_gone, || "the server still holds the connection".to_owned());
    drop((idle, fetching));
}

#[test]
fn only_the_served_interface_and_this_machine_are_answered() {
    let Some(mut lab) = Lab::new("interfaces") else { return };
    lab.second_wire();
    lab.start(FILES_ONLY);
    let answered = |on_server: bool, address: &str| {
        let url = format!("http://{address}/api/pcs");
        let words = ["-s", "-o", "/dev/null", "--connect-timeout", "3", &url];
        lab.inside(on_server, "curl").args(words).status().expect("curl").success()
    };
    assert!(answered(false, "10.99.0.1") && answered(true, "10.99.0.1") && answered(true, "127.0.0.1"));
    assert!(!answered(false, "10.98.0.1"));
}

#[test]
fn an_ordinary_user_serves_files_at_a_high_port() {
    let Some(lab) = Lab::new("ordinary") else { return };
    // The folder that cargo builds in may be closed to others; this one is not.
    let program = lab.out.join("duet");
    std::fs::copy(env!("CARGO_BIN_EXE_duet-under-test"), &program).expect("a copy");
    run(std::process::Command::new("chown").args(["-R", "65534:65534"]).arg(&lab.out));
    let mut server = lab.inside(true, "setpriv");
    server.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(&program);
    server.args(["serve", "--json", "--interface", "s0", "--out"]).arg(&lab.out);
    server.args("--dhcp off --ra off --http-port 8080".split(' '));
    let mut server = server.stdout(std::process::Stdio::null()).spawn().expect("the server");
    let url = format!("http://{SERVER}:8080/releases/{NEW}/vmlinuz");
    let fetch = || lab.inside(false, "curl").args(["-s", &url]).output().expect("curl").stdout;
    let got = wait(|| Some(fetch()).filter(|got| !got.is_empty()), || "nothing is served".to_owned());
    server.kill().and_then(|()| server.wait()).expect("an end");
    assert_eq!(got, b"kernel");
}

#[test]
fn a_disk_that_answers_no_more_holds_up_no_boot() {
    let Some(mut lab) = Lab::new("stuck-disk") else { return };
    lab.start(FILES_ONLY);
    // Opening this to read waits for a writer, as a network disk waits for its server.
    let settings = lab.out.join("state/duet.toml");
    std::fs::remove_file(&settings).expect("settings");
    run(std::process::Command::new("mkfifo").arg(&settings));
    let (begun, look_again) = (Instant::now(), Duration::from_secs(4));
    while begun.elapsed() < look_again {
        assert_eq!(lab.get("/", "").status, 200);
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn twenty_clients_share_the_wire_and_memory_stays_flat() {
    const N: usize = 20;
    /// When the first client is done, each other has at least this part of the file.
    const SHARE: usize = 10;
    let Some(mut lab) = Lab::new("twenty") else { return };
    let (id, root) = ("trixie-00000000000c", noise(40_000_000));
    lab.add_release(id, &root);
    lab.start(FILES_ONLY);
    assert_eq!(lab.get("/", "").status, 200);
    let before = lab.server_kib();
    let begun = Instant::now();
    let mut streams: Vec<TcpStream> = (0..N).map(|_| lab.connect()).collect();
    let request = format!("GET /releases/{id}/root.squashfs HTTP/1.1\r\nConnection: close\r\n\r\n");
    let mut most = 0;
    let want = blake3::hash(&root);
    let got: [AtomicUsize; N] = Default::default();
    let fetch = |stream: &mut TcpStream, mine: &AtomicUsize| {
        stream.write_all(request.as_bytes()).expect("a request");
        assert_eq!(hash_body(stream, mine), (root.len(), want));
        let least = got.iter().map(|n| n.load(Ordering::Relaxed)).min().unwrap_or(0);
        (begun.elapsed().as_secs_f64(), least)
    };
    let ends: Vec<(f64, usize)> = std::thread::scope(|scope| {
        let both = streams.iter_mut().zip(&got);
        let threads: Vec<_> = both.map(|(stream, mine)| scope.spawn(|| fetch(stream, mine))).collect();
        while threads.iter().any(|thread| !thread.is_finished()) {
            most = most.max(lab.server_kib());
            std::thread::sleep(Duration::from_millis(20));
        }
        threads.into_iter().map(|thread| thread.join().expect("a whole file")).collect()
    });
    let (first, least) = ends.iter().copied().min_by(|a, b| a.0.total_cmp(&b.0)).expect("an end");
    let last = ends.iter().map(|end| end.0).fold(0.0, f64::max);
    let rate = (N * root.len()) as f64 / last / 1e6;
    println!(
        "{N} clients: first done {first:.2} s, last {last:.2} s, {rate:.0} MB/s; server {before} to {most} KiB"
    );
    let least_share = root.len() / SHARE;
    assert!(least >= least_share, "one client had {least} bytes when the first had all {}", root.len());
    assert!(most < before + 8 * 1024, "the server grew from {before} to {most} KiB");
}

/// Reads an answer to its end without keeping it; length and hash of its body. `so_far` counts along.
fn hash_body(stream: &mut TcpStream, so_far: &AtomicUsize) -> (usize, blake3::Hash) {
    let (mut head, mut letter) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut letter).expect("a head");
        head.push(letter[0]);
    }
    let (mut hash, mut n, mut buffer) = (blake3::Hasher::new(), 0, vec![0; 65_536]);
    loop {
        let got = stream.read(&mut buffer).expect("bytes");
        if got == 0 {
            return (n, hash.finalize());
        }
        hash.update(&buffer[..got]);
        n += got;
        so_far.store(n, Ordering::Relaxed);
    }
}

#[test]
fn the_page_allows_only_its_own_script() {
    let Some(mut lab) = Lab::new("page") else { return };
    lab.start(FILES_ONLY);
    let page = lab.get("/", "");
    let policy = page.field("content-security-policy").expect("a policy");
    assert!(
        policy.starts_with("default-src 'none'; style-src 'sha256-") && !policy.contains("unsafe"),
        "{policy}"
    );
    assert!(String::from_utf8_lossy(&page.body).contains("No PC has asked yet"));
    assert_eq!(lab.pcs()["server"]["release"], NEW);
}

#[test]
fn a_taken_port_is_named_and_the_first_server_goes_on() {
    let Some(mut lab) = Lab::new("taken") else { return };
    lab.start(FILES_ONLY);
    let second = lab.duet(true, FILES_ONLY).output().expect("a second server");
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(!second.status.success());
    assert!(said.starts_with("duet: port 80 (HTTP) is taken by another program; "), "{said}");
    assert_eq!((said.lines().count(), lab.get("/", "").status), (1, 200));
    lab.stop();
    lab.start(FILES_ONLY);
    assert_eq!(lab.get("/", "").status, 200);
}

#[test]
fn too_many_connections_of_one_client_leave_room_for_others() {
    let Some(mut lab) = Lab::new("many") else { return };
    lab.start(FILES_ONLY);
    let held: Vec<TcpStream> = (0..40).map(|_| lab.connect()).collect();
    wait(
        || (lab.get("/", "").status != 200).then_some(()),
        || "the client took more than its share".to_owned(),
    );
    let other =
        lab.inside(true, "curl").args(["-s", &format!("http://{SERVER}/api/pcs")]).output().expect("curl");
    assert!(String::from_utf8_lossy(&other.stdout).starts_with("{\"version\""));
    drop(held);
}
