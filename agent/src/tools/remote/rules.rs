//! Where a call runs: pure, from the owner's words, the tool's own weight and what this node is.

use super::Other;
use crate::tier::Said;
use admission::{NodeSettings, ToolMode, ToolSettings};
use cluster::Tier;
use tools::{Spec, Weight};

/// About this node itself: what another would do instead is something else.
const OWN: [&str; 14] = [
    "time",
    "date",
    "timer*",
    "volume",
    "status",
    "mcp.*",
    "memory*",
    "remember",
    "recall",
    "forget",
    "power*",
    "say",
    "cluster.*",
    "camera*",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Here,
    There,
}

/// What holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    mode: ToolMode,
    tier: Tier,
    light: Vec<String>,
    heavy: Vec<String>,
    pub url: Option<Other>,
    pub only_there: bool,
}

impl Rules {
    /// `key` is for the door of the owner's address.
    pub fn new(said: ToolSettings, key: Option<String>, tier: Tier) -> Rules {
        let ToolSettings { mode, light, heavy, url, never_here: only_there } = said;
        let url = url.map(|address| Other { name: format!("the tool server {address}"), address, key });
        Rules { mode, tier, light, heavy, url, only_there }
    }

    /// Of what was said to this node and to all of them.
    pub fn of(own: &Said, all: &NodeSettings, tier: Tier) -> Rules {
        let mut said = all.tools.clone();
        said.mode = own.tools.unwrap_or(said.mode);
        said.url = own.tools_url.or(said.url).or(all.overrides.get(super::SERVICE).copied());
        Rules::new(said, own.tools_key.clone(), tier)
    }

    /// What holds, in words.
    pub fn told(&self) -> &'static str {
        match self.mode() {
            ToolMode::Remote => "all calls that are not about this PC run on another",
            ToolMode::Split => "heavy calls run on another PC",
            ToolMode::Local | ToolMode::Auto => "all calls run here",
        }
    }

    fn mode(&self) -> ToolMode {
        match self.mode {
            ToolMode::Auto if self.tier == Tier::Edge || self.url.is_some() => ToolMode::Split,
            ToolMode::Auto => ToolMode::Local,
            said => said,
        }
    }

    pub fn place(&self, spec: &Spec) -> Place {
        let named = |names: &[String]| names.iter().any(|name| fits(name, &spec.name));
        let is_own = OWN.iter().any(|name| fits(name, &spec.name));
        let is_away = match self.mode() {
            ToolMode::Remote => true,
            ToolMode::Split => named(&self.heavy) || spec.weight == Weight::Heavy,
            ToolMode::Local | ToolMode::Auto => false,
        };
        if is_away && !is_own && !named(&self.light) { Place::There } else { Place::Here }
    }
}

fn fits(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |start| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Place::{Here, There};

    #[track_caller]
    fn check(words: &str, tier: Tier, want: [Place; 4]) {
        let rules = Rules::new(toml::from_str(words).unwrap(), None, tier);
        let light = |name| Spec::new(name, "A tool.");
        let all = [light("time"), light("calculator"), light("shell").heavy(), light("web.fetch")];
        assert_eq!(all.map(|spec| rules.place(&spec)), want, "{words}");
    }

    #[test]
    fn a_call_runs_where_the_owner_says() {
        check("mode = 'local'", Tier::Edge, [Here, Here, Here, Here]);
        check("mode = 'remote'", Tier::Core, [Here, There, There, There]);
        check("mode = 'remote'\nlight = ['web.*']", Tier::Core, [Here, There, There, Here]);
        check("mode = 'split'", Tier::Core, [Here, Here, There, Here]);
        check("mode = 'split'\nheavy = ['web.*', 'time']", Tier::Core, [Here, Here, There, There]);
        check("mode = 'split'\nlight = ['shell']", Tier::Core, [Here, Here, Here, Here]);
    }

    #[test]
    fn a_nodes_own_word_goes_before_what_all_are_told() {
        let all: NodeSettings = serde_json::from_str(
            r#"{"tools":{"mode":"remote","heavy":["web.*"]},"overrides":{"tools":"10.0.0.9:8000"}}"#,
        )
        .unwrap();
        let rules = Rules::of(&Said::default(), &all, Tier::Mid);
        assert_eq!(rules.place(&Spec::new("calculator", "A tool.")), There);
        assert_eq!(rules.url.unwrap().address, "10.0.0.9:8000".parse().unwrap());
        let own = Said::of_kernel("duet.tools=split duet.tools_url=http://10.0.0.8:8000");
        let rules = Rules::of(&own, &all, Tier::Mid);
        assert_eq!(rules.place(&Spec::new("calculator", "A tool.")), Here);
        assert_eq!(rules.place(&Spec::new("web.fetch", "A tool.")), There);
        assert_eq!(rules.url.unwrap().address, "10.0.0.8:8000".parse().unwrap());
    }

    #[test]
    fn auto_is_split_for_a_node_that_is_small() {
        check("", Tier::Edge, [Here, Here, There, Here]);
        check("", Tier::Mid, [Here, Here, Here, Here]);
        check("", Tier::Core, [Here, Here, Here, Here]);
        check("url = '10.0.0.9:8000'", Tier::Core, [Here, Here, There, Here]);
    }
}
