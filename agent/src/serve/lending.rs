//! Lets stock llama.cpp clients through to this node's memory: whoever shows an API key that the owner named for it.
//!
//! The protocol of those clients (ggml's RPC) has no key of its own. It comes here as an upgrade of HTTP, so the node
//! opens no port for it, and goes on to rpc-worker, which reads every message of it before its server does.
//! Off unless the owner's duet.toml says how much memory; rpc-worker is told by a file.

use crate::gateway::Gateway;
use crate::io::runtime;
use crate::settings::Settings;
use admission::NodeSettings;
use anyhow::Context;
use service::door::{Allowance, Answer, Ask, Head, Reply, Upgrade};
use service::log::{self, Level};
use service::upstream::HeaderMap;
use service::{carry, upstream};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub const PATH: &str = "/api/rpc";
/// Where rpc-worker takes it.
const WORKER_PATH: &str = "/rpc";
const PROTOCOL: &str = "ggml-rpc";
/// What rpc-worker reads, in the agent's own folder.
const FILE: &str = "stock.json";
/// The longest that one client may stay; rpc-worker sees to it too.
const TIME_MAX: Duration = Duration::from_secs(12 * 3600);
/// rpc-worker lets a client wait for another that is just leaving.
const BEGIN_MAX: Duration = Duration::from_secs(10);
/// Between two looks at what holds.
const TURN: Duration = Duration::from_secs(1);
/// Longest refusal of rpc-worker's that is handed on.
const REFUSAL_BYTES_MAX: usize = 1024;

const OFF: &str = "this node lends no memory to llama.cpp clients; [rpc] in duet.toml allows it";

pub struct Lending {
    gateway: Arc<Gateway>,
    settings: Arc<Settings>,
    worker: SocketAddr,
    /// What was said to this node itself.
    own: NodeSettings,
}

impl Lending {
    /// `own` is memory and names of keys, from the command line.
    pub fn new(
        gateway: Arc<Gateway>,
        settings: Arc<Settings>,
        worker: SocketAddr,
        own: (Option<u32>, Vec<String>),
    ) -> anyhow::Result<Lending> {
        let (mib, rpc_keys) = own;
        let own = NodeSettings { rpc_memory_mib: mib.unwrap_or(0), rpc_keys, ..NodeSettings::default() };
        own.check().context("--rpc-memory-mib and --rpc-key")?;
        Ok(Lending { gateway, settings, worker, own })
    }

    /// What holds now: what was said to this node itself goes before what is said to all.
    fn now(&self) -> NodeSettings {
        if self.own.rpc_memory_mib > 0 { self.own.clone() } else { self.settings.now() }
    }

    /// Never ends: rpc-worker is told what holds.
    pub async fn follow(&self) {
        let mut told = None;
        loop {
            let mib = self.now().rpc_memory_mib;
            if told != Some(mib) {
                // A word that takes everything back is one that rpc-worker does not understand as leave.
                let text = format!("{{\"memory_mib\":{mib}}}\n");
                match runtime::write(FILE, text.as_bytes(), runtime::For::Everybody) {
                    Ok(()) => told = Some(mib),
                    Err(error) => {
                        log::say(Level::Warning, &format!("duet: {FILE} cannot be written: {error}"))
                    }
                }
            }
            tokio::time::sleep(TURN).await;
        }
    }

    /// Judges a request by its head: who may not, hears why.
    pub fn admit(&self, head: &Head<'_>) -> Result<Allowance, Reply> {
        let allowance = Allowance { body_bytes: 0, time: TIME_MAX };
        let refusal = |(status, what)| Answer::text(status, &format!("{what}\n")).into();
        self.may(head.fields).map(|()| allowance).map_err(refusal)
    }

    /// Whether whoever shows this may have memory here; else a status and why not.
    fn may(&self, fields: &HeaderMap) -> Result<(), (u16, String)> {
        let now = self.now();
        if now.rpc_memory_mib == 0 {
            return Err((404, OFF.to_owned()));
        }
        let name = self.gateway.key(fields)?;
        if now.rpc_keys.contains(&name) {
            return Ok(());
        }
        Err((403, format!("the API key {name} may not; keys under [rpc] in duet.toml says whose may")))
    }

    /// Ends when who was let in would not be any more: the key was removed, or the owner changed his mind. A key that
    /// has asked too much elsewhere keeps what it has.
    async fn taken_back(&self, fields: &HeaderMap) {
        while !matches!(self.may(fields), Err((401 | 403 | 404, _))) {
            tokio::time::sleep(TURN).await;
        }
    }

    /// Carries whom [`Lending::admit`] let in to rpc-worker.
    pub async fn answer(self: &Arc<Self>, ask: &Ask) -> Reply {
        let told = |status, what: String| Answer::text(status, &format!("{what}\n")).into();
        if ask.is_of_a_browser {
            return told(403, "a page may not have memory".into());
        }
        if ask.fields.get("upgrade").is_none_or(|protocol| protocol != PROTOCOL) {
            let fields = &[("upgrade", PROTOCOL)];
            return Answer { fields, ..Answer::text(426, "`duet rpc` carries llama.cpp clients here\n") }
                .into();
        }
        let asked = upstream::Ask { address: self.worker, path: WORKER_PATH, fields: &[], body: None };
        match upstream::upgrade(asked, PROTOCOL, BEGIN_MAX).await {
            Ok(Ok(worker)) => {
                let (lending, fields) = (self.clone(), ask.fields.clone());
                let then = move |client| {
                    Box::pin(async move {
                        tokio::select! {
                            () = carry::both_ways(client, worker) => {}
                            () = lending.taken_back(&fields) => {}
                        }
                    }) as _
                };
                Reply::Carried(Upgrade { protocol: PROTOCOL, fields: vec![], then: Box::new(then) })
            }
            Ok(Err(refused)) => {
                let status = refused.status;
                let what = refused.whole(REFUSAL_BYTES_MAX, BEGIN_MAX).await.unwrap_or_default();
                told(status, String::from_utf8_lossy(&what).trim_end().to_owned())
            }
            Err(error) => told(502, format!("rpc-worker does not answer: {error}")),
        }
    }
}
