//! Where a call runs: pure, from the owner's words, the tool's own weight and what this node is.

use super::Other;
use cluster::Tier;
use serde::Deserialize;
use tools::{Spec, Weight};

pub const NAMES_MAX: usize = 64;
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
const KEY_BYTES_MAX: usize = 200;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Here,
    There,
}

/// `tool_execution_mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// A node of the tier edge as split, any other as local.
    #[default]
    Auto,
    Local,
    Remote,
    Split,
}

/// As the owner writes them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Words {
    pub tool_execution_mode: Mode,
    /// `edge`, `mid`, `core`; by the memory of this node where it is left out or `auto`.
    pub tier: Option<String>,
    /// Always here, beside what is about this node itself.
    pub light: Vec<String>,
    /// There in `split`, beside tools that are heavy by themselves.
    pub heavy: Vec<String>,
    /// `http://ADDRESS:PORT` of a node that is asked instead of the cluster's.
    pub tool_server_url: Option<String>,
    /// The key for its door.
    pub tool_server_key: Option<String>,
    /// Where nobody else can: not here either.
    pub never_here: bool,
}

/// What holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    mode: Mode,
    tier: Tier,
    light: Vec<String>,
    heavy: Vec<String>,
    pub url: Option<Other>,
    pub only_there: bool,
}

impl Rules {
    /// `measured` is the tier by this node's memory. The error is for the owner.
    pub fn new(words: Words, measured: Tier) -> Result<Rules, String> {
        let tier = match words.tier.as_deref() {
            None | Some("auto") => measured,
            Some("edge") => Tier::Edge,
            Some("mid") => Tier::Mid,
            Some("core") => Tier::Core,
            Some(_) => return Err("tier is edge, mid, core or auto".into()),
        };
        for name in words.light.iter().chain(&words.heavy) {
            if !tools::spec::is_name(
                name.strip_suffix('*').map_or(name.as_str(), |start| start.trim_end_matches('.')),
            ) {
                return Err(format!("{name:?} is no name of a tool; `agent tools list` names them"));
            }
        }
        if words.light.len() + words.heavy.len() > NAMES_MAX {
            return Err(format!("light and heavy have more than {NAMES_MAX} names"));
        }
        let key = words.tool_server_key.filter(|key| !key.is_empty());
        if key
            .as_ref()
            .is_some_and(|key| key.len() > KEY_BYTES_MAX || !key.bytes().all(|byte| byte.is_ascii_graphic()))
        {
            return Err("tool_server_key is what `duet keys add NAME --voice` printed".into());
        }
        let address = |text: &String| text.strip_prefix("http://")?.trim_end_matches('/').parse().ok();
        let url = match &words.tool_server_url {
            None => None,
            Some(text) => {
                let address = address(text)
                    .ok_or("tool_server_url is http://ADDRESS:PORT, with an address in numbers")?;
                Some(Other { name: text.clone(), address, key })
            }
        };
        let Words { tool_execution_mode: mode, light, heavy, never_here: only_there, .. } = words;
        Ok(Rules { mode, tier, light, heavy, url, only_there })
    }

    pub fn place(&self, spec: &Spec) -> Place {
        let named = |names: &[String]| names.iter().any(|name| fits(name, &spec.name));
        let is_own = OWN.iter().any(|name| fits(name, &spec.name));
        let mode = match self.mode {
            Mode::Auto if self.tier == Tier::Edge || self.url.is_some() => Mode::Split,
            Mode::Auto => Mode::Local,
            said => said,
        };
        let is_away = match mode {
            Mode::Remote => true,
            Mode::Split => named(&self.heavy) || spec.weight == Weight::Heavy,
            Mode::Local | Mode::Auto => false,
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
        let rules = Rules::new(toml::from_str(words).unwrap(), tier).unwrap();
        let light = |name| Spec::new(name, "A tool.");
        let all = [light("time"), light("calculator"), light("shell").heavy(), light("web.fetch")];
        assert_eq!(all.map(|spec| rules.place(&spec)), want, "{words}");
    }

    #[test]
    fn a_call_runs_where_the_owner_says() {
        check("tool_execution_mode = 'local'", Tier::Edge, [Here, Here, Here, Here]);
        check("tool_execution_mode = 'remote'", Tier::Core, [Here, There, There, There]);
        check("tool_execution_mode = 'remote'\nlight = ['web.*']", Tier::Core, [Here, There, There, Here]);
        check("tool_execution_mode = 'split'", Tier::Core, [Here, Here, There, Here]);
        check(
            "tool_execution_mode = 'split'\nheavy = ['web.*', 'time']",
            Tier::Core,
            [Here, Here, There, There],
        );
        check("tool_execution_mode = 'split'\nlight = ['shell']", Tier::Core, [Here, Here, Here, Here]);
    }

    #[test]
    fn auto_is_split_for_a_node_that_is_small() {
        check("", Tier::Edge, [Here, Here, There, Here]);
        check("", Tier::Mid, [Here, Here, Here, Here]);
        check("tier = 'edge'", Tier::Core, [Here, Here, There, Here]);
        check("tier = 'core'", Tier::Edge, [Here, Here, Here, Here]);
        check("tool_server_url = 'http://10.0.0.9:8000'", Tier::Core, [Here, Here, There, Here]);
    }

    #[test]
    fn a_mistake_is_told() {
        for words in [
            "tier = 'big'",
            "light = ['Shell']",
            "tool_server_url = 'https://10.0.0.9:8000'",
            "tool_server_url = 'http://nas:8000'",
            "tool_server_key = 'a b'",
        ] {
            assert!(Rules::new(toml::from_str(words).unwrap(), Tier::Mid).is_err(), "{words}");
        }
        assert!(toml::from_str::<Words>("tool_execution_mode = 'far'").is_err());
    }
}
