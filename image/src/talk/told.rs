//! Reads the events of an answer as they come; pure.

use serde_json::Value;

/// Longest event that is waited for.
const EVENT_BYTES_MAX: usize = 64 * 1024;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// More of the answer.
    Words(String),
    /// Who answers, and why.
    By(String),
    Done,
    Failed(String),
}

/// What came and is no whole event yet.
#[derive(Debug, Default)]
pub struct Reader(Vec<u8>);

impl Reader {
    /// Takes a piece; gives what it completes. Nothing where the node sends an event without end.
    pub fn take(&mut self, piece: &[u8]) -> Option<Vec<Told>> {
        self.0.extend_from_slice(piece);
        let mut told = vec![];
        while let Some(end) = self.0.windows(2).position(|two| two == b"\n\n") {
            let rest = self.0.split_off(end + 2);
            let event = std::mem::replace(&mut self.0, rest);
            told.extend(read(&String::from_utf8_lossy(&event)));
        }
        (self.0.len() <= EVENT_BYTES_MAX).then_some(told)
    }
}

/// Comments and kinds of a newer node are passed over.
fn read(event: &str) -> Option<Told> {
    let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let data: Value = serde_json::from_str(field("data")?).ok()?;
    let text = |name: &str| plain(data[name].as_str().unwrap_or_default());
    match field("event")? {
        "words" => Some(Told::Words(text("words"))),
        "by" => Some(Told::By(text("by"))),
        "done" => Some(Told::Done),
        "failed" => Some(Told::Failed(text("why"))),
        _ => None,
    }
}

/// What a model writes must not command the owner's terminal.
pub fn plain(text: &str) -> String {
    text.chars()
        .map(|letter| if letter.is_control() && letter != '\n' && letter != '\t' { '?' } else { letter })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_whole_however_they_are_cut() {
        let text = "retry: 1000\n\nid: 1\nevent: by\ndata: {\"by\":\"general\"}\n\n: here\n\nid: 2\nevent: words\n\
                    data: {\"words\":\"f\u{fc}r \\u001b[2Jdich\"}\n\nid: 3\nevent: done\ndata: {}\n\n";
        let want = [Told::By("general".into()), Told::Words("f\u{fc}r ?[2Jdich".into()), Told::Done];
        for n in [1, 2, 7, 1000] {
            let mut reader = Reader::default();
            let told: Vec<Told> =
                text.as_bytes().chunks(n).flat_map(|piece| reader.take(piece).unwrap()).collect();
            assert_eq!(told, want, "in pieces of {n}");
        }
    }

    #[test]
    fn an_event_without_end_is_given_up() {
        assert!(Reader::default().take(&[b'a'; EVENT_BYTES_MAX + 1]).is_none());
    }
}
