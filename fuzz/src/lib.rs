//! The fuzz targets. What they check is in `targets.rs`, which the ordinary tests share.
#![forbid(unsafe_code)]

/// Included as files, so that the sanitizers need not build the whole program around it.
#[path = "../../agent/src/gateway"]
pub mod gateway {
    pub mod event;
    pub mod record;
    pub mod stream;
}
#[path = "../../agent/src/hear/letter.rs"]
pub mod hear_letter;
#[path = "../../image/init/src/http.rs"]
pub mod http;
#[path = "../../agent/src/keys/event.rs"]
pub mod key_event;
#[path = "../../agent/src/wyoming/mdns/packet.rs"]
pub mod mdns_packet;
#[path = "../../agent/src/session/frame.rs"]
pub mod session_frame;
#[path = "../../agent/src/session/words.rs"]
pub mod session_words;
#[path = "../../image/src/serve"]
pub mod serve {
    pub mod elsewhere;
    pub mod head;
    pub mod report;
    pub mod settings;
    pub mod zone;
}
#[path = "../../agent/src/sound/wav.rs"]
pub mod sound_wav;
mod targets;
#[path = "../../agent/src/answer/keep/record.rs"]
pub mod timer_record;
#[path = "../../agent/src/wyoming/codec.rs"]
pub mod wyoming_codec;

use gateway::{record as gateway_record, stream as gateway_stream};
use serve::{head, report, settings};
pub use targets::*;
