//! An agent whose gateway can be asked, with models that are none.

use admission::{ApiKey, ApiKeyFile, KeyLimits};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The key that opens it, also its voice.
pub const KEY: &str = "duet-key-of-the-tests";
/// A key for its models alone.
pub const KEY_OF_MODELS: &str = "duet-key-of-the-models";

/// A running agent, and the folder of its machine.
pub struct Gateway {
    child: Child,
    pub address: SocketAddr,
    folder: PathBuf,
}

impl Gateway {
    /// `words` follow `agent serve`; `program` is the agent's.
    pub fn start(program: &Path, name: &str, limits: KeyLimits, words: &[String]) -> Gateway {
        let folder = std::env::temp_dir().join(format!("duet-gateway-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("a folder");
        let key = |name, text| ApiKey::new(name, text, limits).expect("a good name");
        let keys = vec![key("tester", KEY).with_voice(), key("editor", KEY_OF_MODELS)];
        let file = folder.join("keys.json");
        std::fs::write(&file, ApiKeyFile { version: 1, keys }.to_json()).expect("a file of keys");
        let mut command = Command::new(program);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--root"])
            .arg(&folder)
            .arg("--api-keys")
            .arg(&file);
        command.args(words).stdin(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("an agent");
        let mut said = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let page = said.by_ref().map_while(Result::ok).find_map(|line| {
            let (_, page) = line.split_once("the page is at http://")?;
            page.trim_end_matches('/').parse().ok()
        });
        // What it says later is shown, and its pipe is never full.
        std::thread::spawn(move || said.map_while(Result::ok).for_each(|line| eprintln!("{line}")));
        Gateway { child, address: page.expect("the agent says where it listens"), folder }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// One request; gives the whole answer with its head.
    pub fn ask(&self, method: &str, path: &str, fields: &str, body: &str) -> String {
        let length = body.len();
        let text = format!(
            "{method} {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n{fields}Content-Length: {length}\r\n\r\n{body}"
        );
        crate::node::exchange(self.address, text.as_bytes())
    }

    /// The same with the key.
    pub fn post(&self, path: &str, body: &str) -> String {
        self.ask("POST", path, &format!("Authorization: Bearer {KEY}\r\n"), body)
    }

    pub fn get(&self, path: &str) -> String {
        self.ask("GET", path, &format!("Authorization: Bearer {KEY}\r\n"), "")
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It is killed as it stands; if it is gone already there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
