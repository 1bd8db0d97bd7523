//! What two nodes say to each other about a call.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tools::{Call, Wanted};

/// Of a call, and of what came of it.
pub const BYTES_MAX: usize = 512 << 10;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Letter {
    pub tool: String,
    pub arguments: Map<String, Value>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Told {
    Ok(String),
    Failed(String),
}

impl Letter {
    pub fn of(call: &Call) -> Letter {
        Letter { tool: call.tool.clone(), arguments: crate::tools::mcp::offer::as_json(&call.arguments) }
    }

    /// Nothing of it was checked but its form; the desk does that.
    pub fn read(bytes: &[u8]) -> Result<Wanted, String> {
        let letter: Letter = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        Ok(Wanted { tool: letter.tool, arguments: letter.arguments })
    }
}
