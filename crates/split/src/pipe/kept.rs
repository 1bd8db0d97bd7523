//! Hidden states that were handed on, kept so that the next stage can be made anew without the work of those before.
//!
//! Pieces are kept and handed on again as they were: whoever computes the same rows together rounds the same way, so
//! what comes after a loss is bit by bit what would have come without one.

use super::{EXACT_MAX, FEW_ROWS, KEPT_BYTES_MAX, RESUME_ROWS};
use crate::wire::Rows;

/// What one stage handed on, of each slot from its first position on without a gap.
pub(super) struct Kept {
    n_embd: usize,
    slots: Vec<Slot>,
    bytes: usize,
}

#[derive(Default)]
struct Slot {
    pieces: Vec<Piece>,
    bytes: usize,
    /// Its sequence runs, so it goes last.
    is_open: bool,
    /// Positions before this one the next stage has: they are kept, and not handed on.
    to_next: u32,
}

struct Piece {
    at: u32,
    tokens: Vec<i32>,
    choose: bool,
    hidden: Vec<f32>,
}

impl Piece {
    fn end(&self) -> u32 {
        self.at + self.tokens.len() as u32
    }

    fn bytes(&self) -> usize {
        4 * (self.tokens.len() + self.hidden.len())
    }
}

impl Slot {
    fn end(&self) -> u32 {
        self.pieces.last().map_or(0, Piece::end)
    }

    fn clear(&mut self) {
        (self.pieces, self.bytes) = (Vec::new(), 0);
    }
}

impl Kept {
    pub fn new(n_slots: u16, n_embd: u32) -> Kept {
        let slots = (0..n_slots).map(|_| Slot::default()).collect();
        Kept { n_embd: n_embd as usize, slots, bytes: 0 }
    }

    /// Positions of a slot that can be handed on again.
    pub fn end(&self, slot: u16) -> u32 {
        self.slots[usize::from(slot)].end()
    }

    /// A sequence begins, whose next stage has the positions before this one.
    pub fn open(&mut self, slot: u16, to_next: u32) {
        let own = &mut self.slots[usize::from(slot)];
        (own.is_open, own.to_next) = (true, to_next);
    }

    /// The sequence is over; what is kept may be of use to the next, if nobody else needs the room.
    pub fn close(&mut self, slot: u16) {
        self.slots[usize::from(slot)].is_open = false;
    }

    /// Positions from `at` on are of no more use.
    pub fn cut(&mut self, slot: u16, at: u32) {
        let n_embd = self.n_embd;
        let own = &mut self.slots[usize::from(slot)];
        own.pieces.retain(|piece| piece.at < at);
        if let Some(last) = own.pieces.last_mut()
            && last.end() > at
        {
            let n = (at - last.at) as usize;
            last.tokens.truncate(n);
            last.hidden.truncate(n * n_embd);
            // What was chosen came after a row that is gone.
            last.choose = false;
        }
        own.bytes = own.pieces.iter().map(Piece::bytes).sum();
        self.count();
    }

    pub fn clear(&mut self) {
        self.slots.iter_mut().for_each(Slot::clear);
        self.count();
    }

    fn count(&mut self) {
        self.bytes = self.slots.iter().map(|slot| slot.bytes).sum();
    }

    /// Keeps what was computed, and gives what the next stage needs of it.
    pub fn hand_on(&mut self, rows: Rows) -> Option<Rows> {
        let end = rows.at + rows.tokens.len() as u32;
        let piece = Piece {
            at: rows.at,
            tokens: rows.tokens.clone(),
            choose: rows.choose,
            hidden: rows.hidden.clone(),
        };
        self.keep(rows.slot, piece);
        let to_next = self.slots[usize::from(rows.slot)].to_next;
        (end > to_next).then(|| self.behind(rows, to_next))
    }

    /// The rows from a position on.
    fn behind(&self, mut rows: Rows, from: u32) -> Rows {
        let n = from.saturating_sub(rows.at);
        if n > 0 {
            rows.tokens.drain(..n as usize);
            rows.hidden.drain(..n as usize * self.n_embd);
            rows.at = from;
        }
        rows
    }

    fn keep(&mut self, slot: u16, piece: Piece) {
        let idx = usize::from(slot);
        // Behind a gap nothing is of use.
        if piece.at != self.slots[idx].end() {
            return;
        }
        let bytes = piece.bytes();
        while self.bytes + bytes > KEPT_BYTES_MAX {
            let is_free = |slot: &&mut Slot| !slot.is_open && slot.bytes > 0;
            let Some(largest) = self.slots.iter_mut().filter(is_free).max_by_key(|slot| slot.bytes) else {
                return;
            };
            largest.clear();
            self.count();
        }
        self.bytes += bytes;
        self.slots[idx].bytes += bytes;
        self.slots[idx].pieces.push(piece);
    }

    /// The pieces of these positions once more; nothing if they are not there. Those before `known` choose nothing.
    ///
    /// Tokens that were read one by one are read so again, because that rounds the same way; of a very long answer
    /// together, because one by one they would take as long as they took the first time.
    pub fn again(&self, slot: u16, epoch: u32, range: std::ops::Range<u32>, known: u32) -> Option<Vec<Rows>> {
        if range.end > self.end(slot) {
            return None;
        }
        let pieces = self.slots[usize::from(slot)].pieces.iter();
        let pieces: Vec<&Piece> =
            pieces.filter(|piece| piece.end() > range.start && piece.at < range.end).collect();
        let is_few = |piece: &Piece| piece.tokens.len() < FEW_ROWS && piece.end() <= known;
        let n_few = pieces.iter().filter(|piece| is_few(piece)).count();
        let mut again: Vec<Rows> = Vec::new();
        let mut grows = false;
        for piece in pieces {
            let rows = Rows {
                slot,
                epoch,
                at: piece.at,
                choose: piece.choose && piece.end() > known,
                tokens: piece.tokens.clone(),
                hidden: piece.hidden.clone(),
            };
            let mut rows = self.behind(rows, range.start.max(piece.at));
            let n = (range.end - rows.at).min(rows.tokens.len() as u32) as usize;
            rows.tokens.truncate(n);
            rows.hidden.truncate(n * self.n_embd);
            let joins = n_few > EXACT_MAX && is_few(piece);
            match again.last_mut().filter(|last| grows && joins && last.tokens.len() < RESUME_ROWS) {
                Some(last) => {
                    last.tokens.extend(rows.tokens);
                    last.hidden.extend(rows.hidden);
                }
                None => again.push(rows),
            }
            grows = joins;
        }
        Some(again)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(slot: u16, at: u32, n: usize, choose: bool) -> Rows {
        let hidden = (0..n).map(|idx| (at as usize + idx) as f32).collect();
        Rows { slot, epoch: 1, at, choose, tokens: vec![7; n], hidden }
    }

    /// A prompt of ten in two pieces, and an answer of so many.
    fn kept(n_answer: u32) -> Kept {
        let mut kept = Kept::new(2, 1);
        kept.open(0, 0);
        for (at, n) in [(0, 6), (6, 4)] {
            assert!(kept.hand_on(rows(0, at, n, at > 0)).is_some());
        }
        (10..10 + n_answer).for_each(|at| assert!(kept.hand_on(rows(0, at, 1, true)).is_some()));
        kept
    }

    #[track_caller]
    fn check(kept: &Kept, range: std::ops::Range<u32>, known: u32, want: &[(u32, usize, bool)]) {
        let again = kept.again(0, 5, range, known).unwrap();
        let got: Vec<_> = again.iter().map(|rows| (rows.at, rows.tokens.len(), rows.choose)).collect();
        assert_eq!(got, want);
        for rows in again {
            let floats: Vec<f32> = (rows.at..).take(rows.tokens.len()).map(|at| at as f32).collect();
            assert_eq!((rows.epoch, rows.hidden), (5, floats));
        }
    }

    #[test]
    fn pieces_come_again_as_they_were_and_only_what_is_not_known_chooses() {
        let all = [(0, 6, false), (6, 4, false), (10, 1, false), (11, 1, true)];
        check(&kept(2), 0..12, 11, &all);
        check(&kept(2), 10..12, 12, &[(10, 1, false), (11, 1, false)]);
        check(&kept(2), 3..8, 12, &[(3, 3, false), (6, 2, false)]);
    }

    #[test]
    fn a_very_long_answer_comes_again_in_large_pieces() {
        let n = EXACT_MAX as u32 + 2;
        let kept = kept(n);
        let again = kept.again(0, 5, 6..10 + n, 10 + n - 1).unwrap();
        let sizes: Vec<usize> = again.iter().map(|rows| rows.tokens.len()).collect();
        assert_eq!(sizes[..2], [4, RESUME_ROWS]);
        assert!(again.last().unwrap().choose && again.last().unwrap().tokens.len() == 1);
        assert_eq!(sizes.iter().sum::<usize>() as u32, 4 + n);
    }

    #[test]
    fn what_is_not_kept_does_not_come_again() {
        let mut kept = kept(2);
        assert!(kept.again(0, 1, 0..13, 0).is_none());
        kept.cut(0, 8);
        check(&kept, 0..8, 8, &[(0, 6, false), (6, 2, false)]);
        assert!(kept.again(0, 1, 0..9, 0).is_none());
        // A gap.
        kept.hand_on(rows(0, 9, 1, true));
        assert_eq!(kept.end(0), 8);
    }

    #[test]
    fn the_next_stage_gets_only_what_it_has_not() {
        let mut kept = Kept::new(1, 1);
        kept.open(0, 5);
        assert_eq!(kept.hand_on(rows(0, 0, 4, false)), None);
        assert_eq!(kept.hand_on(rows(0, 4, 4, true)), Some(rows(0, 5, 3, true)));
        assert_eq!(kept.end(0), 8);
    }

    #[test]
    fn sequences_that_are_over_make_room_and_nothing_grows_beyond_the_limit() {
        let width = 1 << 16;
        let mut kept = Kept::new(3, width);
        let n = KEPT_BYTES_MAX / (4 * width as usize);
        let big =
            |slot, at, n: usize| Rows { hidden: vec![0.0; n * width as usize], ..rows(slot, at, n, false) };
        kept.open(0, 0);
        kept.hand_on(big(0, 0, n / 2));
        kept.close(0);
        kept.open(1, 0);
        kept.hand_on(big(1, 0, n / 4));
        // The first is over and goes; the second stays.
        kept.open(2, 0);
        kept.hand_on(big(2, 0, n / 2));
        assert_eq!([0, 1, 2].map(|slot| kept.end(slot)), [0, n as u32 / 4, n as u32 / 2]);
        // Nobody is over: what does not fit is not kept.
        kept.hand_on(big(2, n as u32 / 2, n / 2));
        assert_eq!(kept.end(2), n as u32 / 2);
        assert!(kept.bytes <= KEPT_BYTES_MAX);
    }
}
