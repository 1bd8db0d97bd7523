//! The two lists of `buildroot/` that a person keeps for the ELF checks.
//!
//! Both say *why* in every line: an exception without a reason is refused, so
//! that the next reader can judge whether it still holds.

use std::fmt;

/// The file names that errors speak of.
pub const KEEP_FILE: &str = "keep-libraries.list";
pub const FLOOR_FILE: &str = "cpu-floor.list";

/// A library that is loaded by a name no file mentions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keep {
    pub line: usize,
    /// A glob over sonames, as `libnss_*`.
    pub soname: String,
    pub reason: String,
}

/// Code above the CPU floor that is reached only after a look at the processor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allow {
    pub line: usize,
    /// A glob over paths, relative to the root.
    pub path: String,
    /// A glob over symbols; `*` asks the file for evidence of run-time dispatch.
    pub symbol: String,
    /// Names of features as the scan prints them, or `*`.
    pub features: Vec<String>,
    pub reason: String,
}

/// `keep-libraries.list`: `soname-glob  reason`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeepList(pub Vec<Keep>);

/// `cpu-floor.list`: `path-glob  symbol-glob  features  reason`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FloorList(pub Vec<Allow>);

/// A line of a list that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListError {
    /// Fewer words than the line needs.
    Words { line: usize, form: &'static str },
    /// A path that does not start below the root.
    Absolute { line: usize, path: String },
    /// The same thing was said before.
    Twice { line: usize, entry: String },
}

impl fmt::Display for ListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Words { line, form } => write!(f, "line {line}: the form is `{form}`"),
            Self::Absolute { line, path } => {
                write!(f, "line {line}: write {path} without the slash in front")
            }
            Self::Twice { line, entry } => write!(f, "line {line}: {entry} is listed twice"),
        }
    }
}

impl std::error::Error for ListError {}

impl KeepList {
    pub fn parse(text: &str) -> Result<KeepList, ListError> {
        let mut list: Vec<Keep> = Vec::new();
        for (line, words) in lines(text) {
            let form = "soname reason...";
            let [soname, reason @ ..] = words.as_slice() else { return Err(ListError::Words { line, form }) };
            if reason.is_empty() {
                return Err(ListError::Words { line, form });
            }
            if list.iter().any(|keep| keep.soname == *soname) {
                return Err(ListError::Twice { line, entry: soname.to_string() });
            }
            list.push(Keep { line, soname: soname.to_string(), reason: reason.join(" ") });
        }
        Ok(KeepList(list))
    }
}

impl FloorList {
    pub fn parse(text: &str) -> Result<FloorList, ListError> {
        let mut list: Vec<Allow> = Vec::new();
        for (line, words) in lines(text) {
            let allow = parse_allow(line, &words)?;
            if list.iter().any(|old| (&old.path, &old.symbol) == (&allow.path, &allow.symbol)) {
                return Err(ListError::Twice { line, entry: format!("{} {}", allow.path, allow.symbol) });
            }
            list.push(allow);
        }
        Ok(FloorList(list))
    }
}

impl Allow {
    /// Whether the entry speaks of this path.
    pub fn covers_path(&self, path: &str) -> bool {
        glob(&self.path, path)
    }

    /// Whether the entry allows this feature in this symbol.
    pub fn covers(&self, symbol: &str, feature: &str) -> bool {
        glob(&self.symbol, symbol) && self.features.iter().any(|name| name == "*" || name == feature)
    }
}

fn parse_allow(line: usize, words: &[&str]) -> Result<Allow, ListError> {
    let form = "path symbol features reason...";
    let [path, symbol, features, reason @ ..] = words else { return Err(ListError::Words { line, form }) };
    if reason.is_empty() {
        return Err(ListError::Words { line, form });
    }
    if path.starts_with('/') {
        return Err(ListError::Absolute { line, path: path.to_string() });
    }
    Ok(Allow {
        line,
        path: path.to_string(),
        symbol: symbol.to_string(),
        features: features.split(',').map(str::to_string).collect(),
        reason: reason.join(" "),
    })
}

/// Numbered lines as words, without comments and empty lines.
fn lines(text: &str) -> impl Iterator<Item = (usize, Vec<&str>)> {
    text.lines().enumerate().filter_map(|(idx, line)| {
        let line = line.trim();
        let words: Vec<&str> = line.split_whitespace().collect();
        (!line.is_empty() && !line.starts_with('#')).then_some((idx + 1, words))
    })
}

/// `*` stands for any run of characters without a slash, `**` for any run at all.
pub fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    // reached[t]: the pattern so far can end just before text[t].
    let mut reached = vec![false; text.len() + 1];
    reached[0] = true;
    let mut p = 0;
    while p < pattern.len() {
        if pattern[p] != b'*' {
            for t in (0..text.len()).rev() {
                reached[t + 1] = reached[t] && text[t] == pattern[p];
            }
            reached[0] = false;
            p += 1;
            continue;
        }
        let any = pattern[p..].starts_with(b"**");
        for t in 0..text.len() {
            reached[t + 1] |= reached[t] && (any || text[t] != b'/');
        }
        p += if any { 2 } else { 1 };
    }
    reached[text.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_keep(text: &str, want: &str) {
        let got = match KeepList::parse(text) {
            Ok(list) => list.0.iter().map(|k| format!("{}: {}\n", k.soname, k.reason)).collect(),
            Err(error) => format!("error: {error}"),
        };
        assert_eq!(got, want);
    }

    fn check_floor(text: &str, want: &str) {
        let got = match FloorList::parse(text) {
            Ok(list) => {
                list.0.iter().map(|a| format!("{}|{}|{}\n", a.path, a.symbol, a.features.join("+"))).collect()
            }
            Err(error) => format!("error: {error}"),
        };
        assert_eq!(got, want);
    }

    fn check_glob(pattern: &str, text: &str, want: bool) {
        assert_eq!(glob(pattern, text), want, "{pattern} {text}");
    }

    #[test]
    fn a_kept_library_has_a_reason() {
        check_keep("# why\n\nlibgcc_s.so.1  loaded by libc\n", "libgcc_s.so.1: loaded by libc\n");
    }

    #[test]
    fn a_kept_library_without_a_reason_is_an_error() {
        check_keep("\nlibgcc_s.so.1\n", "error: line 2: the form is `soname reason...`");
    }

    #[test]
    fn a_library_kept_twice_is_an_error() {
        check_keep("a.so x\na.so y\n", "error: line 2: a.so is listed twice");
    }

    #[test]
    fn an_exception_names_path_symbol_and_features() {
        check_floor(
            "usr/lib/libz*  crc32_*  PCLMULQDQ,SSE4_1  by cpuid",
            "usr/lib/libz*|crc32_*|PCLMULQDQ+SSE4_1\n",
        );
    }

    #[test]
    fn an_exception_without_a_reason_is_an_error() {
        check_floor("usr/bin/x * *", "error: line 1: the form is `path symbol features reason...`");
    }

    #[test]
    fn an_exception_with_an_absolute_path_is_an_error() {
        check_floor("/usr/bin/x * * y", "error: line 1: write /usr/bin/x without the slash in front");
    }

    #[test]
    fn a_star_stays_within_a_folder() {
        check_glob("usr/lib/*.so", "usr/lib/a.so", true);
        check_glob("usr/lib/*.so", "usr/lib/x/a.so", false);
        check_glob("usr/lib/**.so", "usr/lib/x/a.so", true);
    }

    #[test]
    fn a_glob_matches_the_whole_text() {
        check_glob("a*c", "abcabc", true);
        check_glob("a*c", "abcab", false);
        check_glob("", "", true);
        check_glob("*", "", true);
        check_glob("", "x", false);
    }

    #[test]
    fn many_stars_take_no_longer_than_the_product_of_both_lengths() {
        check_glob(&"*a".repeat(200), &"a".repeat(2000), true);
        check_glob(&("*a".repeat(200) + "b"), &"a".repeat(2000), false);
    }
}
