//! The words that the boot server hands a node on the kernel command line.
//!
//! No word is secret: whoever is on the wire can read them all.
//! Words of others are skipped, and so are `duet.` words that are newer than this program.

use std::fmt;

use crate::{Address, Error, HostName, Mac, ReleaseId, Server, parse_servers};

/// Longest command line; x86 kernels take 2048 bytes.
pub const CMDLINE_BYTES_MAX: usize = 4096;

/// Our words of the kernel command line. In wrap mode each of them may be absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BootLine {
    pub servers: Vec<Server>,
    pub release: Option<ReleaseId>,
    pub address: Option<Address>,
    pub mac: Option<Mac>,
    pub attempt: Option<u32>,
    pub hostname: Option<HostName>,
}

impl BootLine {
    /// Reads the whole of `/proc/cmdline`.
    pub fn parse(cmdline: &[u8]) -> Result<BootLine, Error> {
        if cmdline.len() > CMDLINE_BYTES_MAX {
            return Err(Error::TooLong { what: "the kernel command line", bytes_max: CMDLINE_BYTES_MAX });
        }
        let mut seen = Vec::new();
        let mut line = BootLine::default();
        for word in cmdline.split(|b| b.is_ascii_whitespace()) {
            line.set(word, &mut seen)?;
        }
        Ok(line)
    }

    fn set(&mut self, word: &[u8], seen: &mut Vec<&'static str>) -> Result<(), Error> {
        let Some((name, value)) = split_word(word)? else { return Ok(()) };
        if seen.contains(&name) {
            return Err(Error::Twice { word: name });
        }
        seen.push(name);
        match name {
            SERVERS => self.servers = parse_servers(value)?,
            RELEASE => self.release = Some(ReleaseId::parse(value)?),
            // iPXE writes its settings as empty texts when it has none.
            IP if value.bytes().all(|b| b == b',') => {}
            IP => self.address = Some(Address::parse(value)?),
            MAC => self.mac = Some(Mac::parse(value)?),
            ATTEMPT => self.attempt = Some(attempt(value)?),
            _ => self.hostname = Some(HostName::parse(value)?),
        }
        Ok(())
    }
}

const SERVERS: &str = "duet.servers";
const RELEASE: &str = "duet.release";
const IP: &str = "duet.ip";
const MAC: &str = "duet.mac";
const ATTEMPT: &str = "duet.attempt";
const HOSTNAME: &str = "systemd.hostname";

const OURS: [&str; 6] = [SERVERS, RELEASE, IP, MAC, ATTEMPT, HOSTNAME];

/// iPXE writes the address that it got in the place of these.
const IPXE_ADDRESS: &str = "${netX/ip},${netX/netmask},${netX/gateway}";

/// Name and value of a word that is ours, or nothing.
fn split_word(word: &[u8]) -> Result<Option<(&'static str, &str)>, Error> {
    let Some(at) = word.iter().position(|&b| b == b'=') else { return Ok(None) };
    let Some(name) = OURS.into_iter().find(|name| name.as_bytes() == &word[..at]) else { return Ok(None) };
    let value = std::str::from_utf8(&word[at + 1..]).map_err(|_| Error::NotText { what: name })?;
    Ok(Some((name, value)))
}

fn attempt(value: &str) -> Result<u32, Error> {
    let number = value.parse().ok().filter(|n: &u32| n.to_string() == value);
    number.ok_or(Error::Value { what: ATTEMPT, want: "a whole number" })
}

/// The words with single spaces between them, in the order of ARCHITECTURE.md; absent ones are left out.
impl fmt::Display for BootLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(self.address.map(|address| address.to_string())))
    }
}

impl BootLine {
    /// The words as an iPXE script says them: iPXE itself puts in the address that it got.
    pub fn for_ipxe(&self) -> String {
        self.text(Some(IPXE_ADDRESS.to_owned()))
    }

    /// Whether this word of a command line would be read as one of ours.
    pub fn says(word: &str) -> bool {
        word.split_once('=').is_some_and(|(name, _)| OURS.contains(&name))
    }

    fn text(&self, address: Option<String>) -> String {
        let servers: Vec<String> = self.servers.iter().map(Server::to_string).collect();
        let words = [
            (SERVERS, (!servers.is_empty()).then(|| servers.join(","))),
            (RELEASE, self.release.as_ref().map(ReleaseId::to_string)),
            (IP, address),
            (MAC, self.mac.map(|mac| mac.to_string())),
            (ATTEMPT, self.attempt.map(|attempt| attempt.to_string())),
            (HOSTNAME, self.hostname.as_ref().map(HostName::to_string)),
        ];
        let said = words.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", value?)));
        said.collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = "duet.servers=http://10.0.0.1:8080,http://10.0.0.2:80 duet.release=trixie-0123456789ab \
                        duet.ip=10.0.0.5,255.255.255.0,10.0.0.1 duet.mac=52:54:00:77:00:01 duet.attempt=3 \
                        systemd.hostname=duet-770001";

    fn check(cmdline: &str, want: &str) {
        let got = BootLine::parse(cmdline.as_bytes());
        assert_eq!(got.map_or_else(|e| format!("error: {e}"), |line| line.to_string()), want);
    }

    #[test]
    fn every_word_survives() {
        check(FULL, FULL);
        assert_eq!(BootLine::parse(FULL.as_bytes()).unwrap().servers.len(), 2);
    }

    #[test]
    fn a_line_that_ipxe_filled_in_is_read_as_it_was_meant() {
        let meant = BootLine::parse(FULL.as_bytes()).unwrap();
        let said = meant.for_ipxe().replace("${netX/ip}", "10.0.0.5");
        let said = said.replace("${netX/netmask}", "255.255.255.0").replace("${netX/gateway}", "10.0.0.1");
        check(&said, FULL);
    }

    #[test]
    fn our_words_are_known_and_no_others() {
        assert!(FULL.split(' ').all(BootLine::says));
        for other in ["duet.shell", "duet.release", "duet.release2=x", "xduet.release=x", "quiet"] {
            assert!(!BootLine::says(other), "{other}");
        }
    }

    #[test]
    fn words_of_others_are_skipped() {
        check(
            "quiet console=ttyS0,115200 duet.attempt=1 duet.new=x duet.attempts=2 initrd=initrd\n",
            "duet.attempt=1",
        );
    }

    #[test]
    fn an_empty_line_is_a_line_without_words() {
        check("", "");
        check(" \t\n", "");
    }

    #[test]
    fn an_address_that_ipxe_did_not_have_is_absent() {
        check("duet.ip=,,", "");
        check("duet.ip=", "");
    }

    #[test]
    fn a_word_said_twice_is_an_error() {
        check("duet.attempt=1 duet.attempt=1", "error: the boot line says duet.attempt twice");
    }

    #[test]
    fn a_bad_value_is_an_error() {
        check("duet.attempt=-1", "error: duet.attempt is wrong: a whole number");
        check("duet.attempt=01", "error: duet.attempt is wrong: a whole number");
        check("duet.attempt=4294967296", "error: duet.attempt is wrong: a whole number");
        check(
            "duet.mac=${netX/mac}",
            "error: the MAC address is wrong: six pairs of hex digits, like 52:54:00:77:00:01",
        );
        check(
            "duet.servers=ftp://10.0.0.1",
            "error: a boot server is wrong: http://ADDRESS or http://ADDRESS:PORT",
        );
    }

    #[test]
    fn bytes_that_are_no_text_matter_only_in_our_words() {
        assert!(BootLine::parse(b"x=\xff duet.attempt=1").is_ok());
        assert_eq!(BootLine::parse(b"duet.mac=\xff"), Err(Error::NotText { what: "duet.mac" }));
    }

    #[test]
    fn a_line_of_more_than_4096_bytes_is_refused() {
        check(&" ".repeat(4097), "error: the kernel command line is longer than 4096 bytes");
    }
}
