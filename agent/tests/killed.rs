//! The real agent, killed in the middle of whatever it does, and started again: it listens, and no timer is lost.
//!
//! Its card is a pair of files, as a configuration of ALSA's describes them, and its model has random weights. Where
//! libasound's own configuration is missing, one plain line says that nothing was tried.

#![cfg(all(feature = "hear", feature = "sound", feature = "speak"))]
#![allow(clippy::unwrap_used)] // A panic is how a test reports.

use admission::{ApiKey, ApiKeyFile, KeyLimits};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use voice::whisper::forge;

#[path = "../../tests/src/skip.rs"]
mod skip;

const SMALL: forge::Form = forge::Form { n_state: 64, n_head: 2, n_layer: 1, n_text_ctx: 64 };
const KEY: &str = "duet-key-of-the-tests";
/// libasound's own configuration, of Debian's libasound2-data.
const ALSA: &str = "/usr/share/alsa/alsa.conf";
/// A test that waits longer than this hangs.
const WAIT_MAX: Duration = Duration::from_secs(120);

/// The machine: what stays when its agent dies.
struct Machine {
    folder: PathBuf,
    wyoming: SocketAddr,
}

impl Machine {
    fn new(name: &str) -> Option<Machine> {
        if !Path::new(ALSA).exists() {
            skip::skip(name, &format!("{ALSA} is not there (package libasound2-data)"));
            return None;
        }
        let folder = std::env::temp_dir().join(format!("duet-killed-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        for part in ["root", "run", "models"] {
            fs::create_dir_all(folder.join(part)).unwrap();
        }
        let limits = KeyLimits { per_minute: 6000, at_once: 64, tokens_per_day: 1_000_000 };
        let keys = vec![ApiKey::new("tester", KEY, limits).unwrap().with_voice()];
        fs::write(folder.join("keys.json"), ApiKeyFile { version: 1, keys }.to_json()).unwrap();
        let mut model = vec![];
        forge::write(&mut model, &SMALL, forge::Kind::Q8_0, 1).unwrap();
        fs::write(folder.join("models/small.bin"), model).unwrap();
        // A tone as loud as speech, for a second.
        let tone = (0..16_000_i32).flat_map(|i| ((i * 700 % 24_000 - 12_000) as i16).to_le_bytes());
        fs::write(folder.join("mic.raw"), tone.collect::<Vec<u8>>()).unwrap();
        let file = |name: &str| folder.join(name).display().to_string();
        let text = format!(
            "pcm.in {{ type file slave.pcm null file /dev/null infile \"{}\" format raw }}\n\
             pcm.mic {{ type plug slave {{ pcm in rate 16000 channels 1 format S16_LE }} }}\n\
             pcm.out {{ type file slave.pcm null file \"{}\" format wav }}\n\
             pcm.spk {{ type plug slave {{ pcm out rate 16000 channels 1 format S16_LE }} }}\n",
            file("mic.raw"),
            file("spk.wav"),
        );
        fs::write(folder.join("asound.conf"), text).unwrap();
        let told = "{\"microphone\":\"mic\",\"speaker\":\"spk\",\"guess\":false}";
        fs::write(folder.join("run/voice.json"), told).unwrap();
        let wyoming = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        Some(Machine { folder, wyoming })
    }

    fn start(&self) -> Agent {
        let path = |name: &str| self.folder.join(name);
        let began = Instant::now();
        let mut command = Command::new(env!("CARGO_BIN_EXE_agent"));
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--worker", "127.0.0.1:1", "--root"])
            .arg(path("root"));
        command.arg("--api-keys").arg(path("keys.json")).arg("--models").arg(path("models"));
        command.arg("--experts").arg(path("root")).args(["--wyoming", &self.wyoming.to_string()]);
        command.env("RUNTIME_DIRECTORY", path("run"));
        command.env("ALSA_CONFIG_PATH", format!("{ALSA}:{}", path("asound.conf").display()));
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
        let page = said.by_ref().map_while(Result::ok).find_map(|line| {
            let (_, page) = line.split_once("the page is at http://")?;
            page.trim_end_matches('/').parse().ok()
        });
        // What it says later is shown, and its pipe is never full.
        std::thread::spawn(move || said.map_while(Result::ok).for_each(|line| eprintln!("{line}")));
        let agent = Agent { child, page: page.expect("the agent says where it listens") };
        agent.until("it listens", |status| {
            let side = |name: &str| status["voice"]["sound"][name]["device"].is_string();
            status["hearing"]["readiness"] == "ready" && side("microphone") && side("speaker")
        });
        println!("it listens {:?} after its start", began.elapsed());
        agent
    }

    /// Tells the mind what somebody said, by Wyoming, and waits for its answer.
    fn say(&self, text: &str) -> String {
        let began = Instant::now();
        let mut stream = loop {
            match TcpStream::connect(self.wyoming) {
                Ok(stream) => break stream,
                Err(error) => assert!(began.elapsed() < WAIT_MAX, "nobody at the door: {error}"),
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        stream.set_read_timeout(Some(WAIT_MAX)).unwrap();
        let data = serde_json::json!({"text": text});
        writeln!(stream, "{}", serde_json::json!({"type": "transcript", "data": data})).unwrap();
        let mut answer = vec![];
        let mut bytes = [0; 1024];
        // An event's data follow its line.
        while !String::from_utf8_lossy(&answer).contains("\"text\"") {
            let n = stream.read(&mut bytes).unwrap();
            assert!(n > 0, "it hung up: {}", String::from_utf8_lossy(&answer));
            answer.extend(&bytes[..n]);
        }
        String::from_utf8_lossy(&answer).into_owned()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

struct Agent {
    child: Child,
    page: SocketAddr,
}

impl Agent {
    fn ask(&self, method: &str, path: &str) -> String {
        let mut stream = TcpStream::connect(self.page).unwrap();
        stream.set_read_timeout(Some(WAIT_MAX)).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\nAuthorization: Bearer {KEY}\r\n\
             Content-Length: 0\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.ask("GET", "/api/status")).unwrap()
    }

    #[track_caller]
    fn until(&self, what: &str, is_so: impl Fn(&Value) -> bool) {
        let began = Instant::now();
        loop {
            let status = self.status();
            if is_so(&status) {
                return;
            }
            let (voice, hearing) = (&status["voice"], &status["hearing"]);
            assert!(began.elapsed() < WAIT_MAX, "not so in time: {what}: {voice} {hearing}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn until_mood(&self, mood: &str) {
        self.until(mood, |status| status["voice"]["mood"] == mood);
    }

    /// As the kernel does it when memory ends: SIGKILL.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // If it is gone already there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A timer is set, the agent brought into a state and killed; the next one listens, opens its ear, and knows the timer.
fn check(state: &str, bring: impl Fn(&Machine, &Agent)) {
    let Some(machine) = Machine::new(state) else { return };
    let agent = machine.start();
    let told = machine.say("Set a timer for ten minutes.");
    assert!(told.contains("10 minutes") || told.contains("ten minutes"), "{told}");
    bring(&machine, &agent);
    println!("killed while it is {}, to be {state}", agent.status()["voice"]["mood"]);
    agent.kill();
    let again = machine.start();
    let left = machine.say("How long is left on my timer?");
    assert!(left.contains("minute") && !left.contains("no timer"), "{left}");
    again.ask("POST", "/api/talk/start");
    again.until_mood("listening");
}

#[test]
fn an_agent_that_dies_while_it_does_nothing_listens_again() {
    check("idle", |_, _| ());
}

#[test]
fn an_agent_that_dies_while_it_listens_listens_again() {
    check("listening", |_, agent| {
        agent.ask("POST", "/api/talk/start");
        agent.until_mood("listening");
    });
}

#[test]
fn an_agent_that_dies_while_it_hears_listens_again() {
    check("hearing", |_, agent| {
        agent.ask("POST", "/api/talk/start");
        agent.until_mood("listening");
        agent.ask("POST", "/api/talk/stop");
        agent.until("it hears or has heard", |status| status["voice"]["mood"] != "listening");
    });
}

#[test]
fn an_agent_that_dies_while_it_speaks_listens_again() {
    check("speaking", |machine, agent| {
        machine.say("Set a timer for one second.");
        // The speaker is a file and keeps no time: what it is given it has played.
        agent.until("it rings", |status| {
            let voice = &status["voice"];
            voice["sound"]["speaker"]["is_running"] == true || voice["mouth"]["n_clauses"] != 0
        });
    });
}
