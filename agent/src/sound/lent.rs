//! The cards of this PC, lent to another program of it: the diagnosis on a serial line plays and records itself.
//!
//! Who asks gets a loan, waits until the threads of microphone and speaker have let go, and gives back by dropping it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Why there is no card meanwhile.
pub const REASON: &str = "lent to the diagnosis of this PC";

#[derive(Debug, Clone, Default)]
pub struct Lent(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    n_loans: AtomicUsize,
    n_open: AtomicUsize,
}

/// As long as it lives nobody else opens a card.
#[derive(Debug)]
pub struct Loan(Lent);

/// As long as it lives a card is open, or is about to be.
#[derive(Debug)]
pub struct Use(Lent);

impl Lent {
    pub fn ask(&self) -> Loan {
        self.0.n_loans.fetch_add(1, Ordering::SeqCst);
        Loan(self.clone())
    }

    pub fn is_asked_for(&self) -> bool {
        self.0.n_loans.load(Ordering::SeqCst) > 0
    }

    /// To be had before a card is opened; nothing while it is lent.
    pub fn take(&self) -> Option<Use> {
        self.0.n_open.fetch_add(1, Ordering::SeqCst);
        let taken = Use(self.clone());
        // After the counting: whoever asks either is seen here, or sees this one.
        (!self.is_asked_for()).then_some(taken)
    }
}

impl Loan {
    /// Whether all have let go.
    pub fn is_free(&self) -> bool {
        self.0.0.n_open.load(Ordering::SeqCst) == 0
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        self.0.0.n_loans.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        self.0.0.n_open.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_waits_for_who_has_it_and_nobody_takes_it_meanwhile() {
        let lent = Lent::default();
        let playing = lent.take();
        let loan = lent.ask();
        assert!(playing.is_some() && !loan.is_free());
        assert!(lent.take().is_none());
        drop(playing);
        assert!(loan.is_free());
        assert!(lent.take().is_none() && loan.is_free());
        drop(loan);
        assert!(lent.take().is_some());
    }

    #[test]
    fn two_loans_are_two() {
        let lent = Lent::default();
        let (one, two) = (lent.ask(), lent.ask());
        drop(one);
        assert!(lent.is_asked_for());
        drop(two);
        assert!(!lent.is_asked_for());
    }
}
