//! What a node tells its boot server about this boot: one small JSON object.
//!
//! Writing it takes no JSON library. The server reads it with its own, into this same type (`image/src/serve/report.rs`).

use std::fmt::Write;

use crate::{Mac, ReleaseId};

/// Where a node posts its reports.
pub const REPORT_PATH: &str = "/v1/boot/report";

/// Longest report a server reads. The longest we write is shorter: see `SENTENCE_BYTES_MAX`.
pub const REPORT_BYTES_MAX: usize = 4096;

/// Longest sentence; escaped byte for byte it grows six times and still fits into a report.
pub const SENTENCE_BYTES_MAX: usize = 512;

/// How far a boot has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Something went wrong; the sentence says what.
    Failed,
    /// init has verified and mounted the root.
    RootReady,
    /// systemd has reached multi-user.
    Booted,
    /// The agent answers and stands by this release.
    Healthy,
}

impl Stage {
    pub const ALL: [Stage; 4] = [Stage::Failed, Stage::RootReady, Stage::Booted, Stage::Healthy];

    pub const fn as_str(self) -> &'static str {
        match self {
            Stage::Failed => "failed",
            Stage::RootReady => "root-ready",
            Stage::Booted => "booted",
            Stage::Healthy => "healthy",
        }
    }

    pub fn parse(text: &str) -> Option<Stage> {
        Stage::ALL.into_iter().find(|stage| stage.as_str() == text)
    }
}

/// One report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub mac: Mac,
    pub attempt: u32,
    pub release: ReleaseId,
    pub stage: Stage,
    pub sentence: String,
    /// The time stamp counter, 0 if unknown.
    pub clock: u64,
}

impl Report {
    /// The JSON object; a sentence that is too long is cut.
    pub fn to_json(&self) -> String {
        let Report { mac, attempt, release, clock, .. } = self;
        let (stage, sentence) = (self.stage.as_str(), escape(&self.sentence));
        format!(
            "{{\"mac\":\"{mac}\",\"attempt\":{attempt},\"release\":\"{release}\",\"stage\":\"{stage}\",\
             \"sentence\":\"{sentence}\",\"clock\":{clock}}}"
        )
    }
}

/// A JSON string's inner text (RFC 8259, section 7), from at most `SENTENCE_BYTES_MAX` bytes.
fn escape(sentence: &str) -> String {
    let end = (0..=SENTENCE_BYTES_MAX.min(sentence.len())).rev().find(|&at| sentence.is_char_boundary(at));
    let mut text = String::new();
    for letter in sentence[..end.unwrap_or(0)].chars() {
        match letter {
            '"' | '\\' => text.extend(['\\', letter]),
            '\0'..='\x1f' | '\x7f' => {
                write!(text, "\\u{:04x}", u32::from(letter)).expect("a String takes every text")
            }
            _ => text.push(letter),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sentence: &str, want: &str) {
        let release = ReleaseId::parse("trixie-1").unwrap();
        let (mac, sentence) = (Mac([0, 1, 2, 3, 4, 5]), sentence.to_string());
        let json = Report { mac, attempt: 2, release, stage: Stage::Failed, sentence, clock: 9 }.to_json();
        assert!(json.len() <= REPORT_BYTES_MAX);
        let (head, tail) =
            ("{\"mac\":\"00:01:02:03:04:05\",\"attempt\":2,\"release\":\"trixie-1\"", "\"clock\":9}");
        assert_eq!(json, format!("{head},\"stage\":\"failed\",\"sentence\":\"{want}\",{tail}"));
    }

    #[test]
    fn a_plain_sentence_stays_as_it_is() {
        check("root.squashfs is cut", "root.squashfs is cut");
        check("é and 語", "é and 語");
    }

    #[test]
    fn quotes_and_control_letters_are_escaped() {
        check("a\"b\\c\nd\u{1b}[2Je\u{7f}", "a\\\"b\\\\c\\u000ad\\u001b[2Je\\u007f");
    }

    #[test]
    fn a_long_sentence_is_cut_between_letters() {
        check(&"a".repeat(600), &"a".repeat(512));
        check(&format!("a{}", "é".repeat(300)), &format!("a{}", "é".repeat(255)));
        check(&"\0".repeat(600), &"\\u0000".repeat(512));
    }

    #[test]
    fn every_stage_is_found_by_its_text() {
        for stage in Stage::ALL {
            assert_eq!(Stage::parse(stage.as_str()), Some(stage));
        }
        assert_eq!(Stage::parse("Healthy"), None);
    }
}
