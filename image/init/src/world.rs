//! Time, words and memory, as the chapters of the boot see them.

use std::time::Duration;

/// What the boot needs from the machine besides files and sockets.
pub trait World {
    /// Time since the kernel started.
    fn now(&mut self) -> Duration;

    /// Lets time pass.
    fn wait(&mut self, time: Duration);

    /// Tells the person in front of this PC, and the boot server, what went wrong and what comes next.
    fn say(&mut self, sentence: &str);

    /// Leaves a line in the kernel's log, for whoever looks closer.
    fn note(&mut self, line: &str);

    /// Remembers that a stage of the boot has ended.
    fn stamp(&mut self, stage: &'static str);

    /// Memory that can still be used.
    fn memory_bytes(&mut self) -> u64;
}
