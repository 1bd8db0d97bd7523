//! Finds the calls of tools in what a model writes, as it writes it.
//!
//! The text came under a grammar, so a call has one form only; what is cut off in the middle is told as far as it came.

use prompt::{CallFormat, Json};

/// What became known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    Text(String),
    /// A call begins.
    Call {
        name: String,
    },
    /// More of its arguments, JSON as text.
    Arguments(String),
}

enum State {
    /// Free text; the end of it may be the beginning of a mark.
    Text {
        held: String,
    },
    /// Between the mark and the arguments.
    Head {
        held: String,
    },
    Arguments {
        depth: u32,
        in_text: bool,
        escaped: bool,
    },
    /// After a call: nothing but the mark of the next one means anything.
    Behind {
        held: String,
    },
}

pub struct Calls {
    mark: &'static str,
    name_key: String,
    arguments_key: String,
    state: State,
    n_calls: usize,
}

impl Calls {
    pub fn new(format: &CallFormat<'static>) -> Calls {
        let key = |key: &str| format!("\"{key}\":");
        Calls {
            // Blanks behind the mark belong to the call.
            mark: format.before.trim_end(),
            name_key: key(format.name_key),
            arguments_key: key(format.arguments_key),
            state: State::Text { held: String::new() },
            n_calls: 0,
        }
    }

    pub fn n_calls(&self) -> usize {
        self.n_calls
    }

    pub fn push(&mut self, text: &str) -> Vec<Heard> {
        let mut heard = Vec::new();
        for c in text.chars() {
            self.step(c, &mut heard);
        }
        heard
    }

    /// The text is over: what was held back is text after all.
    pub fn finish(&mut self) -> Vec<Heard> {
        match &mut self.state {
            State::Text { held } if !held.is_empty() => vec![Heard::Text(std::mem::take(held))],
            _ => Vec::new(),
        }
    }

    fn step(&mut self, c: char, heard: &mut Vec<Heard>) {
        match &mut self.state {
            State::Text { held } => {
                held.push(c);
                let is_call = if self.mark.is_empty() { held == "{" } else { held.ends_with(self.mark) };
                let n_safe = match is_call {
                    true => held.len() - self.mark.len().max(usize::from(self.mark.is_empty())),
                    false => safe(held, self.mark),
                };
                if n_safe > 0 {
                    add_text(heard, held.drain(..n_safe).collect());
                }
                if is_call {
                    self.state = State::Head { held: String::new() };
                } else if self.mark.is_empty() {
                    // Without a mark the first character decides.
                    self.mark = NEVER;
                }
            }
            State::Head { held } => {
                held.push(c);
                if let Some(end) = held.find(&self.arguments_key)
                    && c == '{'
                    && end + self.arguments_key.len() < held.len()
                {
                    heard.push(Heard::Call { name: name(&held[..end], &self.name_key) });
                    heard.push(Heard::Arguments("{".to_owned()));
                    self.n_calls += 1;
                    self.state = State::Arguments { depth: 1, in_text: false, escaped: false };
                }
            }
            State::Arguments { depth, in_text, escaped } => {
                match c {
                    _ if *escaped => *escaped = false,
                    '\\' if *in_text => *escaped = true,
                    '"' => *in_text = !*in_text,
                    '{' | '[' if !*in_text => *depth += 1,
                    '}' | ']' if !*in_text => *depth -= 1,
                    _ => {}
                }
                let is_over = *depth == 0;
                match heard.last_mut() {
                    Some(Heard::Arguments(more)) => more.push(c),
                    _ => heard.push(Heard::Arguments(c.to_string())),
                }
                if is_over {
                    self.state = State::Behind { held: String::new() };
                }
            }
            State::Behind { held } => {
                held.push(c);
                if !self.mark.is_empty() && held.ends_with(self.mark) {
                    self.state = State::Head { held: String::new() };
                }
            }
        }
    }
}

/// No model writes this.
const NEVER: &str = "\u{0}";

/// Bytes that cannot be the beginning of the mark.
fn safe(held: &str, mark: &str) -> usize {
    let begins = |at: &usize| mark.starts_with(&held[*at..]);
    held.char_indices().map(|(at, _)| at).find(begins).unwrap_or(held.len())
}

fn add_text(heard: &mut Vec<Heard>, text: String) {
    match heard.last_mut() {
        Some(Heard::Text(more)) => more.push_str(&text),
        _ => heard.push(Heard::Text(text)),
    }
}

/// The name in `{"name": "f", `.
fn name(head: &str, key: &str) -> String {
    let after = head.find(key).map_or("", |at| &head[at + key.len()..]);
    let text = after.trim().trim_end_matches(',').trim();
    Json::parse(text).ok().and_then(|json| json.text().map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is heard of a text, whole and in pieces of one character.
    #[track_caller]
    fn check(format: &CallFormat<'static>, text: &str, want: &str) {
        for size in [text.len().max(1), 1] {
            let mut calls = Calls::new(format);
            let chars: Vec<char> = text.chars().collect();
            let mut told = String::new();
            let mut tell = |heard: Vec<Heard>| {
                for one in heard {
                    match one {
                        Heard::Text(text) => told.push_str(&text),
                        Heard::Call { name } => told.push_str(&format!("[{name}]")),
                        Heard::Arguments(more) => told.push_str(&more),
                    }
                }
            };
            for piece in chars.chunks(size) {
                tell(calls.push(&piece.iter().collect::<String>()));
            }
            tell(calls.finish());
            assert_eq!(told, want, "in pieces of {size}");
        }
    }

    #[test]
    fn a_call_follows_text() {
        let text = "Let me see.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": \"}\\\"{\", \"b\": [1, {}]}}\n</tool_call>";
        check(&CallFormat::HERMES, text, "Let me see.\n[f]{\"a\": \"}\\\"{\", \"b\": [1, {}]}");
    }

    #[test]
    fn two_calls_are_told_apart() {
        let one =
            |name: &str| format!("<tool_call>\n{{\"name\":\"{name}\",\"arguments\":{{}}}}\n</tool_call>");
        check(&CallFormat::HERMES, &format!("{}\n{}", one("f"), one("g")), "[f]{}[g]{}");
    }

    #[test]
    fn what_only_looks_like_a_mark_is_text() {
        check(&CallFormat::HERMES, "a <tool and <b> {\"name\"", "a <tool and <b> {\"name\"");
        check(&CallFormat::HERMES, "ends with <tool_c", "ends with <tool_c");
    }

    #[test]
    fn without_a_mark_the_first_character_decides() {
        check(&CallFormat::LLAMA_3, "{\"name\": \"f\", \"parameters\": {\"a\":1}}", "[f]{\"a\":1}");
        check(&CallFormat::LLAMA_3, "no {\"name\"", "no {\"name\"");
    }

    #[test]
    fn a_call_that_is_cut_off_is_told_as_far_as_it_came() {
        check(
            &CallFormat::HERMES,
            "<tool_call>\n{\"name\":\"f\",\"arguments\":{\"a\": \"x",
            "[f]{\"a\": \"x",
        );
        check(&CallFormat::HERMES, "<tool_call>\n{\"name\":\"f", "");
    }
}
