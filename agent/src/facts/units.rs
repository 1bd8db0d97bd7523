//! Units, from the output of `systemctl show` for ours and of `systemctl list-units --failed` for all.
//!
//! Both come in one text: blocks of `Name=value` lines, then one line for each failed unit.

use serde::Serialize;

/// Units shown; more is no list of this project.
pub const UNITS_MAX: usize = 32;

/// The properties that `parse` reads, for the command line.
pub const PROPERTIES: &str = "Id,Description,LoadState,ActiveState,SubState,Result,NRestarts";

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Units {
    /// False where nobody could be asked; the lists are then empty.
    pub known: bool,
    pub ours: Vec<Unit>,
    /// Every failed unit of the machine by name, ours among them.
    pub failed: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Unit {
    pub name: String,
    pub description: String,
    /// `active`, `activating`, `inactive`, `failed` and so on, in systemd's words.
    pub active: String,
    pub sub: String,
    /// Why it failed; `success` otherwise.
    pub result: String,
    pub n_restarts: u32,
}

pub fn parse(text: &str) -> Units {
    let mut units = Units::default();
    let mut open = Block::default();
    for line in text.lines().map(str::trim) {
        match line.split_once('=') {
            Some((name, value)) => open.set(name, value),
            None => {
                units.ours.extend(std::mem::take(&mut open).close());
                units.failed.extend(failed(line));
            }
        }
    }
    units.ours.extend(open.close());
    units.known = !units.ours.is_empty();
    units.ours.truncate(UNITS_MAX);
    units.failed.truncate(UNITS_MAX);
    units
}

/// `agent.service loaded failed failed The voice of this node`.
fn failed(line: &str) -> Option<String> {
    let mut words = line.trim_start_matches(['●', '*', ' ']).split_whitespace();
    let name = words.next().filter(|w| w.contains('.'))?;
    (words.nth(1) == Some("failed")).then(|| name.to_string())
}

/// The properties of one unit, until a line without `=` ends them.
#[derive(Default)]
struct Block {
    unit: Unit,
    loaded: bool,
}

impl Block {
    fn set(&mut self, name: &str, value: &str) {
        let value = value.to_string();
        match name {
            "Id" => self.unit.name = value,
            "Description" => self.unit.description = value,
            "LoadState" => self.loaded = value == "loaded",
            "ActiveState" => self.unit.active = value,
            "SubState" => self.unit.sub = value,
            "Result" => self.unit.result = value,
            "NRestarts" => self.unit.n_restarts = value.parse().unwrap_or(0),
            _ => {}
        }
    }

    /// A unit that is not installed is not shown.
    fn close(self) -> Option<Unit> {
        (self.loaded && !self.unit.name.is_empty()).then_some(self.unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, ours: &[&str], failed: &[&str]) {
        let units = parse(text);
        let shown = |u: &Unit| format!("{} {} {} {} {}", u.name, u.active, u.sub, u.result, u.n_restarts);
        assert_eq!(units.ours.iter().map(shown).collect::<Vec<_>>(), ours);
        assert_eq!(units.failed, failed);
        assert_eq!(units.known, !ours.is_empty());
    }

    const AGENT: &str = "Result=success\nNRestarts=0\nId=agent.service\nDescription=a=b\nLoadState=loaded\n\
        ActiveState=active\nSubState=running\n\n";

    #[test]
    fn a_unit_is_read_whatever_the_order_of_its_lines() {
        check(AGENT, &["agent.service active running success 0"], &[]);
        assert_eq!(parse(AGENT).ours[0].description, "a=b");
    }

    #[test]
    fn failed_units_follow_the_blocks() {
        let list = "Id=rpc-worker.service\nLoadState=loaded\nActiveState=failed\nSubState=failed\nResult=exit-code\nNRestarts=3\n\n\
            ● rpc-worker.service loaded failed failed Lends memory\nfoo.mount loaded failed failed Foo\n";
        check(
            &format!("{AGENT}{list}"),
            &["agent.service active running success 0", "rpc-worker.service failed failed exit-code 3"],
            &["rpc-worker.service", "foo.mount"],
        );
    }

    #[test]
    fn a_unit_that_is_not_installed_is_not_shown() {
        check(&AGENT.replace("loaded", "not-found"), &[], &[]);
    }

    #[test]
    fn a_message_is_no_failed_unit() {
        check("Failed to connect to bus: No such file or directory\n", &[], &[]);
        check("", &[], &[]);
    }

    #[test]
    fn the_lists_are_bounded() {
        let units = parse(&AGENT.repeat(UNITS_MAX + 5));
        assert_eq!(units.ours.len(), UNITS_MAX);
    }
}
