//! `POST /api/tools/run`: another node wants a tool to run here.
//!
//! On the overlay WireGuard has checked who sends there, and the address says which member it is. Beside the page a key is
//! wanted, and no page may ask. What runs is for this node's own desk to say: a tool that asks waits for a person here too.

use super::PATH;
use super::letter::{BYTES_MAX, Letter, Told};
use crate::talk::parts::Stop;
use crate::tools::desk::{Desk, Job};
use service::door::{Allowance, Answer, Ask, Head, Reply};
use std::sync::Arc;
use std::time::Duration;
use tools::{Asker, Origin};

/// The longest tool, and a person who thinks it over.
const TIME_MAX: Duration = Duration::from_secs(700);

pub fn gate(head: &Head<'_>) -> Result<Allowance, Reply> {
    match head.path {
        PATH if head.is_post => Ok(Allowance { body_bytes: BYTES_MAX, time: TIME_MAX }),
        _ => Err(Answer { fields: &[("allow", "POST")], ..Answer::text(405, "calls of tools are posted\n") }
            .into()),
    }
}

/// `who` is the node, or the name of the key.
pub async fn answer(desk: Arc<Desk>, ask: &Ask, who: &str) -> Answer {
    if ask.is_of_a_browser {
        return Answer::text(403, "a page may not run tools by this door\n");
    }
    let wanted = match Letter::read(ask.posted.as_deref().unwrap_or_default()) {
        Ok(wanted) => wanted,
        Err(error) => return Answer::text(400, &format!("{error}\n")),
    };
    if !desk.specs().iter().any(|(spec, _)| spec.name == wanted.tool) {
        return Answer::text(404, "this node has no such tool\n");
    }
    let stop = StopWhenGone(Stop::default());
    // What a node wants may have been put into its model's mouth.
    let asker = Asker { origin: Origin::Model, who: format!("the node {who}"), talk: None };
    let job = Job { wanted, asker, stop: stop.0.clone(), asks: Box::new(|_| {}) };
    let told = match desk.call(job).await {
        Ok(text) => Told::Ok(text),
        Err(why) => Told::Failed(why),
    };
    match serde_json::to_vec(&told) {
        Ok(body) => Answer::json(200, body),
        Err(error) => Answer::text(500, &format!("the answer cannot be written: {error}\n")),
    }
}

/// A node that leaves waits for nothing any more.
struct StopWhenGone(Stop);

impl Drop for StopWhenGone {
    fn drop(&mut self) {
        self.0.stop();
    }
}
