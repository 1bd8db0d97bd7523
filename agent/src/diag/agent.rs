//! The way to the agent that serves: its socket, found again whenever the agent starts anew.

use super::line::Event;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Of what the agent tells at once; an answer of four KiB with its marks is less.
const TOLD_BYTES_MAX: u64 = 64 << 10;
/// The agent is looked for again.
const AGAIN: Duration = Duration::from_secs(2);

/// The way to the agent, while there is one.
#[derive(Clone, Default)]
pub struct Agent(Arc<Mutex<Way>>);

#[derive(Default)]
enum Way {
    #[default]
    None,
    Open(UnixStream),
    /// Nobody wants it any more.
    Ended,
}

impl Agent {
    /// False where the agent is away.
    pub fn tell(&self, line: &str) -> bool {
        match &mut *self.lock() {
            Way::Open(stream) => stream.write_all(format!("{line}\n").as_bytes()).is_ok(),
            Way::None | Way::Ended => false,
        }
    }

    /// Whoever follows stops within [`AGAIN`], and the agent hears that nobody is there.
    pub fn end(&self) {
        if let Way::Open(stream) = std::mem::replace(&mut *self.lock(), Way::Ended) {
            // One that is closed already is ended too.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Way> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// False when it was ended.
    fn put(&self, way: Way) -> bool {
        let mut now = self.lock();
        let goes_on = !matches!(*now, Way::Ended);
        if goes_on {
            *now = way;
        }
        goes_on
    }

    /// Until nobody listens: hands on what the agent tells, from one run of it to the next.
    pub fn follow(&self, path: &Path, events: &SyncSender<Event>) {
        loop {
            if let Ok(stream) = UnixStream::connect(path) {
                if !self.put(stream.try_clone().map_or(Way::None, Way::Open)) {
                    return;
                }
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
            }
            if !self.put(Way::None) {
                return;
            }
            std::thread::sleep(AGAIN);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::sync_channel;

    #[test]
    fn what_the_agent_sends_arrives_line_by_line() {
        let folder = std::env::temp_dir().join(format!("duet-diag-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("talk.sock");
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let (sender, events) = sync_channel(8);
        let agent = Agent::default();
        let follower = agent.clone();
        std::thread::spawn(move || follower.follow(&path, &sender));
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"one\ntwo\n").unwrap();
        for want in ["one\n", "two\n"] {
            assert!(matches!(events.recv().unwrap(), Event::Told(line) if line == want));
        }
        assert!(agent.tell("start"));
        let mut heard = [0; 6];
        stream.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"start\n");
        // Ended, it hangs up and comes no more.
        agent.end();
        assert_eq!(stream.read(&mut heard).unwrap(), 0);
        assert!(!agent.tell("start"));
        assert!(events.recv().is_err());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
