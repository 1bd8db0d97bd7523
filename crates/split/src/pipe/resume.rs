//! How far each stage of a ring goes back after a loss, from what each has left.

use std::collections::VecDeque;

/// Sequences of a slot that are remembered; what a stage has of an older one counts as nothing.
const PAST_MAX: usize = 16;

/// The sequences that a slot had: how much of each is still what the newest begins with.
#[derive(Default)]
pub(super) struct Past {
    /// Epochs, and the positions that each kept of the one before it.
    opens: VecDeque<(u32, u32)>,
}

impl Past {
    pub fn began(&mut self, epoch: u32, keep: u32) {
        if self.opens.len() == PAST_MAX {
            self.opens.pop_front();
        }
        self.opens.push_back((epoch, keep));
    }

    /// Positions that the sequence of an epoch shares with the newest.
    pub fn shared(&self, epoch: u32) -> u32 {
        if !self.opens.iter().any(|(known, _)| *known == epoch) {
            return 0;
        }
        let later = self.opens.iter().filter(|(known, _)| *known > epoch);
        later.map(|(_, keep)| *keep).min().unwrap_or(u32::MAX)
    }
}

/// What a stage can go on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stand {
    /// Positions in its cache.
    pub have: u32,
    /// Positions whose hidden states it can hand on without computing them.
    pub kept: u32,
}

/// Where each stage begins to compute, from the head on: as late as it can, and early enough that the stage behind it
/// gets every row that it needs.
pub(super) fn starts(stands: &[Stand]) -> Vec<u32> {
    let mut starts = vec![0; stands.len()];
    let mut next = u32::MAX;
    for (start, stand) in starts.iter_mut().zip(stands).rev() {
        *start = stand.have.min(next.max(stand.kept.min(stand.have)));
        next = *start;
    }
    starts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(stands: &[(u32, u32)], want: &[u32]) {
        let stands: Vec<Stand> =
            stands.iter().map(|(have, kept)| Stand { have: *have, kept: *kept }).collect();
        assert_eq!(starts(&stands), want);
    }

    #[test]
    fn only_the_stage_that_is_new_goes_back() {
        check(&[(500, 500), (0, 0), (500, 0)], &[500, 0, 500]);
        check(&[(500, 500), (500, 500), (0, 0)], &[500, 500, 0]);
        check(&[(500, 500), (500, 500), (500, 0)], &[500, 500, 500]);
    }

    #[test]
    fn without_kept_states_those_before_go_back_too() {
        check(&[(500, 0), (500, 0), (0, 0)], &[0, 0, 0]);
        check(&[(500, 500), (500, 0), (0, 0)], &[500, 0, 0]);
        check(&[(500, 500), (500, 300), (0, 0)], &[500, 300, 0]);
    }

    #[test]
    fn two_that_are_new_beside_each_other_are_fed_by_the_one_before() {
        check(&[(500, 500), (0, 0), (0, 0), (500, 0)], &[500, 0, 0, 500]);
    }

    #[test]
    fn a_stage_that_is_a_little_behind_gets_the_rest() {
        check(&[(500, 500), (480, 480), (470, 0)], &[500, 480, 470]);
        check(&[(500, 0), (480, 0), (470, 0)], &[470, 470, 470]);
    }

    #[test]
    fn what_an_older_sequence_left_counts_as_far_as_it_is_the_same() {
        let mut past = Past::default();
        past.began(1, 0);
        past.began(2, 30);
        past.began(3, 10);
        past.began(4, u32::MAX);
        assert_eq!([0, 1, 2, 3, 4, 5].map(|epoch| past.shared(epoch)), [0, 10, 10, u32::MAX, u32::MAX, 0]);
        (5..30).for_each(|epoch| past.began(epoch, 50));
        assert_eq!(past.shared(4), 0);
    }
}
