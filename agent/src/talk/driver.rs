//! One conversation: events become inputs of key and turn, and their wishes become jobs of ear, mind, mouth and speaker.
//!
//! It reads no clock and waits for nobody. Whatever it began it can stop, and whatever comes after a stop is dropped.
//! `ear` is what it hears, `mouth` what it says.

mod ear;
mod mouth;

use super::news::{Board, News};
use super::parts::{Answer, AskJob, Event, Hear, Microphone, Part, Speak, Speaker, Stop};
use super::post::Post;
use super::saying::Saying;
use super::trace::{Draft, Trace};
use crate::hear::detect::Detector;
use crate::speech::sayings;
use admission::{KeyManner, VoiceSettings};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use voice::key::{self, Key, Manner};
use voice::speakable::Sayings;
use voice::turn::{Earcon, Input, Mood, Output, Report, Rules, Turns};

/// How long a room rings after the speaker: in hands-free mode nothing counts as a voice until then.
const ECHO: Duration = Duration::from_millis(250);

/// Who serves all conversations of a node.
#[derive(Clone)]
pub struct Shared {
    pub ear: Arc<dyn Hear>,
    pub mouth: Arc<dyn Speak>,
    pub mind: Arc<dyn Answer>,
}

/// What belongs to one conversation. A speaker counts as there until it tells `SpeakerLost`.
pub struct Own {
    pub speaker: Box<dyn Speaker>,
    pub microphone: Box<dyn Microphone>,
    pub detector: Box<dyn Detector>,
}

pub struct Talk {
    id: u64,
    whose: String,
    key: Key,
    turns: Turns,
    shared: Shared,
    own: Own,
    post: Post,
    board: Arc<Board>,
    settings: VoiceSettings,
    sayings: &'static Sayings,
    has_speaker: bool,
    is_listening: bool,
    /// Sound that is shorter than the detector's frame.
    rest: Vec<i16>,
    deaf_until: Duration,
    /// What is being heard: each text that is waited for.
    hearing: BTreeMap<u32, Hearing>,
    asking: Option<(u32, Stop)>,
    saying: Option<Saying>,
    making: Option<Stop>,
    has_failed_to_speak: bool,
    n_announced: u32,
    draft: Draft,
    mood: Mood,
    traces: Vec<Trace>,
}

struct Hearing {
    stop: Stop,
    is_guess: bool,
    sound_ms: u32,
}

fn rules(settings: &VoiceSettings) -> Rules {
    Rules { is_hands_free: settings.hands_free, is_guessing: settings.guess }
}

fn manner(settings: &VoiceSettings) -> Manner {
    match settings.key_manner {
        _ if settings.hands_free => Manner::Switch,
        KeyManner::Hold => Manner::Hold,
        KeyManner::Toggle => Manner::Toggle,
        KeyManner::Either => Manner::Either,
    }
}

impl Talk {
    pub fn new(
        id: u64,
        whose: String,
        (shared, own): (Shared, Own),
        post: Post,
        board: Arc<Board>,
        settings: VoiceSettings,
    ) -> Talk {
        let sayings = sayings::of(&settings.language);
        Talk {
            id,
            whose,
            key: Key::new(manner(&settings)),
            turns: Turns::new(rules(&settings)),
            shared,
            own,
            post,
            board,
            settings,
            sayings,
            has_speaker: true,
            is_listening: false,
            rest: vec![],
            deaf_until: Duration::ZERO,
            hearing: BTreeMap::new(),
            asking: None,
            saying: None,
            making: None,
            has_failed_to_speak: false,
            n_announced: 0,
            draft: Draft::default(),
            mood: Mood::Idle,
            traces: vec![],
        }
    }

    /// When time alone changes something.
    pub fn deadline(&self) -> Option<Duration> {
        [self.key.deadline(), self.turns.deadline()].into_iter().flatten().min()
    }

    /// What turns have left behind since it was last asked.
    pub fn take_traces(&mut self) -> Vec<Trace> {
        std::mem::take(&mut self.traces)
    }

    pub fn mood(&self) -> Mood {
        self.turns.mood()
    }

    pub fn tick(&mut self, now: Duration) {
        self.key.handle(now, key::Input::Tick);
        self.turns.handle(now, Input::Tick);
        self.settle(now);
    }

    pub fn handle(&mut self, now: Duration, event: Event) {
        match event {
            Event::Key(input) => self.key.handle(now, input),
            Event::Frame(pcm) => self.frame(now, &pcm),
            Event::MicrophoneLost => self.turns.handle(now, Input::MicrophoneLost),
            Event::MicrophoneBack => {}
            Event::Sounding { turn, clause_idx } => {
                self.turns.handle(now, Input::Sounding { turn, clause_idx })
            }
            Event::Spoken { turn, clause_idx } => self.spoken(now, turn, clause_idx),
            Event::SpeakerLost => self.speaker_lost(now),
            Event::SpeakerBack => self.has_speaker = true,
            Event::Heard { wish, end } => self.heard(now, wish, &end),
            Event::Part { turn, part } => self.part(now, turn, part),
            Event::Made { turn, clause_idx, made } => self.made(turn, clause_idx, made),
            Event::Announce(text) => self.announce(now, &text),
            Event::Settings(settings) => self.set(now, *settings),
            Event::Close => self.close(now),
        }
        self.settle(now);
    }

    /// Lets key and turn say all that they wish.
    fn settle(&mut self, now: Duration) {
        loop {
            while let Some(press) = self.key.poll() {
                let input = match press {
                    key::Output::Press => Input::Press,
                    key::Output::Release => Input::Release,
                };
                self.turns.handle(now, input);
            }
            if let Some(wish) = self.turns.poll() {
                self.grant(now, wish);
                continue;
            }
            let Some(clause_idx) = self.saying.as_mut().and_then(Saying::silent) else { break };
            let turn = self.saying.as_ref().map_or(0, |saying| saying.turn);
            self.turns.handle(now, Input::Spoken { turn, clause_idx });
        }
        self.make();
        let mood = self.turns.mood();
        if mood != self.mood {
            self.mood = mood;
            self.board.tell(News::Mood { mood: mood.into() });
        }
    }

    fn grant(&mut self, now: Duration, wish: Output) {
        match wish {
            Output::Earcon(earcon) => self.earcon(now, earcon),
            Output::Microphone(is_wanted) => self.listen(now, is_wanted),
            Output::Transcribe { wish, pcm, is_guess } => self.transcribe(wish, pcm, is_guess),
            Output::Forget { wish } => _ = self.hearing.remove(&wish).map(|hearing| hearing.stop.stop()),
            Output::Ask { turn, text } => self.ask(now, turn, text),
            Output::StopAsking { turn } => self.stop_asking(turn),
            Output::Say { turn, clause, .. } => self.say(turn, &clause),
            Output::Hush { turn } => {
                self.own.speaker.hush(turn);
                self.forget_saying();
            }
            Output::Done(report) => self.done(&report),
        }
    }

    fn earcon(&mut self, now: Duration, earcon: Earcon) {
        if self.has_speaker {
            self.own.speaker.earcon(earcon);
            self.deaf_until = self.deaf_until.max(now + ECHO);
        }
    }

    fn ask(&mut self, now: Duration, turn: u32, text: String) {
        self.board.tell(News::Heard { turn, text: text.clone() });
        self.draft.said(&text);
        // Hands-free, somebody may have spoken into it.
        self.stop_announcing();
        self.saying = Some(Saying::new(turn, !self.has_speaker));
        self.has_failed_to_speak = false;
        if !self.has_speaker {
            self.turns.handle(now, Input::SpeakerLost);
        }
        let (stop, post) = (Stop::default(), self.post.clone());
        self.asking = Some((turn, stop.clone()));
        let sink = Box::new(move |part| _ = post.tell(Event::Part { turn, part }));
        self.shared.mind.answer(AskJob { text, talk: self.id, stop, sink });
    }

    fn stop_asking(&mut self, turn: u32) {
        if let Some((_, stop)) = self.asking.take_if(|(of, _)| *of == turn) {
            stop.stop();
        }
    }

    fn part(&mut self, now: Duration, turn: u32, part: Part) {
        if self.asking.as_ref().is_none_or(|(of, _)| *of != turn) {
            return;
        }
        match part {
            Part::By(by) => {
                self.draft.by(&by);
                self.board.tell(News::By { turn, by });
            }
            Part::Words(words) => {
                self.draft.words(&words);
                self.turns.handle(now, Input::Words { turn, words: &words });
                self.board.tell(News::Words { turn, words });
            }
            Part::Steps(steps) => self.draft.steps(steps),
            Part::End => {
                self.asking = None;
                self.turns.handle(now, Input::AnswerEnded { turn });
            }
            Part::Failed(sentence) => {
                self.asking = None;
                self.trouble(&sentence);
                self.turns.handle(now, Input::AnswerFailed { turn });
            }
        }
    }

    fn trouble(&mut self, sentence: &str) {
        self.draft.trouble(sentence);
        self.board.tell(News::Trouble { sentence: sentence.to_owned() });
    }

    fn set(&mut self, now: Duration, settings: VoiceSettings) {
        if settings.language != self.settings.language {
            self.sayings = sayings::of(&settings.language);
        }
        self.turns.set_rules(now, rules(&settings));
        self.key.set_manner(manner(&settings));
        self.settings = settings;
    }

    fn done(&mut self, report: &Report) {
        let turn = report.turn;
        self.stop_asking(turn);
        self.hearing.values().for_each(|hearing| hearing.stop.stop());
        self.hearing.clear();
        self.forget_saying();
        self.board.tell(News::Done { turn, outcome: report.outcome.into() });
        let draft = std::mem::take(&mut self.draft);
        self.traces.push(draft.done(self.id, &self.whose, 0, report));
    }

    /// Ends all that goes on.
    fn close(&mut self, now: Duration) {
        // As when the key goes down in the middle, and comes up at once.
        self.turns.set_rules(now, Rules { is_hands_free: !self.settings.hands_free, is_guessing: false });
        self.settle(now);
        self.board.tell(News::Closed);
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        self.hearing.values().for_each(|hearing| hearing.stop.stop());
        self.asking.take().inspect(|(_, stop)| stop.stop());
        self.forget_saying();
    }
}
