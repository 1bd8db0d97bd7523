//! Keyboards that are pipes, in a folder that stands for the machine: the same bytes as the kernel's, plugged in, pressed
//! and unplugged.

#![allow(clippy::unwrap_used)] // A panic is how a test reports.

use agent::keys::listening::LocalKeys;
use agent::talk::parts::Event;
use agent::talk::{Events, Post, post_for};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;
use voice::key::{Input, Source};

const LIMIT: Duration = Duration::from_secs(60);
/// A mask with right Ctrl and F12, and one with the power button alone.
const KEYBOARD: &str = "402000000 3803078f800d001 feffffdfffefffff fffffffffffffffe\n";
const POWER: &str = "8000 10000000000000 0\n";

struct Machine {
    root: PathBuf,
    post: Post,
    events: Events,
}

impl Machine {
    fn new(name: &str, room: usize) -> Machine {
        let root = std::env::temp_dir().join(format!("duet-keys-{name}-{}", std::process::id()));
        let (post, events) = post_for(room);
        Machine { root, post, events }
    }

    fn start(&self) -> LocalKeys {
        let keys = ["rightctrl", "f12"].map(String::from);
        LocalKeys::start(&self.root, Some(&keys), &self.post).unwrap()
    }

    /// A device that appears whole, as a real one does; it lives as long as what is returned.
    fn plug(&self, number: u32, mask: &str) -> File {
        let about = self.root.join(format!("sys/class/input/event{number}/device"));
        std::fs::create_dir_all(about.join("capabilities")).unwrap();
        std::fs::write(about.join("capabilities/key"), mask).unwrap();
        std::fs::write(about.join("name"), "A pipe\n").unwrap();
        std::fs::create_dir_all(self.root.join("dev/input")).unwrap();
        let made = self.root.join(format!("made{number}"));
        mknodat(CWD, &made, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let file = File::options().read(true).write(true).open(&made).unwrap();
        std::fs::rename(&made, self.device(number)).unwrap();
        file
    }

    fn unplug(&self, number: u32, file: File) {
        std::fs::remove_file(self.device(number)).unwrap();
        drop(file);
    }

    fn device(&self, number: u32) -> PathBuf {
        self.root.join(format!("dev/input/event{number}"))
    }

    fn next(&self) -> Input {
        match self.events.next(LIMIT).expect("a key within the limit") {
            Event::Key(input) => input,
            other => panic!("no key: {other:?}"),
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        _ = std::fs::remove_dir_all(&self.root);
    }
}

fn key(code: u16, value: i32) -> Vec<u8> {
    let event = |kind: u16, code: u16, value: i32| {
        [&[0; 16][..], &kind.to_ne_bytes(), &code.to_ne_bytes(), &value.to_ne_bytes()].concat()
    };
    [event(1, code, value), event(0, 0, 0)].concat()
}

fn dropped() -> Vec<u8> {
    [&[0; 16][..], &[0, 0, 3, 0, 0, 0, 0, 0], &[0; 24]].concat()
}

fn ctrl(device: u32) -> Source {
    Source::Key { device, code: 97 }
}

#[test]
fn a_keyboard_that_is_there_is_heard_and_its_repeats_are_not() {
    let machine = Machine::new("there", 64);
    let mut keyboard = machine.plug(3, KEYBOARD);
    let keys = machine.start();
    keyboard.write_all(&[key(30, 1), key(97, 1), key(97, 2), key(97, 0), key(88, 1)].concat()).unwrap();
    assert_eq!(machine.next(), Input::Down(ctrl(3)));
    assert_eq!(machine.next(), Input::Up(ctrl(3)));
    assert_eq!(machine.next(), Input::Down(Source::Key { device: 3, code: 88 }));
    let state = keys.state();
    assert_eq!((state.devices, state.reason), (vec!["event3: A pipe".to_string()], None));
    assert!(state.last_press_s.is_some());
}

#[test]
fn a_keyboard_that_is_plugged_in_later_is_heard_and_one_that_is_unplugged_while_held_lets_go() {
    let machine = Machine::new("plug", 64);
    // Not even the folder is there.
    let _keys = machine.start();
    let mut first = machine.plug(0, KEYBOARD);
    first.write_all(&key(97, 1)).unwrap();
    assert_eq!(machine.next(), Input::Down(ctrl(0)));
    let mut second = machine.plug(1, KEYBOARD);
    second.write_all(&key(97, 1)).unwrap();
    assert_eq!(machine.next(), Input::Down(ctrl(1)));
    machine.unplug(0, first);
    assert_eq!(machine.next(), Input::Gone { device: 0 });
    let mut again = machine.plug(0, KEYBOARD);
    again.write_all(&key(97, 1)).unwrap();
    assert_eq!(machine.next(), Input::Down(ctrl(0)));
}

#[test]
fn a_keyboard_is_heard_that_comes_after_the_last_one_went_with_its_folder() {
    let machine = Machine::new("alone", 64);
    let _keys = machine.start();
    for number in [3, 4, 3] {
        let mut keyboard = machine.plug(number, KEYBOARD);
        keyboard.write_all(&key(97, 1)).unwrap();
        assert_eq!(machine.next(), Input::Down(ctrl(number)));
        machine.unplug(number, keyboard);
        assert_eq!(machine.next(), Input::Gone { device: number });
        std::fs::remove_dir(machine.root.join("dev/input")).unwrap();
    }
}

#[test]
fn a_device_without_one_of_the_keys_is_not_opened() {
    let machine = Machine::new("power", 64);
    let _power = machine.plug(0, POWER);
    let mut keyboard = machine.plug(1, KEYBOARD);
    let keys = machine.start();
    keyboard.write_all(&key(97, 1)).unwrap();
    assert_eq!(machine.next(), Input::Down(ctrl(1)));
    assert_eq!(keys.state().devices, ["event1: A pipe"]);
}

#[test]
fn after_lost_events_no_key_is_stuck() {
    let machine = Machine::new("lost", 64);
    let mut keyboard = machine.plug(3, KEYBOARD);
    let _keys = machine.start();
    keyboard.write_all(&[key(97, 1), dropped()].concat()).unwrap();
    assert_eq!(machine.next(), Input::Down(ctrl(3)));
    // A pipe cannot say what is down, so nothing is.
    assert_eq!(machine.next(), Input::Up(ctrl(3)));
}

#[test]
fn other_keys_can_be_wished_and_one_that_is_held_lets_go() {
    let machine = Machine::new("set", 64);
    let mut keyboard = machine.plug(3, KEYBOARD);
    let keys = machine.start();
    keyboard.write_all(&key(97, 1)).unwrap();
    assert_eq!(machine.next(), Input::Down(ctrl(3)));
    // The same again is no change.
    keys.set(Some(&["rightctrl", "f12"].map(String::from)));
    keyboard.write_all(&[key(97, 2), key(88, 1)].concat()).unwrap();
    assert_eq!(machine.next(), Input::Down(Source::Key { device: 3, code: 88 }));
    keys.set(Some(&["a".to_string(), "nonsense".to_string()]));
    assert_eq!(machine.next(), Input::Gone { device: 3 });
    keyboard.write_all(&[key(97, 0), key(97, 1), key(30, 1)].concat()).unwrap();
    assert_eq!(machine.next(), Input::Down(Source::Key { device: 3, code: 30 }));
    assert_eq!(keys.state().reason.as_deref(), Some("there is no key \"nonsense\""));
}

#[test]
fn a_talk_that_is_busy_loses_no_release() {
    let machine = Machine::new("busy", 1);
    let mut keyboard = machine.plug(3, KEYBOARD);
    let _keys = machine.start();
    // More than the thread keeps for a talk that takes nothing: the rest waits in the device.
    let presses: Vec<u8> = (0..400).flat_map(|_| [key(97, 1), key(97, 0)].concat()).collect();
    keyboard.write_all(&presses).unwrap();
    for _ in 0..400 {
        assert_eq!(machine.next(), Input::Down(ctrl(3)));
        assert_eq!(machine.next(), Input::Up(ctrl(3)));
    }
}
