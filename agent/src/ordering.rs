//! The hands of orders: gathers what the owner asks for, and seals it to the owner's key.

use crate::enrolling::{Joined, random};
use crate::io::node::Node;
use crate::orders::Orders;
use admission::{LOG_LINES_MAX, Wish};
use service::door::{Answer, Ask};
use tokio::sync::Mutex;

/// What answers orders; one at a time, since each costs a process.
pub struct Ordering {
    orders: Mutex<Orders>,
    member: Joined,
}

impl Ordering {
    pub fn new(member: Joined) -> Ordering {
        Ordering { orders: Mutex::default(), member }
    }

    pub async fn answer(&self, node: &Node, port: u16, ask: &Ask) -> Answer {
        let Some(text) = &ask.posted else {
            return Answer { fields: &[("allow", "POST")], ..Answer::text(405, "an order is posted\n") };
        };
        if ask.is_of_a_browser {
            return Answer::text(403, "a page may not give orders\n");
        }
        let Ok(mut orders) = self.orders.try_lock() else {
            return Answer::text(503, "another order is being obeyed\n");
        };
        let Some(kept) = self.member.borrow().clone() else {
            return Answer::text(503, "this node is no member of a cluster\n");
        };
        let order = match orders.take(text, &kept.member, kept.unix_s(node.uptime_s())) {
            Ok(order) => order,
            Err(sentence) => return Answer::text(403, &format!("{sentence}\n")),
        };
        let report = match order.wish() {
            Wish::Logs { lines } => logs(node, lines).await,
            Wish::Diag => node.diagnosis(port).await,
        };
        match order.report(&kept.member.node_key, &report, &random()) {
            Ok(body) => Answer { status: 200, content_type: "application/octet-stream", body, fields: &[] },
            Err(error) => Answer::text(500, &format!("{error}\n")),
        }
    }
}

/// The last lines of what the journal's unit sends.
async fn logs(node: &Node, lines: u16) -> String {
    let text = node.journal().await;
    let all: Vec<&str> = text.lines().collect();
    let from = all.len().saturating_sub(usize::from(lines.min(LOG_LINES_MAX)));
    if all.is_empty() { "the journal could not be read\n".into() } else { all[from..].join("\n") + "\n" }
}
