//! The lists of `buildroot/`: one entry per line, `#` begins a comment.
//!
//! It knows lines, doubles and globs; it does not know what an entry is for.

use std::collections::BTreeSet;
use std::fmt;

/// More lines than this is not a list a person keeps.
pub const LINES_MAX: usize = 10_000;

#[derive(Debug, PartialEq, Eq)]
pub struct ListError {
    pub file: String,
    pub line: usize,
    pub what: String,
}

impl fmt::Display for ListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.what)
    }
}

impl std::error::Error for ListError {}

/// An entry and the line it stands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub line: usize,
    pub words: Vec<String>,
}

/// The entries of a list, comments and empty lines left out.
pub fn entries(file: &str, text: &str) -> Result<Vec<Entry>, ListError> {
    let mut found = Vec::new();
    for (idx, raw) in text.lines().enumerate() {
        let line = idx + 1;
        let fail = |what: &str| ListError { file: file.into(), line, what: what.into() };
        if idx >= LINES_MAX {
            return Err(fail("the list is longer than 10000 lines"));
        }
        if raw.chars().any(|c| c.is_control() && c != '\t') {
            return Err(fail("a control character stands in this line"));
        }
        let words: Vec<String> =
            raw.split_whitespace().take_while(|word| !word.starts_with('#')).map(str::to_string).collect();
        if !words.is_empty() {
            found.push(Entry { line, words });
        }
    }
    Ok(found)
}

/// A list of single words, none of them twice.
pub fn words(file: &str, text: &str) -> Result<Vec<String>, ListError> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for entry in entries(file, text)? {
        let fail = |what: String| ListError { file: file.into(), line: entry.line, what };
        let [word] = &entry.words[..] else {
            return Err(fail("one entry per line".into()));
        };
        if !seen.insert(word.clone()) {
            return Err(fail(format!("{word} is listed twice")));
        }
        found.push(word.clone());
    }
    Ok(found)
}

/// A list of Debian package names.
pub fn packages(file: &str, text: &str) -> Result<Vec<String>, ListError> {
    for entry in entries(file, text)? {
        if let Some(name) = entry.words.first().filter(|name| !is_package_name(name)) {
            let what = format!("{name} is not a package name (lower case letters, digits, + - .)");
            return Err(ListError { file: file.into(), line: entry.line, what });
        }
    }
    words(file, text)
}

/// Debian Policy 5.6.1.
pub fn is_package_name(name: &str) -> bool {
    name.len() >= 2
        && name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c))
}

/// Paths by pattern: `*` and `?` stay within one folder, `**` does not, and a later `!pattern` keeps.
#[derive(Debug, Clone, Default)]
pub struct Globs {
    patterns: Vec<(bool, String)>,
}

impl Globs {
    pub fn new(patterns: &[String]) -> Globs {
        let split = |pattern: &String| match pattern.strip_prefix('!') {
            Some(kept) => (false, kept.trim_start_matches('/').to_string()),
            None => (true, pattern.trim_start_matches('/').to_string()),
        };
        Globs { patterns: patterns.iter().map(split).collect() }
    }

    /// The number of the last pattern that speaks of this path.
    pub fn speaks_of(&self, path: &str) -> Option<usize> {
        self.patterns.iter().rposition(|(_, pattern)| glob(pattern.as_bytes(), path.as_bytes()))
    }

    /// Whether something below this folder may be kept by a `!pattern`.
    pub fn keeps_below(&self, folder: &str) -> bool {
        self.patterns.iter().any(|(takes, pattern)| !takes && pattern.starts_with(&format!("{folder}/")))
    }

    pub fn pattern(&self, idx: usize) -> &str {
        &self.patterns[idx].1
    }

    pub fn n_patterns(&self) -> usize {
        self.patterns.len()
    }

    pub fn takes(&self, idx: usize) -> bool {
        self.patterns[idx].0
    }
}

fn glob(pattern: &[u8], path: &[u8]) -> bool {
    let (mut at, mut i) = (0, 0);
    // Where to go on after a mismatch: after the last star, one byte further.
    let mut retry: Option<(usize, usize, bool)> = None;
    loop {
        if pattern[at..].starts_with(b"**") {
            retry = Some((at + 2, i, true));
            at += 2;
        } else if pattern.get(at) == Some(&b'*') {
            retry = Some((at + 1, i, false));
            at += 1;
        } else if i == path.len() {
            return at == pattern.len();
        } else if at < pattern.len() && (pattern[at] == path[i] || (pattern[at] == b'?' && path[i] != b'/')) {
            (at, i) = (at + 1, i + 1);
        } else {
            match retry {
                Some((back, from, deep)) if deep || path[from] != b'/' => {
                    retry = Some((back, from + 1, deep));
                    (at, i) = (back, from + 1);
                }
                _ => return false,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, want: &str) {
        let got = match packages("packages.list", text) {
            Ok(list) => list.join(" "),
            Err(error) => format!("error: {error}"),
        };
        assert_eq!(got, want);
    }

    #[test]
    fn comments_and_empty_lines_are_left_out() {
        check("# why\n\nbash # a shell\n  kmod\n", "bash kmod");
    }

    #[test]
    fn a_package_named_twice_is_an_error() {
        check("bash\nbash\n", "error: packages.list:2: bash is listed twice");
    }

    #[test]
    fn two_words_on_a_line_are_an_error() {
        check("bash\nkmod udev\n", "error: packages.list:2: one entry per line");
    }

    #[test]
    fn an_option_is_no_package_name() {
        check(
            "--yes\n",
            "error: packages.list:1: --yes is not a package name (lower case letters, digits, + - .)",
        );
    }

    #[test]
    fn a_control_character_is_an_error() {
        check("ba\u{7}sh\n", "error: packages.list:1: a control character stands in this line");
    }

    fn check_glob(patterns: &str, path: &str, taken: bool) {
        let patterns: Vec<String> = patterns.split(' ').map(str::to_string).collect();
        let globs = Globs::new(&patterns);
        let got = globs.speaks_of(path).is_some_and(|idx| globs.takes(idx));
        assert_eq!(got, taken, "{patterns:?} on {path}");
    }

    #[test]
    fn a_star_stays_in_its_folder() {
        check_glob("usr/share/*", "usr/share/man", true);
        check_glob("usr/share/*", "usr/share/man/de", false);
        check_glob("usr/*/perl", "usr/lib/x/perl", false);
    }

    #[test]
    fn two_stars_cross_folders() {
        check_glob("usr/**.py", "usr/lib/python/a.py", true);
        check_glob("usr/**.py", "usr/lib/python/a.pyc", false);
    }

    #[test]
    fn a_later_exclamation_mark_keeps() {
        check_glob("usr/bin/* !usr/bin/bash", "usr/bin/bash", false);
        check_glob("usr/bin/* !usr/bin/bash", "usr/bin/perl", true);
        check_glob("!usr/bin/bash usr/bin/*", "usr/bin/bash", true);
    }

    #[test]
    fn a_pattern_matches_the_whole_path() {
        check_glob("usr/bin", "usr/binary", false);
        check_glob("a*b*c", "axxbyybzc", true);
        check_glob("a*b*c", "axxbyybz", false);
    }
}
