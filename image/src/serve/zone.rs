//! What the clocks of a place do: the rule of POSIX behind a name such as `Europe/Berlin`.
//!
//! Nodes have no tables of the world, so the boot server looks it up: a table of this PC ends with its rule
//! (RFC 9636, section 3.3).

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Of Debian's tzdata.
const TABLES: &str = "/usr/share/zoneinfo";
const NAME_BYTES_MAX: usize = 64;
/// The longest table has less than 4 KiB.
const TABLE_BYTES_MAX: u64 = 64 << 10;
/// As long as a node takes one.
const RULE_BYTES_MAX: usize = 64;

/// The rule of a place, or the rule itself; else a sentence.
pub fn rule(zone: &str) -> Result<String, String> {
    rule_below(Path::new(TABLES), zone)
}

fn rule_below(tables: &Path, zone: &str) -> Result<String, String> {
    if !tables.is_dir() && is_name(zone) && !is_rule(zone) {
        return Err(format!("'{zone}' cannot be looked up without {} (package tzdata)", tables.display()));
    }
    let table = Some(zone).filter(|zone| is_name(zone)).and_then(|zone| read(&tables.join(zone)));
    match table {
        Some(table) => {
            let own = of_table(&table).filter(|rule| is_rule(rule));
            own.map(str::to_owned).ok_or_else(|| format!("the time zone '{zone}' has no rule"))
        }
        None if is_rule(zone) => Ok(zone.to_owned()),
        None => Err(format!("there is no time zone '{zone}'; one is called Europe/Berlin")),
    }
}

/// No name leads out of the tables: each part begins with a letter, and none has a dot.
fn is_name(name: &str) -> bool {
    let is_part = |part: &str| {
        part.starts_with(|char: char| char.is_ascii_alphabetic())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'+'))
    };
    name.len() <= NAME_BYTES_MAX && name.split('/').all(is_part)
}

/// `CET-1...` or `<+03>-3...`: a name of three letters or more, and how far it is from UTC. The node reads the rest.
fn is_rule(rule: &str) -> bool {
    let behind = match rule.strip_prefix('<') {
        Some(quoted) => quoted.split_once('>').map(|(_, behind)| behind),
        None => {
            let behind = rule.trim_start_matches(|char: char| char.is_ascii_alphabetic());
            Some(behind).filter(|behind| rule.len() - behind.len() >= 3)
        }
    };
    let is_far =
        |behind: &str| behind.trim_start_matches(['+', '-']).starts_with(|c: char| c.is_ascii_digit());
    rule.len() <= RULE_BYTES_MAX
        && rule.bytes().all(|byte| byte.is_ascii_graphic())
        && behind.is_some_and(is_far)
}

fn read(path: &Path) -> Option<Vec<u8>> {
    let file = File::open(path).ok()?;
    let mut table = vec![];
    file.metadata().ok().filter(|about| about.is_file() && about.len() <= TABLE_BYTES_MAX)?;
    file.take(TABLE_BYTES_MAX).read_to_end(&mut table).ok()?;
    Some(table)
}

/// The last line of a table of version 2 or later.
fn of_table(table: &[u8]) -> Option<&str> {
    let (magic, rest) = table.split_at_checked(4)?;
    rest.first().filter(|version| magic == b"TZif" && **version >= b'2')?;
    let text = rest.strip_suffix(b"\n")?;
    let begin = text.iter().rposition(|byte| *byte == b'\n')? + 1;
    std::str::from_utf8(&text[begin..]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BERLIN: &str = "CET-1CEST,M3.5.0,M10.5.0/3";

    /// Tables of three places below a folder, and a file beside them that nobody may name.
    fn check(name: &str, zone: &str, want: Result<&str, &str>) {
        let folder = std::env::temp_dir().join(format!("duet-zone-{name}-{}", std::process::id()));
        let tables = folder.join("tables");
        std::fs::create_dir_all(tables.join("Europe")).unwrap();
        let table = |version: &str, rule: &str| format!("TZif{version}\0\0body\n{rule}\n");
        std::fs::write(tables.join("Europe/Berlin"), table("2", BERLIN)).unwrap();
        std::fs::write(tables.join("Old"), table("\0", BERLIN)).unwrap();
        std::fs::write(tables.join("Hollow"), table("3", "")).unwrap();
        std::fs::write(tables.join("CET"), table("4", BERLIN)).unwrap();
        std::fs::write(folder.join("Secret"), table("2", "XYZ0")).unwrap();
        let got = rule_below(&tables, zone);
        std::fs::remove_dir_all(&folder).unwrap();
        match want {
            Ok(rule) => assert_eq!(got.as_deref(), Ok(rule), "{zone}"),
            Err(begin) => assert!(got.as_ref().is_err_and(|what| what.starts_with(begin)), "{zone}: {got:?}"),
        }
    }

    #[test]
    fn a_place_has_the_rule_of_its_table() {
        check("place", "Europe/Berlin", Ok(BERLIN));
        check("short", "CET", Ok(BERLIN));
    }

    #[test]
    fn a_rule_is_taken_as_it_is() {
        for rule in [BERLIN, "UTC0", "<+0545>-5:45", "EST5EDT,M3.2.0,M11.1.0"] {
            check("rule", rule, Ok(rule));
        }
    }

    #[test]
    fn a_table_without_a_rule_is_none() {
        check("old", "Old", Err("the time zone 'Old' has no rule"));
        check("hollow", "Hollow", Err("the time zone 'Hollow' has no rule"));
    }

    #[test]
    fn no_name_leads_out_of_the_tables() {
        for name in [
            "../Secret",
            "Europe/../../Secret",
            "/etc/passwd",
            "Europe",
            "",
            "Europe/",
            ".",
            "Europe//Berlin",
        ] {
            check("path", name, Err("there is no time zone"));
        }
    }

    #[test]
    fn the_tables_of_this_machine_have_rules() {
        if !Path::new(TABLES).join("Europe/Berlin").is_file() {
            return eprintln!("skipped: there are no tables below {TABLES} (package tzdata)");
        }
        assert_eq!(rule("Europe/Berlin").as_deref(), Ok(BERLIN));
        assert_eq!(rule("Asia/Kathmandu").as_deref(), Ok("<+0545>-5:45"));
    }
}
