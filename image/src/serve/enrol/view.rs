//! The cluster's PCs as viewers see them: `GET /v1/nodes`, `GET /v1/nodes/<id>`, `duet nodes list`.

use super::Enrolment;
use super::book::{Failure, Job, Record, Standing};
use crate::releases::unix_now_s;
use crate::serve::Shared;
use crate::serve::pcs::{Pc, Stage, plain_text};
use admission::{Hardware, ModelsTold, NodeId};
use release::Mac;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

pub const NODES_PATH: &str = "/v1/nodes";
/// Followed by a node id.
pub const NODE_PATH: &str = "/v1/nodes/";
/// Failures shown of one PC.
const FAILURES_SHOWN_MAX: usize = 16;

/// The whole cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Nodes {
    pub cluster: String,
    pub policy: String,
    /// How long new PCs are still taken in without a word, under policy `window`.
    pub window_open_s: u64,
    /// Number of the current ring key, and of the one on its way.
    pub ring: u32,
    pub ring_next: Option<u32>,
    pub nodes: Vec<NodeView>,
    /// The last failures of all PCs, newest first.
    pub failures: Vec<Failure>,
}

/// One PC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeView {
    pub id: String,
    pub name: String,
    pub mac: String,
    pub address: Option<String>,
    pub state: State,
    /// The six digits on the PC's screen; only the owner's socket tells them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// How the gossip sees it now: `alive`, `down`, `left` and so on; absent if it never did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gossip: Option<String>,
    /// The part it plays, as it tells: `edge`, `mid`, `core`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    /// How far its models are; only the owner's socket tells it, of PCs that live and say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<ModelsTold>,
    /// Why its last call failed.
    pub sentence: Option<String>,
    pub approved: bool,
    pub called_s_ago: u64,
    pub admitted_s_ago: Option<u64>,
    pub certificate_expires_in_s: Option<u64>,
    pub release: String,
    pub hardware: Hardware,
    pub n_failures: usize,
    /// Its last failures, newest first; in `GET /v1/nodes/<id>` only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<Failure>,
}

/// How far a PC has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Known from an earlier run of the server.
    Known,
    Called,
    WaitingForApproval,
    Admitted,
    /// Admitted, and its agent stands by its release.
    Healthy,
    Failed,
    Removed,
}

impl State {
    pub const fn as_str(self) -> &'static str {
        match self {
            State::Known => "known",
            State::Called => "called",
            State::WaitingForApproval => "waits for you",
            State::Admitted => "admitted",
            State::Healthy => "healthy",
            State::Failed => "failed",
            State::Removed => "removed",
        }
    }
}

/// For anyone: without codes.
pub(crate) fn nodes(enrolment: &Enrolment, shared: &Shared) -> Nodes {
    let mut nodes = for_owner(enrolment, shared);
    for node in &mut nodes.nodes {
        node.code = None;
    }
    nodes
}

/// One PC with its failures, without its code.
pub(crate) fn node(enrolment: &Enrolment, shared: &Shared, id: NodeId) -> Option<NodeView> {
    let all = nodes(enrolment, shared);
    let mut view = all.nodes.into_iter().find(|node| node.id == id.to_string())?;
    let own = all.failures.into_iter().filter(|failure| failure.mac == view.mac);
    view.failures = own.take(FAILURES_SHOWN_MAX).collect();
    Some(view)
}

/// With codes, for the owner's socket.
pub(crate) fn for_owner(enrolment: &Enrolment, shared: &Shared) -> Nodes {
    let now_s = unix_now_s();
    let (settings, healthy) = {
        let desk = shared.desk();
        let is_healthy = |pc: &Pc| pc.stage() == Some(Stage::Healthy);
        let healthy: BTreeSet<Mac> =
            desk.pcs.iter().filter(|(_, pc)| is_healthy(pc)).map(|(mac, _)| *mac).collect();
        (desk.settings.clone(), healthy)
    };
    let seen = seen_by_gossip(enrolment);
    let registrar = enrolment.registrar(&settings);
    let ring = registrar.key_ring();
    let failures: Vec<Failure> = registrar.failures().rev().cloned().collect();
    let view = |(id, record): (&NodeId, &Record)| {
        let name = settings.name_of(&record.mac).to_string();
        let healthy = healthy.contains(&record.mac);
        let n_failures = failures.iter().filter(|failure| failure.mac == record.mac.to_string()).count();
        let (gossip, tier) = seen.get(id).cloned().unzip();
        NodeView { gossip, tier: tier.flatten(), ..node_view(*id, name, record, healthy, n_failures, now_s) }
    };
    let mut nodes: Vec<NodeView> = registrar.book.nodes.iter().map(view).collect();
    // Who needs the owner comes first.
    nodes.sort_by(|a, b| (rank(a.state), &a.name).cmp(&(rank(b.state), &b.name)));
    Nodes {
        cluster: admission::ClusterId::of(&registrar.authority()).to_string(),
        policy: registrar.policy.as_str().to_owned(),
        window_open_s: registrar.book.window_until_s.saturating_sub(now_s),
        ring: ring.current().number(),
        ring_next: ring.next().map(admission::RingKey::number),
        nodes,
        failures,
    }
}

/// How each is, and its tier where it told one.
fn seen_by_gossip(enrolment: &Enrolment) -> BTreeMap<NodeId, (String, Option<String>)> {
    let Some(watcher) = enrolment.watcher.get() else { return BTreeMap::new() };
    let told = |member: &gossip::Member| {
        let tier = member.facts.as_ref().map(|facts| facts.tier.as_str().to_owned());
        (member.id, (member.standing.to_owned(), tier))
    };
    watcher.picture().members.iter().map(told).collect()
}

fn rank(state: State) -> u8 {
    match state {
        State::WaitingForApproval => 0,
        State::Failed => 1,
        State::Called => 2,
        State::Healthy | State::Admitted => 3,
        State::Known => 4,
        State::Removed => 5,
    }
}

fn node_view(
    id: NodeId,
    name: String,
    record: &Record,
    healthy: bool,
    n_failures: usize,
    now_s: u64,
) -> NodeView {
    let (mut code, mut sentence) = (None, None);
    let state = match (&record.standing, &record.job) {
        (_, Job::Waiting { code: shown }) => {
            code = Some(shown.to_string());
            State::WaitingForApproval
        }
        (Standing::Removed { .. }, _) => State::Removed,
        (_, Job::Quiet) => State::Known,
        (_, Job::Called) => State::Called,
        (_, Job::Admitted { .. }) if healthy => State::Healthy,
        (_, Job::Admitted { .. }) => State::Admitted,
        (_, Job::Failed { sentence: why, .. }) => {
            sentence = Some(why.clone());
            State::Failed
        }
    };
    let expires = record.issued.map(|issued| issued.certificate.claim().expires_s);
    let admitted = match record.job {
        Job::Admitted { unix_s } => Some(now_s.saturating_sub(unix_s)),
        _ => None,
    };
    NodeView {
        id: id.to_string(),
        name,
        mac: record.mac.to_string(),
        address: record.address.map(|address| address.to_string()),
        state,
        code,
        gossip: None,
        tier: None,
        models: None,
        sentence,
        approved: record.standing == Standing::Member { approved: true },
        called_s_ago: now_s.saturating_sub(record.called_unix_s),
        admitted_s_ago: admitted,
        certificate_expires_in_s: expires.map(|expires| expires.saturating_sub(now_s)),
        release: record.release.clone(),
        hardware: Hardware { processor: plain_text(&record.hardware.processor), ..record.hardware.clone() },
        n_failures,
        failures: Vec::new(),
    }
}
