//! Who belongs to a cluster: keys, node certificates, the roster, the ring of cluster keys, the call home, orders;
//! who from outside may ask its models, and what the owner wishes of all nodes.
//!
//! Boot server, agent and gossip all read and write these few texts and bytes.
//! They live here once, so that no two of them can drift apart.
//! This crate turns bytes into values and back, and checks signatures; it knows no clock, no dice, no file, no socket:
//! time and randomness are handed in. A secret never prints itself and leaves memory when it is dropped.

#![forbid(unsafe_code)]

mod answer;
mod api_keys;
mod bytes;
mod call;
mod catalogue;
mod certificate;
mod code;
mod edits;
mod error;
mod ids;
mod keys;
mod membership;
mod models_told;
mod order;
mod quality;
mod ring;
mod roster;
mod sealed;
mod settings;
mod stick;
mod tool_settings;

pub use answer::{ANSWER_BYTES_MAX, Admission, Answer, Challenge, Proof, REASON_BYTES_MAX, SEEDS_MAX};
pub use api_keys::{
    API_KEY_NAME_BYTES_MAX, API_KEYS_FILE_BYTES_MAX, API_KEYS_MAX, API_KEYS_PATH, API_KEYS_TEXT_BYTES_MAX,
    ApiKey, ApiKeyFile, ApiKeys, KeyLimits,
};
pub use call::{
    Ask, CALL_BYTES_MAX, CallId, Caller, ENROL_PATH, ENROL_PORT, Hardware, OPEN_PATH, Open,
    PROCESSOR_BYTES_MAX,
};
pub use catalogue::{
    CATALOGUE_BYTES_MAX, CATALOGUE_FILES_MAX, CATALOGUE_PATH, CatalogueFile, MODEL_NAME_BYTES_MAX, ModelUse,
    SignedCatalogue,
};
pub use certificate::{CERTIFICATE_BYTES, Certificate, Claim, Role};
pub use code::{Code, Nonce, commitment};
pub use edits::{
    EDIT_BYTES_MAX, EDIT_PATH, EDITS_BYTES_MAX, EDITS_MAX, Edit, EditKind, Edits, EditsPart,
    SIGNED_EDIT_BYTES_MAX, SignedEdit, TALK_BYTES_MAX, Talk,
};
pub use error::Error;
pub use ids::{ClusterId, NodeId, overlay_address};
pub use keys::{
    AuthorityPublic, AuthoritySecret, KEY_BYTES, NodePublic, NodeSecret, OverlayPublic, Signature, Statement,
    StickPublic, StickSecret,
};
pub use membership::Membership;
pub use models_told::{
    MODELS_TOLD_BYTES_MAX, ModelRefused, ModelsTold, REFUSED_TEXT_BYTES_MAX, REFUSED_TOLD_MAX,
};
pub use order::{
    DiagPart, LOG_LINES_MAX, ORDER_AGE_S_MAX, ORDER_BYTES, ORDER_PATH, ORDER_TEXT_BYTES_MAX, Order,
    REPORT_TEXT_BYTES_MAX, Wish,
};
pub use quality::{QUALITY_MODEL_BYTES_MAX, QUALITY_THOUSANDTHS_MAX, Quality, QualityFigure};
pub use ring::{KeyRing, RING_KEY_BYTES, RingKey, RingMark};
pub use roster::{Merged, PAGE_BYTES_MAX, PAGE_REMOVED_MAX, PAGES_MAX, Page, REMOVED_MAX, Removal, Roster};
pub use sealed::{BOX_OVERHEAD_BYTES, BoxPublic, BoxSecret, Purpose};
pub use settings::{
    Detector, KeyManner, LAST_RESORT_MAX, NodeSettings, PageSettings, RPC_KEYS_MAX, RPC_MIB_MAX, RPC_MIB_MIN,
    SETTINGS_PATH, SETTINGS_TEXT_BYTES_MAX, SignedSettings, VOICE_KEYS_MAX, VOICE_NAME_BYTES_MAX,
    VoiceSettings, server,
};
pub use stick::{PASS_BYTES, Pass, STICK_BYTES, STICK_DAYS_MAX, Stick, StickAsk, StickProof};
pub use tool_settings::{
    OVERRIDES_MAX, Overrides, TOOL_NAME_BYTES_MAX, TOOL_NAMES_MAX, ToolMode, ToolSettings, check_overrides,
};
