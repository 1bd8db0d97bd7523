//! `duet.toml`: what the owner wants for each PC.
//!
//! Text in, settings or an error with its line out. It does not know where the file is or when it changes; the one thing
//! that it looks up is what the clocks of a place do.

use super::elsewhere::{Services, Tools};
use super::zone;
use admission::{
    LAST_RESORT_MAX, NodeSettings, PageSettings, Quality, RPC_KEYS_MAX, RPC_MIB_MAX, RPC_MIB_MIN,
    VoiceSettings,
};
use netboot::Mac;
use release::{HostName, ReleaseId};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::str::FromStr;

/// A settings file longer than this is refused.
pub const SETTINGS_BYTES_MAX: usize = 256 * 1024;

/// Written when there is no settings file yet.
pub const TEMPLATE: &str = include_str!("duet.toml");

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    cluster: Cluster,
    models: Models,
    rpc: Rpc,
    voice: Voice,
    page: Page,
    tools: Tools,
    overrides: Services,
    everyone: PcSettings,
    pcs: BTreeMap<Mac, PcSettings>,
}

/// Whom to take into the cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cluster {
    #[serde(default)]
    policy: Policy,
}

/// Where models answer that are not the cluster's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Models {
    llm_url: Option<ModelServer>,
    #[serde(default)]
    llm_last_resort: ModelServers,
}

/// What stock llama.cpp clients may have on every PC.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rpc {
    #[serde(default)]
    memory_mib: Option<RpcMemory>,
    #[serde(default)]
    keys: RpcKeys,
}

/// Who may look at the nodes' pages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    open: Option<bool>,
}

/// How nodes listen and speak. The nodes pass over what they do not know; here it is a mistake.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "toml::Table")]
struct Voice(VoiceSettings);

impl TryFrom<toml::Table> for Voice {
    type Error = String;

    fn try_from(table: toml::Table) -> Result<Voice, String> {
        let known = serde_json::to_value(VoiceSettings::default()).map_err(|error| error.to_string())?;
        if let Some(strange) = table.keys().find(|key| known.get(key).is_none()) {
            return Err(format!("nodes know no '{strange}' of the voice"));
        }
        let mut voice: VoiceSettings =
            table.try_into().map_err(|error: toml::de::Error| error.message().to_owned())?;
        voice.time_zone = voice.time_zone.as_deref().map(zone::rule).transpose()?;
        voice.check().map_err(|error| error.to_string())?;
        Ok(Voice(voice))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u32")]
struct RpcMemory(u32);

/// Names of API keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<String>")]
struct RpcKeys(Vec<String>);

/// `http://ADDRESS:PORT` of a server with the OpenAI API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct ModelServer(pub SocketAddr);

/// Several, in the order in which they are asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<ModelServer>")]
struct ModelServers(Vec<ModelServer>);

/// `[cluster] policy` in duet.toml.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// Every PC that boots from this server.
    Open,
    /// Known PCs always; new ones while the window is open, else by approval.
    #[default]
    Window,
    /// Each PC once by the owner's word.
    Approve,
    /// Only PCs with the cluster's key on a stick.
    Usb,
}

impl Policy {
    pub const fn as_str(self) -> &'static str {
        match self {
            Policy::Open => "open",
            Policy::Window => "window",
            Policy::Approve => "approve",
            Policy::Usb => "usb",
        }
    }
}

/// The wishes for one PC; `None` means: as for everyone, or else the default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PcSettings {
    #[serde(default, deserialize_with = "checked")]
    pub name: Option<HostName>,
    pub first_stage: Option<FirstStage>,
    pub mode: Option<Mode>,
    #[serde(default, deserialize_with = "checked")]
    pub release: Option<ReleaseId>,
    pub boot: Option<Boot>,
    pub block: Option<bool>,
    pub words: Option<Words>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum FirstStage {
    #[serde(rename = "auto")]
    Auto,
    #[serde(rename = "undionly")]
    Undionly,
    #[serde(rename = "ipxe.pxe")]
    IpxePxe,
    #[serde(rename = "snponly")]
    Snponly,
    #[serde(rename = "ipxe.efi")]
    IpxeEfi,
    #[serde(rename = "none")]
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    Net,
    Wrap,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Boot {
    Duet,
    Local,
}

/// More words for the kernel's command line.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Words(pub Vec<String>);

/// What is wrong with the text, and where.
#[derive(Debug, PartialEq, Eq)]
pub struct SettingsError {
    pub line: usize,
    pub what: String,
}

impl std::fmt::Display for SettingsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for SettingsError {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    cluster: Cluster,
    #[serde(default)]
    models: Models,
    #[serde(default)]
    rpc: Rpc,
    #[serde(default)]
    voice: Voice,
    #[serde(default)]
    page: Page,
    #[serde(default)]
    tools: Tools,
    #[serde(default)]
    overrides: Services,
    #[serde(default)]
    everyone: Everyone,
    #[serde(default)]
    pc: BTreeMap<toml::Spanned<String>, PcSettings>,
}

/// As for one PC, but without a name: two PCs must not share one.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Everyone {
    first_stage: Option<FirstStage>,
    mode: Option<Mode>,
    #[serde(default, deserialize_with = "checked")]
    release: Option<ReleaseId>,
    boot: Option<Boot>,
    block: Option<bool>,
    words: Option<Words>,
}

impl Settings {
    pub fn parse(text: &str) -> Result<Settings, SettingsError> {
        let document: Document = toml::from_str(text).map_err(|error| SettingsError {
            line: line_of(text, error.span()),
            what: error.message().replace('\n', ", "),
        })?;
        let Document { cluster, models, rpc, voice, page, tools, overrides, everyone, pc } = document;
        let (everyone, pcs) = (everyone.into(), BTreeMap::new());
        let mut settings = Settings { cluster, models, rpc, voice, page, tools, overrides, everyone, pcs };
        let mut names = BTreeMap::new();
        for (key, pc) in pc {
            let wrong = |what| SettingsError { line: line_of(text, Some(key.span())), what };
            let mac: Mac =
                key.get_ref().parse().map_err(|error| wrong(format!("{error}, not '{}'", key.get_ref())))?;
            if settings.pcs.insert(mac, pc).is_some() {
                return Err(wrong(format!("{mac} is listed twice")));
            }
            // Also a name that the contract makes: it is just as much on the wire.
            let name = settings.name_of(&mac);
            if let Some(other) = names.insert(name.clone(), mac) {
                return Err(wrong(format!("the name '{name}' is already that of {other}")));
            }
        }
        Ok(settings)
    }

    pub fn policy(&self) -> Policy {
        self.cluster.policy
    }

    /// What all nodes are told once they belong to the cluster.
    pub fn for_nodes(&self) -> NodeSettings {
        let Models { llm_url, llm_last_resort: ModelServers(last) } = &self.models;
        NodeSettings {
            llm_url: llm_url.map(|server| server.0),
            llm_last_resort: last.iter().map(|server| server.0).collect(),
            rpc_memory_mib: self.rpc.memory_mib.map_or(0, |memory| memory.0),
            rpc_keys: self.rpc.keys.0.clone(),
            voice: self.voice.0.clone(),
            page: self.page.open.map_or_else(PageSettings::default, |open| PageSettings { open }),
            tools: self.tools.0.clone(),
            overrides: self.overrides.0.clone(),
            quality: Quality::default(),
        }
    }

    /// The wishes for this PC, its own before everyone's.
    pub fn of(&self, mac: &Mac) -> PcSettings {
        let pc = self.pcs.get(mac).cloned().unwrap_or_default();
        let all = self.everyone.clone();
        PcSettings {
            name: pc.name,
            first_stage: pc.first_stage.or(all.first_stage),
            mode: pc.mode.or(all.mode),
            release: pc.release.or(all.release),
            boot: pc.boot.or(all.boot),
            block: pc.block.or(all.block),
            words: pc.words.or(all.words),
        }
    }

    /// The PCs that have settings of their own.
    pub fn macs(&self) -> impl Iterator<Item = &Mac> {
        self.pcs.keys()
    }

    /// The name from the settings, or the one that the contract makes from the MAC.
    pub fn name_of(&self, mac: &Mac) -> HostName {
        let named = self.pcs.get(mac).and_then(|pc| pc.name.as_ref());
        named.cloned().unwrap_or_else(|| HostName::of_mac(*mac))
    }
}

impl From<Everyone> for PcSettings {
    fn from(all: Everyone) -> PcSettings {
        PcSettings {
            name: None,
            first_stage: all.first_stage,
            mode: all.mode,
            release: all.release,
            boot: all.boot,
            block: all.block,
            words: all.words,
        }
    }
}

fn line_of(text: &str, span: Option<Range<usize>>) -> usize {
    let start = span.map_or(0, |span| span.start).min(text.len());
    1 + text.as_bytes()[..start].iter().filter(|b| **b == b'\n').count()
}

/// A text that the contract has a rule for.
fn checked<'de, D: Deserializer<'de>, T: FromStr<Err = release::Error>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    let text = String::deserialize(from)?;
    text.parse().map(Some).map_err(|error| serde::de::Error::custom(format!("{error}, not '{text}'")))
}

impl TryFrom<String> for Words {
    type Error = String;

    fn try_from(words: String) -> Result<Self, String> {
        let extra: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        let script = netboot::script::Settings { extra, ..Default::default() };
        script.check().map_err(|error| error.to_string())?;
        Ok(Words(script.extra))
    }
}

impl TryFrom<String> for ModelServer {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        admission::server(&text).map(ModelServer).map_err(|error| format!("{error}, not '{text}'"))
    }
}

impl TryFrom<u32> for RpcMemory {
    type Error = String;

    fn try_from(mib: u32) -> Result<Self, String> {
        let fits = mib == 0 || (RPC_MIB_MIN..=RPC_MIB_MAX).contains(&mib);
        let wrong = || format!("0, or {RPC_MIB_MIN} to {RPC_MIB_MAX} MiB, not {mib}");
        if fits { Ok(RpcMemory(mib)) } else { Err(wrong()) }
    }
}

impl TryFrom<Vec<String>> for RpcKeys {
    type Error = String;

    fn try_from(keys: Vec<String>) -> Result<Self, String> {
        let (is_name, max) = (1..=admission::API_KEY_NAME_BYTES_MAX, RPC_KEYS_MAX);
        let fits = keys.len() <= max && keys.iter().all(|name| is_name.contains(&name.len()));
        if fits { Ok(RpcKeys(keys)) } else { Err(format!("at most {max} names of API keys")) }
    }
}

impl TryFrom<Vec<ModelServer>> for ModelServers {
    type Error = String;

    fn try_from(servers: Vec<ModelServer>) -> Result<Self, String> {
        let fits = servers.len() <= LAST_RESORT_MAX;
        if fits { Ok(ModelServers(servers)) } else { Err(format!("at most {LAST_RESORT_MAX} servers")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use admission::KeyManner;

    const A: Mac = Mac([0x52, 0x54, 0, 0x77, 0, 1]);

    fn check(text: &str, want: &str) {
        let got = match Settings::parse(text) {
            Ok(settings) => format!("{} {:?}", settings.name_of(&A), settings.of(&A).mode),
            Err(error) => error.to_string(),
        };
        assert!(got.starts_with(want), "{text}\n got: {got}\nwant: {want}");
    }

    #[test]
    fn the_template_is_valid_and_changes_nothing() {
        assert_eq!(Settings::parse(TEMPLATE), Ok(Settings::default()));
    }

    #[test]
    fn every_example_line_of_the_template_is_valid() {
        let is_example =
            |line: &str| line.starts_with("#[") || (line.starts_with('#') && line.contains(" = "));
        let lines = TEMPLATE.lines().map(|l| if is_example(l) { &l[1..] } else { l });
        let text = lines.collect::<Vec<_>>().join("\n");
        let settings = Settings::parse(&text).expect("examples");
        assert_eq!(settings.name_of(&A).as_str(), "kitchen");
    }

    #[test]
    fn an_empty_file_gives_every_pc_its_default_name() {
        check("", "duet-770001 None");
    }

    #[test]
    fn a_pc_has_its_own_settings_before_everyones() {
        check("[everyone]\nmode = 'wrap'\n", "duet-770001 Some(Wrap)");
        check("[everyone]\nmode = 'wrap'\n[pc.'52-54-00-77-00-01']\nmode = 'net'\nname = 'a'", "a Some(Net)");
    }

    #[test]
    fn a_mistake_is_told_with_its_line() {
        check("\n\n[pc", "line 3: ");
        check("[everyone]\nmodus = 'net'", "line 2: unknown field `modus`, expected one of");
        check("[everyone]\nmode = 'nett'", "line 2: unknown variant `nett`, expected `net` or `wrap`");
        check(
            "\n[pc.kitchen]\n",
            "line 2: the MAC address is wrong: six pairs of hex digits, like 52:54:00:77:00:01, not 'kitchen'",
        );
        check("[pc.'52:54:00:77:00:01']\n\nname = 'a b'", "line 3: the host name is wrong: small letters");
        check("[everyone]\nrelease = '../x'", "line 2: the release id is wrong: small letters");
        check("[everyone]\nwords = 'a || b'", "line 2: \"||\" cannot be a kernel word");
        check(
            "[everyone]\nwords = 'duet.attempt=1'",
            "line 2: the kernel word \"duet.attempt=1\" is set by the boot server alone",
        );
        check("[everyone]\nblock = 'yes'", "line 2: invalid type: string \"yes\", expected a boolean");
    }

    #[test]
    fn servers_of_models_are_addresses_for_all_nodes() {
        let text = "[models]\nllm_url = 'http://10.0.0.9:80'\nllm_last_resort = ['http://10.0.0.8:80']";
        let nodes = Settings::parse(text).expect("it is right").for_nodes();
        assert_eq!(nodes.llm_url, Some(SocketAddr::from(([10, 0, 0, 9], 80))));
        assert_eq!(nodes.llm_last_resort, [SocketAddr::from(([10, 0, 0, 8], 80))]);
        check(
            "[models]\nllm_url = 'http://models.home'",
            "line 2: an address is written http://10.0.0.1:8081, not 'http://models.home'",
        );
        let many = "'http://10.0.0.8:80',".repeat(LAST_RESORT_MAX + 1);
        check(&format!("[models]\nllm_last_resort = [{many}]"), "line 2: at most 8 servers");
    }

    #[test]
    fn tools_and_services_may_be_elsewhere() {
        let text = "[tools]\nmode = 'split'\nheavy = ['web.*']\n[overrides]\nllama-api-coding = 'http://10.0.0.9:80'";
        let nodes = Settings::parse(text).expect("it is right").for_nodes();
        assert_eq!(
            (nodes.tools.mode, nodes.tools.heavy),
            (admission::ToolMode::Split, vec!["web.*".to_owned()])
        );
        assert_eq!(nodes.overrides["llama-api-coding"], SocketAddr::from(([10, 0, 0, 9], 80)));
        check("[tools]\nmode = 'far'", "line 2: unknown variant `far`, expected one of");
        check("[tools]\nheavy = ['Shell']", "line 1: light and heavy have at most 16 names");
        check(
            "[tools]\nmode = 'local'\nnever_here = true",
            "line 1: never_here is for calls that run elsewhere",
        );
        check("[tools]\nurl = 'http://nas'", "line 2: an address is written http://10.0.0.1:8081");
        check("[overrides]\nhear = 'http://10.0.0.9:80'", "line 1: no service 'hear' can be elsewhere");
    }

    #[test]
    fn stock_clients_have_nothing_unless_the_owner_says_how_much_and_whom() {
        let nodes = |text: &str| Settings::parse(text).expect("it is right").for_nodes();
        assert_eq!((nodes("").rpc_memory_mib, nodes("").rpc_keys), (0, vec![]));
        let some = nodes("[rpc]\nmemory_mib = 512\nkeys = ['laptop']");
        assert_eq!((some.rpc_memory_mib, some.rpc_keys), (512, vec!["laptop".to_owned()]));
        check("[rpc]\nmemory_mib = 15", "line 2: 0, or 16 to 1048576 MiB, not 15");
        check("[rpc]\nkeys = ['']", "line 2: at most 8 names of API keys");
    }

    #[test]
    fn the_voice_of_all_nodes_is_set_in_one_place() {
        let voice = |text: &str| Settings::parse(text).expect("it is right").for_nodes().voice;
        assert_eq!(voice(""), VoiceSettings::default());
        let german = voice("[voice]\nlanguage = 'de'\nkeys = ['leftmeta']\nkey_manner = 'hold'");
        let keys = vec!["leftmeta".to_owned()];
        let key_manner = KeyManner::Hold;
        assert_eq!(
            german,
            VoiceSettings { language: "de".into(), keys, key_manner, ..VoiceSettings::default() }
        );
        let there = voice("[voice]\ntime_zone = 'CET-1CEST,M3.5.0,M10.5.0/3'");
        assert_eq!(there.time_zone.as_deref(), Some("CET-1CEST,M3.5.0,M10.5.0/3"));
        check("[voice]\ntime_zone = 'Europe/Atlantis'", "line 1: there is no time zone 'Europe/Atlantis'");
        check("[voice]\nvolume = 101", "line 1: rate, pitch or volume of the voice");
        check("[voice]\nlanguge = 'de'", "line 1: nodes know no 'languge' of the voice");
        check("[voice]\nkey_manner = 'press'", "line 1: unknown variant `press`");
    }

    #[test]
    fn the_pages_are_open_unless_the_owner_closes_them() {
        let open = |text: &str| Settings::parse(text).expect("it is right").for_nodes().page.open;
        assert!(open("") && open("[page]") && open("[page]\nopen = true"));
        assert!(!open("[page]\nopen = false"));
        check("[page]\nopen = 'no'", "line 2: invalid type: string \"no\", expected a boolean");
        check("[page]\nshut = true", "line 2: unknown field `shut`");
    }

    #[test]
    fn two_pcs_never_share_a_name_and_one_is_never_listed_twice() {
        let (a, b) = ("[pc.'52:54:00:77:00:01']\n", "[pc.'52:54:00:77:00:02']\n");
        check(
            &format!("{a}name = 'x'\n{b}name = 'x'"),
            "line 3: the name 'x' is already that of 52:54:00:77:00:01",
        );
        check(
            &format!("{a}name = 'duet-770002'\n{b}"),
            "line 3: the name 'duet-770002' is already that of 52:54:00:77:00:01",
        );
        check(&format!("{a}[pc.'52-54-00-77-00-01']"), "line 1: 52:54:00:77:00:01 is listed twice");
    }
}
