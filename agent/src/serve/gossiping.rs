//! The hands of the cluster: starts the gossip when this node became a member, tells it facts, hands the overlay its peers.

use crate::brain::sharing::Sharing;
use crate::cluster::{Cluster, doubts, facts, known, overlay};
use crate::facts::Status;
use crate::hear::desk::Desk;
use crate::io::node::Node;
use crate::io::{kept::Kept, runtime};
use crate::serve::enrolling::{Joined, random};
use crate::talk::{News, Talks, Told};
use crate::tools;
use ::cluster::{Config, Facts, Mood};
use anyhow::{Context, bail};
use gossip::{Order, PORT};
use service::log::{Level, say};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::broadcast;

/// Asking for facts costs two processes of systemd's.
const FACTS_EVERY: Duration = Duration::from_secs(10);
/// What is no news is told again after this time.
const FACTS_AGE_MAX: Duration = Duration::from_secs(60);
/// The overlay follows at the latest after this time; what happens in the cluster is followed at once.
const WISH_EVERY: Duration = Duration::from_secs(2);
/// A mood that passes sooner is not told.
const MOOD_SETTLES: Duration = Duration::from_millis(300);
/// After the gossip could not begin.
const RETRY: Duration = Duration::from_secs(5);

/// What this node tells of itself beside its hardware and its models.
pub struct Own {
    pub ear: Arc<Desk>,
    pub talks: Arc<Talks>,
    pub sharing: Arc<Sharing>,
    pub tools: Arc<tools::desk::Desk>,
}

impl Own {
    /// What ear and mouth of this PC do, and a hash of what was edited.
    fn now(&self) -> (Mood, u64) {
        let mood = self.talks.here().map_or(Mood::Idle, |here| facts::mood(here.view().mood));
        (mood, self.sharing.digest())
    }
}

/// Never ends. Each new membership begins the gossip anew, with its certificate.
pub async fn run(node: Arc<Node>, cluster: Arc<Cluster>, own: Own, mut joined: Joined) {
    loop {
        let Some(kept) = joined.borrow_and_update().clone() else {
            if joined.changed().await.is_err() {
                return std::future::pending().await;
            }
            continue;
        };
        cluster.leave();
        if let Err(error) = begin(&node, &cluster, &kept) {
            say(Level::Warning, &format!("duet: no gossip: {error:#}"));
            tokio::time::sleep(RETRY).await;
            continue;
        }
        tokio::select! {
            () = tell(&node, &cluster, &own, &kept) => tokio::time::sleep(RETRY).await,
            changed = joined.changed() => if changed.is_err() { return std::future::pending().await },
        }
    }
}

fn begin(node: &Node, cluster: &Arc<Cluster>, kept: &Kept) -> anyhow::Result<()> {
    let member = &kept.member;
    let Some(address) = own_address(node) else { bail!("this node has no IPv4 address yet") };
    let boot_servers = node.boot_facts().map(|facts| facts.servers).unwrap_or_default();
    // The boot server gossips too, so even the first node is not alone.
    let servers = boot_servers.iter().map(|server| SocketAddrV4::new(server.ip, PORT));
    let config = Config {
        authority: member.authority,
        certificate: member.certificate,
        key: member.node_key.clone(),
        ring: member.ring.clone(),
        roster: member.roster.clone(),
        addr: SocketAddrV4::new(address, PORT),
        epoch: member.epoch,
        unix_s: kept.unix_s(node.uptime_s()),
        seeds: servers.chain(member.seeds.iter().copied()).collect(),
        last_known: last_known(),
        seed: u64::from_ne_bytes(random()),
    };
    // Every address is heard: a broadcast comes to no other.
    let listen = SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT));
    cluster.join(listen, config).with_context(|| format!("cannot listen on UDP port {PORT}"))
}

fn last_known() -> Vec<SocketAddrV4> {
    known::parse(&runtime::read(known::KNOWN_FILE, known::KNOWN_BYTES_MAX))
}

/// The address that init set, or else that of the first cable.
fn own_address(node: &Node) -> Option<Ipv4Addr> {
    let by_init = node.boot_facts().and_then(|facts| facts.address).map(|address| address.ip);
    by_init.or_else(|| node.ipv4())
}

/// Ends only if the gossip did.
async fn tell(node: &Node, cluster: &Cluster, own: &Own, kept: &Kept) {
    let (mut told, mut wished): (Option<(Instant, Facts)>, _) = (None, None);
    let mut news = cluster.listen();
    let mut facts_due = Instant::now();
    let mut known = last_known();
    let mut moods = own.talks.follow();
    while !cluster.has_lost_gossip() {
        let follows = told.as_ref().and_then(|(_, facts)| facts.plan);
        let was_draining = told.as_ref().is_some_and(|(_, facts)| facts.draining);
        let is_news = cluster.plan_mark() != follows
            || cluster.is_draining() != was_draining
            || node.holds_anew().await;
        if is_news {
            node.refresh().await;
        }
        if is_news || Instant::now() >= facts_due {
            facts_due = Instant::now() + FACTS_EVERY;
            tell_facts(node, cluster, own, &mut told).await;
        } else if let Some((_, facts)) = &mut told
            && (facts.mood, facts.edits) != own.now()
        {
            // Only this is news, so nobody is asked for the rest.
            (facts.mood, facts.edits) = own.now();
            publish(cluster, facts);
        }
        let wish =
            cluster.picture().and_then(|picture| overlay::wish(&picture, kept.unix_s(node.uptime_s())));
        if wish.is_some() && wish != wished {
            match write(wish.as_ref()) {
                Ok(()) => wished = wish,
                Err(error) => {
                    say(Level::Warning, &format!("duet: the overlay is not told of its peers: {error:#}"))
                }
            }
        }
        keep_known(cluster, &mut known);
        // Whatever is heard, or nothing: the next turn looks for itself. A picture follows an event within 100 ms.
        tokio::select! {
            _ = news.recv() => tokio::time::sleep(gossip::PICTURE_EVERY).await,
            () = other_mood(&mut moods) => tokio::time::sleep(MOOD_SETTLES).await,
            () = tokio::time::sleep(WISH_EVERY) => {}
        }
    }
    say(Level::Warning, "duet: the gossip has ended by a fault; it begins anew");
}

/// Until somebody begins or ends to speak.
async fn other_mood(moods: &mut broadcast::Receiver<Told>) {
    loop {
        match moods.recv().await {
            Ok(Told { news: News::Mood { .. }, .. }) | Err(broadcast::error::RecvError::Lagged(_)) => return,
            Ok(_) => {}
            Err(broadcast::error::RecvError::Closed) => return std::future::pending().await,
        }
    }
}

fn publish(cluster: &Cluster, facts: &Facts) {
    match facts.encode() {
        Ok(body) => cluster.order(Order::Publish(body)),
        Err(error) => say(Level::Warning, &format!("duet: this node's facts cannot be told: {error}")),
    }
}

async fn tell_facts(node: &Node, cluster: &Cluster, own: &Own, told: &mut Option<(Instant, Facts)>) {
    let status = Status { hearing: Some(own.ear.status()), tools: own.tools.load(), ..node.status().await };
    if let Some(picture) = cluster.picture() {
        for node in doubts::nodes(&picture.members, &status.holds.doubts) {
            cluster.unreachable(node, doubts::SERVICE);
        }
    }
    let mut facts = facts::tell(&status);
    facts.overlay_port = if node.overlay_key().is_some() { crate::overlay::PORT } else { 0 };
    facts.plan = cluster.plan_mark();
    (facts.mood, facts.edits) = own.now();
    facts.draining = cluster.is_draining();
    let is_due =
        told.as_ref().is_none_or(|(at, old)| at.elapsed() >= FACTS_AGE_MAX || facts::is_news(old, &facts));
    if !is_due {
        return;
    }
    publish(cluster, &facts);
    *told = Some((Instant::now(), facts));
}

/// Keeps where others were heard, for a start after a crash.
fn keep_known(cluster: &Cluster, kept: &mut Vec<SocketAddrV4>) {
    let Some(picture) = cluster.picture() else { return };
    let known = known::remember(&picture, kept);
    if known::is_same(&known, kept) {
        return;
    }
    match runtime::write(known::KNOWN_FILE, known::to_text(&known).as_bytes(), runtime::For::Agent) {
        Ok(()) => *kept = known,
        Err(error) => say(Level::Warning, &format!("duet: a restart will not know the others: {error}")),
    }
}

fn write(wish: Option<&overlay::Wish>) -> anyhow::Result<()> {
    let text = serde_json::to_string(&wish).context("cannot write the overlay's peers as JSON")?;
    runtime::write(overlay::WISH_FILE, text.as_bytes(), runtime::For::Everybody)
        .context("cannot write a file")
}
