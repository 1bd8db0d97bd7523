//! What an input device writes: events of 24 bytes, of which only keys matter here, and of those only the wished ones.
//!
//! A key that repeats itself is no press. When the kernel had to drop events it says so; what it sends until the next
//! full report is old, and then the device has to be asked what is down.

use std::collections::BTreeSet;

/// `struct input_event` on a 64-bit kernel: two numbers of 8 bytes for the time, then type, code and value.
pub const EVENT_BYTES: usize = 24;
/// One bit for each code that there is (`KEY_MAX`).
pub const MASK_BYTES: usize = 96;
/// Codes end here.
pub const CODES: u16 = (MASK_BYTES * 8) as u16;

const EV_SYN: u16 = 0;
const EV_KEY: u16 = 1;
const SYN_REPORT: u16 = 0;
const SYN_DROPPED: u16 = 3;
const UP: i32 = 0;
const DOWN: i32 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    Down(u16),
    Up(u16),
    /// Events were lost: ask what is down, and hand it to `held`.
    Ask,
}

/// One device's presses.
#[derive(Debug, Clone, Default)]
pub struct Presses {
    /// Nothing means all.
    wished: Option<BTreeSet<u16>>,
    down: BTreeSet<u16>,
    /// The beginning of an event whose end was not read yet.
    rest: Vec<u8>,
    is_dropping: bool,
}

impl Presses {
    /// Of these keys, or of all.
    pub fn new(wished: Option<BTreeSet<u16>>) -> Presses {
        Presses { wished, ..Presses::default() }
    }

    /// What was read from the device, in pieces of any length.
    pub fn handle(&mut self, mut bytes: &[u8], tell: &mut dyn FnMut(Told)) {
        if !self.rest.is_empty() {
            let (head, after) = bytes.split_at(bytes.len().min(EVENT_BYTES - self.rest.len()));
            self.rest.extend_from_slice(head);
            bytes = after;
            if self.rest.len() < EVENT_BYTES {
                return;
            }
            let event = std::mem::take(&mut self.rest);
            self.event(&event, tell);
        }
        let events = bytes.chunks_exact(EVENT_BYTES);
        self.rest.extend_from_slice(events.remainder());
        for event in events {
            self.event(event, tell);
        }
    }

    /// What is down by the device's own word; without one, nothing is.
    pub fn held(&mut self, mask: Option<&[u8; MASK_BYTES]>, tell: &mut dyn FnMut(Told)) {
        let is_held = |code: u16| mask.is_some_and(|mask| mask[usize::from(code / 8)] >> (code % 8) & 1 == 1);
        for code in 0..CODES {
            self.key(code, if is_held(code) { DOWN } else { UP }, tell);
        }
    }

    pub fn is_down(&self) -> bool {
        !self.down.is_empty()
    }

    /// `event` is `EVENT_BYTES` long.
    fn event(&mut self, event: &[u8], tell: &mut dyn FnMut(Told)) {
        let number = |at: usize| u16::from_ne_bytes([event[at], event[at + 1]]);
        let (kind, code) = (number(16), number(18));
        let value = i32::from_ne_bytes([event[20], event[21], event[22], event[23]]);
        match (kind, code) {
            (EV_SYN, SYN_DROPPED) => self.is_dropping = true,
            (EV_SYN, SYN_REPORT) if self.is_dropping => {
                self.is_dropping = false;
                tell(Told::Ask);
            }
            (EV_KEY, code) if !self.is_dropping => self.key(code, value, tell),
            _ => {}
        }
    }

    fn key(&mut self, code: u16, value: i32, tell: &mut dyn FnMut(Told)) {
        if code >= CODES || self.wished.as_ref().is_some_and(|wished| !wished.contains(&code)) {
            return;
        }
        match value {
            DOWN if self.down.insert(code) => tell(Told::Down(code)),
            UP if self.down.remove(&code) => tell(Told::Up(code)),
            // Repeats of the keyboard's own, and what no kernel says.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CTRL: u16 = 97;
    const F12: u16 = 88;

    fn event(kind: u16, code: u16, value: i32) -> Vec<u8> {
        let mut bytes = vec![0xa5; 16];
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(code.to_ne_bytes());
        bytes.extend(value.to_ne_bytes());
        bytes
    }

    fn key(code: u16, value: i32) -> Vec<u8> {
        [event(4, 4, 0x700e4), event(EV_KEY, code, value), event(EV_SYN, SYN_REPORT, 0)].concat()
    }

    fn presses() -> Presses {
        Presses::new(Some(BTreeSet::from([CTRL, F12])))
    }

    fn told(presses: &mut Presses, bytes: &[u8]) -> Vec<Told> {
        let mut told = vec![];
        presses.handle(bytes, &mut |it| told.push(it));
        told
    }

    #[track_caller]
    fn check(events: &[Vec<u8>], want: &[Told]) {
        assert_eq!(told(&mut presses(), &events.concat()), want);
    }

    #[test]
    fn a_key_goes_down_and_comes_up_once_however_it_repeats() {
        let events = [key(CTRL, 1), key(CTRL, 2), key(CTRL, 2), key(CTRL, 0)];
        check(&events, &[Told::Down(CTRL), Told::Up(CTRL)]);
        check(&[key(CTRL, 1), key(CTRL, 1), key(CTRL, 0), key(CTRL, 0)], &[Told::Down(CTRL), Told::Up(CTRL)]);
    }

    #[test]
    fn other_keys_and_other_events_are_nobodys_matter() {
        let (mouse, lamp) = (event(2, CTRL, 1), event(17, CTRL, 1));
        check(&[key(30, 1), mouse, lamp, key(30, 0)], &[]);
    }

    #[test]
    fn a_key_that_was_down_before_is_no_press() {
        check(&[key(CTRL, 2), key(CTRL, 0), key(F12, 1)], &[Told::Down(F12)]);
    }

    #[test]
    fn values_and_codes_of_no_kernel_are_left_out() {
        let events = [event(EV_KEY, CTRL, -1), event(EV_KEY, CTRL, i32::MAX), event(EV_KEY, u16::MAX, 1)];
        check(&events, &[]);
        let mut all = Presses::new(None);
        assert!(told(&mut all, &event(EV_KEY, CODES, 1)).is_empty());
        assert_eq!(told(&mut all, &event(EV_KEY, CODES - 1, 1)), [Told::Down(CODES - 1)]);
    }

    #[test]
    fn what_was_dropped_is_asked_for_and_no_key_is_stuck() {
        let mut presses = presses();
        let dropped = [
            key(CTRL, 1),
            event(EV_SYN, SYN_DROPPED, 0),
            // Old: it belongs to a report that is not whole.
            event(EV_KEY, F12, 1),
            event(EV_SYN, SYN_REPORT, 0),
        ];
        assert_eq!(told(&mut presses, &dropped.concat()), [Told::Down(CTRL), Told::Ask]);
        let (mut mask, mut after) = ([0; MASK_BYTES], vec![]);
        mask[usize::from(F12 / 8)] |= 1 << (F12 % 8);
        presses.held(Some(&mask), &mut |it| after.push(it));
        assert_eq!(after, [Told::Down(F12), Told::Up(CTRL)]);
        after.clear();
        presses.held(None, &mut |it| after.push(it));
        assert_eq!((after, presses.is_down()), (vec![Told::Up(F12)], false));
    }

    #[test]
    fn events_may_come_in_pieces_of_any_length() {
        let bytes = [key(CTRL, 1), key(CTRL, 0), key(F12, 1), key(F12, 0)].concat();
        let whole = told(&mut presses(), &bytes);
        assert_eq!(whole.len(), 4);
        for n in 1..60 {
            let mut presses = presses();
            let pieces: Vec<Told> = bytes.chunks(n).flat_map(|piece| told(&mut presses, piece)).collect();
            assert_eq!(pieces, whole, "pieces of {n}");
        }
    }

    #[test]
    fn whatever_is_written_downs_and_ups_of_a_key_take_turns() {
        let mut dice = 42_u64;
        let mut throw = || {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (dice >> 33) as u16
        };
        let (mut presses, mut down) = (Presses::new(None), BTreeSet::new());
        for step in 0..100_000 {
            let bytes = event(throw() % 3, throw() % 5, i32::from(throw() % 4) - 1);
            let cut = if throw() % 50 == 0 { usize::from(throw() % 24) } else { EVENT_BYTES };
            for it in told(&mut presses, &bytes[..cut]) {
                let is_right = match it {
                    Told::Down(code) => down.insert(code),
                    Told::Up(code) => down.remove(&code),
                    Told::Ask => true,
                };
                assert!(is_right, "seed 42, step {step}: {it:?}");
            }
        }
    }
}
