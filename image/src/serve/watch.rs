//! Looks every second whether releases or settings changed, and keeps what is to survive a restart.

use super::files::{self, Look, Table};
use super::settings::{SETTINGS_BYTES_MAX, Settings, TEMPLATE};
use super::{Shared, store};
use crate::disk::{read_limited, write_whole};
use crate::releases::unix_now_s;
use anyhow::{Context, Result};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

const TURN: Duration = Duration::from_secs(1);
/// A folder can change twice within one tick of its file system's clock; so it is looked at again after so many turns.
const TURNS_MAX: u32 = 30;

pub fn settings_path(out: &Path) -> PathBuf {
    out.join("state/duet.toml")
}

/// What was there when it was last read.
#[derive(Default)]
pub struct Watch {
    look: Option<Look>,
    settings: Option<(SystemTime, u64)>,
    turns: u32,
}

/// Makes the state folder and the settings template where they are missing.
pub fn prepare(out: &Path) -> Result<()> {
    let state = out.join("state");
    std::fs::create_dir_all(&state).with_context(|| format!("cannot make {}", state.display()))?;
    let path = settings_path(out);
    if path.exists() {
        return Ok(());
    }
    write_whole(&path, TEMPLATE.as_bytes())
}

/// Watches for ever.
pub async fn serve(mut watch: Watch, out: PathBuf, shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(TURN).await;
        // A slow disk holds up this thread and nothing else.
        let (out, shared) = (out.clone(), shared.clone());
        let turned = tokio::task::spawn_blocking(move || {
            watch.turn(&out, &shared);
            save(&out, &shared);
            watch
        });
        let Ok(turned) = turned.await else { return };
        watch = turned;
    }
}

impl Watch {
    pub fn turn(&mut self, out: &Path, shared: &Shared) {
        self.turns = (self.turns + 1) % TURNS_MAX;
        let look = Some(files::look(out));
        if self.look != look || self.turns == 0 {
            self.look = look;
            read_releases(out, shared);
        }
        let path = settings_path(out);
        let settings = std::fs::metadata(&path).and_then(|meta| Ok((meta.modified()?, meta.len()))).ok();
        if self.settings != settings {
            self.settings = settings;
            read_settings(&path, shared);
        }
    }
}

/// Offers what is in the folder now; a folder that cannot be read changes nothing.
fn read_releases(out: &Path, shared: &Shared) {
    let table = Table::read(out);
    let now_ms = shared.now_ms();
    let mut desk = shared.desk();
    match table {
        Ok(table) => {
            for sentence in &table.refused {
                desk.note(sentence.clone(), now_ms);
            }
            let before = desk.table.promoted.first().cloned();
            if before.is_some() && table.promoted.first() != before.as_ref() {
                let sentence = match table.promoted.first() {
                    Some(id) => format!("PCs now get {id}"),
                    None => "there is no promoted release any more: run `duet build`".to_owned(),
                };
                desk.note(sentence, now_ms);
            }
            desk.table = table;
        }
        Err(error) => desk.note(format!("{error:#}; the releases from before are offered"), now_ms),
    }
}

/// Takes new settings; a mistake keeps those from before.
fn read_settings(path: &Path, shared: &Shared) {
    let read = match read_limited(path, SETTINGS_BYTES_MAX) {
        Ok(text) => Settings::parse(&text).map_err(|error| error.to_string()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Settings::default()),
        Err(error) => Err(error.to_string()),
    };
    let now_ms = shared.now_ms();
    let mut desk = shared.desk();
    match read {
        Ok(settings) => desk.set_settings(settings),
        Err(why) => {
            desk.note(format!("{}, {why}; the settings from before stay in force", path.display()), now_ms)
        }
    }
}

/// Keeps what changed. A full disk is told and does not stop the boots.
pub fn save(out: &Path, shared: &Shared) {
    let _one = shared.saving.lock().unwrap_or_else(PoisonError::into_inner);
    let kept = {
        let mut desk = shared.desk();
        if !desk.unsaved {
            return;
        }
        desk.unsaved = false;
        desk.kept(unix_now_s())
    };
    if let Err(error) = store::save(out, &kept) {
        let now_ms = shared.now_ms();
        let mut desk = shared.desk();
        desk.unsaved = true;
        desk.note(format!("{error:#}; boots are counted, but would be forgotten by a restart"), now_ms);
    }
}
