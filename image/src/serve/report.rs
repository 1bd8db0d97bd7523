//! A node's report, read strictly: what comes out is the contract's own type.
//!
//! The node writes it without a JSON library ([`Report::to_json`]); here is the other half.
//! Fields that a newer node may add are skipped. It does not know which attempt is under way.

use release::{Mac, REPORT_BYTES_MAX, ReleaseId, Report, Stage};
use serde::Deserialize;

#[derive(Deserialize)]
struct Document {
    mac: String,
    attempt: u32,
    release: String,
    stage: String,
    #[serde(default)]
    sentence: String,
    #[serde(default)]
    clock: u64,
}

/// Reads a report, or nothing where this is none.
pub fn parse(body: &[u8]) -> Option<Report> {
    if body.len() > REPORT_BYTES_MAX {
        return None;
    }
    let document: Document = serde_json::from_slice(body).ok()?;
    Some(Report {
        mac: Mac::parse(&document.mac).ok()?,
        attempt: document.attempt,
        release: ReleaseId::parse(&document.release).ok()?,
        stage: Stage::parse(&document.stage)?,
        sentence: document.sentence,
        clock: document.clock,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"mac":"52:54:00:77:00:01","attempt":3,"release":"trixie-1","stage":"healthy"}"#;

    fn report(stage: Stage, sentence: &str) -> Report {
        let release = ReleaseId::parse("trixie-1").unwrap();
        let mac = Mac([0x52, 0x54, 0, 0x77, 0, 1]);
        Report { mac, attempt: u32::MAX, release, stage, sentence: sentence.to_owned(), clock: u64::MAX }
    }

    /// Puts `to` in the place of `from` in a good report and says whether it is still one.
    fn check(from: &str, to: &str, want: bool) {
        assert!(GOOD.contains(from));
        assert_eq!(parse(GOOD.replace(from, to).as_bytes()).is_some(), want, "{from} -> {to}");
    }

    #[test]
    fn every_report_that_a_node_writes_is_read_as_it_was_meant() {
        let ugly = "a\"b\\c\n\r\t\0\u{1b}[2J\u{7f} é 語 </script>";
        for (stage, sentence) in Stage::ALL.into_iter().zip(["", "root.squashfs is cut", ugly, "{}"]) {
            let meant = report(stage, sentence);
            assert_eq!(parse(meant.to_json().as_bytes()), Some(meant));
        }
    }

    #[test]
    fn the_longest_sentence_comes_through_whole() {
        let meant = report(Stage::Failed, &"\0".repeat(release::SENTENCE_BYTES_MAX));
        assert_eq!(parse(meant.to_json().as_bytes()), Some(meant));
    }

    #[test]
    fn sentence_and_clock_may_be_left_out_and_new_fields_are_skipped() {
        let read = parse(GOOD.as_bytes()).unwrap();
        assert_eq!((read.sentence.as_str(), read.clock), ("", 0));
        check("\"attempt\":3", "\"attempt\":3,\"new\":[1]", true);
    }

    #[test]
    fn a_field_that_breaks_the_contract_makes_it_no_report() {
        check("52:54:00:77:00:01", "52:54:00:77:00", false);
        check("trixie-1", "../keys", false);
        check("healthy", "Healthy", false);
        check("healthy", "asked", false);
        check("\"attempt\":3", "\"attempt\":-1", false);
        check("\"attempt\":3", "\"attempt\":4294967296", false);
        check("\"attempt\":3", "\"attempt\":3,\"attempt\":4", false);
        check(",\"stage\":\"healthy\"", "", false);
        check("}", "} x", false);
    }

    #[test]
    fn a_report_of_more_than_4096_bytes_is_not_read() {
        let padded = |n| format!("{GOOD}{}", " ".repeat(n - GOOD.len()));
        assert!(parse(padded(4096).as_bytes()).is_some());
        assert!(parse(padded(4097).as_bytes()).is_none());
    }
}
