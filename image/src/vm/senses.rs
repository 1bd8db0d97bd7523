//! What a person would try on a PC that has come up: press a key, listen whether it answers with its tone.
//!
//! The demo and the tests ask the same questions.

use super::shelf::Shelf;
use super::wav::{Tone, WAV_BYTES_MAX, find_tone};
use anyhow::{Context, Result, bail, ensure};
use std::fs::File;
use std::io::Read;
use std::time::{Duration, Instant};

/// Linux's number of a key press event, and the numbers of the keys (input-event-codes.h).
const EV_KEY: u32 = 1;
pub const KEY_F12: u32 = 88;
pub const KEY_RIGHT_CTRL: u32 = 97;
/// The higher of the two notes that say `I listen` (`agent/src/sound/earcon.rs`).
pub const LISTENING_HERTZ: f64 = 987.8;
/// How much of a moment must be the note, and how loud the loudest moment must be.
const SHARE_LEAST: f64 = 0.6;
const PEAK_LEAST: u16 = 1000;

const QUICK: Duration = Duration::from_secs(30);
const SLOW: Duration = Duration::from_secs(90);
/// Longer than the guest's shell needs to open the device.
const LISTEN: Duration = Duration::from_secs(2);
const HOLD: Duration = Duration::from_millis(200);
const LOOK_EVERY: Duration = Duration::from_millis(500);
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

/// Holds the hotkey until what the PC's speaker played has the two notes that say `I listen`.
pub fn listening_is_heard(shelf: &Shelf, pc_idx: usize) -> Result<Tone> {
    let mut last = Tone::default();
    for _ in 0..TRIES_MAX {
        // The sound card appears some time after multi-user.
        wait(SLOW, || has_speaker(shelf, pc_idx).unwrap_or(false));
        shelf.press(pc_idx, "f12", HOLD)?;
        let is_heard = wait(QUICK, || {
            last = heard(shelf, pc_idx).unwrap_or_default();
            last.share > SHARE_LEAST && last.peak > PEAK_LEAST
        });
        if is_heard {
            return Ok(last);
        }
    }
    let speaker = shelf.places(pc_idx).speaker.display();
    bail!("F12 was held, but the tone of a PC that listens is not in {speaker}: {last:?}")
}

fn has_speaker(shelf: &Shelf, pc_idx: usize) -> Result<bool> {
    let status: serde_json::Value = serde_json::from_str(&shelf.node_get(pc_idx, "/api/status")?)?;
    Ok(!status["voice"]["sound"]["speaker"]["device"].is_null())
}

fn wait(limit: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let started = Instant::now();
    loop {
        if is_so() {
            return true;
        }
        if started.elapsed() > limit {
            return false;
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// What came out of the PC's speaker so far.
fn heard(shelf: &Shelf, pc_idx: usize) -> Result<Tone> {
    let path = &shelf.places(pc_idx).speaker;
    let mut wav = Vec::new();
    let file = File::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
    file.take(WAV_BYTES_MAX).read_to_end(&mut wav)?;
    find_tone(&wav, LISTENING_HERTZ)
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
