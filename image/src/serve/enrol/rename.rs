//! Gives a PC another name in `duet.toml`, which is the one truth about names, and leaves the owner's text as it is.

use crate::serve::settings::Settings;
use release::{HostName, Mac};

/// The text with the new name; the error says what keeps it from being written.
pub(super) fn renamed(text: &str, mac: Mac, name: &HostName) -> Result<String, String> {
    Settings::parse(text).map_err(|error| format!("duet.toml has a mistake, {error}"))?;
    let line = format!("name = \"{name}\"");
    let lines: Vec<&str> = text.lines().collect();
    let head = lines.iter().position(|line| is_head_of(line, mac));
    let mut new: Vec<String> = lines.iter().map(|&line| line.to_owned()).collect();
    match head {
        None => new.extend([String::new(), format!("[pc.\"{mac}\"]"), line]),
        Some(head) => {
            let end = lines.iter().skip(head + 1).position(|line| line.trim_start().starts_with('['));
            let end = end.map_or(lines.len(), |n| head + 1 + n);
            match (head + 1..end).find(|&at| key_of(lines[at]) == Some("name")) {
                Some(at) => new[at] = line,
                None => new.insert(head + 1, line),
            }
        }
    }
    let new = new.join("\n") + "\n";
    let read = Settings::parse(&new).map_err(|error| error.what)?;
    if read.name_of(&mac) == *name {
        Ok(new)
    } else {
        Err("duet.toml is written in a way that this program does not change; edit it by hand".to_owned())
    }
}

fn is_head_of(line: &str, mac: Mac) -> bool {
    let inner = line.split('#').next().unwrap_or("").trim().strip_prefix("[pc.");
    let inner = inner.and_then(|rest| rest.strip_suffix(']')).map(|key| key.trim_matches(['"', '\'']));
    inner.is_some_and(|key| Mac::parse(key) == Ok(mac))
}

fn key_of(line: &str) -> Option<&str> {
    line.split_once('=').map(|(key, _)| key.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: Mac = Mac([0x52, 0x54, 0, 0x77, 0, 1]);

    fn check(text: &str, want: Result<&str, &str>) {
        let got = renamed(text, MAC, &HostName::parse("cellar").unwrap());
        match (&got, want) {
            (Ok(got), Ok(want)) => assert_eq!(got, want),
            (Err(got), Err(want)) => assert!(got.contains(want), "{got}"),
            _ => panic!("{got:?} instead of {want:?}"),
        }
    }

    #[test]
    fn a_pc_without_settings_gets_a_section() {
        check("# mine\n", Ok("# mine\n\n[pc.\"52:54:00:77:00:01\"]\nname = \"cellar\"\n"));
    }

    #[test]
    fn a_name_is_replaced_or_added_and_the_rest_stays() {
        check(
            "[pc.\"52-54-00-77-00-01\"] # a\n#name = \"x\"\nname = 'old' # b\nblock = true\n[everyone]\n",
            Ok(
                "[pc.\"52-54-00-77-00-01\"] # a\n#name = \"x\"\nname = \"cellar\"\nblock = true\n[everyone]\n",
            ),
        );
        check(
            "[pc.\"52:54:00:77:00:01\"]\nblock = true\n[pc.\"52:54:00:77:00:02\"]\nname = \"b\"\n",
            Ok(
                "[pc.\"52:54:00:77:00:01\"]\nname = \"cellar\"\nblock = true\n[pc.\"52:54:00:77:00:02\"]\nname = \"b\"\n",
            ),
        );
        check(
            super::super::super::settings::TEMPLATE,
            Ok(&format!(
                "{}\n[pc.\"52:54:00:77:00:01\"]\nname = \"cellar\"\n",
                super::super::super::settings::TEMPLATE
            )),
        );
    }

    #[test]
    fn what_cannot_be_written_is_told() {
        check("[pc.\"52:54:00:77:00:02\"]\nname = \"cellar\"\n", Err("already that of"));
        check("pc.\"52:54:00:77:00:01\".name = \"x\"\n", Err(""));
        check("nonsense", Err("has a mistake"));
    }
}
