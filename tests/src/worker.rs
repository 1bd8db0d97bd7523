//! The real rpc-worker with a small model, and a wire to it that fails at a moment that the test chooses.

use crate::node::WAIT_MAX;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

/// A running rpc-worker with one expert.
pub struct Worker {
    child: Child,
    pub address: SocketAddr,
    folder: PathBuf,
    said: Receiver<String>,
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
        let here = SocketAddr::from(([127, 0, 0, 1], 0));
        let worker = Worker::begin(Command::new(program), here, model, (test, expert, lines));
        worker.hear("is served");
        worker
    }

    /// Starts `command`, which is the program, perhaps on another host, and waits until it listens.
    pub fn begin(
        mut command: Command,
        listen: SocketAddr,
        model: &Path,
        (test, expert, lines): (&str, &str, &str),
    ) -> Worker {
        let folder = folder(test);
        let file = folder.join("expert.toml");
        let text = format!("name = \"{expert}\"\nmodel = \"m.gguf\"\nquantisation = \"F32\"\n{lines}");
        std::fs::write(&file, text).expect("an expert");
        command.arg("--expert").arg(file).arg("--model").arg(model);
        Worker::listen(command, listen, folder)
    }

    /// Starts it with a whole model as `m.gguf` in its folder, and what an agent would tell it to hold; other stages
    /// come to `stages`.
    pub fn assigned(
        (program, model): &(PathBuf, PathBuf),
        test: &str,
        stages: SocketAddr,
        assignment: &str,
    ) -> Worker {
        let folder = folder(test);
        let (models, file) = (folder.join("models"), folder.join("assignment.json"));
        std::fs::create_dir_all(&models).expect("a folder");
        std::fs::copy(model, models.join("m.gguf")).expect("a model");
        std::fs::write(&file, assignment).expect("an assignment");
        let mut command = Command::new(program);
        command.arg("--models").arg(models).arg("--assignment").arg(file);
        command.args(["--stages", &stages.to_string()]);
        Worker::listen(command, SocketAddr::from(([127, 0, 0, 1], 0)), folder)
    }

    fn listen(mut command: Command, listen: SocketAddr, folder: PathBuf) -> Worker {
        command.args(["--listen", &listen.to_string(), "--threads", "1", "--way", "tables"]);
        command.arg("--overlay").arg(folder.join("overlay"));
        command.env("OMP_WAIT_POLICY", "passive").env_remove("JOURNAL_STREAM");
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("an rpc-worker");
        let lines = BufReader::new(child.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
        let (says, said) = channel();
        std::thread::spawn(move || {
            for line in lines {
                eprintln!("{line}");
                // Nobody may want to hear it any more; its pipe is emptied all the same.
                let _ = says.send(line);
            }
        });
        let mut worker = Worker { child, address: listen, folder, said };
        let line = worker.hear("listening on ");
        let address = line.rsplit(' ').next().and_then(|word| word.trim().parse().ok());
        worker.address = address.expect("it says where it listens");
        worker
    }

    /// The next line with these words.
    #[track_caller]
    pub fn hear(&self, words: &str) -> String {
        let until = Instant::now() + WAIT_MAX;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let line = self.said.recv_timeout(left).unwrap_or_else(|_| panic!("it did not say {words:?}"));
            if line.contains(words) {
                return line;
            }
        }
    }

    /// How it ended; it has a while for that.
    #[track_caller]
    pub fn ended(&mut self) -> ExitStatus {
        let process = pidfd_open(self.pid(), PidfdFlags::empty()).expect("it is our child");
        let limit = Timespec { tv_sec: WAIT_MAX.as_secs() as i64, tv_nsec: 0 };
        let n =
            poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&limit)).expect("a process is looked at");
        assert!(n > 0, "the process lives on");
        self.child.wait().expect("it is our child")
    }

    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().expect("it is our child").is_none()
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

/// A folder that no other worker has.
fn folder(test: &str) -> PathBuf {
    static N: AtomicUsize = AtomicUsize::new(0);
    let n = N.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("duet-worker-{test}-{n}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// The same llama, whose file promises room for long texts.
pub fn with_long_context(mut file: Vec<u8>) -> Vec<u8> {
    const KEY: &[u8] = b"llama.context_length";
    const TYPE_BYTES: usize = 4;
    const CONTEXT: u32 = 131_072;
    let at = file.windows(KEY.len()).position(|bytes| bytes == KEY).expect("a llama");
    let at = at + KEY.len() + TYPE_BYTES;
    file[at..at + 4].copy_from_slice(&CONTEXT.to_le_bytes());
    file
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
