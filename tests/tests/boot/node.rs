//! A booted PC in a test: commands by its root shell, files over the wire, and the owner's words at the boot server.

use super::Place;
use image::vm::machine::SERVER;
use image::vm::shelf::Shelf;
use serde_json::Value;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

pub const QUICK: Duration = Duration::from_secs(30);
pub const SLOW: Duration = Duration::from_secs(120);
/// Until a question over the wire counts as not answered.
const NO_ANSWER: Duration = Duration::from_secs(5);
/// Where a file is handed to a PC.
const FILE_PORT: u16 = 9999;

/// A command of the owner's at the boot server; what it printed.
pub fn duet(place: &Place, command: &str, words: &[&str]) -> String {
    let mut duet = Command::new(super::duet());
    let done = duet.args([command, "--out"]).arg(place.folder.join("server")).args(words).output().unwrap();
    assert!(done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

/// A request in the words of bash, for there is no curl in the image.
pub fn get(address: &str, port: u16, path: &str) -> String {
    let talk = format!(
        "exec 3<>/dev/tcp/{address}/{port} && printf \"GET {path} HTTP/1.0\\r\\n\\r\\n\" >&3 && cat <&3 && echo"
    );
    format!("timeout {} bash -c '{talk}'", NO_ANSWER.as_secs())
}

/// A text as one word for a shell.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// One booted PC.
pub struct Node<'a> {
    shelf: &'a Shelf,
    pc_idx: usize,
    key: String,
    address: String,
}

impl Node<'_> {
    /// Waits until it has its place on the overlay.
    pub fn of(shelf: &Shelf, pc_idx: usize) -> Node<'_> {
        let mut node = Node { shelf, pc_idx, key: String::new(), address: String::new() };
        node.key = node.until("cat /run/duet-overlay/public.key").trim().to_owned();
        let digits = node.key.len() == 64 && node.key.bytes().all(|c| c.is_ascii_hexdigit());
        assert!(digits, "{:?} is no public key", node.key);
        node.address = node.until("cat /run/duet-overlay/address").trim().to_owned();
        node
    }

    /// Its public key of the overlay.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Its address on the overlay.
    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn overlay(&self) -> Value {
        serde_json::from_str(&self.run("cat /run/duet-overlay/state.json")).unwrap()
    }

    /// What its page says; null while the agent is away.
    pub fn get(&self, path: &str) -> Value {
        let text = self.shelf.node_get(self.pc_idx, path);
        text.ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
    }

    /// The same for whoever has a key.
    pub fn get_with(&self, path: &str, key: &str) -> String {
        self.curl(path, key, &[]).1
    }

    /// Posts JSON to its API: the status, and what came.
    pub fn post(&self, path: &str, key: &str, body: &Value) -> (u16, String) {
        self.curl(path, key, &["--data", &body.to_string()])
    }

    /// Asks from the boot server's place on the wire.
    fn curl(&self, path: &str, key: &str, words: &[&str]) -> (u16, String) {
        let address = self.shelf.view(self.pc_idx).address.unwrap();
        let mut curl = self.shelf.on_the_wire(Path::new("curl"));
        curl.args(["--silent", "--max-time", "120", "--write-out", "\n%{http_code}"]).args(words);
        curl.args(["--header", &format!("authorization: Bearer {key}")]);
        let done = curl.arg(format!("http://{address}:8000{path}")).output().unwrap();
        let text = String::from_utf8(done.stdout).unwrap();
        let (body, status) = text.rsplit_once('\n').unwrap();
        (status.parse().unwrap(), body.to_owned())
    }

    /// Puts a file there, over the wire; there is no program for that in the image, so bash reads from a connection.
    pub fn give(&self, from: &Path, to: &str) {
        let port = FILE_PORT.to_string();
        let mut server = self.shelf.on_the_wire(Path::new("busybox"));
        server.args(["nc", "-l", "-p", &port]).stdin(File::open(from).unwrap()).stdout(Stdio::null());
        let mut server = server.spawn().unwrap();
        let bytes = from.metadata().unwrap().len();
        self.until(&format!(
            "cat </dev/tcp/{SERVER}/{port} >{to}.part && test $(stat -c %s {to}.part) = {bytes}"
        ));
        self.run(&format!("mv {to}.part {to}"));
        server.wait().unwrap();
    }

    pub fn run(&self, command: &str) -> String {
        let answer = self.shelf.command(self.pc_idx, command, SLOW).unwrap();
        assert_eq!(answer.status, 0, "{command}: {}", answer.output);
        answer.output
    }

    /// The output of a command once it ends well; it has a minute for that.
    pub fn until(&self, command: &str) -> String {
        let try_once = format!("said=$({{ {command}; }} 2>&1) && printf '%s\\n' \"$said\" && break");
        let tries = format!("for try in $(seq 61); do {try_once}; sleep 1; done; test $try -lt 61");
        self.run(&tries)
    }
}
