//! What nodes say to each other about hearing: `POST /api/hear` with bare sound, JSON back; pure.
//!
//! The sound is 16-bit PCM, little-endian, one channel at 16 kHz; its language stands in a field of the head.
//! It names nothing of this program, so that the fuzz targets can include it as a file.

use serde::{Deserialize, Serialize};
use std::fmt;

pub const PATH: &str = "/api/hear";
pub const LANGUAGE: &str = "x-duet-language";
/// The longest recording that is heard in one go: what whisper's window holds.
pub const SAMPLES_MAX: usize = 30 * 16_000;
/// The longest body.
pub const BYTES_MAX: usize = 2 * SAMPLES_MAX;
/// The longest answer, its head included.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// The longest name of a language.
pub const LANGUAGE_BYTES_MAX: usize = 16;
/// The longest text of a recording.
const TEXT_BYTES_MAX: usize = 16 * 1024;
/// No work takes so long that anybody would still wait for it.
const SECONDS_MAX: f64 = 3600.0;

/// What a neighbour heard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Told {
    pub text: String,
    pub waited_s: f64,
    pub worked_s: f64,
    pub cpu_s: f64,
    pub audio_ctx: usize,
    pub was_doubted: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LetterError {
    Empty,
    Odd,
    Long,
    Language,
    /// The answer is no complete HTTP, or no words.
    Garbled,
    Status(u16),
}

impl fmt::Display for LetterError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            LetterError::Empty => f.write_str("there is no sound"),
            LetterError::Odd => f.write_str("a sample of 16 bits has two bytes"),
            LetterError::Long => write!(f, "the sound is longer than {SAMPLES_MAX} samples"),
            LetterError::Language => f.write_str("the language is no name such as en"),
            LetterError::Garbled => f.write_str("the answer is not what a node says"),
            LetterError::Status(status) => write!(f, "the answer is {status}"),
        }
    }
}

impl std::error::Error for LetterError {}

/// The sound of a body.
pub fn sound(body: &[u8]) -> Result<Vec<i16>, LetterError> {
    if body.is_empty() {
        return Err(LetterError::Empty);
    }
    if body.len() > BYTES_MAX {
        return Err(LetterError::Long);
    }
    let (samples, rest) = body.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(LetterError::Odd);
    }
    Ok(samples.iter().map(|two| i16::from_le_bytes(*two)).collect())
}

pub fn body(pcm: &[i16]) -> Vec<u8> {
    pcm.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

/// A language as the head may name it.
pub fn language(text: &str) -> Result<&str, LetterError> {
    let is_name = (1..=LANGUAGE_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if is_name { Ok(text) } else { Err(LetterError::Language) }
}

/// The head of a question.
pub fn head(host: &str, language: &str, n_bytes: usize) -> String {
    format!(
        "POST {PATH} HTTP/1.0\r\nHost: {host}\r\nContent-Type: application/octet-stream\r\n{LANGUAGE}: {language}\r\n\
         Content-Length: {n_bytes}\r\nConnection: close\r\n\r\n"
    )
}

/// Reads a whole answer.
pub fn answer(bytes: &[u8]) -> Result<Told, LetterError> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").ok_or(LetterError::Garbled)?;
    let head = str::from_utf8(&bytes[..end]).map_err(|_| LetterError::Garbled)?;
    let status = head.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)).and_then(|n| n.parse().ok());
    match status.ok_or(LetterError::Garbled)? {
        200 => {}
        status => return Err(LetterError::Status(status)),
    }
    let told: Told = serde_json::from_slice(&bytes[end + 4..]).map_err(|_| LetterError::Garbled)?;
    let times = [told.waited_s, told.worked_s, told.cpu_s];
    let is_good = told.text.len() <= TEXT_BYTES_MAX
        && !told.text.contains(|c: char| c.is_control() && c != '\n')
        && times.iter().all(|seconds| (0.0..=SECONDS_MAX).contains(seconds));
    if is_good { Ok(told) } else { Err(LetterError::Garbled) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Told {
        let text = text.into();
        Told { text, waited_s: 0.0, worked_s: 0.5, cpu_s: 0.75, audio_ctx: 192, was_doubted: false }
    }

    fn check(status: &str, body: &str, want: Result<Told, LetterError>) {
        let bytes = format!("HTTP/1.0 {status}\r\ncontent-type: application/json\r\n\r\n{body}");
        assert_eq!(answer(bytes.as_bytes()), want);
    }

    #[test]
    fn an_answer_comes_back_as_it_was_told() {
        let body = serde_json::to_string(&told("turn it off")).unwrap();
        check("200 OK", &body, Ok(told("turn it off")));
    }

    #[test]
    fn a_refusal_and_garbage_are_errors() {
        check("503 Service Unavailable", "busy\n", Err(LetterError::Status(503)));
        check("200 OK", "{}", Err(LetterError::Garbled));
        check("abc", "", Err(LetterError::Garbled));
        assert_eq!(answer(b"SSH-2.0"), Err(LetterError::Garbled));
        let long = serde_json::to_string(&told(&"x".repeat(TEXT_BYTES_MAX + 1))).unwrap();
        check("200 OK", &long, Err(LetterError::Garbled));
        let bell = serde_json::to_string(&told("\u{7}")).unwrap();
        check("200 OK", &bell, Err(LetterError::Garbled));
        let never = serde_json::to_string(&Told { worked_s: -1.0, ..told("") }).unwrap();
        check("200 OK", &never, Err(LetterError::Garbled));
    }

    #[test]
    fn sound_comes_back_and_half_a_sample_does_not() {
        let pcm = [0, -1, i16::MIN, i16::MAX];
        assert_eq!(sound(&body(&pcm)), Ok(pcm.to_vec()));
        assert_eq!(sound(&[1, 2, 3]), Err(LetterError::Odd));
        assert_eq!(sound(&[]), Err(LetterError::Empty));
        assert_eq!(sound(&vec![0; BYTES_MAX + 2]), Err(LetterError::Long));
    }

    #[test]
    fn a_language_cannot_forge_a_head() {
        assert_eq!(language("en"), Ok("en"));
        assert_eq!(language("pt-BR"), Ok("pt-BR"));
        for bad in ["", "e\r\nn", "a very long language indeed", "e n"] {
            assert_eq!(language(bad), Err(LetterError::Language), "{bad:?}");
        }
    }
}
