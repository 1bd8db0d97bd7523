//! The reporter: when to look at the node, and what to tell which boot server.
//!
//! A core without hands: it is told what was seen and what became of a report, and says what to do next.
//! It never reads a clock or a socket. A boot goes `Booting`, `Booted`, `Healthy`; a stage is reported until one of
//! the servers has taken it, with pauses that double up to a limit, over all servers in turn.

use crate::health::{Health, State as HealthState};
use release::Stage;
use std::collections::VecDeque;
use std::time::Duration;

/// Looks at the node follow each other at this distance until multi-user is reached: one file is read.
pub const LOOK_BOOTING: Duration = Duration::from_millis(250);
/// And at this one afterwards: systemd is asked, which costs two processes.
pub const LOOK_BOOTED: Duration = Duration::from_secs(2);
/// A healthy node is looked at seldom, to see it fail.
pub const LOOK_HEALTHY: Duration = Duration::from_secs(60);
/// A node that is not healthy this long after multi-user has failed, and says why.
pub const HEALTHY_WAIT_MAX: Duration = Duration::from_secs(180);
/// First and longest pause after a round over all servers in vain.
pub const PAUSE_MIN: Duration = Duration::from_millis(500);
pub const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Notices that wait at most; a node has no more to say at once.
pub const MAIL_MAX: usize = 8;

/// What happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// An answer to [`Output::Look`] before multi-user: the clock of the moment, if it has come.
    Reached(Option<u64>),
    /// An answer to [`Output::Look`] afterwards.
    Judged { health: Health, clock: u64 },
    /// Whether the server took the last [`Output::Post`].
    Posted(bool),
    /// The deadline has come.
    Woken,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// See whether multi-user is reached, cheaply.
    LookForBoot,
    /// See how the node is.
    LookForHealth,
    /// Say in the kernel log that this stage is reached.
    Announce(Notice),
    /// Tell one server.
    Post { server_idx: usize, notice: Notice },
}

/// One stage of the boot as it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub stage: Stage,
    pub sentence: String,
    pub clock: u64,
}

#[derive(Debug)]
enum State {
    Booting,
    Booted { since: Duration },
    Healthy,
}

/// Time is the time since some start, the same for all calls.
#[derive(Debug)]
pub struct Reporter {
    n_servers: usize,
    state: State,
    look_at: Option<Duration>,
    /// What no server has taken yet, in the order it came.
    mail: VecDeque<Mail>,
    last_told: Option<(Stage, String)>,
    wishes: VecDeque<Output>,
}

#[derive(Debug)]
struct Mail {
    notice: Notice,
    server_idx: usize,
    pause: Duration,
    /// Absent while a post is on its way.
    due: Option<Duration>,
}

impl Reporter {
    pub fn new(n_servers: usize) -> Reporter {
        let start = Some(Duration::ZERO);
        let (mail, wishes) = (VecDeque::new(), VecDeque::new());
        Reporter { n_servers, state: State::Booting, look_at: start, mail, last_told: None, wishes }
    }

    pub fn handle(&mut self, now: Duration, input: Input) {
        match input {
            Input::Reached(None) => self.look_at = Some(now + LOOK_BOOTING),
            Input::Reached(Some(clock)) => self.booted(now, clock),
            Input::Judged { health, clock } => self.judged(now, health, clock),
            Input::Posted(taken) => self.posted(now, taken),
            Input::Woken => {}
        }
        self.wake(now);
    }

    pub fn poll(&mut self) -> Option<Output> {
        self.wishes.pop_front()
    }

    pub fn deadline(&self) -> Option<Duration> {
        let mail = self.mail.front().and_then(|m| m.due);
        [self.look_at, mail].into_iter().flatten().min()
    }

    fn booted(&mut self, now: Duration, clock: u64) {
        self.state = State::Booted { since: now };
        self.look_at = Some(now);
        self.tell(now, Notice { stage: Stage::Booted, sentence: "multi-user is reached".into(), clock });
    }

    fn judged(&mut self, now: Duration, health: Health, clock: u64) {
        let late = match self.state {
            State::Booted { since } => now >= since + HEALTHY_WAIT_MAX,
            _ => false,
        };
        let stage = match health.state {
            HealthState::Healthy => Some(Stage::Healthy),
            HealthState::Failed => Some(Stage::Failed),
            HealthState::Starting => late.then_some(Stage::Failed),
        };
        if let Some(stage) = stage {
            self.tell(now, Notice { stage, sentence: health.sentence, clock });
        }
        if stage == Some(Stage::Healthy) {
            self.state = State::Healthy;
        }
        let pause = if matches!(self.state, State::Healthy) { LOOK_HEALTHY } else { LOOK_BOOTED };
        self.look_at = Some(now + pause);
    }

    /// The same news is told once.
    fn tell(&mut self, now: Duration, notice: Notice) {
        let news = (notice.stage, notice.sentence.clone());
        if self.last_told.as_ref() == Some(&news) {
            return;
        }
        self.last_told = Some(news);
        self.wishes.push_back(Output::Announce(notice.clone()));
        if self.n_servers == 0 {
            return;
        }
        if self.mail.len() < MAIL_MAX {
            self.mail.push_back(Mail { notice, server_idx: 0, pause: PAUSE_MIN, due: Some(now) });
        }
    }

    fn posted(&mut self, now: Duration, taken: bool) {
        let news_waits = self.mail.len() > 1;
        let Some(mail) = self.mail.front_mut() else { return };
        mail.server_idx = (mail.server_idx + 1) % self.n_servers;
        let round_is_over = mail.server_idx == 0;
        // What nobody took in a whole round gives way to newer news: that a node is healthy says that it has booted.
        if taken || round_is_over && news_waits {
            self.mail.pop_front();
            return;
        }
        mail.due = Some(if round_is_over { now + mail.pause } else { now });
        if round_is_over {
            mail.pause = (mail.pause * 2).min(PAUSE_MAX);
        }
    }

    fn wake(&mut self, now: Duration) {
        if self.look_at.is_some_and(|at| at <= now) {
            self.look_at = None;
            let booting = matches!(self.state, State::Booting);
            self.wishes.push_back(if booting { Output::LookForBoot } else { Output::LookForHealth });
        }
        let Some(mail) = self.mail.front_mut().filter(|m| m.due.is_some_and(|at| at <= now)) else { return };
        mail.due = None;
        let (server_idx, notice) = (mail.server_idx, mail.notice.clone());
        self.wishes.push_back(Output::Post { server_idx, notice });
    }
}

#[cfg(test)]
mod tests;
