//! A request to one model, while its answer comes: what was written, and how much may be.

use super::{Event, Id, Value, Wish};
use crate::workflow::Form;
use crate::{SLOT_BYTES_MAX, cut};

pub struct Asked {
    id: Id,
    /// Its answer is handed on as it comes.
    is_aloud: bool,
    text: String,
    n_tokens: u32,
    /// What it may write.
    tokens: u32,
    state: State,
}

#[derive(PartialEq, Eq)]
enum State {
    Open,
    Done,
    Failed(String),
}

impl Asked {
    pub fn new(id: Id, tokens: u32, is_aloud: bool) -> Asked {
        Asked { id, is_aloud, text: String::new(), n_tokens: 0, tokens, state: State::Open }
    }

    pub fn open(&self) -> Option<Id> {
        (self.state == State::Open).then_some(self.id)
    }

    pub fn has_spoken(&self) -> bool {
        self.is_aloud && !self.text.is_empty()
    }

    /// Takes what it was told; pushes what is to be said or stopped. Gives the tokens that were used by it.
    pub fn told(&mut self, event: Event, wishes: &mut std::collections::VecDeque<Wish>) -> u32 {
        if self.open().is_none() || event.id() != Some(self.id) {
            return 0;
        }
        let before = self.n_tokens;
        match event {
            Event::Token { text, .. } => {
                self.n_tokens += 1;
                let room = SLOT_BYTES_MAX - self.text.len();
                let taken = cut(&text, room);
                self.text.push_str(taken);
                if self.is_aloud && !taken.is_empty() {
                    wishes.push_back(Wish::Say { text: taken.to_owned() });
                }
                // The model was told its limit; whoever passes over it is stopped, with what he wrote.
                if self.n_tokens >= self.tokens || taken.len() < text.len() {
                    self.state = State::Done;
                    wishes.push_back(Wish::Stop { id: self.id });
                }
            }
            Event::Asked { tokens, .. } => {
                self.n_tokens = tokens.unwrap_or(0).clamp(self.n_tokens, self.tokens);
                self.state = match self.text.trim().is_empty() {
                    true => State::Failed("the model said nothing".into()),
                    false => State::Done,
                };
            }
            Event::Failed { why, .. } => self.state = State::Failed(why),
            _ => {}
        }
        self.n_tokens - before
    }

    /// What it came to, as the form wants it.
    pub fn answer(&self, form: &Form) -> Result<Value, String> {
        match &self.state {
            State::Open => return Err("no answer came in time".into()),
            State::Failed(why) => return Err(why.clone()),
            State::Done => {}
        }
        match form {
            Form::Free | Form::Call(_) => Ok(Value::Text(self.text.trim().to_owned())),
            Form::Choice(words) => {
                let bare = self.text.trim_matches(|letter: char| !letter.is_alphanumeric());
                let found = words.iter().find(|word| word.eq_ignore_ascii_case(bare));
                let said = cut(self.text.trim(), 60);
                let none = || format!("the model said {said:?} instead of one of: {}", words.join(", "));
                found.map(|word| Value::Text(word.clone())).ok_or_else(none)
            }
            Form::Lines(most) => {
                let lines = self.text.lines().map(bare).filter(|line| !line.is_empty());
                let lines: Vec<String> = lines.take(*most).map(str::to_owned).collect();
                if lines.is_empty() { Err("the model wrote no line".into()) } else { Ok(Value::List(lines)) }
            }
        }
    }
}

/// A line without the mark or number of a list.
fn bare(line: &str) -> &str {
    let line = line.trim().trim_start_matches(['-', '*', '•']).trim_start();
    let after = line.trim_start_matches(|letter: char| letter.is_ascii_digit());
    let number = after.len() < line.len() && after.starts_with(['.', ')']);
    if number { after[1..].trim_start() } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(form: Form, text: &str, want: Result<Value, &str>) {
        let (id, mut wishes) = (Id(1), Default::default());
        let mut asked = Asked::new(id, 9, false);
        asked.told(Event::Token { id, text: text.into() }, &mut wishes);
        asked.told(Event::Asked { id, tokens: None }, &mut wishes);
        match (asked.answer(&form), want) {
            (Err(got), Err(want)) => assert!(got.contains(want), "{got}"),
            (got, want) => assert_eq!(got, want.map_err(str::to_owned)),
        }
    }

    #[test]
    fn an_answer_is_read_as_its_form_wants_it() {
        let words = || Form::Choice(vec!["yes".into(), "no".into()]);
        check(words(), " \"Yes\".", Ok(Value::Text("yes".into())));
        check(words(), "yes and no", Err("instead of one of: yes, no"));
        check(words(), " ", Err("said nothing"));
        let lines = vec!["how old".into(), "3 cats".into()];
        check(Form::Lines(2), "1. how old\n\n- 3 cats\n* more", Ok(Value::List(lines)));
        check(Form::Lines(2), "-\n-", Err("no line"));
        check(Form::Free, " a b\n", Ok(Value::Text("a b".into())));
    }

    #[test]
    fn who_writes_on_is_stopped_with_what_was_written() {
        let (id, mut wishes) = (Id(1), std::collections::VecDeque::new());
        let mut asked = Asked::new(id, 2, true);
        for word in ["a", "b", "c"] {
            asked.told(Event::Token { id, text: word.into() }, &mut wishes);
        }
        assert_eq!(asked.answer(&Form::Free), Ok(Value::Text("ab".into())));
        assert_eq!(wishes.pop_back(), Some(Wish::Stop { id }));
    }
}
