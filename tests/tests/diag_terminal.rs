//! A person at a terminal of 80 columns and 24 rows walks through the diagnosis of a PC: each screen fits, in plain ASCII,
//! and no letter is lost when the terminal grows or shrinks.

#![allow(clippy::unwrap_used)] // A panic is how a test reports.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tests::node::WAIT_MAX;

const COLUMNS: usize = 80;
const ROWS: usize = 24;
/// The test of memory takes what it gets, and a build without optimisation is slow.
const MEMORY_KIB: u64 = 225_000;

/// An agent that serves, for the line to talk with.
struct Agent {
    child: Child,
    folder: PathBuf,
}

impl Agent {
    fn start() -> Agent {
        let folder = std::env::temp_dir().join(format!("duet-diag-terminal-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("run")).unwrap();
        fs::create_dir_all(folder.join("root")).unwrap();
        let mut agent = Command::new(env!("CARGO_BIN_EXE_agent-under-test"));
        agent.args(["serve", "--listen", "127.0.0.1:0", "--root"]).arg(folder.join("root"));
        agent.env("RUNTIME_DIRECTORY", folder.join("run")).stdin(Stdio::null()).stderr(Stdio::null());
        let agent = Agent { child: agent.spawn().unwrap(), folder };
        until("the agent opens its socket", || agent.folder.join("run/talk.sock").exists().then_some(()));
        agent
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[track_caller]
fn until<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < WAIT_MAX, "{what}: not within {} s", WAIT_MAX.as_secs());
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

/// A terminal of its own, in which the diagnosis runs.
struct Terminal {
    socket: String,
    end: PathBuf,
}

impl Terminal {
    fn open(folder: &Path) -> Terminal {
        let terminal =
            Terminal { socket: format!("duet-{}", std::process::id()), end: folder.join("end-of-diag") };
        let program = env!("CARGO_BIN_EXE_agent-under-test");
        let script = format!(
            "ulimit -v {MEMORY_KIB}; '{program}' diag --agent '{}'; echo $? >'{}'",
            folder.join("run").display(),
            terminal.end.display()
        );
        let (columns, rows) = (COLUMNS.to_string(), ROWS.to_string());
        terminal.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", &columns, "-y", &rows, &script]);
        // Else the window would have the size of a client, and there is none.
        terminal.tmux(&["set-option", "-g", "window-size", "manual"]);
        terminal
    }

    #[track_caller]
    fn tmux(&self, words: &[&str]) -> String {
        let done = Command::new("tmux").args(["-L", &self.socket]).args(words).output().unwrap();
        assert!(done.status.success(), "tmux {words:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    }

    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// Begins with an empty screen, types a line, and waits until all of this is shown.
    #[track_caller]
    fn ask(&self, typed: &str, wants: &[&str]) -> String {
        self.tmux(&["send-keys", "-R"]);
        self.tmux(&["clear-history"]);
        self.type_line(typed);
        self.until(wants)
    }

    fn type_line(&self, typed: &str) {
        if !typed.is_empty() {
            self.tmux(&["send-keys", "-l", typed]);
        }
        self.tmux(&["send-keys", "Enter"]);
    }

    #[track_caller]
    fn until(&self, wants: &[&str]) -> String {
        let start = Instant::now();
        loop {
            let screen = self.screen();
            if wants.iter().all(|want| screen.contains(want)) {
                assert!(screen.is_ascii(), "{screen}");
                return screen;
            }
            assert!(start.elapsed() < WAIT_MAX, "{wants:?} is not on the screen:\n{screen}");
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    /// Nothing has left the screen above.
    #[track_caller]
    fn fits(&self, what: &str) {
        let gone = self.tmux(&["display-message", "-p", "#{history_size}"]);
        assert_eq!(gone.trim(), "0", "{what} does not fit:\n{}", self.screen());
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Its own server, with nothing else in it.
        let _ = Command::new("tmux").args(["-L", &self.socket, "kill-server"]).output();
    }
}

#[test]
fn every_screen_of_the_diagnosis_fits_a_terminal_of_80_by_24() {
    if Command::new("tmux").arg("-V").output().is_err() {
        return tests::skip("diag_terminal", "there is no tmux");
    }
    let agent = Agent::start();
    let terminal = Terminal::open(&agent.folder);
    terminal.until(&["node  ", "health", "Enter shows how this PC is"]);
    terminal.fits("the beginning");

    // What it tells.
    for (typed, wants) in [
        ("", &["node  ", "memory", "Enter shows how this PC is"][..]),
        ("?", &["Type a letter, then Enter.", "What is longer is a question"]),
        ("n", &["network", "health"]),
        // Also where it was built without sound.
        ("d", &["sound"]),
        ("l", &["l\n"]),
        ("zz9", &["duet: "]),
        ("q", &["\"q\" means nothing here."]),
        ("x", &["This image has no root shell"]),
    ] {
        terminal.ask(typed, wants);
        terminal.fits(typed);
    }
    // The whole status may be longer than a screen, and then goes on by Enter.
    terminal.ask("s", &["node  ", "memory", "network"]);
    while terminal.until(&["\n"]).contains("Enter: more, q: enough --") {
        terminal.fits("s");
        terminal.ask("", &["\n"]);
    }

    // What it tries, and how a person ends it.
    terminal.ask("k", &["Press any key"]);
    terminal.ask("", &["\n"]);
    terminal.ask("y", &["Testing ", "pass 1 of 8"]);
    terminal.type_line("");
    terminal.until(&["nothing was wrong so far."]);
    terminal.fits("y");
    terminal.ask("g", &["Asking: Tell me one sentence", "I cannot reach a model"]);
    terminal.fits("g");
    terminal.ask("r", &["Type yes to start this PC anew:"]);
    terminal.type_line("no");
    terminal.until(&["It goes on."]);
    // Typed as it would be said.
    terminal.ask("what time is it", &["duet: It is "]);
    terminal.fits("a question");

    // A terminal that becomes another one.
    for (columns, rows) in [("60", "20"), ("132", "43"), ("80", "24")] {
        terminal.tmux(&["resize-window", "-x", columns, "-y", rows]);
        terminal.ask("?", &["Type a letter, then Enter.", "What is longer is a question"]);
        terminal.fits(columns);
    }
    // Nobody is at the line any more.
    terminal.tmux(&["send-keys", "C-d"]);
    let end = until("it ends", || fs::read_to_string(&terminal.end).ok().filter(|end| end.ends_with('\n')));
    assert_eq!(end, "0\n");
}
