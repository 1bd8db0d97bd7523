//! The hands of a conversation as it sees them: who hears, answers and speaks for all, and its own speaker.
//!
//! Nothing here blocks: a job is taken or refused at once, and what comes of it is told by a callback from another
//! thread, which hands it on as an [`Event`] and does nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use voice::turn::Earcon;

/// Set by whoever no longer waits; whoever works looks at it between two pieces of work, and then calls back no more.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    pub fn stop(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// As whisper's guard and others read it.
    pub fn flag(&self) -> &AtomicBool {
        &self.0
    }
}

/// Whose words are to be heard: who goes first at the ear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Somebody who has let the key go and waits.
    Person,
    /// Somebody who may go on speaking: what others wait for comes first.
    Guess,
    /// A program, by a number of its own: programs take turns behind the persons.
    Program(u64),
}

/// Sound that is to become text: 16 kHz, one channel.
pub struct HearJob {
    pub pcm: Vec<i16>,
    pub who: Who,
    /// What is spoken, where it is not what this node's owner chose.
    pub language: Option<String>,
    pub stop: Stop,
    pub done: Box<dyn FnOnce(HearEnd) + Send>,
}

/// What was heard, and what it took.
#[derive(Debug, Clone, PartialEq)]
pub struct HearEnd {
    /// The text, empty where nobody spoke; or a sentence for a person on why nothing was heard.
    pub text: Result<String, String>,
    /// The node that worked, if not this one.
    pub elsewhere: Option<String>,
    /// Waited for others' work.
    pub waited_s: f64,
    pub worked_s: f64,
    pub cpu_s: f64,
    /// Places of the encoder that were used at last, and whether a first try was doubted.
    pub audio_ctx: usize,
    pub was_doubted: bool,
}

pub trait Hear: Send + Sync {
    fn hear(&self, job: HearJob);

    /// The languages that it understands; none while that is not known.
    fn languages(&self) -> Vec<String> {
        vec![]
    }
}

/// A clause that is to become sound, as `voice::speakable` gives it.
pub struct SpeakJob {
    pub text: String,
    /// Whose conversation it is: talks take turns, a clause each.
    pub talk: u64,
    /// A voice or language of the engine's instead of the owner's choice.
    pub voice: Option<String>,
    pub stop: Stop,
    /// Called for each piece in order, then once with an end.
    pub sink: Box<dyn FnMut(Sound<'_>) + Send>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sound<'a> {
    Piece {
        /// Samples a second, one channel.
        rate: u32,
        pcm: &'a [i16],
    },
    End,
    Failed(&'a str),
}

pub trait Speak: Send + Sync {
    fn speak(&self, job: SpeakJob);

    /// The voices that it has, each named by its language; none while that is not known.
    fn voices(&self) -> Vec<String> {
        vec![]
    }
}

/// What a person said, to be answered.
pub struct AskJob {
    pub text: String,
    /// Whose conversation it is: what was said before counts.
    pub talk: u64,
    pub stop: Stop,
    /// Called for each part in order; the last is an end.
    pub sink: Box<dyn FnMut(Part) + Send>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Who answers and why, for the trace: `intent time`, `local on duet-1 (fastest)`.
    By(String),
    Words(String),
    /// What the workflow did, told before its end.
    Steps(Vec<brain::Step>),
    End,
    /// With a sentence for a person.
    Failed(String),
}

pub trait Answer: Send + Sync {
    fn answer(&self, job: AskJob);
}

/// Where one conversation listens. What it hears comes as `Event::Frame`, and only while that is wanted.
pub trait Microphone: Send {
    fn listen(&mut self, is_wanted: bool);
}

/// Turns from here on are announcements. They are numbered apart: no conversation has so many turns.
pub const ANNOUNCEMENTS: u32 = 1 << 31;

/// Where one conversation is heard. Its queue is as long as what it is given; the talk gives a clause or two ahead.
pub trait Speaker: Send {
    /// Sound of a clause; the first piece of it that leaves is told as `Event::Sounding`.
    fn play(&mut self, turn: u32, clause_idx: u32, rate: u32, pcm: &[i16]);

    /// The clause is whole; its last sample that leaves is told as `Event::Spoken`.
    fn end(&mut self, turn: u32, clause_idx: u32);

    /// Silence within 50 ms, and nothing more of this turn or of earlier ones of its kind.
    fn hush(&mut self, turn: u32);

    fn earcon(&mut self, earcon: Earcon);
}

/// What happens to a conversation, told from any thread.
#[derive(Debug)]
pub enum Event {
    Key(voice::key::Input),
    /// Sound of the microphone, 16 kHz, one channel, 16 to 20 ms.
    Frame(Vec<i16>),
    MicrophoneLost,
    MicrophoneBack,
    Sounding {
        turn: u32,
        clause_idx: u32,
    },
    Spoken {
        turn: u32,
        clause_idx: u32,
    },
    SpeakerLost,
    SpeakerBack,
    Heard {
        wish: u32,
        end: HearEnd,
    },
    Part {
        turn: u32,
        part: Part,
    },
    /// Sound of a clause that was made, to be played.
    Made {
        turn: u32,
        clause_idx: u32,
        made: Made,
    },
    /// Something to be said that nobody asked for now: a timer is over. Passed over while a turn goes on.
    Announce(String),
    /// The owner says otherwise than before.
    Settings(Box<admission::VoiceSettings>),
    /// The conversation is over.
    Close,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Made {
    Piece { rate: u32, pcm: Vec<i16> },
    End,
    Failed(String),
}
