//! Where tools run and where services are, as the owner says to all nodes.
//!
//! A node's own word (its command line, its environment, the kernel's command line) goes before what is said here to all.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::Error;

/// Names of tools in each list.
pub const TOOL_NAMES_MAX: usize = 16;
/// Longest name of a tool or a service in settings, in bytes.
pub const TOOL_NAME_BYTES_MAX: usize = 48;
/// Services with an address of the owner's.
pub const OVERRIDES_MAX: usize = 8;

/// Where calls of tools run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ToolMode {
    /// A node of the tier edge as split, any other as local.
    #[default]
    Auto,
    /// All on the node that was asked.
    Local,
    /// All that are not about the node itself on another.
    Remote,
    /// The heavy ones on another.
    Split,
}

impl ToolMode {
    pub const ALL: [ToolMode; 4] = [ToolMode::Auto, ToolMode::Local, ToolMode::Remote, ToolMode::Split];

    pub const fn as_str(self) -> &'static str {
        match self {
            ToolMode::Auto => "auto",
            ToolMode::Local => "local",
            ToolMode::Remote => "remote",
            ToolMode::Split => "split",
        }
    }
}

impl std::str::FromStr for ToolMode {
    type Err = String;

    fn from_str(text: &str) -> Result<ToolMode, String> {
        let found = ToolMode::ALL.into_iter().find(|mode| mode.as_str() == text);
        found.ok_or_else(|| format!("tools run local, remote, split or auto, not {text:?}"))
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ToolSettings {
    pub mode: ToolMode,
    /// Always on the node that was asked; `web.*` are all whose names begin so.
    pub light: Vec<String>,
    /// Elsewhere in `split`, beside tools that are heavy by themselves.
    pub heavy: Vec<String>,
    /// The node that is asked instead of those of the cluster.
    pub url: Option<SocketAddr>,
    /// Where nobody else can run a call, it does not run on the node that was asked either.
    pub never_here: bool,
}

impl ToolSettings {
    pub fn check(&self) -> Result<(), Error> {
        let lists = [&self.light, &self.heavy];
        let is_good = |names: &&Vec<String>| {
            names.len() <= TOOL_NAMES_MAX && names.iter().all(|name| is_name(name.trim_end_matches('*')))
        };
        if lists.iter().all(is_good) { Ok(()) } else { Err(Error::Limit { what: "light or heavy tools" }) }
    }
}

/// Services and the addresses where they are asked, whatever the gossip tells.
pub type Overrides = BTreeMap<String, SocketAddr>;

pub fn check_overrides(overrides: &Overrides) -> Result<(), Error> {
    let is_good = overrides.len() <= OVERRIDES_MAX && overrides.keys().all(|name| is_name(name));
    if is_good { Ok(()) } else { Err(Error::Limit { what: "services with an address of their own" }) }
}

fn is_name(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
    (1..=TOOL_NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_tools_and_services_keep_their_limits() {
        let tools = |heavy: &[&str]| ToolSettings {
            heavy: heavy.iter().map(ToString::to_string).collect(),
            ..ToolSettings::default()
        };
        assert_eq!(tools(&["web.*", "shell"]).check(), Ok(()));
        for heavy in [&["Shell"][..], &["*"], &["a b"], &[""], &["x"; TOOL_NAMES_MAX + 1]] {
            assert!(tools(heavy).check().is_err(), "{heavy:?}");
        }
        let address = SocketAddr::from(([10, 0, 0, 9], 80));
        let all = |n: usize| (0..n).map(|n| (format!("llama-api-{n}"), address)).collect::<Overrides>();
        assert_eq!(check_overrides(&all(OVERRIDES_MAX)), Ok(()));
        assert!(check_overrides(&all(OVERRIDES_MAX + 1)).is_err());
        assert!(check_overrides(&[("a\nb".to_owned(), address)].into()).is_err());
    }

    #[test]
    fn a_mode_survives_its_word() {
        for mode in ToolMode::ALL {
            assert_eq!(mode.as_str().parse(), Ok(mode));
        }
        assert!("far".parse::<ToolMode>().is_err());
    }
}
