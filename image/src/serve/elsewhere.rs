//! `[tools]` and `[overrides]` of duet.toml: where tools run and where services are asked.

use super::settings::ModelServer;
use admission::{Overrides, ToolMode, ToolSettings};
use serde::Deserialize;
use std::collections::BTreeMap;

/// The service of an expert begins so; its name follows.
const EXPERT: &str = "llama-api-";
/// The nodes' tools.
const TOOLS: &str = "tools";

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Raw")]
pub(super) struct Tools(pub ToolSettings);

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Raw {
    mode: ToolMode,
    light: Vec<String>,
    heavy: Vec<String>,
    url: Option<ModelServer>,
    never_here: bool,
}

impl TryFrom<Raw> for Tools {
    type Error = String;

    fn try_from(raw: Raw) -> Result<Tools, String> {
        let Raw { mode, light, heavy, url, never_here } = raw;
        let tools = ToolSettings { mode, light, heavy, url: url.map(|server| server.0), never_here };
        tools.check().map_err(|_| {
            let (n, bytes) = (admission::TOOL_NAMES_MAX, admission::TOOL_NAME_BYTES_MAX);
            format!(
                "light and heavy have at most {n} names of tools, such as shell or web.*, of {bytes} letters"
            )
        })?;
        if never_here && mode == ToolMode::Local {
            return Err(
                "never_here is for calls that run elsewhere; with mode = \"local\" none would run".into()
            );
        }
        Ok(Tools(tools))
    }
}

/// Services by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "BTreeMap<String, ModelServer>")]
pub(super) struct Services(pub Overrides);

impl TryFrom<BTreeMap<String, ModelServer>> for Services {
    type Error = String;

    fn try_from(all: BTreeMap<String, ModelServer>) -> Result<Services, String> {
        let is_known =
            |name: &&String| *name == TOOLS || name.strip_prefix(EXPERT).is_some_and(|n| !n.is_empty());
        if let Some(strange) = all.keys().find(|name| !is_known(name)) {
            return Err(format!("no service '{strange}' can be elsewhere: name {EXPERT}EXPERT or {TOOLS}"));
        }
        let overrides = all.into_iter().map(|(name, server)| (name, server.0)).collect();
        admission::check_overrides(&overrides)
            .map_err(|_| format!("at most {} services, with plain names", admission::OVERRIDES_MAX))?;
        Ok(Services(overrides))
    }
}
