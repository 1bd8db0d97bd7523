//! `out/releases/promoted`: one release id to a line, newest first.
//!
//! Line 1 is what PCs get, line 2 is what they fall back to.

use crate::{Error, ReleaseId};

/// Most releases kept on the list.
pub const PROMOTED_MAX: usize = 100;

/// Longest list.
pub const PROMOTED_BYTES_MAX: usize = 16 * 1024;

const WHAT: &str = "the list of promoted releases";

/// Reads the list; an empty file is an empty list.
pub fn parse_promoted(bytes: &[u8]) -> Result<Vec<ReleaseId>, Error> {
    if bytes.len() > PROMOTED_BYTES_MAX {
        return Err(Error::TooLong { what: WHAT, bytes_max: PROMOTED_BYTES_MAX });
    }
    let text = std::str::from_utf8(bytes).map_err(|_| Error::NotText { what: WHAT })?;
    let mut ids: Vec<ReleaseId> = Vec::new();
    for (idx, line) in text.lines().enumerate() {
        let wrong = |want| Error::Line { what: WHAT, line: idx + 1, want };
        let id = ReleaseId::parse(line).map_err(|_| wrong("one release id to a line"))?;
        if ids.contains(&id) {
            return Err(wrong("this release is listed twice"));
        }
        if ids.len() == PROMOTED_MAX {
            return Err(wrong("at most 100 releases can be promoted"));
        }
        ids.push(id);
    }
    Ok(ids)
}

pub fn render_promoted(ids: &[ReleaseId]) -> String {
    ids.iter().map(|id| format!("{id}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, want: &str) {
        let got = parse_promoted(text.as_bytes());
        assert_eq!(got.map_or_else(|e| format!("error: {e}"), |ids| render_promoted(&ids)), want);
    }

    #[test]
    fn the_order_of_the_lines_is_kept() {
        check("", "");
        check("b\na\n", "b\na\n");
    }

    #[test]
    fn a_bad_line_is_an_error_that_names_it() {
        let head = "error: the list of promoted releases, line";
        check("a\n../b\n", &format!("{head} 2: one release id to a line"));
        check("a\n\n", &format!("{head} 2: one release id to a line"));
        check("a\nb\na\n", &format!("{head} 3: this release is listed twice"));
    }

    #[test]
    fn the_list_has_an_end() {
        let list: String = (0..101).map(|n| format!("r{n}\n")).collect();
        check(&list, "error: the list of promoted releases, line 101: at most 100 releases can be promoted");
    }
}
