//! What a conversation looks like on a serial line: 80 columns of ASCII, words as they come.

use crate::text::plain;
use serde_json::Value;

pub const COLUMNS: usize = 80;

/// What stands on the line that the cursor is in.
#[derive(Debug, Default)]
pub struct Screen {
    mood: String,
    column: usize,
    /// An answer is being written.
    is_within: bool,
}

impl Screen {
    /// What `t` means now.
    pub fn tap(&self) -> &'static str {
        if matches!(self.mood.as_str(), "listening" | "waiting") { "stop" } else { "start" }
    }

    /// A text that begins on a line of its own and ends one.
    pub fn alone(&mut self, text: &str) -> String {
        let begin = self.new_line();
        begin + text
    }

    /// What the agent tells; what it means here.
    pub fn told(&mut self, told: &Value) -> String {
        let text = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
        match told["kind"].as_str().unwrap_or_default() {
            "view" => {
                self.mood = text("mood");
                String::new()
            }
            "mood" => {
                self.mood = text("mood");
                let mood = self.mood.clone();
                // What is spoken is written at the same time.
                if mood == "speaking" { String::new() } else { self.whole(&format!("[{mood}]")) }
            }
            "heard" => self.whole(&format!("You: {}", text("text"))),
            "words" => {
                let mut shown = String::new();
                if !self.is_within {
                    shown += &self.new_line();
                    shown += &self.words("duet: ");
                    self.is_within = true;
                }
                shown + &self.words(&text("words"))
            }
            "trouble" => self.whole(&format!("! {}", text("sentence"))),
            "done" => match text("outcome").as_str() {
                "answered" | "interrupted" => self.new_line(),
                outcome => self.whole(&format!("({outcome})")),
            },
            _ => String::new(),
        }
    }

    fn whole(&mut self, text: &str) -> String {
        let begin = self.new_line();
        begin + &self.words(text) + &self.new_line()
    }

    fn new_line(&mut self) -> String {
        self.is_within = false;
        if std::mem::take(&mut self.column) == 0 { String::new() } else { "\n".into() }
    }

    /// Words behind those that stand there, with a new line where they would not fit.
    fn words(&mut self, text: &str) -> String {
        let mut shown = String::new();
        for word in text.split_inclusive([' ', '\n', '\t']) {
            let word: String = word.chars().map(plain).collect();
            let (bare, is_end) = (word.trim_end(), word.ends_with('\n'));
            if self.column > 0 && self.column + bare.len() >= COLUMNS {
                shown.push('\n');
                self.column = 0;
            }
            for letter in bare.chars().chain(word[bare.len()..].chars().filter(|char| *char == ' ')) {
                if self.column + 1 >= COLUMNS {
                    shown.push('\n');
                    self.column = 0;
                }
                shown.push(letter);
                self.column += 1;
            }
            if is_end && self.column > 0 {
                shown.push('\n');
                self.column = 0;
            }
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(told: &[Value]) -> String {
        let mut screen = Screen::default();
        told.iter().map(|told| screen.told(told)).collect()
    }

    fn words(text: &str) -> Value {
        json!({"kind": "words", "turn": 1, "words": text})
    }

    #[test]
    fn a_turn_is_read_from_above_to_below() {
        let told = [
            json!({"kind": "mood", "mood": "listening"}),
            json!({"kind": "mood", "mood": "thinking"}),
            json!({"kind": "heard", "turn": 1, "text": "what time is it"}),
            words("It is "),
            json!({"kind": "mood", "mood": "speaking"}),
            words("noon."),
            json!({"kind": "done", "turn": 1, "outcome": "answered"}),
            json!({"kind": "mood", "mood": "idle"}),
        ];
        assert_eq!(
            shown(&told),
            "[listening]\n[thinking]\nYou: what time is it\nduet: It is noon.\n[idle]\n"
        );
    }

    #[test]
    fn a_turn_without_an_answer_says_why() {
        assert_eq!(
            shown(&[json!({"kind": "done", "turn": 1, "outcome": "microphone-lost"})]),
            "(microphone-lost)\n"
        );
    }

    #[test]
    fn no_line_is_longer_than_the_screen() {
        for text in ["word ".repeat(100), "x".repeat(500), format!("{} y", "z".repeat(79))] {
            let pieces: Vec<Value> =
                text.as_bytes().chunks(7).map(|piece| words(std::str::from_utf8(piece).unwrap())).collect();
            assert!(shown(&pieces).lines().all(|line| line.len() < COLUMNS), "{text}");
        }
    }

    #[test]
    fn no_letter_moves_the_cursor() {
        let text = shown(&[words("a\u{1b}[2J\u{7}\rä\t„b“\u{2026}")]);
        assert_eq!(text, "duet: a?[2J? ? \"b\"?");
    }

    #[test]
    fn what_is_no_news_shows_nothing() {
        assert_eq!(Screen::default().told(&Value::Null), "");
        assert_eq!(Screen::default().told(&json!({"kind": 7})), "");
    }
}
