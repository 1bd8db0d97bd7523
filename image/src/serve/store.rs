//! What survives a restart: `out/state/pcs.json`, with the gate's counts, how each PC last fared, and leases.
//!
//! A file that cannot be read is kept aside and told; the server starts without it.

use super::pcs::Last;
use crate::disk::{read_limited, write_whole};
use anyhow::{Context, Result};
use netboot::Mac;
use netboot::gate::{self, Attempt, Gate, Try};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

/// 4096 PCs with all they may hold stay below this.
const STATE_BYTES_MAX: usize = 16 * 1024 * 1024;
const FORMAT: u32 = 1;

/// All that is kept.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Kept {
    pub gate: Gate,
    pub last: BTreeMap<Mac, Last>,
    pub leases: Vec<KeptLease>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptLease {
    pub mac: String,
    pub address: Ipv4Addr,
    pub until_unix_s: u64,
}

#[derive(Serialize, Deserialize)]
struct Document {
    format: u32,
    newest: Option<String>,
    turn: u64,
    #[serde(default)]
    forgotten: u32,
    pcs: BTreeMap<String, PcRecord>,
    leases: Vec<KeptLease>,
}

#[derive(Default, Serialize, Deserialize)]
struct PcRecord {
    attempts: u32,
    seen: u64,
    tries: Vec<TryRecord>,
    open: Vec<AttemptRecord>,
    last: Option<Last>,
}

#[derive(Serialize, Deserialize)]
struct TryRecord {
    release: String,
    fetched: u32,
    healthy: bool,
}

#[derive(Serialize, Deserialize)]
struct AttemptRecord {
    number: u32,
    release: String,
    fetched: bool,
}

pub fn path(out: &Path) -> PathBuf {
    out.join("state/pcs.json")
}

/// Reads what was kept. A damaged file is moved aside; the sentence about it comes second.
pub fn load(out: &Path) -> Result<(Kept, Option<String>)> {
    let path = path(out);
    let damage = match read_limited(&path, STATE_BYTES_MAX) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok((Kept::default(), None)),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            return Err(error).with_context(|| format!("cannot read {}", path.display()));
        }
        Err(error) => error.to_string(),
        Ok(text) => match parse(&text) {
            Ok(kept) => return Ok((kept, None)),
            Err(why) => why,
        },
    };
    let aside = path.with_extension("json.damaged");
    std::fs::rename(&path, &aside).with_context(|| format!("cannot move {} aside", path.display()))?;
    let sentence = format!(
        "{} is damaged ({damage}); it was kept as {}, and boots are counted anew",
        path.display(),
        aside.display()
    );
    Ok((Kept::default(), Some(sentence)))
}

pub fn save(out: &Path, kept: &Kept) -> Result<()> {
    let path = path(out);
    write_whole(&path, render(kept).as_bytes())
}

fn parse(text: &str) -> Result<Kept, String> {
    let document: Document = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if document.format != FORMAT {
        return Err(format!("it has format {} and not {FORMAT}", document.format));
    }
    let mut kept = Kept { leases: document.leases, ..Kept::default() };
    kept.gate.newest = document.newest;
    kept.gate.turn = document.turn;
    kept.gate.forgotten = document.forgotten;
    for (mac, record) in document.pcs {
        let mac: Mac = mac.parse().map_err(|error| format!("{error}"))?;
        if let Some(last) = &record.last {
            kept.last.insert(mac, last.clone());
        }
        kept.gate.pcs.insert(mac, gate_pc(record));
    }
    kept.gate.bound();
    Ok(kept)
}

fn gate_pc(record: PcRecord) -> gate::Pc {
    let tries = record.tries.into_iter();
    let open = record.open.into_iter();
    gate::Pc {
        attempts: record.attempts,
        seen: record.seen,
        tries: tries.map(|t| Try { release: t.release, fetched: t.fetched, healthy: t.healthy }).collect(),
        open: open.map(|a| Attempt { number: a.number, release: a.release, fetched: a.fetched }).collect(),
    }
}

fn render(kept: &Kept) -> String {
    let record = |(mac, pc): (&Mac, &gate::Pc)| {
        let tries = pc.tries.iter().cloned();
        let open = pc.open.iter().cloned();
        let record = PcRecord {
            attempts: pc.attempts,
            seen: pc.seen,
            tries: tries
                .map(|t| TryRecord { release: t.release, fetched: t.fetched, healthy: t.healthy })
                .collect(),
            open: open
                .map(|a| AttemptRecord { number: a.number, release: a.release, fetched: a.fetched })
                .collect(),
            last: kept.last.get(mac).cloned(),
        };
        (mac.to_string(), record)
    };
    let document = Document {
        format: FORMAT,
        newest: kept.gate.newest.clone(),
        turn: kept.gate.turn,
        forgotten: kept.gate.forgotten,
        pcs: kept.gate.pcs.iter().map(record).collect(),
        leases: kept.leases.clone(),
    };
    serde_json::to_string_pretty(&document).expect("the state has only plain values") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Mac = Mac([0x52, 0x54, 0, 0x77, 0, 1]);

    fn kept() -> Kept {
        let mut kept = Kept::default();
        let decision = kept.gate.begin(&["trixie-1".to_owned()], A).expect("a decision");
        kept.gate.fetched(A, decision.attempt);
        kept.gate.forgotten = 7;
        kept.last.insert(A, Last { release: "trixie-1".to_owned(), healthy: true, unix_s: 9 });
        kept.leases.push(KeptLease {
            mac: A.to_string(),
            address: [10, 77, 0, 100].into(),
            until_unix_s: 99,
        });
        kept
    }

    /// Writes `text` as the state and says what is read, what is told and whether it was kept aside.
    fn check(name: &str, text: &str, want: (&Kept, &str, bool)) {
        let out = std::env::temp_dir().join(format!("duet-store-{}-{name}", std::process::id()));
        std::fs::create_dir_all(out.join("state")).unwrap();
        std::fs::write(path(&out), text).unwrap();
        let (kept, sentence) = load(&out).unwrap();
        let aside = out.join("state/pcs.json.damaged").exists();
        save(&out, &kept).unwrap();
        let again = load(&out).unwrap();
        std::fs::remove_dir_all(&out).unwrap();
        assert_eq!(again, (kept.clone(), None));
        let sentence = sentence.unwrap_or_default();
        assert!(sentence.contains(want.1) && (want.1.is_empty() == sentence.is_empty()), "{sentence}");
        assert_eq!((&kept, aside), (want.0, want.2));
    }

    #[test]
    fn what_was_kept_comes_back() {
        check("back", &render(&kept()), (&kept(), "", false));
    }

    #[test]
    fn a_damaged_state_is_kept_aside_and_told() {
        let whole = render(&kept());
        check("half", &whole[..whole.len() / 2], (&Kept::default(), "is damaged (EOF", true));
        check("garbage", "\u{1}\u{2}", (&Kept::default(), "is damaged (expected value", true));
        check(
            "format",
            &whole.replace("\"format\": 1", "\"format\": 7"),
            (&Kept::default(), "it has format 7", true),
        );
        check(
            "mac",
            &whole.replace(&A.to_string(), "x"),
            (&Kept::default(), "six pairs of hex digits", true),
        );
    }
}
