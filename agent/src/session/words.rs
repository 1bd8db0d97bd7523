//! What callers say in JSON: how a session is to begin, and which key they press.

use serde::{Deserialize, Serialize};

/// Of any such text.
pub const WORDS_BYTES_MAX: usize = 1024;
/// Of a microphone's name for people.
const NAME_BYTES_MAX: usize = 40;

/// `POST /api/session/start`. All of it may be left out.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Start {
    /// Samples a second of what will come.
    pub rate: u32,
    pub format: Format,
    /// For people.
    pub name: String,
    pub language: Option<String>,
    pub hands_free: Option<bool>,
    /// It says when a clause was played; otherwise that is reckoned.
    pub tells_played: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// 16 bits, little endian, one channel.
    #[default]
    Pcm16,
    Opus,
}

impl Default for Start {
    fn default() -> Start {
        let (format, name) = (Format::default(), String::new());
        Start { rate: 16_000, format, name, language: None, hands_free: None, tells_played: false }
    }
}

/// `POST /api/session/end`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    pub id: String,
}

/// A text message of the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Command {
    /// The key goes down.
    Start,
    Stop,
    /// The last sample of a clause has sounded.
    Played {
        turn: u32,
        clause: u32,
    },
    End,
}

impl Start {
    /// The error is a sentence for the caller.
    pub fn parse(bytes: &[u8]) -> Result<Start, String> {
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Start::default());
        }
        let mut start: Start = parse(bytes)?;
        if start.format == Format::Opus {
            return Err(
                "Opus is not understood here; send 16-bit PCM (\"pcm16\"), which is 32 kB a second".into()
            );
        }
        start.name.retain(|char| !char.is_control());
        if start.name.len() > NAME_BYTES_MAX {
            return Err(format!("a name has at most {NAME_BYTES_MAX} bytes"));
        }
        Ok(start)
    }
}

impl End {
    pub fn parse(bytes: &[u8]) -> Result<End, String> {
        parse(bytes)
    }
}

impl Command {
    pub fn parse(text: &str) -> Result<Command, String> {
        parse(text.as_bytes())
    }
}

fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, String> {
    if bytes.len() > WORDS_BYTES_MAX {
        return Err(format!("at most {WORDS_BYTES_MAX} bytes of JSON are read"));
    }
    // A list would be taken for the fields in their order.
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Err("an object of JSON is expected".to_owned());
    }
    serde_json::from_slice(bytes).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_may_begin_without_a_word() {
        assert_eq!(Start::parse(b""), Ok(Start::default()));
        let named = Start { rate: 48_000, name: "phone".into(), ..Start::default() };
        assert_eq!(Start::parse(br#"{"rate": 48000, "name": "ph\none"}"#), Ok(named));
    }

    #[test]
    fn what_is_not_understood_is_told_in_a_sentence() {
        assert!(Start::parse(br#"{"format": "opus"}"#).unwrap_err().contains("send 16-bit PCM"));
        assert!(Start::parse(br#"{"rat": 1}"#).unwrap_err().contains("unknown field"));
        assert!(Start::parse(&[b' '; 2000]).is_ok());
        assert!(Start::parse(format!("{{\"name\":\"{}\"}}", "x".repeat(41)).as_bytes()).is_err());
        assert!(End::parse(b"{}").is_err() && Start::parse(b"[]").is_err());
    }

    #[test]
    fn a_key_is_pressed_by_a_word() {
        assert_eq!(Command::parse(r#"{"kind":"start"}"#), Ok(Command::Start));
        let played = Command::Played { turn: 7, clause: 1 };
        assert_eq!(Command::parse(r#"{"kind":"played","turn":7,"clause":1}"#), Ok(played));
        assert!(Command::parse(r#"{"kind":"played","turn":-1,"clause":1}"#).is_err());
        assert!(Command::parse(r#"{"kind":"reboot"}"#).is_err());
        assert!(Command::parse("start").is_err());
    }
}
