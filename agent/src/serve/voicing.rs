//! The hands of the voice: starts ear, mouth, mind, sound card and the PC's own conversation, tells them what the owner
//! says, and ends the agent with a reason when that conversation dies: one that is started anew hears again in a second.

use crate::answer::model::GatewayModels;
use crate::answer::timers::TimerBook;
use crate::answer::{About, Mind, World, bell};
use crate::brain::library::Library;
use crate::brain::message;
use crate::cluster::Cluster;
use crate::gateway::Gateway;
use crate::hear::{self, detect::Detector};
use crate::io::node::Node;
use crate::keys::listening::{KeysState, LocalKeys};
use crate::memory::{Memory, mind::HomeFacts};
use crate::serve::doors::Doors;
use crate::serve::enrolling::Joined;
use crate::settings::Settings;
use crate::sound::lent::Lent;
use crate::sound::state::{SideState, SoundState};
use crate::speech::{self, mouth::Mouth, mouth::MouthFacts};
use crate::talk::force::{Force, Over};
use crate::talk::parts::Event;
use crate::talk::trace::Trace;
use crate::talk::{Mood, Own, Shared, Talks, Whose, post};
use crate::tools;
use crate::tools::remote::{Placed, members::Members, rules::Rules};
use crate::tools::setup::{Placing, Setup};
use admission::VoiceSettings;
use anyhow::Context;
use serde::Serialize;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::runtime::Handle;

/// Between two looks at what the owner says, and at who has models.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// 2026-01-01: a clock that says less was never set.
const CLOCK_LEAST_S: u64 = 1_767_225_600;

/// What the voice stands on.
pub struct Parts {
    pub node: Arc<Node>,
    pub cluster: Arc<Cluster>,
    pub joined: Joined,
    pub gateway: Arc<Gateway>,
    pub settings: Arc<Settings>,
    pub ear: Arc<hear::desk::Desk>,
    pub memory: Arc<Memory>,
}

pub struct Voice {
    pub talks: Arc<Talks>,
    pub doors: Doors,
    mouth: Arc<Mouth>,
    pub mind: Arc<Mind>,
    /// Text in, an answer out.
    pub messages: message::Door,
    pub setup: Arc<Setup>,
    /// What tools there are, and what waits for a yes.
    pub tools: tools::door::Door,
    home: Arc<Home>,
    settings: Arc<Settings>,
    sound: Sound,
    keys: LocalKeys,
}

/// For the page and `/api/status`: nothing of what was said.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct VoiceStatus {
    pub mood: Mood,
    /// What went wrong last, in a sentence.
    pub trouble: String,
    pub sound: SoundState,
    pub keys: KeysState,
    pub mouth: MouthFacts,
}

impl VoiceStatus {
    /// Microphone, speaker, keys and mouth by name, each with a sentence.
    pub fn hands(&self) -> [(&'static str, String); 4] {
        let side = |side: &SideState| {
            let device = side.device.as_ref().map(|device| {
                let card = side.card.as_deref().unwrap_or("no card of its own");
                format!("{device} ({card}), {} Hz, {} channels", side.rate, side.channels)
            });
            sentence(device, side.reason.as_ref(), "none yet")
        };
        let keys = Some(self.keys.devices.join(", ")).filter(|names| !names.is_empty());
        let mouth = self.mouth.engine.map(|engine| {
            let voice = self.mouth.voice.as_deref().unwrap_or("that is still looked for");
            format!("{engine}, voice {voice}, {} clauses spoken", self.mouth.n_clauses)
        });
        [
            ("microphone", side(&self.sound.microphone)),
            ("speaker", side(&self.sound.speaker)),
            ("talk keys", sentence(keys, self.keys.reason.as_ref(), "no device has one")),
            ("mouth", sentence(mouth, self.mouth.trouble.as_ref(), "it has not begun")),
        ]
    }
}

/// What there is, and what is wrong with it; `none` where there is neither.
fn sentence(what: Option<String>, wrong: Option<&String>, none: &str) -> String {
    let parts: Vec<String> = what.into_iter().chain(wrong.cloned()).collect();
    if parts.is_empty() { none.to_owned() } else { parts.join("; ") }
}

impl Voice {
    /// `root` is where cards and keys are looked for, `wyoming` where the command line wishes that door.
    pub fn start(parts: Parts, root: &Path, wyoming: Option<SocketAddr>) -> anyhow::Result<Voice> {
        let Parts { node, cluster, joined, gateway, settings, ear, memory } = parts;
        let placing = placing(&node, &settings, &cluster);
        let force = Arc::new(Force::new(settings.now().voice));
        let now = force.now();
        let mouth = Arc::new(speech::start(&now).context("no thread that speaks")?);
        let home = Home {
            node: node.clone(),
            cluster,
            joined,
            gateway: gateway.clone(),
            force: force.clone(),
            talks: OnceLock::new(),
            n_with_model: AtomicUsize::new(0),
        };
        let home = Arc::new(home);
        let models = Arc::new(GatewayModels { gateway: gateway.clone(), runtime: Handle::current() });
        let setup = Arc::new(Setup::new(root, Some(placing)));
        let names = setup.names();
        let library = Library::open(root, &names.iter().map(String::as_str).collect::<Vec<_>>());
        let timers = Arc::new(TimerBook::open());
        let facts = Arc::new(HomeFacts::new(memory, Handle::current()));
        let mind = Mind::new(home.clone(), models, facts, timers, library, setup.desk.clone());
        let mind = Arc::new(mind);
        setup.talk(&mind);
        let shared = Shared { ear: ear.clone(), mouth: mouth.clone(), mind: mind.clone() };
        let talks = Talks::new(shared.clone(), force);
        // Set once, here.
        let _ = home.talks.set(Arc::downgrade(&talks));
        let (post, events) = post();
        let lent = Lent::default();
        let (sound, own) = Sound::start(root, &now, &post, ear.detector(), &lent)?;
        let keys = LocalKeys::start(root, Some(&now.keys), &post).context("no thread for keys")?;
        let begun = talks.begin(Whose::Here, Over::default(), (post, events), own);
        begun.ok().context("no thread for the conversation of this PC")?;
        let messages = message::Door::new(gateway.clone(), mind.clone());
        let tools = tools::door::Door::new(gateway.clone(), setup.clone());
        let doors = Doors::new(talks.clone(), shared, (gateway, node, ear), wyoming, lent);
        Ok(Voice { talks, doors, mouth, mind, messages, setup, tools, home, settings, sound, keys })
    }

    pub fn timers(&self) -> Arc<TimerBook> {
        self.mind.timers.clone()
    }

    /// The time, where this node knows it.
    pub fn unix_s(&self) -> u64 {
        self.home.unix_s().unwrap_or(0)
    }

    /// How this PC's own ear and mouth are.
    pub fn status(&self) -> VoiceStatus {
        let view = self.talks.here().map(|here| here.view()).unwrap_or_default();
        VoiceStatus {
            mood: view.mood,
            trouble: view.trouble,
            sound: self.sound.state(),
            keys: self.keys.state(),
            mouth: self.mouth.facts(),
        }
    }

    /// Ends with a reason when the PC's own conversation is no more.
    pub async fn run(&self) -> String {
        tokio::select! {
            reason = self.talks.watch() => reason,
            () = self.doors.run() => "the doors to the voice closed".into(),
            () = bell::run(self.talks.clone(), self.mind.clone()) => "the bell fell silent".into(),
            () = self.mind.brain.library.follow() => "nobody follows the workflows".into(),
            () = self.setup.follow() => "nobody follows what the owner says of tools".into(),
            () = self.follow() => "nobody follows the settings".into(),
        }
    }

    async fn follow(&self) {
        let set = |now: &VoiceSettings| {
            self.mouth.set(now);
            self.sound.set(now);
            self.keys.set(Some(&now.keys));
            self.talks.settings_changed();
        };
        let look = async || {
            let n_with_model = self.home.gateway.n_with_model().await;
            self.home.n_with_model.store(n_with_model, Ordering::Relaxed);
        };
        keep(&self.talks.force, || self.settings.now().voice, set, look).await;
    }
}

/// Where calls of tools run: what is said to this node goes before what is said to all.
fn placing(node: &Arc<Node>, settings: &Arc<Settings>, cluster: &Arc<Cluster>) -> Placing {
    let (node, settings) = (node.clone(), settings.clone());
    let rules: Arc<dyn Fn() -> Rules + Send + Sync> =
        Arc::new(move || Rules::of(node.said(), &settings.now(), node.place().tier));
    let others = Arc::new(Members(cluster.clone()));
    Box::new(move |here| Arc::new(Placed { here, rules: rules.clone(), others: others.clone() }))
}

/// Never ends: what the owner says of all nodes holds here, what holds is told, and `look` looks around now and then.
/// It may ask other nodes, so no setting waits for it.
async fn keep(
    force: &Force,
    cluster: impl Fn() -> VoiceSettings,
    set: impl Fn(&VoiceSettings),
    look: impl AsyncFn(),
) {
    let mut settings = force.follow();
    let follow = async {
        loop {
            force.set_cluster(cluster());
            if let Ok(Ok(())) = tokio::time::timeout(LOOK_EVERY, settings.changed()).await {
                let now = settings.borrow_and_update().clone();
                set(&now);
            }
        }
    };
    let look_around = async {
        loop {
            look().await;
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::join!(follow, look_around);
}

/// The card of this PC.
#[cfg(feature = "sound")]
struct Sound(crate::sound::local::LocalSound);

#[cfg(feature = "sound")]
impl Sound {
    fn start(
        root: &Path,
        settings: &VoiceSettings,
        post: &crate::talk::Post,
        detector: Box<dyn Detector>,
        lent: &Lent,
    ) -> anyhow::Result<(Sound, Own)> {
        let sound = crate::sound::local::LocalSound::start(root, settings, post, lent);
        let sound = sound.context("no threads for the sound card")?;
        let own =
            Own { speaker: Box::new(sound.speaker()), microphone: Box::new(sound.microphone()), detector };
        Ok((Sound(sound), own))
    }

    fn set(&self, settings: &VoiceSettings) {
        self.0.set(settings);
    }

    fn state(&self) -> SoundState {
        self.0.state()
    }
}

/// An agent that was built without sound cards: keys and pages may open the ear, and nobody hears.
#[cfg(not(feature = "sound"))]
struct Sound;

#[cfg(not(feature = "sound"))]
impl Sound {
    fn start(
        _: &Path,
        _: &VoiceSettings,
        post: &crate::talk::Post,
        detector: Box<dyn Detector>,
        _: &Lent,
    ) -> anyhow::Result<(Sound, Own)> {
        let device = crate::sound::wav_device::WavDevice::new(16_000).context("no such rate")?;
        let own =
            Own { speaker: Box::new(device.speaker()), microphone: Box::new(device.microphone()), detector };
        post.tell(Event::SpeakerLost);
        Ok((Sound, own))
    }

    fn set(&self, _: &VoiceSettings) {}

    fn state(&self) -> SoundState {
        SoundState::default()
    }
}

/// The world as the mind sees it.
struct Home {
    node: Arc<Node>,
    cluster: Arc<Cluster>,
    joined: Joined,
    gateway: Arc<Gateway>,
    force: Arc<Force>,
    talks: OnceLock<Weak<Talks>>,
    n_with_model: AtomicUsize,
}

impl Home {
    fn talks(&self) -> Option<Arc<Talks>> {
        self.talks.get()?.upgrade()
    }

    /// The boot server's time where there is one: a PC's own clock may have lost its battery.
    fn unix_s(&self) -> Option<u64> {
        let told = self.joined.borrow().as_ref().map(|kept| kept.unix_s(self.node.uptime_s()));
        let own = SystemTime::now().duration_since(UNIX_EPOCH).ok().map(|time| time.as_secs());
        told.or(own).filter(|unix_s| *unix_s >= CLOCK_LEAST_S)
    }
}

impl World for Home {
    fn settings(&self) -> VoiceSettings {
        self.force.now()
    }

    fn set_volume(&self, volume: u8) -> Result<(), String> {
        self.force.tell(Over { volume: Some(volume), ..Over::default() }).map(|_| ())
    }

    fn is_here(&self, talk: u64) -> bool {
        self.talks().and_then(|talks| talks.here()).is_some_and(|here| here.id == talk)
    }

    fn about(&self) -> About {
        let picture = self.cluster.picture();
        let members =
            picture.iter().flat_map(|picture| &picture.members).filter(|member| member.role == "node");
        let members: Vec<_> = members.filter(|member| member.is_alive() || member.is_down()).collect();
        let away = members.iter().filter(|member| member.is_down()).map(|member| member.name.clone());
        About {
            node: self.node.name(),
            unix_s: self.unix_s(),
            n_alive: members.iter().filter(|member| member.is_alive()).count().max(1),
            n_known: members.len().max(1),
            away: away.filter(|name| !name.is_empty()).collect(),
            n_with_model: self.n_with_model.load(Ordering::Relaxed),
        }
    }

    fn say_here(&self, text: String) -> bool {
        let here = self.talks().and_then(|talks| talks.here());
        here.is_some_and(|here| here.post().tell(Event::Announce(text)))
    }

    fn announce(&self, talk: u64, text: String) {
        if let Some(line) = self.talks().and_then(|talks| talks.get(talk)) {
            line.post().tell(Event::Announce(text));
        }
    }

    fn last_trace(&self, talk: u64) -> Option<Trace> {
        let traces = self.talks()?.traces();
        // The turn that asks is not over; those that came to nothing are none to ask about.
        traces.into_iter().find(|trace| trace.talk == talk && trace.said.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[tokio::test]
    async fn settings_hold_though_nodes_are_still_being_counted() {
        let force = Force::new(VoiceSettings::default());
        let told = Mutex::new(vec![]);
        let (sender, mut came) = tokio::sync::mpsc::channel(9);
        let set = |now: &VoiceSettings| {
            told.lock().unwrap().push(now.volume);
            let _ = sender.try_send(());
        };
        let louder = || VoiceSettings { volume: 31, ..VoiceSettings::default() };
        tokio::select! {
            // A node that never answers is counted for ever.
            () = keep(&force, louder, set, async || std::future::pending().await) => {}
            _ = came.recv() => {}
        }
        assert_eq!(*told.lock().unwrap(), [31]);
    }
}
