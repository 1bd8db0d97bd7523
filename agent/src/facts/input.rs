//! Input devices that have keys, from `/proc/bus/input/devices`: any of them may carry the talk key.

use serde::Serialize;

/// Event type of keys and buttons (linux/input-event-codes.h).
const EV_KEY: usize = 1;
/// Letters Q to P and A to L: a device with all of them is a keyboard.
const LETTERS: [std::ops::RangeInclusive<usize>; 2] = [16..=25, 30..=38];
/// `BTN_LEFT`: a device with it and without letters is a mouse.
const BTN_LEFT: usize = 0x110;
/// Words in a bit mask; more is not a mask of any kernel.
const MASK_WORDS_MAX: usize = 32;

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InputDevice {
    pub name: String,
    /// `event3`, for `/dev/input/event3`.
    pub event: String,
    pub kind: InputKind,
    pub n_keys: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum InputKind {
    Keyboard,
    Mouse,
    Buttons,
}

pub fn parse(devices: &str) -> Vec<InputDevice> {
    devices.split("\n\n").filter_map(device).collect()
}

fn device(block: &str) -> Option<InputDevice> {
    let value = |start: &str| block.lines().find_map(|l| l.strip_prefix(start));
    if !has_bit(&mask(value("B: EV=")?), EV_KEY) {
        return None;
    }
    let keys = mask(value("B: KEY=")?);
    let handlers = value("H: Handlers=").unwrap_or("");
    Some(InputDevice {
        name: value("N: Name=").unwrap_or("").trim().trim_matches('"').to_string(),
        event: handlers.split_whitespace().find(|h| h.starts_with("event"))?.to_string(),
        kind: kind(&keys),
        n_keys: keys.iter().map(|w| w.count_ones()).sum(),
    })
}

fn kind(keys: &[u64]) -> InputKind {
    if LETTERS.into_iter().flatten().all(|bit| has_bit(keys, bit)) {
        InputKind::Keyboard
    } else if has_bit(keys, BTN_LEFT) {
        InputKind::Mouse
    } else {
        InputKind::Buttons
    }
}

/// Words of 64 bits in hexadecimal, the highest first; here the lowest first.
fn mask(text: &str) -> Vec<u64> {
    let words = text.split_whitespace().rev().take(MASK_WORDS_MAX);
    words.map(|w| u64::from_str_radix(w, 16).unwrap_or(0)).collect()
}

fn has_bit(mask: &[u64], bit: usize) -> bool {
    mask.get(bit / 64).is_some_and(|w| w >> (bit % 64) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(devices: &str, want: &[&str]) {
        let shown = |d: &InputDevice| format!("{} '{}' {:?} {}", d.event, d.name, d.kind, d.n_keys);
        assert_eq!(parse(devices).iter().map(shown).collect::<Vec<_>>(), want);
    }

    const KEYBOARD: &str = "I: Bus=0011 Vendor=0001 Product=0001 Version=ab41\nN: Name=\"AT Translated Set 2 keyboard\"\n\
        H: Handlers=sysrq kbd event0 leds \nB: PROP=0\nB: EV=120013\n\
        B: KEY=402000000 3803078f800d001 feffffdfffefffff fffffffffffffffe\n\n";

    #[test]
    fn a_keyboard_has_the_letters() {
        check(KEYBOARD, &["event0 'AT Translated Set 2 keyboard' Keyboard 144"]);
    }

    #[test]
    fn a_mouse_and_a_power_button_are_told_apart() {
        let mouse = "N: Name=\"Mouse\"\nH: Handlers=mouse0 event1 \nB: EV=7\nB: KEY=70000 0 0 0 0\n\n";
        let power =
            "N: Name=\"Power Button\"\nH: Handlers=kbd event2 \nB: EV=3\nB: KEY=8000 10000000000000 0\n\n";
        check(&format!("{mouse}{power}"), &["event1 'Mouse' Mouse 3", "event2 'Power Button' Buttons 2"]);
    }

    #[test]
    fn a_device_without_keys_or_without_event_is_left_out() {
        check("N: Name=\"HDA Intel Line\"\nH: Handlers=event3 \nB: EV=21\nB: SW=40\n\n", &[]);
        check("N: Name=\"Odd\"\nH: Handlers=kbd \nB: EV=3\nB: KEY=1\n\n", &[]);
    }

    #[test]
    fn garbage_is_no_device() {
        check("", &[]);
        check("B: EV=zz\nB: KEY=\n\nB: EV=", &[]);
    }
}
