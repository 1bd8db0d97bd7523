//! Brings the catalogue of `OUT/models` up to date: reads what is new there, gives it a version and signs it.
//!
//! The nodes come for it themselves, and tell each other, so that it is known while this program does not run.

use super::Enrolment;
use crate::disk::{read_limited, write_whole};
use crate::releases::unix_now_s;
use crate::serve::Shared;
use crate::serve::models::Models;
use admission::{CATALOGUE_BYTES_MAX, CatalogueFile, SignedCatalogue};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Between two looks at the folder.
const TURN: Duration = Duration::from_secs(2);

/// What was signed last.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Last {
    /// 0 while nothing was ever signed.
    version: u64,
    files: Vec<CatalogueFile>,
}

impl Last {
    /// What holds now: the same, or a next version. A file that was lost begins above what the nodes have.
    fn next(&self, files: Vec<CatalogueFile>, unix_s: u64) -> Last {
        if self.version > 0 && files == self.files {
            return self.clone();
        }
        Last { version: unix_s.max(self.version.saturating_add(1)), files }
    }
}

/// Never ends.
pub(super) async fn serve(enrolment: Arc<Enrolment>, shared: Arc<Shared>) {
    let mut last = read(&enrolment.out).unwrap_or_else(|error| {
        shared.desk().note(format!("{error:#}; the catalogue of models is made anew"), shared.now_ms());
        Last::default()
    });
    let mut models = Models::default();
    let mut signed: Option<u64> = None;
    loop {
        let out = enrolment.out.clone();
        // A large model is read for seconds, on a thread of its own.
        let old = models.clone();
        let Ok(found) = tokio::task::spawn_blocking(move || Models::read(&out, &old)).await else { return };
        models = found;
        for sentence in &models.refused {
            shared.desk().note(sentence.clone(), shared.now_ms());
        }
        let next = last.next(models.told(), unix_now_s());
        if next != last || signed != Some(next.version) {
            match sign(&enrolment, &next) {
                Ok(text) => {
                    models.catalogue = Some(text.into());
                    signed = Some(next.version);
                    last = next;
                }
                Err(error) => {
                    let sentence =
                        format!("{error:#}; the nodes keep the catalogue of models that they have");
                    shared.desk().note(sentence, shared.now_ms());
                }
            }
        }
        shared.desk().models = models.clone();
        tokio::time::sleep(TURN).await;
    }
}

/// On disk first, so that no version is ever used for two different texts.
fn sign(enrolment: &Enrolment, next: &Last) -> Result<String> {
    let text = serde_json::to_string(next).context("writing the catalogue of models as JSON")?;
    write_whole(&path(&enrolment.out), text.as_bytes())?;
    let files = next.files.clone();
    let signed = SignedCatalogue::new(enrolment.lock().authority_secret(), next.version, files);
    Ok(signed.context("signing the catalogue of models")?.to_json())
}

fn path(out: &Path) -> PathBuf {
    out.join("state/models.json")
}

fn read(out: &Path) -> Result<Last> {
    let path = path(out);
    match read_limited(&path, CATALOGUE_BYTES_MAX) {
        Ok(text) => serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Last::default()),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use admission::ModelUse;

    #[test]
    fn only_a_change_is_a_new_version_and_none_is_used_twice() {
        let file = CatalogueFile {
            file: "a.gguf".into(),
            purpose: ModelUse::Language,
            bytes: 1,
            blake3: "ab".repeat(32),
            memory_mib: 1,
            model: None,
            shape: None,
        };
        let first = Last::default().next(vec![file.clone()], 1000);
        assert_eq!((first.version, first.next(vec![file], 2000)), (1000, first.clone()));
        // Also when the clock went back, and an empty shelf is a catalogue too.
        assert_eq!(first.next(vec![], 5).version, 1001);
        assert_eq!(Last::default().next(vec![], 5).version, 5);
    }
}
