//! The rings that this node has a part in: stages come and go with what the node is to hold.
//!
//! Nothing listens before the first part is here.

use super::head::Split;
use super::{Ring, door, say, stage};
use crate::overlay;
use service::log::{self, Level};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;
use tokio::runtime::Handle;
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
    pub ring: Ring,
}

/// Keeps the stages behind heads, and makes heads.
pub struct Keeper {
    listen: SocketAddr,
    /// File with the node's overlay address.
    overlay: PathBuf,
    n_threads: u32,
    rings: Option<(Handle, door::Registry)>,
    stages: BTreeMap<String, (Share, AbortHandle)>,
}

impl Keeper {
    pub fn new(listen: SocketAddr, overlay: PathBuf, n_threads: u32) -> Keeper {
        Keeper { listen, overlay, n_threads, rings: None, stages: BTreeMap::new() }
    }

    /// These stages are to be here from now on, and no others.
    pub fn follow(&mut self, shares: &[Share]) {
        self.stages.retain(|_, (share, task)| {
            let stays = shares.contains(share) && !task.is_finished();
            if !stays {
                task.abort();
            }
            stays
        });
        for share in shares {
            if self.stages.contains_key(&share.name) {
                continue;
            }
            match self.rings() {
                Ok((rings, registry)) => {
                    let task = rings.spawn(keep(share.clone(), self.n_threads, registry));
                    self.stages.insert(share.name.clone(), (share.clone(), task.abort_handle()));
                }
                Err(error) => log::say(Level::Warning, &format!("rpc-worker: no part in a ring: {error:#}")),
            }
        }
    }

    /// The head of a ring.
    pub fn head(&mut self, share: &Share) -> anyhow::Result<Split> {
        cut(share)?;
        let (rings, registry) = self.rings()?;
        Split::new(&share.slice, &share.ring, self.n_threads, &rings, &registry)
    }

    fn rings(&mut self) -> anyhow::Result<(Handle, door::Registry)> {
        if self.rings.is_none() {
            let (rings, registry) = say::connections(self.listen)?;
            let (file, port, guests) = (self.overlay.clone(), self.listen.port(), registry.clone());
            rings.spawn(async move {
                overlay::serve(&file, port, |listener| door::serve(listener, guests.clone())).await;
            });
            self.rings = Some((rings, registry));
        }
        self.rings.clone().ok_or_else(|| anyhow::anyhow!("the rings' thread did not start"))
    }
}

/// One stage, as long as it is wished.
async fn keep(share: Share, n_threads: u32, registry: door::Registry) {
    let name = share.name.clone();
    let (slice, ring) = (share.slice.clone(), share.ring.clone());
    let done = match tokio::task::spawn_blocking(move || cut(&share)).await {
        Ok(Ok(())) => stage::run(&slice, ring, n_threads, registry, false).await,
        Ok(Err(error)) => Err(error),
        Err(error) => Err(error.into()),
    };
    if let Err(error) = done {
        log::say(Level::Warning, &format!("rpc-worker: no stage of {name} here: {error:#}"));
    }
}

/// Cuts the slice if it is not there yet.
fn cut(share: &Share) -> anyhow::Result<()> {
    if !share.slice.exists() {
        gguf::write_slice_file(&share.model, share.layers.clone(), &share.slice)?;
    }
    Ok(())
}
