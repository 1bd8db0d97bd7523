//! Fetches one file from one boot server by HTTP/1.1, and trusts nothing on the way.
//!
//! The status comes first, then the length, then the bytes; a large file is hashed while it streams to its place.
//! A broken transfer goes on where it stopped, but only at the same server: bytes of two servers are never
//! mixed, so that a wrong hash has one culprit.
//! Whom to ask next, and how long to wait, is the matter of `rounds`.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use release::{FileFact, Server};

use crate::http::{HEAD_BYTES_MAX, Head, body_start, parse_head};
use crate::{Trouble, World};

/// How long a server may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub connect: Duration,
    /// Longest silence within a transfer.
    pub idle: Duration,
    /// Longest transfer of nothing; `bytes_per_s_min` adds to it.
    pub total: Duration,
    /// A server slower than this is given up.
    pub bytes_per_s_min: u64,
}

impl Limits {
    /// The limits of a real boot. Twenty PCs on a shared 100 Mbit wire still get 600 kB/s each.
    pub const BOOT: Limits = Limits {
        connect: Duration::from_secs(5),
        idle: Duration::from_secs(15),
        total: Duration::from_secs(20),
        bytes_per_s_min: 64 * 1024,
    };

    fn total_for(&self, bytes: u64) -> Duration {
        self.total.saturating_add(Duration::from_secs(bytes / self.bytes_per_s_min.max(1)))
    }
}

/// How often one file may be taken up again after its transfer broke.
const RESUMES_MAX: u32 = 8;

/// Large enough for the widest BLAKE3 step and few system calls, small enough for the cache of a Core 2.
const BUFFER_BYTES: usize = 256 * 1024;

/// One wait for bytes; it ends at once when some come. A tick of Debian's kernel, the shortest there is.
const SLICE: Duration = Duration::from_millis(4);

/// Fetches a file that is small and not yet measured: the manifest or its signature.
pub fn fetch_small<W: World>(
    world: &mut W,
    limits: Limits,
    server: Server,
    path: &str,
    bytes_max: usize,
) -> Result<Vec<u8>, Trouble> {
    let mut buffer = vec![0; HEAD_BYTES_MAX.max(bytes_max)];
    let deadline = Deadline::start(world, limits.total_for(bytes_max as u64));
    let mut transfer = Transfer::open(world, limits, deadline, server, path, 0, &mut buffer)?;
    let Head { status, length, .. } = transfer.head;
    if status != 200 {
        return Err(Trouble::Status(status));
    }
    if length > bytes_max as u64 {
        return Err(Trouble::TooLarge { bytes_max });
    }
    let mut bytes = Vec::with_capacity(length as usize);
    while let Some(piece) = transfer.next(world, &mut buffer)? {
        bytes.extend_from_slice(piece);
    }
    Ok(bytes)
}

/// Fetches a measured file into `file`, which holds exactly the signed bytes when this returns `Ok`.
pub fn fetch_measured<W: World>(
    world: &mut W,
    limits: Limits,
    server: Server,
    path: &str,
    fact: FileFact,
    file: &mut File,
) -> Result<(), Trouble> {
    let deadline = Deadline::start(world, limits.total_for(fact.bytes));
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut sink = Sink { file, hasher: blake3::Hasher::new(), done: 0 };
    sink.restart()?;
    for resume in 0.. {
        let before = sink.done;
        let trouble = match one_transfer(world, limits, deadline, server, path, fact, &mut sink, &mut buffer)
        {
            Ok(()) => break,
            Err(trouble) => trouble,
        };
        if !trouble.is_resumable() || sink.done <= before || resume == RESUMES_MAX {
            return Err(trouble);
        }
        world.note(&format!("{path} from {server} {trouble}; asking for the rest"));
    }
    if sink.hasher.finalize() == fact.blake3 { Ok(()) } else { Err(Trouble::Hash) }
}

/// Brings as many bytes of the file as one connection gives.
#[allow(clippy::too_many_arguments, reason = "a struct for one caller would only move the list")]
fn one_transfer<W: World>(
    world: &mut W,
    limits: Limits,
    deadline: Deadline,
    server: Server,
    path: &str,
    fact: FileFact,
    sink: &mut Sink<'_>,
    buffer: &mut [u8],
) -> Result<(), Trouble> {
    let mut transfer = Transfer::open(world, limits, deadline, server, path, sink.done, buffer)?;
    let want = fact.bytes;
    match transfer.head {
        // A server without ranges begins anew, and so do we.
        Head { status: 200, length, .. } if length == want => sink.restart()?,
        Head { status: 206, length, part: Some((first, total)) } => {
            if total != want {
                return Err(Trouble::Length { found: total, want });
            }
            if first != sink.done || length != want - first {
                return Err(Trouble::Answer("holds another part than was asked for"));
            }
        }
        Head { status: 200, length: found, .. } => return Err(Trouble::Length { found, want }),
        Head { status: 206, .. } => return Err(Trouble::Answer("does not say which part it is")),
        Head { status, .. } => return Err(Trouble::Status(status)),
    }
    loop {
        match transfer.fill(world, buffer) {
            Ok([]) => return Ok(()),
            Ok(piece) => sink.take(piece)?,
            Err((piece, trouble)) => {
                sink.take(piece)?;
                let found = sink.done;
                let cut = matches!(trouble, Trouble::Cut { .. });
                return Err(if cut { Trouble::Cut { found, want } } else { trouble });
            }
        }
    }
}

/// Where the bytes go: to their place and into the hash.
struct Sink<'a> {
    file: &'a mut File,
    hasher: blake3::Hasher,
    done: u64,
}

impl Sink<'_> {
    fn restart(&mut self) -> Result<(), Trouble> {
        self.hasher.reset();
        self.done = 0;
        self.file.seek(SeekFrom::Start(0)).map_err(Trouble::Keep)?;
        self.file.set_len(0).map_err(Trouble::Keep)
    }

    fn take(&mut self, piece: &[u8]) -> Result<(), Trouble> {
        self.hasher.update(piece);
        self.file.write_all(piece).map_err(Trouble::Keep)?;
        self.done += piece.len() as u64;
        Ok(())
    }
}

/// When a transfer must have ended.
#[derive(Clone, Copy)]
struct Deadline {
    at: Duration,
    after: Duration,
}

impl Deadline {
    fn start<W: World>(world: &mut W, after: Duration) -> Deadline {
        Deadline { at: world.now().saturating_add(after), after }
    }

    fn check<W: World>(self, world: &mut W) -> Result<(), Trouble> {
        if world.now() > self.at { Err(Trouble::Slow(self.after)) } else { Ok(()) }
    }
}

/// One request and its answer.
struct Transfer {
    stream: TcpStream,
    head: Head,
    deadline: Deadline,
    idle: Duration,
    /// Bytes of the body that came with the head, still in the buffer.
    early: std::ops::Range<usize>,
    /// Bytes of the body that are still to come, `early` included.
    left: u64,
}

impl Transfer {
    /// Asks for a file from byte `from` on, and reads the head of the answer.
    fn open<W: World>(
        world: &mut W,
        limits: Limits,
        deadline: Deadline,
        server: Server,
        path: &str,
        from: u64,
        buffer: &mut [u8],
    ) -> Result<Transfer, Trouble> {
        let address = SocketAddr::from((server.ip, server.port));
        let mut stream = TcpStream::connect_timeout(&address, limits.connect).map_err(Trouble::Wire)?;
        stream.set_read_timeout(Some(SLICE)).map_err(Trouble::Wire)?;
        stream.set_write_timeout(Some(limits.idle)).map_err(Trouble::Wire)?;
        let range = if from == 0 { String::new() } else { format!("Range: bytes={from}-\r\n") };
        let host = SocketAddr::from((server.ip, server.port));
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{range}\r\n");
        stream.write_all(request.as_bytes()).map_err(Trouble::Wire)?;
        let mut filled = 0;
        let body = loop {
            deadline.check(world)?;
            if let Some(body) = body_start(&buffer[..filled]) {
                break body;
            }
            if filled >= HEAD_BYTES_MAX {
                return Err(Trouble::Answer("has an endless head"));
            }
            match read(&mut stream, &mut buffer[filled..HEAD_BYTES_MAX], limits.idle)? {
                0 => return Err(Trouble::Answer("ended within its head")),
                n => filled += n,
            }
        };
        let head = parse_head(&buffer[..body]).map_err(Trouble::Answer)?;
        let early = body..filled.min(body.saturating_add(usize::try_from(head.length).unwrap_or(usize::MAX)));
        Ok(Transfer { stream, head, deadline, idle: limits.idle, early, left: head.length })
    }

    /// The next bytes of the body as they come; `None` at its end.
    fn next<'b, W: World>(
        &mut self,
        world: &mut W,
        buffer: &'b mut [u8],
    ) -> Result<Option<&'b [u8]>, Trouble> {
        let n = self.some(world, buffer, 0)?;
        Ok((n > 0).then_some(&buffer[..n]))
    }

    /// The next bytes of the body, as many as the buffer takes; none at the end of the body.
    /// When the transfer breaks, the bytes that came before are handed out with the trouble.
    fn fill<'b, W: World>(
        &mut self,
        world: &mut W,
        buffer: &'b mut [u8],
    ) -> Result<&'b [u8], (&'b [u8], Trouble)> {
        let mut filled = 0;
        while filled < buffer.len() && self.left > 0 {
            match self.some(world, buffer, filled) {
                Ok(n) => filled += n,
                Err(trouble) => return Err((&buffer[..filled], trouble)),
            }
        }
        Ok(&buffer[..filled])
    }

    /// Puts some bytes of the body at `buffer[at..]` and says how many; 0 only at the end of the body.
    fn some<W: World>(&mut self, world: &mut W, buffer: &mut [u8], at: usize) -> Result<usize, Trouble> {
        if self.left == 0 {
            return Ok(0);
        }
        self.deadline.check(world)?;
        let n = if self.early.is_empty() {
            let room = buffer.len() - at;
            let room = usize::try_from(self.left).map_or(room, |left| left.min(room));
            read(&mut self.stream, &mut buffer[at..at + room], self.idle)?
        } else {
            let early = std::mem::take(&mut self.early);
            let n = early.len();
            buffer.copy_within(early, at);
            n
        };
        if n == 0 {
            let want = self.head.length;
            return Err(Trouble::Cut { found: want - self.left, want });
        }
        self.left -= n as u64;
        Ok(n)
    }
}

/// Reads some bytes; silence is counted in slices of waiting, not read from a clock.
/// On a virtual machine that counts instructions an idle clock jumps, and one long wait would be over at once.
fn read(stream: &mut TcpStream, buffer: &mut [u8], idle: Duration) -> Result<usize, Trouble> {
    let n_slices = idle.as_millis().div_ceil(SLICE.as_millis()).max(1);
    for _ in 0..n_slices {
        match stream.read(buffer) {
            Ok(n) => return Ok(n),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(Trouble::Wire(error)),
        }
    }
    Err(Trouble::Silent(idle))
}
