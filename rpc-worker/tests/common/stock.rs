//! A client of ggml's RPC that says what it likes, through a real rpc-worker's door.

use crate::common::models::Folder;
use crate::common::{Answer, Worker, upgrade_at};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

/// Longer than anything takes here; only a hang meets it.
const PATIENCE: Duration = Duration::from_secs(120);
pub const TENSOR_BYTES: usize = 296;

pub const ALLOC: u8 = 0;
pub const BASE: u8 = 3;
pub const FREE: u8 = 4;
pub const SET: u8 = 6;
pub const GET: u8 = 8;
pub const GRAPH: u8 = 10;
pub const INIT: u8 = 12;
pub const HELLO: u8 = 14;
pub const COUNT: u8 = 15;
pub const RECOMPUTE: u8 = 16;

/// A worker that lends so much.
pub fn lender(folder: &Folder, memory_mib: u32) -> Worker {
    let file = folder.file("stock.json", format!("{{\"memory_mib\":{memory_mib}}}").as_bytes());
    let nothing = folder.0.join("nothing");
    let nothing = nothing.to_str().unwrap();
    let place = ["--stock", file.to_str().unwrap(), "--models", nothing, "--assignment", nothing];
    Worker::start(&folder.0, &place)
}

/// Asks for the upgrade: the connection, or the refusal.
pub fn knock(worker: &Worker) -> Result<TcpStream, Answer> {
    let mut opened = worker.upgrade("/rpc", "ggml-rpc");
    let head = opened.head();
    if head.starts_with("http/1.1 101 ") {
        return Ok(opened.stream());
    }
    Err(opened.rest(head))
}

pub struct Client(pub TcpStream);

impl Client {
    pub fn new(worker: &Worker) -> Client {
        let stream = knock(worker).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Client(stream)
    }

    /// One that has greeted and has a buffer.
    pub fn with_buffer(worker: &Worker, bytes: u64) -> (Client, Place) {
        let mut client = Client::new(worker);
        assert_eq!(client.ask(HELLO, &[&[0; 24]])[..2], [7, 0]);
        let told = client.ask(ALLOC, &[&[0; 4], &bytes.to_le_bytes()]);
        let buffer = u64::from_le_bytes(told[..8].try_into().unwrap());
        let told = client.ask(BASE, &[&buffer.to_le_bytes()]);
        let base = u64::from_le_bytes(told.try_into().unwrap());
        (client, Place { buffer, base })
    }

    pub fn send(&mut self, command: u8, matter: &[&[u8]]) {
        let bytes: Vec<u8> = matter.concat();
        self.send_head(command, bytes.len() as u64, &bytes);
    }

    /// A message that says it is so long, whatever follows. Whoever refuses it may close before it is written.
    pub fn send_head(&mut self, command: u8, length: u64, bytes: &[u8]) {
        let head = [&[command][..], &length.to_le_bytes(), bytes].concat();
        let _ = self.0.write_all(&head);
    }

    pub fn ask(&mut self, command: u8, matter: &[&[u8]]) -> Vec<u8> {
        self.send(command, matter);
        self.answer().expect("the server answers")
    }

    pub fn answer(&mut self) -> Option<Vec<u8>> {
        let mut length = [0; 8];
        self.0.read_exact(&mut length).ok()?;
        let mut bytes = vec![0; u64::from_le_bytes(length) as usize];
        self.0.read_exact(&mut bytes).ok()?;
        Some(bytes)
    }

    /// Whether the connection ends, without another byte.
    pub fn is_ended(&mut self) -> bool {
        match self.0.read(&mut [0; 1]) {
            Ok(n) => n == 0,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

/// Where a buffer lies.
#[derive(Clone, Copy)]
pub struct Place {
    pub buffer: u64,
    pub base: u64,
}

/// A packed tensor of floats.
#[derive(Clone)]
pub struct Tensor {
    pub id: u64,
    pub ne: [u32; 4],
    pub op: u32,
    pub src: Vec<u64>,
    pub place: Place,
}

impl Tensor {
    pub fn row(id: u64, n: u32, place: Place) -> Tensor {
        Tensor { id, ne: [n, 1, 1, 1], op: 0, src: vec![], place }
    }

    pub fn of(self, op: u32, src: &[u64]) -> Tensor {
        Tensor { op, src: src.to_vec(), ..self }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let [a, b, c, _] = self.ne;
        let row = a.wrapping_mul(4);
        let nb = [4, row, row.wrapping_mul(b), row.wrapping_mul(b).wrapping_mul(c)];
        let mut out = self.id.to_le_bytes().to_vec();
        out.extend(0u32.to_le_bytes());
        out.extend(self.place.buffer.to_le_bytes());
        for n in self.ne.iter().chain(&nb).chain([&self.op]).chain(&[0; 16]).chain([&16]) {
            out.extend(n.to_le_bytes());
        }
        for idx in 0..10 {
            out.extend(self.src.get(idx).copied().unwrap_or(0).to_le_bytes());
        }
        for n in [0, 0, self.place.base] {
            out.extend(n.to_le_bytes());
        }
        out.resize(TENSOR_BYTES, 0);
        out
    }
}

pub fn graph(nodes: &[u64], tensors: &[Tensor]) -> Vec<u8> {
    let mut out = [0, nodes.len() as u32].map(u32::to_le_bytes).concat();
    nodes.iter().for_each(|id| out.extend(id.to_le_bytes()));
    out.extend((tensors.len() as u32).to_le_bytes());
    tensors.iter().for_each(|tensor| out.extend(tensor.bytes()));
    out
}

/// Carries a stock client's plain connections to the worker's door, as `duet rpc` does.
pub fn carrier(address: String) -> std::net::SocketAddrV4 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let std::net::SocketAddr::V4(own) = listener.local_addr().unwrap() else { panic!("no IPv4") };
    thread::spawn(move || {
        for client in listener.incoming() {
            let Ok(client) = client else { return };
            let mut opened = upgrade_at(&address, "/rpc", "ggml-rpc");
            let head = opened.head();
            assert!(head.starts_with("http/1.1 101 "), "{head}");
            let server = opened.stream();
            // A command is several small writes.
            [&client, &server].iter().for_each(|stream| stream.set_nodelay(true).unwrap());
            for (from, to) in [(&client, &server), (&server, &client)] {
                let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
                });
            }
        }
    });
    own
}

/// Processes whose parent this is.
pub fn children(parent: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        if stat(pid).is_some_and(|(_, of)| of == parent) {
            found.push(pid);
        }
    }
    found
}

/// State and parent of a process, if it is there.
pub fn stat(pid: u32) -> Option<(char, u32)> {
    let text = std::fs::read_to_string(PathBuf::from(format!("/proc/{pid}/stat"))).ok()?;
    let mut words = text.rsplit(") ").next()?.split(' ');
    Some((words.next()?.chars().next()?, words.next()?.parse().ok()?))
}
