//! The hands of the cluster: starts the gossip when this node became a member, tells it facts, hands the overlay its peers.

use crate::cluster::{Cluster, doubts, facts, known, overlay};
use crate::enrolling::{Joined, random};
use crate::facts::Status;
use crate::hear::desk::Desk;
use crate::io::node::Node;
use crate::io::{kept::Kept, runtime};
use ::cluster::{Config, Facts};
use anyhow::{Context, bail};
use gossip::{Order, PORT};
use service::log::{Level, say};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Asking for facts costs two processes of systemd's.
const FACTS_EVERY: Duration = Duration::from_secs(10);
/// What is no news is told again after this time.
const FACTS_AGE_MAX: Duration = Duration::from_secs(60);
/// The overlay follows at the latest after this time; what happens in the cluster is followed at once.
const WISH_EVERY: Duration = Duration::from_secs(2);
/// After the gossip could not begin.
const RETRY: Duration = Duration::from_secs(5);

/// Never ends. Each new membership begins the gossip anew, with its certificate.
pub async fn run(node: Arc<Node>, cluster: Arc<Cluster>, ear: Arc<Desk>, mut joined: Joined) {
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
            () = tell(&node, &cluster, &ear, &kept) => tokio::time::sleep(RETRY).await,
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
async fn tell(node: &Node, cluster: &Cluster, ear: &Desk, kept: &Kept) {
    let (mut told, mut wished): (Option<(Instant, Facts)>, _) = (None, None);
    let mut news = cluster.listen();
    let mut facts_due = Instant::now();
    let mut known = last_known();
    while !cluster.has_lost_gossip() {
        let follows = told.as_ref().and_then(|(_, facts)| facts.plan);
        let is_news = cluster.plan_mark() != follows || node.holds_anew().await;
        if is_news {
            node.refresh().await;
        }
        if is_news || Instant::now() >= facts_due {
            facts_due = Instant::now() + FACTS_EVERY;
            tell_facts(node, cluster, ear, &mut told).await;
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
        let heard = tokio::time::timeout(WISH_EVERY, news.recv()).await;
        if heard.is_ok() {
            tokio::time::sleep(gossip::PICTURE_EVERY).await;
        }
    }
    say(Level::Warning, "duet: the gossip has ended by a fault; it begins anew");
}

async fn tell_facts(node: &Node, cluster: &Cluster, ear: &Desk, told: &mut Option<(Instant, Facts)>) {
    let status = Status { hearing: Some(ear.status()), ..node.status().await };
    if let Some(picture) = cluster.picture() {
        for node in doubts::nodes(&picture.members, &status.holds.doubts) {
            cluster.unreachable(node, doubts::SERVICE);
        }
    }
    let mut facts = facts::tell(&status);
    facts.overlay_port = if node.overlay_key().is_some() { crate::overlay::PORT } else { 0 };
    facts.plan = cluster.plan_mark();
    let is_due =
        told.as_ref().is_none_or(|(at, old)| at.elapsed() >= FACTS_AGE_MAX || facts::is_news(old, &facts));
    if !is_due {
        return;
    }
    match facts.encode() {
        Ok(body) => cluster.order(Order::Publish(body)),
        Err(error) => say(Level::Warning, &format!("duet: this node's facts cannot be told: {error}")),
    }
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
