//! What the owner says of tools: `etc/duet-agent/tools.toml`, read again whenever it changes.
//!
//! A file with a mistake changes nothing: what held before holds on. Where nothing held before, no tool runs until the file
//! is mended, because it may forbid any of them.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use toml::Spanned;
use tools::Policy;
use tools::policy::{Mistake, Rule};

pub const FILE: &str = "etc/duet-agent/tools.toml";
const FILE_BYTES_MAX: usize = 64 << 10;
const ENTRIES_MAX: usize = 64;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Names of tools, or `GROUP.*`, and free, ask or forbidden.
    risk: BTreeMap<String, Spanned<String>>,
    pub web: Web,
    /// Texts that are searched.
    pub documents: Folder,
    /// Files that tools may change.
    pub workspace: Folder,
    /// Names and addresses that are told something.
    webhook: BTreeMap<String, Spanned<String>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Web {
    /// `example.org`, or `*.example.org` for all below it.
    allow: Vec<Spanned<String>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Folder {
    pub folder: Option<PathBuf>,
}

impl Config {
    /// Reads a file's text; `file` is its name in sentences, `known` the names of all tools, `servers` those of servers,
    /// whose tools come and go.
    pub fn read(
        file: &str,
        text: &str,
        known: &[&str],
        servers: &[&str],
    ) -> Result<(Config, Policy), Vec<String>> {
        let told = |Mistake { line, what }: Mistake| format!("{file}:{line}: {what}");
        if text.len() > FILE_BYTES_MAX {
            return Err(vec![format!("{file}: more than {FILE_BYTES_MAX} bytes")]);
        }
        let line = |at: usize| {
            text.as_bytes()[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
        };
        let config: Config = toml::from_str(text).map_err(|error| {
            let line = line(error.span().map_or(0, |span| span.start));
            vec![told(Mistake { line, what: error.message().trim_end().replace('\n', "; ") })]
        })?;
        let rule = |(tool, risk): (&String, &Spanned<String>)| Rule {
            line: line(risk.span().start),
            tool: tool.clone(),
            risk: risk.get_ref().clone(),
        };
        let rules: Vec<Rule> = config.risk.iter().map(rule).collect();
        let mut mistakes = vec![];
        let policy =
            Policy::new(&rules, known, servers).map_err(|wrong| mistakes.extend(wrong)).unwrap_or_default();
        for host in config.web.allow.iter().filter(|host| !is_host(host.get_ref())) {
            let what =
                format!("{:?} is no name of a host, such as example.org or *.example.org", host.get_ref());
            mistakes.push(Mistake { line: line(host.span().start), what });
        }
        for (name, address) in &config.webhook {
            let is_good = address.get_ref().starts_with("http://") && address.get_ref().is_ascii();
            if !is_good || !tools::spec::is_name(name) {
                let what = format!(
                    "the webhook {name:?} needs a plain name, and an address that begins with http://"
                );
                mistakes.push(Mistake { line: line(address.span().start), what });
            }
        }
        if config.web.allow.len().max(config.webhook.len()) > ENTRIES_MAX {
            mistakes.push(Mistake { line: 1, what: format!("a list has more than {ENTRIES_MAX} entries") });
        }
        mistakes.sort_by_key(|mistake| mistake.line);
        if mistakes.is_empty() { Ok((config, policy)) } else { Err(mistakes.into_iter().map(told).collect()) }
    }

    /// The owner's file below a root; none is as good as an empty one.
    pub fn open(root: &Path, known: &[&str], servers: &[&str]) -> Result<(Config, Policy), Vec<String>> {
        let path = root.join(FILE);
        let mut text = String::new();
        let read = File::open(&path)
            .and_then(|file| file.take(FILE_BYTES_MAX as u64 + 1).read_to_string(&mut text).map(|_| ()));
        match read {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(vec![format!("{}: {error}", path.display())])
            }
            _ => Config::read(&path.display().to_string(), &text, known, servers),
        }
    }

    /// Whether a page of this host may be fetched.
    pub fn allows(&self, host: &str) -> bool {
        self.web.allow.iter().any(|allowed| match allowed.get_ref().strip_prefix("*.") {
            Some(parent) => {
                host.strip_suffix(parent).is_some_and(|left| left.ends_with('.') && left.len() > 1)
            }
            None => host == allowed.get_ref(),
        })
    }

    pub fn webhook(&self, name: &str) -> Option<&str> {
        self.webhook.get(name).map(|address| address.get_ref().as_str())
    }

    pub fn webhooks(&self) -> impl Iterator<Item = &str> {
        self.webhook.keys().map(String::as_str)
    }
}

fn is_host(name: &str) -> bool {
    let bare = name.strip_prefix("*.").unwrap_or(name);
    let is_part = |part: &str| {
        (1..=63).contains(&part.len())
            && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    bare.len() <= 253 && bare.contains('.') && bare.split('.').all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tools::{Risk, Spec};

    fn read(text: &str) -> Result<(Config, Policy), Vec<String>> {
        Config::read("tools.toml", text, &["time", "web.fetch"], &["notes"])
    }

    #[track_caller]
    fn check(text: &str, want: &[&str]) {
        let wrong = read(text).unwrap_err();
        assert!(wrong.len() == want.len(), "{wrong:?}");
        for (got, want) in wrong.iter().zip(want) {
            assert!(got.starts_with(want), "{got}");
        }
    }

    #[test]
    fn what_the_owner_says_holds() {
        let text = "[risk]\n\"web.*\" = \"ask\"\n\"notes.*\" = \"free\"\n[web]\nallow = [\"example.org\", \"*.example.net\"]\n[webhook]\nlamp = \"http://10.0.0.9/x\"\n";
        let (config, policy) = read(text).unwrap();
        assert_eq!(policy.risk(&Spec::new("web.fetch", "x")), Risk::Ask);
        assert_eq!(policy.risk(&Spec::new("notes.add", "x").ask()), Risk::Free, "a server's tool");
        for (host, want) in [
            ("example.org", true),
            ("www.example.org", false),
            ("www.example.net", true),
            ("example.net", false),
            ("badexample.net", false),
            (".example.net", false),
        ] {
            assert_eq!(config.allows(host), want, "{host}");
        }
        assert_eq!((config.webhook("lamp"), config.webhook("door")), (Some("http://10.0.0.9/x"), None));
        assert!(read("").is_ok());
    }

    #[test]
    fn each_mistake_has_its_line() {
        check("[risk]\ntime = \"free\"\ntmie = \"ask\"\n", &["tools.toml:3: there is no tool \"tmie\""]);
        check("[risk]\ntime = \"no\"\n", &["tools.toml:2: \"no\" is none of"]);
        check("\n[wbe]\n", &["tools.toml:2: unknown field `wbe`"]);
        check("[web]\nallow = [\n\"a.b\",\n\"A.b\"]\n", &["tools.toml:4: \"A.b\" is no name"]);
        check("[webhook]\nlamp = \"ftp://a\"\n", &["tools.toml:2: the webhook \"lamp\""]);
        check("[risk\n", &["tools.toml:1: "]);
    }
}
