//! What a person sees of the sound of this node: on the page, on the console and as JSON.

use serde::Serialize;
use std::sync::{Arc, Mutex, PoisonError};

/// The microphone's side of it, or the speaker's.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct SideState {
    /// ALSA's name of the device that is open.
    pub device: Option<String>,
    /// What the kernel calls its card.
    pub card: Option<String>,
    /// Samples a second, as the card gives or takes them, and its channels.
    pub rate: u32,
    pub channels: u32,
    /// Whether it records or plays at this moment.
    pub is_running: bool,
    /// How often it had too little or too much, and went on.
    pub n_xruns: u64,
    /// Frames or pieces that nobody took in time.
    pub n_lost: u64,
    /// The loudest of late, in dB below the loudest that there is; while it records only.
    pub peak_db: Option<f32>,
    /// Why there is none, or none that was wished for, in a sentence.
    pub reason: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct SoundState {
    pub microphone: SideState,
    pub speaker: SideState,
}

/// One side, as the thread that has it shows it to others.
#[derive(Debug, Clone, Default)]
pub struct Shown(Arc<Mutex<SideState>>);

impl Shown {
    pub fn get(&self) -> SideState {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn change(&self, change: impl FnOnce(&mut SideState)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Closed, for this reason; what was counted stays.
    pub fn closed(&self, reason: &str) {
        self.change(|state| {
            *state = SideState {
                n_xruns: state.n_xruns,
                n_lost: state.n_lost,
                reason: Some(reason.to_string()),
                ..SideState::default()
            };
        });
    }
}
