//! A real server on loopback that behaves as badly as servers do, and folders; no internet.

use super::*;
use sha2::{Digest, Sha256};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

const LENGTH: usize = 300_000;
const SHORT: Duration = Duration::from_millis(300);
const NO_PAUSES: [Duration; 4] = [Duration::ZERO; 4];

/// A folder of a test's own, gone with it.
pub struct Room {
    pub out: PathBuf,
}

impl Room {
    pub fn new(name: &str) -> Room {
        let out = std::env::temp_dir().join(format!("duet-models-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&out);
        std::fs::create_dir_all(&out).unwrap();
        Room { out }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.out);
    }
}

/// So many bytes that begin as whisper's files do.
pub fn whisper(n: usize) -> Vec<u8> {
    let head = [0x6767_6d6c_u32, 51_864, 1500, 384, 6, 4, 448, 384, 6, 4, 80, 7];
    let head = head.iter().flat_map(|n| n.to_le_bytes());
    head.chain((0u32..).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)).take(n).collect()
}

fn limits() -> Limits {
    let waits = Waits { connect: SHORT * 10, answer: SHORT, silence: SHORT };
    Limits { waits, pauses: &NO_PAUSES, reserve_bytes: 0 }
}

/// Answers each connection by a function of its number and its request's head.
struct Server {
    address: String,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn new(answer: impl Fn(usize, &str, &mut TcpStream) + Send + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let heads = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&heads);
        std::thread::spawn(move || {
            for (idx, stream) in listener.incoming().enumerate() {
                let mut stream = stream.unwrap();
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
                    head.push(byte[0]);
                }
                let head = String::from_utf8(head).unwrap();
                seen.lock().unwrap().push(head.clone());
                answer(idx, &head, &mut stream);
            }
        });
        Server { address, heads }
    }

    /// What each request asked for: the first byte, or all.
    fn asked(&self) -> Vec<Option<u64>> {
        let range = |head: &String| {
            let line = head.lines().find_map(|line| line.strip_prefix("range: bytes="))?;
            line.strip_suffix('-')?.parse().ok()
        };
        self.heads.lock().unwrap().iter().map(range).collect()
    }
}

fn say(stream: &mut TcpStream, head: &str, body: &[u8]) {
    // A client that has seen enough goes away.
    let _ = stream.write_all(format!("HTTP/1.1 {head}\r\nconnection: close\r\n\r\n").as_bytes());
    let _ = stream.write_all(body);
}

/// All of it, or from where the request says.
fn serve(stream: &mut TcpStream, head: &str, body: &[u8], etag: &str, n_max: usize) {
    let whole = body.len();
    let range = head.lines().find_map(|line| line.strip_prefix("range: bytes=")?.strip_suffix('-'));
    let is_same = head.lines().find_map(|line| line.strip_prefix("if-range: ")).is_none_or(|tag| tag == etag);
    match range.filter(|_| is_same).and_then(|from| from.parse::<usize>().ok()) {
        Some(from) => {
            let (n, last) = (whole - from, whole - 1);
            let head = format!(
                "206 Partial\r\netag: {etag}\r\ncontent-length: {n}\r\ncontent-range: bytes {from}-{last}/{whole}"
            );
            say(stream, &head, &body[from..(from + n_max).min(whole)]);
        }
        None => {
            let head = format!("200 OK\r\netag: {etag}\r\ncontent-length: {whole}");
            say(stream, &head, &body[..n_max.min(whole)]);
        }
    }
}

fn sha256(bytes: &[u8]) -> String {
    super::super::hex(&Sha256::digest(bytes))
}

/// A model of the manifest at this address.
fn known(url: &str, sha256: &str, bytes: usize) -> Known {
    let text = format!(
        "[[model]]\nfile = \"ear.bin\"\nuse = \"speech\"\nurl = \"{url}\"\nbytes = {bytes}\nsha256 = \"{sha256}\"\n\
         sha256_from = \"a test\"\nlicence = \"MIT\"\nmemory_mib = 1\nnode_gib = 2\nquantisation = \"Q8_0\"\n\
         why = \"a test\"\n"
    );
    Manifest::parse(&text).unwrap().models.remove(0)
}

/// Fetches it from this server, and tells how that ended.
fn told(room: &Room, server: &Server, body: &[u8]) -> String {
    let known = known(&format!("{}/ear.bin", server.address), &sha256(body), body.len());
    let mut shelf = Shelf::alone(&room.out).unwrap();
    match fetch(&mut shelf, &[&known], &Place::Internet, &limits()) {
        Ok(done) => format!("new {} pinned {}", done[0].is_new, done[0].is_pinned_now),
        Err(error) => format!("error: {error:#}"),
    }
}

fn check(name: &str, server: &Server, body: &[u8], want: &str) -> Room {
    let room = Room::new(name);
    let told = told(&room, server, body);
    assert!(told.contains(want), "{told:?} does not say {want:?}");
    let there = std::fs::read(room.out.join("models/ear.bin")).ok();
    let is_whole = !told.starts_with("error");
    assert_eq!(there.is_some_and(|there| there == body), is_whole, "{told}");
    room
}

#[test]
fn a_sound_file_comes_and_the_next_time_it_is_there() {
    let body = whisper(LENGTH);
    let other = body.clone();
    let server = Server::new(move |_, head, stream| serve(stream, head, &other, "\"a\"", LENGTH));
    let room = check("sound", &server, &body, "new true pinned false");
    assert_eq!(told(&room, &server, &body), "new false pinned false");
    assert_eq!(server.asked(), [None], "what is there is not asked for again");
    let mut left: Vec<_> =
        std::fs::read_dir(room.out.join("models")).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, [".lock", "ear.bin"], "nothing else is left behind");
}

#[test]
fn half_a_file_goes_on_where_it_stopped() {
    let body = whisper(LENGTH);
    let other = body.clone();
    let server = Server::new(move |_, head, stream| serve(stream, head, &other, "\"a\"", LENGTH / 2));
    check("half", &server, &body, "new true");
    assert_eq!(server.asked(), [None, Some(LENGTH as u64 / 2)]);
    assert!(server.heads.lock().unwrap()[1].contains("if-range: \"a\""));
}

#[test]
fn another_run_goes_on_and_hashes_what_came_before() {
    let body = whisper(LENGTH);
    let other = body.clone();
    let server = Server::new(move |idx, head, stream| match idx {
        0 => serve(stream, head, &other, "\"a\"", LENGTH / 2),
        1..=4 => say(stream, "503 Busy", b""),
        _ => serve(stream, head, &other, "\"a\"", LENGTH),
    });
    let room = check("run", &server, &body, "the same command later goes on where it stopped");
    assert_eq!(told(&room, &server, &body), "new true pinned false");
    assert_eq!(server.asked().last(), Some(&Some(LENGTH as u64 / 2)));
}

#[test]
fn a_server_that_knows_no_ranges_sends_all_anew() {
    let body = whisper(LENGTH);
    let other = body.clone();
    let server = Server::new(move |idx, _, stream| {
        let n = if idx == 0 { LENGTH / 2 } else { LENGTH };
        say(stream, &format!("200 OK\r\ncontent-length: {LENGTH}"), &other[..n]);
    });
    check("ranges", &server, &body, "new true");
    assert_eq!(server.asked(), [None, Some(LENGTH as u64 / 2)]);
}

#[test]
fn a_file_that_changed_between_two_tries_is_taken_anew() {
    let (old, body) = (vec![7; LENGTH], whisper(LENGTH));
    let other = body.clone();
    // One that minds If-Range answers with all of the new file.
    let server = Server::new(move |idx, head, stream| match idx {
        0 => serve(stream, head, &old, "\"old\"", LENGTH / 2),
        _ => serve(stream, head, &other, "\"new\"", LENGTH),
    });
    check("changed", &server, &body, "new true");
    assert_eq!(server.asked(), [None, Some(LENGTH as u64 / 2)]);
    // One that does not shows another name for it.
    let (old, other) = (vec![7; LENGTH], body.clone());
    let server = Server::new(move |idx, head, stream| match idx {
        0 => serve(stream, head, &old, "\"old\"", LENGTH / 2),
        _ => serve(stream, &head.replace("if-range", "x"), &other, "\"new\"", LENGTH),
    });
    check("changed2", &server, &body, "new true");
    assert_eq!(server.asked(), [None, Some(LENGTH as u64 / 2), None]);
    // And where it has no name at all, the hash tells.
    let (old, other) = (vec![7; LENGTH], body.clone());
    let server = Server::new(move |idx, head, stream| {
        let body = if idx == 0 { &old } else { &other };
        let head = head.replace("if-range", "x");
        serve(stream, &head, body, "W/\"weak\"", if idx == 0 { LENGTH / 2 } else { LENGTH });
    });
    check("changed3", &server, &body, "new true");
    assert_eq!(server.asked(), [None, Some(LENGTH as u64 / 2), None]);
}

#[test]
fn a_wrong_hash_is_thrown_away() {
    let body = whisper(LENGTH);
    let mut odd = body.clone();
    odd[LENGTH - 1] ^= 1;
    let server = Server::new(move |_, head, stream| serve(stream, head, &odd, "\"a\"", LENGTH));
    let room = check("hash", &server, &body, "it was changed or damaged on the way, and thrown away");
    assert!(!room.out.join("models/ear.bin.part").exists());
    assert_eq!(server.asked(), [None], "a wrong file is wrong; it is not asked for again and again");
}

#[test]
fn a_body_without_end_and_one_of_another_length_are_refused() {
    let body = whisper(LENGTH);
    let server = Server::new(|_, _, stream| {
        say(stream, "200 OK", b"");
        while stream.write_all(&[7; 4096]).is_ok() {}
    });
    check("endless", &server, &body, "the server sends more than the 300000 bytes");
    let server =
        Server::new(|_, _, stream| say(stream, "200 OK\r\ncontent-length: 9000000000000000000", b"x"));
    check("length", &server, &body, "the server has 9000000000000000000 bytes, and 300000 are expected");
    assert_eq!(server.asked(), [None], "and nothing of it was taken");
    let server = Server::new(|_, _, stream| say(stream, "200 OK\r\ncontent-encoding: gzip", b"x"));
    check("packed", &server, &body, "the server packs the file");
}

#[test]
fn a_silent_server_and_a_dripping_one_are_left() {
    let body = whisper(LENGTH);
    let held = Arc::new(Mutex::new(Vec::new()));
    let server = Server::new(move |_, _, stream| held.lock().unwrap().push(stream.try_clone().unwrap()));
    check("silent", &server, &body, "no answer from 127.0.0.1");
    let server = Server::new(|_, _, stream| {
        say(stream, &format!("200 OK\r\ncontent-length: {LENGTH}"), b"");
        while stream.write_all(b"x").is_ok() {
            std::thread::yield_now();
            std::thread::park_timeout(SHORT / 20);
        }
    });
    check("drip", &server, &body, "the server was silent");
}

#[test]
fn redirects_are_followed_with_care() {
    let body = whisper(LENGTH);
    let other = body.clone();
    let server = Server::new(move |_, head, stream| match head.starts_with("GET /there ") {
        true => serve(stream, head, &other, "\"a\"", LENGTH),
        false => say(stream, "302 Found\r\nlocation: /there", b""),
    });
    check("redirect", &server, &body, "new true");
    let server = Server::new(|_, _, stream| say(stream, "302 Found\r\nlocation: http://localhost:1/x", b""));
    check("host", &server, &body, "it sends to another host, localhost, without encryption");
    let server = Server::new(|_, _, stream| say(stream, "302 Found\r\nlocation: file:///etc/passwd", b""));
    check("scheme", &server, &body, "is no address");
    let server = Server::new(|_, _, stream| say(stream, "302 Found\r\nlocation: /round", b""));
    check("round", &server, &body, "redirects more than 5 times");
    let server = Server::new(|_, _, stream| say(stream, "404 Not Found", b""));
    check("gone", &server, &body, "the file is not there any more; take it from elsewhere with --from");
    let server = Server::new(|_, _, stream| say(stream, "401 Unauthorized", b""));
    check("login", &server, &body, "it wants a login");
    let server = Server::new(|_, _, stream| {
        let _ = stream.write_all(b"\x16\x03\x01 no http at all\r\n\r\n");
    });
    check("nonsense", &server, &body, "asking 127.0.0.1");
}

#[test]
fn a_full_disk_is_told_before_the_first_byte() {
    let room = Room::new("full");
    let server = Server::new(|_, _, stream| say(stream, "500 Never", b""));
    let known = known(&format!("{}/ear.bin", server.address), &"ab".repeat(32), LENGTH);
    let mut shelf = Shelf::alone(&room.out).unwrap();
    let limits = Limits { reserve_bytes: u64::MAX / 2, ..limits() };
    let error = format!("{:#}", fetch(&mut shelf, &[&known], &Place::Internet, &limits).unwrap_err());
    assert!(error.contains("0.3 MB are needed") && error.contains("free some, or use --out"), "{error}");
    assert_eq!(server.asked(), []);
}

#[test]
fn what_nobody_knows_is_pinned_and_held_to() {
    let room = Room::new("pin");
    let place = Place::Folder(room.out.join("stick"));
    std::fs::create_dir_all(room.out.join("stick/models")).unwrap();
    let file = room.out.join("stick/models/ear.bin");
    let known = known("https://host.example/ear.bin", "first-download", LENGTH);
    let mut shelf = Shelf::alone(&room.out).unwrap();
    let mut bring = || {
        let done = fetch(&mut shelf, &[&known], &place, &limits());
        let told =
            done.map_or_else(|e| format!("error: {e:#}"), |done| format!("pinned {}", done[0].is_pinned_now));
        shelf.remove("ear.bin").unwrap();
        told
    };
    assert!(bring().contains("not there: ear.bin"), "nothing is there yet");
    std::fs::write(&file, vec![b'<'; LENGTH]).unwrap();
    assert!(
        bring().contains("it does not begin as ggml's files do"),
        "a page is no model, and is not pinned"
    );
    std::fs::write(&file, whisper(LENGTH)).unwrap();
    assert_eq!(bring(), "pinned true");
    assert_eq!(bring(), "pinned false");
    let mut odd = whisper(LENGTH);
    odd[LENGTH - 1] ^= 1;
    std::fs::write(&file, &odd).unwrap();
    assert!(bring().contains("thrown away"));
    std::fs::write(&file, &odd[1..]).unwrap();
    assert!(bring().contains("has 299999 bytes, and 300000 are expected"));
}

#[test]
fn a_folder_gives_what_it_has_and_what_is_not_there_is_told() {
    let room = Room::new("some");
    let folder = room.out.join("stick");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("ear.bin"), whisper(LENGTH)).unwrap();
    let here = known("https://host.example/ear.bin", &sha256(&whisper(LENGTH)), LENGTH);
    let other = |file: &str| Known { file: file.to_owned(), ..here.clone() };
    let (one, two) = (other("one.bin"), other("two.bin"));
    let mut shelf = Shelf::alone(&room.out).unwrap();
    let done = fetch(&mut shelf, &[&one, &here, &two], &Place::Folder(folder), &limits());
    let error = done.unwrap_err().to_string();
    assert!(error.contains("not there: one.bin, two.bin; what was there lies on the shelf now"), "{error}");
    assert_eq!(shelf.names().unwrap(), ["ear.bin"]);
}

#[test]
fn a_damaged_file_of_the_shelf_is_told_by_fetch_and_verify() {
    let body = whisper(LENGTH);
    let other = body.clone();
    let server = Server::new(move |_, head, stream| serve(stream, head, &other, "\"a\"", LENGTH));
    let room = check("damaged", &server, &body, "new true");
    let manifest = Manifest {
        models: vec![known("https://host.example/ear.bin", &sha256(&body), LENGTH)],
        sets: Vec::new(),
    };
    let verify = || {
        let shelf = Shelf::read(&room.out).unwrap();
        let names = shelf.names().unwrap();
        let checked = crate::models::verify::verify(&shelf, &names, &manifest).unwrap();
        checked.into_iter().map(|one| one.trouble.unwrap_or_default()).collect::<Vec<_>>().join(";")
    };
    assert_eq!(verify(), "");
    let mut odd = body.clone();
    odd[9] ^= 1;
    std::fs::write(room.out.join("models/ear.bin"), &odd).unwrap();
    assert!(verify().starts_with("its bytes have changed; `duet models remove ear.bin`"));
    assert!(told(&room, &server, &body).contains("lies on the shelf and is damaged"));
    std::fs::write(room.out.join("models/other.bin"), &odd).unwrap();
    assert!(verify().contains("nobody knows its hash"));
    let list = crate::models::list::told(&Shelf::read(&room.out).unwrap(), &manifest, false).unwrap();
    assert!(list.contains("there, unknown: see `duet models verify`"), "{list}");
}

#[test]
fn two_at_once_do_not_tread_on_each_other() {
    let room = Room::new("alone");
    let _first = Shelf::alone(&room.out).unwrap();
    let second = Shelf::alone(&room.out).err().map(|error| format!("{error:#}")).unwrap_or_default();
    assert!(second.contains("another `duet models` is at work"), "{second}");
}

#[test]
fn a_link_in_the_place_of_a_part_is_not_followed() {
    let body = whisper(LENGTH);
    let other = body.clone();
    let server = Server::new(move |_, head, stream| serve(stream, head, &other, "\"a\"", LENGTH));
    let room = Room::new("link");
    let target = room.out.join("precious");
    std::fs::write(&target, "precious").unwrap();
    std::fs::create_dir_all(room.out.join("models")).unwrap();
    std::os::unix::fs::symlink(&target, room.out.join("models/ear.bin.part")).unwrap();
    assert!(told(&room, &server, &body).contains("is no file; remove it"));
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "precious");
}
