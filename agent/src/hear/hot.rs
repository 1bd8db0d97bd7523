//! Names that people here say more often than others do: of nodes and rooms, and of experts.
//!
//! Their tokens are lifted a little when the next one is chosen, from the first to the last of a name.
//! Whisper's own way, a text before the beginning, was not taken: every step would read it, which costs more than the
//! rest of a short text, and a model that was never trained with such a text follows it instead of the sound.

use super::words::Choice;

/// Names that are kept; what comes later is left out.
pub const WORDS_MAX: usize = 64;
pub const WORD_BYTES_MAX: usize = 32;
/// A name that needs more is none that whisper could ever write.
const TOKENS_MAX: usize = 8;
/// By so much the logarithm of a likelihood is lifted where a name may begin, and where it goes on.
const BEGIN: f32 = 0.5;
const GO_ON: f32 = 2.0;

/// Spellings of the names, as whisper's tokens.
#[derive(Debug, Clone, Default)]
pub struct HotWords(Vec<Vec<i32>>);

/// What of these can be said: `living-room` is two words, and no mouth says `duet-0a1b2c`.
pub fn sayable(names: impl IntoIterator<Item = String>) -> Vec<String> {
    let is_sayable = |name: &String| {
        (2..=WORD_BYTES_MAX).contains(&name.len()) && name.chars().all(|c| c.is_alphabetic() || c == ' ')
    };
    let mut words: Vec<String> =
        names.into_iter().map(|name| name.replace(['-', '_', '.'], " ")).filter(is_sayable).collect();
    words.sort();
    words.dedup();
    words.truncate(WORDS_MAX);
    words
}

impl HotWords {
    /// `spell` gives the tokens of a text.
    pub fn new(words: &[String], spell: impl Fn(&str) -> Vec<i32>) -> HotWords {
        let mut spellings = vec![];
        for word in words.iter().take(WORDS_MAX).filter(|word| word.len() <= WORD_BYTES_MAX) {
            // In the middle of a text a word begins with a blank; names are written large as well as small.
            let large: String =
                word.chars().take(1).flat_map(char::to_uppercase).chain(word.chars().skip(1)).collect();
            spellings.extend([format!(" {word}"), format!(" {large}")].map(|text| spell(&text)));
        }
        spellings.retain(|tokens| (1..=TOKENS_MAX).contains(&tokens.len()));
        spellings.sort();
        spellings.dedup();
        HotWords(spellings)
    }

    /// The choice, or the token of a name that is nearly as likely after what was said.
    pub fn lift(&self, plain: Choice, logits: &[f32], said: &[i32]) -> Choice {
        let Some(highest) = logits.get(plain.token) else { return plain };
        let mut best = (plain, *highest);
        for spelling in &self.0 {
            for (n_said, token) in spelling.iter().enumerate() {
                let lift = if n_said == 0 { BEGIN } else { GO_ON };
                let token = *token as usize;
                let Some(logit) = logits.get(token).filter(|_| said.ends_with(&spelling[..n_said])) else {
                    continue;
                };
                if logit + lift > best.1 {
                    // How likely it was without the lift, so that doubts stay what they are.
                    let logprob = plain.logprob + logit - highest;
                    best = (Choice { token, logprob }, logit + lift);
                }
            }
        }
        best.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A token for each letter.
    fn spell(text: &str) -> Vec<i32> {
        text.bytes().map(i32::from).collect()
    }

    fn check(said: &str, set: &[(u8, f32)], want: u8) {
        let hot = HotWords::new(&["attic".into()], spell);
        let mut logits = vec![-9.0; 128];
        set.iter().for_each(|(token, logit)| logits[usize::from(*token)] = *logit);
        let plain = (0..128).max_by(|a, b| logits[*a].total_cmp(&logits[*b])).unwrap();
        let plain = Choice { token: plain, logprob: -0.25 };
        assert_eq!(hot.lift(plain, &logits, &spell(said)).token, usize::from(want), "{said:?}");
    }

    #[test]
    fn a_name_that_has_begun_goes_on_where_it_is_nearly_as_likely() {
        check("the att", &[(b'a', 1.0), (b'i', 0.0)], b'i');
        check("the att", &[(b'a', 3.0), (b'i', 0.0)], b'a');
        check("the Att", &[(b'a', 1.0), (b'i', 0.0)], b'i');
    }

    #[test]
    fn a_name_that_has_not_begun_is_lifted_less() {
        check("the", &[(b'.', 0.4), (b' ', 0.0)], b' ');
        check("the", &[(b'.', 1.0), (b' ', 0.0)], b'.');
        // The third letter alone is nothing.
        check("xx", &[(b'.', 0.4), (b't', 0.0)], b'.');
    }

    #[test]
    fn names_that_no_mouth_says_are_left_out() {
        let names = ["living-room", "duet-0a1b2c", "attic", "attic", "x", ""].map(String::from);
        assert_eq!(sayable(names), ["attic", "living room"]);
        assert!(sayable((0..200).map(|n| "ab".repeat(1 + n % 90))).len() <= WORDS_MAX);
    }

    #[test]
    fn a_lifted_choice_says_how_likely_it_was() {
        let hot = HotWords::new(&["b".into(), "ab".into()], spell);
        let mut logits = vec![-9.0; 128];
        (logits[1], logits[usize::from(b'b')]) = (1.0, 0.0);
        let plain = Choice { token: 1, logprob: -0.5 };
        assert_eq!(hot.lift(plain, &logits, &spell(" a")).logprob, -1.5);
    }
}
