//! What init leaves at `/run/duet/boot.toml`, so that the agent knows how this node came up.

use std::fmt::Write;
use std::net::Ipv4Addr;

use crate::lines::{Line, Place, Text, Value};
use crate::{Address, Error, Mac, PublicKey, ReleaseId, SERVERS_MAX, Server, Word};

/// Longest `boot.toml`.
pub const BOOT_FACTS_BYTES_MAX: usize = 16 * 1024;

/// Most stage stamps kept.
pub const STAMPS_MAX: usize = 32;

const WHAT: &str = "boot.toml";

/// Who fetches the root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// init, with retries and from several servers.
    #[default]
    Net,
    /// iPXE, which places it beside init: for network cards that the initrd has no driver for.
    Wrap,
}

impl Mode {
    pub const fn as_str(self) -> &'static str {
        match self {
            Mode::Net => "net",
            Mode::Wrap => "wrap",
        }
    }
}

/// When a stage of the boot ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub name: Word,
    /// Milliseconds since the kernel started.
    pub milliseconds: u64,
    /// The processor's time stamp counter as it is: instructions since power-on on a counting virtual machine.
    pub clock: u64,
}

/// How this node came up. `interface` and `address` are those that init set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootFacts {
    pub release: ReleaseId,
    /// The key of the initrd, which this release was verified with; the call home is checked with it.
    pub release_key: Option<PublicKey>,
    pub mode: Mode,
    pub attempt: Option<u32>,
    pub mac: Option<Mac>,
    pub interface: Option<Word>,
    pub address: Option<Address>,
    pub servers: Vec<Server>,
    pub stamps: Vec<Stamp>,
}

impl BootFacts {
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        let quoted = |value: &dyn std::fmt::Display| Some(format!("\"{value}\""));
        let address = self.address;
        let servers: Vec<String> = self.servers.iter().map(|server| format!("\"{server}\"")).collect();
        let entries = [
            ("release", quoted(&self.release)),
            ("release_key", self.release_key.as_ref().and_then(|key| quoted(&key.to_text().trim_end()))),
            ("mode", quoted(&self.mode.as_str())),
            ("attempt", self.attempt.map(|attempt| attempt.to_string())),
            ("mac", self.mac.and_then(|mac| quoted(&mac))),
            ("interface", self.interface.as_ref().and_then(|interface| quoted(interface))),
            ("address", address.and_then(|a| quoted(&a.ip))),
            ("netmask", address.and_then(|a| quoted(&a.mask))),
            ("gateway", address.and_then(|a| a.gateway).and_then(|g| quoted(&g))),
            ("servers", Some(format!("[{}]", servers.join(", ")))),
        ];
        for (key, value) in entries {
            let Some(value) = value else { continue };
            writeln!(text, "{key} = {value}").expect("a String takes every text");
        }
        for Stamp { name, milliseconds, clock } in &self.stamps {
            write!(text, "\n[[stage]]\nname = \"{name}\"\nmilliseconds = {milliseconds}\nclock = {clock}\n")
                .expect("a String takes every text");
        }
        text
    }

    /// Reads `boot.toml`; keys that a newer init may add are skipped.
    pub fn parse(bytes: &[u8]) -> Result<BootFacts, Error> {
        let text = Text::new(WHAT, bytes, BOOT_FACTS_BYTES_MAX)?;
        let mut draft = Draft::default();
        for line in text.lines() {
            match line? {
                (place, Line::Section(name)) => draft.begin_stage(place, name)?,
                (place, Line::Entry(key, value)) => draft.set(place, key, &value)?,
            }
        }
        draft.finish()
    }
}

#[derive(Default)]
struct Draft {
    release: Option<ReleaseId>,
    release_key: Option<PublicKey>,
    mode: Option<Mode>,
    attempt: Option<u32>,
    mac: Option<Mac>,
    interface: Option<Word>,
    ip: Option<Ipv4Addr>,
    mask: Option<Ipv4Addr>,
    gateway: Option<Ipv4Addr>,
    servers: Vec<Server>,
    stamps: Vec<(Option<Word>, u64, u64)>,
}

impl Draft {
    fn begin_stage(&mut self, place: Place, section: &str) -> Result<(), Error> {
        if section != "stage" {
            return Err(place.wrong("only [[stage]] may stand in brackets"));
        }
        if self.stamps.len() == STAMPS_MAX {
            return Err(place.wrong("there are more than 32 stages"));
        }
        self.stamps.push((None, 0, 0));
        Ok(())
    }

    fn set(&mut self, place: Place, key: &str, value: &Value<'_>) -> Result<(), Error> {
        let Some(stamp) = self.stamps.last_mut() else { return self.set_head(place, key, value) };
        match key {
            "name" => stamp.0 = Some(Word::parse(value.text(place)?)?),
            "milliseconds" => stamp.1 = value.number(place)?,
            "clock" => stamp.2 = value.number(place)?,
            _ => {}
        }
        Ok(())
    }

    fn set_head(&mut self, place: Place, key: &str, value: &Value<'_>) -> Result<(), Error> {
        match key {
            "release" => self.release = Some(ReleaseId::parse(value.text(place)?)?),
            "release_key" => self.release_key = Some(public_key(value.text(place)?)?),
            "mode" => self.mode = Some(mode(place, value.text(place)?)?),
            "attempt" => self.attempt = Some(attempt(place, value)?),
            "mac" => self.mac = Some(Mac::parse(value.text(place)?)?),
            "interface" => self.interface = Some(Word::parse(value.text(place)?)?),
            "address" => self.ip = Some(ipv4(place, value)?),
            "netmask" => self.mask = Some(ipv4(place, value)?),
            "gateway" => self.gateway = Some(ipv4(place, value)?),
            "servers" => self.servers = servers(place, value)?,
            _ => {}
        }
        Ok(())
    }

    fn finish(self) -> Result<BootFacts, Error> {
        let missing = |key| Error::Missing { what: WHAT, key };
        let stamp = |(name, milliseconds, clock): (Option<Word>, u64, u64)| {
            Ok(Stamp { name: name.ok_or(missing("name"))?, milliseconds, clock })
        };
        let gateway = self.gateway;
        Ok(BootFacts {
            release: self.release.ok_or(missing("release"))?,
            release_key: self.release_key,
            mode: self.mode.ok_or(missing("mode"))?,
            attempt: self.attempt,
            mac: self.mac,
            interface: self.interface,
            address: self.ip.zip(self.mask).map(|(ip, mask)| Address { ip, mask, gateway }),
            servers: self.servers,
            stamps: self.stamps.into_iter().map(stamp).collect::<Result<_, Error>>()?,
        })
    }
}

/// The text of a key, without its line feed.
fn public_key(text: &str) -> Result<PublicKey, Error> {
    PublicKey::from_text(format!("{text}\n").as_bytes())
}

fn mode(place: Place, text: &str) -> Result<Mode, Error> {
    let found = [Mode::Net, Mode::Wrap].into_iter().find(|mode| mode.as_str() == text);
    found.ok_or_else(|| place.wrong("the mode is net or wrap"))
}

fn attempt(place: Place, value: &Value<'_>) -> Result<u32, Error> {
    u32::try_from(value.number(place)?).map_err(|_| place.wrong("the attempt is too large"))
}

fn ipv4(place: Place, value: &Value<'_>) -> Result<Ipv4Addr, Error> {
    value.text(place)?.parse().map_err(|_| place.wrong("an IPv4 address was expected"))
}

fn servers(place: Place, value: &Value<'_>) -> Result<Vec<Server>, Error> {
    let list = value.list(place)?;
    if list.len() > SERVERS_MAX {
        return Err(place.wrong("there are more than 8 servers"));
    }
    list.iter().map(|text| Server::parse(text)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> BootFacts {
        let word = |text| Word::parse(text).unwrap();
        let stamp = |name, n| Stamp { name: word(name), milliseconds: n, clock: n << 40 };
        BootFacts {
            release: ReleaseId::parse("trixie-0123456789ab").unwrap(),
            release_key: Some(crate::SecretKey::from_seed(&[7; 32]).public()),
            mode: Mode::Net,
            attempt: Some(7),
            mac: Some(Mac([0x52, 0x54, 0, 0x77, 0, 1])),
            interface: Some(word("eth0")),
            address: Some(Address::parse("10.0.0.5,255.255.255.0,10.0.0.1").unwrap()),
            servers: vec![
                Server::parse("http://10.0.0.1").unwrap(),
                Server::parse("http://10.0.0.2:81").unwrap(),
            ],
            stamps: vec![stamp("init", 800), stamp("root-ready", 2000)],
        }
    }

    fn bare() -> BootFacts {
        let none = BootFacts { mode: Mode::Wrap, attempt: None, mac: None, interface: None, ..sample() };
        BootFacts { release_key: None, address: None, servers: vec![], stamps: vec![], ..none }
    }

    fn check(text: &str, want: &str) {
        let got =
            BootFacts::parse(text.as_bytes()).map_or_else(|e| format!("error: {e}"), |facts| facts.to_text());
        assert_eq!(got, want);
    }

    #[test]
    fn facts_survive_their_own_text() {
        assert_eq!(BootFacts::parse(sample().to_text().as_bytes()), Ok(sample()));
        assert_eq!(BootFacts::parse(bare().to_text().as_bytes()), Ok(bare()));
    }

    #[test]
    fn the_text_is_what_it_was() {
        assert_eq!(bare().to_text(), "release = \"trixie-0123456789ab\"\nmode = \"wrap\"\nservers = []\n");
    }

    #[test]
    fn a_key_of_a_newer_init_is_skipped() {
        check(
            "release = \"a\"\nmode = \"net\"\nnew = 1\n",
            "release = \"a\"\nmode = \"net\"\nservers = []\n",
        );
    }

    #[test]
    fn a_wrong_value_is_an_error_that_names_its_line() {
        check("mode = \"usb\"\n", "error: boot.toml, line 1: the mode is net or wrap");
        check("\nattempt = 4294967296\n", "error: boot.toml, line 2: the attempt is too large");
        check("mode = \"net\"\n", "error: boot.toml does not say release");
        check("release_key = \"00\"\n", "error: the public key is wrong: 64 hex digits and a line feed");
        check("[stages]\n", "error: boot.toml, line 1: only [[stage]] may stand in brackets");
    }

    #[test]
    fn the_thirty_third_stage_is_refused() {
        let text = format!("release = \"a\"\nmode = \"net\"\n{}", "[[stage]]\nname = \"x\"\n".repeat(33));
        check(&text, "error: boot.toml, line 67: there are more than 32 stages");
    }
}
