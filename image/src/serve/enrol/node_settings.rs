//! Brings what duet.toml says to all nodes to them, and how good their models were measured to be: signed, with a version
//! that survives this program.

use super::telling::Told;
use super::{Enrolment, Watcher};
use crate::disk::{read_limited, write_whole};
use crate::models::quality;
use crate::releases::unix_now_s;
use crate::serve::Shared;
use admission::{NodeSettings, Quality, SETTINGS_PATH, SETTINGS_TEXT_BYTES_MAX, SignedSettings};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Between two looks at the settings and at who is there.
const TURN: Duration = Duration::from_secs(1);

/// What was told last.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Last {
    /// 0 while nothing was ever told.
    version: u64,
    settings: NodeSettings,
}

impl Last {
    /// What is to be told now: the same, or a next version. A file that was lost begins above what the nodes have.
    fn next(&self, settings: NodeSettings, unix_s: u64) -> Last {
        if settings == self.settings {
            return self.clone();
        }
        Last { version: unix_s.max(self.version.saturating_add(1)), settings }
    }
}

/// Never ends.
pub(super) async fn serve(enrolment: Arc<Enrolment>, shared: Arc<Shared>) {
    let mut told = Told::default();
    let mut last = read(&enrolment.out).unwrap_or_else(|error| {
        shared.desk().note(format!("{error:#}; the nodes are told the settings anew"), shared.now_ms());
        Last::default()
    });
    loop {
        tokio::time::sleep(TURN).await;
        let quality = quality::read(&enrolment.out).unwrap_or_else(|error| {
            let sentence =
                format!("{error:#}; the pages show no quality until `duet bench models` measures it");
            shared.desk().note(sentence, shared.now_ms());
            Quality::default()
        });
        let settings = NodeSettings { quality, ..shared.desk().settings.for_nodes() };
        let next = last.next(settings, unix_now_s());
        if next != last {
            // On disk first, so that no version is ever used for two different texts.
            if let Err(error) = write(&enrolment.out, &next) {
                shared
                    .desk()
                    .note(format!("{error:#}; the nodes keep the settings they have"), shared.now_ms());
                continue;
            }
            last = next;
        }
        let Some(picture) = enrolment.watcher.get().map(Watcher::picture) else { continue };
        if last.version == 0 {
            continue;
        }
        let signed =
            SignedSettings::new(enrolment.lock().authority_secret(), last.version, last.settings.clone());
        let signed = match signed {
            Ok(signed) => signed,
            Err(error) => {
                shared
                    .desk()
                    .note(format!("{error}; the nodes keep the settings they have"), shared.now_ms());
                continue;
            }
        };
        told.tell_all(&picture, SETTINGS_PATH, signed.version(), signed.to_json()).await;
    }
}

fn path(out: &Path) -> PathBuf {
    out.join("state/node-settings.json")
}

fn read(out: &Path) -> Result<Last> {
    let path = path(out);
    match read_limited(&path, SETTINGS_TEXT_BYTES_MAX) {
        Ok(text) => serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Last::default()),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn write(out: &Path, last: &Last) -> Result<()> {
    let text = serde_json::to_string(last).context("writing the nodes' settings as JSON")?;
    write_whole(&path(out), text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_change_is_a_new_version_and_none_is_used_twice() {
        let some = NodeSettings { llm_url: "10.0.0.9:80".parse().ok(), ..NodeSettings::default() };
        let nothing = Last::default().next(NodeSettings::default(), 1000);
        assert_eq!(nothing, Last::default());
        let first = nothing.next(some.clone(), 1000);
        assert_eq!((first.version, first.next(some, 2000)), (1000, first.clone()));
        // Also when the clock went back.
        assert_eq!(first.next(NodeSettings::default(), 5).version, 1001);
    }
}
