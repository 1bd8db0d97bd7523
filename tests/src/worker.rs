//! The real rpc-worker with a small model, and a wire to it that fails at a moment that the test chooses.

use crate::node::WAIT_MAX;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A running rpc-worker with one expert.
pub struct Worker {
    child: Child,
    pub address: SocketAddr,
    folder: PathBuf,
}

impl Worker {
    /// The program that was built beside `agent`, and the shared model; the error says what is missing.
    pub fn needs(agent: &Path, model: &str) -> Result<(PathBuf, PathBuf), String> {
        let program = agent.with_file_name("rpc-worker");
        let beside = crate::repository().join("../shared/models-data");
        let folder = std::env::var_os("DUET_MODELS_DATA").map_or(beside, PathBuf::from);
        let model = folder.join(model);
        for (file, why) in
            [(&program, "cargo build -p rpc-worker makes it"), (&model, "see DUET_MODELS_DATA")]
        {
            if !file.is_file() {
                return Err(format!("there is no {}: {why}", file.display()));
            }
        }
        Ok((program, model))
    }

    /// Starts it with these further lines of the expert's file, and waits until the expert is served.
    pub fn start((program, model): &(PathBuf, PathBuf), test: &str, expert: &str, lines: &str) -> Worker {
        static N: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let n = N.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("duet-worker-{test}-{n}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let file = folder.join("expert.toml");
        let text = format!("name = \"{expert}\"\nmodel = \"m.gguf\"\nquantisation = \"F32\"\n{lines}");
        std::fs::write(&file, text).expect("an expert");
        let mut command = Command::new(program);
        command.args(["--listen", "127.0.0.1:0", "--threads", "1", "--way", "tables", "--expert"]).arg(file);
        command.arg("--model").arg(model).arg("--overlay").arg(folder.join("overlay"));
        command.env("OMP_WAIT_POLICY", "passive").env_remove("JOURNAL_STREAM");
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("an rpc-worker");
        let mut said = BufReader::new(child.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
        let mut address = None;
        let is_served = said.by_ref().any(|line| {
            address = address.or_else(|| line.split_once("listening on ")?.1.trim().parse().ok());
            line.contains("is served")
        });
        assert!(is_served, "the expert is not served");
        std::thread::spawn(move || said.for_each(|line| eprintln!("{line}")));
        Worker { child, address: address.expect("it says where it listens"), folder }
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// What happens after so many events of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// SIGKILL: the connection ends.
    Killed,
    /// SIGSTOP: the connection stays, and nothing comes.
    Frozen,
    /// The wire is cut: the process is well, and nothing comes.
    Cut,
}

/// Hands on between whoever comes and this worker, until so many events came back. What is on its way then is lost.
pub fn wire(worker: &Worker, fate: Fate, n_events: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let (to, pid) = (worker.address, worker.pid());
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect(to) else { continue };
            let ends = pass(client, server, n_events);
            match fate {
                Fate::Killed => kill_process(pid, Signal::KILL).expect("it was there"),
                Fate::Frozen => kill_process(pid, Signal::STOP).expect("it was there"),
                Fate::Cut => {}
            }
            if fate == Fate::Killed {
                // As the kernel does for a process that is gone.
                ends.iter().for_each(|end| drop(end.shutdown(Shutdown::Both)));
                return;
            }
            // Nobody comes through any more, and nobody is told.
            std::thread::park_timeout(WAIT_MAX);
        }
    });
    address
}

/// Gives both connections back after the last event, still open.
fn pass(client: TcpStream, server: TcpStream, n_events: usize) -> [TcpStream; 2] {
    let (mut asks, mut up) =
        (client.try_clone().expect("a second end"), server.try_clone().expect("one more"));
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut asks, &mut up);
    });
    let (mut answers, mut down) = (BufReader::new(server), client);
    let (mut n, mut line) = (0, vec![]);
    while n < n_events {
        line.clear();
        if answers.read_until(b'\n', &mut line).unwrap_or(0) == 0 || down.write_all(&line).is_err() {
            break;
        }
        n += usize::from(line.starts_with(b"data:"));
    }
    [answers.into_inner(), down]
}
