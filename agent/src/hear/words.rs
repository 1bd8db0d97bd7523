//! Picks the words: the likeliest token of each step, none that is no text.
//!
//! The rules are those of whisper.cpp without time stamps, so the same numbers give the same text.

use voice::whisper::Shape;

/// Which numbers mean what, by the size of the vocabulary (whisper.cpp, `whisper_vocab`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tokens {
    /// The end of the text; all below it are text.
    pub end: usize,
    start: usize,
    transcribe: usize,
    no_speech: usize,
    no_times: usize,
    n_vocab: usize,
    /// 0 for a model that knows English only.
    n_languages: usize,
}

impl Tokens {
    pub fn of(shape: &Shape) -> Tokens {
        let n_vocab = shape.n_vocab as usize;
        let more = usize::from(n_vocab >= 51_865);
        let n_languages = more * (n_vocab - 51_766);
        // The special tokens behind the languages follow their number.
        let shift = (more + n_languages).saturating_sub(99);
        Tokens {
            end: 50_256 + more,
            start: 50_257 + more,
            transcribe: 50_358 + shift,
            no_speech: 50_361 + shift,
            no_times: 50_362 + shift,
            n_vocab,
            n_languages,
        }
    }

    /// Languages that can be asked for; a model that knows only one is not told.
    pub fn n_languages(&self) -> usize {
        self.n_languages.max(1)
    }

    /// What the decoder is given first. `language`: whisper's number for it.
    pub fn prompt(&self, language: usize) -> Vec<i32> {
        let mut prompt = vec![self.start];
        if self.n_languages > 0 {
            prompt.extend([self.start + 1 + language, self.transcribe]);
        }
        prompt.push(self.no_times);
        prompt.into_iter().map(|token| token as i32).collect()
    }

    /// How likely it is that nobody spoke, by the first step's numbers.
    pub fn no_speech(&self, logits: &[f32]) -> f32 {
        let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        (logits[self.no_speech] - max).exp() / sum_of_exp(&logits[..self.n_vocab], max)
    }
}

/// A token, and the logarithm of how likely it was.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choice {
    pub token: usize,
    pub logprob: f32,
}

/// Whether a text may end here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Free,
    Forbidden,
}

/// The likeliest token. `without` is left out: the blank, at the start of a text.
pub fn choose(logits: &[f32], tokens: &Tokens, end: End, without: Option<usize>) -> Choice {
    let text = &logits[..tokens.end + usize::from(end == End::Free)];
    let (before, after) = text.split_at(without.unwrap_or(0));
    let after = &after[usize::from(without.is_some())..];
    let (a, b) = (likeliest(before), likeliest(after));
    let token = if a.1 >= b.1 { a.0 } else { b.0 + text.len() - after.len() };
    let max = a.1.max(b.1);
    Choice { token, logprob: -(sum_of_exp(before, max) + sum_of_exp(after, max)).ln() }
}

/// The place and the size of the first largest number.
fn likeliest(numbers: &[f32]) -> (usize, f32) {
    // Blocks first: the inner loop then has no branch.
    const BLOCK: usize = 64;
    let mut best = (0, f32::NEG_INFINITY);
    for (idx, block) in numbers.chunks(BLOCK).enumerate() {
        let max = block.iter().fold(f32::NEG_INFINITY, |max, x| if *x > max { *x } else { max });
        if max > best.1 {
            best = (idx, max);
        }
    }
    let first = best.0 * BLOCK;
    let within = numbers[first..].iter().position(|x| *x == best.1).unwrap_or(0);
    (first + within, best.1)
}

/// Sum of `exp(x - max)`. What is a hundred million times less likely than the best is not looked at.
fn sum_of_exp(numbers: &[f32], max: f32) -> f32 {
    const DEPTH: f32 = 18.0;
    let least = max - DEPTH;
    numbers.iter().filter(|x| **x > least).map(|x| (x - max).exp()).sum()
}

/// So often the same is a circle.
const TIMES: usize = 4;

/// Whether the text goes round in circles: the same one to eight tokens four times at its end.
pub fn is_circling(text: &[i32]) -> bool {
    circle(text).is_some()
}

/// Of what a text says again and again at its end, once stays.
pub fn cut_circles(text: &mut Vec<i32>) {
    if let Some(length) = circle(text) {
        text.truncate(text.len() - (TIMES - 1) * length);
    }
}

/// The length of what the text repeats at its end.
fn circle(text: &[i32]) -> Option<usize> {
    (1..=8).find(|length| {
        text.len() >= TIMES * length && {
            let end = &text[text.len() - TIMES * length..];
            end.chunks_exact(*length).all(|part| part == &end[..*length])
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hear::testing;

    fn tokens(n_vocab: u32) -> Tokens {
        Tokens::of(&Shape { n_vocab, ..testing::shape() })
    }

    #[test]
    fn special_tokens_follow_the_vocabulary() {
        assert_eq!(tokens(51_864).prompt(0), [50_257, 50_362]);
        assert_eq!(tokens(51_865).prompt(0), [50_258, 50_259, 50_359, 50_363]);
        assert_eq!(tokens(51_866).prompt(2), [50_258, 50_261, 50_360, 50_364]);
        assert_eq!(tokens(51_865).end, 50_257);
    }

    fn check(set: &[(usize, f32)], end: End, without: Option<usize>, want: usize) {
        let tokens = tokens(51_864);
        let mut logits = vec![-20.0; 51_864];
        set.iter().for_each(|(idx, value)| logits[*idx] = *value);
        let got = choose(&logits, &tokens, end, without);
        assert_eq!(got.token, want);
        // The textbook sum over all tokens that were allowed.
        let allowed = |i: &usize| *i < tokens.end + usize::from(end == End::Free) && Some(*i) != without;
        let sum: f64 = (0..logits.len()).filter(allowed).map(|i| f64::from(logits[i]).exp()).sum();
        let want = f64::from(logits[want]) - sum.ln();
        assert!((f64::from(got.logprob) - want).abs() < 1e-3, "{} {want}", got.logprob);
    }

    #[test]
    fn the_likeliest_text_token_is_chosen() {
        check(&[(7, 1.0), (40_000, 3.0), (50_300, 9.0)], End::Free, None, 40_000);
        check(&[(0, 1.0), (50_255, 1.0)], End::Free, None, 0);
    }

    #[test]
    fn the_end_is_chosen_only_where_it_is_allowed() {
        check(&[(7, 1.0), (50_256, 3.0)], End::Free, None, 50_256);
        check(&[(7, 1.0), (50_256, 3.0)], End::Forbidden, None, 7);
    }

    #[test]
    fn a_text_begins_with_no_blank() {
        check(&[(220, 5.0), (7, 1.0)], End::Free, Some(220), 7);
        check(&[(220, 5.0), (221, 4.0)], End::Free, Some(220), 221);
    }

    #[test]
    fn numbers_that_are_none_choose_a_token_all_the_same() {
        let logits = vec![f32::NAN; 51_864];
        assert!(choose(&logits, &tokens(51_864), End::Free, Some(220)).token < 51_864);
    }

    #[test]
    fn a_text_in_circles_is_seen() {
        assert!(is_circling(&[9, 1, 1, 1, 1]));
        assert!(is_circling(&[1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3]));
        assert!(!is_circling(&[1, 1, 1]));
        assert!(!is_circling(&[1, 2, 3, 1, 2, 3, 1, 2, 3]));
    }

    #[test]
    fn of_a_circle_one_round_stays() {
        for (text, want) in [
            (&[9, 1, 1, 1, 1][..], &[9, 1][..]),
            (&[5, 2, 3, 2, 3, 2, 3, 2, 3], &[5, 2, 3]),
            (&[1, 1], &[1, 1]),
        ] {
            let mut text = text.to_vec();
            cut_circles(&mut text);
            assert_eq!(text, want);
        }
    }
}
