//! What two nodes say to each other about a call.

use crate::tools::desk::{Brought, Yes};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tools::audit::WHO_BYTES_MAX;
use tools::{Call, Wanted, cut};

/// Of a call, and of what came of it.
pub const BYTES_MAX: usize = 512 << 10;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Letter {
    pub tool: String,
    #[serde(default)]
    pub arguments: Map<String, Value>,
    /// That a person allowed it where it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub yes: Option<Word>,
    /// Whoever gets it does it, or nobody.
    #[serde(default)]
    pub stays: bool,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Word {
    pub by: String,
    /// What was shown to whoever said it.
    pub will_run: String,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Told {
    Ok(String),
    Failed(String),
}

impl Letter {
    pub fn of(call: &Call) -> Letter {
        let yes = call.yes.as_ref().map(|by| Word { by: by.clone(), will_run: call.will_run() });
        Letter { tool: call.tool.clone(), arguments: call.given(), yes, stays: true }
    }

    /// Of a person's own program.
    pub fn wanted(wanted: &Wanted, yes: Option<Yes>) -> Letter {
        let yes = yes.map(|Yes { by, will_run }| Word { by, will_run });
        Letter { tool: wanted.tool.clone(), arguments: wanted.arguments.clone(), yes, stays: false }
    }

    /// Nothing of it was checked but its form; the desk does that.
    pub fn read(bytes: &[u8]) -> Result<(Wanted, Brought), String> {
        let letter: Letter = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let yes = |word: Word| Yes { by: cut(&word.by, WHO_BYTES_MAX).to_owned(), will_run: word.will_run };
        let brought = Brought { yes: letter.yes.map(yes), stays: letter.stays };
        Ok((Wanted { tool: letter.tool, arguments: letter.arguments }, brought))
    }
}
