//! What a model writes, cut into what can be spoken while it still writes.
//!
//! The first clause is cut as early as it makes sense, because silence is what the person hears until then; later ones
//! are whole sentences, because a voice needs them for its melody. Code is counted, not spoken.
//! How a clause is said (numbers, units, links) is not known here.

/// The first clause may end at a comma once it has so many words.
const FIRST_WORDS_LEAST: usize = 3;
/// A longer clause is cut at a space: somebody waits for it.
pub const CLAUSE_BYTES_MAX: usize = 240;
/// A word of which a full stop is a part, in lower case and without it.
const SHORTENED: [&str; 24] = [
    "mr", "mrs", "ms", "dr", "prof", "st", "no", "nr", "vs", "etc", "approx", "e.g", "i.e", "z.b", "d.h",
    "bzw", "ca", "usw", "fig", "vol", "jr", "sr", "inc", "ltd",
];
const FENCE: &str = "```";

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Clause {
    Text(String),
    /// A block of code with so many lines.
    Code {
        n_lines: usize,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Text,
    Code { n_lines: usize },
}

/// Takes pieces of any size, gives clauses.
#[derive(Debug)]
pub struct Cutter {
    /// What came and is not given yet.
    pending: String,
    /// Up to where `pending` is known to hold no end.
    looked: usize,
    place: Place,
    is_first: bool,
}

impl Default for Cutter {
    fn default() -> Cutter {
        Cutter { pending: String::new(), looked: 0, place: Place::Text, is_first: true }
    }
}

impl Cutter {
    pub fn push(&mut self, piece: &str) {
        self.pending.push_str(piece);
    }

    /// The next clause that is whole.
    pub fn poll(&mut self) -> Option<Clause> {
        loop {
            let found = match self.place {
                Place::Text => self.text()?,
                Place::Code { n_lines } => self.code(n_lines)?,
            };
            if found.is_some() {
                return found;
            }
        }
    }

    /// The writer is done: what is left is a clause as well. To be called until `None`.
    pub fn finish(&mut self) -> Option<Clause> {
        if !self.pending.ends_with('\n') && !self.pending.is_empty() {
            self.pending.push('\n');
        }
        let last = self.poll();
        if last.is_some() {
            return last;
        }
        let Place::Code { n_lines } = self.place else { return None };
        self.place = Place::Text;
        Some(Clause::Code { n_lines })
    }

    /// `None`: more must come. `Some(None)`: something was passed over.
    fn text(&mut self) -> Option<Option<Clause>> {
        if FENCE.starts_with(self.pending.as_str()) {
            return None;
        }
        if self.pending.starts_with(FENCE) {
            let end = self.pending.find('\n')?;
            self.take(end + 1);
            self.place = Place::Code { n_lines: 0 };
            return Some(None);
        }
        let end = self.end()?;
        let clause = self.take(end);
        let said = clause.trim();
        // Rules and lone marks are nothing to say.
        if !said.chars().any(char::is_alphanumeric) {
            return Some(None);
        }
        self.is_first = false;
        Some(Some(Clause::Text(said.to_owned())))
    }

    fn code(&mut self, n_lines: usize) -> Option<Option<Clause>> {
        let end = self.pending.find('\n')?;
        let line = self.take(end + 1);
        if line.trim_start().starts_with(FENCE) {
            self.place = Place::Text;
            return Some(Some(Clause::Code { n_lines }));
        }
        self.place = Place::Code { n_lines: n_lines + 1 };
        Some(None)
    }

    fn take(&mut self, end: usize) -> String {
        self.looked = 0;
        self.pending.drain(..end).collect()
    }

    /// Where the clause at the beginning ends.
    fn end(&mut self) -> Option<usize> {
        let text = self.pending.as_str();
        let mut chars =
            text[self.looked..].char_indices().map(|(at, char)| (self.looked + at, char)).peekable();
        while let Some((at, char)) = chars.next() {
            let behind = at + char.len_utf8();
            if char == '\n' {
                return Some(behind);
            }
            if behind > CLAUSE_BYTES_MAX {
                let line = &text[..at];
                let comma =
                    line.rfind(", ").map(|comma| comma + 1).filter(|comma| *comma > CLAUSE_BYTES_MAX / 2);
                return Some(comma.or_else(|| line.rfind(' ')).filter(|space| *space > 0).unwrap_or(at));
            }
            let Some((_, next)) = chars.peek() else {
                // What follows decides.
                self.looked = at;
                return None;
            };
            let is_end = match char {
                '。' | '！' | '？' => true,
                '!' | '?' | '…' => next.is_whitespace(),
                '.' => next.is_whitespace() && !is_part_of_word(&text[..at]),
                '"' | '”' | ')' => next.is_whitespace() && text[..at].ends_with(['.', '!', '?']),
                ',' | ';' | ':' | '—' | '–' => {
                    self.is_first
                        && next.is_whitespace()
                        && text[..at].split_whitespace().count() >= FIRST_WORDS_LEAST
                }
                _ => false,
            };
            if is_end {
                return Some(behind);
            }
        }
        self.looked = 0;
        None
    }
}

/// Whether the full stop that follows belongs to the last word.
fn is_part_of_word(before: &str) -> bool {
    let line = before.rsplit('\n').next().unwrap_or(before);
    let word = line.rsplit(char::is_whitespace).next().unwrap_or(line);
    let bare = word.trim_start_matches(['(', '"', '“', '*', '_']).to_lowercase();
    let is_list_mark =
        line.trim() == word && !word.is_empty() && word.chars().all(|char| char.is_ascii_digit());
    let is_initial = bare.chars().count() == 1 && bare.chars().all(char::is_alphabetic) && bare != "i";
    is_list_mark || is_initial || SHORTENED.contains(&bare.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The clauses, with `|` between them, in pieces of every size.
    fn check(answer: &str, want: &str) {
        for size in [1, 2, 3, 7, answer.len().max(1)] {
            let mut cutter = Cutter::default();
            let mut told = vec![];
            let letters: Vec<char> = answer.chars().collect();
            for piece in letters.chunks(size) {
                cutter.push(&piece.iter().collect::<String>());
                while let Some(clause) = cutter.poll() {
                    told.push(clause);
                }
            }
            while let Some(clause) = cutter.finish() {
                told.push(clause);
            }
            let told: Vec<String> = told
                .into_iter()
                .map(|clause| match clause {
                    Clause::Text(text) => text,
                    Clause::Code { n_lines } => format!("<{n_lines} lines>"),
                })
                .collect();
            assert_eq!(told.join("|"), want, "pieces of {size}");
        }
    }

    #[test]
    fn sentences_are_clauses() {
        check("It rains. Take a coat! Will you? Yes", "It rains.|Take a coat!|Will you?|Yes");
    }

    #[test]
    fn the_first_clause_may_end_at_a_comma_and_later_ones_may_not() {
        check(
            "As far as I know, it rains, and it is cold. Well then, go.",
            "As far as I know,|it rains, and it is cold.|Well then, go.",
        );
        check("Well, it rains a lot: take a coat.", "Well, it rains a lot:|take a coat.");
    }

    #[test]
    fn a_full_stop_within_a_word_ends_nothing() {
        check(
            "Dr. Berg has 3.5 litres, e.g. of oil. J. S. Bach too.",
            "Dr. Berg has 3.5 litres,|e.g. of oil.|J. S. Bach too.",
        );
        check("Look at example.org/a.b for more. Done", "Look at example.org/a.b for more.|Done");
    }

    #[test]
    fn a_list_is_said_point_by_point() {
        check(
            "Do this:\n1. Switch it off.\n2. Wait\n- and so on\n",
            "Do this:|1. Switch it off.|2. Wait|- and so on",
        );
    }

    #[test]
    fn code_is_counted() {
        check(
            "Try it:\n```sh\nls -l\n\nrm x. Not said.\n```\nThat is all.",
            "Try it:|<3 lines>|That is all.",
        );
        check("```\nnever closed", "<1 lines>");
    }

    #[test]
    fn a_sentence_in_quotes_keeps_its_mark() {
        check("He said \"go.\" Then (it was late.) we left.", "He said \"go.\"|Then (it was late.)|we left.");
    }

    #[test]
    fn rules_and_blank_lines_are_nothing() {
        check("\n\n---\nHello there.\n***\n", "Hello there.");
    }

    #[test]
    fn a_sentence_without_end_is_cut_at_a_space() {
        let mut cutter = Cutter::default();
        for _ in 0..200 {
            cutter.push("word word ");
        }
        let mut n_clauses = 0;
        while let Some(Clause::Text(text)) = cutter.poll() {
            assert!(text.len() <= CLAUSE_BYTES_MAX && text.ends_with("word"), "{text}");
            n_clauses += 1;
        }
        assert_eq!(n_clauses, 2000 / CLAUSE_BYTES_MAX);
        cutter.push(&"x".repeat(1000));
        while let Some(Clause::Text(text)) = cutter.poll() {
            assert!(text.len() <= CLAUSE_BYTES_MAX);
        }
    }
}
