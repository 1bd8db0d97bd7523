//! What the owner's duet.toml says to all nodes at once, as the boot server signs it.
//!
//! It names no secret, so it travels open, like the list of API keys, and like that it never goes back: a node that has a
//! newer version keeps it.
//! A field that a node does not know is of a newer boot server and changes nothing there, so that nodes of two releases
//! can follow one file.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::keys::{AuthorityPublic, AuthoritySecret, Signature, Statement};
use crate::quality::Quality;
use crate::tool_settings::{Overrides, ToolSettings, check_overrides};
use crate::{API_KEY_NAME_BYTES_MAX, ClusterId, Error};

/// Where a node's agent takes new settings.
pub const SETTINGS_PATH: &str = "/api/settings";
/// Longest settings as the text in which they travel.
pub const SETTINGS_TEXT_BYTES_MAX: usize = 8192;
/// Addresses that are asked when nobody else is known.
pub const LAST_RESORT_MAX: usize = 8;

/// Keys that may have memory for stock llama.cpp clients.
pub const RPC_KEYS_MAX: usize = 8;
/// Least memory that such a client can use, and most that is meant.
pub const RPC_MIB_MIN: u32 = 16;
pub const RPC_MIB_MAX: u32 = 1 << 20;

/// Keys of keyboards that open the ear.
pub const VOICE_KEYS_MAX: usize = 8;
/// Longest name of a key, a language, a voice, a device or a file, in bytes.
pub const VOICE_NAME_BYTES_MAX: usize = 64;

const FORMAT: u8 = 1;
const WHAT: &str = "the settings of the nodes";

/// What all nodes are to do; whatever is not said is as it was before anybody could say it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeSettings {
    /// A server that answers all that is asked of models, instead of the cluster.
    pub llm_url: Option<SocketAddr>,
    /// Asked in this order for what no node serves.
    pub llm_last_resort: Vec<SocketAddr>,
    /// Memory that a stock llama.cpp client may have on each node; 0 is none.
    pub rpc_memory_mib: u32,
    /// Names of the API keys that may have it.
    pub rpc_keys: Vec<String>,
    pub voice: VoiceSettings,
    pub page: PageSettings,
    pub tools: ToolSettings,
    /// Services that are asked at an address of the owner's: `llama-api-NAME` or `tools`.
    pub overrides: Overrides,
    /// Not what the owner wants but what was measured; it goes the same way.
    #[serde(skip_serializing_if = "Quality::is_empty")]
    pub quality: Quality,
}

/// Who may look at the nodes' pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PageSettings {
    /// Everybody on the wire may read; what changes something needs a key all the same.
    pub open: bool,
}

impl Default for PageSettings {
    fn default() -> PageSettings {
        PageSettings { open: true }
    }
}

/// How nodes listen and speak.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct VoiceSettings {
    /// What people speak here and are answered in: `en`, `de`.
    pub language: String,
    /// A voice of espeak's where it is not the language's own, such as `en-us+f3`.
    pub voice: Option<String>,
    /// Words a minute, 80 to 450.
    pub rate: u16,
    /// 0 to 99.
    pub pitch: u8,
    /// 0 to 100.
    pub volume: u8,
    /// Names of the Linux kernel without `KEY_`, in small letters.
    pub keys: Vec<String>,
    pub key_manner: KeyManner,
    /// The key opens the ear for any number of turns, and silence ends each.
    pub hands_free: bool,
    /// Transcribe at pauses, while the key is still held.
    pub guess: bool,
    /// ALSA's name of the device, where it is not the first that there is.
    pub microphone: Option<String>,
    pub speaker: Option<String>,
    pub detector: Detector,
    /// File of the model that hears, below the folder of models.
    pub hearing: Option<String>,
    /// How the time of day follows from UTC, as POSIX writes it: `CET-1CEST,M3.5.0,M10.5.0/3`.
    pub time_zone: Option<String>,
    /// Whether nodes answer Home Assistant on 10300/tcp, to everybody on the wire.
    pub wyoming: bool,
}

/// What a press of the key means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyManner {
    Hold,
    Toggle,
    /// Held it is the one, tapped it is the other.
    #[default]
    Either,
}

/// Who says what is voice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Detector {
    #[default]
    Earshot,
    /// Better in noise and music, and more work; needs its model.
    Silero,
}

impl Default for VoiceSettings {
    fn default() -> VoiceSettings {
        VoiceSettings {
            language: "en".into(),
            voice: None,
            rate: 165,
            pitch: 50,
            volume: 80,
            keys: ["rightctrl", "f12"].map(String::from).into(),
            key_manner: KeyManner::default(),
            hands_free: false,
            guess: true,
            microphone: None,
            speaker: None,
            detector: Detector::default(),
            hearing: None,
            time_zone: None,
            wyoming: false,
        }
    }
}

impl VoiceSettings {
    pub fn check(&self) -> Result<(), Error> {
        let is_name = |name: &String| {
            (1..=VOICE_NAME_BYTES_MAX).contains(&name.len()) && !name.contains(char::is_control)
        };
        let names = [&self.voice, &self.microphone, &self.speaker, &self.hearing, &self.time_zone];
        if !is_name(&self.language) || !names.into_iter().flatten().all(is_name) {
            return Err(Error::Limit { what: "the names of language, voice, devices and model" });
        }
        if self.hearing.as_ref().is_some_and(|file| file.contains('/')) {
            return Err(Error::Limit { what: "the file of the model that hears" });
        }
        if !(1..=VOICE_KEYS_MAX).contains(&self.keys.len()) || !self.keys.iter().all(is_name) {
            return Err(Error::Limit { what: "the keys that open the ear" });
        }
        if !(80..=450).contains(&self.rate) || self.pitch > 99 || self.volume > 100 {
            return Err(Error::Limit { what: "rate, pitch or volume of the voice" });
        }
        Ok(())
    }
}

impl NodeSettings {
    pub fn check(&self) -> Result<(), Error> {
        if self.llm_last_resort.len() > LAST_RESORT_MAX {
            return Err(Error::Limit { what: "the number of servers of last resort" });
        }
        if self.rpc_memory_mib > 0 && !(RPC_MIB_MIN..=RPC_MIB_MAX).contains(&self.rpc_memory_mib) {
            return Err(Error::Limit { what: "the memory for llama.cpp clients" });
        }
        let is_name = |name: &String| (1..=API_KEY_NAME_BYTES_MAX).contains(&name.len());
        if self.rpc_keys.len() > RPC_KEYS_MAX || !self.rpc_keys.iter().all(is_name) {
            return Err(Error::Limit { what: "the keys for llama.cpp clients" });
        }
        self.tools.check()?;
        check_overrides(&self.overrides)?;
        self.quality.check()?;
        self.voice.check()
    }
}

/// `http://10.0.0.1:8081`: an address, no name, because no node asks a name server.
pub fn server(text: &str) -> Result<SocketAddr, String> {
    let address = text.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
    let address = address.and_then(|address| address.parse().ok());
    address.ok_or_else(|| "an address is written http://10.0.0.1:8081".into())
}

/// Settings of the right form; only [`SignedSettings::verify`] says that they are true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedSettings {
    cluster: ClusterId,
    version: u64,
    settings: NodeSettings,
    /// What was signed, to the byte.
    text: String,
    signature: Signature,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed {
    format: u8,
    settings: String,
    signature: String,
}

#[derive(Serialize, Deserialize)]
struct Document {
    cluster: String,
    version: u64,
    settings: NodeSettings,
}

impl SignedSettings {
    pub fn new(
        authority: &AuthoritySecret,
        version: u64,
        settings: NodeSettings,
    ) -> Result<SignedSettings, Error> {
        settings.check()?;
        let cluster = authority.cluster();
        let document = Document { cluster: cluster.to_string(), version, settings: settings.clone() };
        let text = serde_json::to_string(&document).expect("settings have only plain values");
        let signature = authority.sign(Statement::Settings, text.as_bytes());
        let signed = SignedSettings { cluster, version, settings, text, signature };
        // Names full of quotes become longer on their way.
        if signed.to_json().len() > SETTINGS_TEXT_BYTES_MAX {
            return Err(Error::TooLong { what: WHAT, bytes_max: SETTINGS_TEXT_BYTES_MAX });
        }
        Ok(signed)
    }

    pub fn to_json(&self) -> String {
        let (settings, signature) = (self.text.clone(), self.signature.to_hex());
        serde_json::to_string(&Sealed { format: FORMAT, settings, signature }).expect("texts are JSON")
    }

    pub fn parse(bytes: &[u8]) -> Result<SignedSettings, Error> {
        if bytes.len() > SETTINGS_TEXT_BYTES_MAX {
            return Err(Error::TooLong { what: WHAT, bytes_max: SETTINGS_TEXT_BYTES_MAX });
        }
        let form = Error::Form { what: WHAT };
        let Sealed { format, settings: text, signature } = serde_json::from_slice(bytes).map_err(|_| form)?;
        if format != FORMAT {
            return Err(Error::Format { what: WHAT, found: format });
        }
        let signature = Signature::parse(&signature).ok_or(form)?;
        let Document { cluster, version, settings } = serde_json::from_str(&text).map_err(|_| form)?;
        let cluster = ClusterId::parse(&cluster).ok_or(form)?;
        settings.check()?;
        Ok(SignedSettings { cluster, version, settings, text, signature })
    }

    /// Whether this authority wishes it so.
    pub fn verify(&self, authority: &AuthorityPublic) -> Result<(), Error> {
        if self.cluster != ClusterId::of(authority) {
            return Err(Error::Cluster);
        }
        authority.verify(Statement::Settings, self.text.as_bytes(), &self.signature)
    }

    pub fn version(&self) -> u64 {
        self.version
    }

    pub fn settings(&self) -> &NodeSettings {
        &self.settings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::tests::authority;
    use crate::{OVERRIDES_MAX, TOOL_NAME_BYTES_MAX, TOOL_NAMES_MAX, ToolMode};
    use crate::{QUALITY_MODEL_BYTES_MAX, QualityFigure};

    fn settings(n: usize) -> NodeSettings {
        let address = |n: usize| SocketAddr::from(([10, 0, 0, n as u8], 8081));
        let (llm_url, llm_last_resort) = (Some(address(9)), (0..n).map(address).collect());
        let rpc_keys = vec!["k".repeat(API_KEY_NAME_BYTES_MAX); n];
        let names = |n: usize| vec!["t".repeat(TOOL_NAME_BYTES_MAX); n];
        let tools = ToolSettings {
            mode: ToolMode::Remote,
            light: names(TOOL_NAMES_MAX),
            heavy: names(TOOL_NAMES_MAX),
            url: llm_url,
            never_here: true,
        };
        let overrides =
            (0..OVERRIDES_MAX).map(|n| (format!("{n:0>TOOL_NAME_BYTES_MAX$}"), address(n))).collect();
        let voice = longest_voice();
        let rpc_memory_mib = 512;
        let page = PageSettings { open: false };
        let quality = longest_quality();
        NodeSettings {
            llm_url,
            llm_last_resort,
            rpc_memory_mib,
            rpc_keys,
            voice,
            page,
            tools,
            overrides,
            quality,
        }
    }

    fn longest_quality() -> Quality {
        let model = "q".repeat(QUALITY_MODEL_BYTES_MAX);
        let figure = || QualityFigure::new(&model, 20.0, u64::MAX);
        Quality {
            measured_unix_s: Some(u64::MAX),
            wer_synthetic: figure(),
            wer_real: figure(),
            tool_call_exact: figure(),
            routing_accuracy: figure(),
            recall_at_5: figure(),
        }
    }

    fn longest_voice() -> VoiceSettings {
        let name = || "v".repeat(VOICE_NAME_BYTES_MAX);
        let (microphone, speaker) = (Some(name()), Some(name()));
        let (voice, hearing) = (Some(name()), Some(name()));
        let (language, keys) = (name(), vec![name(); VOICE_KEYS_MAX]);
        VoiceSettings { language, voice, keys, microphone, speaker, hearing, ..VoiceSettings::default() }
    }

    #[test]
    fn settings_survive_their_text_and_are_believed_from_their_own_authority_alone() {
        for n in [0, LAST_RESORT_MAX] {
            let signed = SignedSettings::new(&authority(1), 7, settings(n)).unwrap();
            let came = SignedSettings::parse(signed.to_json().as_bytes()).unwrap();
            assert_eq!(came, signed);
            assert_eq!((came.version(), came.settings()), (7, &settings(n)));
            assert_eq!(came.verify(&authority(1).public()), Ok(()));
            assert_eq!(came.verify(&authority(2).public()), Err(Error::Cluster));
        }
    }

    #[test]
    fn a_changed_byte_anywhere_is_refused() {
        let good = SignedSettings::new(&authority(1), 7, settings(1)).unwrap().to_json().into_bytes();
        for at in 0..good.len() {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            let verdict =
                SignedSettings::parse(&bytes).and_then(|signed| signed.verify(&authority(1).public()));
            assert!(verdict.is_err(), "byte {at}");
        }
    }

    #[test]
    fn more_than_is_meant_is_refused() {
        assert!(SignedSettings::new(&authority(1), 7, settings(LAST_RESORT_MAX + 1)).is_err());
        let refused = |settings: NodeSettings| assert!(settings.check().is_err(), "{settings:?}");
        refused(NodeSettings { rpc_memory_mib: RPC_MIB_MIN - 1, ..NodeSettings::default() });
        refused(NodeSettings { rpc_memory_mib: RPC_MIB_MAX + 1, ..NodeSettings::default() });
        refused(NodeSettings { rpc_keys: vec![String::new()], ..NodeSettings::default() });
        let refused = |voice: VoiceSettings| refused(NodeSettings { voice, ..NodeSettings::default() });
        let usual = VoiceSettings::default;
        refused(VoiceSettings { volume: 101, ..usual() });
        refused(VoiceSettings { rate: 79, ..usual() });
        refused(VoiceSettings { keys: vec![], ..usual() });
        refused(VoiceSettings { language: "e\n".into(), ..usual() });
        refused(VoiceSettings { hearing: Some("../secret".into()), ..usual() });
        let long = " ".repeat(SETTINGS_TEXT_BYTES_MAX + 1);
        let want = Error::TooLong { what: WHAT, bytes_max: SETTINGS_TEXT_BYTES_MAX };
        assert_eq!(SignedSettings::parse(long.as_bytes()), Err(want));
    }

    #[test]
    fn nothing_is_signed_that_every_node_would_refuse() {
        let mut quoted = settings(LAST_RESORT_MAX);
        let name = "\"".repeat(VOICE_NAME_BYTES_MAX);
        let some = || Some(name.clone());
        let keys = vec![name.clone(); VOICE_KEYS_MAX];
        quoted.voice = VoiceSettings {
            language: name.clone(),
            voice: some(),
            keys,
            microphone: some(),
            speaker: some(),
            hearing: some(),
            time_zone: some(),
            ..longest_voice()
        };
        quoted.rpc_keys = vec!["\"".repeat(API_KEY_NAME_BYTES_MAX); RPC_KEYS_MAX];
        assert_eq!(quoted.check(), Ok(()));
        let want = Error::TooLong { what: WHAT, bytes_max: SETTINGS_TEXT_BYTES_MAX };
        assert_eq!(SignedSettings::new(&authority(1), 7, quoted), Err(want));
    }

    #[test]
    fn what_a_newer_server_says_beside_is_passed_over() {
        let settings = r#"{"llm_url":"10.0.0.9:80","later":true}"#;
        let settings: NodeSettings = serde_json::from_str(settings).unwrap();
        assert_eq!(settings.llm_url, Some(SocketAddr::from(([10, 0, 0, 9], 80))));
    }

    /// As a node of a release before the figures reads settings, and as this one reads those of such a server.
    #[test]
    fn figures_change_nothing_for_those_who_do_not_know_them() {
        let told = NodeSettings { quality: longest_quality(), ..NodeSettings::default() };
        let mut text = serde_json::to_value(&told).unwrap();
        assert!(text.as_object_mut().unwrap().remove("quality").is_some());
        let without: NodeSettings = serde_json::from_value(text).unwrap();
        assert_eq!(without, NodeSettings::default());
        // Where nothing was measured the text is that of old, and so is its signature.
        assert!(!serde_json::to_string(&without).unwrap().contains("quality"));
    }

    #[test]
    fn the_page_is_open_where_an_older_server_says_nothing_of_it() {
        let settings: NodeSettings = serde_json::from_str("{}").unwrap();
        assert!(settings.page.open);
        let settings: NodeSettings = serde_json::from_str(r#"{"page":{"open":false}}"#).unwrap();
        assert!(!settings.page.open);
    }

    #[test]
    fn a_server_is_an_address_and_no_name() {
        assert_eq!(server("http://10.0.0.1:8081/"), Ok(SocketAddr::from(([10, 0, 0, 1], 8081))));
        assert!(server("http://models.home:8081").is_err() && server("10.0.0.1:8081").is_err());
    }
}
