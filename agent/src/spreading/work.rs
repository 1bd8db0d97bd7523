//! Fetches one file: the hands of `spread::Fetch`. It asks peers what they have, gets chunks, holds each to the tree,
//! writes it, and tells the machine.

use super::store::{Fetched, Part, Room};
use super::wants::{Beside, Want};
use super::{Going, Here, Mark, SpreadFile, Spreading, door};
use crate::args::PORT;
use anyhow::{Context, Result, bail, ensure};
use service::log::{Level, say};
use service::upstream;
use spread::{
    Bits, CHUNK_BYTES, FLIGHT_TIME_MAX, Failure, Fetch, Input, LOOK_EVERY, Output, OwnId, Root, Source,
    TOLD_BYTES_MAX, Told, Tree,
};
use std::collections::BTreeSet;
use std::net::{Ipv6Addr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// A fetch that gets nothing for so long ends, and begins anew.
const STALL: Duration = Duration::from_secs(90);
/// The same while others wait, which go on meanwhile; four chunks at once take 27 s at 5 Mbit/s.
const STALL_AMONG: Duration = Duration::from_secs(30);
const LOOK_TIME_MAX: Duration = Duration::from_secs(2);
const TREE_TIME_MAX: Duration = Duration::from_secs(10);
/// The head of a model with a large vocabulary has 6 MB.
const HEAD_CHUNKS_MAX: u32 = 16;

/// What a task comes back with.
enum Event {
    Came { from: Source, chunk: u32, is_good: bool },
    Failed { from: Source, chunk: u32, how: Failure },
    Unwritten(std::io::Error),
    Looked { peer: u64, told: Option<Told> },
}

struct Job<'a> {
    spreading: &'a Spreading,
    want: &'a Want,
    root: Root,
    tree: Arc<Tree>,
    part: Arc<Part>,
    began: Instant,
    n_came: u64,
}

/// Gets what is wanted into the folder, or says why not.
pub async fn fetch(spreading: &Spreading, want: &Want) -> Result<()> {
    let file = &want.told.file;
    let root = Root::parse(&want.told.blake3).context("the catalogue has no hash")?;
    let folder = &spreading.folder;
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    if want.slice.is_none() {
        // Before anything of it is asked for; what an earlier run left is counted twice, so it is looked at again below.
        let left = Part::path_of(folder, file);
        if !left.exists() {
            make_room(spreading, want, want.told.bytes)?;
        }
    }
    let tree = Arc::new(tree_of(spreading, root, want).await?);
    let (opening, name) = (tree.clone(), file.clone());
    let from = folder.clone();
    let (part, have) = tokio::task::spawn_blocking(move || Part::open(&from, &name, &opening)).await??;
    Fetched::read(folder).add(folder, &format!("{file}.part"))?;
    let (n, part) = (tree.n_chunks(), Arc::new(part));
    let mut job = Job { spreading, want, root, tree, part, began: Instant::now(), n_came: 0 };
    match &want.slice {
        None => {
            let have = job.run(Bits::all(n), have, 0).await?;
            match have.count() == n {
                true => job.finish().await,
                false => Ok(()),
            }
        }
        Some((layers, to)) => job.slice(layers.clone(), to, have).await,
    }
}

/// One run of the machine, and what it has under way.
struct Round {
    fetch: Fetch,
    began: Instant,
    tasks: JoinSet<Event>,
    /// Peers that told what they have.
    known: BTreeSet<u64>,
    last_came: Instant,
}

impl Round {
    fn new(own: u64, needed: Bits, have: Bits) -> Round {
        // Nodes that came up together have other ids, and begin at other places.
        let fetch = Fetch::new(Duration::ZERO, OwnId(own), own, needed, have);
        let now = Instant::now();
        Round { fetch, began: now, tasks: JoinSet::new(), known: BTreeSet::new(), last_came: now }
    }

    fn handle(&mut self, input: Input<'_>) {
        self.fetch.handle(self.began.elapsed(), input);
    }

    fn wake(&self) -> tokio::time::Instant {
        let at = self.fetch.deadline().map(|at| tokio::time::Instant::from_std(self.began + at));
        at.unwrap_or_else(|| tokio::time::Instant::now() + LOOK_EVERY)
    }
}

impl Job<'_> {
    /// Fetches the missing of these chunks, and has room for so many bytes more afterwards; says what is there then.
    /// It ends early when the model is not wanted any more, or another goes before it.
    async fn run(&mut self, needed: Bits, have: Bits, beside_bytes: u64) -> Result<Bits> {
        let missing = needed.without(&have);
        let bytes: u64 =
            missing.iter().map(|chunk| self.tree.place(chunk)).map(|place| place.end - place.start).sum();
        make_room(self.spreading, self.want, bytes.saturating_add(beside_bytes))?;
        self.went(&have, &missing);
        let own = self.spreading.cluster.picture().map_or(0, |picture| picture.own.0);
        let mut round = Round::new(own, needed, have);
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let is_done = self.perform(&mut round);
            if is_done {
                self.shares(&round.fetch);
                return Ok(round.fetch.have().clone());
            }
            let wake = round.wake();
            tokio::select! {
                Some(event) = round.tasks.join_next(), if !round.tasks.is_empty() => {
                    self.on(&mut round, event.context("a part of the fetch failed")?)?;
                }
                _ = looks.tick() => {
                    if !self.goes_on(&mut round)? {
                        return Ok(round.fetch.have().clone());
                    }
                }
                () = tokio::time::sleep_until(wake) => round.handle(Input::Tick),
            }
        }
    }

    /// Does what the machine wishes; says whether all has come.
    fn perform(&self, round: &mut Round) -> bool {
        while let Some(output) = round.fetch.poll() {
            match output {
                Output::Ask { from, chunk } => self.ask(&mut round.tasks, from, chunk),
                Output::Dropped { from, chunk } => self.dropped(from, chunk),
                Output::Done => return true,
            }
        }
        false
    }

    fn on(&mut self, round: &mut Round, event: Event) -> Result<()> {
        match event {
            Event::Came { from, chunk, is_good } => {
                round.handle(Input::Came { from, chunk, is_good });
                if is_good {
                    (round.last_came, self.n_came) = (Instant::now(), self.n_came + 1);
                    self.went(round.fetch.have(), &round.fetch.missing());
                    self.shares(&round.fetch);
                }
            }
            Event::Failed { from, chunk, how } => {
                if from == Source::Server && how == Failure::Broken {
                    self.spreading.next_server();
                }
                round.handle(Input::Failed { from, chunk, how });
            }
            Event::Unwritten(error) => bail!("{} cannot be written: {error}", self.part.path().display()),
            Event::Looked { peer, told } => {
                // One that cut its layers out has nothing more of the file, and is waited for no longer.
                if let Some((has, wants)) = told.map(|told| told.of(self.root, self.tree.n_chunks())) {
                    round.known.insert(peer);
                    round.handle(Input::Told { peer, has: &has, wants: &wants });
                }
            }
        }
        Ok(())
    }

    /// Looks at the peers, unless the model is not wanted any more or makes way for another.
    fn goes_on(&self, round: &mut Round) -> Result<bool> {
        let stall = match self.spreading.beside(self.want) {
            Beside::Gone | Beside::First => return Ok(false),
            Beside::Some => STALL_AMONG,
            Beside::None => STALL,
        };
        ensure!(
            round.last_came.elapsed() < stall,
            "{} does not come: neither the boot server nor a peer sends what is missing; it is tried again",
            self.want.told.file
        );
        let peers = self.spreading.peers();
        for peer in round.known.clone().into_iter().filter(|peer| !peers.contains_key(peer)) {
            round.handle(Input::Gone { peer });
            round.known.remove(&peer);
        }
        for (peer, address) in peers {
            round.tasks.spawn(async move { Event::Looked { peer, told: look_at(address).await } });
        }
        Ok(true)
    }

    /// Starts to get a chunk.
    fn ask(&self, tasks: &mut JoinSet<Event>, from: Source, chunk: u32) {
        let place = self.tree.place(chunk);
        let asked = match from {
            Source::Server => self.spreading.server().map(|server| {
                let range = format!("bytes={}-{}", place.start, place.end - 1);
                (server, format!("/models/{}", self.root), Some(range))
            }),
            Source::Peer(peer) => self.spreading.peers().get(&peer).map(|address| {
                (SocketAddr::from((*address, PORT)), format!("{}{}/{chunk}", door::CHUNK, self.root), None)
            }),
        };
        let (tree, part) = (self.tree.clone(), self.part.clone());
        tasks.spawn(async move {
            let failed = |how| Event::Failed { from, chunk, how };
            let Some((address, path, range)) = asked else { return failed(Failure::Broken) };
            let fields: Vec<(&'static str, &str)> =
                range.iter().map(|range| ("range", range.as_str())).collect();
            match ask(address, &path, &fields, CHUNK_BYTES as usize, FLIGHT_TIME_MAX).await {
                Err(how) => failed(how),
                Ok(bytes) => keep(tree, part, from, chunk, bytes).await,
            }
        });
    }

    fn dropped(&self, from: Source, chunk: u32) {
        let file = &self.want.told.file;
        match from {
            Source::Server => say(
                Level::Warning,
                &format!(
                    "duet: chunk {chunk} of {file} is wrong at the boot server; `duet models verify` says more"
                ),
            ),
            Source::Peer(peer) => {
                let name = self.spreading.name_of(peer);
                say(
                    Level::Warning,
                    &format!("duet: {name} sent a wrong chunk of {file} and is not asked again"),
                );
                let mut state = self.spreading.lock();
                state.liars.insert(peer);
                state.shown.entry(self.want.file().to_owned()).or_default().dropped.push(name);
            }
        }
    }

    /// Tells peers and whoever looks how far it is.
    fn went(&self, have: &Bits, missing: &Bits) {
        let (have, wants) = (have.clone(), missing.clone());
        let path = self.part.path().to_owned();
        let going = Going { root: self.root, path, tree: self.tree.clone(), have, wants };
        self.spreading.lock().going = Some(going);
    }

    fn shares(&self, fetch: &Fetch) {
        let name = |source| match source {
            Source::Server => "boot server".to_owned(),
            Source::Peer(peer) => self.spreading.name_of(peer),
        };
        let from = fetch.shares().filter(|share| share.n_chunks > 0);
        let from: Vec<(String, u32)> = from.map(|share| (name(share.source), share.n_chunks)).collect();
        let ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        let mut state = self.spreading.lock();
        let shown: &mut SpreadFile = state.shown.entry(self.want.file().to_owned()).or_default();
        shown.from = from;
        shown.bytes_per_s = (self.n_came * CHUNK_BYTES).min(self.tree.bytes()) * 1000 / ms;
    }

    /// All chunks are there, each held to the tree, and the tree to the hash.
    async fn finish(&self) -> Result<()> {
        let (folder, file) = (&self.spreading.folder, &self.want.told.file);
        let path = folder.join(file);
        Fetched::read(folder).add(folder, file)?;
        let (part, to) = (self.part.clone(), path.clone());
        tokio::task::spawn_blocking(move || part.finish(&to)).await??;
        if let Some(mark) = Mark::of(&path) {
            let here = Here { path: path.clone(), tree: self.tree.clone(), mark };
            let mut state = self.spreading.lock();
            // It may have taken the place of an older one.
            state.here.retain(|_, older| older.path != path);
            state.here.insert(self.root, Arc::new(here));
        }
        self.say_done();
        Ok(())
    }

    fn say_done(&self) {
        let shown = self.spreading.lock().shown.get(self.want.file()).cloned().unwrap_or_default();
        let bytes = self.tree.bytes();
        let shown = SpreadFile { file: self.want.file().to_owned(), bytes, have_bytes: bytes, ..shown };
        say(Level::Info, &format!("duet: a model is here: {}", shown.line()));
    }

    /// Fetches what these layers are made of, and cuts them out.
    async fn slice(&mut self, layers: Range<u64>, to: &str, mut have: Bits) -> Result<()> {
        let n = self.tree.n_chunks();
        let id = self.want.told.model.as_deref().and_then(model_id);
        let id = id.with_context(|| format!("{} is no model that can be cut", self.want.told.file))?;
        let mut n_head = 1;
        let head = loop {
            let first: Vec<Range<u64>> = std::iter::once(0..u64::from(n_head) * CHUNK_BYTES).collect();
            let needed = Bits::of_ranges(n, &first);
            have = self.run(needed.clone(), have, 0).await?;
            if !needed.is_within(&have) {
                return Ok(());
            }
            let from = self.part.path().to_owned();
            match tokio::task::spawn_blocking(move || gguf::read_head(&from)).await? {
                Ok(head) => break head,
                Err(error) => ensure!(n_head < n.min(HEAD_CHUNKS_MAX), "{}: {error}", self.want.told.file),
            }
            n_head *= 2;
        };
        let needed = Bits::of_ranges(n, &head.slice_places(layers.clone())?);
        have = self.run(needed.clone(), have, head.slice_bytes(layers.clone())?).await?;
        if !needed.is_within(&have) {
            return Ok(());
        }
        let folder = &self.spreading.folder;
        // Its name while it is cut, too: one that is cut off in the middle makes room again.
        Fetched::read(folder).add(folder, &format!("{to}.part"))?;
        Fetched::read(folder).add(folder, to)?;
        let (from, path) = (self.part.path().to_owned(), folder.join(to));
        tokio::task::spawn_blocking(move || gguf::write_slice_file_of(id, &from, layers, &path)).await??;
        // What is left of the whole would take memory that the plan counts on.
        std::fs::remove_file(self.part.path()).context("what a slice was cut from cannot be removed")?;
        self.say_done();
        Ok(())
    }
}

async fn keep(tree: Arc<Tree>, part: Arc<Part>, from: Source, chunk: u32, bytes: Vec<u8>) -> Event {
    let kept = tokio::task::spawn_blocking(move || match tree.is_good(chunk, &bytes) {
        true => part.write(&tree, chunk, &bytes).map(|()| true),
        false => Ok(false),
    });
    match kept.await {
        Ok(Ok(is_good)) => Event::Came { from, chunk, is_good },
        Ok(Err(error)) => Event::Unwritten(error),
        Err(_) => Event::Failed { from, chunk, how: Failure::Broken },
    }
}

/// Room for so many bytes, if need be in the place of models that nobody wants any more.
fn make_room(spreading: &Spreading, want: &Want, bytes: u64) -> Result<()> {
    let look = || Room::look(&spreading.folder, spreading.node.memory().available_kib.saturating_mul(1024));
    let missing = look()?.missing(bytes);
    if missing == 0 || bytes == 0 {
        return Ok(());
    }
    let wanted = spreading.wanted();
    let outdated = spreading.outdated();
    let parts = wanted
        .iter()
        .flat_map(|want| [want.told.file.as_str(), want.file()].map(|file| format!("{file}.part")));
    // One of an older catalogue does not stand in the way of its own next.
    let files = wanted.iter().map(|want| want.file().to_owned()).filter(|file| !outdated.contains(file));
    let wanted: Vec<String> = files.chain(parts).collect();
    for gone in Fetched::read(&spreading.folder).make_room(&spreading.folder, &wanted, missing)? {
        say(Level::Info, &format!("duet: {gone} is in no plan any more, and made room"));
    }
    look()?.refusal(want.file(), bytes).map_or(Ok(()), |why| bail!("{why}"))
}

/// The list of a file's chunks, from whoever has it first.
async fn tree_of(spreading: &Spreading, root: Root, want: &Want) -> Result<Tree> {
    let bytes_max = spread::CHUNKS_MAX as usize * size_of::<spread::Value>();
    let parse = |list: Vec<u8>| Tree::parse(root, want.told.bytes, &list);
    if let Some(server) = spreading.server() {
        match ask(server, &format!("/models/{root}.tree"), &[], bytes_max, TREE_TIME_MAX).await.map(parse) {
            Ok(Ok(tree)) => return Ok(tree),
            _ => spreading.next_server(),
        }
    }
    for address in spreading.peers().into_values() {
        let there = SocketAddr::from((address, PORT));
        let list = ask(there, &format!("{}{root}", door::TREE), &[], bytes_max, TREE_TIME_MAX).await;
        if let Ok(Ok(tree)) = list.map(parse) {
            return Ok(tree);
        }
    }
    bail!("{} does not come: neither the boot server nor a peer has it; it is tried again", want.told.file)
}

fn model_id(text: &str) -> Option<gguf::ModelId> {
    let mut id = gguf::ModelId::default();
    for (idx, byte) in id.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * idx..2 * idx + 2)?, 16).ok()?;
    }
    Some(id)
}

/// What a peer has; nothing while it does not answer.
pub async fn look_at(address: Ipv6Addr) -> Option<Told> {
    let there = SocketAddr::from((address, PORT));
    let bytes = ask(there, door::LOOK, &[], TOLD_BYTES_MAX, LOOK_TIME_MAX).await.ok()?;
    Told::parse(&bytes).ok()
}

/// One answer as it is, up to a length.
pub async fn ask(
    address: SocketAddr,
    path: &str,
    fields: &[(&'static str, &str)],
    bytes_max: usize,
    time_max: Duration,
) -> Result<Vec<u8>, Failure> {
    let asked = upstream::Ask { address, path, fields, body: None };
    let answer = upstream::ask(asked, time_max).await.map_err(|_| Failure::Broken)?;
    match answer.status {
        200 | 206 => answer.whole(bytes_max, time_max).await.map_err(|_| Failure::Broken),
        429 | 503 => Err(Failure::Busy),
        _ => Err(Failure::Broken),
    }
}
