//! How likely tokens were: logarithms of their shares, before any setting cut or bent them.

use engine::Token;

/// The logarithm of one token's share, and the likeliest tokens with theirs.
pub fn of(logits: &[f32], token: Token, n_rivals: usize) -> (f32, Vec<(Token, f32)>) {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|logit| f64::from(logit - most).exp()).sum();
    let whole = f64::from(most) + sum.ln();
    // JSON knows no infinity, and OpenAI shows the smallest of them so.
    let log = |logit: f32| ((f64::from(logit) - whole) as f32).max(LEAST);
    let own = usize::try_from(token).ok().and_then(|idx| logits.get(idx)).map_or(LEAST, |logit| log(*logit));
    let mut rivals: Vec<(Token, f32)> = Vec::new();
    for (id, logit) in (0..).zip(logits) {
        if rivals.len() == n_rivals && rivals.last().is_none_or(|(_, least)| logit <= least) {
            continue;
        }
        // The first of equals stays before the later.
        let at = rivals.partition_point(|(_, other)| other >= logit);
        rivals.insert(at, (id, *logit));
        rivals.truncate(n_rivals);
    }
    (own, rivals.into_iter().map(|(id, logit)| (id, log(logit))).collect())
}

/// What stands for a share of nothing.
const LEAST: f32 = -9999.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_sum_to_one_and_rivals_are_sorted() {
        let logits = [1.0, 3.0, f32::NEG_INFINITY, 3.0, 2.0];
        let (own, rivals) = of(&logits, 4, 3);
        assert_eq!(rivals.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [1, 3, 4]);
        assert_eq!(rivals[2].1, own);
        let sum: f32 = of(&logits, 0, 5).1.iter().map(|(_, log)| log.exp()).sum();
        assert!((sum - 1.0).abs() < 1e-6, "{sum}");
    }

    #[test]
    fn what_is_impossible_or_unknown_has_the_least_share() {
        assert_eq!(of(&[0.0, f32::NEG_INFINITY], 1, 0), (LEAST, vec![]));
        assert_eq!(of(&[0.0], 7, 0).0, LEAST);
    }
}
