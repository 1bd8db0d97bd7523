//! From the first word to the last clause.

use super::{Answer, Outcome, Output, State, Turns};
use std::time::Duration;

impl Turns {
    /// Lets the running answer take one event, says what came of it, and ends the turn if it is over.
    pub(super) fn answer(&mut self, now: Duration, of: u32, event: impl FnOnce(&mut Answer)) {
        let State::Answering { answer, report, .. } = &mut self.state else { return };
        if report.turn != of {
            return;
        }
        event(answer);
        let turn = report.turn;
        if answer.n_bytes() > 0 {
            report.first_word.get_or_insert(now);
        }
        if answer.is_overlong() {
            self.wishes.push_back(Output::StopAsking { turn });
            answer.ended(now);
        }
        while let Some((clause_idx, clause)) = answer.poll() {
            report.first_clause.get_or_insert(now);
            self.wishes.push_back(Output::Say { turn, clause_idx, clause });
        }
        report.n_clauses = answer.n_said();
        report.answer_bytes = answer.n_bytes();
        let Some(outcome) = answer.outcome() else { return };
        let State::Answering { report, .. } = std::mem::replace(&mut self.state, State::Idle) else { return };
        match outcome {
            Outcome::NoAnswer => self.give_up(now, report, outcome),
            _ => self.done(now, report, outcome),
        }
    }

    pub(super) fn sounding(&mut self, now: Duration, turn: u32) {
        if let State::Answering { answer, report, .. } = &mut self.state
            && report.turn == turn
        {
            report.first_sound.get_or_insert(now);
            answer.alive(now);
        }
    }
}
