//! `agent memory`: asks the agent that runs, as any other client with a key does.

use super::door::{FORGET_PATH, LOAD_PATH, PATH, SAVE_PATH, SEARCH_PATH};
use crate::args::{Memory, MemoryDeed};
use anyhow::{Context, bail, ensure};
use journal::SAVED_BYTES_MAX;
use serde_json::{Value, json};
use service::upstream::{self, Ask};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

const KEY: &str = "DUET_API_KEY";
const KEY_BYTES_MAX: usize = 4096;
const ANSWER_TIME_MAX: Duration = Duration::from_secs(120);

pub async fn run(args: Memory) -> anyhow::Result<()> {
    let Memory { agent, key_file, deed } = args;
    if let MemoryDeed::Bench(bench) = deed {
        return crate::print(&super::bench::run(&bench)?);
    }
    let client = Client { agent, key: key(key_file.as_deref())? };
    match deed {
        MemoryDeed::List(_) => show(&client.ask(PATH, None).await?),
        MemoryDeed::Search(search) => {
            show(&client.ask(SEARCH_PATH, Some(json!({ "text": search.text }).to_string())).await?)
        }
        MemoryDeed::Remember(remember) => {
            let told = client.ask(PATH, Some(json!({ "text": remember.text }).to_string())).await?;
            let told: Value = serde_json::from_slice(&told).context("the answer is no JSON")?;
            let id = told["id"].as_str().unwrap_or_default();
            crate::print(&format!("{id} lies on {} of {} nodes\n", told["nodes"], told["of"]))
        }
        MemoryDeed::Forget(forget) => {
            let told = client.ask(FORGET_PATH, Some(json!({ "id": forget.id }).to_string())).await?;
            let told: Value = serde_json::from_slice(&told).context("the answer is no JSON")?;
            crate::print(&format!(
                "forgotten on {} of {} nodes; those that are away forget it when they return\n",
                told["nodes"], told["of"]
            ))
        }
        MemoryDeed::Save(save) => {
            let told = client.ask(SAVE_PATH, None).await?;
            std::fs::write(&save.file, told).with_context(|| format!("cannot write {}", save.file.display()))
        }
        MemoryDeed::Load(load) => {
            let text = std::fs::read_to_string(&load.file)
                .with_context(|| format!("cannot read {}", load.file.display()))?;
            let told = client.ask(LOAD_PATH, Some(text)).await?;
            let told: Value = serde_json::from_slice(&told).context("the answer is no JSON")?;
            crate::print(&format!("{} new facts, {} in all\n", told["new"], told["facts"]))
        }
        MemoryDeed::Bench(_) => Ok(()),
    }
}

fn key(file: Option<&Path>) -> anyhow::Result<String> {
    let text = match file {
        Some(file) => {
            std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?
        }
        None => std::env::var(KEY)
            .with_context(|| format!("no API key: set {KEY}, or name a file by --key-file"))?,
    };
    let key = text.trim().to_owned();
    ensure!(!key.is_empty() && key.len() <= KEY_BYTES_MAX, "this is no API key");
    Ok(key)
}

struct Client {
    agent: SocketAddr,
    key: String,
}

impl Client {
    /// The body of a good answer.
    async fn ask(&self, path: &str, body: Option<String>) -> anyhow::Result<Vec<u8>> {
        let shown = format!("Bearer {}", self.key);
        let fields = [("authorization", shown.as_str())];
        let ask = Ask { address: self.agent, path, fields: &fields, body: body.map(Into::into) };
        let answer = upstream::ask(ask, ANSWER_TIME_MAX)
            .await
            .with_context(|| format!("the agent at {} does not answer", self.agent))?;
        let status = answer.status;
        let body = answer.whole(SAVED_BYTES_MAX, ANSWER_TIME_MAX).await.context("the answer broke")?;
        if status != 200 {
            bail!("{}", String::from_utf8_lossy(&body).trim_end());
        }
        Ok(body)
    }
}

fn show(body: &[u8]) -> anyhow::Result<()> {
    let told: Value = serde_json::from_slice(body).context("the answer is no JSON")?;
    let facts = told["facts"].as_array().cloned().unwrap_or_default();
    let line = |fact: &Value| {
        let part = |name: &str| fact[name].as_str().unwrap_or_default().to_owned();
        format!("{}  {}\n", part("id"), part("text"))
    };
    let mut text: String = facts.iter().map(line).collect();
    if facts.is_empty() {
        text = "nothing is known\n".into();
    }
    if let Some(ms) = told["ms"].as_f64() {
        text += &format!("({ms:.1} ms)\n");
    }
    crate::print(&text)
}
