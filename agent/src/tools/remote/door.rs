//! `POST /api/tools/run`: another node, or a person's program, wants a tool to run here.
//!
//! On the overlay WireGuard has checked who sends there, and the address says which member it is. Beside the page a key for
//! the voice is wanted, and no page but this node's own may ask.
//! Whoever asks may bring a person's yes with exactly what was shown for it; then nobody is asked a second time. What runs
//! is for this node's own desk to say all the same: what is forbidden here stays so, and a call without a yes waits for a
//! person here.

use super::PATH;
use super::letter::{BYTES_MAX, Letter, Told};
use crate::talk::parts::Stop;
use crate::tools::desk::{Desk, Job, Yes};
use service::door::{Allowance, Answer, Ask, Head, Reply};
use std::sync::Arc;
use std::time::Duration;
use tools::{Asker, Origin};

/// The longest tool, and a person who thinks it over.
pub const TIME_MAX: Duration = Duration::from_secs(700);

/// Who sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sender {
    /// A member, by its name.
    Node(String),
    /// Somebody with this key.
    Key(String),
}

pub fn gate(head: &Head<'_>) -> Result<Allowance, Reply> {
    match head.path {
        PATH if head.is_post => Ok(Allowance { body_bytes: BYTES_MAX, time: TIME_MAX }),
        _ => Err(Answer { fields: &[("allow", "POST")], ..Answer::text(405, "calls of tools are posted\n") }
            .into()),
    }
}

pub async fn answer(desk: Arc<Desk>, ask: &Ask, sender: &Sender) -> Answer {
    // Whoever shows a key was looked at before: a browser must speak for this node's page.
    if ask.is_of_a_browser && matches!(sender, Sender::Node(_)) {
        return Answer::text(403, "a page may not run tools by this door\n");
    }
    let (wanted, mut brought) = match Letter::read(ask.posted.as_deref().unwrap_or_default()) {
        Ok(wanted) => wanted,
        Err(error) => return Answer::text(400, &format!("{error}\n")),
    };
    if !desk.specs().iter().any(|(spec, _)| spec.name == wanted.tool) {
        return Answer::text(404, "this node has no such tool\n");
    }
    let stop = StopWhenGone(Stop::default());
    let (origin, who, by) = match sender {
        // What a node wants may have been put into its model's mouth.
        Sender::Node(name) => (Origin::Model, format!("the node {name}"), format!("at {name}")),
        Sender::Key(name) => (Origin::Person, format!("the key {name}"), format!("with the key {name}")),
    };
    brought.yes = brought.yes.map(|yes| Yes { by: format!("{} {by}", yes.by), ..yes });
    // Nodes that send each call on would send it round.
    brought.stays |= matches!(sender, Sender::Node(_));
    let asker = Asker { origin, who, talk: None };
    let job = Job { wanted, asker, stop: stop.0.clone(), asks: Box::new(|_| {}) };
    let told = match desk.call_with(job, brought).await {
        Ok(text) => Told::Ok(text),
        Err(why) => Told::Failed(why),
    };
    match serde_json::to_vec(&told) {
        Ok(body) => Answer::json(200, body),
        Err(error) => Answer::text(500, &format!("the answer cannot be written: {error}\n")),
    }
}

/// Whoever leaves waits for nothing any more.
struct StopWhenGone(Stop);

impl Drop for StopWhenGone {
    fn drop(&mut self) {
        self.0.stop();
    }
}
