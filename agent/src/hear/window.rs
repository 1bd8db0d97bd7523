//! How much of the encoder a clip needs, and where a long recording is cut.
//!
//! The encoder always hears 30 seconds, mostly silence for a spoken command; its cost follows its length. A shorter
//! one is cheaper, but a model that was trained on 30 seconds may then stumble: `wider` is for the second try.

use super::RATE;
use std::ops::Range;

/// Samples for one place of the encoder: two columns of the picture.
const PLACE: usize = 320;
/// Silence heard behind the sound, in places: a second, so that the end is an end.
const MARGIN: usize = 50;
/// Places are rounded up to this.
const STEP: usize = 32;
/// The longest piece: what the encoder holds, less the margin.
const PIECE: usize = 29 * RATE as usize;
/// A long recording is cut at the quietest place of this much before the end of a piece.
const SEARCH: usize = 10 * RATE as usize;

/// Places of the encoder for a clip of so many samples.
pub fn audio_ctx(n_samples: usize, n_max: usize) -> usize {
    (n_samples.div_ceil(PLACE) + MARGIN).next_multiple_of(STEP).min(n_max)
}

/// The next length to try; none when all was tried.
pub fn wider(audio_ctx: usize, n_max: usize) -> Option<usize> {
    (audio_ctx < n_max).then(|| (2 * audio_ctx).min(n_max))
}

/// The pieces that are heard one by one.
pub fn pieces(sound: &[f32]) -> Vec<Range<usize>> {
    let mut pieces = vec![];
    let mut first = 0;
    while sound.len() - first > PIECE {
        let end = first + PIECE;
        let quiet =
            |at: &usize| -> f32 { sound[*at..*at + PLACE].iter().map(|sample| sample * sample).sum() };
        let places = (end - SEARCH..=end - PLACE).step_by(PLACE);
        let cut = places.min_by(|a, b| quiet(a).total_cmp(&quiet(b))).unwrap_or(end) + PLACE / 2;
        pieces.push(first..cut);
        first = cut;
    }
    if first < sound.len() {
        pieces.push(first..sound.len());
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_clip_needs_a_short_encoder() {
        assert_eq!(audio_ctx(40_000, 1500), 192);
        assert_eq!(audio_ctx(0, 1500), 64);
        assert_eq!(audio_ctx(480_000, 1500), 1500);
        assert_eq!(audio_ctx(40_000, 100), 100);
    }

    #[test]
    fn each_try_is_twice_as_long_until_all_is_heard() {
        let tries: Vec<usize> = std::iter::successors(Some(192), |ctx| wider(*ctx, 1500)).collect();
        assert_eq!(tries, [192, 384, 768, 1500]);
    }

    #[test]
    fn a_long_recording_is_cut_where_it_is_quiet() {
        let mut sound = vec![0.5; 64 * RATE as usize];
        sound[25 * 16_000..25 * 16_000 + 1600].fill(0.0);
        let pieces = pieces(&sound);
        assert!((25 * 16_000..25 * 16_000 + 1600).contains(&pieces[0].end), "{pieces:?}");
        assert!(pieces.iter().all(|piece| piece.len() <= PIECE));
        assert!(pieces.windows(2).all(|two| two[0].end == two[1].start));
        assert_eq!(pieces.last().map(|piece| piece.end), Some(sound.len()));
    }

    #[test]
    fn nothing_has_no_pieces() {
        assert!(pieces(&[]).is_empty());
    }
}
