//! An rpc-worker on each host: models and experts in its folders, a place on the overlay, and questions to its gateway.
//!
//! There is no WireGuard here: the overlay's addresses are plain ones of the bridge, which the programs cannot tell.

use super::{Shelf, get_at, logged};
use crate::node::WAIT_MAX;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// An answer in one piece.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub body: Value,
}

/// A streamed answer, as far as it was read.
#[derive(Debug)]
pub struct Stream {
    reader: BufReader<TcpStream>,
    pub text: String,
    pub handovers: Vec<Value>,
    pub error: Value,
    pub is_done: bool,
    /// The longest time without an event.
    pub pause: Duration,
}

impl Shelf {
    /// The folder with this host's models.
    pub fn models(&self, idx: usize) -> PathBuf {
        self.out.join(format!("models-{idx}"))
    }

    /// In memory, as on a node without a disk; it goes with the test's namespace.
    fn make_models(&self, idx: usize) {
        let folder = self.models(idx);
        if !folder.exists() {
            std::fs::create_dir_all(&folder).unwrap();
            let mounted = Command::new("mount").args(["-t", "tmpfs", "none"]).arg(&folder).status();
            assert!(mounted.unwrap().success(), "memory for models");
        }
    }

    /// Gives a host the file of a model.
    pub fn put_model(&self, idx: usize, file: &str, from: &Path) {
        self.make_models(idx);
        std::fs::copy(from, self.models(idx).join(file)).unwrap();
    }

    /// All hosts have the same experts.
    pub fn put_expert(&self, name: &str, lines: &str) {
        let folder = self.experts();
        std::fs::create_dir_all(&folder).unwrap();
        let text = format!("name = \"{name}\"\nquantisation = \"F32\"\n{lines}");
        // As whoever changes one should: whole, by a rename.
        std::fs::write(folder.join("new"), text).unwrap();
        std::fs::rename(folder.join("new"), folder.join(format!("{name}.toml"))).unwrap();
    }

    pub fn experts(&self) -> PathBuf {
        self.out.join("shared/experts")
    }

    /// Starts agents that know of models, with the boot server's key for whoever asks them, and waits until all have met.
    pub fn lend(&mut self, worker: &Path) -> String {
        let n = self.nodes.len();
        for idx in 0..n {
            let (experts, models) = (self.experts(), self.models(idx));
            self.make_models(idx);
            let words = ["--experts", experts.to_str().unwrap(), "--models", models.to_str().unwrap()];
            self.nodes[idx].words = words.map(str::to_owned).into();
            self.start(idx);
            self.start_worker(idx, worker);
        }
        let all: Vec<usize> = (0..n).collect();
        self.wait_alive("all meet", &all, n as u64 + 1);
        all.iter().for_each(|idx| self.join_overlay(*idx));
        let key = self.duet_keys();
        for idx in all {
            self.wait("the key is known", || self.list(idx, &key).status == 200);
        }
        key
    }

    pub fn start_worker(&mut self, idx: usize, program: &Path) {
        let (models, memory) = (self.models(idx), self.nodes[idx].memory.clone());
        let mut worker = self.network.hosts[idx].command(program.to_str().unwrap());
        worker.args(["--threads", "1", "--way", "tables", "--models"]).arg(models);
        worker.arg("--assignment").arg(memory.join("assignment.json"));
        worker.arg("--overlay").arg(self.nodes[idx].root.path().join("run/duet-overlay/address"));
        worker.env("OMP_WAIT_POLICY", "passive").env_remove("JOURNAL_STREAM");
        logged(&mut worker, &self.worker_log(idx));
        self.nodes[idx].worker = Some(worker.spawn().unwrap());
    }

    pub fn kill_worker(&mut self, idx: usize) {
        let mut worker = self.nodes[idx].worker.take().unwrap();
        worker.kill().unwrap();
        worker.wait().unwrap();
    }

    fn worker_log(&self, idx: usize) -> PathBuf {
        self.out.join(format!("worker-{idx}.log"))
    }

    /// How often a host's rpc-worker has said this.
    pub fn n_said(&self, idx: usize, words: &str) -> usize {
        std::fs::read_to_string(self.worker_log(idx)).unwrap_or_default().matches(words).count()
    }

    /// As the overlay's process does when the certificate is there.
    pub fn join_overlay(&self, idx: usize) {
        let members = self.cluster(idx)["picture"]["members"].as_array().cloned().unwrap_or_default();
        let own = members.iter().find(|member| member["is_self"] == true).unwrap();
        let address = own["overlay"].as_str().unwrap();
        self.shell(idx, &format!("ip addr add {address}/64 dev eth0 nodad"));
        self.nodes[idx].root.put("run/duet-overlay/address", &format!("{address}\n"));
    }

    fn duet_keys(&self) -> String {
        let mut duet = Command::new(self.programs.duet);
        duet.args(["keys", "--out"]).arg(&self.out).args(["add", "tester", "--per-minute", "60000"]);
        let done = duet.args(["--at-once", "64", "--tokens-per-day", "9000000"]).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    }

    /// The plan that a node follows.
    pub fn plan(&self, idx: usize) -> Value {
        self.cluster(idx)["plan"].clone()
    }

    /// The experts that a host's rpc-worker answers for.
    pub fn served(&self, idx: usize) -> Vec<String> {
        let experts = self.worker_experts(idx);
        let ready = experts.iter().filter(|expert| expert["state"] == "ready");
        ready.filter_map(|expert| expert["name"].as_str().map(str::to_owned)).collect()
    }

    /// Requests that a host's rpc-worker works on for this expert.
    pub fn n_busy(&self, idx: usize, expert: &str) -> u64 {
        let experts = self.worker_experts(idx);
        let found = experts.iter().find(|told| told["name"] == expert);
        found.and_then(|told| told["busy"].as_u64()).unwrap_or(0)
    }

    /// Memory that a host's models take, beside their files.
    pub fn taken(&self, idx: usize) -> u64 {
        self.worker(idx)["holds"]["taken_bytes"].as_u64().unwrap_or(0)
    }

    fn worker_experts(&self, idx: usize) -> Vec<Value> {
        self.worker(idx)["experts"].as_array().cloned().unwrap_or_default()
    }

    /// What a host's rpc-worker says of itself.
    fn worker(&self, idx: usize) -> Value {
        let health = self.network.hosts[idx].on(|| get_at(8081, "/health"));
        serde_json::from_str(&health).unwrap_or_default()
    }

    /// The hosts of these that serve an expert.
    pub fn holders(&self, of: &[usize], expert: &str) -> Vec<usize> {
        let serves = |idx: &&usize| self.served(**idx).iter().any(|name| name == expert);
        of.iter().filter(serves).copied().collect()
    }

    /// How many copies of an expert the facts at this node tell as well.
    pub fn n_told(&self, at: usize, expert: &str) -> usize {
        let service = format!("llama-api-{expert}");
        let members = self.cluster(at)["picture"]["members"].as_array().cloned().unwrap_or_default();
        let tells = |member: &&Value| {
            let services = member["facts"]["services"].as_array().cloned().unwrap_or_default();
            let passes =
                |told: &Value| told["name"] == service.as_str() && told["health"].as_str() == Some("passing");
            member["standing"] == "alive" && services.iter().any(passes)
        };
        members.iter().filter(tells).count()
    }

    fn list(&self, idx: usize, key: &str) -> Reply {
        let key = key.to_owned();
        self.network.hosts[idx].on(move || exchange("GET", "/v1/models", &key, ""))
    }

    /// Asks a host's gateway.
    pub fn ask(&self, idx: usize, key: &str, body: &Value) -> Reply {
        let (key, body) = (key.to_owned(), body.to_string());
        self.network.hosts[idx].on(move || exchange("POST", "/v1/chat/completions", &key, &body))
    }

    /// Begins a stream at a host's gateway.
    pub fn stream(&self, idx: usize, key: &str, body: &Value) -> Stream {
        let (key, body) = (key.to_owned(), body.to_string());
        let stream = self.network.hosts[idx].on(move || send("POST", "/v1/chat/completions", &key, &body));
        Stream {
            reader: BufReader::new(stream),
            text: String::new(),
            handovers: vec![],
            error: Value::Null,
            is_done: false,
            pause: Duration::ZERO,
        }
    }
}

impl Stream {
    /// Reads so many events more; fewer where it ends.
    pub fn read(&mut self, n_events: usize) {
        let (mut line, mut n) = (String::new(), 0);
        let mut last = Instant::now();
        while n < n_events && !self.is_done {
            line.clear();
            if self.reader.read_line(&mut line).unwrap() == 0 {
                return;
            }
            let Some(data) = line.strip_prefix("data: ") else { continue };
            self.pause = self.pause.max(last.elapsed());
            (last, n) = (Instant::now(), n + 1);
            match data.trim_end() {
                "[DONE]" => self.is_done = true,
                data => self.take(&serde_json::from_str(data).unwrap()),
            }
        }
    }

    fn take(&mut self, event: &Value) {
        self.text += event["choices"][0]["delta"]["content"].as_str().unwrap_or_default();
        self.handovers.extend(event["duet"].get("handover").cloned());
        if !event["error"].is_null() {
            self.error = event["error"].clone();
        }
    }
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.set_read_timeout(Some(WAIT_MAX)).unwrap();
    stream
}

fn send(method: &str, path: &str, key: &str, body: &str) -> TcpStream {
    let mut stream = connect(8000);
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\nAuthorization: Bearer {key}\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all((head + body).as_bytes()).unwrap();
    stream
}

fn exchange(method: &str, path: &str, key: &str, body: &str) -> Reply {
    let mut text = String::new();
    let _ = send(method, path, key, body).read_to_string(&mut text);
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let body = text.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
    Reply { status, body: serde_json::from_str(body).unwrap_or_default() }
}
