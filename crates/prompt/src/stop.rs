//! Stop strings and characters that come in pieces.
//!
//! A token is a few bytes: it may end in the middle of a character, and a stop string may begin in one token and end three later.
//! This machine is fed bytes and gives the text that is safe to show: whole characters that cannot be the beginning of a stop string.
//! How the bytes are cut never changes what is shown; the tests hold it to that.

/// Stop strings at a time; the OpenAI API allows four.
pub const STOPS_MAX: usize = 16;
/// Length of one stop string.
pub const STOP_BYTES_MAX: usize = 256;

/// Why a list of stop strings is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StopError {
    TooMany { n_stops: usize },
    Empty { stop_idx: usize },
    TooLong { stop_idx: usize, bytes: usize },
}

impl std::fmt::Display for StopError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StopError::TooMany { n_stops } => {
                write!(f, "{n_stops} stop strings, but at most {STOPS_MAX} are allowed")
            }
            StopError::Empty { stop_idx } => write!(f, "stop[{stop_idx}] is empty and would stop everything"),
            StopError::TooLong { stop_idx, bytes } => {
                write!(f, "stop[{stop_idx}] has {bytes} bytes, but at most {STOP_BYTES_MAX} are allowed")
            }
        }
    }
}

impl std::error::Error for StopError {}

/// What one push made showable.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shown {
    /// Text that no later byte can turn into a stop string.
    pub text: String,
    /// The stop string that ended the text, by its place in the list; from then on nothing more is shown.
    pub stopped: Option<usize>,
}

/// Holds back what may still become a character or a stop string. Never more than `STOP_BYTES_MAX` bytes.
#[derive(Debug, Clone)]
pub struct StopMachine {
    stops: Vec<String>,
    /// Bytes of a character that is not whole yet: at most three.
    partial: Vec<u8>,
    /// Whole characters that may be the beginning of a stop string.
    held: String,
    stopped: Option<usize>,
}

impl StopMachine {
    pub fn new<S: AsRef<str>>(stops: &[S]) -> Result<StopMachine, StopError> {
        if stops.len() > STOPS_MAX {
            return Err(StopError::TooMany { n_stops: stops.len() });
        }
        for (stop_idx, stop) in stops.iter().enumerate() {
            match stop.as_ref().len() {
                0 => return Err(StopError::Empty { stop_idx }),
                bytes if bytes > STOP_BYTES_MAX => return Err(StopError::TooLong { stop_idx, bytes }),
                _ => {}
            }
        }
        let stops = stops.iter().map(|stop| stop.as_ref().to_string()).collect();
        Ok(StopMachine { stops, partial: Vec::new(), held: String::new(), stopped: None })
    }

    /// Takes the bytes of a token. Bytes that are no UTF-8 become U+FFFD, as everywhere.
    pub fn push(&mut self, bytes: &[u8]) -> Shown {
        let mut text = String::new();
        if self.stopped.is_none() {
            let mut pending = std::mem::take(&mut self.partial);
            pending.extend_from_slice(bytes);
            self.take(&pending, &mut text);
        }
        Shown { text, stopped: self.stopped }
    }

    /// The model has ended: what was held back is shown after all, half a character as U+FFFD.
    pub fn finish(mut self) -> Shown {
        let mut text = String::new();
        if self.stopped.is_none() && !self.partial.is_empty() {
            self.partial.clear();
            self.step(char::REPLACEMENT_CHARACTER, &mut text);
        }
        if self.stopped.is_none() {
            text.push_str(&self.held);
        }
        Shown { text, stopped: self.stopped }
    }

    fn take(&mut self, mut bytes: &[u8], text: &mut String) {
        while !bytes.is_empty() && self.stopped.is_none() {
            let (whole, bad, rest) = match std::str::from_utf8(bytes) {
                Ok(whole) => (whole, false, &[][..]),
                Err(error) => {
                    let (whole, rest) = bytes.split_at(error.valid_up_to());
                    let whole = std::str::from_utf8(whole).expect("it is valid up to there");
                    match error.error_len() {
                        Some(len) => (whole, true, &rest[len..]),
                        None => {
                            self.partial = rest.to_vec();
                            (whole, false, &[][..])
                        }
                    }
                }
            };
            for c in whole.chars().chain(bad.then_some(char::REPLACEMENT_CHARACTER)) {
                self.step(c, text);
                if self.stopped.is_some() {
                    return;
                }
            }
            bytes = rest;
        }
    }

    /// One whole character. The first stop string to be complete wins, and the longest of those that are complete at once.
    fn step(&mut self, c: char, text: &mut String) {
        self.held.push(c);
        let complete = self.stops.iter().enumerate().filter(|(_, stop)| self.held.ends_with(stop.as_str()));
        if let Some((stop_idx, stop)) = complete.max_by_key(|(idx, stop)| (stop.len(), usize::MAX - idx)) {
            text.push_str(&self.held[..self.held.len() - stop.len()]);
            self.held.clear();
            self.partial.clear();
            self.stopped = Some(stop_idx);
            return;
        }
        let safe = self.held.len() - self.beginning();
        text.push_str(&self.held[..safe]);
        self.held.drain(..safe);
    }

    /// Bytes at the end of `held` that are the beginning of a stop string.
    fn beginning(&self) -> usize {
        let begins = |at: &usize| self.stops.iter().any(|stop| stop.starts_with(&self.held[*at..]));
        self.held.char_indices().map(|(at, _)| at).find(begins).map_or(0, |at| self.held.len() - at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds pieces and tells everything that was shown, a bar between pushes, and what stopped it.
    fn told(stops: &[&str], pieces: &[&[u8]]) -> String {
        let mut machine = StopMachine::new(stops).unwrap();
        let mut told = String::new();
        for piece in pieces {
            told.push_str(&machine.push(piece).text);
            told.push('|');
        }
        let last = machine.finish();
        told + &last.text + &last.stopped.map(|idx| format!(" stop {idx}")).unwrap_or_default()
    }

    #[track_caller]
    fn check(stops: &[&str], pieces: &[&str], want: &str) {
        let pieces: Vec<&[u8]> = pieces.iter().map(|piece| piece.as_bytes()).collect();
        assert_eq!(told(stops, &pieces), want);
    }

    #[test]
    fn without_stops_every_whole_character_is_shown_at_once() {
        check(&[], &["Hel", "lo"], "Hel|lo|");
    }

    #[test]
    fn a_character_cut_in_two_is_shown_when_it_is_whole() {
        assert_eq!(told(&[], &[b"caf\xc3", b"\xa9!"]), "caf|\u{e9}!|");
        assert_eq!(told(&[], &[b"\xf0\x9f", b"\x98", b"\x80"]), "||\u{1f600}|");
    }

    #[test]
    fn half_a_character_at_the_end_becomes_a_replacement() {
        assert_eq!(told(&[], &[b"a\xe2\x82"]), "a|\u{fffd}");
    }

    #[test]
    fn bytes_that_are_no_text_become_replacements() {
        assert_eq!(told(&[], &[b"a\xffb\xc3", b"(c"]), "a\u{fffd}b|\u{fffd}(c|");
    }

    #[test]
    fn a_stop_string_across_tokens_is_never_shown() {
        check(&["<|im_end|>"], &["Yes.<|", "im_", "end|>", "more"], "Yes.|||| stop 0");
    }

    #[test]
    fn what_only_began_like_a_stop_string_is_shown_late() {
        check(&["<|im_end|>"], &["a <|im", "possible"], "a |<|impossible|");
        check(&["aab"], &["aa", "a", "ab", "x"], "|a|a|| stop 0");
    }

    #[test]
    fn the_stop_that_is_complete_first_wins() {
        check(&["abcd", "bc"], &["xabcd"], "xa| stop 1");
        check(&["c", "bc", "abc"], &["xabc"], "x| stop 2");
    }

    #[test]
    fn what_was_held_back_is_shown_at_the_end() {
        check(&["\n\nUser:"], &["fine\n\nUse"], "fine|\n\nUse");
    }

    #[test]
    fn a_replacement_at_the_end_can_complete_a_stop() {
        assert_eq!(told(&["a\u{fffd}"], &[b"xa\xe2\x82"]), "x| stop 0");
    }

    #[test]
    fn stop_lists_have_limits() {
        let error = |stops: &[String]| StopMachine::new(stops).map(|_| ()).unwrap_err().to_string();
        assert_eq!(error(&vec!["x".into(); 17]), "17 stop strings, but at most 16 are allowed");
        assert_eq!(error(&["ok".into(), String::new()]), "stop[1] is empty and would stop everything");
        assert_eq!(error(&["y".repeat(257)]), "stop[0] has 257 bytes, but at most 256 are allowed");
    }

    #[test]
    fn how_the_bytes_are_cut_changes_nothing() {
        let mut seed = 0x00d0_e701_u64;
        let mut dice = move |below: usize| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            (seed >> 33) as usize % below
        };
        let letters = ["a", "b", "\u{e9}", "\u{20ac}", "\u{1f600}"];
        for round in 0..2000 {
            let mut word = |len: usize| (0..len).map(|_| letters[dice(5)]).collect::<String>();
            let (text, stops) = (word(24), [word(2), word(3), word(4)]);
            let mut bytes = text.into_bytes();
            if dice(4) == 0 {
                let at = dice(bytes.len());
                bytes[at] ^= 0x80;
            }
            let whole = play(&stops, [&bytes[..]]);
            let single = play(&stops, bytes.chunks(1));
            let cut = dice(bytes.len());
            let halves = play(&stops, [&bytes[..cut], &bytes[cut..]]);
            assert_eq!((&whole, &whole), (&single, &halves), "round {round} of seed 0x00d0e701");
        }
    }

    fn play<'a>(stops: &[String], pieces: impl IntoIterator<Item = &'a [u8]>) -> (String, Option<usize>) {
        let mut machine = StopMachine::new(stops).unwrap();
        let mut text: String = pieces.into_iter().map(|piece| machine.push(piece).text).collect();
        let last = machine.finish();
        text.push_str(&last.text);
        (text, last.stopped)
    }
}
