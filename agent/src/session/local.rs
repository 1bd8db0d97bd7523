//! The PC's own key for its console: a socket without a key, in a folder that only the console's unit is shown.
//!
//! Its mode lets everybody in, because the diagnosis is a user of its own; the folder keeps the others out. Lines come
//! and go: `start` and `stop` of the ear, `ask TEXT`, `lend` and `back` of the sound cards, `set JSON` of what the page sets too in, what happens as JSON out.

use crate::io::runtime;
use crate::sound::lent::{Lent, Loan};
use crate::talk::force::Over;
use crate::talk::parts::{AskJob, Part, Stop};
use crate::talk::{Line, News, Talks, Told};
use serde_json::json;
use service::log::{self, Level};
use std::collections::VecDeque;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, broadcast::error::RecvError, mpsc};
use tokio::time::timeout;

pub const FILE: &str = "talk.sock";
/// A PC has a serial line or two.
const CONNECTIONS_MAX: usize = 4;
/// The longest line that is taken: a question.
pub const LINE_BYTES_MAX: usize = 1024;
/// Parts of an answer that wait for a slow program; more ends the answer.
const PARTS_MAX: usize = 1024;
/// Microphone and speaker let go within a second or two, unless somebody is speaking.
const LEND_TIME_MAX: Duration = Duration::from_secs(10);
const LEND_LOOK: Duration = Duration::from_millis(50);
const WRITE_TIME_MAX: Duration = Duration::from_secs(5);

/// Never ends.
pub async fn run(talks: Arc<Talks>, lent: Lent) {
    let Some(path) = runtime::console_path(FILE) else { return std::future::pending().await };
    // What is left of an earlier run is nobody's.
    let _ = std::fs::remove_file(&path);
    let open = UnixListener::bind(&path);
    // The unit's UMask takes rights away from a new file.
    let open =
        open.and_then(|open| std::fs::set_permissions(&path, Permissions::from_mode(0o666)).map(|()| open));
    let listener = match open {
        Ok(listener) => listener,
        Err(error) => {
            log::say(Level::Warning, &format!("duet: {} cannot be opened: {error}", path.display()));
            return std::future::pending().await;
        }
    };
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let Ok(place) = places.clone().try_acquire_owned() else { continue };
        let (talks, lent) = (talks.clone(), lent.clone());
        tokio::spawn(async move {
            let _ = serve(talks, lent, stream).await;
            drop(place);
        });
    }
}

/// Ends when the program or the conversation does.
async fn serve(talks: Arc<Talks>, lent: Lent, mut stream: UnixStream) -> Option<()> {
    let mut news = talks.follow();
    let Some(line) = talks.here() else {
        let none = "this PC has no ear and no mouth of its own now";
        return send(&mut stream, trouble(none)).await;
    };
    send(&mut stream, view(&line)).await?;
    let (sender, mut parts) = mpsc::channel(PARTS_MAX);
    let mut typed =
        Typed { talks, line, lent, loan: None, sender, stop: Stop::default(), answers: VecDeque::new() };
    let (mut bytes, mut begun) = ([0; LINE_BYTES_MAX], Vec::new());
    loop {
        let text = tokio::select! {
            n = stream.read(&mut bytes) => {
                begun.extend_from_slice(&bytes[..n.ok().filter(|n| *n > 0)?]);
                while let Some(end) = begun.iter().position(|byte| *byte == b'\n') {
                    let rest = begun.split_off(end + 1);
                    typed.line(&String::from_utf8_lossy(&std::mem::replace(&mut begun, rest)));
                }
                if begun.len() > LINE_BYTES_MAX {
                    return None;
                }
                typed.answers.drain(..).collect()
            }
            lent = typed.lending() => lent,
            Some(part) = parts.recv() => told(part),
            told = news.recv() => match told {
                Ok(told) if told.talk != typed.line.id => continue,
                Ok(Told { news: News::Closed, .. }) | Err(RecvError::Closed) => return None,
                Ok(told) => serde_json::to_string(&told).ok()? + "\n",
                Err(RecvError::Lagged(_)) => view(&typed.line),
            },
        };
        send(&mut stream, text).await?;
    }
}

/// What one program has asked for; it ends with the connection.
struct Typed {
    talks: Arc<Talks>,
    line: Arc<Line>,
    lent: Lent,
    /// The second is gone once the program was told that it has the cards.
    loan: Option<(Loan, Option<Instant>)>,
    sender: mpsc::Sender<Part>,
    stop: Stop,
    /// To be sent before all else.
    answers: VecDeque<String>,
}

impl Typed {
    fn line(&mut self, line: &str) {
        match line.trim() {
            "start" => _ = self.line.start(),
            "stop" => {
                self.stop.stop();
                self.line.stop();
            }
            "lend" => self.loan = Some((self.lent.ask(), Some(Instant::now() + LEND_TIME_MAX))),
            "back" => self.loan = None,
            line => {
                if let Some(text) = line.strip_prefix("ask ") {
                    self.ask(text);
                } else if let Some(text) = line.strip_prefix("set ") {
                    self.answers.push_back(self.set(text));
                }
            }
        }
    }

    /// As the page does it.
    fn set(&self, text: &str) -> String {
        let over = serde_json::from_str::<Over>(text).map_err(|error| error.to_string());
        match over.and_then(|over| self.talks.force.tell(over)) {
            Ok(_) => format!("{}\n", json!({"kind": "set"})),
            Err(sentence) => kept(&sentence),
        }
    }

    /// The answer goes to this program alone, and is not spoken.
    fn ask(&mut self, text: &str) {
        self.stop.stop();
        self.stop = Stop::default();
        let (sender, stop) = (self.sender.clone(), self.stop.clone());
        let sink = move |part| {
            if sender.try_send(part).is_err() {
                stop.stop();
            }
        };
        self.talks.shared().mind.answer(AskJob {
            text: text.to_owned(),
            talk: self.line.id,
            stop: self.stop.clone(),
            sink: Box::new(sink),
        });
    }

    /// Ends once the cards are free, or cannot be had.
    async fn lending(&mut self) -> String {
        loop {
            match &mut self.loan {
                None | Some((_, None)) => std::future::pending().await,
                Some((loan, until)) if loan.is_free() => {
                    *until = None;
                    let now = self.talks.force.now();
                    let (microphone, speaker, volume) = (now.microphone, now.speaker, now.volume);
                    let lent = json!({"kind": "lent", "microphone": microphone, "speaker": speaker, "volume": volume});
                    return format!("{lent}\n");
                }
                Some((_, Some(until))) if Instant::now() > *until => {
                    self.loan = None;
                    return kept("the sound cards are in use: somebody speaks or is spoken to");
                }
                Some(_) => tokio::time::sleep(LEND_LOOK).await,
            }
        }
    }
}

impl Drop for Typed {
    fn drop(&mut self) {
        self.stop.stop();
    }
}

/// As an answer that is spoken is told.
fn told(part: Part) -> String {
    match part {
        // They are for the trace of a spoken turn.
        Part::Steps(_) => String::new(),
        Part::By(by) => format!("{}\n", json!({"kind": "by", "by": by})),
        Part::Words(words) => format!("{}\n", json!({"kind": "words", "words": words})),
        Part::End => format!("{}\n", json!({"kind": "done", "outcome": "answered"})),
        Part::Failed(sentence) => {
            trouble(&sentence) + &format!("{}\n", json!({"kind": "done", "outcome": "failed"}))
        }
    }
}

/// What was asked for is not done.
fn kept(sentence: &str) -> String {
    format!("{}\n", json!({"kind": "kept", "sentence": sentence}))
}

fn trouble(sentence: &str) -> String {
    format!("{}\n", json!({"kind": "trouble", "sentence": sentence}))
}

fn view(line: &Line) -> String {
    let mut view = serde_json::to_value(line.view()).unwrap_or_default();
    view["kind"] = "view".into();
    format!("{view}\n")
}

async fn send(stream: &mut UnixStream, text: String) -> Option<()> {
    timeout(WRITE_TIME_MAX, stream.write_all(text.as_bytes())).await.ok()?.ok()
}
