//! A cut model over real processes: what the ring says is what the whole says, whatever happens to a stage.
//!
//! Times are printed for whoever measures, and never held to anything: only that it goes on, and in which order.

#![allow(clippy::unwrap_used)] // A panic is how a test reports.

#[path = "../../crates/engine/tests/common/families.rs"]
#[allow(dead_code)]
mod families;
#[path = "../../crates/engine/tests/common/tiny.rs"]
#[allow(dead_code)]
mod tiny;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex};

const CUTS: [u64; 4] = [0, 2, 5, 7];
const PROMPT: &str = "the cat sat on the mat and";
const TOKENS: &str = "100";

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rpc-worker"));
    command.env("OMP_WAIT_POLICY", "passive").stdin(Stdio::null());
    command
}

/// A model, its slices, and addresses of loopback that no other test has.
struct Ring {
    folder: PathBuf,
    net: [u8; 2],
    stages: Vec<Child>,
    has_second_wire: bool,
}

impl Ring {
    fn new(name: &str) -> Ring {
        static RINGS: AtomicU8 = AtomicU8::new(1);
        let pid = std::process::id();
        let net =
            [(pid % 250) as u8 + 1, RINGS.fetch_add(1, Ordering::Relaxed) + (pid / 250 % 20) as u8 * 10];
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("ring-{name}-{pid}"));
        std::fs::create_dir_all(&folder).unwrap();
        let ring = Ring { folder, net, stages: Vec::new(), has_second_wire: false };
        std::fs::write(ring.whole(), families::model(&families::ALL[0])).unwrap();
        for idx in 0..3 {
            gguf::write_slice_file(&ring.whole(), CUTS[idx]..CUTS[idx + 1], &ring.slice(idx)).unwrap();
        }
        ring
    }

    fn whole(&self) -> PathBuf {
        self.folder.join("whole.gguf")
    }

    fn slice(&self, idx: usize) -> PathBuf {
        self.folder.join(format!("{idx}.gguf"))
    }

    fn address(&self, idx: usize) -> SocketAddr {
        let [a, b] = self.net;
        SocketAddrV4::new(Ipv4Addr::new(127, a, b, idx as u8 + 1), 50052).into()
    }

    fn command(&self, idx: usize) -> Command {
        self.command_at(idx, idx)
    }

    /// A stage at the address of this number. The first finds the second by a wire, if there is one.
    fn command_at(&self, idx: usize, at: usize) -> Command {
        let next = if idx == 1 && self.has_second_wire { 8 } else { (idx + 1) % 3 };
        let mut command = program();
        command.arg("stage").arg(self.slice(idx)).args(["--stage", &idx.to_string(), "--stages", "3"]);
        command.args(["--listen", &self.address(at).to_string(), "--next", &self.address(next).to_string()]);
        command.stderr(Stdio::piped());
        command
    }

    /// Starts a stage and waits until it is ready.
    fn start(&self, idx: usize) -> Child {
        self.start_at(idx, idx)
    }

    fn start_at(&self, idx: usize, at: usize) -> Child {
        let mut child = self.command_at(idx, at).spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("is ready") {
            line.clear();
            assert!(said.read_line(&mut line).unwrap() > 0, "stage {idx} ended before it was ready");
        }
        // Whoever stops listening would stop the stage.
        std::thread::spawn(move || said.read_to_end(&mut Vec::new()));
        child
    }

    /// The last stage, with all that it says until its end.
    fn start_told(&self) -> (Child, impl FnOnce() -> String + use<>) {
        let mut child = self.command(2).arg("--logits").spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut text = String::new();
        while !text.contains("is ready") {
            assert!(said.read_line(&mut text).unwrap() > 0, "the stage ended before it was ready: {text}");
        }
        let rest = std::thread::spawn(move || said.read_to_string(&mut text).map(|_| text));
        (child, move || rest.join().unwrap().unwrap())
    }

    fn started(name: &str) -> Ring {
        let mut ring = Ring::new(name);
        ring.stages = vec![ring.start(1), ring.start(2)];
        ring
    }

    /// The head's command, with the next stage at an address.
    fn head(&self, next: SocketAddr, more: &[&str]) -> Command {
        let mut command = program();
        command.arg("generate").arg(self.slice(0)).args(["--prompt", PROMPT, "--tokens", TOKENS, "--events"]);
        command.args(["--ring", &next.to_string(), "--ring-listen", &self.address(0).to_string()]);
        command.args(["--ring-stages", "3"]).args(more).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// What the whole model says.
    fn alone(&self) -> Output {
        self.alone_with(&[])
    }

    fn alone_with(&self, more: &[&str]) -> Output {
        let mut command = program();
        let output = command
            .arg("generate")
            .arg(self.whole())
            .args(["--prompt", PROMPT, "--tokens", TOKENS])
            .args(more)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stdout.len() > 100, "the model says too little to test with");
        output
    }

    /// Lets the head speak through a wire that stands still after some tokens, does something then, and gives all that
    /// the head said.
    fn disturbed(&mut self, more: &[&str], deed: impl FnOnce(&mut Ring, &Wire)) -> (String, String) {
        let wire = Wire::new(self.address(9), self.address(1), STILL_AT);
        let mut head = self.head(self.address(9), more).spawn().unwrap();
        let (mut out, mut errors) = (head.stdout.take().unwrap(), head.stderr.take().unwrap());
        let said = std::thread::spawn(move || {
            let mut text = String::new();
            out.read_to_string(&mut text).map(|_| text)
        });
        let told = std::thread::spawn(move || {
            let mut text = String::new();
            errors.read_to_string(&mut text).map(|_| text)
        });
        wire.wait_until_still();
        deed(self, &wire);
        let (text, errors) = (said.join().unwrap().unwrap(), told.join().unwrap().unwrap());
        assert!(head.wait().unwrap().success(), "{errors}");
        println!("longest pause between two tokens: {} ms", longest_pause(&errors));
        (text, errors)
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        for stage in &mut self.stages {
            let _ = stage.kill();
            let _ = stage.wait();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn longest_pause(errors: &str) -> u64 {
    let times: Vec<u64> = errors
        .lines()
        .filter_map(|line| line.strip_prefix("token at ")?.strip_suffix(" ms")?.parse().ok())
        .collect();
    times.windows(2).map(|two| two[1] - two[0]).max().unwrap_or(0)
}

fn signal(child: &Child, name: &str) {
    let done = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().unwrap();
    assert!(done.success());
}

/// The text began as the whole's, and another model went on.
fn check_handed_over(ring: &Ring, text: &str, errors: &str) {
    assert!(errors.contains("handed over to"), "{errors}");
    let whole = String::from_utf8(ring.alone().stdout).unwrap();
    let same = text.bytes().zip(whole.bytes()).take_while(|(a, b)| a == b).count();
    assert!(same > 0, "{text:?} does not begin as {whole:?}");
}

#[test]
fn a_ring_says_what_the_whole_model_says() {
    let ring = Ring::started("same");
    let output = ring.head(ring.address(1), &[]).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), String::from_utf8(ring.alone().stdout).unwrap());
    assert!(!errors.contains("the ring is lost"), "{errors}");
}

fn logits(said: &str) -> Vec<&str> {
    said.lines().filter(|line| line.starts_with("logits after ")).collect()
}

#[test]
fn a_ring_has_the_logits_of_the_whole_model_to_the_last_bit() {
    let mut ring = Ring::new("logits");
    let (last, said) = ring.start_told();
    ring.stages = vec![ring.start(1), last];
    let output = ring.head(ring.address(1), &[]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut whole = program();
    whole.arg("generate").arg(ring.whole()).args(["--prompt", PROMPT, "--tokens", TOKENS, "--logits"]);
    let whole = whole.output().unwrap();
    ring.stages[1].kill().unwrap();
    let (said, whole) = (said(), String::from_utf8(whole.stderr).unwrap());
    assert_eq!(logits(&said), logits(&whole));
    assert_eq!(logits(&whole).len(), TOKENS.parse::<usize>().unwrap());
}

#[test]
fn a_stage_that_is_killed_and_replaced_costs_no_word() {
    let mut ring = Ring::started("killed");
    // Another one has the same layers, and was not needed so far.
    ring.stages.push(ring.start_at(1, 5));
    let (text, errors) = ring.disturbed(&[], |ring, wire| {
        ring.stages[0].kill().unwrap();
        ring.stages[0].wait().unwrap();
        wire.lead_to(ring.address(5));
        wire.set(State::Released);
    });
    assert!(errors.contains("the ring is lost"), "{errors}");
    assert_eq!(text, String::from_utf8(ring.alone().stdout).unwrap());
}

/// Settings under which every token hangs on the dice and on all tokens before.
const DICED: [&str; 4] = ["--temperature", "1.2", "--seed", "11"];

#[test]
fn the_dice_fall_after_a_loss_as_they_would_have_fallen_without_it() {
    let mut ring = Ring::started("diced");
    ring.stages.push(ring.start_at(1, 5));
    let (text, errors) = ring.disturbed(&DICED, |ring, wire| {
        ring.stages[0].kill().unwrap();
        ring.stages[0].wait().unwrap();
        wire.lead_to(ring.address(5));
        wire.set(State::Released);
    });
    assert!(errors.contains("the ring is lost"), "{errors}");
    assert_eq!(text, String::from_utf8(ring.alone_with(&DICED).stdout).unwrap());
    assert_ne!(text, String::from_utf8(ring.alone().stdout).unwrap(), "the dice chose nothing");
}

#[test]
fn a_last_stage_that_is_killed_and_replaced_goes_on_with_dice_and_grammar() {
    let mut ring = Ring::new("last");
    ring.has_second_wire = true;
    let second = Wire::new(ring.address(8), ring.address(2), u64::MAX);
    ring.stages = vec![ring.start(1), ring.start(2), ring.start_at(2, 5)];
    let grammar = ring.folder.join("grammar.gbnf");
    std::fs::write(&grammar, "root ::= ([a-m] [n-z] \" \")+").unwrap();
    let more = [&DICED[..], &["--grammar", grammar.to_str().unwrap()]].concat();
    let (text, errors) = ring.disturbed(&more, |ring, wire| {
        ring.stages[1].kill().unwrap();
        ring.stages[1].wait().unwrap();
        second.lead_to(ring.address(5));
        wire.set(State::Released);
    });
    assert!(errors.contains("the ring is lost"), "{errors}");
    assert_eq!(text, String::from_utf8(ring.alone_with(&more).stdout).unwrap());
}

#[test]
fn a_stage_that_is_gone_hands_over_to_the_small_model_with_a_mark() {
    let mut ring = Ring::started("gone");
    let small = ring.whole();
    let more = ["--ring-fallback", small.to_str().unwrap()];
    let (text, errors) = ring.disturbed(&more, |ring, wire| {
        ring.stages[1].kill().unwrap();
        ring.stages[1].wait().unwrap();
        wire.set(State::Released);
    });
    check_handed_over(&ring, &text, &errors);
    assert!(ring.stages[0].try_wait().unwrap().is_none(), "the other stage died too");
}

#[test]
fn a_frozen_stage_hands_over_and_the_ring_heals_when_it_thaws() {
    let mut ring = Ring::started("frozen");
    let small = ring.whole();
    let more = ["--ring-fallback", small.to_str().unwrap()];
    let (text, errors) = ring.disturbed(&more, |ring, wire| {
        signal(&ring.stages[0], "STOP");
        wire.set(State::Released);
    });
    check_handed_over(&ring, &text, &errors);
    assert!(errors.contains("nothing was heard of stage"), "{errors}");
    signal(&ring.stages[0], "CONT");
    // The same stages serve the next head.
    let output = ring.head(ring.address(1), &[]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.stdout, ring.alone().stdout);
}

/// Bytes from the head after which a wire stands still: the prompt and about thirty tokens.
const STILL_AT: u64 = 20_000;

#[derive(Clone, Copy, PartialEq)]
enum State {
    Carries,
    Still,
    Released,
    /// Connections stay open, and nothing passes.
    Cut,
}

/// How it is, what is sent before it stands still, and where new connections go.
type Inside = (State, u64, SocketAddr);

/// Carries bytes between a stage and the next.
struct Wire(Arc<(Mutex<Inside>, Condvar)>);

impl Wire {
    /// It stands still once, after so many bytes.
    fn new(from: SocketAddr, to: SocketAddr, still_at: u64) -> Wire {
        let wire = Wire(Arc::new((Mutex::new((State::Carries, still_at, to)), Condvar::new())));
        let listener = TcpListener::bind(from).unwrap();
        let inside = Arc::clone(&wire.0);
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let inside = Wire(Arc::clone(&inside));
                if inside.state() == State::Cut {
                    std::mem::forget(near);
                } else if let Ok(far) = TcpStream::connect(inside.to()) {
                    inside.carry(near.try_clone().unwrap(), far.try_clone().unwrap(), true);
                    inside.carry(far, near, false);
                }
            }
        });
        wire
    }

    fn state(&self) -> State {
        self.0.0.lock().unwrap().0
    }

    fn to(&self) -> SocketAddr {
        self.0.0.lock().unwrap().2
    }

    /// New connections go to another stage.
    fn lead_to(&self, to: SocketAddr) {
        self.0.0.lock().unwrap().2 = to;
    }

    fn set(&self, state: State) {
        self.0.0.lock().unwrap().0 = state;
        self.0.1.notify_all();
    }

    fn wait_until_still(&self) {
        let state = self.0.0.lock().unwrap();
        drop(self.0.1.wait_while(state, |(state, ..)| *state != State::Still).unwrap());
    }

    /// Counts what the head sends, and stands still once.
    fn pass(&self, n: usize) -> State {
        let mut state = self.0.0.lock().unwrap();
        state.1 = state.1.saturating_sub(n as u64);
        if state.0 == State::Carries && state.1 == 0 {
            state.0 = State::Still;
            self.0.1.notify_all();
        }
        self.0.1.wait_while(state, |(state, ..)| *state == State::Still).unwrap().0
    }

    fn carry(&self, mut from: TcpStream, mut to: TcpStream, is_heads: bool) {
        let wire = Wire(Arc::clone(&self.0));
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(n) = from.read(&mut piece) {
                let state = wire.pass(if is_heads { n } else { 0 });
                if state == State::Cut {
                    std::mem::forget((from, to));
                    return;
                }
                if n == 0 || to.write_all(&piece[..n]).is_err() {
                    break;
                }
            }
            // Either end may be gone already.
            let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
        });
    }
}

#[test]
fn a_cut_wire_hands_over_although_no_connection_ends() {
    let mut ring = Ring::started("cut");
    let small = ring.whole();
    let more = ["--ring-fallback", small.to_str().unwrap()];
    let (text, errors) = ring.disturbed(&more, |_, wire| wire.set(State::Cut));
    check_handed_over(&ring, &text, &errors);
    assert!(errors.contains("nothing was heard of stage"), "{errors}");
}

/// A stage that does not come: it ends with a sentence, and the head hands over before its first token.
fn check_load(ring: &mut Ring, mut stage: Command, sentence: &str) {
    ring.stages = vec![ring.start(2)];
    let output = stage.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains(sentence), "{said}");
    let small = ring.whole();
    let output = ring.head(ring.address(1), &["--ring-fallback", small.to_str().unwrap()]).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.contains("handed over to"), "{errors}");
    assert_eq!(output.stdout, ring.alone().stdout);
    assert!(ring.stages[0].try_wait().unwrap().is_none(), "the good stage died too");
}

#[test]
fn a_damaged_slice_is_refused_and_the_head_goes_on_alone() {
    let mut ring = Ring::new("damaged");
    let mut bytes = std::fs::read(ring.slice(1)).unwrap();
    let at = bytes.len() - 1000;
    bytes[at] ^= 1;
    std::fs::write(ring.slice(1), bytes).unwrap();
    let stage = ring.command(1);
    check_load(&mut ring, stage, "the seal is of other bytes");
}

#[test]
fn a_stage_without_memory_ends_alone() {
    let mut ring = Ring::new("memory");
    let mut stage = Command::new("sh");
    let inner = ring.command(1);
    // Less address space than the program and the cache of its context take.
    stage.args(["-c", "ulimit -v 40000; exec \"$0\" \"$@\""]).arg(inner.get_program()).args(inner.get_args());
    stage.stderr(Stdio::piped());
    check_load(&mut ring, stage, "");
}

#[test]
fn a_stranger_at_the_stage_door_disturbs_nobody() {
    let ring = Ring::started("stranger");
    let mut strangers = Vec::new();
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 4096], &[], b"dS\x01\x05\xff\xff\xff\xff"] {
        let mut stream = TcpStream::connect(ring.address(1)).unwrap();
        // It may be closed already.
        let _ = stream.write_all(bytes);
        strangers.push(stream);
    }
    let output = ring.head(ring.address(1), &[]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.stdout, ring.alone().stdout);
}
