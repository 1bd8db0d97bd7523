//! What the owner says of each tool: free, ask or forbidden. Where he says nothing, the tool's own spec holds.

use crate::spec::{Risk, Spec, is_name};
use std::collections::BTreeMap;

/// Words of the owner's on tools.
pub const RULES_MAX: usize = 256;

/// One line of the owner's: a tool, or all whose names begin with a word and a dot (`notes.*`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub line: usize,
    pub tool: String,
    pub risk: String,
}

/// What is wrong with it, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    pub line: usize,
    pub what: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    rules: BTreeMap<String, Risk>,
}

impl Policy {
    /// `known` are the names of all tools; `servers` those of tool servers, whose tools are known only while they are there.
    pub fn new(rules: &[Rule], known: &[&str], servers: &[&str]) -> Result<Policy, Vec<Mistake>> {
        let (mut read, mut mistakes) = (BTreeMap::new(), vec![]);
        let mut wrong = |line, what| mistakes.push(Mistake { line, what });
        for Rule { line, tool, risk } in rules.iter().take(RULES_MAX) {
            let group = tool.strip_suffix(".*");
            let is_of =
                |name: &&str, group: &str| name.strip_prefix(group).is_some_and(|rest| rest.starts_with('.'));
            let is_known = match group {
                Some(group) => servers.contains(&group) || known.iter().any(|name| is_of(name, group)),
                None => {
                    known.contains(&tool.as_str())
                        || is_name(tool) && servers.iter().any(|server| is_of(&tool.as_str(), server))
                }
            };
            if !is_known {
                let what = format!("there is no tool {tool:?}; `agent tools list` names them");
                wrong(*line, what);
            }
            match Risk::parse(risk) {
                Some(risk) => _ = read.insert(tool.clone(), risk),
                None => wrong(*line, format!("{risk:?} is none of: {}", Risk::WORDS.join(", "))),
            }
        }
        if let Some(rule) = rules.get(RULES_MAX) {
            wrong(rule.line, format!("more than {RULES_MAX} rules"));
        }
        if mistakes.is_empty() { Ok(Policy { rules: read }) } else { Err(mistakes) }
    }

    /// The tool's own rule, else that of its nearest group, else its spec.
    pub fn risk(&self, spec: &Spec) -> Risk {
        let name = spec.name.as_str();
        let groups = name.rmatch_indices('.').map(|(at, _)| format!("{}.*", &name[..at]));
        let said = std::iter::once(name.to_owned()).chain(groups).find_map(|rule| self.rules.get(&rule));
        said.copied().unwrap_or(spec.risk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 3] = ["time", "file.read", "file.write"];

    fn rules(all: &[(&str, &str)]) -> Vec<Rule> {
        let rule = |(idx, (tool, risk)): (usize, &(&str, &str))| Rule {
            line: idx + 1,
            tool: (*tool).into(),
            risk: (*risk).into(),
        };
        all.iter().enumerate().map(rule).collect()
    }

    #[track_caller]
    fn check(said: &[(&str, &str)], tool: &str, want: Risk) {
        let policy = Policy::new(&rules(said), &KNOWN, &["notes"]).unwrap();
        assert_eq!(policy.risk(&Spec::new(tool, "Does something.").ask()), want);
    }

    #[test]
    fn the_nearest_word_of_the_owners_holds() {
        check(&[], "file.read", Risk::Ask);
        check(&[("file.read", "free")], "file.read", Risk::Free);
        check(&[("file.*", "forbidden"), ("file.read", "free")], "file.write", Risk::Forbidden);
        check(&[("file.*", "forbidden"), ("file.read", "free")], "file.read", Risk::Free);
        check(&[("notes.*", "free")], "notes.add", Risk::Free);
        check(&[("notes.*", "free"), ("notes.add", "ask")], "notes.add", Risk::Ask);
        check(&[("time", "forbidden")], "file.read", Risk::Ask);
    }

    #[test]
    fn a_name_that_nobody_has_is_a_mistake_with_its_line() {
        let said = rules(&[("time", "free"), ("tmie", "free"), ("fil.*", "ask"), ("time", "fre")]);
        let mistakes = Policy::new(&said, &KNOWN, &["notes"]).unwrap_err();
        let lines: Vec<usize> = mistakes.iter().map(|mistake| mistake.line).collect();
        assert_eq!(lines, [2, 3, 4]);
        assert_eq!(mistakes[2].what, "\"fre\" is none of: free, ask, forbidden");
        let many = rules(&[("time", "free"); RULES_MAX + 1]);
        assert_eq!(Policy::new(&many, &KNOWN, &[]).unwrap_err()[0].line, RULES_MAX + 1);
    }
}
