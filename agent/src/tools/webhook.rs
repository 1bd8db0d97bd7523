//! Tells an address of the owner's something: a lamp, a door, a program of his. A model names it and never sees the address.

use super::setup::Wishes;
use super::{Call, Field, Limits, Spec, Tool};
use serde_json::json;
use service::fetch;
use tokio::runtime::Handle;

const TEXT_BYTES_MAX: usize = 2000;

pub struct Webhook {
    pub wishes: Wishes,
    pub runtime: Handle,
}

impl Tool for Webhook {
    fn spec(&self) -> Spec {
        Spec::new("webhook", "Tells one of the owner's webhooks something.")
            .field(Field::text("name", "the name of the webhook", 64))
            .field(Field::text("text", "what it is told", TEXT_BYTES_MAX).optional())
            .seconds(15)
            .ask()
    }

    fn run(&self, call: &Call, limits: &Limits<'_>) -> Result<String, String> {
        let name = call.text("name").unwrap_or_default();
        let wishes = self.wishes.now();
        let Some(address) = wishes.webhook(name) else {
            let names: Vec<&str> = wishes.webhooks().collect();
            return Err(match names.is_empty() {
                true => {
                    "there is no webhook; the owner adds one to tools.toml: [webhook] NAME = \"http://...\""
                        .into()
                }
                false => format!("there is no webhook {name:?}; there are: {}", names.join(", ")),
            });
        };
        let rest = &address["http://".len()..];
        let at = rest.find('/').map_or(address.len(), |at| at + "http://".len());
        let (base, path) = address.split_at(at);
        let path = if path.is_empty() { "/" } else { path };
        let body = json!({ "text": call.text("text").unwrap_or_default() }).to_string();
        let posted = self.runtime.block_on(fetch::post_json_within(limits.left(), base, path, &body));
        let reply = posted.map_err(|error| format!("the webhook {name}: {error}"))?;
        match reply.status {
            200..300 => Ok(format!("the webhook {name} answers with {}", reply.status)),
            status => Err(format!("the webhook {name} answers with {status}")),
        }
    }
}
