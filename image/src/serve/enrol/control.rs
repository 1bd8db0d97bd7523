//! The owner's socket: `out/state/control/nodes.sock`, which only the owner of the folder can reach.
//!
//! One line of JSON in, one out; the file's permissions are the authentication.

use super::registrar::No;
use super::telling::AGENT_PORT;
use super::{Enrolment, asking, random_or_say, rename, view};
use crate::disk::{read_limited, write_whole};
use crate::releases::unix_now_s;
use crate::serve::{Shared, settings, watch};
use admission::{BoxSecret, Code, DiagPart, NodeId, ORDER_PATH, StickPublic, Wish};
use anyhow::{Context, Result, anyhow, bail};
use release::{HostName, Mac};
use serde::{Deserialize, Serialize};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

/// Longest question; longest answer that the command reads: a full cluster.
const REQUEST_BYTES_MAX: u64 = 4096;
pub const REPLY_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// The owner's questions at once.
const OWNERS_MAX: usize = 8;
const REQUEST_TIME_MAX: Duration = Duration::from_secs(5);
/// A slow PC reads its journal within this time, and has tried out within the other what it was asked to.
const ORDER_TIME_MAX: Duration = Duration::from_secs(20);
const TRY_TIME_MAX: Duration = Duration::from_secs(80);

/// What the owner asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    List,
    Approve {
        code: String,
    },
    Remove {
        who: String,
    },
    Rename {
        who: String,
        name: String,
    },
    RotateKey,
    OpenWindow {
        minutes: u16,
    },
    /// The authority's word for a stick's public key, in hex digits.
    StickPass {
        key: String,
        days: u16,
    },
    VoidSticks,
    Logs {
        who: String,
        lines: u16,
    },
    Diag {
        who: String,
        part: DiagPart,
    },
}

/// What the owner hears.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    Nodes(view::Nodes),
    Done {
        sentence: String,
    },
    Report {
        text: String,
    },
    /// In hex digits.
    Pass {
        pass: String,
    },
    No {
        sentence: String,
    },
}

pub fn path(out: &Path) -> PathBuf {
    out.join("state/control/nodes.sock")
}

/// Opens the socket inside a folder that nobody else can enter, so there is no moment when others reach it.
pub(super) fn open(out: &Path) -> Result<UnixListener> {
    let path = path(out);
    let folder = path.parent().context("the socket has no folder")?;
    let mut builder = std::fs::DirBuilder::new();
    let made = builder.recursive(true).mode(0o700).create(folder);
    made.with_context(|| format!("cannot make {}", folder.display()))?;
    std::fs::set_permissions(folder, PermissionsExt::from_mode(0o700))
        .with_context(|| format!("cannot keep others out of {}", folder.display()))?;
    if std::os::unix::net::UnixStream::connect(&path).is_ok() {
        bail!("another `duet serve` takes PCs into the cluster of {}", out.display());
    }
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot remove {}", path.display()));
        }
        _ => {}
    }
    let listener = UnixListener::bind(&path)
        .with_context(|| format!("cannot open {}; a shorter --out may help", path.display()))?;
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600))
        .with_context(|| format!("cannot keep others out of {}", path.display()))?;
    Ok(listener)
}

pub(super) async fn serve(listener: UnixListener, enrolment: Arc<Enrolment>, shared: Arc<Shared>) {
    let places = Arc::new(tokio::sync::Semaphore::new(OWNERS_MAX));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (enrolment, shared) = (enrolment.clone(), shared.clone());
        tokio::spawn(async move {
            let _ = talk(stream, &enrolment, &shared).await;
            drop(place);
        });
    }
}

async fn talk(stream: UnixStream, enrolment: &Arc<Enrolment>, shared: &Arc<Shared>) -> Result<()> {
    let (from, mut to) = stream.into_split();
    let mut line = String::new();
    let mut from = BufReader::new(from.take(REQUEST_BYTES_MAX));
    tokio::time::timeout(REQUEST_TIME_MAX, from.read_line(&mut line)).await??;
    let reply = match serde_json::from_str(&line) {
        Ok(request) => obey(request, enrolment, shared)
            .await
            .unwrap_or_else(|error| Reply::No { sentence: format!("{error:#}") }),
        Err(error) => Reply::No { sentence: format!("this is no question of `duet nodes`: {error}") },
    };
    to.write_all(format!("{}\n", serde_json::to_string(&reply)?).as_bytes()).await?;
    Ok(())
}

async fn obey(request: Request, enrolment: &Arc<Enrolment>, shared: &Arc<Shared>) -> Result<Reply> {
    let settings = shared.desk().settings.clone();
    let now_s = unix_now_s();
    let sentence = match request {
        Request::List => {
            let mut nodes = view::for_owner(enrolment, shared);
            asking::models(enrolment, shared, &mut nodes).await;
            return Ok(Reply::Nodes(nodes));
        }
        Request::Logs { who, lines } => {
            let lines = lines.clamp(1, admission::LOG_LINES_MAX);
            return order(enrolment, shared, &who, Wish::Logs { lines }).await;
        }
        Request::StickPass { key, days } => {
            let key = StickPublic::parse(&key).context("a stick's key is 64 small hex digits")?;
            let pass = enrolment.registrar(&settings).stick_pass(now_s, days, key).map_err(no)?;
            return Ok(Reply::Pass { pass: pass.to_hex() });
        }
        Request::VoidSticks => {
            enrolment.registrar(&settings).void_sticks(now_s);
            "every stick that was written until now is void".to_owned()
        }
        Request::Diag { who, part } => return order(enrolment, shared, &who, Wish::Diag(part)).await,
        Request::Approve { code } => {
            let code = Code::parse(&code).context("a code is six digits")?;
            let mut registrar = enrolment.registrar(&settings);
            let node = registrar.by_code(code);
            let node = node.context("no PC shows this code now; look again with `duet nodes list`")?;
            registrar.approve(node, code).map_err(no)?;
            let mac = registrar.book.nodes.get(&node).map(|record| record.mac);
            let name = mac.map_or_else(|| node.to_string(), |mac| settings.name_of(&mac).to_string());
            format!("{name} is taken in as soon as it asks again, within seconds")
        }
        Request::Remove { who } => {
            let (node, name) = find(enrolment, shared, &who)?;
            enrolment.registrar(&settings).remove(now_s, node, random_or_say()?).map_err(no)?;
            format!("{name} is taken out, and a new ring key is on its way to all others")
        }
        Request::Rename { who, name } => {
            let (node, old) = find(enrolment, shared, &who)?;
            rename_pc(enrolment, shared, node, &name)?;
            format!("{old} is now {name}; its screen shows it after its next boot")
        }
        Request::RotateKey => {
            let number = enrolment.registrar(&settings).rotate(now_s, random_or_say()?).map_err(no)?;
            format!("ring key {number} is on its way; it takes over when all live nodes have it")
        }
        Request::OpenWindow { minutes } => {
            enrolment.registrar(&settings).open_window(now_s, minutes);
            format!("new PCs are taken in for {minutes} minutes")
        }
    };
    let version = enrolment.registrar(&settings).version();
    if enrolment.kept(version).await {
        Ok(Reply::Done { sentence })
    } else {
        bail!("it is done, but cannot be written to disk; see what `duet serve` says")
    }
}

fn no(No(sentence): No) -> anyhow::Error {
    anyhow!(sentence)
}

/// The PC with this name, MAC or id.
fn find(enrolment: &Enrolment, shared: &Shared, who: &str) -> Result<(NodeId, String)> {
    let settings = shared.desk().settings.clone();
    let registrar = enrolment.registrar(&settings);
    let named = |mac: &Mac| settings.name_of(mac).to_string();
    let is_meant =
        |id: &NodeId, mac: &Mac| id.to_string() == who || Mac::parse(who) == Ok(*mac) || named(mac) == who;
    let found = registrar.book.nodes.iter().find(|(id, record)| is_meant(id, &record.mac));
    let found = found.map(|(id, record)| (*id, named(&record.mac)));
    found.with_context(|| format!("there is no PC '{who}'; `duet nodes list` shows them all"))
}

fn rename_pc(enrolment: &Enrolment, shared: &Shared, node: NodeId, name: &str) -> Result<()> {
    let name = HostName::parse(name).map_err(|error| anyhow!("{error}, not '{name}'"))?;
    let current = shared.desk().settings.clone();
    let registrar = enrolment.registrar(&current);
    let mac = registrar.book.nodes.get(&node).map(|record| record.mac).context("there is no such PC")?;
    let taken =
        registrar.book.nodes.values().any(|other| other.mac != mac && current.name_of(&other.mac) == name);
    drop(registrar);
    if taken {
        bail!("another PC is already called {name}");
    }
    let path = watch::settings_path(&enrolment.out);
    let text = match read_limited(&path, settings::SETTINGS_BYTES_MAX) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let text = rename::renamed(&text, mac, &name).map_err(|why| anyhow!(why))?;
    write_whole(&path, text.as_bytes())?;
    let settings = settings::Settings::parse(&text).map_err(|error| anyhow!("{error}"))?;
    shared.desk().set_settings(settings);
    Ok(())
}

async fn order(enrolment: &Enrolment, shared: &Shared, who: &str, wish: Wish) -> Result<Reply> {
    let (node, name) = find(enrolment, shared, who)?;
    Ok(Reply::Report { text: report(enrolment, shared, (node, &name), wish).await? })
}

/// Sends an order to a node's agent and opens its report.
pub(super) async fn report(
    enrolment: &Enrolment,
    shared: &Shared,
    (node, name): (NodeId, &str),
    wish: Wish,
) -> Result<String> {
    let key = BoxSecret::from_seed(&random_or_say()?);
    let settings = shared.desk().settings.clone();
    let made = enrolment.registrar(&settings).order(unix_now_s(), node, wish, random_or_say()?, key.public());
    let (address, node_key, order) = made.map_err(no)?;
    let base = format!("http://{address}:{AGENT_PORT}");
    let time_max = match wish {
        Wish::Diag(part) if part != DiagPart::Status => TRY_TIME_MAX,
        _ => ORDER_TIME_MAX,
    };
    let asked = service::fetch::post_json_within(time_max, &base, ORDER_PATH, &order.to_json()).await;
    let reply = asked.map_err(|error| anyhow!("{name} at {address} does not answer: {error}"))?;
    if reply.status != 200 {
        let said: String = String::from_utf8_lossy(&reply.body).chars().take(200).collect();
        bail!("{name} refused with {}: {}", reply.status, crate::serve::pcs::plain_text(said.trim()));
    }
    let text = order.open_report(&reply.body, &key, &node_key);
    text.map_err(|error| anyhow!("what {name} answered is not its report: {error}"))
}
