//! Which settings hold: the cluster's, and over them what this node was told by page, API, console or voice.
//!
//! What it was told is kept in the agent's folder, so that a crash of the agent forgets nothing; a boot does.

use crate::io::runtime;
use admission::{Detector, KeyManner, VoiceSettings};
use serde::{Deserialize, Serialize};
use std::sync::{Mutex, PoisonError};
use tokio::sync::watch;

const FILE: &str = "voice.json";
/// Longest text of what one node was told.
pub const TOLD_BYTES_MAX: usize = 2048;

/// What one node was told to do otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Over {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub voice: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pitch: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_manner: Option<KeyManner>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hands_free: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guess: Option<bool>,
    /// Empty: the first that there is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub microphone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speaker: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detector: Option<Detector>,
}

impl Over {
    /// What is said here, and beyond it what was said before.
    fn over(self, before: Over) -> Over {
        Over {
            language: self.language.or(before.language),
            voice: self.voice.or(before.voice),
            rate: self.rate.or(before.rate),
            pitch: self.pitch.or(before.pitch),
            volume: self.volume.or(before.volume),
            key_manner: self.key_manner.or(before.key_manner),
            hands_free: self.hands_free.or(before.hands_free),
            guess: self.guess.or(before.guess),
            microphone: self.microphone.or(before.microphone),
            speaker: self.speaker.or(before.speaker),
            detector: self.detector.or(before.detector),
        }
    }

    /// These settings, with what is said here.
    pub fn applied(&self, settings: &VoiceSettings) -> VoiceSettings {
        let mut over = self.clone();
        // The owner's voice speaks the owner's language.
        if over.voice.is_none() && over.language.as_ref().is_some_and(|own| *own != settings.language) {
            over.voice = Some(String::new());
        }
        let device = |over: Option<String>, of: &Option<String>| match over {
            Some(name) => Some(name).filter(|name| !name.is_empty()),
            None => of.clone(),
        };
        VoiceSettings {
            language: over.language.unwrap_or_else(|| settings.language.clone()),
            voice: device(over.voice, &settings.voice),
            rate: over.rate.unwrap_or(settings.rate),
            pitch: over.pitch.unwrap_or(settings.pitch),
            volume: over.volume.unwrap_or(settings.volume),
            keys: settings.keys.clone(),
            key_manner: over.key_manner.unwrap_or(settings.key_manner),
            hands_free: over.hands_free.unwrap_or(settings.hands_free),
            guess: over.guess.unwrap_or(settings.guess),
            microphone: device(over.microphone, &settings.microphone),
            speaker: device(over.speaker, &settings.speaker),
            detector: over.detector.unwrap_or(settings.detector),
            hearing: settings.hearing.clone(),
            time_zone: settings.time_zone.clone(),
            wyoming: settings.wyoming,
        }
    }
}

/// The settings that hold, for whoever follows them.
#[derive(Debug)]
pub struct Force {
    cluster: Mutex<VoiceSettings>,
    over: Mutex<Over>,
    now: watch::Sender<VoiceSettings>,
}

impl Force {
    /// With what an earlier run of the agent was told.
    pub fn new(cluster: VoiceSettings) -> Force {
        let text = runtime::read(FILE, TOLD_BYTES_MAX as u64);
        let kept: Over = serde_json::from_str(&text).unwrap_or_default();
        let over = Some(kept).filter(|over| over.applied(&cluster).check().is_ok()).unwrap_or_default();
        let now = over.applied(&cluster);
        Force { cluster: Mutex::new(cluster), over: Mutex::new(over), now: watch::Sender::new(now) }
    }

    pub fn now(&self) -> VoiceSettings {
        self.now.borrow().clone()
    }

    /// For whoever takes new settings while it runs.
    pub fn follow(&self) -> watch::Receiver<VoiceSettings> {
        self.now.subscribe()
    }

    /// What the owner says to all nodes has changed.
    pub fn set_cluster(&self, settings: VoiceSettings) {
        *self.cluster.lock().unwrap_or_else(PoisonError::into_inner) = settings;
        self.renew();
    }

    /// This node is told otherwise; a sentence where that cannot be.
    pub fn tell(&self, over: Over) -> Result<VoiceSettings, String> {
        let cluster = self.cluster.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut own = self.over.lock().unwrap_or_else(PoisonError::into_inner);
        let over = over.over(own.clone());
        over.applied(&cluster).check().map_err(|error| error.to_string())?;
        *own = over;
        let text = serde_json::to_string(&*own).map_err(|error| error.to_string())?;
        drop(own);
        self.renew();
        // It holds; only a restart of the agent would forget it.
        runtime::write(FILE, text.as_bytes(), runtime::For::Agent)
            .map_err(|error| format!("the settings cannot be kept: {error}"))?;
        Ok(self.now())
    }

    fn renew(&self) {
        let cluster = self.cluster.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let now = self.over.lock().unwrap_or_else(PoisonError::into_inner).applied(&cluster);
        self.now.send_if_modified(|old| {
            let is_new = *old != now;
            *old = now;
            is_new
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_was_told_holds_over_what_the_cluster_says() {
        let force = Force::new(VoiceSettings::default());
        let told = force.tell(Over { volume: Some(30), ..Over::default() }).unwrap();
        assert_eq!(told, VoiceSettings { volume: 30, ..VoiceSettings::default() });
        force.tell(Over { speaker: Some("usb".into()), ..Over::default() }).unwrap();
        force.set_cluster(VoiceSettings { volume: 50, rate: 200, ..VoiceSettings::default() });
        let now = force.now();
        assert_eq!((now.volume, now.rate, now.speaker.as_deref()), (30, 200, Some("usb")));
        force.tell(Over { speaker: Some(String::new()), ..Over::default() }).unwrap();
        assert_eq!(force.now().speaker, None);
    }

    #[test]
    fn the_owners_voice_is_left_with_the_owners_language() {
        let english = VoiceSettings { voice: Some("en-us+f3".into()), ..VoiceSettings::default() };
        let voice = |language: &str, voice: Option<&str>| {
            let over =
                Over { language: Some(language.into()), voice: voice.map(Into::into), ..Over::default() };
            over.applied(&english).voice
        };
        assert_eq!(voice("en", None).as_deref(), Some("en-us+f3"));
        assert_eq!(voice("de", None), None);
        assert_eq!(voice("de", Some("de+f3")).as_deref(), Some("de+f3"));
    }

    #[test]
    fn what_cannot_be_changes_nothing() {
        let force = Force::new(VoiceSettings::default());
        assert!(force.tell(Over { volume: Some(101), ..Over::default() }).is_err());
        assert_eq!(force.now(), VoiceSettings::default());
    }

    #[test]
    fn whoever_follows_hears_of_changes_alone() {
        let force = Force::new(VoiceSettings::default());
        let mut followed = force.follow();
        assert!(!followed.has_changed().unwrap());
        force.set_cluster(VoiceSettings::default());
        assert!(!followed.has_changed().unwrap());
        force.tell(Over { volume: Some(1), ..Over::default() }).unwrap();
        assert_eq!(followed.borrow_and_update().volume, 1);
    }
}
