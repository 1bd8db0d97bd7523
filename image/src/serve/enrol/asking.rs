//! How far the models of each PC are: asked by signed orders while the owner looks at `duet nodes list`.
//!
//! It is no fact of the gossip, where it would change with every chunk. A node remembers each order for two minutes and
//! takes few of them, so what it said holds for some seconds. One that does not answer, or is of an older release, tells
//! nothing.

use super::view::Nodes;
use super::{Enrolment, control};
use crate::serve::Shared;
use admission::{ModelsTold, NodeId, Wish};
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// A node is asked again after this. It takes 64 orders in two minutes, and this asks it at most 24 times.
const HOLDS: Duration = Duration::from_secs(5);
/// What it said is shown so long, where others were asked before it was its turn again.
const SHOWN: Duration = Duration::from_secs(60);
/// The owner waits no longer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(2);
/// Nodes that are asked at one look.
const ASKING_MAX: usize = 64;

/// When each node was asked last, and what it said when.
#[derive(Debug, Default)]
pub(super) struct Heard(BTreeMap<NodeId, (Instant, Option<(Instant, ModelsTold)>)>);

impl Heard {
    /// Those of the live nodes that are to be asked now, who waits longest first; what others said is forgotten.
    fn due(&mut self, live: &[NodeId], now: Instant) -> Vec<NodeId> {
        self.0.retain(|node, _| live.contains(node));
        let asked = |node: &NodeId| self.0.get(node).map(|(asked, _)| *asked);
        let is_due = |node: &&NodeId| asked(node).is_none_or(|asked| now.duration_since(asked) >= HOLDS);
        let mut due: Vec<NodeId> = live.iter().filter(is_due).copied().collect();
        due.sort_by_key(asked);
        due.truncate(ASKING_MAX);
        // Two who look at once do not ask twice.
        for node in &due {
            self.0.entry(*node).or_insert((now, None)).0 = now;
        }
        due
    }

    /// Nothing was said where it did not answer.
    fn answered(&mut self, node: NodeId, now: Instant, told: Option<ModelsTold>) {
        self.0.insert(node, (now, told.map(|told| (now, told))));
    }

    fn told(&self, node: NodeId, now: Instant) -> Option<&ModelsTold> {
        let (at, told) = self.0.get(&node)?.1.as_ref()?;
        (now.duration_since(*at) < SHOWN).then_some(told)
    }
}

/// Asks whoever lives, and writes into the view what they say.
pub(super) async fn models(enrolment: &Arc<Enrolment>, shared: &Arc<Shared>, nodes: &mut Nodes) {
    let is_live = |gossip: &Option<String>| gossip.as_deref() == Some("alive");
    let live = nodes.nodes.iter().filter(|node| is_live(&node.gossip));
    let live: Vec<NodeId> = live.filter_map(|node| NodeId::parse(&node.id)).collect();
    let due = heard(enrolment).due(&live, Instant::now());
    let mut asking = JoinSet::new();
    for node in due {
        let (enrolment, shared) = (enrolment.clone(), shared.clone());
        asking.spawn(async move { (node, ask(&enrolment, &shared, node).await) });
    }
    while let Some(done) = asking.join_next().await {
        let Ok((node, told)) = done else { continue };
        heard(enrolment).answered(node, Instant::now(), told);
    }
    let (heard, now) = (heard(enrolment), Instant::now());
    for view in &mut nodes.nodes {
        view.models = NodeId::parse(&view.id).and_then(|node| heard.told(node, now).cloned());
    }
}

fn heard(enrolment: &Enrolment) -> std::sync::MutexGuard<'_, Heard> {
    enrolment.heard.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn ask(enrolment: &Enrolment, shared: &Shared, node: NodeId) -> Option<ModelsTold> {
    let name = node.to_string();
    let report = control::report(enrolment, shared, (node, &name), Wish::Models);
    let text = tokio::time::timeout(ANSWER_TIME_MAX, report).await.ok()?.ok()?;
    ModelsTold::parse(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_asked_again_only_when_its_answer_holds_no_longer() {
        let (mut heard, now, a, b) = (Heard::default(), Instant::now(), NodeId(1), NodeId(2));
        assert_eq!(heard.due(&[a, b], now), [a, b]);
        // Also while they are asked.
        assert_eq!(heard.due(&[a, b], now), []);
        heard.answered(a, now, Some(ModelsTold { n_files: 1, ..ModelsTold::default() }));
        // One that told nothing is left alone as long.
        heard.answered(b, now, None);
        assert_eq!(heard.due(&[a, b], now + HOLDS / 2), []);
        let n_files = |heard: &Heard, at| heard.told(a, at).map(|told| told.n_files);
        assert_eq!((n_files(&heard, now), heard.told(b, now)), (Some(1), None));
        assert_eq!(heard.due(&[a, b], now + HOLDS), [a, b]);
        assert_eq!((n_files(&heard, now + HOLDS), n_files(&heard, now + SHOWN)), (Some(1), None));
    }

    #[test]
    fn who_is_gone_is_forgotten() {
        let (mut heard, now) = (Heard::default(), Instant::now());
        heard.answered(NodeId(1), now, Some(ModelsTold::default()));
        assert_eq!(heard.due(&[], now), []);
        assert_eq!(heard.told(NodeId(1), now), None);
    }

    #[test]
    fn a_look_asks_no_more_than_so_many_and_the_next_one_the_others() {
        let all: Vec<NodeId> = (0..2 * ASKING_MAX as u64).map(NodeId).collect();
        let (mut heard, now) = (Heard::default(), Instant::now());
        assert_eq!(heard.due(&all, now), all[..ASKING_MAX]);
        assert_eq!(heard.due(&all, now + HOLDS), all[ASKING_MAX..]);
        assert_eq!(heard.due(&all, now + 2 * HOLDS), all[..ASKING_MAX]);
    }
}
