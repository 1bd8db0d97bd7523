//! A command on a host that the owner listed, by Debian's own ssh and with the key of this node.
//!
//! There is no shell on this side: one vector of arguments, in which a host is a name of the list and nothing else. What
//! ssh would read from files of its own is shut off, and a host whose key is not the one of the list gets no word.

use super::{Limits, child};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Below the machine's root.
pub const FILE: &str = "etc/duet-agent/ssh.toml";
pub const FILE_BYTES_MAX: usize = 64 << 10;
pub const HOSTS_MAX: usize = 64;
pub const COMMAND_BYTES_MAX: usize = 4 << 10;
const NAME_BYTES_MAX: usize = 64;
const KEY_BYTES_MAX: usize = 1 << 10;
const PROGRAM: &str = "/usr/bin/ssh";
const KEYGEN: &str = "/usr/bin/ssh-keygen";
/// ssh says with it that the connection failed; a command may say the same.
const NO_CONNECTION: i32 = 255;
const ABSENT: &str = "there is no ssh in this image; build it with `duet build --profile ssh`";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    pub name: String,
    address: String,
    port: u16,
    user: String,
    /// Kind and key, as in a file of known hosts.
    host_key: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    address: String,
    port: Option<u16>,
    user: String,
    host_key: String,
}

/// The hosts of the owner's file; the error is for him.
pub fn parse(text: &str) -> Result<Vec<Host>, String> {
    if text.len() > FILE_BYTES_MAX {
        return Err(format!("more than {FILE_BYTES_MAX} bytes"));
    }
    let entries: BTreeMap<String, Entry> =
        toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
    if entries.len() > HOSTS_MAX {
        return Err(format!("more than {HOSTS_MAX} hosts"));
    }
    entries
        .into_iter()
        .map(|(name, entry)| host(&name, entry).map_err(|why| format!("[{name}]: {why}")))
        .collect()
}

fn host(name: &str, entry: Entry) -> Result<Host, String> {
    let words = [("the name", name), ("address", &entry.address), ("user", &entry.user)];
    if let Some((what, _)) = words.iter().find(|(_, word)| !is_word(word)) {
        return Err(format!("{what} is letters, digits, '.', ':', '_' and '-', a letter or digit first"));
    }
    let mut parts = entry.host_key.split(' ');
    let (kind, key, more) =
        (parts.next().unwrap_or_default(), parts.next().unwrap_or_default(), parts.next());
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
    let is_key = is_word(kind) && !key.is_empty() && key.len() <= KEY_BYTES_MAX && key.bytes().all(is_base64);
    if !is_key || more.is_some() {
        return Err("host_key is a kind and a key, as `ssh-keyscan` prints them after the host".into());
    }
    let Entry { address, port, user, host_key } = entry;
    Ok(Host { name: name.into(), address, port: port.unwrap_or(22), user, host_key })
}

/// It can be taken for no option, no pattern and no second word.
fn is_word(word: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
    (1..=NAME_BYTES_MAX).contains(&word.len())
        && word.bytes().all(known)
        && word.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
}

/// The key of this node, in a folder of the agent's own. A PC without a disk makes a new one at each boot, unless the
/// owner put one there.
pub struct Ssh {
    folder: PathBuf,
    hosts: Vec<Host>,
}

impl Ssh {
    pub fn new(folder: &Path, hosts: Vec<Host>) -> Ssh {
        Ssh { folder: folder.to_path_buf(), hosts }
    }

    pub fn names(&self) -> Vec<&str> {
        self.hosts.iter().map(|host| host.name.as_str()).collect()
    }

    /// The public half, which the hosts must know; made where there is none.
    pub fn public_key(&self, limits: &Limits<'_>) -> Result<String, String> {
        let key = self.key(limits)?;
        let text = fs::read_to_string(key.with_extension("pub"));
        text.map(|text| text.trim_end().to_owned())
            .map_err(|error| format!("the key cannot be read: {error}"))
    }

    /// Runs one command there, and gives what it wrote.
    pub fn run(&self, name: &str, command: &str, limits: &Limits<'_>) -> Result<String, String> {
        let host = self.hosts.iter().find(|host| host.name == name);
        let host = host.ok_or_else(|| format!("{name} is not one of the listed hosts"))?;
        if command.is_empty() || command.len() > COMMAND_BYTES_MAX || command.contains('\0') {
            return Err(format!("a command has 1 to {COMMAND_BYTES_MAX} bytes, and no zero among them"));
        }
        let key = self.key(limits)?;
        let known = self.folder.join("known_hosts");
        let line = format!("{} {}\n", host.name, host.host_key);
        write(&known, &line).map_err(|error| format!("the host's key cannot be written: {error}"))?;
        let ended = child::run(
            command_line(host, &key, &known, command),
            limits.output_max,
            limits.deadline,
            &|| limits.is_over(),
        );
        let ended =
            ended.map_err(|error| if has(PROGRAM) { error.to_string() } else { ABSENT.to_owned() })?;
        let text = String::from_utf8_lossy(&ended.text).trim_end().to_owned();
        let after = if text.is_empty() { String::new() } else { format!(": {text}") };
        match ended.end {
            child::End::Status(0) if text.is_empty() => Ok("(it wrote nothing)".into()),
            child::End::Status(0) => Ok(text),
            child::End::Status(NO_CONNECTION) => Err(format!("{name} cannot be reached, or refuses{after}")),
            child::End::Status(status) => Err(format!("it ended with status {status}{after}")),
            child::End::Output => Ok(text),
            child::End::Time | child::End::Left => Err(format!("it was stopped{after}")),
        }
    }

    fn key(&self, limits: &Limits<'_>) -> Result<PathBuf, String> {
        let key = self.folder.join("id_ed25519");
        if key.exists() {
            return Ok(key);
        }
        if !has(KEYGEN) {
            return Err(ABSENT.into());
        }
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder);
        made.map_err(|error| format!("there is no place for a key: {error}"))?;
        let mut command = Command::new(KEYGEN);
        command.args(["-q", "-t", "ed25519", "-N", "", "-C", "duet", "-f"]).arg(&key).env_clear();
        let ended = child::run(command, 1024, limits.deadline, &|| limits.is_over());
        match ended.map_err(|error| error.to_string())?.end {
            child::End::Status(0) => Ok(key),
            _ => Err("no key could be made".into()),
        }
    }
}

fn has(program: &str) -> bool {
    Path::new(program).exists()
}

fn command_line(host: &Host, key: &Path, known: &Path, words: &str) -> Command {
    let mut command = Command::new(PROGRAM);
    // No file of a user or of the machine is read, nobody is asked, and nothing but the command is carried.
    command
        .args(["-F", "none", "-T", "-x", "-a", "-p", &host.port.to_string(), "-l", &host.user])
        .arg("-i")
        .arg(key);
    let known = format!("UserKnownHostsFile={}", known.display());
    let alias = format!("HostKeyAlias={}", host.name);
    let options = [
        "BatchMode=yes",
        "StrictHostKeyChecking=yes",
        "GlobalKnownHostsFile=/dev/null",
        &known,
        &alias,
        "CheckHostIP=no",
        "UpdateHostKeys=no",
        "VerifyHostKeyDNS=no",
        "IdentitiesOnly=yes",
        "IdentityAgent=none",
        "PreferredAuthentications=publickey",
        "ClearAllForwardings=yes",
        "PermitLocalCommand=no",
        "ProxyCommand=none",
        "ControlPath=none",
        "ConnectTimeout=5",
        "LogLevel=ERROR",
    ];
    for option in options {
        command.arg("-o").arg(option);
    }
    command.arg("--").arg(&host.address).arg(words);
    command.env_clear().stdin(Stdio::null());
    command
}

/// Whole or not at all, and for the agent alone.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let beside = path.with_extension("new");
    let _ = fs::remove_file(&beside);
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)?
        .write_all(text.as_bytes())?;
    fs::rename(beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA==";

    fn entry(name: &str, address: &str, user: &str, key: &str) -> String {
        format!("[\"{name}\"]\naddress = \"{address}\"\nuser = \"{user}\"\nhost_key = \"{key}\"\n")
    }

    #[test]
    fn a_host_is_words_that_are_no_options() {
        assert_eq!(parse(&entry("nas", "10.0.0.9", "duet", KEY)).unwrap()[0].port, 22);
        for (name, address, user, key) in [
            ("-oProxyCommand=id", "10.0.0.9", "duet", KEY),
            ("nas", "-oProxyCommand=id", "duet", KEY),
            ("nas", "10.0.0.9", "-l", KEY),
            ("nas", "10.0.0.9 10.0.0.8", "duet", KEY),
            ("n*s", "10.0.0.9", "duet", KEY),
            ("nas", "10.0.0.9", "duet", "ssh-ed25519"),
            ("nas", "10.0.0.9", "duet", "ssh-ed25519 AAAA\\nother ssh-ed25519 BBBB"),
            ("nas", "10.0.0.9", "duet", "@cert-authority AAAA"),
        ] {
            assert!(parse(&entry(name, address, user, key)).is_err(), "{name} {address} {user} {key}");
        }
    }

    #[test]
    fn a_command_is_one_word_after_all_options() {
        let host = &parse(&entry("nas", "10.0.0.9", "duet", KEY)).unwrap()[0];
        let command = command_line(host, Path::new("/k"), Path::new("/h"), "-oProxyCommand=id; reboot");
        let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
        assert_eq!(words[words.len() - 3..], ["--", "10.0.0.9", "-oProxyCommand=id; reboot"]);
    }
}
