//! Sending one file to one client.
//!
//! Blocks go out in windows (RFC 7440; a window of one is RFC 1350).
//! Only silence makes the server repeat itself: an ACK that brings nothing new moves nothing,
//! or each lost or doubled packet would double the traffic for the rest of the file (the sorcerer's apprentice).

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::request::{Mode, Request};
use super::{ACK, DATA, ERROR, OPTIONS};

/// An ethernet frame less the heads of IP, UDP and TFTP: larger blocks travel in pieces, which many ROMs drop.
pub const BLOCK_BYTES_MAX: u16 = 1468;
/// Blocks in flight; more overruns the receive rings of old cards.
pub const WINDOW_MAX: u16 = 16;
/// Repeats of one window before the client counts as gone.
pub const RETRIES_MAX: u32 = 6;
/// A transfer that takes longer is given up, however alive its client is.
pub const TRANSFER_MAX: Duration = Duration::from_secs(600);
const BLOCK_BYTES: u16 = 512;
const WAIT_MIN: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_secs(8);
/// Longer waits wished for by a client are not agreed to.
const TIMEOUT_S_MAX: u8 = 10;

/// What happened.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// The client sent this to the transfer's socket.
    Datagram(&'a [u8]),
    /// The deadline came.
    Time,
}

/// What is wished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this to the client.
    Send(Vec<u8>),
    /// The transfer is over; comes once and last.
    End(End),
}

/// How a transfer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The client has the whole file.
    Done,
    /// The client does not want it (any more); ROMs do this after asking for the size.
    Stopped { code: u16 },
    /// The client fell silent.
    Silent,
    /// It took longer than [`TRANSFER_MAX`].
    TooSlow,
}

/// One file on its way to one client.
#[derive(Clone, Debug)]
pub struct Transfer {
    file: Arc<[u8]>,
    block: usize,
    window: u64,
    wait: Duration,
    state: State,
    tries: u32,
    wake: Instant,
    end_by: Instant,
    outputs: VecDeque<Output>,
}

#[derive(Clone, Debug)]
enum State {
    /// The options we agree to were sent; the client answers with ACK 0.
    Agreeing {
        options: Vec<u8>,
    },
    /// Blocks from `base` on are not acknowledged, those before `next` are sent. Blocks count from 1.
    Sending {
        base: u64,
        next: u64,
    },
    Over,
}

impl Transfer {
    /// Begins to send `file`. Drain [`Transfer::poll`] after this and after every `handle`.
    pub fn new(now: Instant, request: &Request, file: Arc<[u8]>) -> Transfer {
        let file = if request.mode == Mode::Netascii { netascii(&file).into() } else { file };
        let options = agreed(request, file.len());
        let wait = request.timeout_s.filter(|seconds| *seconds <= TIMEOUT_S_MAX);
        let mut transfer = Transfer {
            file,
            block: usize::from(request.block.unwrap_or(BLOCK_BYTES).min(BLOCK_BYTES_MAX)),
            window: u64::from(request.window.unwrap_or(1).min(WINDOW_MAX)),
            wait: wait.map_or(WAIT_MIN, |seconds| Duration::from_secs(seconds.into())),
            state: State::Sending { base: 1, next: 1 },
            tries: 0,
            wake: now,
            end_by: now + TRANSFER_MAX,
            outputs: VecDeque::new(),
        };
        if let Some(options) = options {
            transfer.state = State::Agreeing { options };
        }
        transfer.send(now);
        transfer
    }

    /// Takes one event in.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        if matches!(self.state, State::Over) {
            return;
        }
        match input {
            Input::Datagram(bytes) => self.read(now, bytes),
            Input::Time => self.repeat(now),
        }
    }

    /// The next wish, until `None`.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call with [`Input::Time`]; `None` when the transfer is over.
    pub fn deadline(&self) -> Option<Instant> {
        (!matches!(self.state, State::Over)).then(|| self.wake.min(self.end_by))
    }

    /// Bytes of the file that the client has confirmed, and the file's size, both as they travel.
    pub fn progress(&self) -> (usize, usize) {
        let blocks = match self.state {
            State::Agreeing { .. } => 0,
            State::Sending { base, .. } => base - 1,
            State::Over => u64::MAX,
        };
        let bytes = usize::try_from(blocks).unwrap_or(usize::MAX).saturating_mul(self.block);
        (bytes.min(self.file.len()), self.file.len())
    }

    fn read(&mut self, now: Instant, bytes: &[u8]) {
        let [a, b, c, d, ..] = *bytes else { return };
        let number = u16::from_be_bytes([c, d]);
        match u16::from_be_bytes([a, b]) {
            ACK => self.acknowledged(now, number),
            ERROR => self.end(End::Stopped { code: number }),
            _ => {}
        }
    }

    fn acknowledged(&mut self, now: Instant, number: u16) {
        let base = match self.state {
            State::Agreeing { .. } if number == 0 => 1,
            State::Sending { base, next } => {
                // Numbers are 16 bits and roll over: count from the last one acknowledged.
                let ahead = number.wrapping_sub((base - 1) as u16);
                if ahead == 0 || u64::from(ahead) > next - base {
                    return;
                }
                base + u64::from(ahead)
            }
            _ => return,
        };
        if base > self.blocks() {
            return self.end(End::Done);
        }
        self.state = State::Sending { base, next: base };
        self.tries = 0;
        self.send(now);
    }

    fn repeat(&mut self, now: Instant) {
        if now >= self.end_by {
            return self.end(End::TooSlow);
        }
        if now < self.wake {
            return;
        }
        self.tries += 1;
        if self.tries > RETRIES_MAX {
            return self.end(End::Silent);
        }
        self.send(now);
    }

    /// Sends the options, or the window from its base on, and sets the alarm.
    fn send(&mut self, now: Instant) {
        let blocks = self.blocks();
        match &mut self.state {
            State::Agreeing { options } => self.outputs.push_back(Output::Send(options.clone())),
            State::Sending { base, next } => {
                *next = (*base + self.window).min(blocks + 1);
                for number in *base..*next {
                    self.outputs.push_back(Output::Send(data(&self.file, self.block, number)));
                }
            }
            State::Over => return,
        }
        let wait = self.wait.saturating_mul(1 << self.tries.min(8));
        self.wake = now + wait.min(WAIT_MAX.max(self.wait));
    }

    fn end(&mut self, end: End) {
        self.state = State::Over;
        self.outputs.push_back(Output::End(end));
    }

    /// A file ends with a block that is not full, if need be an empty one.
    fn blocks(&self) -> u64 {
        (self.file.len() / self.block) as u64 + 1
    }
}

fn data(file: &[u8], block: usize, number: u64) -> Vec<u8> {
    let start = (number - 1) as usize * block;
    let end = file.len().min(start + block);
    let mut bytes = Vec::with_capacity(4 + end - start);
    bytes.extend_from_slice(&DATA.to_be_bytes());
    bytes.extend_from_slice(&(number as u16).to_be_bytes());
    bytes.extend_from_slice(&file[start..end]);
    bytes
}

/// The options that both sides agree on; `None` if the client sent none that count.
fn agreed(request: &Request, size: usize) -> Option<Vec<u8>> {
    let mut bytes = OPTIONS.to_be_bytes().to_vec();
    let mut add = |name: &str, value: usize| bytes.extend_from_slice(format!("{name}\0{value}\0").as_bytes());
    if let Some(block) = request.block {
        add("blksize", usize::from(block.min(BLOCK_BYTES_MAX)));
    }
    if request.size {
        add("tsize", size);
    }
    if let Some(window) = request.window {
        add("windowsize", usize::from(window.min(WINDOW_MAX)));
    }
    if let Some(seconds) = request.timeout_s.filter(|seconds| *seconds <= TIMEOUT_S_MAX) {
        add("timeout", usize::from(seconds));
    }
    (bytes.len() > 2).then_some(bytes)
}

fn netascii(file: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(file.len() + file.len() / 16);
    for byte in file {
        match byte {
            b'\n' => text.extend_from_slice(b"\r\n"),
            b'\r' => text.extend_from_slice(b"\r\0"),
            other => text.push(*other),
        }
    }
    text
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Done => f.write_str("the file was sent"),
            End::Stopped { code } => write!(f, "the client stopped with error {code}"),
            End::Silent => write!(f, "the client fell silent for {RETRIES_MAX} repeats"),
            End::TooSlow => write!(f, "the transfer took longer than {} seconds", TRANSFER_MAX.as_secs()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays a client against a file of `size` bytes and says what the server sent.
    /// Words: `aN` is ACK N, `eN` an ERROR, `t` passes time up to the deadline.
    fn check(request: Request, size: usize, story: &str, want: &str) {
        assert_eq!(play(request, size, story), want, "{story}");
    }

    fn play(request: Request, size: usize, story: &str) -> String {
        let file: Vec<u8> = (0..size).map(|idx| idx as u8).collect();
        let mut now = Instant::now();
        let mut transfer = Transfer::new(now, &request, file.into());
        let mut got = said(&mut transfer);
        for step in story.split_whitespace() {
            match step.split_at(1) {
                ("a", number) => transfer.handle(now, packet(ACK, number)),
                ("e", number) => transfer.handle(now, packet(ERROR, number)),
                _ => {
                    now = transfer.deadline().unwrap_or(now);
                    transfer.handle(now, Input::Time);
                }
            }
            got += &format!(" /{}", said(&mut transfer));
        }
        got
    }

    fn packet(kind: u16, number: &str) -> Input<'static> {
        let number: u16 = number.parse().unwrap();
        Input::Datagram([kind.to_be_bytes(), number.to_be_bytes()].concat().leak())
    }

    fn said(transfer: &mut Transfer) -> String {
        let mut all = String::new();
        while let Some(output) = transfer.poll() {
            all += " ";
            all += &match output {
                Output::End(end) => format!("{end:?}"),
                Output::Send(bytes) if bytes[1] == 6 => {
                    String::from_utf8_lossy(&bytes[2..]).replace('\0', "|")
                }
                Output::Send(bytes) => {
                    format!("d{}+{}", u16::from_be_bytes([bytes[2], bytes[3]]), bytes.len() - 4)
                }
            };
        }
        all
    }

    fn plain() -> Request {
        Request::default()
    }

    #[test]
    fn blocks_follow_their_acks() {
        check(plain(), 1000, "a1 a2", " d1+512 / d2+488 / Done");
    }

    #[test]
    fn a_full_last_block_is_followed_by_an_empty_one() {
        check(plain(), 512, "a1 a2", " d1+512 / d2+0 / Done");
        check(plain(), 0, "a1", " d1+0 / Done");
    }

    #[test]
    fn a_doubled_ack_moves_nothing() {
        check(plain(), 2000, "a1 a1 a1 a2", " d1+512 / d2+512 / / / d3+512");
    }

    #[test]
    fn acks_of_blocks_never_sent_move_nothing() {
        check(plain(), 2000, "a2 a0 a65535", " d1+512 / / /");
    }

    #[test]
    fn options_wait_for_their_ack() {
        let request = Request { block: Some(9000), size: true, timeout_s: Some(2), ..plain() };
        check(
            request,
            2000,
            "a1 a0 a1 a2",
            " blksize|1468|tsize|2000|timeout|2| / / d1+1468 / d2+532 / Done",
        );
    }

    #[test]
    fn a_client_may_stop_after_the_size() {
        check(Request { size: true, ..plain() }, 9, "e8 a0", " tsize|9| / Stopped { code: 8 } /");
    }

    #[test]
    fn a_window_is_sent_at_once_and_resumed_where_it_broke() {
        let request = Request { window: Some(3), ..plain() };
        let want = " windowsize|3| / d1+512 d2+512 d3+512 / d3+512 d4+512 d5+512 / d6+240 / Done";
        check(request, 2800, "a0 a2 a5 a6", want);
    }

    #[test]
    fn a_window_is_cut_to_the_limit() {
        let request = Request { window: Some(1000), ..plain() };
        assert!(play(request, 20_000, "a0").starts_with(" windowsize|16| / d1+512"));
    }

    #[test]
    fn silence_is_answered_by_repeats_and_then_by_the_end() {
        let six = " / d1+10".repeat(RETRIES_MAX as usize);
        check(plain(), 10, "t t t t t t t t", &format!(" d1+10{six} / Silent /"));
    }

    #[test]
    fn waits_grow_and_have_a_limit() {
        let mut now = Instant::now();
        let mut transfer = Transfer::new(now, &plain(), Arc::from(&b"x"[..]));
        let mut waits = Vec::new();
        while let Some(wake) = transfer.deadline() {
            waits.push((wake - now).as_secs());
            now = wake;
            transfer.handle(now, Input::Time);
        }
        assert_eq!(waits, [1, 2, 4, 8, 8, 8, 8]);
    }

    #[test]
    fn a_client_that_crawls_is_given_up() {
        let start = Instant::now();
        let mut transfer = Transfer::new(start, &plain(), vec![0; 100_000].into());
        transfer.handle(start + TRANSFER_MAX, Input::Time);
        assert!(said(&mut transfer).ends_with("TooSlow"));
        assert_eq!(transfer.deadline(), None);
    }

    #[test]
    fn block_numbers_roll_over() {
        let request = Request { block: Some(8), ..plain() };
        let mut transfer = Transfer::new(Instant::now(), &request, vec![7; 8 * 70_000].into());
        transfer.handle(Instant::now(), packet(ACK, "0"));
        for number in 1..=70_001_u32 {
            let number = (number as u16).to_be_bytes();
            transfer.outputs.clear();
            transfer.handle(Instant::now(), Input::Datagram(&[0, 4, number[0], number[1]]));
        }
        assert_eq!(said(&mut transfer), " Done");
    }

    #[test]
    fn netascii_has_network_line_ends() {
        assert_eq!(netascii(b"a\nb\rc"), b"a\r\nb\r\0c");
    }

    #[test]
    fn short_and_foreign_datagrams_are_ignored() {
        let mut transfer = Transfer::new(Instant::now(), &plain(), Arc::from(&b"x"[..]));
        said(&mut transfer);
        for bytes in [&[][..], &[0, 4, 0], &[0, 1, 0, 1], &[9, 4, 0, 1]] {
            transfer.handle(Instant::now(), Input::Datagram(bytes));
        }
        assert_eq!(said(&mut transfer), "");
    }
}
