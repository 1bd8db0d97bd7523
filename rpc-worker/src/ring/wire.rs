//! Frames on a connection: one task reads, one writes, and the link between them says who may stay.

use split::pipe::{Link, LinkOutput, QUEUE_MAX};
use split::wire::{Counter, Frame, HEAD_BYTES, Head, Hello};
use std::io;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Frames that wait to be written: all that may be handed on again at once, with the signs of life of a minute.
const WAITING_MAX: usize = QUEUE_MAX + 512;
/// Bytes that are read at a time; longer bodies are read into their own place.
const READ_BYTES: usize = 1 << 13;
/// Frames that were read and not taken yet; then the other is read no more.
const READ_MAX: usize = 8;

/// Reads one frame. Memory is asked for when its length is known to be within its limit.
pub async fn read(from: &mut (impl AsyncReadExt + Unpin), counter: &mut Counter) -> io::Result<Frame> {
    let wrong = |error| io::Error::new(io::ErrorKind::InvalidData, error);
    let mut head_bytes = [0; HEAD_BYTES];
    from.read_exact(&mut head_bytes).await?;
    let head = Head::read(&head_bytes).map_err(wrong)?;
    let mut body = vec![0; head.body_bytes];
    from.read_exact(&mut body).await?;
    counter.decode(head, &head_bytes, &body).map_err(wrong)
}

/// A connection with its link. Both tasks end when it is dropped, after what was to be said.
pub struct Line {
    pub link: Link,
    frames: Receiver<io::Result<Frame>>,
    out: Sender<Frame>,
}

impl Line {
    /// To the next stage.
    pub fn dial(stream: TcpStream, mine: Hello) -> Line {
        Line::new(stream, Counter::default(), Counter::default(), Link::dial(Instant::now(), mine))
    }

    /// From the stage before, whose hello was read.
    pub fn accept(stream: TcpStream, read: Counter, mine: Hello, hello: &Hello) -> Line {
        Line::new(stream, read, Counter::default(), Link::accept(Instant::now(), mine, hello))
    }

    fn new(stream: TcpStream, counter: Counter, mut written: Counter, link: Link) -> Line {
        // Without it a token would wait for an acknowledgement; where it is refused, it only takes longer.
        let _ = stream.set_nodelay(true);
        let (from, mut to) = stream.into_split();
        let (say, frames) = channel(READ_MAX);
        tokio::spawn(listen(from, counter, say));
        let (out, mut waiting) = channel::<Frame>(WAITING_MAX);
        tokio::spawn(async move {
            while let Some(frame) = waiting.recv().await {
                if to.write_all(&written.encode(&frame)).await.is_err() {
                    return;
                }
            }
            // Whoever reads learns of the end; if it is gone, nobody needs to.
            let _ = to.shutdown().await;
        });
        Line { link, frames, out }
    }

    /// Whether the other said its hello.
    pub fn was_up(&self) -> bool {
        self.link.was_up()
    }

    /// What the link wants: frames for the machine, or the end of the line. Its own frames are written.
    pub fn poll(&mut self) -> Option<LinkOutput> {
        loop {
            match self.link.poll()? {
                LinkOutput::Send(frame) => {
                    if self.out.try_send(frame).is_err() {
                        return Some(LinkOutput::Down("the other stage takes nothing any more".to_owned()));
                    }
                }
                output => return Some(output),
            }
        }
    }

    /// Waits for a frame or for the link's own time, and gives it to the link. Dropping it loses nothing.
    pub async fn happen(&mut self) {
        let wake = self.link.deadline();
        // What came counts before the time that passed: who was asleep finds both.
        tokio::select! {
            biased;
            came = self.frames.recv() => match came {
                Some(Ok(frame)) => self.link.came(Instant::now(), frame),
                Some(Err(error)) => self.link.end(Instant::now(), &sentence(&error)),
                None => self.link.end(Instant::now(), "the connection was closed"),
            },
            () = until(wake) => self.link.time(Instant::now()),
        }
    }

    /// Tells the other why, as far as it can be told.
    pub fn end(mut self, why: &str) {
        self.link.end(Instant::now(), why);
        while self.poll().is_some() {}
    }
}

fn sentence(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "the connection was closed".to_owned(),
        _ => error.to_string(),
    }
}

async fn listen(from: OwnedReadHalf, mut counter: Counter, say: Sender<io::Result<Frame>>) {
    // Head and body of a small frame come in one read.
    let mut from = BufReader::with_capacity(READ_BYTES, from);
    loop {
        let came = tokio::select! {
            came = read(&mut from, &mut counter) => came,
            () = say.closed() => return,
        };
        let is_end = came.is_err();
        if say.send(came).await.is_err() || is_end {
            return;
        }
    }
}

pub async fn until(wake: Option<Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake.into()).await,
        None => std::future::pending().await,
    }
}
