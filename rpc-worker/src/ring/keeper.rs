//! The rings that this node has a part in: stages come and go with what the node is to hold.
//!
//! Nothing listens before the first part is here.

use super::hands::Ask;
use super::head::Split;
use super::told::{Part, Parts};
use super::{Ring, door, say, seat, stage};
use crate::backoff::Backoff;
use service::log::{self, Level};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::runtime::Handle;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// This node's part of a ring.
#[derive(Debug, Clone, PartialEq)]
pub struct Share {
    /// The expert that the ring serves.
    pub name: String,
    /// The file with just these layers; it is cut from the model if it is not there.
    pub slice: PathBuf,
    pub model: PathBuf,
    pub layers: Range<u64>,
    /// Layers of the whole model.
    pub of: u64,
    pub ring: Ring,
}

impl Share {
    /// Whether only the neighbours differ, so that what is loaded and computed can stay.
    pub fn is_same_slice(&self, other: &Share) -> bool {
        let sizes = |ring: &Ring| (ring.n_ctx, ring.n_slots);
        let own = (&self.name, &self.slice, &self.model, &self.layers, self.of, sizes(&self.ring));
        own == (&other.name, &other.slice, &other.model, &other.layers, other.of, sizes(&other.ring))
    }
}

/// Keeps the stages behind heads, and makes heads.
pub struct Keeper {
    listen: SocketAddr,
    /// File with the node's overlay address.
    overlay: PathBuf,
    n_threads: u32,
    rings: Option<(Handle, door::Registry)>,
    stages: BTreeMap<String, Kept>,
    heads: BTreeMap<String, (Arc<engine::Model>, UnboundedSender<Ask>)>,
    parts: Parts,
}

struct Kept {
    share: Share,
    ring: watch::Sender<Ring>,
    task: AbortHandle,
}

impl Keeper {
    pub fn new(listen: SocketAddr, overlay: PathBuf, n_threads: u32) -> Keeper {
        let (stages, heads) = (BTreeMap::new(), BTreeMap::new());
        Keeper { listen, overlay, n_threads, rings: None, stages, heads, parts: Parts::default() }
    }

    /// What the parts tell.
    pub fn parts(&self) -> Parts {
        self.parts.clone()
    }

    /// These stages are to be here from now on, and no others; heads of these experts may be here too.
    pub fn follow(&mut self, shares: &[Share], heads: &[&str]) {
        self.stages.retain(|name, kept| {
            let share = shares.iter().find(|share| share.name == *name);
            let stays = share.filter(|share| kept.share.is_same_slice(share) && !kept.task.is_finished());
            let Some(share) = stays else {
                kept.task.abort();
                return false;
            };
            if kept.share != *share {
                kept.share = share.clone();
                // If nobody hears it, the task has just ended, and is begun anew the next time.
                let _ = kept.ring.send(share.ring.clone());
            }
            true
        });
        self.heads.retain(|name, _| heads.contains(&name.as_str()));
        let is_stage = |name: &str| shares.iter().any(|share| share.name == name);
        self.parts.keep(|name| is_stage(name) || heads.contains(&name));
        for share in shares {
            if self.stages.contains_key(&share.name) {
                continue;
            }
            match self.rings() {
                Ok((rings, registry)) => {
                    let part = self.parts.begin(share);
                    let (ring, wishes) = watch::channel(share.ring.clone());
                    let task = rings.spawn(keep(share.clone(), self.n_threads, registry, wishes, part));
                    let kept = Kept { share: share.clone(), ring, task: task.abort_handle() };
                    self.stages.insert(share.name.clone(), kept);
                }
                Err(error) => log::say(Level::Warning, &format!("rpc-worker: no part in a ring: {error:#}")),
            }
        }
    }

    /// The head of a ring.
    pub fn head(&mut self, share: &Share) -> anyhow::Result<Split> {
        let part = self.parts.begin(share);
        let made = self.make_head(share, &part);
        if let Err(error) = &made {
            part.failed(&format!("{error:#}"));
        }
        made
    }

    fn make_head(&mut self, share: &Share, part: &Part) -> anyhow::Result<Split> {
        cut(share)?;
        let (rings, registry) = self.rings()?;
        let split =
            Split::new(&share.slice, &share.ring, self.n_threads, &rings, &registry, Some(part.clone()))?;
        self.heads.insert(share.name.clone(), split.reins());
        Ok(split)
    }

    /// A head that is here has other neighbours; what it is at goes on.
    pub fn remake(&mut self, share: &Share) {
        let Some((model, reins)) = self.heads.get(&share.name) else { return };
        let name = &share.name;
        match seat(model, &share.ring) {
            // If it is gone, so are those who wait for it.
            Ok(seat) => _ = reins.send(Ask::Remake(seat)),
            Err(error) => {
                let line = format!("rpc-worker: {name} stays in its old ring: {error:#}");
                log::say(Level::Warning, &line);
            }
        }
    }

    fn rings(&mut self) -> anyhow::Result<(Handle, door::Registry)> {
        if self.rings.is_none() {
            let (rings, registry) = say::connections(self.listen)?;
            let (file, port, guests) = (self.overlay.clone(), self.listen.port(), registry.clone());
            rings.spawn(async move {
                service::overlay::serve("rpc-worker", &file, port, |listener| {
                    door::serve(listener, guests.clone())
                })
                .await;
            });
            self.rings = Some((rings, registry));
        }
        self.rings.clone().ok_or_else(|| anyhow::anyhow!("the rings' thread did not start"))
    }
}

/// One stage, as long as it is wished. One that cannot be is tried again, ever more seldom.
async fn keep(
    share: Share,
    n_threads: u32,
    registry: door::Registry,
    wishes: watch::Receiver<Ring>,
    part: Part,
) {
    let mut backoff = Backoff::default();
    loop {
        let done = once(&share, n_threads, &registry, &wishes, &part, &mut backoff).await;
        if let Err(error) = done {
            let why = format!("{error:#}");
            part.failed(&why);
            if backoff.is_news(&why) {
                let name = &share.name;
                log::say(Level::Warning, &format!("rpc-worker: no stage of {name} here: {why}"));
            }
        }
        tokio::time::sleep(backoff.next()).await;
    }
}

async fn once(
    share: &Share,
    n_threads: u32,
    registry: &door::Registry,
    wishes: &watch::Receiver<Ring>,
    part: &Part,
    backoff: &mut Backoff,
) -> anyhow::Result<()> {
    let whole = share.clone();
    tokio::task::spawn_blocking(move || cut(&whole)).await??;
    let ring = wishes.borrow().clone();
    let loaded = stage::load(&share.slice, &ring, n_threads, false).await?;
    *backoff = Backoff::default();
    part.loaded(loaded.bytes());
    stage::serve(loaded, wishes.clone(), registry.clone(), Some(part)).await
}

/// Cuts the slice if it is not there yet. Two experts of one model may want the same one at the same time.
fn cut(share: &Share) -> anyhow::Result<()> {
    static CUTTING: Mutex<()> = Mutex::new(());
    let _turn = CUTTING.lock().unwrap_or_else(PoisonError::into_inner);
    if !share.slice.exists() {
        gguf::write_slice_file(&share.model, share.layers.clone(), &share.slice)?;
    }
    Ok(())
}
