//! Wyoming on the wire: a line of JSON, then what the line announces: more JSON, and bytes.
//!
//! A reader takes bytes as they come and holds at most one event's; what is announced too long is refused before a byte
//! of it is kept. It deliberately knows no kind of event.

use serde::Deserialize;
use serde_json::{Map, Value};
use std::fmt;

/// Of the line; old clients put all data into it.
pub const LINE_BYTES_MAX: usize = 16 << 10;
/// Of the JSON behind it: Home Assistant tells its names of things with a request to hear.
pub const DATA_BYTES_MAX: usize = 64 << 10;
/// Of the bytes at the end: more than a second of sound at 44.1 kHz, 16 bits, two channels.
pub const PAYLOAD_BYTES_MAX: usize = 256 << 10;
/// Of the name of an event.
const KIND_BYTES_MAX: usize = 64;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Event {
    pub kind: String,
    pub data: Map<String, Value>,
    pub payload: Vec<u8>,
}

/// Why nothing more can be read of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireError {
    LineTooLong,
    DataTooLong,
    PayloadTooLong,
    /// The line, or what follows it, is not the JSON of an event.
    Form,
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WireError::LineTooLong => write!(f, "a line has more than {LINE_BYTES_MAX} bytes"),
            WireError::DataTooLong => write!(f, "the data has more than {DATA_BYTES_MAX} bytes"),
            WireError::PayloadTooLong => write!(f, "the payload has more than {PAYLOAD_BYTES_MAX} bytes"),
            WireError::Form => write!(f, "this is no event of Wyoming"),
        }
    }
}

impl std::error::Error for WireError {}

/// What a line says.
#[derive(Debug, Deserialize)]
struct Line {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    data: Option<Map<String, Value>>,
    #[serde(default)]
    data_length: Option<u64>,
    #[serde(default)]
    payload_length: Option<u64>,
}

/// A line that was read, and what must follow it.
#[derive(Debug)]
struct Begun {
    event: Event,
    n_data: usize,
    n_payload: usize,
}

/// Events out of bytes.
#[derive(Debug, Default)]
pub struct Reader {
    bytes: Vec<u8>,
    /// So many of `bytes` hold no end of a line.
    looked: usize,
    begun: Option<Begun>,
}

impl Reader {
    /// To be followed by [`Reader::poll`] until it gives nothing.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// After an error nothing more can be read.
    pub fn poll(&mut self) -> Result<Option<Event>, WireError> {
        let begun = match self.begun.take() {
            Some(begun) => begun,
            None => match self.line()? {
                Some(begun) => begun,
                None => return Ok(None),
            },
        };
        if self.bytes.len() < begun.n_data + begun.n_payload {
            self.begun = Some(begun);
            return Ok(None);
        }
        let Begun { mut event, n_data, n_payload } = begun;
        if n_data > 0 {
            let data: Map<String, Value> =
                serde_json::from_slice(&self.bytes[..n_data]).map_err(|_| WireError::Form)?;
            event.data.extend(data);
        }
        event.payload = self.bytes[n_data..n_data + n_payload].to_vec();
        self.bytes.drain(..n_data + n_payload);
        Ok(Some(event))
    }

    /// Whether an event has begun and is not whole.
    pub fn is_within(&self) -> bool {
        self.begun.is_some() || !self.bytes.is_empty()
    }

    fn line(&mut self) -> Result<Option<Begun>, WireError> {
        let unknown = &self.bytes[self.looked.min(self.bytes.len())..];
        let Some(end) = unknown.iter().position(|byte| *byte == b'\n').map(|at| at + self.looked) else {
            self.looked = self.bytes.len();
            return if self.looked > LINE_BYTES_MAX { Err(WireError::LineTooLong) } else { Ok(None) };
        };
        if end > LINE_BYTES_MAX {
            return Err(WireError::LineTooLong);
        }
        let line: Line = serde_json::from_slice(&self.bytes[..end]).map_err(|_| WireError::Form)?;
        self.bytes.drain(..=end);
        self.looked = 0;
        if line.kind.len() > KIND_BYTES_MAX {
            return Err(WireError::Form);
        }
        let length = |told: Option<u64>, max: usize, error: WireError| {
            let told = usize::try_from(told.unwrap_or(0)).unwrap_or(usize::MAX);
            if told > max { Err(error) } else { Ok(told) }
        };
        let n_data = length(line.data_length, DATA_BYTES_MAX, WireError::DataTooLong)?;
        let n_payload = length(line.payload_length, PAYLOAD_BYTES_MAX, WireError::PayloadTooLong)?;
        let event = Event { kind: line.kind, data: line.data.unwrap_or_default(), payload: vec![] };
        Ok(Some(Begun { event, n_data, n_payload }))
    }
}

impl Event {
    pub fn new(kind: &str, data: Value) -> Event {
        let data = match data {
            Value::Object(data) => data,
            _ => Map::new(),
        };
        Event { kind: kind.to_owned(), data, payload: vec![] }
    }

    /// A text of the data, if it is one.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.data.get(name)?.as_str()
    }

    pub fn number(&self, name: &str) -> Option<u64> {
        self.data.get(name)?.as_u64()
    }

    /// As it goes over the wire.
    pub fn to_bytes(&self) -> Vec<u8> {
        let data = if self.data.is_empty() { vec![] } else { json(&self.data) };
        let mut line = Map::new();
        line.insert("type".into(), self.kind.as_str().into());
        line.insert("version".into(), VERSION.into());
        if !data.is_empty() {
            line.insert("data_length".into(), data.len().into());
        }
        if !self.payload.is_empty() {
            line.insert("payload_length".into(), self.payload.len().into());
        }
        let mut bytes = json(&line);
        bytes.push(b'\n');
        bytes.extend(data);
        bytes.extend(&self.payload);
        bytes
    }
}

/// Of the protocol's own library that this was held to.
const VERSION: &str = "1.10.2";

fn json(map: &Map<String, Value>) -> Vec<u8> {
    serde_json::to_vec(map).expect("a map of JSON values is JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// All events of these bytes, which come in pieces of `piece`, and how it ends.
    fn read(bytes: &[u8], piece: usize) -> (Vec<Event>, Option<WireError>) {
        let (mut reader, mut events) = (Reader::default(), vec![]);
        for piece in bytes.chunks(piece) {
            reader.push(piece);
            loop {
                match reader.poll() {
                    Ok(Some(event)) => events.push(event),
                    Ok(None) => break,
                    Err(error) => return (events, Some(error)),
                }
            }
        }
        (events, None)
    }

    #[test]
    fn an_event_survives_the_wire_in_pieces_of_any_size() {
        let sound = Event { payload: vec![10; 2048], ..Event::new("audio-chunk", json!({"rate": 16000})) };
        let events = [Event::new("describe", json!({})), sound, Event::new("ping", json!({"text": "ä\n"}))];
        let bytes: Vec<u8> = events.iter().flat_map(Event::to_bytes).collect();
        for piece in [1, 3, 1000, bytes.len()] {
            assert_eq!(read(&bytes, piece), (events.to_vec(), None));
        }
    }

    #[test]
    fn data_may_stand_in_the_line_and_behind_it() {
        let bytes = b"{\"type\":\"x\",\"data\":{\"a\":1,\"b\":1},\"data_length\":7}\n{\"b\":2}";
        let (events, error) = read(bytes, 5);
        assert_eq!(
            (events[0].data.clone(), error),
            (json!({"a": 1, "b": 2}).as_object().unwrap().clone(), None)
        );
    }

    #[track_caller]
    fn check(bytes: &[u8], want: WireError) {
        for piece in [1, 4096, bytes.len()] {
            assert_eq!(read(bytes, piece), (vec![], Some(want)));
        }
    }

    #[test]
    fn what_is_announced_too_long_is_refused_at_its_line() {
        check(b"{\"type\":\"x\",\"data_length\":65537}\n", WireError::DataTooLong);
        check(b"{\"type\":\"x\",\"payload_length\":18446744073709551615}\n", WireError::PayloadTooLong);
        check(&vec![b' '; LINE_BYTES_MAX + 2], WireError::LineTooLong);
    }

    #[test]
    fn what_is_no_event_is_an_error() {
        check(b"GET / HTTP/1.1\r\n", WireError::Form);
        check(b"{\"type\":7}\n", WireError::Form);
        check(b"{\"type\":\"x\",\"data_length\":-1}\n", WireError::Form);
        check(b"{\"type\":\"x\",\"data_length\":2}\n[]", WireError::Form);
        check(&[&[b'['; 4000][..], b"\n"].concat(), WireError::Form);
    }
}
