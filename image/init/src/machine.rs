//! This PC as the chapters of the boot see it: its clock, its consoles, its memory, and whom it reports to.

use std::fs;
use std::time::Duration;

use release::{BootLine, Report, STAMPS_MAX, Server, Stage, Stamp, Word};

use crate::{World, console, report, sys};

/// How long a sentence stays on the screen before the PC restarts.
const RESTART_WAIT: Duration = Duration::from_secs(30);

/// The real world.
#[derive(Default)]
pub struct Machine {
    pub line: BootLine,
    pub stamps: Vec<Stamp>,
    /// Reports make sense only after the interface has its address.
    pub has_network: bool,
}

impl Machine {
    /// Starts the clock. From here on a fault of our own is said, too, and ends in a restart.
    pub fn start() -> Machine {
        std::panic::set_hook(Box::new(|fault| {
            let place =
                fault.location().map_or(String::new(), |at| format!(" at {}:{}", at.file(), at.line()));
            restart(&format!("init has a fault of its own{place}"));
        }));
        let mut machine = Machine::default();
        machine.stamp("init");
        machine
    }

    /// The report of this boot, when the boot line said enough for one.
    pub fn report(&self, stage: Stage, sentence: &str) -> Option<Report> {
        let BootLine { mac, attempt, release, .. } = &self.line;
        let (sentence, clock) = (sentence.to_string(), sys::clock());
        Some(Report { mac: (*mac)?, attempt: (*attempt)?, release: release.clone()?, stage, sentence, clock })
    }

    /// Sends a report to a server; does nothing in a boot without network.
    pub fn send(&self, server: Server, stage: Stage, sentence: &str) -> Option<report::Sent> {
        let report = self.report(stage, sentence).filter(|_| self.has_network)?;
        report::send(server, &report)
    }

    /// Tells every boot server what went wrong; the order of the list decides who hears it first.
    pub fn tell_servers(&self, sentence: &str) {
        for server in &self.line.servers {
            if let Some(sent) = self.send(*server, Stage::Failed, sentence) {
                sent.finish();
            }
        }
    }
}

impl World for Machine {
    fn now(&mut self) -> Duration {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
    }

    fn wait(&mut self, time: Duration) {
        std::thread::sleep(time);
    }

    fn say(&mut self, sentence: &str) {
        console::show(sentence);
        self.tell_servers(sentence);
    }

    fn note(&mut self, line: &str) {
        console::note(line);
    }

    fn stamp(&mut self, stage: &'static str) {
        let milliseconds = self.now().as_millis() as u64;
        // A stage that is tried again keeps only its last time.
        self.stamps.retain(|stamp| stamp.name.as_str() != stage);
        if let Some(name) = Word::parse(stage).ok().filter(|_| self.stamps.len() < STAMPS_MAX) {
            self.stamps.push(Stamp { name, milliseconds, clock: sys::clock() });
        }
    }

    fn memory_bytes(&mut self) -> u64 {
        available(&fs::read_to_string("/proc/meminfo").unwrap_or_default()).unwrap_or(u64::MAX)
    }
}

/// The line `MemAvailable:   123456 kB`.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1024)
}

/// Says why, leaves the sentence on the screen for a while, and starts the PC anew.
pub fn restart(reason: &str) -> ! {
    console::show(&format!("{reason}; restarting this PC in {} seconds", RESTART_WAIT.as_secs()));
    loop {
        std::thread::sleep(RESTART_WAIT);
        let refused = rustix::system::reboot(rustix::system::RebootCommand::Restart);
        console::show(&format!("this PC does not restart ({refused:?}); switch it off and on"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(meminfo: &str, want: Option<u64>) {
        assert_eq!(available(meminfo), want);
    }

    #[test]
    fn the_available_memory_is_read() {
        check("MemTotal:  247000 kB\nMemFree: 1 kB\nMemAvailable:     128 kB\n", Some(131_072));
    }

    #[test]
    fn memory_that_is_not_told_is_not_guessed() {
        check("MemTotal: 1 kB\n", None);
        check("MemAvailable: x kB\n", None);
        check("MemAvailable: 18446744073709551615 kB\n", None);
    }
}
