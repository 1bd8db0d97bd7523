//! The hands of the reporter: looks at the node, writes to the kernel log, posts to the boot servers.

use crate::facts::network::Interface;
use crate::io::{clock, node::Node};
use crate::report::{Input, Notice, Output, Reporter};
use release::{BootFacts, Report, Stage};
use service::log::{Level, say};
use std::sync::Arc;
use std::time::Instant;

/// Never ends. Where no init of ours has run there is nothing to report, and it only waits.
pub async fn run(node: Arc<Node>, port: u16) {
    let Some(facts) = node.boot_facts() else { return std::future::pending().await };
    // Without its number and its MAC the boot server could not tell whose report it is.
    let n_servers = if facts.mac.is_some() && facts.attempt.is_some() { facts.servers.len() } else { 0 };
    let mut reporter = Reporter::new(n_servers);
    let start = Instant::now();
    reporter.handle(start.elapsed(), Input::Woken);
    loop {
        while let Some(wish) = reporter.poll() {
            let Some(seen) = fulfil(&node, &facts, port, wish).await else { continue };
            reporter.handle(start.elapsed(), seen);
        }
        match reporter.deadline() {
            Some(at) => tokio::time::sleep(at.saturating_sub(start.elapsed())).await,
            None => return std::future::pending().await,
        }
        reporter.handle(start.elapsed(), Input::Woken);
    }
}

async fn fulfil(node: &Node, facts: &BootFacts, port: u16, wish: Output) -> Option<Input> {
    match wish {
        Output::LookForBoot => Some(Input::Reached(node.reached().map(|r| r.clock))),
        Output::LookForHealth => {
            node.refresh().await;
            let health = node.status().await.health;
            Some(Input::Judged { health, clock: clock::now() })
        }
        Output::Announce(notice) => {
            announce(node, port, &notice).await;
            None
        }
        Output::Post { server_idx, notice } => Some(Input::Posted(post(facts, server_idx, notice).await)),
    }
}

/// The lines that a person at the serial console reads, and `duet vm` too.
async fn announce(node: &Node, port: u16, notice: &Notice) {
    match notice.stage {
        Stage::Healthy => {
            let m = node.memory();
            let (total, free) = (m.total_kib, m.free_kib);
            let memory = format!(
                "total={total} free={free} available={} occupied={}",
                m.available_kib, m.occupied_kib
            );
            say(Level::Notice, &format!("duet: memory {memory}"));
            let interfaces = node.status().await.interfaces;
            let address = interfaces.iter().find_map(Interface::ipv4).unwrap_or("0.0.0.0");
            say(
                Level::Notice,
                &format!("duet: healthy clock={} page=http://{address}:{port}/", notice.clock),
            );
        }
        Stage::Failed => say(Level::Warning, &format!("duet: failed: {}", notice.sentence)),
        Stage::Booted | Stage::RootReady => {}
    }
}

async fn post(facts: &BootFacts, server_idx: usize, notice: Notice) -> bool {
    let (Some(server), Some(mac)) = (facts.servers.get(server_idx), facts.mac) else { return false };
    let Notice { stage, sentence, clock } = notice;
    let attempt = facts.attempt.unwrap_or(0);
    let report = Report { mac, attempt, release: facts.release.clone(), stage, sentence, clock };
    let what =
        match service::fetch::post_json(&server.to_string(), release::REPORT_PATH, &report.to_json()).await {
            Ok(reply) if (200..300).contains(&reply.status) => return true,
            Ok(reply) => format!("it answered {}", reply.status),
            Err(e) => e.to_string(),
        };
    say(Level::Info, &format!("duet: {server} did not take the report: {what}"));
    false
}
