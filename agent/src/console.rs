//! `agent console`: the status on a serial line whenever Enter is pressed, and the key of the ear: `t` opens and closes it.
//!
//! It gives no shell, so that a cable alone opens nothing but the ear.
//! systemd hands it the line as standard input and output, so it needs no right to open one; what is said comes from the
//! agent's own socket.

mod screen;

use crate::args;
use crate::io::node::Node;
use crate::session::local;
use anyhow::Context;
use screen::Screen;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Bytes taken from the line at once.
const LINE_BYTES_MAX: usize = 256;
/// Of what the agent tells at once; an answer of four KiB with its marks is less.
const TOLD_BYTES_MAX: u64 = 64 << 10;
/// What waits for a slow line.
const EVENTS_MAX: usize = 64;
/// The agent is looked for again.
const AGAIN: Duration = Duration::from_secs(2);
/// What the kernel answers for a line that has a name but no chip.
const EIO: i32 = 5;

const HELP: &str = "Press Enter for the status of this node, t to talk.";

/// What the line and the agent say.
enum Event {
    Typed(Vec<u8>),
    Told(String),
    /// The line is closed.
    End(io::Result<()>),
}

/// `folder` is the agent's own.
pub fn run(runtime: &tokio::runtime::Runtime, folder: &Path) -> anyhow::Result<()> {
    let node = Node::new(args::usual_root(), &args::usual_worker().to_string());
    let status = || runtime.block_on(crate::status_text(&node));
    let (sender, events) = sync_channel(EVENTS_MAX);
    let agent = Agent::default();
    let (typed, told, follower) = (sender.clone(), sender, agent.clone());
    std::thread::Builder::new().spawn(move || typing(io::stdin().lock(), &typed)).context("no thread")?;
    let path = folder.join(local::FILE);
    std::thread::Builder::new().spawn(move || follower.follow(&path, &told)).context("no thread")?;
    match talk(&events, io::stdout().lock(), |word| agent.tell(word), status) {
        // A PC without this line is no error, and the unit must not fail for it.
        Err(e) if e.raw_os_error() == Some(EIO) => Ok(()),
        other => other.context("cannot use the line"),
    }
}

/// Until the other end closes.
fn talk(
    events: &Receiver<Event>,
    mut output: impl Write,
    tell: impl Fn(&str) -> bool,
    status: impl Fn() -> String,
) -> io::Result<()> {
    let mut screen = Screen::default();
    write!(output, "\n{HELP}\n")?;
    output.flush()?;
    while let Ok(event) = events.recv() {
        let text = match event {
            Event::End(end) => return end,
            Event::Told(line) => screen.told(&line),
            Event::Typed(bytes) => {
                let mut text = String::new();
                if bytes.contains(&b'\n') {
                    text = screen.alone(&format!("{}\n{HELP}\n", status()));
                }
                // Two at once are none.
                let n_taps = bytes.iter().filter(|byte| matches!(byte, b't' | b'T')).count();
                if !n_taps.is_multiple_of(2) && !tell(screen.tap()) {
                    text += &screen.alone("The agent does not answer; it may be starting.\n");
                }
                text
            }
        };
        output.write_all(text.as_bytes())?;
        output.flush()?;
    }
    Ok(())
}

fn typing(mut input: impl Read, events: &SyncSender<Event>) {
    let mut bytes = [0; LINE_BYTES_MAX];
    loop {
        let event = match input.read(&mut bytes) {
            Ok(0) => Event::End(Ok(())),
            Ok(n) => Event::Typed(bytes[..n].to_vec()),
            Err(error) => Event::End(Err(error)),
        };
        let is_end = matches!(event, Event::End(_));
        if events.send(event).is_err() || is_end {
            return;
        }
    }
}

/// The way to the agent, while there is one.
#[derive(Clone, Default)]
struct Agent(Arc<Mutex<Option<UnixStream>>>);

impl Agent {
    /// False where the agent is away.
    fn tell(&self, word: &str) -> bool {
        let mut stream = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        stream.as_mut().is_some_and(|stream| stream.write_all(word.as_bytes()).is_ok())
    }

    /// Until nobody listens: hands on what the agent tells, from one run of it to the next.
    fn follow(&self, path: &Path, events: &SyncSender<Event>) {
        let put = |stream| *self.0.lock().unwrap_or_else(PoisonError::into_inner) = stream;
        loop {
            if let Ok(stream) = UnixStream::connect(path) {
                put(stream.try_clone().ok());
                let mut lines = BufReader::new(stream);
                loop {
                    let mut line = String::new();
                    // What is longer is no line of the agent's.
                    match (&mut lines).take(TOLD_BYTES_MAX).read_line(&mut line) {
                        Ok(1..) if line.ends_with('\n') => {}
                        _ => break,
                    }
                    if events.send(Event::Told(line)).is_err() {
                        return;
                    }
                }
                put(None);
            }
            std::thread::sleep(AGAIN);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    /// What is shown, and what the agent is told.
    fn told(inputs: &[Event]) -> (String, Vec<String>) {
        let (sender, events) = sync_channel(EVENTS_MAX);
        for input in inputs {
            let input = match input {
                Event::Typed(bytes) => Event::Typed(bytes.clone()),
                Event::Told(line) => Event::Told(line.clone()),
                Event::End(_) => Event::End(Ok(())),
            };
            sender.send(input).unwrap();
        }
        sender.send(Event::End(Ok(()))).unwrap();
        let (mut said, words) = (vec![], RefCell::new(vec![]));
        let tell = |word: &str| {
            words.borrow_mut().push(word.trim_end().to_owned());
            true
        };
        talk(&events, &mut said, tell, || "node kitchen\n".into()).unwrap();
        (String::from_utf8(said).unwrap(), words.into_inner())
    }

    fn typed(text: &str) -> Event {
        Event::Typed(text.into())
    }

    #[test]
    fn enter_shows_the_status() {
        for text in ["\n", "root\n"] {
            assert_eq!(told(&[typed(text)]).0.matches("node kitchen").count(), 1);
        }
    }

    #[test]
    fn anything_else_shows_nothing() {
        let (said, words) = told(&[typed("reboo"), typed("")]);
        assert!(!said.contains("kitchen") && words.is_empty());
    }

    #[test]
    fn t_opens_the_ear_and_closes_it() {
        let mood = |mood: &str| Event::Told(format!("{{\"kind\":\"mood\",\"mood\":\"{mood}\"}}\n"));
        let (said, words) = told(&[typed("t"), mood("listening"), typed("t"), mood("speaking"), typed("t")]);
        assert_eq!(words, ["start", "stop", "start"]);
        assert!(said.contains("[listening]\n") && said.is_ascii());
    }

    #[test]
    fn what_the_agent_sends_arrives_line_by_line() {
        let folder = std::env::temp_dir().join(format!("duet-console-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("talk.sock");
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let (sender, events) = sync_channel(EVENTS_MAX);
        let agent = Agent::default();
        let follower = agent.clone();
        let own = path.clone();
        std::thread::spawn(move || follower.follow(&own, &sender));
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"one\ntwo\n").unwrap();
        for want in ["one\n", "two\n"] {
            assert!(matches!(events.recv().unwrap(), Event::Told(line) if line == want));
        }
        assert!(agent.tell("start\n"));
        let mut heard = [0; 6];
        stream.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"start\n");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
