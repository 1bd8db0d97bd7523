//! The diagnosis without a person at the line: one part of it, for the owner at his own PC.
//!
//! The order has been checked (`orders`). What tries something out runs as it does at the line, is ended as a person
//! would end it, and takes no more memory than the agent has to spare. No part gives a shell or starts the PC anew.

use super::agent::Agent;
use super::line::{Event, Line};
use super::menu::{self, Command};
use super::{EVENTS_MAX, Hands, models, obey};
use crate::io::node::Node;
use admission::DiagPart;
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

/// The agent's own socket answers at once.
const FOLLOW_TIME_MAX: Duration = Duration::from_secs(2);
/// After this time somebody would press Enter.
const LEVEL_TIME: Duration = Duration::from_secs(5);
const TRY_TIME: Duration = Duration::from_secs(45);
/// After that nobody waits any more.
const END_TIME_MAX: Duration = Duration::from_secs(10);
/// What the memory of the agent's unit has room for beside all else; half of it is tried.
const AVAILABLE_BYTES_MAX: u64 = 128 << 20;

const ENDED: &str = "It did not end in time, and nobody waited any more.\n";

/// Where this node's things are.
pub struct Afar {
    pub root: PathBuf,
    /// The key of this PC's own ear, which lends its cards and answers questions.
    pub talk: Option<PathBuf>,
}

impl Afar {
    /// What this part of the status is; `Err` is what is to be tried out instead.
    fn shown(part: DiagPart, status: &str) -> Result<String, Command> {
        let names = match part {
            DiagPart::Status => return Ok(status.to_owned()),
            DiagPart::Network => menu::NETWORK,
            DiagPart::Cluster => menu::CLUSTER,
            DiagPart::Units => menu::UNITS,
            DiagPart::Voice => menu::VOICE,
            DiagPart::Devices => return Err(Command::Devices),
            DiagPart::Level => return Err(Command::Level),
            DiagPart::Sound => return Err(Command::Sound),
            DiagPart::Memory => return Err(Command::Memory),
            DiagPart::Models => return Err(Command::Models),
        };
        let text = menu::part(status, names);
        Ok(if text.is_empty() {
            "This PC says nothing of it; `--part status` shows all.\n".into()
        } else {
            text
        })
    }

    /// The report on one part; `status` is the whole status as text.
    pub async fn report(&self, part: DiagPart, status: &str, node: &Node) -> String {
        match Afar::shown(part, status) {
            Ok(text) => text,
            Err(command) => {
                let models = if command == Command::Models { models(node).await } else { String::new() };
                let available_bytes = node.memory().available_kib.saturating_mul(1024);
                let time = if command == Command::Level { LEVEL_TIME } else { TRY_TIME };
                self.tried(command, models, available_bytes.min(AVAILABLE_BYTES_MAX), time).await
            }
        }
    }

    /// Ends by itself.
    async fn tried(&self, command: Command, models: String, available_bytes: u64, time: Duration) -> String {
        let (sender, events) = sync_channel(EVENTS_MAX);
        let agent = Agent::default();
        if let Some(path) = self.talk.clone() {
            let (follower, told) = (agent.clone(), sender.clone());
            let begun = std::thread::Builder::new().spawn(move || follower.follow(&path, &told));
            if let Err(error) = begun {
                return format!("no thread for the check: {error}\n");
            }
        }
        let hands = Known { models, available_bytes, agent: agent.clone(), root: self.root.clone() };
        let has_talk = self.talk.is_some();
        let mut work = tokio::task::spawn_blocking(move || {
            let mut line = Line::new(events, Vec::new());
            // The agent tells how it is as soon as somebody comes.
            let begun = if has_talk { line.wait(Some(FOLLOW_TIME_MAX)).map(drop) } else { Ok(()) };
            let end = begun.and_then(|()| obey(&mut line, &hands, command));
            let mut text = String::from_utf8_lossy(&line.end()).into_owned();
            if end.is_err() {
                text += ENDED;
            }
            text
        });
        let text = match tokio::time::timeout(time, &mut work).await {
            Ok(text) => text,
            Err(_) => {
                let _ = sender.try_send(Event::Typed(b"\n".to_vec()));
                match tokio::time::timeout(END_TIME_MAX, &mut work).await {
                    Ok(text) => text,
                    Err(_) => {
                        agent.end();
                        drop(sender);
                        work.await
                    }
                }
            }
        };
        agent.end();
        text.unwrap_or_else(|error| format!("the check broke off: {error}\n"))
    }
}

/// What was looked up before, and the way to the agent.
struct Known {
    models: String,
    available_bytes: u64,
    agent: Agent,
    root: PathBuf,
}

impl Hands for Known {
    fn status(&self) -> String {
        String::new()
    }

    fn journal(&self) -> String {
        String::new()
    }

    fn models(&self) -> String {
        self.models.clone()
    }

    fn available_bytes(&self) -> u64 {
        self.available_bytes
    }

    fn tell(&self, line: &str) -> bool {
        self.agent.tell(line)
    }

    fn root(&self) -> &Path {
        &self.root
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::AWAY;

    const STATUS: &str =
        "node       pc1\ncluster    2 nodes alive\n           pc2 alive\nunit       a.service active\n";

    fn tried(command: Command, time: Duration) -> String {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let afar = Afar { root: "/nowhere".into(), talk: None };
        runtime.block_on(afar.tried(command, "small is loaded\n".into(), AVAILABLE_BYTES_MAX, time))
    }

    #[test]
    fn each_part_shows_its_own_or_tries_and_none_gives_a_shell() {
        for part in DiagPart::ALL {
            match Afar::shown(part, STATUS) {
                Ok(text) => assert!(!text.is_empty(), "{part:?}"),
                Err(command) => assert!(
                    !matches!(command, Command::Shell | Command::Reboot | Command::Choose(_)),
                    "{part:?}"
                ),
            }
        }
        let cluster = Afar::shown(DiagPart::Cluster, STATUS).unwrap();
        assert_eq!(cluster, "cluster    2 nodes alive\n           pc2 alive\n");
        assert!(Afar::shown(DiagPart::Voice, STATUS).unwrap().contains("`--part status`"));
    }

    #[test]
    fn memory_is_tried_as_far_as_the_agent_has_room() {
        let text = tried(Command::Memory, TRY_TIME);
        assert!(
            text.starts_with("Testing 64 MiB of what is free") && text.contains("All of it remembered."),
            "{text}"
        );
    }

    #[test]
    fn what_takes_too_long_is_ended_as_a_person_would() {
        let text = tried(Command::Memory, Duration::ZERO);
        assert!(text.ends_with("It was ended; nothing was wrong so far.\n"), "{text}");
    }

    #[test]
    fn without_an_ear_the_models_are_told_and_not_asked() {
        let text = tried(Command::Models, TRY_TIME);
        assert!(text.starts_with("small is loaded\n") && text.ends_with(AWAY), "{text}");
    }
}
