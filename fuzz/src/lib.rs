//! The fuzz targets. What they check is in `targets.rs`, which the ordinary tests share.
#![forbid(unsafe_code)]

/// Included as files, so that the sanitizers need not build the whole program around it.
#[path = "../../agent/src/gateway/record.rs"]
pub mod gateway_record;
#[path = "../../agent/src/gateway/stream.rs"]
pub mod gateway_stream;
#[path = "../../image/src/serve/head.rs"]
pub mod head;
#[path = "../../agent/src/hear/letter.rs"]
pub mod hear_letter;
#[path = "../../image/init/src/http.rs"]
pub mod http;
#[path = "../../agent/src/keys/event.rs"]
pub mod key_event;
#[path = "../../agent/src/wyoming/mdns/packet.rs"]
pub mod mdns_packet;
#[path = "../../image/src/serve/report.rs"]
pub mod report;
#[path = "../../agent/src/session/frame.rs"]
pub mod session_frame;
#[path = "../../agent/src/session/words.rs"]
pub mod session_words;
#[path = "../../image/src/serve/settings.rs"]
pub mod settings;
#[path = "../../agent/src/sound/wav.rs"]
pub mod sound_wav;
mod targets;
#[path = "../../agent/src/answer/keep/record.rs"]
pub mod timer_record;
#[path = "../../agent/src/hear/model.rs"]
pub mod whisper_model;
#[path = "../../agent/src/wyoming/codec.rs"]
pub mod wyoming_codec;

pub use targets::*;
