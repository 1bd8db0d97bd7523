//! Hands that do nothing by themselves, and a clock that is turned by hand.

use super::news::Board;
use super::parts::*;
use super::{Events, Own, Shared, Talk, Told, post};
use crate::hear::detect::{Detector, FRAME};
use admission::VoiceSettings;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::broadcast;
use voice::key::{Input, Source};
use voice::turn::Earcon;

/// What the hands were asked for, and the jobs that nobody works on yet.
#[derive(Default)]
pub struct Hands {
    pub told: Vec<String>,
    pub hearing: Vec<HearJob>,
    pub asking: Vec<AskJob>,
    pub speaking: Vec<SpeakJob>,
}

#[derive(Clone, Default)]
pub struct Fake(pub Arc<Mutex<Hands>>);

impl Fake {
    fn told(&self, what: String) {
        self.0.lock().unwrap().told.push(what);
    }
}

impl Hear for Fake {
    fn hear(&self, job: HearJob) {
        let what = if job.who == Who::Guess { "guess" } else { "hear" };
        self.told(format!("{what}({})", voice::ms(job.pcm.len())));
        self.0.lock().unwrap().hearing.push(job);
    }
}

impl Speak for Fake {
    fn speak(&self, job: SpeakJob) {
        self.told(format!("make({})", job.text));
        self.0.lock().unwrap().speaking.push(job);
    }
}

impl Answer for Fake {
    fn answer(&self, job: AskJob) {
        self.told(format!("ask({})", job.text));
        self.0.lock().unwrap().asking.push(job);
    }
}

impl Speaker for Fake {
    fn play(&mut self, turn: u32, clause_idx: u32, _rate: u32, pcm: &[i16]) {
        self.told(format!("play#{turn}.{clause_idx}({})", pcm.len()));
    }

    fn end(&mut self, turn: u32, clause_idx: u32) {
        self.told(format!("end#{turn}.{clause_idx}"));
    }

    fn hush(&mut self, turn: u32) {
        self.told(format!("hush#{turn}"));
    }

    fn earcon(&mut self, earcon: Earcon) {
        self.told(format!("{earcon:?}!"));
    }
}

impl Microphone for Fake {
    fn listen(&mut self, is_wanted: bool) {
        self.told(if is_wanted { "mic" } else { "no-mic" }.into());
    }
}

/// Loud is a voice.
pub struct Loud;

impl Detector for Loud {
    fn is_voice(&mut self, frame: &[i16; FRAME]) -> bool {
        frame[0] > 1000
    }

    fn reset(&mut self) {}
}

pub struct Stage {
    pub talk: Talk,
    pub now: Duration,
    pub fake: Fake,
    pub events: Events,
    pub news: broadcast::Receiver<Told>,
    pub board: Arc<Board>,
}

pub const KEY: Source = Source::Key { device: 1, code: 97 };

impl Stage {
    pub fn new(settings: VoiceSettings) -> Stage {
        let fake = Fake::default();
        let (post, events) = post();
        let (sender, news) = broadcast::channel(64);
        let board = Arc::new(Board::new(1, sender));
        let served = Arc::new(fake.clone());
        let shared = Shared { ear: served.clone(), mouth: served.clone(), mind: served };
        let speaker = Box::new(fake.clone());
        let own = Own { speaker, microphone: Box::new(fake.clone()), detector: Box::new(Loud) };
        let talk = Talk::new(1, "here".into(), (shared, own), post, board.clone(), settings);
        Stage { talk, now: Duration::from_secs(50), fake, events, news, board }
    }

    pub fn handle(&mut self, event: Event) {
        self.talk.handle(self.now, event);
        self.deliver();
    }

    /// What hands have told meanwhile.
    pub fn deliver(&mut self) {
        while let Some(event) = self.events.try_next() {
            self.talk.handle(self.now, event);
        }
    }

    /// Time goes by, and the conversation is woken when it wants to be.
    pub fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        let mut n = 0;
        while let Some(due) = self.talk.deadline().filter(|due| *due <= end) {
            n += 1;
            assert!(n < 1000, "its deadlines stand still at {due:?}");
            self.now = self.now.max(due);
            self.talk.tick(self.now);
        }
        self.now = end;
    }

    pub fn sound(&mut self, length_ms: u64, level: i16) {
        for _ in 0..length_ms / 16 {
            self.wait(Duration::from_millis(16));
            self.handle(Event::Frame(vec![level; FRAME]));
        }
    }

    fn job<T>(&mut self, of: impl FnOnce(&mut Hands) -> &mut Vec<T>) -> T {
        let mut hands = self.fake.0.lock().unwrap();
        let jobs = of(&mut hands);
        assert!(!jobs.is_empty(), "nobody asked for it");
        jobs.remove(0)
    }

    fn act(&mut self, word: &str, rest: &str) {
        let number = || rest.parse::<u64>().unwrap();
        match word {
            "press" => self.handle(Event::Key(Input::Down(KEY))),
            "release" => {
                self.handle(Event::Key(Input::Up(KEY)));
                self.wait(Duration::from_millis(15));
            }
            "voice" => self.sound(number(), 8000),
            "silence" => self.sound(number(), 0),
            "wait" => self.wait(Duration::from_millis(number())),
            "text" => {
                let job = self.job(|hands| &mut hands.hearing);
                (job.done)(heard(Ok(rest.into())));
            }
            "deaf" => {
                let job = self.job(|hands| &mut hands.hearing);
                (job.done)(heard(Err(rest.into())));
            }
            "words" | "answered" | "failed" => {
                let mut hands = self.fake.0.lock().unwrap();
                let sink = &mut hands.asking.last_mut().expect("somebody is asked").sink;
                match word {
                    "words" => sink(Part::Words(rest.into())),
                    "answered" => sink(Part::End),
                    _ => sink(Part::Failed(rest.into())),
                }
            }
            "made" => {
                let mut job = self.job(|hands| &mut hands.speaking);
                (job.sink)(Sound::Piece { rate: 22_050, pcm: &[7; 100] });
                (job.sink)(Sound::End);
            }
            "dumb" => {
                let mut job = self.job(|hands| &mut hands.speaking);
                (job.sink)(Sound::Failed(rest));
            }
            "sounding" => self.handle(Event::Sounding { turn: 1, clause_idx: 0 }),
            "spoken" => {
                let (turn, clause_idx) = rest.split_once('.').unwrap();
                let (turn, clause_idx) = (turn.parse().unwrap(), clause_idx.parse().unwrap());
                self.handle(Event::Spoken { turn, clause_idx });
            }
            "no-speaker" => self.handle(Event::SpeakerLost),
            "speaker" => self.handle(Event::SpeakerBack),
            "no-microphone" => self.handle(Event::MicrophoneLost),
            other => panic!("no story has {other:?}"),
        }
        self.deliver();
    }

    pub fn play(&mut self, story: &str) {
        for act in story.split(", ") {
            let (word, rest) = act.split_once(' ').unwrap_or((act, ""));
            self.act(word, rest);
        }
    }

    /// What the hands were asked for since it was last asked.
    pub fn told(&mut self) -> String {
        std::mem::take(&mut self.fake.0.lock().unwrap().told).join(" ")
    }
}

pub fn heard(text: Result<String, String>) -> HearEnd {
    HearEnd {
        text,
        elsewhere: None,
        waited_s: 0.0,
        worked_s: 0.25,
        cpu_s: 0.25,
        audio_ctx: 128,
        was_doubted: false,
    }
}
