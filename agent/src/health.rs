//! Is this node well? A pure judgement of facts, in one plain sentence.
//!
//! It is the same judgement for the page, the terminal and the report to the boot server.

use crate::facts::network::Interface;
use crate::facts::units::{Unit, Units};
use serde::Serialize;

/// The units that a node cannot do without; `duet-units@.service` asks for the same.
/// A console or a virtual PC's shell that fails is shown, but condemns no release.
const NEEDED: [&str; 9] = [
    "agent.service",
    "rpc-worker.service",
    "duet-filter.service",
    "duet-overlay.service",
    "duet-reached.service",
    "duet-units.socket",
    "systemd-networkd.service",
    "systemd-udevd.service",
    "systemd-journald.service",
];

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Health {
    pub state: State,
    /// What a person should know; without a full stop.
    pub sentence: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    #[default]
    Starting,
    Healthy,
    Failed,
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            State::Starting => "starting",
            State::Healthy => "healthy",
            State::Failed => "failed",
        }
    }
}

/// What the judgement rests on.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    pub units: &'a Units,
    pub interfaces: &'a [Interface],
    /// Whether rpc-worker's `/health` answers.
    pub worker_answers: bool,
    /// Whether multi-user was reached; `None` where no duet image runs.
    pub booted: Option<bool>,
    /// What is wrong with the overlay. A node alone needs none, so this is told and condemns nothing.
    pub overlay_trouble: Option<&'a str>,
}

const ALL_RUNS: &str = "everything that belongs to this node runs";

pub fn judge(evidence: &Evidence) -> Health {
    let health = |state, sentence| Health { state, sentence };
    if let Some(sentence) = broken(evidence.units) {
        return health(State::Failed, sentence);
    }
    match missing(evidence) {
        Some(sentence) => health(State::Starting, sentence.to_string()),
        None => match evidence.overlay_trouble {
            Some(trouble) => health(State::Healthy, format!("{ALL_RUNS}, but {trouble}")),
            None => health(State::Healthy, ALL_RUNS.to_string()),
        },
    }
}

/// A failed unit that a node needs, as a sentence.
fn broken(units: &Units) -> Option<String> {
    let known = |name: &&String| units.ours.iter().any(|u| u.name == **name);
    let stray = units.failed.iter().filter(|name| is_needed(name)).find(|name| !known(name));
    let unit = units.ours.iter().find(|u| u.active == "failed" && is_needed(&u.name));
    unit.map(why).or(stray.map(|name| format!("{name} failed")))
}

fn why(unit: &Unit) -> String {
    let result = match unit.result.as_str() {
        "exit-code" => "it ended with an error",
        "timeout" => "it took too long",
        "watchdog" => "it hung",
        "oom-kill" => "memory ran out",
        "signal" | "core-dump" => "it crashed",
        "start-limit-hit" => "it ended again and again",
        _ => "see its journal",
    };
    format!("{} failed: {result}", unit.name)
}

fn is_needed(name: &str) -> bool {
    NEEDED.contains(&name)
}

/// The first thing still awaited, in the order a boot brings them.
fn missing(evidence: &Evidence) -> Option<&'static str> {
    if evidence.booted == Some(false) {
        return Some("the system is still starting");
    }
    if !evidence.interfaces.iter().any(|i| i.carrier) {
        return Some("no network interface has a live cable");
    }
    if !evidence.interfaces.iter().any(|i| i.carrier && i.ipv4().is_some()) {
        return Some("the network has no IPv4 address yet");
    }
    if !evidence.worker_answers {
        return Some("rpc-worker does not answer yet");
    }
    let waits = |u: &Unit| u.active == "activating" && is_needed(&u.name);
    if evidence.units.ours.iter().any(waits) {
        return Some("a unit of this node is still starting");
    }
    // A node is called healthy only when systemd was heard; a developer's PC need not run our units.
    (evidence.booted.is_some() && !evidence.units.known).then_some("systemd has not said how the units are")
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Case {
        units: &'static str,
        addresses: &'static [&'static str],
        carrier: bool,
        worker_answers: bool,
        booted: Option<bool>,
        overlay_trouble: Option<&'static str>,
    }

    const AGENT: &str = "Id=agent.service\nLoadState=loaded\nActiveState=active\n\n";
    const WELL: Case = Case {
        units: AGENT,
        addresses: &["10.0.0.7/24"],
        carrier: true,
        worker_answers: true,
        booted: Some(true),
        overlay_trouble: None,
    };

    fn check(case: Case, state: State, sentence: &str) {
        let addresses = case.addresses.iter().map(|a| a.to_string()).collect();
        let interfaces = [Interface { carrier: case.carrier, addresses, ..Interface::default() }];
        let units = crate::facts::units::parse(case.units);
        let Case { worker_answers, booted, overlay_trouble, .. } = case;
        let interfaces = &interfaces;
        let got = judge(&Evidence { units: &units, interfaces, worker_answers, booted, overlay_trouble });
        assert_eq!((got.state, got.sentence.as_str()), (state, sentence));
    }

    #[test]
    fn a_node_with_everything_is_healthy() {
        check(WELL, State::Healthy, "everything that belongs to this node runs");
    }

    #[test]
    fn a_node_without_an_overlay_is_healthy_and_says_so() {
        let case =
            Case { overlay_trouble: Some("the overlay is down: this kernel has no WireGuard"), ..WELL };
        let sentence = "everything that belongs to this node runs, but the overlay is down: this kernel has no WireGuard";
        check(case, State::Healthy, sentence);
    }

    #[test]
    fn each_missing_thing_is_named() {
        let starting = |case, sentence| check(case, State::Starting, sentence);
        starting(Case { booted: Some(false), ..WELL }, "the system is still starting");
        starting(Case { carrier: false, ..WELL }, "no network interface has a live cable");
        starting(Case { addresses: &["fe80::1/64"], ..WELL }, "the network has no IPv4 address yet");
        starting(Case { worker_answers: false, ..WELL }, "rpc-worker does not answer yet");
        starting(Case { units: "", ..WELL }, "systemd has not said how the units are");
    }

    #[test]
    fn a_failed_unit_of_ours_outweighs_all_else() {
        let units = "Id=rpc-worker.service\nLoadState=loaded\nActiveState=failed\nResult=oom-kill\n\n";
        check(
            Case { units, carrier: false, ..WELL },
            State::Failed,
            "rpc-worker.service failed: memory ran out",
        );
    }

    #[test]
    fn a_failed_unit_that_was_not_asked_for_counts_if_it_is_ours() {
        let units = "Id=agent.service\nLoadState=loaded\nActiveState=active\n\nduet-reached.service loaded failed failed x\n";
        check(Case { units, ..WELL }, State::Failed, "duet-reached.service failed");
    }

    #[test]
    fn a_failed_unit_that_nobody_needs_does_not_condemn_the_node() {
        let units = "Id=agent.service\nLoadState=loaded\nActiveState=active\n\nduet-console@ttyS0.service loaded failed failed x\n";
        check(Case { units, ..WELL }, State::Healthy, "everything that belongs to this node runs");
    }

    #[test]
    fn a_developers_pc_need_not_ask_systemd() {
        let case = Case { booted: None, units: "", ..WELL };
        check(case, State::Healthy, "everything that belongs to this node runs");
    }
}
