//! Who is alive, and what each node says of itself: gossip without hands.
//!
//! A [`Node`] is told what happened ([`Input`]) and says what should happen ([`Output`]). It knows no clock, no socket
//! and no dice: time comes with every call, chance from a seed, nonces from a closure that asks the operating system.
//! Membership is foca's (SWIM with suspicion); beside it every node keeps one signed record of facts for each member.
//!
//! What foca leaves open is mended here, and each mend has a test that fails without it:
//! - holes: a node that nobody tells of a member finds it by comparing pictures (`repair`);
//! - rumours of a death that did not reach everybody are repaired the other way too, but a live node is asked before
//!   it is believed dead, so a healed partition makes nobody flap;
//! - a node whose clock is dead, and whose epoch is therefore old, is told so and goes beyond it (`lives`);
//! - a node that slept with its processor busy does not hold its own sleep against others (`swim`).

#![forbid(unsafe_code)]

mod bytes;
mod chores;
pub mod envelope;
mod facts;
mod hash;
mod identity;
mod lives;
mod node;
mod peers;
mod record;
mod records;
mod repair;
mod rings;
mod swim;
mod view;
mod wire;
mod witness;

pub use bytes::Malformed;
pub use envelope::{DATAGRAM_BYTES_MAX, OVERHEAD_BYTES};
pub use facts::{
    Facts, FactsError, Hardware, Health, MODELS_MAX, Model, Mood, PlanMark, Power, PowerState, SCHEMA,
    SERVICES_MAX, SPEEDS_MAX, Service, Speed, TEXT_BYTES_MAX, Tier, isa,
};
pub use identity::Identity;
pub use node::{Config, Event, Input, Node, Output, Random};
pub use peers::MEMBERS_MAX;
pub use record::{BODY_BYTES_MAX, RECORD_BYTES_MAX, Record, Version};
pub use view::{Counters, MemberView, Sender, Standing, View};
pub use wire::Sight;
pub use witness::{Keys, Witness};
