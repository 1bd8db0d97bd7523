//! iPXE scripts: the templates of `ipxe/`, filled for one PC.
//!
//! A script never leaves a PC at a prompt: every command that may fail says so, waits and asks the server again.
//! Every value that enters a script was checked before, because a line feed or `${` in one would be a command:
//! names when they became a type of the contract, the owner's words here.
//! This module does not know which release a PC should get (see [`crate::gate`]) or where settings are kept.

use std::fmt;
use std::net::SocketAddrV4;

use release::{BootLine, HostName, Mac, Mode, ReleaseId, SERVERS_MAX, Server};

/// A kernel reads 2048 bytes of words on x86 (COMMAND_LINE_SIZE); iPXE adds `initrd=` and addresses.
const WORDS_BYTES_MAX: usize = 1536;
const WORD_BYTES_MAX: usize = 256;
const EXTRA_MAX: usize = 32;
const CONSOLES_MAX: usize = 4;
const SENTENCE_BYTES_MAX: usize = 200;

/// What the owner set for one PC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub mode: Mode,
    /// Kernel consoles, the last one being `/dev/console`.
    pub consoles: Vec<String>,
    /// More words for the kernel command line.
    pub extra: Vec<String>,
}

/// Everything the boot script says.
#[derive(Clone, Debug)]
pub struct Boot<'a> {
    pub mac: Mac,
    pub name: &'a HostName,
    pub settings: &'a Settings,
    /// Boot servers in the order to try; the first also serves kernel and initrd.
    pub servers: &'a [Server],
    pub release: &'a ReleaseId,
    pub attempt: u32,
}

/// A value that cannot stand in a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScriptError {
    /// `servers` is empty or holds more than the limit.
    Servers,
    Console(String),
    /// The word has a character that iPXE or the kernel would read as something else.
    Word(String),
    /// The word is one that only the server may say.
    OwnWord(String),
    /// All words together are longer than a kernel reads.
    TooLong,
    Sentence,
}

impl Default for Settings {
    fn default() -> Settings {
        let consoles = vec!["tty0".to_owned(), "ttyS0,115200".to_owned()];
        Settings { mode: Mode::Net, consoles, extra: Vec::new() }
    }
}

impl Settings {
    /// Finds the first value that cannot stand in a script.
    pub fn check(&self) -> Result<(), ScriptError> {
        if self.consoles.len() > CONSOLES_MAX || self.extra.len() > EXTRA_MAX {
            return Err(ScriptError::TooLong);
        }
        for console in &self.consoles {
            if !is_word(console) {
                return Err(ScriptError::Console(shown(console)));
            }
        }
        self.extra.iter().try_for_each(|word| check_extra(word))
    }
}

/// The script of `GET /boot.ipxe`: asks for the PC's own.
pub fn chain(server: SocketAddrV4) -> String {
    fill(include_str!("../../../ipxe/chain.ipxe"), &[("server", server.to_string())])
}

/// The script that boots a release.
pub fn boot(boot: &Boot<'_>) -> Result<String, ScriptError> {
    let words = words(boot)?;
    let first = boot.servers[0];
    let server = SocketAddrV4::new(first.ip, first.port);
    let template = match boot.settings.mode {
        Mode::Net => include_str!("../../../ipxe/net.ipxe"),
        Mode::Wrap => include_str!("../../../ipxe/wrap.ipxe"),
    };
    let values = [
        ("hostname", boot.name.to_string()),
        ("mac", boot.mac.to_string()),
        ("release", boot.release.to_string()),
        ("attempt", boot.attempt.to_string()),
        ("base", format!("{first}/releases/{}", boot.release)),
        ("words", words),
        ("again", script_url(server, boot.mac)),
        ("server", server.to_string()),
    ];
    Ok(fill(template, &values))
}

/// The script for a PC whose setting says `boot = "local"`.
pub fn local(mac: Mac, name: &HostName) -> String {
    let values = [("hostname", name.to_string()), ("mac", mac.to_string())];
    fill(include_str!("../../../ipxe/local.ipxe"), &values)
}

/// The script for a PC that can get nothing now; `sentence` is shown on its screen.
pub fn waiting(mac: Mac, server: SocketAddrV4, sentence: &str) -> Result<String, ScriptError> {
    if !is_sentence(sentence) {
        return Err(ScriptError::Sentence);
    }
    let again = script_url(server, mac);
    let values = [("mac", mac.to_string()), ("sentence", sentence.to_owned()), ("again", again)];
    Ok(fill(include_str!("../../../ipxe/waiting.ipxe"), &values))
}

/// The address of a PC's script.
pub fn script_url(server: SocketAddrV4, mac: Mac) -> String {
    format!("http://{server}/boot/{}.ipxe", mac.hyphenated())
}

/// The kernel command line, without `initrd=`, which stands in the template.
pub fn words(boot: &Boot<'_>) -> Result<String, ScriptError> {
    boot.settings.check()?;
    if boot.servers.is_empty() || boot.servers.len() > SERVERS_MAX {
        return Err(ScriptError::Servers);
    }
    // quiet comes first, so that a loglevel among the extra words wins.
    // The kernel's tests of its own ciphers are a seventh of all instructions of a boot (1.3 of 8.5 G),
    // and nothing of a node rests on these: init brings its own BLAKE3 and ed25519.
    let mut words = vec!["quiet".to_owned(), "cryptomgr.notests".to_owned()];
    words.extend(boot.settings.consoles.iter().map(|console| format!("console={console}")));
    words.push(boot.line().for_ipxe());
    words.extend(boot.settings.extra.iter().cloned());
    let words = words.join(" ");
    if words.len() >= WORDS_BYTES_MAX { Err(ScriptError::TooLong) } else { Ok(words) }
}

impl Boot<'_> {
    /// What init is told; the address is iPXE's to say.
    fn line(&self) -> BootLine {
        BootLine {
            servers: self.servers.to_vec(),
            release: Some(self.release.clone()),
            address: None,
            mac: Some(self.mac),
            attempt: Some(self.attempt),
            hostname: Some(self.name.clone()),
        }
    }
}

/// Whether the text can be one word of a kernel command line in an iPXE script.
///
/// Quotes, `$`, `{`, `;`, `&`, `|`, `#` and `\` mean something to iPXE or the kernel and are left out.
pub fn is_word(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.,:=/@+%~*!".contains(&byte);
    !text.is_empty() && text.len() <= WORD_BYTES_MAX && text.bytes().all(inner)
}

fn is_sentence(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b" -_.,:=/@+%!?()".contains(&byte);
    !text.is_empty() && text.len() <= SENTENCE_BYTES_MAX && text.bytes().all(inner)
}

fn check_extra(word: &str) -> Result<(), ScriptError> {
    if !is_word(word) {
        return Err(ScriptError::Word(shown(word)));
    }
    // `duet.shell` is not among them: it is the owner's to set.
    if BootLine::says(word) || word.starts_with("initrd=") {
        return Err(ScriptError::OwnWord(shown(word)));
    }
    Ok(())
}

/// Replaces every `{name}` in one pass, so that no value is read as a template; `${name}` is iPXE's own.
fn fill(template: &str, values: &[(&str, String)]) -> String {
    let mut script = String::with_capacity(template.len() * 2);
    let mut rest = template;
    while let Some(start) = rest.find('{') {
        let end = start + rest[start..].find('}').expect("templates close their braces");
        let (before, name) = (&rest[..start], &rest[start + 1..end]);
        script.push_str(before);
        if before.ends_with('$') {
            script.push_str(&rest[start..=end]);
        } else {
            let value = values.iter().find(|(known, _)| *known == name);
            script.push_str(&value.expect("templates name only known values").1);
        }
        rest = &rest[end + 1..];
    }
    script + rest
}

/// The start of a bad value, fit to be printed.
fn shown(text: &str) -> String {
    text.chars().take(64).flat_map(char::escape_default).collect()
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ScriptError::Servers => write!(f, "a boot script names 1 to {SERVERS_MAX} servers"),
            ScriptError::Console(console) => write!(f, "\"{console}\" is not a console like ttyS0,115200"),
            ScriptError::Word(word) => write!(f, "\"{word}\" cannot be a kernel word in a boot script"),
            ScriptError::OwnWord(word) => {
                write!(f, "the kernel word \"{word}\" is set by the boot server alone")
            }
            ScriptError::TooLong => f.write_str("the kernel words are too many or too long"),
            ScriptError::Sentence => {
                f.write_str("the sentence has a character that a boot script cannot show")
            }
        }
    }
}

impl std::error::Error for ScriptError {}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: Mac = Mac([0x52, 0x54, 0, 0x77, 0, 1]);

    /// Renders a boot script with these extra words and says the kernel line, or the error.
    fn check(extra: &[&str], want: &str) {
        let extra = extra.iter().map(|word| (*word).to_owned()).collect();
        let settings = Settings { extra, ..Settings::default() };
        let got = match render(&settings, &["http://10.0.0.1", "http://10.0.0.2:8080"]) {
            Ok(script) => script.lines().find(|line| line.starts_with("kernel")).unwrap().to_owned(),
            Err(error) => format!("error: {error}"),
        };
        assert_eq!(got, want);
    }

    fn render(settings: &Settings, servers: &[&str]) -> Result<String, ScriptError> {
        let servers: Vec<Server> = servers.iter().map(|server| Server::parse(server).unwrap()).collect();
        let (name, release) = (HostName::of_mac(MAC), ReleaseId::parse("trixie-0123456789ab").unwrap());
        boot(&Boot { mac: MAC, name: &name, settings, servers: &servers, release: &release, attempt: 3 })
    }

    #[test]
    fn the_kernel_line_carries_the_boot_line() {
        check(
            &["loglevel=7"],
            "kernel http://10.0.0.1:80/releases/trixie-0123456789ab/vmlinuz initrd=initrd quiet cryptomgr.notests \
             console=tty0 console=ttyS0,115200 duet.servers=http://10.0.0.1:80,http://10.0.0.2:8080 \
             duet.release=trixie-0123456789ab duet.ip=${netX/ip},${netX/netmask},${netX/gateway} \
             duet.mac=52:54:00:77:00:01 duet.attempt=3 systemd.hostname=duet-770001 loglevel=7 || goto failed",
        );
    }

    #[test]
    fn a_word_that_would_be_a_command_is_an_error() {
        check(&["a\nshell"], "error: \"a\\nshell\" cannot be a kernel word in a boot script");
        check(&["a b"], "error: \"a b\" cannot be a kernel word in a boot script");
        check(&["${ip}"], "error: \"${ip}\" cannot be a kernel word in a boot script");
        check(&["||"], "error: \"||\" cannot be a kernel word in a boot script");
        check(&[""], "error: \"\" cannot be a kernel word in a boot script");
    }

    #[test]
    fn a_word_of_the_server_is_an_error() {
        check(
            &["duet.release=x"],
            "error: the kernel word \"duet.release=x\" is set by the boot server alone",
        );
    }

    #[test]
    fn the_owner_may_ask_for_the_serial_shell() {
        let settings = Settings { extra: vec!["duet.shell".to_owned()], ..Settings::default() };
        assert_eq!(settings.check(), Ok(()));
    }

    #[test]
    fn too_many_words_are_an_error() {
        check(&["a"; EXTRA_MAX + 1], "error: the kernel words are too many or too long");
        let long = "a".repeat(100);
        check(&[long.as_str(); 20], "error: the kernel words are too many or too long");
    }

    #[test]
    fn a_script_names_one_to_eight_servers() {
        let of = |n| render(&Settings::default(), &vec!["http://10.0.0.1"; n]).map(drop);
        assert_eq!((of(0), of(1)), (Err(ScriptError::Servers), Ok(())));
        assert_eq!((of(8), of(9)), (Ok(()), Err(ScriptError::Servers)));
    }

    #[test]
    fn every_command_that_can_fail_is_caught() {
        let server = "10.0.0.1:80".parse().unwrap();
        let of = |mode| render(&Settings { mode, ..Settings::default() }, &["http://10.0.0.1"]).unwrap();
        let scripts = [
            chain(server),
            of(Mode::Net),
            of(Mode::Wrap),
            local(MAC, &HostName::of_mac(MAC)),
            waiting(MAC, server, "No release is promoted yet.").unwrap(),
        ];
        for script in scripts {
            assert!(script.starts_with("#!ipxe\n") && script.is_ascii());
            for line in script.lines() {
                let verb = line.split(' ').next().unwrap();
                let safe = ["goto", "echo", "exit", "#", "#!ipxe"].contains(&verb) || verb.starts_with(':');
                assert!(safe || line.contains(" ||"), "an uncaught failure ends the script: {line}");
            }
        }
    }

    #[test]
    fn a_sentence_with_a_variable_is_an_error() {
        let server = "10.0.0.1:80".parse().unwrap();
        assert_eq!(waiting(MAC, server, "see ${ip}"), Err(ScriptError::Sentence));
    }
}
