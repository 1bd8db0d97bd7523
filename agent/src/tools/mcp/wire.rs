//! What both ways to a server have in common: limits, and the reason for an end.

use rmcp::model::JsonRpcMessage;
use rmcp::service::{RoleClient, RxJsonRpcMessage, TxJsonRpcMessage};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One message of a server.
pub const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Messages of a server for each request of ours; progress and log lines are among them.
const MESSAGES_MAX: usize = 256;

pub type Sent = TxJsonRpcMessage<RoleClient>;
pub type Received = RxJsonRpcMessage<RoleClient>;

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WireError {
    /// No connection, or it broke.
    Broken(String),
    Long,
    Flood,
    /// What it says is no message.
    Garbled,
    Late,
    /// HTTP's status.
    Status(u16),
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WireError::Broken(why) => write!(f, "there is no connection: {why}"),
            WireError::Long => write!(f, "it sent a message of more than {MESSAGE_BYTES_MAX} bytes"),
            WireError::Flood => write!(f, "it sent more than {MESSAGES_MAX} messages for one request"),
            WireError::Garbled => write!(f, "it sent what is no message"),
            WireError::Late => write!(f, "it took nothing more"),
            WireError::Status(status) => write!(f, "it answered with status {status}"),
        }
    }
}

impl std::error::Error for WireError {}

/// How many messages the server may send until we ask for more.
#[derive(Debug, Clone)]
pub struct Allowance(Arc<AtomicUsize>);

impl Default for Allowance {
    fn default() -> Allowance {
        Allowance(Arc::new(AtomicUsize::new(MESSAGES_MAX)))
    }
}

impl Allowance {
    /// Only a request of ours allows more; an answer of ours to what it asks does not.
    pub fn renew(&self, sent: &Sent) {
        if matches!(sent, JsonRpcMessage::Request(_)) {
            self.0.store(MESSAGES_MAX, Ordering::Relaxed);
        }
    }

    pub fn spend(&self) -> Result<(), WireError> {
        let less = |left: usize| left.checked_sub(1);
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less)
            .map(|_| ())
            .map_err(|_| WireError::Flood)
    }
}
