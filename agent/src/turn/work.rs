//! The workers of one turn, on the thread that asks them: what is asked for waits until [`Workers::work`].

use crate::answer::model::{self, ModelJob, Models};
use crate::args::Turn;
use crate::cluster::Cluster;
use crate::gateway::{self, Gateway};
use crate::hear::ear::{Ear, Options, Span, Steps};
use crate::io::node::Node;
use crate::settings::Settings;
use crate::speech::engine::Engine;
use crate::talk::parts::{Hear, HearEnd, HearJob, Part, Sound, Speak, SpeakJob};
use anyhow::Context;
use serde::Serialize;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::runtime::Runtime;

/// What was asked for and not done yet.
#[derive(Default)]
pub struct Hands {
    hearing: Mutex<Vec<HearJob>>,
    asking: Mutex<Vec<ModelJob>>,
    speaking: Mutex<Vec<SpeakJob>>,
}

fn put<T>(jobs: &Mutex<Vec<T>>, job: T) {
    jobs.lock().unwrap_or_else(PoisonError::into_inner).push(job);
}

fn take<T>(jobs: &Mutex<Vec<T>>) -> Vec<T> {
    std::mem::take(&mut *jobs.lock().unwrap_or_else(PoisonError::into_inner))
}

impl Hear for Hands {
    fn hear(&self, job: HearJob) {
        put(&self.hearing, job);
    }
}

impl Models for Hands {
    fn ask(&self, job: ModelJob) {
        put(&self.asking, job);
    }
}

impl Speak for Hands {
    fn speak(&self, job: SpeakJob) {
        put(&self.speaking, job);
    }
}

/// What each kind of work took.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Took {
    pub hear: Work,
    pub model: Work,
    pub voice: Work,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Work {
    pub n: u32,
    pub wall_s: f64,
    pub cpu_s: f64,
}

impl Work {
    fn add<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let mut span = Span::default();
        let done = span.add(work);
        self.n += 1;
        self.wall_s += span.wall_s;
        self.cpu_s += span.cpu_s;
        done
    }
}

/// Who answers what no intent knows.
enum Model {
    None,
    Said(String),
    Server(Arc<Gateway>),
}

pub struct Workers<'a> {
    runtime: &'a Runtime,
    hands: Arc<Hands>,
    ear: Ear,
    options: Options,
    /// Heard whatever was said: a model with random weights hears nothing that means something.
    said: Option<String>,
    model: Model,
    engine: Box<dyn Engine>,
    pub took: Took,
}

impl<'a> Workers<'a> {
    pub fn new(
        runtime: &'a Runtime,
        args: &Turn,
        hands: Arc<Hands>,
        ear: Ear,
        engine: Box<dyn Engine>,
    ) -> anyhow::Result<Workers<'a>> {
        let options = Options {
            language: args.language.clone(),
            threads: 1,
            audio_ctx: args.audio_ctx,
            n_tokens: args.tokens,
            steps: Steps::Ours,
        };
        let model = match (&args.answer_file, args.llm_url) {
            (Some(file), _) => {
                let text =
                    std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
                Model::Said(text)
            }
            (None, Some(address)) => Model::Server(gateway(address)),
            (None, None) => Model::None,
        };
        let (said, took) = (args.said.clone(), Took::default());
        Ok(Workers { runtime, hands, ear, options, said, model, engine, took })
    }

    /// Does what was asked for; false where there was nothing.
    pub fn work(&mut self) -> bool {
        let (hearing, asking) = (take(&self.hands.hearing), take(&self.hands.asking));
        let speaking = take(&self.hands.speaking);
        let has_work = !(hearing.is_empty() && asking.is_empty() && speaking.is_empty());
        hearing.into_iter().filter(|job| !job.stop.is_stopped()).for_each(|job| self.hear(job));
        asking.into_iter().filter(|job| !job.stop.is_stopped()).for_each(|job| self.answer(job));
        speaking.into_iter().filter(|job| !job.stop.is_stopped()).for_each(|job| self.speak(job));
        has_work
    }

    fn hear(&mut self, job: HearJob) {
        let sound: Vec<f32> = job.pcm.iter().map(|sample| f32::from(*sample) / 32_768.0).collect();
        let heard = self.took.hear.add(|| self.ear.hear(&sound, &self.options, &|| job.stop.is_stopped()));
        let end = match heard {
            Ok(heard) => HearEnd {
                text: Ok(self.said.clone().unwrap_or(heard.text)),
                elsewhere: None,
                waited_s: 0.0,
                worked_s: heard.whole.wall_s,
                cpu_s: heard.whole.cpu_s,
                audio_ctx: heard.audio_ctx,
                was_doubted: heard.was_doubted,
            },
            Err(error) => HearEnd::failed(error.to_string()),
        };
        (job.done)(end);
    }

    fn answer(&mut self, mut job: ModelJob) {
        match &self.model {
            Model::None => (job.sink)(Part::Failed("no model was named".into())),
            Model::Said(text) => {
                (job.sink)(Part::By("a file".into()));
                text.split_inclusive(' ').for_each(|word| (job.sink)(Part::Words(word.to_owned())));
                (job.sink)(Part::End);
            }
            Model::Server(gateway) => {
                self.took.model.add(|| self.runtime.block_on(model::answer(gateway, job)));
            }
        }
    }

    fn speak(&mut self, mut job: SpeakJob) {
        let rate = self.engine.rate();
        let SpeakJob { text, stop, sink, .. } = &mut job;
        let said = self.took.voice.add(|| {
            self.engine.say(text, &mut |pcm| {
                sink(Sound::Piece { rate, pcm });
                if stop.is_stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
        });
        match said {
            Ok(()) => sink(Sound::End),
            Err(error) => sink(Sound::Failed(&error.to_string())),
        }
    }
}

/// A gateway of this process alone, for which one server answers all.
fn gateway(address: std::net::SocketAddr) -> Arc<Gateway> {
    let node = Node::new(crate::args::usual_root(), &crate::args::usual_worker().to_string());
    let (_, joined) = tokio::sync::watch::channel(None);
    let settings = Arc::new(Settings::new(joined.clone()));
    let options = gateway::Options { set: Some(address), ..gateway::Options::default() };
    Arc::new(Gateway::new(Arc::new(node), Arc::new(Cluster::default()), joined, settings, options))
}
