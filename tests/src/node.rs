//! A node without a PC: a folder that looks like its `/`, with systemd's answers played by a thread.

use crate::repository;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A test that waits longer than this hangs.
pub const WAIT_MAX: Duration = Duration::from_secs(60);

/// A folder that looks like a node's `/`; removed when dropped.
pub struct Root(PathBuf);

impl Root {
    /// `name` is the test's own. The kernel's texts are those of `tests/golden/status/node`.
    pub fn new(name: &str, boot_toml: &str, units: String) -> Root {
        let root = std::env::temp_dir().join(format!("duet-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&root);
        std::fs::create_dir_all(root.join("run/duet")).expect("a folder");
        for part in ["proc", "sys", "etc"] {
            std::os::unix::fs::symlink(fixture().join(part), root.join(part)).expect("a link");
        }
        std::fs::write(root.join("run/duet/boot.toml"), boot_toml).expect("boot.toml");
        let socket = UnixListener::bind(root.join("run/duet/units.sock")).expect("a socket");
        std::thread::spawn(move || {
            for mut stream in socket.incoming().flatten() {
                let _ = stream.write_all(units.as_bytes());
            }
        });
        Root(root)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// As the overlay's process leaves it: 32 bytes of `n`.
    pub fn put_overlay_key(&self, n: u8) {
        std::fs::create_dir_all(self.0.join("run/duet-overlay")).expect("a folder");
        self.put("run/duet-overlay/public.key", &(format!("{n:02x}").repeat(32) + "\n"));
    }

    /// Gives the PC a name and memory of its own, in MiB.
    pub fn put_proc(&self, name: &str, total_mib: u64, free_mib: u64) {
        let proc = self.0.join("proc");
        if proc.is_symlink() {
            std::fs::remove_file(&proc).expect("a link");
            std::fs::create_dir_all(proc.join("sys/kernel")).expect("a folder");
            for part in ["asound", "bus", "cpuinfo", "loadavg", "net", "uptime", "sys/kernel/osrelease"] {
                let from = fixture().join("proc").join(part);
                std::os::unix::fs::symlink(from, proc.join(part)).expect("a link");
            }
        }
        self.put("proc/sys/kernel/hostname", &format!("{name}\n"));
        let (total, free) = (total_mib * 1024, free_mib * 1024);
        self.put(
            "proc/meminfo",
            &format!("MemTotal: {total} kB\nMemFree: {free} kB\nMemAvailable: {free} kB\n"),
        );
    }

    /// Puts the owner's stick into the PC.
    pub fn put_stick(&self, block: &[u8]) {
        let disk = self.0.join("sys/block/sdb");
        if !disk.exists() {
            // The kernel's texts of the fixture cannot be added to.
            std::fs::remove_file(self.0.join("sys")).expect("a link");
            std::fs::create_dir_all(&disk).expect("a folder");
            std::fs::create_dir_all(self.0.join("dev")).expect("a folder");
        }
        self.put("sys/block/sdb/removable", "1\n");
        std::fs::write(self.0.join("dev/sdb"), block).expect("a stick");
    }

    /// Answers questions about the stick as duet-stick.socket does: with a process for each.
    pub fn serve_stick(&self, agent: &'static str) {
        let root = self.0.clone();
        let socket = UnixListener::bind(root.join("run/duet/stick.sock")).expect("a socket");
        std::thread::spawn(move || {
            for stream in socket.incoming().flatten() {
                let answers = OwnedFd::from(stream.try_clone().expect("a second end"));
                let mut command = Command::new(agent);
                command.args(["stick", "--root"]).arg(&root).stdin(OwnedFd::from(stream)).stdout(answers);
                let _ = command.status();
            }
        });
    }

    pub fn put(&self, file: &str, text: &str) {
        // By a rename: whoever reads at this moment reads the old or the new.
        let (path, beside) = (self.0.join(file), self.0.join("being-written"));
        std::fs::write(&beside, text)
            .and_then(|()| std::fs::rename(beside, path))
            .expect("a file of the root");
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn fixture() -> PathBuf {
    repository().join("tests/golden/status/node")
}

pub fn fixture_text(file: &str) -> String {
    std::fs::read_to_string(fixture().join(file)).expect("a file of the fixture")
}

/// What systemd says about a node that is well.
pub fn units() -> String {
    std::fs::read_to_string(repository().join("tests/golden/status/units.txt")).expect("the units")
}

/// An HTTP server that hands each request's body to `answer`, which says the status.
pub fn server(answer: impl Fn(&str) -> u16 + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let status = answer(&body_of_request(&mut stream));
            let _ = write!(stream, "HTTP/1.1 {status} x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    address
}

fn body_of_request(stream: &mut TcpStream) -> String {
    let mut bytes = vec![];
    let mut buffer = [0; 1024];
    while let Ok(n @ 1..) = stream.read(&mut buffer) {
        bytes.extend_from_slice(&buffer[..n]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|l| l.strip_prefix("Content-Length: ")?.parse().ok()).unwrap_or(0);
        if body.len() >= length {
            return body.to_string();
        }
    }
    String::new()
}

/// Sends `request` and reads until the other side closes.
pub fn exchange(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = connect(address);
    // A server that has had enough closes early; what it said still counts.
    let _ = stream.write_all(request);
    let mut answer = vec![];
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

pub fn get(address: SocketAddr, path: &str) -> String {
    exchange(address, format!("GET {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n").as_bytes())
}

pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(WAIT_MAX)).expect("a time-out");
    stream
}
