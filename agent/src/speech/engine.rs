//! What makes sound of text: espeak on every node, and a place for a better voice on stronger ones.
//!
//! An engine is made, used and dropped by one thread, so it need not be `Send`. It plays nothing: it hands out samples.

use std::fmt;
use std::ops::ControlFlow;

/// A longer text is cut by whoever makes clauses.
pub const TEXT_BYTES_MAX: usize = 4096;
/// The longest name of a voice, such as `en-gb-x-rp+croak`.
const VOICE_NAME_BYTES_MAX: usize = 40;

/// How it speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Voice {
    /// A voice or a language, such as `en`, `de` or `en-us+f3`.
    pub name: String,
    /// Words a minute, 80 to 450.
    pub rate: u16,
    /// 0 to 99.
    pub pitch: u8,
}

impl Default for Voice {
    fn default() -> Voice {
        Voice { name: "en".to_owned(), rate: 165, pitch: 50 }
    }
}

/// Takes a piece of sound and says whether more is wanted.
pub type Sink<'a> = &'a mut dyn FnMut(&[i16]) -> ControlFlow<()>;

pub trait Engine {
    /// What a person calls it.
    fn name(&self) -> &'static str;

    /// Samples a second of what it makes, one channel.
    fn rate(&self) -> u32;

    /// Speaks like this from now on. With [`SpeechError::Voice`] all stays as it was.
    fn set(&mut self, voice: &Voice) -> Result<(), SpeechError>;

    /// The voices that it has, each named by its language.
    fn voices(&self) -> Vec<String>;

    /// Speaks into `sink` piece by piece, 40 ms or less each, and returns when all is said or `sink` breaks it off.
    fn say(&mut self, text: &str, sink: Sink<'_>) -> Result<(), SpeechError>;
}

#[derive(Debug, PartialEq, Eq)]
pub enum SpeechError {
    /// It cannot begin; the sentence says what is missing.
    Start(String),
    /// Another voice can be asked for.
    Voice { name: String },
    /// Shorter clauses can be asked for.
    Text { bytes: usize },
    /// More sound came of a text than of any clause; what came so far was handed on.
    Endless,
    /// This text was not said; another may be.
    Speak { code: i32 },
}

impl fmt::Display for SpeechError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SpeechError::Start(why) => f.write_str(why),
            SpeechError::Voice { name } => {
                write!(f, "there is no voice {name:?}; the image holds the languages that it was built with")
            }
            SpeechError::Text { bytes } => {
                write!(f, "{bytes} bytes of text, at most {TEXT_BYTES_MAX} are spoken at once")
            }
            SpeechError::Endless => {
                let seconds_max = super::mouth::SOUND_SECONDS_MAX;
                write!(f, "one clause is spoken for {seconds_max} seconds at most")
            }
            SpeechError::Speak { code } => write!(f, "the speech engine failed with code {code}"),
        }
    }
}

impl std::error::Error for SpeechError {}

/// Whether a name may be handed to an engine. A voice is a file to espeak, and strangers may name one.
pub fn is_voice_name(name: &str) -> bool {
    (1..=VOICE_NAME_BYTES_MAX).contains(&name.len())
        && name.starts_with(|char: char| char.is_ascii_alphanumeric())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'+'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_no_name_of_a_voice() {
        for good in ["en", "en-us+f3", "en-gb-x-rp+croak", "zh_yue"] {
            assert!(is_voice_name(good), "{good}");
        }
        for bad in ["", "../en", "/etc/passwd", "!v/f3", "en us", "e\0n", "+f3", "é", &"a".repeat(41)] {
            assert!(!is_voice_name(bad), "{bad}");
        }
    }
}
