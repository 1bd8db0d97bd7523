//! What can be done to a node, and how one node asks another for it; pure.

use crate::acts;
use serde::{Deserialize, Serialize};
use tools::{Call, cut, visible};

pub const BYTES_MAX: usize = 4 << 10;
/// What is said at another node.
pub const SAID_BYTES_MAX: usize = 500;
const WHO_BYTES_MAX: usize = 200;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Act {
    /// `anyway`: even if what only this node remembers is lost.
    PowerOff {
        anyway: bool,
    },
    Reboot {
        anyway: bool,
    },
    Restart {
        unit: String,
    },
    Drain {},
    Resume {},
    Say {
        text: String,
    },
}

impl Act {
    /// The tool of this name, with its arguments.
    pub fn of(call: &Call) -> Option<Act> {
        let anyway = call.is_yes("anyway");
        Some(match call.tool.as_str() {
            "power.off" => Act::PowerOff { anyway },
            "power.reboot" => Act::Reboot { anyway },
            "cluster.restart" => Act::Restart { unit: call.text("unit")?.to_owned() },
            "cluster.drain" => Act::Drain {},
            "cluster.resume" => Act::Resume {},
            "cluster.say" => Act::Say { text: call.text("text")?.to_owned() },
            _ => return None,
        })
    }

    pub fn tool(&self) -> &'static str {
        match self {
            Act::PowerOff { .. } => "power.off",
            Act::Reboot { .. } => "power.reboot",
            Act::Restart { .. } => "cluster.restart",
            Act::Drain {} => "cluster.drain",
            Act::Resume {} => "cluster.resume",
            Act::Say { .. } => "cluster.say",
        }
    }

    /// Exactly what happens, for whoever is to say yes.
    pub fn at(&self, place: &str) -> String {
        let lost = |anyway: &bool| if *anyway { ", even if what only it remembers is lost" } else { "" };
        match self {
            Act::PowerOff { anyway } => format!("power off {place}{}", lost(anyway)),
            Act::Reboot { anyway } => format!("boot {place} anew{}", lost(anyway)),
            Act::Restart { unit } => format!("restart {unit} on {place}"),
            Act::Drain {} => format!("drain {place}: it takes no new work and gives its models away"),
            Act::Resume {} => format!("let {place} take work again"),
            Act::Say { text } => format!("say at {place}: {text}"),
        }
    }
}

/// From one node to another, over the overlay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    #[serde(flatten)]
    pub act: Act,
    /// Who wants it there, for the book.
    pub who: String,
}

impl Letter {
    /// The error is for a person.
    pub fn read(bytes: &[u8]) -> Result<Letter, String> {
        let letter: Letter = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        match &letter.act {
            Act::Say { text } if text.trim().is_empty() || text.len() > SAID_BYTES_MAX => {
                return Err(format!("what is said has 1 to {SAID_BYTES_MAX} bytes"));
            }
            Act::Restart { unit } if acts::unit(unit).is_none() => {
                return Err(format!("one of these can start anew: {}", acts::UNITS.join(", ")));
            }
            _ => {}
        }
        Ok(Letter { who: visible(cut(&letter.who, WHO_BYTES_MAX)), ..letter })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: Result<&str, &str>) {
        let read = Letter::read(text.as_bytes()).map(|letter| letter.act.at("pc2"));
        match want {
            Ok(what) => assert_eq!(read.as_deref(), Ok(what), "{text}"),
            Err(why) => assert!(read.as_ref().is_err_and(|told| told.contains(why)), "{text}: {read:?}"),
        }
    }

    #[test]
    fn a_letter_is_one_of_these_acts_and_says_what_will_happen() {
        check(r#"{"act":"power-off","anyway":false,"who":"pc1"}"#, Ok("power off pc2"));
        check(
            r#"{"act":"reboot","anyway":true,"who":"pc1"}"#,
            Ok("boot pc2 anew, even if what only it remembers is lost"),
        );
        check(
            r#"{"act":"restart","unit":"rpc-worker.service","who":""}"#,
            Ok("restart rpc-worker.service on pc2"),
        );
        check(r#"{"act":"say","text":"Dinner.","who":"pc1"}"#, Ok("say at pc2: Dinner."));
    }

    #[test]
    fn what_is_none_is_refused_with_its_reason() {
        check(r#"{"act":"restart","unit":"sshd.service","who":"pc1"}"#, Err("one of these"));
        check(r#"{"act":"say","text":"","who":"pc1"}"#, Err("1 to 500"));
        check(r#"{"act":"format","who":"pc1"}"#, Err("unknown variant"));
        check(r#"{"act":"power-off","who":"pc1"}"#, Err("anyway"));
        check("", Err("EOF"));
    }

    #[test]
    fn every_act_goes_over_the_wire_and_back() {
        for act in [
            Act::PowerOff { anyway: true },
            Act::Reboot { anyway: false },
            Act::Restart { unit: acts::UNITS[0].into() },
            Act::Drain {},
            Act::Resume {},
            Act::Say { text: "Dinner is ready.".into() },
        ] {
            let letter = Letter { act, who: "pc1".into() };
            assert_eq!(Letter::read(&serde_json::to_vec(&letter).unwrap()), Ok(letter));
        }
    }
}
