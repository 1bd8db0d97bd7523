//! Presses out of what keyboards, pedals, pages and consoles tell.
//!
//! One source holds the key at a time; what others do meanwhile is no press. A press is told at once, because the person
//! waits for its sound; a release is told after `BOUNCE`, because worn contacts open for a moment.
//! A device that vanishes while it holds has let go.

use std::collections::VecDeque;
use std::time::Duration;

/// A contact that closes again within this time was never open.
pub const BOUNCE: Duration = Duration::from_millis(15);
/// A press that is shorter is a tap.
pub const TAP_MAX: Duration = Duration::from_millis(250);
/// A key that is held longer lies under a book.
pub const HOLD_MAX: Duration = Duration::from_secs(30);

/// What a press of the key means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Manner {
    /// The ear is open while the key is down.
    Hold,
    /// Each press opens or closes it.
    Toggle,
    /// Held it is `Hold`, tapped it is `Toggle`.
    #[default]
    Either,
    /// Each press opens or closes it, for as long as it takes: hands-free.
    Switch,
}

/// Who can press.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A key of an input device.
    Key { device: u32, code: u16 },
    /// Somebody who says start and stop: a page, the console, a caller of the API.
    Told(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    Down(Source),
    Up(Source),
    /// The input device is no more.
    Gone {
        device: u32,
    },
    /// What was begun by a press ended by itself.
    Ended,
    /// Time went by.
    Tick,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    Press,
    Release,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Free,
    /// The ear is open for as long as this source holds.
    Held {
        by: Source,
        since: Duration,
    },
    /// The source let go, if it was no bounce.
    Loose {
        by: Source,
        since: Duration,
        until: Duration,
    },
    /// Tapped: the ear is open until the next press.
    Open {
        since: Duration,
    },
    /// The ear is closed, and this source is still down.
    Spent {
        by: Source,
    },
}

/// One node's key, whatever presses it.
#[derive(Debug)]
pub struct Key {
    manner: Manner,
    state: State,
    /// What comes down before is the same press as before.
    deaf_until: Duration,
    wishes: VecDeque<Output>,
}

impl Key {
    pub fn new(manner: Manner) -> Key {
        Key { manner, state: State::Free, deaf_until: Duration::ZERO, wishes: VecDeque::new() }
    }

    /// What a press means from now on. What was begun in another manner has ended.
    pub fn set_manner(&mut self, manner: Manner) {
        if manner != self.manner {
            self.manner = manner;
            self.ended();
        }
    }

    pub fn handle(&mut self, now: Duration, input: Input) {
        self.settle(now);
        match input {
            Input::Down(source) => self.down(now, source),
            Input::Up(source) => self.up(now, source),
            Input::Gone { device } => self.gone(device),
            Input::Ended => self.ended(),
            Input::Tick => {}
        }
    }

    pub fn poll(&mut self) -> Option<Output> {
        self.wishes.pop_front()
    }

    /// When time alone changes something.
    pub fn deadline(&self) -> Option<Duration> {
        match self.state {
            State::Held { .. } | State::Open { .. } if self.manner == Manner::Switch => None,
            State::Held { since, .. } | State::Open { since } => Some(since + HOLD_MAX),
            State::Loose { until, .. } => Some(until),
            State::Free | State::Spent { .. } => None,
        }
    }

    /// What time alone has changed by now.
    fn settle(&mut self, now: Duration) {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        match self.state {
            State::Held { by, .. } => self.release(spent(by)),
            State::Loose { .. } | State::Open { .. } => self.release(State::Free),
            State::Free | State::Spent { .. } => {}
        }
    }

    fn down(&mut self, now: Duration, source: Source) {
        match self.state {
            State::Loose { by, since, .. } if by == source => self.state = State::Held { by, since },
            State::Free if now >= self.deaf_until => {
                self.wishes.push_back(Output::Press);
                self.state = match (source, self.manner) {
                    // Whoever says start may be gone when another says stop.
                    (Source::Told(_), Manner::Switch) => State::Open { since: now },
                    _ => State::Held { by: source, since: now },
                };
            }
            // Start, where it is open already.
            State::Open { .. } if matches!(source, Source::Told(_)) => {}
            State::Open { .. } if now >= self.deaf_until => self.release(spent(source)),
            _ => {}
        }
    }

    fn up(&mut self, now: Duration, source: Source) {
        match self.state {
            State::Held { by, since } if by == source => {
                self.state = if self.is_tap(source, now.saturating_sub(since)) {
                    State::Open { since }
                } else {
                    State::Loose { by, since, until: now + BOUNCE }
                };
            }
            State::Spent { by } if by == source => self.state = State::Free,
            State::Open { .. } if matches!(source, Source::Told(_)) => self.release(State::Free),
            _ => return,
        }
        self.deaf_until = now + BOUNCE;
    }

    fn is_tap(&self, source: Source, held: Duration) -> bool {
        match (source, self.manner) {
            (Source::Told(_), _) | (_, Manner::Hold) => false,
            (_, Manner::Toggle | Manner::Switch) => true,
            (_, Manner::Either) => held < TAP_MAX,
        }
    }

    fn gone(&mut self, device: u32) {
        let is_its = |by| matches!(by, Source::Key { device: of, .. } if of == device);
        match self.state {
            State::Held { by, .. } | State::Loose { by, .. } if is_its(by) => self.release(State::Free),
            State::Spent { by } if is_its(by) => self.state = State::Free,
            _ => {}
        }
    }

    fn ended(&mut self) {
        self.state = match self.state {
            State::Held { by, .. } => spent(by),
            State::Loose { .. } | State::Open { .. } => State::Free,
            state => state,
        };
    }

    fn release(&mut self, next: State) {
        self.wishes.push_back(Output::Release);
        self.state = next;
    }
}

/// A key must come up first. Whoever only says start may be gone, and is not waited for.
fn spent(by: Source) -> State {
    match by {
        Source::Key { .. } => State::Spent { by },
        Source::Told(_) => State::Free,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CTRL: Source = Source::Key { device: 1, code: 97 };
    const PEDAL: Source = Source::Key { device: 2, code: 48 };
    const PAGE: Source = Source::Told(7);

    /// `at` are milliseconds. The story that the key tells: `press@0 release@515`.
    fn check(manner: Manner, steps: &[(u64, Input)], want: &str) {
        let mut key = Key::new(manner);
        let mut story = vec![];
        let end = (100_000, Input::Tick);
        for &(at, input) in steps.iter().chain([&end]) {
            let at = Duration::from_millis(at);
            // The hands wake the machine at its deadlines.
            while let Some(deadline) = key.deadline().filter(|deadline| *deadline < at) {
                key.handle(deadline, Input::Tick);
                story.extend(key.poll().map(|wish| (wish, deadline)));
            }
            key.handle(at, input);
            while let Some(wish) = key.poll() {
                story.push((wish, at));
            }
        }
        let told: Vec<String> =
            story.iter().map(|(wish, at)| format!("{wish:?}@{}", at.as_millis()).to_lowercase()).collect();
        assert_eq!(told.join(" "), want);
    }

    fn down(at: u64, source: Source) -> (u64, Input) {
        (at, Input::Down(source))
    }

    fn up(at: u64, source: Source) -> (u64, Input) {
        (at, Input::Up(source))
    }

    #[test]
    fn a_held_key_is_a_press_and_a_release() {
        check(Manner::Hold, &[down(0, CTRL), up(500, CTRL)], "press@0 release@515");
        check(Manner::Either, &[down(0, CTRL), up(500, CTRL)], "press@0 release@515");
    }

    #[test]
    fn a_contact_that_bounces_is_one_press() {
        let bounces =
            [down(0, CTRL), up(3, CTRL), down(5, CTRL), up(500, CTRL), down(505, CTRL), up(510, CTRL)];
        check(Manner::Hold, &bounces, "press@0 release@525");
        let taps =
            [down(0, CTRL), up(80, CTRL), down(85, CTRL), up(88, CTRL), down(2000, CTRL), up(2080, CTRL)];
        check(Manner::Toggle, &taps, "press@0 release@2000");
    }

    #[test]
    fn a_tap_opens_and_the_next_closes() {
        let taps = [
            down(0, CTRL),
            up(100, CTRL),
            down(3000, CTRL),
            up(3100, CTRL),
            down(4000, CTRL),
            up(5000, CTRL),
        ];
        check(Manner::Either, &taps, "press@0 release@3000 press@4000 release@5015");
        check(Manner::Toggle, &taps, "press@0 release@3000 press@4000 release@34000");
    }

    #[test]
    fn what_is_told_start_and_stop_is_held_in_every_manner() {
        for manner in [Manner::Hold, Manner::Toggle, Manner::Either] {
            check(manner, &[down(0, PAGE), up(100, PAGE)], "press@0 release@115");
        }
    }

    #[test]
    fn whoever_says_stop_closes_what_a_tap_opened() {
        let taps = [down(0, CTRL), up(100, CTRL), down(500, PAGE), up(900, PAGE)];
        check(Manner::Either, &taps, "press@0 release@900");
    }

    #[test]
    fn hands_free_lasts_until_somebody_ends_it() {
        let taps = [down(0, CTRL), up(700, CTRL), down(90_000, CTRL), up(90_900, CTRL)];
        check(Manner::Switch, &taps, "press@0 release@90000");
        let told = [down(0, PAGE), down(40_000, PAGE), up(90_000, PAGE)];
        check(Manner::Switch, &told, "press@0 release@90000");
        check(
            Manner::Switch,
            &[down(0, PAGE), down(40_000, CTRL), up(40_100, CTRL)],
            "press@0 release@40000",
        );
    }

    #[test]
    fn a_press_of_another_manner_is_over() {
        let mut key = Key::new(Manner::Hold);
        key.handle(Duration::ZERO, Input::Down(CTRL));
        key.set_manner(Manner::Switch);
        assert_eq!((key.poll(), key.poll()), (Some(Output::Press), None));
        key.handle(Duration::from_secs(1), Input::Up(CTRL));
        key.handle(Duration::from_secs(2), Input::Down(CTRL));
        assert_eq!(key.poll(), Some(Output::Press));
    }

    #[test]
    fn one_source_holds_and_others_press_nothing() {
        let both = [down(0, CTRL), down(100, PEDAL), up(300, PEDAL), down(400, PAGE), up(900, CTRL)];
        check(Manner::Hold, &both, "press@0 release@915");
    }

    #[test]
    fn another_source_may_close_what_a_tap_opened() {
        check(
            Manner::Either,
            &[down(0, CTRL), up(100, CTRL), down(900, PEDAL), up(990, PEDAL)],
            "press@0 release@900",
        );
    }

    #[test]
    fn a_device_that_vanishes_has_let_go() {
        let gone = |at, device| (at, Input::Gone { device });
        check(
            Manner::Hold,
            &[down(0, CTRL), gone(300, 1), down(400, CTRL), up(900, CTRL)],
            "press@0 release@300 press@400 release@915",
        );
        check(Manner::Hold, &[down(0, CTRL), gone(300, 2), up(900, CTRL)], "press@0 release@915");
    }

    #[test]
    fn a_key_under_a_book_is_released_and_must_come_up_first() {
        check(
            Manner::Hold,
            &[down(0, CTRL), down(40_000, CTRL), up(50_000, CTRL), down(51_000, CTRL), up(52_000, CTRL)],
            "press@0 release@30000 press@51000 release@52015",
        );
    }

    #[test]
    fn a_page_that_is_gone_keeps_the_key_from_nobody() {
        let steps = [down(0, PAGE), down(40_000, CTRL), up(41_000, CTRL)];
        check(Manner::Hold, &steps, "press@0 release@30000 press@40000 release@41015");
    }

    #[test]
    fn what_ended_by_itself_needs_no_release() {
        let ended = |at| (at, Input::Ended);
        check(
            Manner::Either,
            &[down(0, CTRL), up(100, CTRL), ended(4000), down(5000, CTRL), up(6000, CTRL)],
            "press@0 press@5000 release@6015",
        );
        check(
            Manner::Hold,
            &[down(0, CTRL), ended(4000), up(5000, CTRL), down(6000, CTRL), up(7000, CTRL)],
            "press@0 press@6000 release@7015",
        );
    }

    #[test]
    fn no_story_of_keys_ends_with_the_ear_open() {
        // Every press is followed by a release before the next press, whatever happens.
        let mut dice = 42_u64;
        let mut throw = |sides: u64| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (dice >> 33) % sides
        };
        for manner in [Manner::Hold, Manner::Toggle, Manner::Either] {
            let (mut key, mut now, mut is_open) = (Key::new(manner), Duration::ZERO, false);
            for step in 0..200_000 {
                now += Duration::from_millis(throw(400));
                let source = [CTRL, PEDAL, PAGE][throw(3) as usize];
                let input = match throw(20) {
                    0 => Input::Gone { device: throw(3) as u32 },
                    1..=9 => Input::Down(source),
                    10..=18 => Input::Up(source),
                    _ => Input::Tick,
                };
                key.handle(now, input);
                while let Some(wish) = key.poll() {
                    assert_eq!(wish == Output::Press, !is_open, "seed 42, {manner:?}, step {step}");
                    is_open = !is_open;
                }
            }
            key.handle(now + HOLD_MAX, Input::Tick);
            while key.poll().is_some() {
                is_open = !is_open;
            }
            assert!(!is_open, "{manner:?}");
        }
    }
}
