//! What sessions may cost; tests shorten it.

use std::time::Duration;

/// What remote microphones may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub sessions: usize,
    /// Of one key, so that one caller leaves room for others.
    pub sessions_per_key: usize,
    /// Of a session, however busy it is.
    pub age: Duration,
    /// Without its socket; so long its words can still be read.
    pub alone: Duration,
    /// From the start to the socket that shows the ticket.
    pub ticket: Duration,
    /// A client from which nothing came for so long is asked whether it is there.
    pub ping_after: Duration,
    /// And given up after so long: its other half is open to nobody.
    pub silence: Duration,
    /// Who does not take what it is sent for so long is gone.
    pub write: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            sessions: 8,
            sessions_per_key: 4,
            age: Duration::from_secs(3600),
            alone: Duration::from_secs(60),
            ticket: Duration::from_secs(20),
            ping_after: Duration::from_secs(10),
            silence: Duration::from_secs(30),
            write: Duration::from_secs(10),
        }
    }
}
