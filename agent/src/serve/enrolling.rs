//! The hands of the caller: posts to the boot servers, shows the code, keeps the membership in RAM.

use crate::args::Serve;
use crate::cluster::story::Happening;
use crate::cluster::{Cluster, Phase};
use crate::enrol::{Enroller, Input, Output};
use crate::io::kept::Kept;
use crate::io::node::Node;
use admission::{Caller, Hardware, Membership, OverlayPublic};
use release::{BootFacts, Server};
use service::log::{Level, say};
use service::watch::Watch;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{broadcast, watch};

/// How long the first call waits for the overlay's key. One that comes later, because the kernel first had to gather
/// randomness, brings a second call.
const OVERLAY_KEY_MAX: Duration = Duration::from_secs(20);

/// The newest membership, once there is one.
pub type Joined = watch::Receiver<Option<Arc<Kept>>>;

/// Where the caller tells how it stands.
pub struct Told {
    pub cluster: Arc<Cluster>,
    pub member: watch::Sender<Option<Arc<Kept>>>,
}

/// What the command line says of the call home.
pub struct Options {
    port: u16,
    overlay_key: Option<OverlayPublic>,
}

impl Options {
    pub fn of(args: &Serve) -> Options {
        Options { port: args.enrol_port, overlay_key: args.overlay_key }
    }
}

/// Never ends. Where no init of ours has run there is nobody to call, and it only waits.
pub async fn run(node: Arc<Node>, options: Options, told: Told) {
    let Some(facts) = node.boot_facts() else { return std::future::pending().await };
    let mut overlay = OverlayKey::new(&node, &options);
    overlay.wait().await;
    let mut enroller = match begin(&node, &options, &facts) {
        Ok(enroller) => enroller,
        Err(sentence) => {
            say(Level::Warning, &format!("duet: {sentence}"));
            return std::future::pending().await;
        }
    };
    told.cluster.set_phase(Phase::Calling { sentence: "the first call is on its way".into() });
    let start = Instant::now();
    let mut news = told.cluster.listen();
    enroller.handle(start.elapsed(), Input::Woken);
    loop {
        while let Some(wish) = enroller.poll() {
            match wish {
                Output::Show(phase) => show(&told, phase),
                Output::Join(member) => join(&node, &told, *member),
                Output::AskStick(ask) => {
                    let proof = node.stick(&ask).await.map(Box::new);
                    enroller.handle(start.elapsed(), Input::Stick(proof));
                }
                Output::Post { server_idx, path, json } => {
                    let heard = post(&facts, options.port, server_idx, path, &json).await;
                    enroller.handle(start.elapsed(), heard);
                }
            }
        }
        let Some(at) = enroller.deadline() else { return std::future::pending().await };
        let input = tokio::select! {
            () = tokio::time::sleep(at.saturating_sub(start.elapsed())) => Input::Woken,
            () = doubt(&mut news) => Input::Doubted,
            key = overlay.changed() => Input::Overlay(key),
        };
        enroller.handle(start.elapsed(), input);
    }
}

/// Until the gossip hears datagrams under a key that it does not have.
async fn doubt(news: &mut broadcast::Receiver<Happening>) {
    loop {
        match news.recv().await {
            Ok(happening) if happening.kind == "key-unknown" => return,
            Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return std::future::pending().await,
        }
    }
}

/// The overlay's public key, as its process tells it; silent where the command line gives one.
struct OverlayKey<'a> {
    node: &'a Node,
    watch: Option<Watch>,
    told: Option<OverlayPublic>,
}

impl OverlayKey<'_> {
    fn new<'a>(node: &'a Node, options: &Options) -> OverlayKey<'a> {
        let watch = options.overlay_key.is_none().then(|| Watch::new(&node.overlay_key_file()));
        let watch = watch.and_then(|watch| match watch {
            Ok(watch) => Some(watch),
            Err(error) => {
                say(Level::Warning, &format!("duet: the overlay's key cannot be watched: {error}"));
                None
            }
        });
        // The watch is there first, so no key is missed.
        OverlayKey { node, told: node.overlay_key(), watch }
    }

    /// Waits a while for the first key.
    async fn wait(&mut self) {
        let is_waited_for = self.watch.is_some() && self.told.is_none();
        if is_waited_for && tokio::time::timeout(OVERLAY_KEY_MAX, self.changed()).await.is_err() {
            say(
                Level::Warning,
                "duet: the overlay's process tells no key yet, so this node calls home without",
            );
        }
    }

    /// The next key that differs from the one before.
    async fn changed(&mut self) -> OverlayPublic {
        while let Some(watch) = &mut self.watch {
            if let Err(error) = watch.changed().await {
                say(Level::Warning, &format!("duet: the overlay's key is no longer watched: {error}"));
                self.watch = None;
            }
            let key = self.node.overlay_key();
            if let Some(key) = key.filter(|key| self.told != Some(*key)) {
                self.told = Some(key);
                return key;
            }
        }
        std::future::pending().await
    }
}

fn begin(node: &Node, options: &Options, facts: &BootFacts) -> Result<Enroller, String> {
    let missing = |what| format!("init did not tell {what}, so this node cannot call home");
    let release_key = facts.release_key.clone().ok_or_else(|| missing("the release key"))?;
    let mac = facts.mac.ok_or_else(|| missing("the MAC"))?;
    let kept = Kept::read().filter(|kept| kept.is_of(&release_key));
    let overlay_key = match (node.overlay_key(), options.overlay_key, &kept) {
        (Some(key), _, _) | (None, Some(key), _) => key,
        // Nobody has a WireGuard key yet; one that nobody can use keeps the place.
        (None, None, Some(kept)) => kept.member.certificate.claim().overlay_key,
        (None, None, None) => OverlayPublic(random()),
    };
    let (processor, memory) = (node.processor(), node.memory());
    let hardware = Hardware {
        processor: processor.model,
        cores: u16::try_from(processor.n_threads).unwrap_or(u16::MAX),
        ram_mib: u32::try_from(memory.total_kib / 1024).unwrap_or(u32::MAX),
    };
    let (attempt, release) = (facts.attempt.unwrap_or(0), facts.release.clone());
    let caller = Caller { mac, attempt, release, hardware, overlay_key };
    let uptime_s = node.uptime_s();
    let kept = kept.and_then(|kept| kept.resumed(mac, overlay_key, uptime_s));
    Ok(Enroller::new(caller, release_key, facts.servers.len(), Box::new(random), kept))
}

fn show(told: &Told, phase: Phase) {
    match &phase {
        Phase::Waiting { code } => say(Level::Notice, &format!("duet: code {code}")),
        Phase::Calling { sentence } | Phase::Refused { sentence } => {
            say(Level::Info, &format!("duet: no member yet: {sentence}"));
        }
        Phase::Alone | Phase::Member => {}
    }
    told.cluster.set_phase(phase);
}

fn join(node: &Node, told: &Told, member: Membership) {
    let certificate = &member.certificate;
    let (cluster, id) = (certificate.cluster(), certificate.node());
    say(Level::Notice, &format!("duet: member of cluster {cluster} as {} ({id})", member.name));
    let kept = Kept { member, uptime_s: node.uptime_s() };
    if let Err(error) = kept.write() {
        say(Level::Warning, &format!("duet: a restart of the agent will need a new admission: {error}"));
    }
    told.cluster.set_phase(Phase::Member);
    told.member.send_replace(Some(Arc::new(kept)));
}

async fn post(facts: &BootFacts, port: u16, server_idx: usize, path: &str, json: &str) -> Input {
    let Some(server) = facts.servers.get(server_idx) else {
        return Input::Lost { sentence: "no boot server is known".into() };
    };
    let base = format!("http://{}", SocketAddr::from((Server::clone(server).ip, port)));
    match service::fetch::post_json(&base, path, json).await {
        Ok(reply) => Input::Answered { status: reply.status, body: reply.body },
        Err(error) => Input::Lost { sentence: format!("{base}: {error}") },
    }
}

/// Fresh bytes of the kernel. Without them no key is safe, so nothing goes on.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let n = rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty());
    assert_eq!(n, Ok(N), "the kernel gives no random numbers");
    bytes
}
