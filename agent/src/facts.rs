//! What a node knows about itself, and the pure parsers that read it from text.
//!
//! Each module turns one kind of kernel text into one kind of fact; a field that is missing or odd becomes empty,
//! never an error, since a status page with a gap is worth more than none.
//! Nothing here reads a file or a clock: `io` does that.

pub mod boot;
pub mod input;
pub mod memory;
pub mod network;
pub mod processor;
pub mod sound;
pub mod system;
pub mod units;

use serde::Serialize;

/// Everything the page, the API and the terminal show. The JSON of the API is this, field by field.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Status {
    pub name: String,
    pub health: crate::health::Health,
    pub uptime_s: f64,
    pub load: system::Load,
    pub system: system::System,
    /// Absent where no duet init has run, such as on a developer's PC.
    pub boot: Option<boot::Boot>,
    pub processor: processor::Processor,
    pub memory: memory::Memory,
    pub interfaces: Vec<network::Interface>,
    pub sound_cards: Vec<sound::SoundCard>,
    pub input_devices: Vec<input::InputDevice>,
    pub units: units::Units,
    /// The models that rpc-worker holds.
    pub holds: split::report::Holds,
    /// The part it plays in its cluster.
    pub place: crate::tier::Place,
    /// Calls of tools that run, and how many may at once; nothing where no desk is open.
    #[serde(skip)]
    pub tools: Option<(usize, usize)>,
    pub cluster: crate::cluster::ClusterStatus,
    pub gateway: crate::gateway::meters::GatewayStatus,
    /// The PC's own ear and mouth; nothing outside of `agent serve`.
    pub voice: Option<crate::serve::voicing::VoiceStatus>,
    /// The last turns of all conversations, newest first, without what was said.
    pub turns: Vec<crate::talk::trace::Trace>,
    /// For the page; `/api/workflows` is the place for others.
    #[serde(skip)]
    pub workflows: crate::brain::shown::Shown,
    /// How good the cluster's models were measured to be, as far as somebody measured it.
    #[serde(skip_serializing_if = "admission::Quality::is_empty")]
    pub quality: admission::Quality,
    /// Absent where no agent serves, such as in `agent status`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hearing: Option<crate::hear::desk::HearingStatus>,
    /// Models that travel to this node; absent where no agent serves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spread: Option<crate::spreading::SpreadStatus>,
}
