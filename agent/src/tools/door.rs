//! `GET /api/tools`, `GET` and `POST /api/approvals`, `GET /api/tools/audit`, `POST /api/tools/run`.
//!
//! Which tools there are is no secret. What waits for a yes and what was done says what was spoken of, so both need a key for
//! the voice, and so does a yes; a browser must speak for the page that this node served.

use super::remote::{self, door::Sender};
use super::setup::Setup;
use crate::gateway::Gateway;
use crate::session::access;
use serde::Deserialize;
use serde_json::{Value, json};
use service::door::{Allowance, Answer, Ask, Head, Reply};
use std::sync::Arc;
use std::time::Duration;
use tools::{Refused, Risk, Spec};

pub const TOOLS_PATH: &str = "/api/tools";
pub const APPROVALS_PATH: &str = "/api/approvals";
pub const AUDIT_PATH: &str = "/api/tools/audit";
const BODY_BYTES_MAX: usize = 1024;
/// Calls that are shown of the book.
const AUDIT_MAX: usize = 200;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Word {
    id: u64,
    yes: bool,
}

type Refusal = (u16, String);

pub struct Door {
    gateway: Arc<Gateway>,
    setup: Arc<Setup>,
}

impl Door {
    pub fn new(gateway: Arc<Gateway>, setup: Arc<Setup>) -> Door {
        Door { gateway, setup }
    }

    pub fn is_for(path: &str) -> bool {
        [TOOLS_PATH, APPROVALS_PATH, AUDIT_PATH, remote::PATH].contains(&path)
    }

    /// Judges a request by its head: who may not, hears why.
    pub fn admit(&self, head: &Head<'_>) -> Result<Allowance, Reply> {
        if head.path == TOOLS_PATH && !head.is_post {
            return Ok(Allowance { body_bytes: 0, time: Duration::ZERO });
        }
        access::origin(head.fields).map_err(|what| refusal((403, what.to_owned())))?;
        self.gateway.voice_key(head.fields).map_err(refusal)?;
        if head.path == remote::PATH {
            return remote::door::gate(head);
        }
        Ok(Allowance { body_bytes: BODY_BYTES_MAX, time: Duration::ZERO })
    }

    /// Answers whom [`Door::admit`] let in.
    pub async fn answer(&self, ask: &Ask) -> Reply {
        if ask.path == remote::PATH {
            return match self.gateway.voice_key(&ask.fields) {
                Ok(key) => remote::door::answer(self.setup.desk.clone(), ask, &Sender::Key(key)).await.into(),
                Err(refused) => refusal(refused),
            };
        }
        match self.handle(ask) {
            Ok(value) => Answer::json(200, value.to_string().into_bytes()).into(),
            Err(refused) => refusal(refused),
        }
    }

    fn handle(&self, ask: &Ask) -> Result<Value, Refusal> {
        let desk = &self.setup.desk;
        if (ask.path.as_str(), &ask.posted) == (TOOLS_PATH, &None) {
            let tools: Vec<Value> = desk.specs().iter().map(shown).collect();
            return Ok(json!({ "tools": tools, "troubles": self.setup.troubles() }));
        }
        let key = self.gateway.voice_key(&ask.fields)?;
        match (ask.path.as_str(), &ask.posted) {
            (APPROVALS_PATH, None) => {
                let pending = desk.pending().into_iter().map(|(pending, left)| {
                    json!({
                        "id": pending.id,
                        "tool": pending.tool,
                        "will_run": pending.will_run,
                        "asked_by": pending.asker.who,
                        "expires_in_s": left.as_secs(),
                    })
                });
                Ok(json!({ "pending": pending.collect::<Vec<Value>>() }))
            }
            (APPROVALS_PATH, Some(body)) => {
                let Word { id, yes } =
                    serde_json::from_slice(body).map_err(|error| (400, error.to_string()))?;
                match desk.answer(id, yes, &format!("the key {key}")) {
                    Ok(()) => Ok(json!({ "id": id, "yes": yes })),
                    Err(Refused::Unknown) => Err((404, Refused::Unknown.to_string())),
                    Err(refused) => Err((409, refused.to_string())),
                }
            }
            (AUDIT_PATH, None) => Ok(json!({ "calls": desk.audit(AUDIT_MAX) })),
            _ => Err((
                405,
                "tools and their calls are looked at; a call that waits is posted a yes or no".into(),
            )),
        }
    }
}

/// One tool, as `/api/tools` and `agent tools list --json` have it.
pub fn shown((spec, risk): &(Spec, Risk)) -> Value {
    json!({
        "name": spec.name,
        "about": spec.about,
        "risk": risk,
        "weight": spec.weight,
        "seconds_max": spec.seconds_max,
        "output_max": spec.output_max,
        "parameters": spec.parameters(),
    })
}

/// The body of who is refused is not read, so nothing can follow on this connection.
fn refusal((status, what): Refusal) -> Reply {
    Answer { fields: &[("connection", "close")], ..Answer::text(status, &format!("{what}\n")) }.into()
}
