//! Brings the owner's API keys to the nodes. The file is the owner's (`duet keys`); here it is signed.

use super::telling::Told;
use super::{Enrolment, Watcher};
use crate::keys;
use crate::serve::Shared;
use admission::{API_KEYS_PATH, ApiKeyFile, ApiKeys};
use std::sync::Arc;
use std::time::Duration;

/// Between two looks at the file and at who is there.
const TURN: Duration = Duration::from_secs(1);

/// Never ends.
pub(super) async fn serve(enrolment: Arc<Enrolment>, shared: Arc<Shared>) {
    let (mut told, mut list): (Told, Option<(ApiKeyFile, ApiKeys)>) = Default::default();
    loop {
        tokio::time::sleep(TURN).await;
        match keys::read(&enrolment.out) {
            Ok(Some(file)) if list.as_ref().is_none_or(|(old, _)| *old != file) => {
                let signed = ApiKeys::new(enrolment.lock().authority_secret(), &file);
                list = signed.ok().map(|signed| (file, signed));
            }
            // A file that is gone changes nothing: only `duet keys remove` takes a key away.
            Ok(_) => {}
            Err(error) => {
                let sentence = format!("{error:#}; the nodes keep the API keys that they have");
                shared.desk().note(sentence, shared.now_ms());
            }
        }
        let Some(picture) = enrolment.watcher.get().map(Watcher::picture) else { continue };
        let Some((_, list)) = &list else { continue };
        told.tell_all(&picture, API_KEYS_PATH, list.version(), list.to_json()).await;
    }
}
