//! How much of the encoder a clip needs, and where a long recording is cut.
//!
//! whisper's encoder always hears 30 seconds, mostly silence for a spoken command; its cost follows its length. A shorter
//! one is cheaper, but a model that was trained on 30 seconds may then stumble: `wider` is for the second try.
//! The small model of our own was trained on short clips and knows nothing longer, so it has a rule of its own.

use super::RATE;
use std::ops::Range;
use voice::whisper::Shape;

/// Samples for one place of the encoder: two columns of the picture.
const PLACE: usize = 320;
/// Places are rounded up to this.
const STEP: usize = 32;
/// Every whisper's decoder has 448 places; models/train/speech makes one with so few.
const OWN_TEXT_CTX: u32 = 64;

/// What a model was trained for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Silence heard behind the sound, in places, so that the end is an end.
    margin: usize,
    /// The shortest and the longest encoder, in places.
    least: usize,
    most: usize,
    /// The longest piece, in samples: what the encoder holds, less the margin.
    piece: usize,
    /// A long recording is cut at the quietest place of this much before the end of a piece.
    search: usize,
}

impl Rule {
    pub fn of(shape: &Shape) -> Rule {
        let most = shape.n_audio_ctx as usize;
        if shape.n_text_ctx == OWN_TEXT_CTX {
            // As models/train/speech/feed.py shows it: a third of a second behind, five seconds at most.
            let (margin, most) = (16, most.min(256));
            let piece = most.saturating_sub(margin).max(2) * PLACE;
            Rule { margin, least: 64, most, piece, search: RATE as usize }
        } else {
            Rule { margin: 50, least: 0, most, piece: 29 * RATE as usize, search: 10 * RATE as usize }
        }
    }

    /// Places of the encoder for a clip of so many samples.
    pub fn audio_ctx(&self, n_samples: usize) -> usize {
        (n_samples.div_ceil(PLACE) + self.margin).next_multiple_of(STEP).max(self.least).min(self.most)
    }

    /// The next length to try; none when all was tried.
    pub fn wider(&self, audio_ctx: usize) -> Option<usize> {
        (audio_ctx < self.most).then(|| (2 * audio_ctx).min(self.most))
    }

    /// The pieces that are heard one by one.
    pub fn pieces(&self, sound: &[f32]) -> Vec<Range<usize>> {
        let mut pieces = vec![];
        let mut first = 0;
        while sound.len() - first > self.piece {
            let end = first + self.piece;
            let quiet =
                |at: &usize| -> f32 { sound[*at..*at + PLACE].iter().map(|sample| sample * sample).sum() };
            let places = (end.saturating_sub(self.search).max(first)..=end - PLACE).step_by(PLACE);
            let cut = places.min_by(|a, b| quiet(a).total_cmp(&quiet(b))).unwrap_or(end) + PLACE / 2;
            pieces.push(first..cut);
            first = cut;
        }
        if first < sound.len() {
            pieces.push(first..sound.len());
        }
        pieces
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hear::testing;

    fn rule(n_audio_ctx: u32, n_text_ctx: u32) -> Rule {
        Rule::of(&Shape { n_audio_ctx, n_text_ctx, ..testing::shape() })
    }

    #[test]
    fn a_short_clip_needs_a_short_encoder() {
        assert_eq!(rule(1500, 448).audio_ctx(40_000), 192);
        assert_eq!(rule(1500, 448).audio_ctx(0), 64);
        assert_eq!(rule(1500, 448).audio_ctx(480_000), 1500);
        assert_eq!(rule(100, 448).audio_ctx(40_000), 100);
    }

    #[test]
    fn the_model_of_our_own_hears_less_silence_and_never_more_than_it_was_trained_on() {
        let own = rule(1500, 64);
        assert_eq!([0, 24_000, 40_000, 480_000].map(|n| own.audio_ctx(n)), [64, 96, 160, 256]);
        assert_eq!(
            std::iter::successors(Some(96), |ctx| own.wider(*ctx)).collect::<Vec<_>>(),
            [96, 192, 256]
        );
        let pieces = own.pieces(&vec![0.0; 30 * RATE as usize]);
        assert!(pieces.iter().all(|piece| own.audio_ctx(piece.len()) <= 256 && piece.len() <= 240 * PLACE));
        assert!(pieces.windows(2).all(|two| two[0].end == two[1].start));
    }

    #[test]
    fn each_try_is_twice_as_long_until_all_is_heard() {
        let rule = rule(1500, 448);
        let tries: Vec<usize> = std::iter::successors(Some(192), |ctx| rule.wider(*ctx)).collect();
        assert_eq!(tries, [192, 384, 768, 1500]);
    }

    #[test]
    fn a_long_recording_is_cut_where_it_is_quiet() {
        let mut sound = vec![0.5; 64 * RATE as usize];
        sound[25 * 16_000..25 * 16_000 + 1600].fill(0.0);
        let rule = rule(1500, 448);
        let pieces = rule.pieces(&sound);
        assert!((25 * 16_000..25 * 16_000 + 1600).contains(&pieces[0].end), "{pieces:?}");
        assert!(pieces.iter().all(|piece| piece.len() <= rule.piece));
        assert!(pieces.windows(2).all(|two| two[0].end == two[1].start));
        assert_eq!(pieces.last().map(|piece| piece.end), Some(sound.len()));
    }

    #[test]
    fn a_model_of_few_places_ends_too() {
        for n_audio_ctx in [1, 2, 17, 40] {
            let pieces = rule(n_audio_ctx, 64).pieces(&vec![0.5; 20_000]);
            assert_eq!(pieces.last().map(|piece| piece.end), Some(20_000));
        }
    }

    #[test]
    fn nothing_has_no_pieces() {
        assert!(rule(1500, 448).pieces(&[]).is_empty());
    }
}
