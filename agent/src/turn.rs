//! `agent turn`: one whole turn without a sound card: a clip is spoken into the microphone while the key is held, and
//! what the speaker plays goes into a file.
//!
//! Time is that of the clips: the clock stands still while somebody works, and what each worker took is told beside it.
//! All work is done on this one thread, in the order in which it is asked for, so that two runs count the same; what
//! follows the release of the key until the first sound is one function, [`until_sound`], that a profiler can count.

mod work;

use crate::answer::facts::NoFacts;
use crate::answer::{About, Mind, TOOLS, World};
use crate::args::Turn;
use crate::brain::library::Library;
use crate::hear;
use crate::hear::ear::Ear;
use crate::sound::wav::{self, Clip};
use crate::sound::wav_device::WavDevice;
use crate::speech::engine::Engine;
use crate::speech::espeak::Espeak;
use crate::talk::news::Board;
use crate::talk::parts::{Event, Speak};
use crate::talk::trace::Trace;
use crate::talk::{Events, Own, Shared, Talk, View, post};
use crate::tools::desk::Desk;
use admission::VoiceSettings;
use anyhow::{Context, bail, ensure};
use serde::Serialize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use voice::key::{Input, Source};
use work::{Hands, Took, Workers};

/// Of a card that was usual when these PCs were.
const SPEAKER_RATE: u32 = 48_000;
/// A turn that takes longer by its own clock is stuck.
const TURN_MAX: Duration = Duration::from_secs(1800);
const KEY: Source = Source::Key { device: 0, code: 97 };

#[derive(Serialize)]
struct Report {
    said: String,
    answer: String,
    trouble: String,
    #[serde(flatten)]
    took: Took,
    trace: Option<Trace>,
    /// By the clock of the clips: what no work hides.
    played_s: f64,
}

pub fn run(runtime: &Runtime, args: &Turn) -> anyhow::Result<String> {
    let settings =
        VoiceSettings { guess: !args.no_guess, language: args.language.clone(), ..VoiceSettings::default() };
    settings.check()?;
    hear::transcribe::kernels(args.kernels.as_deref())?;
    let clip = clip(&args.wav)?;
    let ear = hear::transcribe::open(&args.model)?;
    let mut stage = Stage::new(runtime, args, settings, ear)?;
    stage.device.say(&clip);
    stage.handle(Event::Key(Input::Down(KEY)));
    while stage.device.is_saying() {
        stage.step();
    }
    let held = stage.device.now() + Duration::from_millis(args.hold_ms);
    while stage.device.now() < held {
        stage.step();
    }
    until_sound(&mut stage)?;
    stage.until_done()?;
    let played = stage.device.played();
    if let Some(out) = &args.out {
        std::fs::write(out, wav::write(&played)?).with_context(|| format!("writing {}", out.display()))?;
    }
    let View { said, answer, trouble, .. } = stage.board.view();
    let played_s = played.samples.len() as f64 / f64::from(played.rate);
    let report = Report { said, answer, trouble, took: stage.workers.took, trace: stage.trace, played_s };
    Ok(if args.json { serde_json::to_string(&report)? + "\n" } else { text(&report) })
}

/// From the release of the key to the first sound.
#[inline(never)]
fn until_sound(stage: &mut Stage<'_>) -> anyhow::Result<()> {
    stage.handle(Event::Key(Input::Up(KEY)));
    while !stage.has_sounded && stage.trace.is_none() {
        stage.within()?;
    }
    Ok(())
}

struct Stage<'a> {
    device: WavDevice,
    talk: Talk,
    events: Events,
    workers: Workers<'a>,
    board: Arc<Board>,
    has_sounded: bool,
    trace: Option<Trace>,
}

impl<'a> Stage<'a> {
    fn new(
        runtime: &'a Runtime,
        args: &Turn,
        settings: VoiceSettings,
        ear: Ear,
    ) -> anyhow::Result<Stage<'a>> {
        let device = WavDevice::new(SPEAKER_RATE).context("no card has this rate")?;
        let mut engine = Espeak::start(None).map_err(|error| anyhow::anyhow!("{error}"))?;
        let voice = crate::speech::engine::Voice { name: settings.language.clone(), ..Default::default() };
        engine.set(&voice).map_err(|error| anyhow::anyhow!("{error}"))?;
        let hands = Arc::new(Hands::default());
        let mind = Mind::new(
            Arc::new(Alone(settings.clone())),
            hands.clone(),
            Arc::new(NoFacts),
            Arc::default(),
            Library::shipped(&TOOLS),
            Arc::new(Desk::open(None)),
        );
        let mouth: Arc<dyn Speak> = hands.clone();
        let shared = Shared { ear: hands.clone(), mouth, mind: Arc::new(mind) };
        let own = Own {
            speaker: Box::new(device.speaker()),
            microphone: Box::new(device.microphone()),
            detector: hear::detect::earshot(),
        };
        let (post, events) = post();
        let board = Arc::new(Board::new(1, tokio::sync::broadcast::Sender::new(1)));
        let talk = Talk::new(1, "a file".into(), (shared, own), post, board.clone(), settings);
        let workers = Workers::new(runtime, args, hands, ear, Box::new(engine))?;
        Ok(Stage { device, talk, events, workers, board, has_sounded: false, trace: None })
    }

    fn handle(&mut self, event: Event) {
        self.has_sounded |= matches!(event, Event::Sounding { .. });
        self.talk.handle(self.device.now(), event);
        self.work();
    }

    /// Everybody works until there is nothing to do.
    fn work(&mut self) {
        loop {
            let has_worked = self.workers.work();
            let mut has_heard = false;
            while let Some(event) = self.events.try_next() {
                has_heard = true;
                self.talk.handle(self.device.now(), event);
            }
            if !has_worked && !has_heard {
                break;
            }
        }
        self.trace = self.trace.take().or(self.talk.take_traces().pop());
    }

    /// A frame's time passes.
    fn step(&mut self) {
        let mut told = vec![];
        self.device.step(&mut |event| told.push(event));
        self.talk.tick(self.device.now());
        told.into_iter().for_each(|event| self.handle(event));
        self.work();
    }

    fn within(&mut self) -> anyhow::Result<()> {
        ensure!(
            self.device.now() < TURN_MAX,
            "the turn did not end within {} s of its clock",
            TURN_MAX.as_secs()
        );
        self.step();
        Ok(())
    }

    fn until_done(&mut self) -> anyhow::Result<()> {
        while self.trace.is_none() {
            self.within()?;
        }
        // What is in the card's buffer is heard too.
        for _ in 0..8 {
            self.step();
        }
        Ok(())
    }
}

fn clip(path: &Path) -> anyhow::Result<Clip> {
    let bytes = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    if bytes.len() as u64 > wav::FILE_BYTES_MAX {
        bail!("{} has {} bytes, at most {} are read", path.display(), bytes.len(), wav::FILE_BYTES_MAX);
    }
    wav::read(&bytes).with_context(|| format!("{}", path.display()))
}

/// A node alone, whose clock is not set: its answers are the same every time.
struct Alone(VoiceSettings);

impl World for Alone {
    fn settings(&self) -> VoiceSettings {
        self.0.clone()
    }

    fn set_volume(&self, _: u8) -> Result<(), String> {
        Ok(())
    }

    fn is_here(&self, _: u64) -> bool {
        true
    }

    fn about(&self) -> About {
        About { node: "a file".into(), n_alive: 1, n_known: 1, ..About::default() }
    }

    fn last_trace(&self, _: u64) -> Option<Trace> {
        None
    }
}

fn text(report: &Report) -> String {
    let Report { said, answer, trouble, took, trace, played_s } = report;
    let mut text = format!("heard   {said}\nanswer  {answer}\n");
    if !trouble.is_empty() {
        text += &format!("trouble {trouble}\n");
    }
    for (name, work) in [("hear", &took.hear), ("model", &took.model), ("voice", &took.voice)] {
        text +=
            &format!("{name:<7} {:.3} s, {:.3} s of processor, {} times\n", work.wall_s, work.cpu_s, work.n);
    }
    if let Some(trace) = trace {
        let stages = trace.took.iter().map(|took| format!("{} {:.0} ms", took.stage.as_str(), took.ms));
        text += &format!("stages  {}\n", stages.collect::<Vec<_>>().join(", "));
        text += &format!(
            "ended   {}{}\n",
            trace.outcome.as_str(),
            if trace.is_guessed { ", guessed" } else { "" }
        );
    }
    text + &format!("played  {played_s:.2} s\n")
}
