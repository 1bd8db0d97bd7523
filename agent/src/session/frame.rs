//! Frames of a WebSocket as a server reads and writes them (RFC 6455): no extension, a mask on all that comes.
//!
//! Ours, because it is less than a crate for it would cost: tokio-tungstenite brings seven crates more, has a second
//! idea of waiting, and holds 128 KiB for each client. A reader holds at most one message, and refuses a longer one at
//! its head.

use std::fmt;

/// Of a message, in however many frames: 100 ms of sound at 48 kHz have 9600.
pub const MESSAGE_BYTES_MAX: usize = 32 << 10;
/// Of a frame that commands.
const CONTROL_BYTES_MAX: usize = 125;
/// Frames of one message; a browser sends one.
const FRAMES_MAX: u32 = 64;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    Close,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    TooLong,
    /// Against the protocol, so nobody knows where the next frame begins.
    Form(&'static str),
    NotUtf8,
}

impl FrameError {
    /// The status with which the connection is closed (section 7.4.1).
    pub fn status(self) -> u16 {
        match self {
            FrameError::TooLong => 1009,
            FrameError::Form(_) => 1002,
            FrameError::NotUtf8 => 1007,
        }
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::TooLong => write!(f, "a message has more than {MESSAGE_BYTES_MAX} bytes"),
            FrameError::Form(what) => f.write_str(what),
            FrameError::NotUtf8 => f.write_str("a text is not UTF-8"),
        }
    }
}

impl std::error::Error for FrameError {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Binary,
}

#[derive(Clone, Copy, Debug)]
struct Head {
    is_last: bool,
    code: u8,
    mask: [u8; 4],
    /// Bytes of the head itself, and of what follows.
    n_head: usize,
    n_body: usize,
}

/// Messages out of bytes.
#[derive(Debug, Default)]
pub struct Reader {
    bytes: Vec<u8>,
    /// The frames so far of a message that is not whole.
    begun: Option<(Kind, Vec<u8>, u32)>,
}

impl Reader {
    /// To be followed by [`Reader::poll`] until it gives nothing.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Whether a message has begun and is not whole.
    pub fn is_within(&self) -> bool {
        self.begun.is_some() || !self.bytes.is_empty()
    }

    /// After an error nothing more can be read.
    pub fn poll(&mut self) -> Result<Option<Message>, FrameError> {
        loop {
            let Some(head) = self.head()? else { return Ok(None) };
            let end = head.n_head + head.n_body;
            if self.bytes.len() < end {
                return Ok(None);
            }
            let mut body = self.bytes[head.n_head..end].to_vec();
            self.bytes.drain(..end);
            body.iter_mut().zip(head.mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
            if let Some(message) = self.frame(head, body)? {
                return Ok(Some(message));
            }
        }
    }

    fn head(&self) -> Result<Option<Head>, FrameError> {
        let [first, second, rest @ ..] = self.bytes.as_slice() else { return Ok(None) };
        let (code, is_last) = (first & 0x0f, first & 0x80 != 0);
        if first & 0x70 != 0 {
            return Err(FrameError::Form("a frame uses an extension that was not agreed on"));
        }
        if second & 0x80 == 0 {
            return Err(FrameError::Form("a frame has no mask"));
        }
        if !matches!(code, 0..=2 | 8..=10) {
            return Err(FrameError::Form("a frame is of no known kind"));
        }
        let (length, n_length) = match (second & 0x7f, rest) {
            (126, [a, b, ..]) => (u64::from(u16::from_be_bytes([*a, *b])), 2),
            (127, [a, b, c, d, e, f, g, h, ..]) => (u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), 8),
            (126 | 127, _) => return Ok(None),
            (short, _) => (u64::from(short), 0),
        };
        let is_control = code >= 8;
        if is_control && (!is_last || length > CONTROL_BYTES_MAX as u64) {
            return Err(FrameError::Form("a frame that commands is cut or too long"));
        }
        let so_far = self.begun.as_ref().map_or(0, |(_, body, _)| body.len());
        let room = MESSAGE_BYTES_MAX - if is_control { 0 } else { so_far };
        if length > room as u64 {
            return Err(FrameError::TooLong);
        }
        let Some(&[a, b, c, d]) = rest.get(n_length..n_length + 4) else { return Ok(None) };
        Ok(Some(Head { is_last, code, mask: [a, b, c, d], n_head: 6 + n_length, n_body: length as usize }))
    }

    fn frame(&mut self, head: Head, body: Vec<u8>) -> Result<Option<Message>, FrameError> {
        let (kind, body, n_frames) = match (head.code, self.begun.take()) {
            (8, _) => return Ok(Some(Message::Close)),
            (9, begun) => {
                self.begun = begun;
                return Ok(Some(Message::Ping(body)));
            }
            (10, begun) => {
                self.begun = begun;
                return Ok(Some(Message::Pong));
            }
            (0, Some((kind, mut before, n_frames))) => {
                before.extend(body);
                (kind, before, n_frames + 1)
            }
            (0, None) => return Err(FrameError::Form("a message goes on that has not begun")),
            (_, Some(_)) => return Err(FrameError::Form("a message begins before the end of another")),
            (1, None) => (Kind::Text, body, 1),
            (_, None) => (Kind::Binary, body, 1),
        };
        if !head.is_last {
            if n_frames >= FRAMES_MAX {
                return Err(FrameError::Form("a message has too many frames"));
            }
            self.begun = Some((kind, body, n_frames));
            return Ok(None);
        }
        let message = match kind {
            Kind::Text => Message::Text(String::from_utf8(body).map_err(|_| FrameError::NotUtf8)?),
            Kind::Binary => Message::Binary(body),
        };
        Ok(Some(message))
    }
}

pub fn text(text: &str) -> Vec<u8> {
    frame(1, text.as_bytes())
}

pub fn binary(bytes: &[u8]) -> Vec<u8> {
    frame(2, bytes)
}

pub fn ping() -> Vec<u8> {
    frame(9, b"")
}

pub fn pong(bytes: &[u8]) -> Vec<u8> {
    frame(10, &bytes[..bytes.len().min(CONTROL_BYTES_MAX)])
}

/// With a reason for people, which is cut where it is too long.
pub fn close(status: u16, reason: &str) -> Vec<u8> {
    let mut body = status.to_be_bytes().to_vec();
    for char in reason.chars() {
        if body.len() + char.len_utf8() > CONTROL_BYTES_MAX {
            break;
        }
        body.extend(char.encode_utf8(&mut [0; 4]).as_bytes());
    }
    frame(8, &body)
}

fn frame(code: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x80 | code];
    match body.len() {
        n @ 0..=125 => bytes.push(n as u8),
        n @ 126..=0xffff => {
            bytes.push(126);
            bytes.extend((n as u16).to_be_bytes());
        }
        n => {
            bytes.push(127);
            bytes.extend((n as u64).to_be_bytes());
        }
    }
    bytes.extend(body);
    bytes
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A frame as a client sends it.
    pub fn masked(first: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = frame(first & 0x0f, body);
        bytes[0] = first;
        bytes[1] |= 0x80;
        let n_head = bytes.len() - body.len();
        let mask = [1, 2, 3, 4];
        let body: Vec<u8> = body.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        [&bytes[..n_head], &mask, &body].concat()
    }

    fn read(bytes: &[u8], piece: usize) -> (Vec<Message>, Option<FrameError>) {
        let (mut reader, mut messages) = (Reader::default(), vec![]);
        for piece in bytes.chunks(piece) {
            reader.push(piece);
            loop {
                match reader.poll() {
                    Ok(Some(message)) => messages.push(message),
                    Ok(None) => break,
                    Err(error) => return (messages, Some(error)),
                }
            }
        }
        (messages, None)
    }

    #[track_caller]
    fn check(frames: &[Vec<u8>], want: &[Message], error: Option<FrameError>) {
        let bytes = frames.concat();
        for piece in [1, 5, bytes.len()] {
            assert_eq!(read(&bytes, piece), (want.to_vec(), error), "pieces of {piece}");
        }
    }

    #[test]
    fn the_hello_of_the_standard_is_read() {
        // RFC 6455, section 5.7.
        let hello = vec![0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        check(&[hello], &[Message::Text("Hello".into())], None);
        assert_eq!(text("Hello"), [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
    }

    #[test]
    fn messages_of_every_length_come_whole() {
        for n in [0, 1, 125, 126, 127, 4000, MESSAGE_BYTES_MAX] {
            check(&[masked(0x82, &vec![7; n])], &[Message::Binary(vec![7; n])], None);
        }
    }

    #[test]
    fn a_command_may_come_between_the_frames_of_a_message() {
        let frames = [masked(0x01, b"he"), masked(0x89, b"x"), masked(0x00, b"l"), masked(0x80, b"lo")];
        check(&frames, &[Message::Ping(b"x".to_vec()), Message::Text("hello".into())], None);
    }

    #[test]
    fn a_message_that_grows_too_long_is_refused_at_the_head_of_a_frame() {
        let frames = [masked(0x02, &vec![0; MESSAGE_BYTES_MAX]), vec![0x80, 0x81]];
        check(&frames, &[], Some(FrameError::TooLong));
        check(&[vec![0x82, 0xff, 255, 255, 255, 255, 255, 255, 255, 255]], &[], Some(FrameError::TooLong));
    }

    #[test]
    fn what_the_protocol_forbids_is_an_error() {
        let form = |frames: &[Vec<u8>]| {
            let (messages, error) = read(&frames.concat(), 3);
            assert!(
                messages.is_empty() && matches!(error, Some(FrameError::Form(_))),
                "{messages:?} {error:?}"
            );
        };
        form(&[text("no mask")]);
        form(&[masked(0xc1, b"an extension")]);
        form(&[masked(0x83, b"a kind")]);
        form(&[masked(0x09, b"half a ping")]);
        form(&[masked(0x89, &[0; 126])]);
        form(&[masked(0x80, b"goes on")]);
        form(&[masked(0x01, b"one"), masked(0x81, b"two")]);
        form(
            &vec![vec![masked(0x02, b"")]; 1]
                .concat()
                .into_iter()
                .chain(vec![masked(0, b""); 64])
                .collect::<Vec<_>>(),
        );
        check(&[masked(0x81, &[0xff])], &[], Some(FrameError::NotUtf8));
    }

    #[test]
    fn a_close_says_why_in_one_short_frame() {
        assert_eq!(close(1009, "ä"), [0x88, 4, 0x03, 0xf1, 0xc3, 0xa4]);
        assert_eq!(close(1000, &"ä".repeat(99)).len(), 2 + 2 + 122);
    }
}
