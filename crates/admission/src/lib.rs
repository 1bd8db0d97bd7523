//! Who belongs to a cluster: keys, node certificates, the roster, the ring of cluster keys, the call home, orders.
//!
//! Boot server, agent and gossip all read and write these few texts and bytes.
//! They live here once, so that no two of them can drift apart.
//! This crate turns bytes into values and back, and checks signatures; it knows no clock, no dice, no file, no socket:
//! time and randomness are handed in. A secret never prints itself and leaves memory when it is dropped.

#![forbid(unsafe_code)]

mod bytes;
mod certificate;
mod error;
mod ids;
mod keys;
mod ring;
mod roster;
mod sealed;

pub use certificate::{CERTIFICATE_BYTES, Certificate, Claim, Role};
pub use error::Error;
pub use ids::{ClusterId, NodeId, overlay_address};
pub use keys::{
    AuthorityPublic, AuthoritySecret, KEY_BYTES, NodePublic, NodeSecret, OverlayPublic, Signature, Statement,
};
pub use ring::{KeyRing, RING_KEY_BYTES, RingKey, RingMark};
pub use roster::{Merged, PAGE_BYTES_MAX, PAGE_REMOVED_MAX, PAGES_MAX, Page, REMOVED_MAX, Removal, Roster};
pub use sealed::{BOX_OVERHEAD_BYTES, BoxPublic, BoxSecret, Purpose};
