//! A busy node has a neighbour hear: two real ears and a real door between them, and neighbours that fail.
#![cfg(feature = "hear")]
#![allow(clippy::unwrap_used)] // A panic is how a test reports.

use agent::hear::away::{Neighbour, Neighbours, Nobody};
use agent::hear::desk::{Desk, HearingStatus, Readiness, Wanted};
use agent::hear::{door, letter, open};
use agent::talk::parts::{Hear, HearEnd, HearJob, Stop, Who};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use voice::whisper::forge::{self, Form, Kind};

const SMALL: Form = Form { n_state: 64, n_head: 2, n_layer: 1, n_text_ctx: 64 };
/// A test that waits longer than this hangs.
const WAIT_MAX: Duration = Duration::from_secs(120);

/// A folder with a model of random weights.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str, has_model: bool) -> Folder {
        let path = std::env::temp_dir().join(format!("duet-{}-neighbours-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        if has_model {
            let mut bytes = vec![];
            forge::write(&mut bytes, &SMALL, Kind::Q8_0, 1).unwrap();
            fs::write(path.join("small.bin"), bytes).unwrap();
        }
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// One neighbour, said to be idle and to work a second for a second; who cannot be reached is counted.
#[derive(Clone)]
struct One(SocketAddr, Arc<AtomicU32>);

impl Neighbours for One {
    fn idle(&self) -> Vec<Neighbour> {
        vec![Neighbour { name: "attic".into(), address: self.0, milli: 1000 }]
    }

    fn unreachable(&self, _: &Neighbour) {
        self.1.fetch_add(1, Ordering::Relaxed);
    }
}

fn desk(folder: &Path, neighbours: Box<dyn Neighbours>) -> Desk {
    let wanted = Wanted { models: folder.to_owned(), model: None, language: "en".into(), sphinx: None };
    Desk::start(wanted, open::opener(), neighbours).unwrap()
}

fn wait(desk: &Desk, what: &str, is_so: impl Fn(&HearingStatus) -> bool) {
    let began = Instant::now();
    while !is_so(&desk.status()) {
        assert!(began.elapsed() < WAIT_MAX, "not so in time: {what}: {:?}", desk.status());
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn is_ready(status: &HearingStatus) -> bool {
    status.readiness == Readiness::Ready
}

/// Dice (an LCG), as loud as speech.
fn noise(n: usize) -> Vec<i16> {
    let mut state = 1u32;
    let mut roll = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 17) as i16 - 16_384
    };
    (0..n).map(|_| roll()).collect()
}

fn hear(desk: &Desk) -> HearEnd {
    let (tell, end) = channel();
    let done = Box::new(move |end| tell.send(end).unwrap());
    desk.hear(HearJob { pcm: noise(16_000), who: Who::Person, language: None, stop: Stop::default(), done });
    end.recv_timeout(WAIT_MAX).unwrap()
}

/// The door of a desk on loopback, until the test ends.
fn open_door(desk: Desk) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    let desk = Arc::new(desk);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let answer = move |ask| door::answer(desk.clone(), ask);
            service::door::serve_gated(door::LIMITS, listener, door::gate, answer).await;
        });
    });
    address
}

#[test]
fn a_node_without_a_model_has_its_neighbour_hear() {
    let (with, without) = (Folder::new("with", true), Folder::new("without", false));
    let attic = desk(&with.0, Box::new(Nobody));
    wait(&attic, "the attic hears", is_ready);
    let want = hear(&attic).text.unwrap();
    let address = open_door(attic);
    let n_lost = Arc::new(AtomicU32::new(0));
    let kitchen = desk(&without.0, Box::new(One(address, n_lost.clone())));
    let end = hear(&kitchen);
    assert_eq!((end.text, end.elsewhere.as_deref()), (Ok(want), Some("attic")));
    assert!(end.audio_ctx > 0 && end.worked_s > 0.0, "the neighbour told nothing of its work");
    assert_eq!((kitchen.status().n_away, n_lost.load(Ordering::Relaxed)), (1, 0));
}

/// A neighbour that reads what comes, and then does as it is told with the connection.
fn bad_neighbour(then: impl Fn(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            then(stream.unwrap());
        }
    });
    address
}

/// This node hears itself, the same words, and whether it doubts the neighbour afterwards.
fn check_own(name: &str, address: SocketAddr, is_lost: bool) {
    let folder = Folder::new(name, true);
    let alone = desk(&folder.0, Box::new(Nobody));
    wait(&alone, "it hears", is_ready);
    let want = hear(&alone).text;
    let n_lost = Arc::new(AtomicU32::new(0));
    let kitchen = desk(&folder.0, Box::new(One(address, n_lost.clone())));
    // Until it is ready every neighbour is faster than never; what comes back waits for the model.
    let end = hear(&kitchen);
    assert_eq!((end.text, end.elsewhere), (want, None), "{name}");
    assert_eq!(kitchen.status().n_came_back, 1, "{name}");
    assert_eq!(n_lost.load(Ordering::Relaxed), u32::from(is_lost), "{name}");
}

#[test]
fn a_neighbour_that_is_not_there_costs_nothing_but_time() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    check_own("gone", gone, true);
}

#[test]
fn a_neighbour_that_dies_in_the_middle_loses_nothing() {
    let dies = bad_neighbour(|mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(b"HTTP/1.0 200 OK\r\ncontent-");
    });
    check_own("dies", dies, true);
}

#[test]
fn a_neighbour_that_is_silent_loses_nothing() {
    let kept = Mutex::new(vec![]);
    let silent = bad_neighbour(move |stream| kept.lock().unwrap().push(stream));
    check_own("silent", silent, true);
}

#[test]
fn a_neighbour_that_is_busy_or_talks_nonsense_loses_nothing() {
    for (name, answer, is_lost) in [
        ("busy", "HTTP/1.0 503 Service Unavailable\r\n\r\nbusy\n", false),
        ("nonsense", "HTTP/1.0 200 OK\r\n\r\n{\"text\":7}", true),
    ] {
        let says = bad_neighbour(move |mut stream| {
            let mut all = vec![];
            stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
            let _ = stream.read_to_end(&mut all);
            let _ = stream.write_all(answer.as_bytes());
        });
        check_own(name, says, is_lost);
    }
}

#[test]
fn the_door_takes_nothing_but_sound_of_a_neighbour() {
    let folder = Folder::new("door", true);
    let attic = desk(&folder.0, Box::new(Nobody));
    wait(&attic, "it hears", is_ready);
    let address = open_door(attic);
    let ask = |head: &str, body: &[u8]| -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(WAIT_MAX)).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        let _ = stream.write_all(body);
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer.lines().next().unwrap_or_default().to_owned()
    };
    let host = address.to_string();
    let sound = letter::body(&noise(8000));
    let good = letter::head(&host, "en", sound.len());
    assert!(ask(&good, &sound).contains(" 200 "));
    assert!(ask(&letter::head(&host, "en", 3), &[1, 2, 3]).contains(" 400 "));
    assert!(ask(&letter::head(&host, "", sound.len()), &sound).contains(" 400 "));
    assert!(ask(&letter::head(&host, "en", letter::BYTES_MAX + 2), &[]).contains(" 413 "));
    assert!(ask("GET /api/hear HTTP/1.0\r\n\r\n", &[]).contains(" 405 "));
    assert!(ask("GET /api/status HTTP/1.0\r\n\r\n", &[]).contains(" 404 "));
    let browser = good.replace("Connection", "Origin: http://evil.example\r\nConnection");
    assert!(ask(&browser, &sound).contains(" 403 "));
    // A language that the model does not know.
    assert!(ask(&letter::head(&host, "xx", sound.len()), &sound).contains(" 500 "));
}
