//! The loss of a stage while a ring speaks: how long until the next token.

use super::figures::{Loss, median};
use super::lane::{Course, Seat};
use super::relay::Relay;
use crate::progress::Step;
use anyhow::{Context, Result};
use std::time::Instant;

/// Each of them takes a while, because a stage that was lost must be started anew.
const TRIALS: u16 = 3;
/// Tokens before the loss.
const SPOKEN: u32 = 8;
const PORT: u16 = 50_100;

impl Course<'_> {
    /// A signal ends or freezes the middle one of three stages. Another stage with the same layers stands ready, and
    /// whoever looks for the lost one finds it.
    pub fn lose(&self, signal: &str, step: &Step) -> Result<Loss> {
        let mut losses = Vec::new();
        for trial in 0..TRIALS {
            step.note(&format!("trial {} of {TRIALS}", trial + 1));
            // Ports of their own: those of the last trial are not free at once.
            let first = if signal == "KILL" { PORT } else { PORT + 50 };
            losses.push(self.lose_once(signal, first + trial * 10).context("the loss of a stage")?);
        }
        let of = |what: fn(&Loss) -> f64| median(losses.iter().map(what).collect());
        Ok(Loss { closed_s: of(|loss| loss.closed_s), resume_s: of(|loss| loss.resume_s) })
    }

    fn lose_once(&self, signal: &str, port: u16) -> Result<Loss> {
        let to = |idx| self.links.address(idx, port);
        let seat = |host_idx, stage_idx, next| Seat { host_idx, stage_idx, n_stages: 3, port, next };
        let victim = self.stage(&seat(1, 1, to(2)), &[])?;
        let _last = self.stage(&seat(2, 2, to(0)), &[])?;
        let _other = self.stage(&seat(3, 1, to(2)), &[])?;
        let relay = Relay::start(self.links, 0, port + 1, to(1))?;
        let head = self.head(3, port, self.links.address(0, port + 1), self.args.tokens)?;
        for _ in 0..SPOKEN {
            head.wait_for("token at ")?;
        }
        relay.lead_to(to(3));
        let lost = Instant::now();
        victim.signal(signal)?;
        head.wait_for("the ring is lost")?;
        let (closed, _) = head.wait_for("the ring is closed")?;
        let (goes_on, _) = head.wait_for("token at ")?;
        head.end()?;
        let since = |at: Instant| at.duration_since(lost).as_secs_f64();
        Ok(Loss { closed_s: since(closed), resume_s: since(goes_on) })
    }
}
