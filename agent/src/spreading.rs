//! Brings models to this node and on to others: in checked chunks, from peers on the overlay and from the boot server.
//!
//! `book` keeps the signed catalogue, `wants` says which of its models are to lie here, `store` is the folder, `work`
//! fetches one file after the other by the machine of `crates/spread`, `door` gives peers what is here, `shown` tells it.
//! A file is known by its BLAKE3 hash, which the boot server's authority has signed, so it does not matter who sends it.

mod book;
pub mod door;
mod shown;
mod store;
mod wants;
mod work;

pub use shown::{SpreadFile, SpreadStatus};
pub use wants::Planned;

use crate::cluster::Cluster;
use crate::io::node::Node;
use crate::serve::enrolling::Joined;
use crate::serve::keeping::live;
use crate::settings::Settings;
use admission::{CatalogueFile, SignedCatalogue};
use service::log::{Level, say};
use split::assign::slice_named;
use spread::{Bits, Root, Told, ToldFile, Tree};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv6Addr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use store::Fetched;
use tokio::sync::Semaphore;
use wants::{Beside, Want};

/// Between two looks at what is wanted and what lies here.
const TURN: Duration = Duration::from_secs(1);
/// A model that could not be fetched is tried again after this.
const AGAIN: Duration = Duration::from_secs(20);
/// A node that has just come knows no plan yet, and its first models are small.
const PLANNED_MAX: usize = 32;

pub struct Spreading {
    cluster: Arc<Cluster>,
    node: Arc<Node>,
    joined: Joined,
    settings: Arc<Settings>,
    folder: PathBuf,
    servers: Vec<SocketAddr>,
    uploads: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    catalogue: Option<Arc<SignedCatalogue>>,
    planned: Vec<Planned>,
    /// Whole files of the catalogue that lie here, by hash.
    here: BTreeMap<Root, Arc<Here>>,
    /// Files that bear a model's name and are another's, as they looked.
    others: BTreeMap<String, Mark>,
    /// Files that were fetched for an older catalogue, as they look.
    outdated: BTreeMap<String, Mark>,
    going: Option<Going>,
    /// Peers that sent wrong chunks, until the agent ends.
    liars: BTreeSet<u64>,
    /// What was said of untrue catalogues.
    untrue: BTreeSet<String>,
    /// Files that could not be fetched: when, and why.
    refused: BTreeMap<String, (Instant, String)>,
    /// How the last fetch of each file went.
    shown: BTreeMap<String, SpreadFile>,
    /// Which boot server is asked.
    server_idx: usize,
}

/// A whole file.
struct Here {
    path: PathBuf,
    tree: Arc<Tree>,
    mark: Mark,
}

/// A file that comes.
struct Going {
    root: Root,
    path: PathBuf,
    tree: Arc<Tree>,
    have: Bits,
    wants: Bits,
}

/// What a file looked like when it was hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    inode: u64,
    bytes: u64,
    seconds: i64,
    nanos: i64,
}

impl Mark {
    fn of(path: &Path) -> Option<Mark> {
        let meta = path.metadata().ok().filter(std::fs::Metadata::is_file)?;
        Some(Mark { inode: meta.ino(), bytes: meta.len(), seconds: meta.mtime(), nanos: meta.mtime_nsec() })
    }
}

impl Spreading {
    pub fn new(
        cluster: Arc<Cluster>,
        node: Arc<Node>,
        joined: Joined,
        settings: Arc<Settings>,
        folder: PathBuf,
    ) -> Spreading {
        let servers = node.boot_facts().map(|facts| facts.servers).unwrap_or_default();
        let servers = servers.iter().map(|server| SocketAddr::from((server.ip, server.port))).collect();
        let uploads = Arc::new(Semaphore::new(spread::UPLOADS_MAX));
        Spreading { cluster, node, joined, settings, folder, servers, uploads, state: Mutex::default() }
    }

    /// What the plan gives this node.
    pub fn plan(&self, mut planned: Vec<Planned>) {
        planned.truncate(PLANNED_MAX);
        self.lock().planned = planned;
    }

    /// The models that any node can fetch, and a number that changes with them.
    pub fn offered(&self) -> (u64, Vec<CatalogueFile>) {
        let catalogue = self.lock().catalogue.clone();
        catalogue.map_or((0, Vec::new()), |told| (told.version(), told.files().to_vec()))
    }

    /// Never ends.
    pub async fn run(&self) {
        tokio::join!(self.follow_catalogue(), self.fetch_all());
    }

    async fn fetch_all(&self) {
        loop {
            self.look_here().await;
            match self.missing().into_iter().next() {
                Some(want) => {
                    let file = want.file().to_owned();
                    let done = work::fetch(self, &want).await;
                    let mut state = self.lock();
                    state.going = None;
                    match done {
                        Ok(()) => drop(state.refused.remove(&file)),
                        Err(error) => {
                            let why = format!("{error:#}");
                            let old = state.refused.insert(file, (Instant::now(), why.clone()));
                            if old.is_none_or(|(_, old)| old != why) {
                                say(Level::Warning, &format!("duet: {why}"));
                            }
                        }
                    }
                }
                None => tokio::time::sleep(TURN).await,
            }
        }
    }

    fn wanted(&self) -> Vec<Want> {
        let total_mib = self.node.memory().total_kib / 1024;
        let hearing = self.settings.now().voice.hearing;
        let state = self.lock();
        let files = state.catalogue.as_ref().map_or(&[][..], |catalogue| catalogue.files());
        wants::wants(files, total_mib, &state.planned, hearing.as_deref())
    }

    /// What is wanted, not here and not refused a moment ago.
    fn missing(&self) -> Vec<Want> {
        let mut missing = self.wanted();
        let state = self.lock();
        missing.retain(|want| {
            let waits = state.refused.get(want.file()).is_some_and(|(at, _)| at.elapsed() < AGAIN);
            !waits && !self.is_here(&state, want)
        });
        missing
    }

    fn beside(&self, want: &Want) -> Beside {
        let missing = self.missing();
        let state = self.lock();
        wants::beside(&missing, want, |other| state.refused.contains_key(other.file()))
    }

    fn is_here(&self, state: &State, want: &Want) -> bool {
        match &want.slice {
            Some((_, file)) => {
                self.folder.join(file).is_file() || self.folder.join(&want.told.file).is_file()
            }
            None => {
                let is_others = state.others.contains_key(&want.told.file);
                is_others || Root::parse(&want.told.blake3).is_some_and(|root| state.here.contains_key(&root))
            }
        }
    }

    /// Hashes files of the catalogue that have come or changed, on a thread of its own.
    async fn look_here(&self) {
        let told = self.offered().1;
        // Also what no catalogue has any more: peers are sent it as long as it is what they are told.
        self.lock().here.retain(|_, here| Mark::of(&here.path) == Some(here.mark));
        for told in told {
            let path = self.folder.join(&told.file);
            let Some(root) = Root::parse(&told.blake3) else { continue };
            let mark = Mark::of(&path);
            let is_known = {
                let mut state = self.lock();
                let others = state.others.get(&told.file).copied();
                if others.is_some() && others != mark {
                    state.others.remove(&told.file);
                }
                let outdated = state.outdated.get(&told.file).copied();
                mark.is_none() || state.here.contains_key(&root) || others == mark || outdated == mark
            };
            if let (false, Some(mark)) = (is_known, mark) {
                self.learn(root, told, path, mark).await;
            }
        }
    }

    async fn learn(&self, root: Root, told: CatalogueFile, path: PathBuf, mark: Mark) {
        let from = path.clone();
        let read = tokio::task::spawn_blocking(move || store::read_tree(&from)).await;
        match read {
            Ok(Ok(tree)) if tree.root() == root => {
                self.lock().here.insert(root, Arc::new(Here { path, tree: Arc::new(tree), mark }));
            }
            // One that came from the cluster is of an older catalogue, and is fetched anew.
            Ok(Ok(_)) if Fetched::read(&self.folder).has(&told.file) => {
                self.lock().outdated.insert(told.file, mark);
            }
            Ok(Ok(_)) => {
                let file = &told.file;
                say(
                    Level::Notice,
                    &format!("duet: {file} is not the catalogue's model of that name; it stays as it is"),
                );
                self.lock().others.insert(told.file, mark);
            }
            Ok(Err(error)) => {
                let why = format!("{} cannot be read: {error:#}", told.file);
                say(Level::Warning, &format!("duet: {why}"));
                let mut state = self.lock();
                state.refused.insert(told.file.clone(), (Instant::now(), why));
                state.others.insert(told.file, mark);
            }
            Err(_) => {}
        }
    }

    /// Layers of a model that is another now are layers of none.
    fn drop_slices(&self, model: &str) {
        for file in Fetched::read(&self.folder).names() {
            if slice_named(file).is_some_and(|(of, ..)| of == model) {
                say(Level::Info, &format!("duet: {model} is another now; {file} is fetched anew"));
                let _ = std::fs::remove_file(self.folder.join(file));
            }
        }
    }

    /// Names of files that were fetched for an older catalogue.
    fn outdated(&self) -> Vec<String> {
        self.lock().outdated.keys().cloned().collect()
    }

    /// What peers are told: whole files, and what has come of one.
    fn told(&self) -> Told {
        let state = self.lock();
        let whole = state.here.iter().map(|(root, here)| ToldFile {
            root: *root,
            has: Bits::all(here.tree.n_chunks()).to_hex(),
            wants: String::new(),
        });
        let going = state.going.iter().filter(|going| !state.here.contains_key(&going.root));
        let going = going.map(|going| ToldFile {
            root: going.root,
            has: going.have.to_hex(),
            wants: going.wants.to_hex(),
        });
        Told {
            catalogue: state.catalogue.as_ref().map_or(0, |catalogue| catalogue.version()),
            files: going.chain(whole).take(spread::TOLD_FILES_MAX).collect(),
        }
    }

    /// Live peers on the overlay.
    fn peers(&self) -> BTreeMap<u64, Ipv6Addr> {
        let mut live = self.cluster.picture().map(|picture| live(&picture)).unwrap_or_default();
        let state = self.lock();
        live.retain(|peer, _| !state.liars.contains(peer));
        live
    }

    fn name_of(&self, peer: u64) -> String {
        let picture = self.cluster.picture();
        let member = picture.as_ref().and_then(|picture| picture.members.iter().find(|m| m.id.0 == peer));
        let name = member.map(|member| member.name.clone()).filter(|name| !name.is_empty());
        name.unwrap_or_else(|| format!("{peer:016x}"))
    }

    fn server(&self) -> Option<SocketAddr> {
        let idx = self.lock().server_idx;
        self.servers.get(idx % self.servers.len().max(1)).copied()
    }

    fn next_server(&self) {
        let mut state = self.lock();
        state.server_idx = state.server_idx.wrapping_add(1);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
