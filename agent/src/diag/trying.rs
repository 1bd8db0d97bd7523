//! What is tried out from the line: keys, memory, models. Each says what it does, and Enter ends it.

use super::Hands;
use super::line::{Closed, Line, Woken};
use super::memory;
use crate::keys::command::line as key_line;
use crate::keys::listening::LocalKeys;
use crate::page::bytes;
use crate::talk::parts::Event;
use crate::talk::post_for;
use std::io::Write;
use std::time::{Duration, Instant};

/// The longest that a test goes on which nobody ends.
const MODELS_TIME_MAX: Duration = Duration::from_secs(120);
/// A share of the memory that is free, so that the PC goes on meanwhile.
const MEMORY_SHARE: u64 = 2;
const KEYS_TIME_MAX: Duration = Duration::from_secs(60);
const KEYS_EVERY: Duration = Duration::from_millis(100);
const KEYS_WAITING_MAX: usize = 256;
const QUESTION: &str = "Tell me one sentence about the sea.";

pub const AWAY: &str = "The agent does not answer; it may be starting.\n";

/// What the models hold, and how fast one answers.
pub fn models<W: Write>(line: &mut Line<W>, hands: &impl Hands) -> Result<(), Closed> {
    line.say(&hands.models())?;
    line.say(&format!("Asking: {QUESTION} Enter ends it.\n"))?;
    if !hands.tell(&format!("ask {QUESTION}")) {
        return line.say(AWAY);
    }
    let began = Instant::now();
    let (mut first, mut n_words) = (None, 0);
    loop {
        let left = MODELS_TIME_MAX.saturating_sub(began.elapsed());
        let told = match line.wait(Some(left))? {
            Woken::Told(told) => told,
            Woken::Line(_) | Woken::Quiet => {
                hands.tell("stop");
                return line.say("It was ended before the answer was whole.\n");
            }
        };
        line.show(&told)?;
        match (told["kind"].as_str(), told["words"].as_str()) {
            (Some("words"), Some(words)) => {
                first.get_or_insert(began.elapsed());
                n_words += words.split_whitespace().count();
            }
            (Some("by"), _) => line.say(&format!("by {}\n", told["by"].as_str().unwrap_or_default()))?,
            (Some("done"), _) => break,
            _ => {}
        }
    }
    match first {
        None => Ok(()),
        Some(first) => line.say(&format!(
            "first words after {:.1} s, {n_words} words in {:.1} s\n",
            first.as_secs_f64(),
            began.elapsed().as_secs_f64()
        )),
    }
}

/// Half of the memory that is free, with all patterns.
pub fn memory<W: Write>(line: &mut Line<W>, hands: &impl Hands) -> Result<(), Closed> {
    let wish = usize::try_from(hands.available_bytes() / MEMORY_SHARE).unwrap_or(usize::MAX);
    let mut blocks = memory::take(wish);
    let n_bytes = blocks.len() * memory::BLOCK_BYTES;
    if n_bytes == 0 {
        return line.say("No memory is free enough to be tested.\n");
    }
    line.say(&format!(
        "Testing {} of what is free, {} passes. Enter ends it.\n",
        bytes(n_bytes as u64),
        memory::N_PASSES
    ))?;
    let mut end = Ok(());
    let mut is_ended = false;
    let result = memory::test(&mut blocks, |pass| {
        end = line.say(&format!("pass {} of {}\n", pass + 1, memory::N_PASSES)).and_then(|()| {
            is_ended = matches!(line.wait(Some(Duration::ZERO))?, Woken::Line(_));
            Ok(())
        });
        end.is_ok() && !is_ended
    });
    drop(blocks);
    end?;
    match result {
        Ok(()) if is_ended => line.say("It was ended; nothing was wrong so far.\n"),
        Ok(()) => line.say("All of it remembered. For what is in use: memtest86+.\n"),
        Err(fault) => line.say(&format!(
            "MEMORY IS BROKEN: {:016x} was written, {:016x} was read, {} into it.\nTake out one memory stick at a time and test again.\n",
            fault.wrote,
            fault.read,
            bytes(fault.byte as u64)
        )),
    }
}

/// Each key that is pressed, by its name.
pub fn keys<W: Write>(line: &mut Line<W>, hands: &impl Hands) -> Result<(), Closed> {
    let (post, events) = post_for(KEYS_WAITING_MAX);
    let keys = LocalKeys::start(hands.root(), None, &post)?;
    line.say("Press any key of a keyboard, pedal or button. Enter here ends it.\n")?;
    let began = Instant::now();
    while began.elapsed() < KEYS_TIME_MAX {
        if matches!(line.wait(Some(KEYS_EVERY))?, Woken::Line(_)) {
            break;
        }
        for event in std::iter::from_fn(|| events.next(Duration::ZERO)) {
            if let Event::Key(input) = event {
                line.say(&(key_line(input) + "\n"))?;
            }
        }
    }
    let state = keys.state();
    let devices = state.devices.iter().map(|device| format!("listened to {device}\n"));
    line.say(&devices.chain(state.reason.map(|reason| reason + "\n")).collect::<String>())
}
