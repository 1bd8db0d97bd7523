//! One plain sentence, once on every console: the serial lines and the screen.
//!
//! The kernel's log reaches the consoles of the command line by itself.
//! A screen that is not one of them gets the sentence directly.

use std::fs::{self, OpenOptions};
use std::io::Write;

const KMSG: &str = "/dev/kmsg";
const SCREEN: &str = "/dev/tty0";

/// The kernel's level of an error; `quiet` still shows it.
const ERROR: u8 = 3;
const INFO: u8 = 6;

/// Shows a sentence to a person.
pub fn show(sentence: &str) {
    let printk = fs::read_to_string("/proc/sys/kernel/printk").unwrap_or_default();
    log(shown_level(&printk), sentence);
    if !has_screen(&fs::read_to_string("/proc/consoles").unwrap_or_default()) {
        write(SCREEN, &format!("\r\nduet: {sentence}\r\n"));
    }
}

/// Leaves a line in the kernel's log.
pub fn note(line: &str) {
    log(INFO, line);
}

fn log(level: u8, line: &str) {
    write(KMSG, &format!("<{level}>duet: {line}\n"));
}

/// A console that cannot be written leaves nobody to tell.
fn write(path: &str, text: &str) {
    let file = OpenOptions::new().write(true).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).unwrap_or_default();
}

/// The least serious level, at most an error, that the consoles still show.
/// `printk` begins with the level from which on they show nothing.
fn shown_level(printk: &str) -> u8 {
    let hidden: u8 = printk.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(7);
    ERROR.min(hidden.saturating_sub(1))
}

/// Whether the kernel's own consoles include the screen (`tty0`, `tty1`, but not `ttyS0`).
fn has_screen(consoles: &str) -> bool {
    let is_screen = |line: &str| {
        line.strip_prefix("tty").is_some_and(|rest| rest.bytes().next().is_some_and(|b| b.is_ascii_digit()))
    };
    consoles.lines().any(is_screen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(consoles: &str, want: bool) {
        assert_eq!(has_screen(consoles), want);
    }

    #[test]
    fn a_serial_console_is_no_screen() {
        check("ttyS0                -W- (EC p a)    4:64\n", false);
        check("", false);
    }

    #[test]
    fn a_virtual_terminal_is_a_screen() {
        check("ttyS0 -W- (EC p a) 4:64\ntty0 -WU (E  p  )    4:7\n", true);
    }

    #[test]
    fn a_sentence_is_shown_even_when_the_kernel_is_quiet() {
        assert_eq!(shown_level("7 4 1 7"), 3);
        assert_eq!(shown_level("4 4 1 7"), 3);
        assert_eq!(shown_level("2\t4"), 1);
        assert_eq!(shown_level("0"), 0);
        assert_eq!(shown_level(""), 3);
    }
}
