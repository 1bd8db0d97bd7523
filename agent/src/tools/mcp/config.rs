//! Which servers there are: the owner's file, read whole or not at all.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Below the machine's root.
pub const FILE: &str = "etc/duet-agent/servers.toml";
pub const FILE_BYTES_MAX: usize = 64 << 10;
pub const SERVERS_MAX: usize = 16;
const NAME_BYTES_MAX: usize = 24;
const WORDS_MAX: usize = 32;
const SECONDS: u32 = 30;
const SECONDS_MAX: u32 = 600;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    pub name: String,
    pub way: Way,
    /// For one call.
    pub seconds_max: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// A child of ours, by its standard input and output.
    Child {
        program: PathBuf,
        words: Vec<String>,
    },
    Http {
        address: SocketAddr,
        path: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    command: Option<Vec<String>>,
    url: Option<String>,
    seconds: Option<u32>,
}

/// The servers of a file, by name; the error is for the owner.
pub fn parse(text: &str) -> Result<Vec<Setup>, String> {
    if text.len() > FILE_BYTES_MAX {
        return Err(format!("more than {FILE_BYTES_MAX} bytes"));
    }
    let entries: BTreeMap<String, Entry> =
        toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
    if entries.len() > SERVERS_MAX {
        return Err(format!("more than {SERVERS_MAX} servers"));
    }
    entries
        .into_iter()
        .map(|(name, entry)| setup(&name, entry).map_err(|why| format!("[{name}]: {why}")))
        .collect()
}

fn setup(name: &str, entry: Entry) -> Result<Setup, String> {
    let letters = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    if !begins || name.len() > NAME_BYTES_MAX || !name.bytes().all(letters) {
        return Err(format!("a name is 1 to {NAME_BYTES_MAX} small letters, digits and '-', a letter first"));
    }
    let seconds_max = entry.seconds.unwrap_or(SECONDS);
    if !(1..=SECONDS_MAX).contains(&seconds_max) {
        return Err(format!("seconds is 1 to {SECONDS_MAX}"));
    }
    let way = match (entry.command, entry.url) {
        (Some(command), None) => child(command)?,
        (None, Some(url)) => http(&url)?,
        _ => return Err("say either command or url".into()),
    };
    Ok(Setup { name: name.into(), way, seconds_max })
}

fn child(command: Vec<String>) -> Result<Way, String> {
    if command.len() > WORDS_MAX || command.iter().any(|word| word.contains('\0')) {
        return Err(format!("a command has at most {WORDS_MAX} words"));
    }
    let mut words = command.into_iter();
    let program = PathBuf::from(words.next().unwrap_or_default());
    // A PATH says nothing on a node, and a shell is never asked.
    if !Path::new(&program).is_absolute() {
        return Err("a command begins with the whole path of a program".into());
    }
    Ok(Way::Child { program, words: words.collect() })
}

fn http(url: &str) -> Result<Way, String> {
    let wrong = || "a url is http://ADDRESS:PORT/PATH, with an address in numbers".to_owned();
    let rest = url.strip_prefix("http://").ok_or_else(wrong)?;
    let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/?=&".contains(&byte);
    if !path.bytes().all(plain) {
        return Err(wrong());
    }
    Ok(Way::Http { address: address.parse().map_err(|_| wrong())?, path: format!("/{path}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_a_command_or_an_address() {
        let text = "[notes]\ncommand = [\"/usr/bin/notes\", \"--quiet\"]\n[find]\nurl = \"http://10.0.0.9:3000/mcp\"\nseconds = 5\n";
        let servers = parse(text).unwrap();
        let find = Way::Http { address: "10.0.0.9:3000".parse().unwrap(), path: "/mcp".into() };
        assert_eq!(servers[0], Setup { name: "find".into(), way: find, seconds_max: 5 });
        let notes = Way::Child { program: "/usr/bin/notes".into(), words: vec!["--quiet".into()] };
        assert_eq!(servers[1], Setup { name: "notes".into(), way: notes, seconds_max: SECONDS });
    }

    #[track_caller]
    fn refused(text: &str, want: &str) {
        let error = parse(text).unwrap_err();
        assert!(error.contains(want), "{error}");
    }

    #[test]
    fn a_mistake_says_where_it_is() {
        refused("[a]\nurl = \"https://10.0.0.9:1/\"\n", "[a]: a url is http://");
        refused("[a]\nurl = \"http://example.org/\"\n", "[a]: a url is http://");
        refused("[a]\nurl = \"http://10.0.0.9:1/\\r\\nx\"\n", "[a]: a url is http://");
        refused("[a]\ncommand = [\"notes\"]\n", "[a]: a command begins with the whole path");
        refused("[a]\ncommand = []\n", "[a]: a command begins with the whole path");
        refused("[a]\n", "[a]: say either command or url");
        refused("[A]\nurl = \"http://10.0.0.9:1/\"\n", "[A]: a name is");
        refused("[a]\nurl = \"http://10.0.0.9:1/\"\nseconds = 0\n", "[a]: seconds is");
        refused("[a]\nurl = \"http://10.0.0.9:1/\"\nkey = 1\n", "line 3");
    }
}
