//! `agent overlay`: the overlay's own process, which holds its private key and sets WireGuard as the agent wishes.
//!
//! It runs apart from the agent, because it alone may change the network; it opens no socket to anybody.
//! `key`, `wish`, `plan`, `route` and `state` are pure, `netlink` and `kernel` are the hands.
//! It deliberately knows no certificate: who is a peer is decided by the agent, who checked it.

mod kernel;
mod key;
mod netlink;
mod plan;
mod route;
pub mod state;
mod wish;

use crate::args::Overlay as Args;
use anyhow::Context;
pub use kernel::PORT;
use kernel::{Kernel, KernelError};
use key::Pair;
use plan::{Present, Told};
use service::log::{self, Level};
use service::notify;
use service::watch::Watch;
use state::{Overlay, State};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use wish::{WISH_BYTES_MAX, Wish};

/// What this process tells, in its RuntimeDirectory.
const FOLDER: &str = "run/duet-overlay";
const KEY_FILE: &str = "public.key";
const STATE_FILE: &str = "state.json";
const ADDRESS_FILE: &str = "address";
/// How often the kernel is read while nothing is wished anew.
const LOOK: Duration = Duration::from_secs(5);
/// A wish whose file is gone still holds for so long: an agent that starts anew takes its folder away and writes again.
const WISH_KEPT: Duration = Duration::from_secs(30);
/// How often a kernel without WireGuard is asked again: a module may be loaded by hand.
const RETRY: Duration = Duration::from_secs(60);

/// Runs until it is asked to stop; the interface then stays, and the next process takes it over.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let mut watch = Watch::new(&args.wish).context("cannot watch for overlay.json")?;
    // The boot need not wait: on a processor without RDRAND the first key may take seconds, until there is randomness.
    notify::ready();
    let mut work = Work::new(args.wish, args.root.join(FOLDER))?;
    let mut stop = std::pin::pin!(service::asked_to_stop());
    let mut wait = work.turn()?;
    loop {
        tokio::select! {
            changed = watch.changed() => changed.context("cannot watch for overlay.json")?,
            () = tokio::time::sleep(wait) => {}
            stop = &mut stop => {
                notify::stopping();
                return stop.context("cannot hear signals");
            }
        }
        wait = work.turn()?;
        notify::alive();
    }
}

struct Work {
    wish_file: PathBuf,
    folder: PathBuf,
    /// Made at the start; what the kernel holds already counts more.
    pair: Pair,
    kernel: Option<Kernel>,
    wish: Wish,
    /// Since when the file is gone.
    gone: Option<Instant>,
    told: Told,
    /// What stands in the files, so that only news are written.
    written: [String; 3],
    said: String,
}

impl Work {
    fn new(wish_file: PathBuf, folder: PathBuf) -> anyhow::Result<Work> {
        let pair = Pair::new().context("cannot make a key")?;
        let (wish, told) = (Wish::default(), Told::new());
        let (written, said) = (Default::default(), String::new());
        Ok(Work { wish_file, folder, pair, kernel: None, wish, gone: None, told, written, said })
    }

    /// One look at wish and kernel, what must be done, and what is told of it. Gives the time until the next look.
    fn turn(&mut self) -> anyhow::Result<Duration> {
        let refused = self.read_wish();
        let (overlay, wait) = match self.set() {
            Ok(present) => (self.overlay(&present, refused), LOOK),
            Err(error) => {
                // What is known of the interface may be wrong; the next turn begins anew.
                self.kernel = None;
                let absent = matches!(error, KernelError::NoWireguard);
                let (state, wait) = if absent { (State::Absent, RETRY) } else { (State::Failed, LOOK) };
                let sentence = format!("the overlay is down: {error}");
                (Overlay::of(state, sentence, self.pair.public(), &Present::default()), wait)
            }
        };
        if self.said != overlay.sentence {
            let level = if overlay.trouble().is_some() { Level::Warning } else { Level::Info };
            log::say(level, &format!("duet: {}", overlay.sentence));
            notify::status(&overlay.sentence);
            self.said.clone_from(&overlay.sentence);
        }
        self.tell(&overlay)?;
        Ok(wait)
    }

    /// A file that is refused leaves the wish as it was; the reason is given.
    fn read_wish(&mut self) -> Option<String> {
        let own = self.kernel.as_ref().map_or_else(|| self.pair.public(), |kernel| kernel.key);
        if !self.wish_file.exists() {
            if self.gone.get_or_insert_with(Instant::now).elapsed() >= WISH_KEPT {
                self.wish = Wish::default();
            }
            return None;
        }
        self.gone = None;
        let mut bytes = Vec::new();
        let file = File::open(&self.wish_file).map(|file| file.take(WISH_BYTES_MAX as u64 + 1));
        if let Err(error) = file.and_then(|mut file| file.read_to_end(&mut bytes)) {
            return Some(format!("overlay.json cannot be read: {error}"));
        }
        match Wish::parse(&bytes, own) {
            Ok(wish) => self.wish = wish,
            Err(error) => return Some(error.to_string()),
        }
        None
    }

    fn set(&mut self) -> Result<Present, KernelError> {
        let kernel = match &mut self.kernel {
            Some(kernel) => kernel,
            none => none.insert(Kernel::open(&self.pair)?),
        };
        let present = kernel.present()?;
        let changes = plan::changes(&self.wish, &present, &self.told);
        kernel.apply(&changes)?;
        self.told = self.wish.peers.iter().map(|(key, peer)| (*key, peer.endpoint)).collect();
        if changes.is_empty() { Ok(present) } else { kernel.present() }
    }

    fn overlay(&self, present: &Present, refused: Option<String>) -> Overlay {
        let key = self.kernel.as_ref().map_or_else(|| self.pair.public(), |kernel| kernel.key);
        let (state, sentence) = match (refused, &self.wish.left_out, self.wish.address) {
            (Some(why), _, _) => (State::Failed, why),
            (None, Some(out), _) => {
                (State::Up, format!("{} peers are left out, as {}", out.n_peers, out.first))
            }
            (None, None, Some(_)) => (State::Up, "the overlay is up".to_owned()),
            (None, None, None) => (State::Waiting, "the overlay waits for its address".to_owned()),
        };
        Overlay::of(state, sentence, key, present)
    }

    /// The files of the folder: public key, state, and the address once the interface has it.
    fn tell(&mut self, overlay: &Overlay) -> anyhow::Result<()> {
        let state = serde_json::to_string(overlay).context("cannot write the state as JSON")? + "\n";
        let address = overlay.address.map(|address| format!("{address}\n")).unwrap_or_default();
        let texts = [format!("{}\n", overlay.key), state, address];
        for (idx, (name, text)) in [KEY_FILE, STATE_FILE, ADDRESS_FILE].into_iter().zip(texts).enumerate() {
            if self.written[idx] != text {
                put(&self.folder.join(name), &text)?;
                self.written[idx] = text;
            }
        }
        Ok(())
    }
}

/// Whole or not at all; without a text the file goes.
fn put(file: &Path, text: &str) -> anyhow::Result<()> {
    let writing = || format!("cannot write {}", file.display());
    if text.is_empty() {
        return match std::fs::remove_file(file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).with_context(writing),
            _ => Ok(()),
        };
    }
    let draft = file.with_extension("new");
    std::fs::write(&draft, text).with_context(writing)?;
    std::fs::rename(&draft, file).with_context(writing)
}
