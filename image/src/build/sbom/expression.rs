//! Licence names of Debian and of crates as SPDX licence expressions.
//!
//! Debian's short names (DEP-5) are not SPDX's: `GPL-2+` is `GPL-2.0-or-later`,
//! `Expat` is `MIT`. Where the meaning is certain the name is translated; any
//! other name becomes a `LicenseRef` that says where its text is, because a
//! wrong licence is worse than a local name.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Names with one certain meaning, in lower case.
const CERTAIN: [(&str, &str); 34] = [
    ("0bsd", "0BSD"),
    ("apache-2", "Apache-2.0"),
    ("apache-2.0", "Apache-2.0"),
    ("artistic-2.0", "Artistic-2.0"),
    ("bsd-2-clause", "BSD-2-Clause"),
    ("bsd-3-clause", "BSD-3-Clause"),
    ("bsd-4-clause", "BSD-4-Clause"),
    ("bsd-4-clause-uc", "BSD-4-Clause-UC"),
    ("bsl-1", "BSL-1.0"),
    ("bsl-1.0", "BSL-1.0"),
    ("bzip2-1.0.6", "bzip2-1.0.6"),
    ("cc0", "CC0-1.0"),
    ("cc0-1.0", "CC0-1.0"),
    ("cc-by-3.0", "CC-BY-3.0"),
    ("cc-by-4.0", "CC-BY-4.0"),
    ("cc-by-sa-3.0", "CC-BY-SA-3.0"),
    ("cc-by-sa-4.0", "CC-BY-SA-4.0"),
    ("expat", "MIT"),
    ("fsfap", "FSFAP"),
    ("fsful", "FSFUL"),
    ("fsfullr", "FSFULLR"),
    ("isc", "ISC"),
    ("mit", "MIT"),
    ("mit-0", "MIT-0"),
    ("mpl-1.1", "MPL-1.1"),
    ("mpl-2.0", "MPL-2.0"),
    ("ofl-1.1", "OFL-1.1"),
    ("openssl", "OpenSSL"),
    ("postgresql", "PostgreSQL"),
    ("unicode-3.0", "Unicode-3.0"),
    ("unlicense", "Unlicense"),
    ("x11", "X11"),
    ("zlib", "Zlib"),
    ("curl", "curl"),
];

/// The GNU licences and their versions; `+` and `-or-later` mean later ones too.
const GNU: [(&str, &[&str]); 4] = [
    ("gpl", &["1.0", "2.0", "3.0"]),
    ("lgpl", &["2.0", "2.1", "3.0"]),
    ("agpl", &["3.0"]),
    ("gfdl", &["1.1", "1.2", "1.3"]),
];

/// The local names that were given, and who uses them.
#[derive(Debug, Default)]
pub struct Refs {
    users: BTreeMap<String, (String, BTreeSet<String>)>,
}

impl Refs {
    /// All `License` fields of one copyright file: all of them hold, each for its files.
    pub fn expression_of_fields(&mut self, user: &str, fields: &[String]) -> String {
        let mut parts = BTreeSet::new();
        for field in fields {
            let part = self.field(user, field);
            // Only a plain chain of ANDs can be taken apart.
            if part.contains(" OR ") || part.contains('(') {
                parts.insert(part);
            } else {
                parts.extend(part.split(" AND ").map(str::to_string));
            }
        }
        let wrap = |part: &String| {
            if parts.len() > 1 && part.contains(" OR ") { format!("({part})") } else { part.clone() }
        };
        parts.iter().map(wrap).collect::<Vec<_>>().join(" AND ")
    }

    /// One field: `a and b`, `a or b`, `a or b, and c`; a comma binds weakest.
    fn field(&mut self, user: &str, field: &str) -> String {
        let words: Vec<&str> = field.split_whitespace().collect();
        let mut text = words.join(" ");
        for (written, meant) in [(" and/or ", " or "), (" | ", " or "), (" OR ", " or "), (" AND ", " and ")]
        {
            text = text.replace(written, meant);
        }
        let clauses: Vec<&str> = text.split(',').map(str::trim).filter(|clause| !clause.is_empty()).collect();
        let Some((first, rest)) = clauses.split_first() else { return self.name(user, &text) };
        let mut expression = self.clause(user, first);
        for clause in rest {
            let (joint, clause) = match clause.split_once(' ') {
                Some(("and", clause)) => (" AND ", clause),
                Some(("or", clause)) => (" OR ", clause),
                // A plain comma lists several licences.
                _ => (" AND ", *clause),
            };
            expression =
                format!("{}{joint}{}", in_brackets(&expression), in_brackets(&self.clause(user, clause)));
        }
        expression
    }

    /// `and` binds more than `or`, in DEP-5 as in SPDX.
    fn clause(&mut self, user: &str, clause: &str) -> String {
        let either = clause.split(" or ").map(|either| {
            let all: Vec<String> = either.split(" and ").map(|name| self.name(user, name.trim())).collect();
            all.join(" AND ")
        });
        either.collect::<Vec<_>>().join(" OR ")
    }

    fn name(&mut self, user: &str, name: &str) -> String {
        known(name).unwrap_or_else(|| self.local(user, name))
    }

    fn local(&mut self, user: &str, name: &str) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
        let mut id: String = name.chars().map(plain).collect();
        if name.ends_with('+') {
            id.push_str("or-later");
        }
        let id = id.trim_matches('-');
        let id = format!("LicenseRef-{}", if id.is_empty() { "unnamed" } else { id });
        let (_, users) = self.users.entry(id.clone()).or_insert_with(|| (name.to_string(), BTreeSet::new()));
        users.insert(user.to_string());
        id
    }

    /// A crate's `license` field: an SPDX expression already, in old crates with `/` for OR.
    pub fn cargo(&mut self, user: &str, licence: &str) -> String {
        let is_expression = |text: &str| {
            let text = text.replace(['(', ')'], " ");
            let mut words = text.split_whitespace().peekable();
            words.peek().is_some()
                && words
                    .all(|word| ["AND", "OR", "WITH", "LLVM-exception"].contains(&word) || known_spdx(word))
        };
        let licence = licence.replace('/', " OR ").split_whitespace().collect::<Vec<_>>().join(" ");
        if is_expression(&licence) { licence } else { self.local(user, &licence) }
    }

    /// SPDX wants the text of each local name; it is said where to find it.
    pub fn extracted(&self) -> Vec<Value> {
        let one = |(id, (name, users)): (&String, &(String, BTreeSet<String>))| {
            let users: Vec<&str> = users.iter().map(String::as_str).collect();
            json!({
                "licenseId": id,
                "name": name,
                "extractedText": format!(
                    "The text is in the release's licences.tar.zst, in the copyright files of: {}", users.join(", ")
                ),
            })
        };
        self.users.iter().map(one).collect()
    }
}

fn in_brackets(expression: &str) -> String {
    if expression.contains(' ') { format!("({expression})") } else { expression.to_string() }
}

/// The SPDX name of a Debian short name with one certain meaning.
fn known(name: &str) -> Option<String> {
    let lower = name.to_ascii_lowercase();
    if let Some((_, spdx)) = CERTAIN.iter().find(|(debian, _)| *debian == lower) {
        return Some(spdx.to_string());
    }
    let (bare, is_later) = match lower.strip_suffix('+').or_else(|| lower.strip_suffix("-or-later")) {
        Some(bare) => (bare, true),
        None => (lower.strip_suffix("-only").unwrap_or(&lower), false),
    };
    let (family, version) = bare.split_once('-')?;
    let (family, versions) = GNU.iter().find(|(gnu, _)| *gnu == family)?;
    let version =
        versions.iter().find(|known| **known == version || known.strip_suffix(".0") == Some(version))?;
    let ending = if is_later { "or-later" } else { "only" };
    Some(format!("{}-{version}-{ending}", family.to_ascii_uppercase()))
}

/// Whether a word of a crate's expression is a licence that SPDX lists, as far as crates use them.
fn known_spdx(word: &str) -> bool {
    known(word).is_some_and(|spdx| spdx == word)
        || ["BSD-1-Clause", "CDLA-Permissive-2.0", "NCSA"].contains(&word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(field: &str, want: &str) {
        assert_eq!(Refs::default().expression_of_fields("p", &[field.to_string()]), want);
    }

    fn check_crate(licence: &str, want: &str) {
        assert_eq!(Refs::default().cargo("c", licence), want);
    }

    #[test]
    fn debian_names_with_a_certain_meaning_are_translated() {
        check("GPL-2+", "GPL-2.0-or-later");
        check("GPL-3", "GPL-3.0-only");
        check("LGPL-2.1+", "LGPL-2.1-or-later");
        check("LGPL-3.0+", "LGPL-3.0-or-later");
        check("Expat", "MIT");
        check("BSD-3-clause", "BSD-3-Clause");
        check("GFDL-1.3+", "GFDL-1.3-or-later");
    }

    #[test]
    fn any_other_name_stays_local() {
        check("GPL", "LicenseRef-GPL");
        check("GPL-2+ with OpenSSL exception", "LicenseRef-GPL-2--with-OpenSSL-exception");
        check("BSD-variant+", "LicenseRef-BSD-variant-or-later");
        check("public-domain", "LicenseRef-public-domain");
        check("???", "LicenseRef-unnamed");
    }

    #[test]
    fn words_become_operators_and_a_comma_binds_weakest() {
        check("GPL-2 or MIT", "GPL-2.0-only OR MIT");
        check("GPL-2 and MIT", "GPL-2.0-only AND MIT");
        check("MIT or ISC, and Zlib", "(MIT OR ISC) AND Zlib");
        check("MIT, ISC", "ISC AND MIT");
        check("MIT and ISC, and Zlib", "(MIT AND ISC) AND Zlib");
    }

    #[test]
    fn all_fields_of_a_file_hold_together() {
        let fields = ["MIT or ISC", "GPL-2 and Zlib", "GPL-2"].map(str::to_string);
        let got = Refs::default().expression_of_fields("p", &fields);
        assert_eq!(got, "GPL-2.0-only AND (MIT OR ISC) AND Zlib");
    }

    #[test]
    fn a_crate_has_an_expression_already() {
        check_crate("MIT OR Apache-2.0", "MIT OR Apache-2.0");
        check_crate("MIT/Apache-2.0", "MIT OR Apache-2.0");
        check_crate("(MIT OR Apache-2.0) AND Unicode-3.0", "(MIT OR Apache-2.0) AND Unicode-3.0");
        check_crate("Apache-2.0 WITH LLVM-exception OR MIT", "Apache-2.0 WITH LLVM-exception OR MIT");
        check_crate("My Own", "LicenseRef-My-Own");
    }
}
