//! What a rendering may still use up.

use super::Limits;

/// Why a rendering ends early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    Refused(String),
    Wrong(String),
    UsedUp(&'static str),
}

pub type Outcome<T> = Result<T, Fault>;

pub fn wrong<T>(what: impl Into<String>) -> Outcome<T> {
    Err(Fault::Wrong(what.into()))
}

/// Bytes that one step pays for.
const STEP_BYTES: u64 = 32;

pub struct Budget {
    left: Limits,
}

impl Budget {
    pub fn new(limits: Limits) -> Budget {
        Budget { left: limits }
    }

    pub fn steps(&mut self, steps: u64) -> Outcome<()> {
        match self.left.steps.checked_sub(steps) {
            Some(left) => {
                self.left.steps = left;
                Ok(())
            }
            None => Err(Fault::UsedUp("steps")),
        }
    }

    /// Looks at bytes.
    pub fn look(&mut self, bytes: usize) -> Outcome<()> {
        self.steps(bytes as u64 / STEP_BYTES)
    }

    /// Makes something new of so many bytes. Called before it is made.
    pub fn make(&mut self, bytes: usize) -> Outcome<()> {
        match self.left.made_bytes.checked_sub(bytes as u64) {
            Some(left) => {
                self.left.made_bytes = left;
                self.look(bytes)
            }
            None => Err(Fault::UsedUp("memory")),
        }
    }

    /// How many bytes may still be made.
    pub fn makeable(&self) -> usize {
        usize::try_from(self.left.made_bytes.min(self.left.steps.saturating_mul(STEP_BYTES)))
            .unwrap_or(usize::MAX)
    }

    pub fn deeper(&mut self) -> Outcome<()> {
        match self.left.depth.checked_sub(1) {
            Some(left) => {
                self.left.depth = left;
                Ok(())
            }
            None => Err(Fault::UsedUp("depth")),
        }
    }

    pub fn shallower(&mut self) {
        self.left.depth += 1;
    }

    pub fn output_bytes(&self) -> usize {
        self.left.output_bytes
    }
}
