//! A person sits at the serial line of a booted PC and tries all of it out.

use super::{BOOT_MAX, Place, turn, wait_until};
use image::vm::machine::{Dhcp, Pc};
use image::vm::shelf::Shelf;
use image::vm::stages::Stage;
use image::vm::wav::find_tone;
use std::fs;
use std::time::Duration;

/// The tone that the diagnosis plays.
const TONE_HERTZ: f64 = 440.0;
const HOLD: Duration = Duration::from_millis(200);

/// The line, and how much of it was read.
struct Line<'a> {
    shelf: &'a Shelf,
    begin: usize,
}

impl Line<'_> {
    fn now(&self) -> String {
        self.shelf.serial_text(0).unwrap()[self.begin..].to_owned()
    }

    /// Types a line, and waits until this is shown behind it.
    fn ask(&mut self, typed: &str, want: &str) -> String {
        self.begin = self.shelf.serial_text(0).unwrap().len();
        self.shelf.type_line(0, typed).unwrap();
        self.until(want)
    }

    fn until(&self, want: &str) -> String {
        assert!(wait_until(|| self.now().contains(want)), "{want:?} is not in what came: {}", self.now());
        self.now()
    }
}

#[test]
fn a_booted_pc_tells_and_tries_everything_on_its_serial_line() {
    let (test, _turn) = ("diag", turn());
    let Some(place) = Place::new(test) else { return };
    let Some(mut shelf) = place.shelf(test, Dhcp::Own, vec![Pc::default()]) else { return };
    shelf.power_on(0).unwrap();
    shelf.wait_for(0, Stage::Healthy, BOOT_MAX).unwrap();
    let mut line = Line { shelf: &shelf, begin: 0 };
    line.until("Press Enter");

    // What it tells.
    let overview = line.ask("", "? what else can be asked");
    assert!(overview.contains("pc1") && overview.contains("healthy"), "{overview}");
    line.ask("?", "y  test the memory");
    line.ask("u", "agent.service active");
    line.ask("n", &place.good);
    line.ask("l", "systemd[1]: ");

    // What it tries.
    // Nobody speaks into a virtual PC's card.
    let sound = line.ask("a", "The microphone gave no sound.");
    assert!(sound.contains("speaker: plughw:0,0 (HDA Intel)"), "{sound}");
    line.ask("d", " 1  plughw:0,0  HDA Intel");
    line.ask("d v 40", "It is so now.");
    line.ask("d s 1", "It is so now.");
    line.ask("d s 9", "There is no device of this number");
    line.ask("k", "Press any key");
    let is_seen = wait_until(|| {
        shelf.press(0, "f12", HOLD).unwrap();
        line.now().contains("f12 down")
    });
    assert!(is_seen, "{}", line.now());
    line.ask("", "listened to");
    line.ask("m", "microphone: ");
    line.ask("", "The microphone rests again.");
    line.ask("y", "All of it remembered.");

    // What is longer than a letter is answered as if it had been said; no model is there.
    line.ask("what time is it", "duet: ");
    line.ask("why is the sky blue", "I cannot reach a model");
    line.ask("x", "no root shell");
    line.ask("r", "Type yes");
    line.ask("no", "It goes on.");

    // The tone left the speaker.
    let tone = find_tone(&fs::read(&shelf.places(0).speaker).unwrap(), TONE_HERTZ).unwrap();
    assert!(tone.share > 0.9 && tone.seconds > 0.5, "{tone:?}");

    line.ask("r", "Type yes");
    line.ask("yes", "duet: pc1 boots");
}
