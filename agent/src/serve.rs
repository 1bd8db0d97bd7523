//! `agent serve`: the page and the API, the watchdog, and the reports, on one thread; and beside them what never ends.
//!
//! `enrolling` makes the node a member, `gossiping` tells and hears facts, `reporting` tells the boot server, `ordering` obeys the owner.
//! `placing` loads models by the plan, `hearing` is the ear for all nodes, `voicing` the voice with its `doors`, `keeping` tells peers what this node's timers are.
//! `lending` lets stock llama.cpp clients through to this node's memory, `acting` does what concerns a node as a whole, `reading` is who may look,
//! `peers` is the door on the overlay, where the other nodes ask.

pub(crate) mod acting;
pub(crate) mod doors;
pub(crate) mod enrolling;
pub(crate) mod gossiping;
pub(crate) mod hearing;
pub(crate) mod keeping;
pub(crate) mod lending;
pub(crate) mod ordering;
pub(crate) mod peers;
pub(crate) mod placing;
pub(crate) mod reading;
pub(crate) mod reporting;
pub mod voicing;

use crate::args::Serve;
use crate::brain::sharing::Sharing;
use crate::brain::{message, shown};
use crate::cluster::Cluster;
use crate::cluster::story::FOLLOWERS_MAX;
use crate::diag::afar::Afar;
use crate::facts::Status;
use crate::gateway::{self, Gateway};
use crate::hear;
use crate::io::{node::Node, runtime};
use crate::logbook::LogBook;
use crate::memory::{Memory, door as memory_door};
use crate::panels::{self, Panels};
use crate::session::local;
use crate::settings::Settings;
use crate::spreading::Spreading;
use crate::talk::trace::Trace;
use crate::tier::Said;
use crate::tools;
use crate::tools::inspect::{self, Inspect};
use crate::tools::remote::members;
use crate::{api, login, offered, own_memory, page, text};
use acting::Acting;
use admission::{
    API_KEYS_PATH, DiagPart, EDIT_PATH, ORDER_PATH, ORDER_TEXT_BYTES_MAX, SETTINGS_PATH,
    SIGNED_EDIT_BYTES_MAX, Wish,
};
use anyhow::Context;
use doors::Doors;
use enrolling::Told;
use lending::Lending;
use ordering::Ordering;
use placing::desk::Desk;
use reading::Reading;
use service::door::{self, Allowance, Answer, Ask, Limits, Reply};
use service::feed;
use service::notify;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// The page needs its policy, and nobody may put it into a frame.
const PAGE_FIELDS: &[(&str, &str)] = &[
    ("content-security-policy", page::POLICY),
    ("referrer-policy", "no-referrer"),
    ("x-frame-options", "DENY"),
];

/// The status as a terminal shows it.
pub const TEXT_PATH: &str = "/api/status.txt";
const EVENTS_PATH: &str = "/api/events";
const TURNS_PATH: &str = "/api/turns";
/// Facts that a tool finds.
const RECALLED: usize = 6;
/// What an order has tried out may take a minute.
const ORDER_TIME: Duration = Duration::from_secs(90);
/// Turns on the page.
const TURNS_SHOWN: usize = 8;

/// Streams of the gateway stay for minutes, and one client may have many. Whoever follows what happens takes a place too,
/// beyond those for all else.
const LIMITS: Limits = Limits {
    connections: 160 + FOLLOWERS_MAX,
    connections_per_address: 64,
    body_bytes: ORDER_TEXT_BYTES_MAX,
};

pub async fn run(args: Serve) -> anyhow::Result<()> {
    let log = LogBook::open();
    let listener =
        TcpListener::bind(args.listen).await.with_context(|| format!("cannot listen on {}", args.listen))?;
    let address = listener.local_addr().context("cannot tell the own address")?;
    let options = enrolling::Options::of(&args);
    let offered = offered::options(&args)?;
    let (experts, models) = (args.experts.clone(), args.models.clone());
    let (worker, rpc) = (args.worker, (args.rpc_memory_mib, args.rpc_key.clone()));
    let root = args.root.clone();
    let said = said(&args)?;
    let node = Arc::new(Node::new(args.root, &args.worker.to_string()).with(said));
    for trouble in node.place().troubles {
        service::log::say(service::log::Level::Warning, &format!("duet: {trouble}"));
    }
    let (member, joined) = tokio::sync::watch::channel(None);
    let cluster = Arc::new(Cluster::default());
    let told = Told { cluster: cluster.clone(), member };
    service::log::say(service::log::Level::Info, &format!("duet: the page is at http://{address}/"));
    notify::ready();

    let (port, ordering) = (address.port(), Ordering::new(joined.clone()));
    let settings = Arc::new(Settings::new(joined.clone()));
    let gateway = Gateway::new(node.clone(), cluster.clone(), joined.clone(), settings.clone(), offered);
    let gateway = Arc::new(gateway);
    let gate = gateway.clone();
    let reading = Arc::new(Reading::new(args.closed, settings.clone(), gateway.clone(), cluster.clone()));
    let may_read = reading.clone();
    let lending = Lending::new(gateway.clone(), settings.clone(), worker, rpc)?;
    let lending = Arc::new(lending);
    let lent = lending.clone();
    let at = hearing::Places { models: &models, root: &root };
    let ear = hearing::start(at, &settings, cluster.clone()).context("no thread that hears")?;
    let folder = args.memory.or_else(Memory::usual_folder);
    let memory = Memory::start(folder, cluster.clone(), gateway.clone()).context("no thread for memory")?;
    let memory = Arc::new(memory);
    let parts = voicing::Parts {
        node: node.clone(),
        cluster: cluster.clone(),
        joined: joined.clone(),
        gateway: gateway.clone(),
        settings: settings.clone(),
        ear: ear.clone(),
        memory: memory.clone(),
    };
    let voice = Arc::new(voicing::Voice::start(parts, &root, args.wyoming)?);
    let elsewhere = members::Door { cluster: cluster.clone(), desk: voice.setup.desk.clone() };
    let elsewhere = Arc::new(elsewhere);
    let timers = Arc::new(keeping::Keeping::open(cluster.clone(), voice.timers()));
    let (of, folder) = (settings.clone(), models.clone());
    let spreading = Spreading::new(cluster.clone(), node.clone(), joined.clone(), of, folder);
    let spreading = Arc::new(spreading);
    let sharing = Arc::new(Sharing::new(cluster.clone(), voice.mind.brain.clone(), joined.clone()));
    let own = gossiping::Own {
        ear: ear.clone(),
        talks: voice.talks.clone(),
        sharing: sharing.clone(),
        tools: voice.setup.desk.clone(),
    };
    let remembering = memory.clone();
    let at_the_door = voice.clone();
    let panels = Panels { gateway: gateway.clone(), node: node.clone(), voice: voice.clone(), log };
    let panels = Arc::new(panels);
    let of_panels = panels.clone();
    let shared = Arc::new(Shared {
        node: node.clone(),
        cluster: cluster.clone(),
        port,
        ordering,
        gateway: gateway.clone(),
        settings: settings.clone(),
        desk: Arc::default(),
        lending: lending.clone(),
        ear: ear.clone(),
        voice: voice.clone(),
        memory: memory.clone(),
        panels,
        reading: reading.clone(),
        sharing: sharing.clone(),
        spreading: spreading.clone(),
        afar: Afar { root: root.clone(), talk: runtime::console_path(local::FILE) },
    });
    let acting = Acting {
        root: root.clone(),
        node: node.clone(),
        cluster: cluster.clone(),
        memory: memory.clone(),
        voice: voice.clone(),
        ear: ear.clone(),
    };
    let acting = Arc::new(acting);
    let runtime = tokio::runtime::Handle::current();
    tools::acts::Acts::all(&acting, &runtime).into_iter().for_each(|tool| voice.setup.add(tool));
    looks(&shared);
    let desk = shared.desk.clone();
    let bringing = spreading.clone();
    let peers = peers::Peers {
        ear: ear.clone(),
        timers: timers.clone(),
        acting,
        sharing: sharing.clone(),
        spreading: spreading.clone(),
        tools: elsewhere,
    };
    let (changed, changes) = tokio::sync::watch::channel(());
    let files = placing::Files { experts: experts.clone(), models: models.clone(), changes };
    let pages = door::serve_gated(
        LIMITS,
        listener,
        move |head| match head.path {
            _ if may_read.refuses(head) => Err(reading::refusal()),
            lending::PATH => lent.admit(head),
            path if memory_door::is_for(path) => memory_door::admit(&remembering, head),
            path if Doors::is_for(path) => at_the_door.doors.admit(head),
            path if panels::is_for(path) => of_panels.admit(head),
            EVENTS_PATH => Ok(Allowance { body_bytes: 0, time: feed::GATE_TIME }),
            message::PATH => at_the_door.messages.admit(head),
            path if tools::door::Door::is_for(path) => at_the_door.tools.admit(head),
            EDIT_PATH => Ok(Allowance { body_bytes: SIGNED_EDIT_BYTES_MAX, time: Duration::ZERO }),
            ORDER_PATH => Ok(Allowance { body_bytes: ORDER_TEXT_BYTES_MAX, time: ORDER_TIME }),
            _ => gate.admit(head, &LIMITS),
        },
        move |ask| answer(shared.clone(), ask),
    );
    tokio::select! {
        _ = pages => {}
        _ = reporting::run(node.clone(), address.port()) => {}
        _ = enrolling::run(node.clone(), options, told) => {}
        _ = gossiping::run(node, cluster.clone(), own, joined.clone()) => {}
        _ = placing::run(cluster.clone(), joined, desk, files, bringing) => {}
        _ = offered::follow(&experts, &models, &gateway, &changed) => {}
        _ = gateway.remember() => {}
        _ = settings.remember() => {}
        _ = reading.follow() => {}
        _ = lending.follow() => {}
        _ = hearing::follow(&ear, at, &voice.talks.force, &cluster, &gateway) => {}
        _ = peers.serve(&root, port) => {}
        _ = timers.run() => {}
        _ = memory.run() => {}
        _ = sharing.run() => {}
        _ = spreading.run() => {}
        reason = voice.run() => anyhow::bail!("{reason}"),
        reason = watchdog(&ear, &models) => anyhow::bail!("{reason}"),
        stop = service::asked_to_stop() => stop.context("cannot hear signals")?,
    }
    notify::stopping();
    cluster.leave();
    Ok(())
}

/// What the command line says to this node.
fn said(args: &Serve) -> anyhow::Result<Said> {
    let tools_key = args.tools_key_file.as_deref().map(tools::command::key_of).transpose()?;
    Ok(Said {
        tier: args.tier.and_then(|word| word.0),
        tools: args.tools,
        tools_url: args.tools_url,
        tools_key,
        llm: args.llm,
        llm_url: args.llm_url,
        mistakes: vec![],
    })
}

/// What all answers are made of.
struct Shared {
    node: Arc<Node>,
    cluster: Arc<Cluster>,
    port: u16,
    ordering: Ordering,
    gateway: Arc<Gateway>,
    settings: Arc<Settings>,
    desk: Arc<Desk>,
    lending: Arc<Lending>,
    ear: Arc<hear::desk::Desk>,
    voice: Arc<voicing::Voice>,
    memory: Arc<Memory>,
    panels: Arc<Panels>,
    reading: Arc<Reading>,
    sharing: Arc<Sharing>,
    spreading: Arc<Spreading>,
    afar: Afar,
}

impl Shared {
    async fn status(&self) -> Status {
        let (cluster, gateway) = (self.cluster.status(), self.gateway.status());
        let hearing = Some(self.ear.status());
        let turns = self.voice.talks.traces().iter().take(TURNS_SHOWN).map(Trace::closed).collect();
        Status {
            cluster,
            gateway,
            hearing,
            spread: Some(self.spreading.status()),
            voice: Some(self.voice.status()),
            turns,
            workflows: shown::shown(&self.voice.mind.brain, false),
            quality: self.settings.now().quality,
            ..self.node.status().await
        }
    }

    async fn text(&self) -> String {
        text::render(&self.status().await, self.port)
    }
}

/// The tools by which a model looks at this node. They keep nothing of it alive.
fn looks(shared: &Arc<Shared>) {
    let runtime = tokio::runtime::Handle::current();
    let add = |spec, tells: fn(Arc<Shared>, tools::Call) -> inspect::Told| {
        let weak = Arc::downgrade(shared);
        let tells = move |call| match weak.upgrade() {
            Some(shared) => tells(shared, call),
            None => Box::pin(std::future::ready(Err("the agent ends".into()))),
        };
        let runtime = runtime.clone();
        shared.voice.setup.add(Arc::new(Inspect { spec, runtime, tells: Box::new(tells) }));
    };
    add(inspect::status(), |shared, _| Box::pin(async move { Ok(shared.text().await) }));
    add(inspect::log(), |shared, call| {
        let lines = call.whole("lines").and_then(|lines| u16::try_from(lines).ok()).unwrap_or(20);
        Box::pin(async move { Ok(shared.node.journal(lines).await) })
    });
    add(inspect::models(), |shared, _| {
        Box::pin(async move {
            let live = shared.gateway.live().await;
            let tags: Vec<String> = live.tags.into_iter().collect();
            Ok(format!("{} models answer; they are for: {}", live.n_models, tags.join(", ")))
        })
    });
    add(inspect::turns(), |shared, _| {
        Box::pin(async move {
            let traces = shared.voice.talks.traces();
            let told: Vec<Trace> = traces.iter().take(TURNS_SHOWN).map(Trace::closed).collect();
            serde_json::to_string(&told).map_err(|error| error.to_string())
        })
    });
    add(inspect::recall(), |shared, call| {
        Box::pin(async move {
            let found = shared.memory.recall(call.text("text").unwrap_or_default(), RECALLED).await?;
            let lines = found.iter().map(|found| format!("{} (id {})", found.fact.text, found.fact.id));
            Ok(lines.collect::<Vec<_>>().join("\n"))
        })
    });
    add(inspect::remember(), |shared, call| {
        Box::pin(async move {
            let kept = shared.memory.remember(call.text("text").unwrap_or_default()).await?;
            Ok(format!("remembered on {} PCs, id {}", kept.spread.n_told + 1, kept.id))
        })
    });
    add(inspect::forget(), |shared, call| {
        Box::pin(async move {
            let id = journal::FactId::parse(call.text("id").unwrap_or_default());
            let forgotten = shared.memory.forget(id.ok_or("an id is 32 small hex digits")?).await?;
            let (fact, _) = forgotten.ok_or("there is no such fact")?;
            Ok(format!("forgotten: {}", fact.text))
        })
    });
    // The owner's word may name them, and no server of others may.
    shared.voice.setup.read_again();
    shared.voice.setup.follow_servers();
}

async fn answer(shared: Arc<Shared>, ask: Ask) -> Reply {
    if ask.path.starts_with(gateway::PATH) {
        return shared.gateway.answer(ask).await;
    }
    if let Err(refusal) = api::judge(&ask.path, ask.posted.is_some()) {
        return refusal.into();
    }
    if ask.path == lending::PATH {
        return shared.lending.answer(&ask).await;
    }
    if memory_door::is_for(&ask.path) {
        return memory_door::answer(&shared.memory, &ask).await;
    }
    if Doors::is_for(&ask.path) {
        return shared.voice.doors.answer(&ask);
    }
    if panels::is_for(&ask.path) {
        return shared.panels.answer(&ask).await;
    }
    if ask.path == message::PATH {
        return shared.voice.messages.answer(&ask);
    }
    if tools::door::Door::is_for(&ask.path) {
        return shared.voice.tools.answer(&ask).await;
    }
    let whole = match ask.path.as_str() {
        ORDER_PATH => obey(shared, &ask).await,
        API_KEYS_PATH => shared.gateway.take_keys(&ask),
        SETTINGS_PATH => shared.settings.answer(&ask),
        EDIT_PATH => shared.sharing.take(&ask),
        login::LOGIN_PATH | login::LOGOUT_PATH => return shared.gateway.log_in(&ask),
        api::DOCUMENT_PATH => api::document(),
        "/" if !shared.reading.may(&ask.fields) => page(page::closed(&shared.node.name())),
        "/" => page(page::render(&shared.status().await)),
        page::WORKLET_PATH => worklet(),
        TEXT_PATH => Answer::text(200, &shared.text().await),
        "/api/status" => json(&shared.status().await),
        // The page may have closed since the gate.
        EVENTS_PATH if !shared.reading.may(&ask.fields) => return reading::refusal(),
        EVENTS_PATH => match shared.cluster.feed().follow(ask.heard) {
            Some(events) => return Reply::Events(events),
            None => Answer::text(503, "too many follow what happens\n"),
        },
        "/healthz" => healthz(&shared.node).await,
        path if path.starts_with(placing::desk::PATH) => {
            let picture = shared.cluster.picture();
            shared.desk.answer(path, shared.cluster.status().plan, picture.as_deref())
        }
        gateway::METRICS_PATH => metrics(&shared),
        TURNS_PATH => turns(&shared, &ask),
        shown::WORKFLOWS_PATH => {
            shown::workflows(&shared.voice.mind.brain, shared.gateway.voice_key(&ask.fields).is_ok())
        }
        shown::PERSONAS_PATH => shown::personas(&shared.voice.mind.brain),
        path => Answer::text(404, &format!("there is no {path} on this node\n")),
    };
    Reply::Whole(whole)
}

async fn obey(shared: Arc<Shared>, ask: &Ask) -> Answer {
    let order = match shared.ordering.take(&shared.node, ask).await {
        Ok(order) => order,
        Err(refusal) => return refusal,
    };
    let report = match order.wish() {
        Wish::Logs { lines } => shared.node.journal(lines).await,
        Wish::Diag(DiagPart::Status) => shared.text().await + &shared.node.counters(),
        Wish::Edits { from } => shared.sharing.part(from),
        Wish::Models => shared.spreading.status().told().to_json(),
        Wish::Diag(part) => {
            // It goes on though whoever asked has hung up, and the next order waits for it.
            let tried = tokio::spawn(async move {
                let report = shared.afar.report(part, &shared.text().await, &shared.node).await;
                order.answer(&report)
            });
            let broken = |error| Answer::text(500, &format!("the check broke off: {error}\n"));
            return tried.await.unwrap_or_else(broken);
        }
    };
    order.answer(&report)
}

fn page(page: String) -> Answer {
    let body = page.into_bytes();
    Answer { status: 200, content_type: "text/html; charset=utf-8", body, fields: PAGE_FIELDS }
}

fn worklet() -> Answer {
    let body = page::WORKLET.into();
    Answer { status: 200, content_type: "text/javascript; charset=utf-8", body, fields: &[] }
}

fn json(status: &Status) -> Answer {
    match serde_json::to_vec(status) {
        Ok(body) => Answer::json(200, body),
        Err(e) => Answer::text(500, &format!("the status cannot be written: {e}\n")),
    }
}

fn metrics(shared: &Shared) -> Answer {
    let body = (shared.gateway.metrics() + &shared.voice.talks.metrics()).into_bytes();
    Answer { status: 200, content_type: "text/plain; version=0.0.4; charset=utf-8", body, fields: &[] }
}

/// The last turns, newest first; what was said only for whoever has a key for the voice.
fn turns(shared: &Shared, ask: &Ask) -> Answer {
    let has_key = shared.gateway.voice_key(&ask.fields).is_ok();
    let traces = shared.voice.talks.traces();
    let shown: Vec<Trace> =
        traces.into_iter().map(|trace| if has_key { trace } else { trace.closed() }).collect();
    match serde_json::to_vec(&serde_json::json!({ "turns": shown })) {
        Ok(body) => Answer::json(200, body),
        Err(error) => Answer::text(500, &format!("the turns cannot be written: {error}\n")),
    }
}

/// For machines: 200 when healthy, else 503 with the reason.
async fn healthz(node: &Node) -> Answer {
    let health = node.status().await.health;
    let status = if health.state == crate::health::State::Healthy { 200 } else { 503 };
    Answer::text(status, &format!("{}: {}\n", health.state.as_str(), health.sentence))
}

/// Runs on the same thread as everything else, so a hang of that thread is seen by systemd; a leak is seen here.
async fn watchdog(ear: &hear::desk::Desk, models: &std::path::Path) -> String {
    let Some(period) = notify::watchdog_period() else { return std::future::pending().await };
    loop {
        notify::alive();
        let hears = models.join(ear.status().model).metadata().map_or(0, |file| file.len());
        if let Some(reason) = own_memory::excess(own_memory::bytes(), hears) {
            return reason;
        }
        tokio::time::sleep(period).await;
    }
}
