//! How this node came up, from the `boot.toml` that init left, in the form that the page shows.

use release::{BootFacts, Mode};
use serde::Serialize;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Boot {
    pub release: String,
    /// `net`: init fetched the root; `wrap`: iPXE placed it.
    pub mode: &'static str,
    pub attempt: Option<u32>,
    pub mac: Option<String>,
    pub servers: Vec<String>,
    /// In the order they ended; `multi-user` is the last when it was reached.
    pub stages: Vec<BootStage>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BootStage {
    pub name: String,
    /// Since the kernel started.
    pub milliseconds: u64,
    /// The time stamp counter as it was.
    pub clock: u64,
}

/// The moment that `duet-reached.service` wrote down: milliseconds since the kernel started, and the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    pub milliseconds: u64,
    pub clock: u64,
}

impl Reached {
    pub fn to_text(self) -> String {
        format!("{} {}\n", self.milliseconds, self.clock)
    }

    pub fn parse(text: &str) -> Option<Reached> {
        let mut numbers = text.split_whitespace().map(|w| w.parse().ok());
        Some(Reached { milliseconds: numbers.next()??, clock: numbers.next()?? })
    }
}

pub fn shown(facts: &BootFacts, reached: Option<Reached>) -> Boot {
    let of_init = facts.stamps.iter().map(|s| (s.name.to_string(), s.milliseconds, s.clock));
    let of_systemd = reached.map(|r| ("multi-user".to_string(), r.milliseconds, r.clock));
    let stage = |(name, milliseconds, clock)| BootStage { name, milliseconds, clock };
    Boot {
        release: facts.release.to_string(),
        mode: match facts.mode {
            Mode::Net => "net",
            Mode::Wrap => "wrap",
        },
        attempt: facts.attempt,
        mac: facts.mac.map(|m| m.to_string()),
        servers: facts.servers.iter().map(|s| s.to_string()).collect(),
        stages: of_init.chain(of_systemd).map(stage).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(boot_toml: &str, reached: &str, want: &[(&str, u64)]) {
        let facts = BootFacts::parse(boot_toml.as_bytes()).unwrap();
        let boot = shown(&facts, Reached::parse(reached));
        assert_eq!(boot.stages.iter().map(|s| (s.name.as_str(), s.milliseconds)).collect::<Vec<_>>(), want);
    }

    const HEAD: &str =
        "release = \"trixie-0123456789ab\"\nmode = \"net\"\nservers = [\"http://10.0.0.1:8480\"]\n";

    #[test]
    fn multi_user_ends_the_stages_of_init() {
        let text = format!("{HEAD}\n[[stage]]\nname = \"root-ready\"\nmilliseconds = 900\nclock = 5\n");
        check(&text, "3200 77\n", &[("root-ready", 900), ("multi-user", 3200)]);
    }

    #[test]
    fn a_stage_not_reached_is_not_shown() {
        check(HEAD, "", &[]);
        check(HEAD, "soon 5", &[]);
        check(HEAD, "12", &[]);
    }

    #[test]
    fn what_is_written_down_is_read_back() {
        let reached = Reached { milliseconds: 3200, clock: u64::MAX };
        assert_eq!(Reached::parse(&reached.to_text()), Some(reached));
    }
}
