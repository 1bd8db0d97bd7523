//! The hands of orders: takes one at a time, and seals the report to the owner's key.

use crate::io::kept::Kept;
use crate::io::node::Node;
use crate::orders::Orders;
use crate::serve::enrolling::{Joined, random};
use admission::{Order, Wish};
use service::door::{Answer, Ask};
use std::sync::Arc;
use tokio::sync::{Mutex, OwnedMutexGuard};

/// What takes orders; one at a time, since each costs a process.
pub struct Ordering {
    orders: Arc<Mutex<Orders>>,
    member: Joined,
}

/// An order that is being obeyed.
pub struct Taken {
    order: Order,
    kept: Arc<Kept>,
    _alone: OwnedMutexGuard<Orders>,
}

impl Ordering {
    pub fn new(member: Joined) -> Ordering {
        Ordering { orders: Arc::default(), member }
    }

    /// Reads an order; `Err` is the answer to one that is not obeyed.
    pub async fn take(&self, node: &Node, ask: &Ask) -> Result<Taken, Answer> {
        let Some(text) = &ask.posted else {
            let fields = &[("allow", "POST")];
            return Err(Answer { fields, ..Answer::text(405, "an order is posted\n") });
        };
        if ask.is_of_a_browser {
            return Err(Answer::text(403, "a page may not give orders\n"));
        }
        let Ok(mut orders) = self.orders.clone().try_lock_owned() else {
            return Err(Answer::text(503, "another order is being obeyed\n"));
        };
        let Some(kept) = self.member.borrow().clone() else {
            return Err(Answer::text(503, "this node is no member of a cluster\n"));
        };
        let order = orders.take(text, &kept.member, kept.unix_s(node.uptime_s()));
        let order = order.map_err(|sentence| Answer::text(403, &format!("{sentence}\n")))?;
        Ok(Taken { order, kept, _alone: orders })
    }
}

impl Taken {
    pub fn wish(&self) -> Wish {
        self.order.wish()
    }

    pub fn answer(self, report: &str) -> Answer {
        match self.order.report(&self.kept.member.node_key, report, &random()) {
            Ok(body) => Answer { status: 200, content_type: "application/octet-stream", body, fields: &[] },
            Err(error) => Answer::text(500, &format!("{error}\n")),
        }
    }
}
