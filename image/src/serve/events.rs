//! What `duet serve` tells while it runs: one sentence, or one JSON object, for each thing that happened.
//!
//! It does not know where they are shown.

use super::text;
use netboot::Mac;
use serde::Serialize;

/// Something happened. `mac` and `name` say to which PC.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The server is ready.
    Serving { url: String, interface: String, dhcp: &'static str, release: Option<String> },
    /// A PC asked for a boot.
    Asked { mac: String, name: String, firmware: String },
    /// A PC has this address.
    Leased { mac: String, address: String },
    /// A PC was given its script.
    Ordered { mac: String, name: String, release: String, attempt: u32, reason: Option<String> },
    /// A file was sent whole.
    Sent { mac: String, name: String, file: String, bytes: u64, seconds: f64 },
    /// A PC told that it came this far.
    Reached { mac: String, name: String, stage: &'static str, attempt: u32, clock: u64, after_s: f64 },
    /// A PC told what went wrong.
    Failed { mac: String, name: String, sentence: String, attempt: u32 },
    /// Something the owner should know.
    Note { sentence: String },
}

/// An event and when it happened, in seconds since the server started.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stamped {
    pub at_s: f64,
    #[serde(flatten)]
    pub event: Event,
}

impl Event {
    pub fn sentence(&self) -> String {
        match self {
            Event::Serving { url, interface, dhcp, release } => {
                let release = release.as_deref().unwrap_or("no release yet");
                format!("serving {release} on {interface} (DHCP: {dhcp}), page at {url}")
            }
            Event::Asked { mac, name, firmware } => format!("{name}: asks to boot ({mac}, {firmware})"),
            Event::Leased { mac, address } => format!("{mac}: has address {address}"),
            Event::Ordered { name, release, attempt, reason, .. } => {
                let reason = reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
                format!("{name}: boots {release}, attempt {attempt}{reason}")
            }
            Event::Sent { name, file, bytes, seconds, .. } => {
                format!("{name}: {file} sent, {} in {seconds:.1} s", text::bytes(*bytes))
            }
            Event::Reached { name, stage, after_s, .. } => format!("{name}: {stage} after {after_s:.1} s"),
            Event::Failed { name, sentence, .. } => format!("{name}: failed: {sentence}"),
            Event::Note { sentence } => sentence.clone(),
        }
    }

    pub fn leased(mac: Mac, address: std::net::Ipv4Addr) -> Event {
        Event::Leased { mac: mac.to_string(), address: address.to_string() }
    }
}

impl Stamped {
    pub fn line(&self) -> String {
        format!("{:9.1} s  {}", self.at_s, self.event.sentence())
    }

    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("an event has only plain values")
    }
}
