//! The microphone and the speaker of this PC, for one conversation: two threads, and how they are told.

use super::echo::Echo;
use super::finding::Wanted;
use super::inbox::Mouthpiece;
use super::lent::Lent;
use super::playing::Playing;
use super::recording::{Earpiece, Recording};
use super::state::{Shown, SoundState};
use crate::talk::Post;
use admission::VoiceSettings;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Instant;

/// What it does ends with it.
#[derive(Debug)]
pub struct LocalSound {
    ear: Earpiece,
    mouth: Mouthpiece,
    wanted: [Arc<Wanted>; 2],
    shown: [Shown; 2],
    echo: Echo,
    threads: Vec<JoinHandle<()>>,
}

impl LocalSound {
    /// What happens is told to `post`; cards are looked for below `root`, which is `/`, and let go while they are `lent`.
    pub fn start(root: &Path, settings: &VoiceSettings, post: &Post, lent: &Lent) -> io::Result<LocalSound> {
        let wishes = [&settings.microphone, &settings.speaker];
        let mut sound = LocalSound {
            ear: Earpiece::default(),
            mouth: Mouthpiece::default(),
            wanted: wishes.map(|wish| Arc::new(Wanted::new(root, wish.as_deref(), lent))),
            shown: Default::default(),
            echo: Echo::new(Instant::now()),
            threads: Vec::new(),
        };
        sound.echo.set_half_duplex(settings.hands_free);
        let [microphone, speaker] = sound.wanted.clone();
        let [heard, played] = sound.shown.clone();
        let recording = Recording {
            ears: sound.ear.0.clone(),
            wanted: microphone,
            post: post.clone(),
            shown: heard,
            echo: sound.echo.clone(),
        };
        let playing = Playing {
            inbox: sound.mouth.0.clone(),
            wanted: speaker,
            post: post.clone(),
            shown: played,
            echo: sound.echo.clone(),
            volume: settings.volume,
        };
        sound.threads.push(Builder::new().name("microphone".into()).spawn(|| recording.run())?);
        sound.threads.push(Builder::new().name("speaker".into()).spawn(|| playing.run())?);
        Ok(sound)
    }

    pub fn microphone(&self) -> Earpiece {
        self.ear.clone()
    }

    pub fn speaker(&self) -> Mouthpiece {
        self.mouth.clone()
    }

    /// What the owner says now: devices, volume, hands-free.
    pub fn set(&self, settings: &VoiceSettings) {
        self.echo.set_half_duplex(settings.hands_free);
        self.mouth.set_volume(settings.volume);
        let [microphone, speaker] = &self.wanted;
        if microphone.set(settings.microphone.as_deref()) {
            self.ear.0.call();
        }
        if speaker.set(settings.speaker.as_deref()) {
            self.mouth.0.call();
        }
    }

    pub fn state(&self) -> SoundState {
        let [microphone, speaker] = &self.shown;
        SoundState { microphone: microphone.get(), speaker: speaker.get() }
    }
}

impl Drop for LocalSound {
    fn drop(&mut self) {
        self.ear.0.close();
        self.mouth.0.close();
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so itself.
            _ = thread.join();
        }
    }
}
