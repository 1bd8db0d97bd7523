//! What a person would try on a PC that has come up: press a key, listen to a tone.
//!
//! The demo and the tests ask the same questions; both go through the control shell,
//! so nothing of the node's own programs is taken for granted.

use super::shelf::Shelf;
use super::wav::{Tone, WAV_BYTES_MAX, find_tone};
use anyhow::{Context, Result, ensure};
use std::fs::File;
use std::io::Read;
use std::time::Duration;

/// Linux's number of a key press event, and the numbers of the keys (input-event-codes.h).
const EV_KEY: u32 = 1;
pub const KEY_F12: u32 = 88;
pub const KEY_RIGHT_CTRL: u32 = 97;
/// The tone of [`play_tone`].
pub const TONE_HERTZ: f64 = 500.0;

const QUICK: Duration = Duration::from_secs(30);
const SLOW: Duration = Duration::from_secs(90);
/// Longer than the guest's shell needs to open the device.
const LISTEN: Duration = Duration::from_secs(2);
const HOLD: Duration = Duration::from_millis(200);
/// How often a key is pressed before we say that the guest does not see it.
const TRIES_MAX: usize = 5;

/// Presses a key and says whether the guest's input device reports it, down and up.
pub fn key_is_seen(shelf: &Shelf, pc_idx: usize, key: &str, code: u32) -> Result<bool> {
    // The keyboard's driver may be loaded by udev some time after multi-user.
    let find = "for i in 1 2 3 4 5 6 7 8 9; do \
        e=$(grep -A4 'AT Translated' /proc/bus/input/devices | grep -o 'event[0-9]*' | head -n1); \
        [ -c /dev/input/$e ] && break; sleep 2; done; echo $e";
    let device = shelf.command(pc_idx, find, SLOW)?.output;
    ensure!(device.trim().starts_with("event"), "the guest has no keyboard: {device:?}");
    // An event is 24 bytes: a time of 16, then type, code and value; words are 16 bits wide here.
    let read = format!("timeout 15 od -A n -v -t u2 -w24 -N 240 /dev/input/{}", device.trim());
    for _ in 0..TRIES_MAX {
        let seen = std::thread::scope(|scope| {
            let listening = scope.spawn(|| shelf.command(pc_idx, &read, SLOW));
            std::thread::sleep(LISTEN);
            let mut pressed = Ok(());
            for _ in 0..2 {
                pressed = pressed.and_then(|()| shelf.press(pc_idx, key, HOLD));
            }
            let answer = listening.join().map_err(|_| anyhow::anyhow!("the listening thread died"))?;
            pressed.and(answer)
        })?;
        if has_event(&seen.output, code, 1) && has_event(&seen.output, code, 0) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn has_event(words: &str, code: u32, value: u32) -> bool {
    words.lines().any(|line| {
        let numbers: Vec<u32> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        numbers.get(8..11) == Some(&[EV_KEY, code, value])
    })
}

/// Plays a tone of half a second in the guest.
pub fn play_tone(shelf: &Shelf, pc_idx: usize) -> Result<()> {
    // The sound card appears some time after multi-user.
    let wait = "for i in 1 2 3 4 5 6 7 8 9; do [ -c /dev/snd/pcmC0D0p ] && break; sleep 3; done; \
        [ -c /dev/snd/pcmC0D0p ] && { amixer -q -c0 sset Master 100% unmute; true; }";
    ensure!(shelf.command(pc_idx, wait, SLOW)?.status == 0, "the guest has no sound card");
    // Eight samples up, eight down, at 8000 a second: a square wave of 500 Hz.
    let play = "for i in $(seq 500); do \
        printf '\\300\\300\\300\\300\\300\\300\\300\\300\\100\\100\\100\\100\\100\\100\\100\\100'; done \
        > /tmp/tone; aplay -q -D plughw:0,0 -t raw -f U8 -r 8000 -c 1 /tmp/tone";
    let answer = shelf.command(pc_idx, play, SLOW)?;
    ensure!(answer.status == 0, "aplay failed in the guest: {}", answer.output);
    shelf.command(pc_idx, "rm -f /tmp/tone", QUICK).map(drop)
}

/// What came out of the PC's speaker so far.
pub fn heard(shelf: &Shelf, pc_idx: usize) -> Result<Tone> {
    let path = &shelf.places(pc_idx).speaker;
    let mut wav = Vec::new();
    let file = File::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
    file.take(WAV_BYTES_MAX).read_to_end(&mut wav)?;
    find_tone(&wav, TONE_HERTZ)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(words: &str, want: bool) {
        assert_eq!(has_event(words, KEY_F12, 1), want, "{words}");
    }

    #[test]
    fn a_key_press_is_found_between_scan_code_and_synchronisation() {
        check("  1 0 0 0 2 0 0 0 4 4 88 0\n  1 0 0 0 2 0 0 0 1 88 1 0\n  1 0 0 0 2 0 0 0 0 0 0 0\n", true);
    }

    #[test]
    fn a_release_is_no_press() {
        check("1 0 0 0 2 0 0 0 1 88 0 0", false);
    }

    #[test]
    fn another_key_is_another_key() {
        check("1 0 0 0 2 0 0 0 1 97 1 0", false);
    }

    #[test]
    fn a_line_that_is_cut_off_is_nothing() {
        check("1 0 0 0 2 0 0 0 1 88", false);
    }
}
