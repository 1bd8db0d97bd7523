//! `agent keys`: what a person presses, by the names that duet.toml wants.

use super::listening::LocalKeys;
use super::names;
use crate::args;
use crate::talk::parts::Event;
use crate::talk::post_for;
use anyhow::Context;
use std::time::{Duration, Instant};
use voice::key::{Input, Source};

const EVENTS_MAX: usize = 256;

pub fn run(args: &args::Keys) -> anyhow::Result<()> {
    let (post, events) = post_for(EVENTS_MAX);
    let keys = LocalKeys::start(&args.root, None, &post).context("cannot listen to keys")?;
    let end = Instant::now() + Duration::from_secs(args.seconds.into());
    println!("press any key; this ends after {} s", args.seconds);
    loop {
        match events.next(end.saturating_duration_since(Instant::now())) {
            Some(Event::Key(input)) => println!("{}", line(input)),
            Some(_) => {}
            None => break,
        }
    }
    let state = keys.state();
    state.devices.iter().for_each(|device| println!("listened to {device}"));
    state.reason.iter().for_each(|reason| println!("{reason}"));
    Ok(())
}

/// What was pressed, for a person.
pub fn line(input: Input) -> String {
    let key = |source, what| match source {
        Source::Key { device, code } => match names::name(code) {
            Some(name) => format!("{name} {what} (event{device}, code {code})"),
            None => format!("a key without a name {what} (event{device}, code {code})"),
        },
        Source::Told(_) => format!("somebody says {what}"),
    };
    match input {
        Input::Down(source) => key(source, "down"),
        Input::Up(source) => key(source, "up"),
        Input::Gone { device } => format!("event{device} is gone while a key of it was down"),
        Input::Ended | Input::Tick => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_name_that_duet_toml_wants() {
        let source = |code| Source::Key { device: 3, code };
        assert_eq!(line(Input::Down(source(97))), "rightctrl down (event3, code 97)");
        assert_eq!(line(Input::Up(source(767))), "a key without a name up (event3, code 767)");
        assert_eq!(line(Input::Gone { device: 3 }), "event3 is gone while a key of it was down");
    }
}
