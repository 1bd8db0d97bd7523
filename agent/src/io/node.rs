//! Gathers the facts of this node: which file feeds which parser, and how long slow answers are kept.

use super::{read, runtime, stick, systemd};
use crate::cluster::ClusterStatus;
use crate::facts::boot::{self, Boot, Reached};
use crate::facts::network::{Interface, Tables};
use crate::facts::system::{self, System};
use crate::facts::units::Units;
use crate::facts::{Status, input, memory, processor, sound};
use crate::gateway::meters::GatewayStatus;
use crate::health::{Evidence, judge};
use crate::overlay::state::{Overlay, STATE_BYTES_MAX};
use crate::tier::{Place, Said, Seen};
use crate::wyoming::mdns::cards::Card;
use admission::{OverlayPublic, StickAsk, StickProof};
use release::{BOOT_FACTS_BYTES_MAX, BootFacts};
use split::report::{HeldState, Holds};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::PoisonError;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// Interfaces shown; more is no PC of a shelf.
pub const INTERFACES_MAX: usize = 16;
/// A question to systemd costs two processes, so its answer serves all who ask within this time.
pub const SLOW_FACTS_AGE_MAX: Duration = Duration::from_secs(4);

/// Where `duet-reached.service` notes that multi-user was reached.
pub const REACHED_FILE: &str = "run/duet/multi-user";
const BOOT_FILE: &str = "run/duet/boot.toml";
/// Written by the overlay's process.
const OVERLAY_KEY_FILE: &str = "run/duet-overlay/public.key";
const OVERLAY_FILE: &str = "run/duet-overlay/state.json";

/// The machine as files below a root, `/` outside of tests, and rpc-worker's address.
pub struct Node {
    root: PathBuf,
    worker: String,
    slow: Mutex<Option<(Instant, Slow)>>,
    said: Said,
    /// Models as rpc-worker told last, for whoever cannot wait for it.
    models: std::sync::Mutex<Models>,
}

#[derive(Clone, Default)]
struct Models {
    mib: Vec<u64>,
    is_ready: bool,
    /// They lie on a disk.
    has_disk: bool,
    /// 0 before the first word.
    room_kib: u64,
}

/// What takes more than reading a file.
#[derive(Clone)]
struct Slow {
    units: Units,
    worker_answers: bool,
    holds: Holds,
    /// Memory that models may take.
    room_kib: u64,
}

/// The part of rpc-worker's `/health` that a node's facts are made of.
#[derive(serde::Deserialize)]
struct WorkerHealth {
    #[serde(default)]
    holds: Holds,
}

/// What rpc-worker says it holds; nothing where it says nonsense.
fn holds(body: &[u8]) -> Holds {
    let told = serde_json::from_slice::<WorkerHealth>(body).map(|health| health.holds);
    told.ok().filter(|holds| holds.check().is_ok()).unwrap_or_default()
}

impl Node {
    /// `worker` is `HOST:PORT`.
    pub fn new(root: PathBuf, worker: &str) -> Node {
        let environment = Said::of_environment(|name| std::env::var(name).ok());
        let said = environment.or(Said::of_kernel(&read::text(&root.join("proc/cmdline"))));
        let worker = format!("http://{worker}");
        Node { root, worker, slow: Mutex::new(None), said, models: std::sync::Mutex::default() }
    }

    /// What the command line says goes before what was said elsewhere.
    pub fn with(mut self, said: Said) -> Node {
        self.said = said.or(self.said);
        self
    }

    /// What was said to this node itself.
    pub fn said(&self) -> &Said {
        &self.said
    }

    /// The part that it plays, by what is known without asking anybody.
    pub fn place(&self) -> Place {
        let models = self.models.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let memory = self.memory();
        let room_kib = if models.room_kib > 0 { models.room_kib } else { memory.available_kib };
        self.said.judge(&Seen {
            ram_mib: memory.total_kib / 1024,
            room_mib: room_kib / 1024,
            has_disk: models.has_disk || runtime::lasts(),
            is_wired: self.interfaces().iter().any(|interface| interface.carrier),
            models_mib: models.mib,
            has_model: models.is_ready,
        })
    }

    pub async fn status(&self) -> Status {
        let slow = self.slow().await;
        let boot_facts = self.boot_facts();
        let interfaces = self.interfaces();
        let overlay = self.overlay();
        let evidence = Evidence {
            units: &slow.units,
            interfaces: &interfaces,
            worker_answers: slow.worker_answers,
            booted: boot_facts.is_some().then(|| self.reached().is_some()),
            overlay_trouble: overlay.as_ref().and_then(Overlay::trouble),
        };
        Status {
            name: self.name(),
            health: judge(&evidence),
            uptime_s: system::uptime_s(&self.text("proc/uptime")),
            load: system::load(&self.text("proc/loadavg")),
            system: self.system(),
            boot: boot_facts.map(|facts| self.boot(&facts)),
            processor: processor::parse(&self.text("proc/cpuinfo")),
            memory: memory::Memory { room_kib: slow.room_kib, ..self.memory() },
            sound_cards: sound::parse(&self.text("proc/asound/cards"), &self.text("proc/asound/pcm")),
            input_devices: input::parse(&self.text("proc/bus/input/devices")),
            interfaces,
            units: slow.units,
            holds: slow.holds,
            place: self.place(),
            tools: None,
            cluster: ClusterStatus::default(),
            gateway: GatewayStatus::default(),
            hearing: None,
            spread: None,
            voice: None,
            turns: vec![],
            workflows: crate::brain::shown::Shown::default(),
            quality: admission::Quality::default(),
        }
    }

    pub fn memory(&self) -> memory::Memory {
        memory::parse(&self.text("proc/meminfo"))
    }

    /// How init brought this node up; nothing where no init of ours has run.
    pub fn boot_facts(&self) -> Option<BootFacts> {
        let text = self.text(BOOT_FILE);
        BootFacts::parse(text.get(..BOOT_FACTS_BYTES_MAX).unwrap_or(&text).as_bytes()).ok()
    }

    pub fn reached(&self) -> Option<Reached> {
        Reached::parse(&self.text(REACHED_FILE))
    }

    pub fn processor(&self) -> processor::Processor {
        processor::parse(&self.text("proc/cpuinfo"))
    }

    pub fn uptime_s(&self) -> f64 {
        system::uptime_s(&self.text("proc/uptime"))
    }

    pub fn name(&self) -> String {
        self.word("proc/sys/kernel/hostname")
    }

    /// Network cards as multicast sees them.
    pub fn cards(&self) -> Vec<Card> {
        let interfaces = self.interfaces();
        interfaces.iter().flat_map(|interface| self.cards_of(&interface.name, &interface.addresses)).collect()
    }

    /// The card that has an address, also one that is no device, such as a bridge.
    pub fn card_of(&self, address: Ipv4Addr) -> Option<Card> {
        let (fib_trie, route) = (self.text("proc/net/fib_trie"), self.text("proc/net/route"));
        let tables = Tables { fib_trie: &fib_trie, route: &route, if_inet6: "" };
        let names = self.interface_names().into_iter();
        let mut cards = names.flat_map(|name| self.cards_of(&name, &tables.addresses(&name)));
        cards.find(|card| card.address == address)
    }

    fn cards_of(&self, name: &str, addresses: &[String]) -> Vec<Card> {
        let number = |file: &str| self.word(&format!("sys/class/net/{name}/{file}"));
        let index = number("ifindex").parse().unwrap_or(0);
        let n_changes = number("carrier_changes").parse().unwrap_or(0);
        let card = |address: &String| {
            let (address, bits) = address.split_once('/')?;
            let (address, prefix_bits) = (address.parse().ok()?, bits.parse().ok()?);
            Some(Card { index, address, prefix_bits, n_changes })
        };
        addresses.iter().filter_map(card).collect()
    }

    /// The address of the first cable that has one.
    pub fn ipv4(&self) -> Option<Ipv4Addr> {
        let interfaces = self.interfaces();
        interfaces.iter().find_map(Interface::ipv4)?.parse().ok()
    }

    /// That the owner's stick is in this PC.
    pub async fn stick(&self, ask: &StickAsk) -> Option<StickProof> {
        stick::prove(&self.root, ask).await
    }

    /// The overlay's public key, once its process has made one.
    pub fn overlay_key(&self) -> Option<OverlayPublic> {
        OverlayPublic::parse(read::text(&self.overlay_key_file()).trim_end())
    }

    pub fn overlay_key_file(&self) -> PathBuf {
        self.root.join(OVERLAY_KEY_FILE)
    }

    /// The last lines of what the journal's unit sends.
    pub async fn journal(&self, lines: u16) -> String {
        let text = systemd::journal(&self.root.join(systemd::JOURNAL_SOCKET)).await;
        let all: Vec<&str> = text.lines().collect();
        let from = all.len().saturating_sub(usize::from(lines));
        if all.is_empty() { "the journal could not be read\n".into() } else { all[from..].join("\n") + "\n" }
    }

    /// The kernel's counters that help to find out from afar what is wrong.
    pub fn counters(&self) -> String {
        let mut text = String::new();
        for file in ["proc/loadavg", "proc/meminfo", "proc/net/dev", "proc/net/snmp", "proc/pressure/cpu"] {
            text += &format!("\n/{file}\n{}", self.text(file));
        }
        text
    }

    /// How the overlay is; nothing where its process has not told yet.
    pub fn overlay(&self) -> Option<Overlay> {
        Overlay::parse(&read::bytes(&self.root.join(OVERLAY_FILE), STATE_BYTES_MAX as u64 + 1))
    }

    /// Old answers are forgotten: the next status asks anew.
    pub async fn refresh(&self) {
        if let Some((at, _)) = &mut *self.slow.lock().await {
            *at = at.checked_sub(SLOW_FACTS_AGE_MAX).unwrap_or(*at);
        }
    }

    /// Whether rpc-worker holds something else than was last told, which the others should not wait for.
    pub async fn holds_anew(&self) -> bool {
        let now = self.holds().await.unwrap_or_default();
        let kept = self.slow.lock().await;
        kept.as_ref().is_some_and(|(_, old)| !now.is_same_load(&old.holds))
    }

    /// Nothing where rpc-worker does not answer.
    pub async fn holds(&self) -> Option<Holds> {
        let reply = service::fetch::get(&self.worker, "/health").await.ok();
        reply.filter(|reply| reply.status == 200).map(|reply| holds(&reply.body))
    }

    async fn slow(&self) -> Slow {
        let mut kept = self.slow.lock().await;
        match &*kept {
            Some((at, slow)) if at.elapsed() < SLOW_FACTS_AGE_MAX => return slow.clone(),
            _ => {}
        }
        let socket = self.root.join(systemd::UNITS_SOCKET);
        // While models are loaded what is free falls as what they take grows, so both are looked at together.
        let worker = async { (self.holds().await, self.memory().available_kib) };
        let (units, (worker, available_kib)) = tokio::join!(systemd::units(&socket), worker);
        let worker_answers = worker.is_some();
        let mut holds = worker.unwrap_or_default();
        // A worker that starts anew is the same program: its node goes on to belong to those of its build.
        if let (true, Some((_, old))) = (holds.build.is_empty(), &*kept) {
            holds.build.clone_from(&old.holds.build);
        }
        let room_kib = available_kib.saturating_add(holds.taken_bytes / 1024);
        let slow = Slow { units, worker_answers, holds, room_kib };
        let told = Models {
            mib: slow.holds.files.iter().map(|file| file.bytes >> 20).collect(),
            is_ready: slow.holds.experts.iter().any(|held| held.state == HeldState::Ready),
            has_disk: slow.holds.disk_bytes > 0,
            room_kib,
        };
        *self.models.lock().unwrap_or_else(PoisonError::into_inner) = told;
        *kept = Some((Instant::now(), slow.clone()));
        slow
    }

    fn boot(&self, facts: &BootFacts) -> Boot {
        boot::shown(facts, self.reached())
    }

    fn system(&self) -> System {
        System {
            kernel: self.word("proc/sys/kernel/osrelease"),
            distribution: system::distribution(&self.text("etc/os-release")),
            agent_version: env!("CARGO_PKG_VERSION").to_string(),
        }
    }

    fn interfaces(&self) -> Vec<Interface> {
        let (fib_trie, route) = (self.text("proc/net/fib_trie"), self.text("proc/net/route"));
        let if_inet6 = self.text("proc/net/if_inet6");
        let tables = Tables { fib_trie: &fib_trie, route: &route, if_inet6: &if_inet6 };
        let mut names = self.interface_names();
        // Loopback has no device; bridges and tunnels of a developer's PC have none either.
        names.retain(|name| self.root.join(format!("sys/class/net/{name}/device")).exists());
        names.sort();
        names.truncate(INTERFACES_MAX);
        names.into_iter().map(|name| self.interface(name, &tables)).collect()
    }

    fn interface_names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.root.join("sys/class/net")).into_iter().flatten().flatten();
        entries.filter_map(|e| e.file_name().into_string().ok()).collect()
    }

    fn interface(&self, name: String, tables: &Tables) -> Interface {
        let fact = |file: &str| self.word(&format!("sys/class/net/{name}/{file}"));
        let driver = std::fs::read_link(self.root.join(format!("sys/class/net/{name}/device/driver")));
        let driver = driver.ok().and_then(|d| Some(d.file_name()?.to_string_lossy().into_owned()));
        Interface {
            mac: fact("address"),
            addresses: tables.addresses(&name),
            carrier: fact("carrier") == "1",
            speed_mbit: fact("speed").parse().ok().filter(|mbit| *mbit > 0),
            driver: driver.unwrap_or_default(),
            received_bytes: fact("statistics/rx_bytes").parse().unwrap_or(0),
            sent_bytes: fact("statistics/tx_bytes").parse().unwrap_or(0),
            name,
        }
    }

    fn text(&self, path: &str) -> String {
        read::text(&self.root.join(path))
    }

    fn word(&self, path: &str) -> String {
        read::word(&self.root.join(path))
    }
}
