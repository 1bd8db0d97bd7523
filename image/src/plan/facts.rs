//! What a facts file says of the PCs: the answer of a node's `/api/status`, or a short form of its own.

use anyhow::{Context, Result, bail, ensure};
use cluster::Facts;
use serde::Deserialize;
use split::place::{NODES_MAX, told::DECODE, told::Told};
use std::collections::BTreeMap;

/// A thousand nodes tell two megabytes.
pub const FILE_BYTES_MAX: usize = 32 << 20;

#[derive(Debug, Default)]
pub struct Found {
    pub nodes: Vec<FoundNode>,
    /// Sentences on nodes that the plan cannot count on.
    pub left_out: Vec<String>,
}

#[derive(Debug)]
pub struct FoundNode {
    pub told: Told,
    /// Nothing is known of its files.
    pub anywhere: bool,
}

pub fn read(text: &str) -> Result<Found> {
    let either: Either = serde_json::from_str(text)
        .context("this is no JSON of a node's /api/status, nor of a plan's facts")?;
    match (either.nodes, either.cluster) {
        (Some(nodes), None) => short(nodes),
        (None, Some(Cluster { picture: Some(picture) })) => status(picture),
        (None, Some(_)) => bail!("this node is in no cluster yet, so it knows nobody"),
        _ => bail!("there is neither \"nodes\" nor \"cluster\" in it"),
    }
}

#[derive(Deserialize)]
struct Either {
    nodes: Option<Vec<Short>>,
    cluster: Option<Cluster>,
}

/// A node in the short form.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Short {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    name: String,
    cores: u32,
    ram_free_mb: u64,
    #[serde(default)]
    wire_mbit: u32,
    #[serde(default)]
    speeds: BTreeMap<String, f64>,
    #[serde(default)]
    models: Option<BTreeMap<String, u64>>,
    /// They lie on a disk.
    #[serde(default)]
    has_disk: bool,
    #[serde(default)]
    serves: Vec<String>,
}

fn short(nodes: Vec<Short>) -> Result<Found> {
    ensure!(nodes.len() <= NODES_MAX, "a plan is made for at most {NODES_MAX} PCs");
    let mut found = Found::default();
    for (idx, node) in nodes.into_iter().enumerate() {
        let id = match &node.id {
            Some(text) => id(text)?,
            None => idx as u64 + 1,
        };
        if let Some((model, _)) = node.speeds.iter().find(|(_, speed)| !(0.0..=1e6).contains(*speed)) {
            bail!("the speed of {model} on {} is no number of tokens a second", node.name);
        }
        let milli = |speed: f64| (speed * 1000.0) as u64;
        let services = node.serves.iter().map(|name| format!("{}{name}", split::expert::SERVICE));
        let is_loaded = !node.serves.is_empty();
        let anywhere = node.models.is_none();
        found.nodes.push(FoundNode {
            told: Told {
                id,
                name: node.name,
                cores: node.cores,
                room_mib: node.ram_free_mb,
                wire_mbit: node.wire_mbit,
                speeds: node.speeds.into_iter().map(|(m, s)| (format!("{DECODE}{m}"), milli(s))).collect(),
                models: node
                    .models
                    .unwrap_or_default()
                    .into_iter()
                    .map(|(m, mib)| (m, mib, is_loaded))
                    .collect(),
                has_disk: node.has_disk,
                services: services.collect(),
            },
            anywhere,
        });
    }
    Ok(found)
}

#[derive(Deserialize)]
struct Cluster {
    picture: Option<Picture>,
}

#[derive(Deserialize)]
struct Picture {
    members: Vec<Member>,
}

/// As the agent tells it; what a plan does not need is not read.
#[derive(Deserialize)]
struct Member {
    id: String,
    #[serde(default)]
    is_self: bool,
    role: String,
    name: String,
    standing: String,
    facts: Option<Facts>,
}

fn status(picture: Picture) -> Result<Found> {
    ensure!(picture.members.len() <= NODES_MAX, "a plan is made for at most {NODES_MAX} PCs");
    // Nodes of another build plan for themselves: their stages would not agree bit by bit.
    let own = picture.members.iter().find(|member| member.is_self).and_then(|member| member.facts.as_ref());
    let build = own.map(|facts| facts.build.clone());
    let mut found = Found::default();
    for member in picture.members.into_iter().filter(|member| member.role == "node") {
        let name = if member.name.is_empty() { member.id.clone() } else { member.name };
        let Some(facts) = member.facts.filter(|_| member.standing == "alive") else {
            found.left_out.push(format!("{name} is {}, so it is left out", member.standing));
            continue;
        };
        if build.as_ref().is_some_and(|build| *build != facts.build) {
            found.left_out.push(format!("{name} runs another build, {}, so it is left out", facts.build));
            continue;
        }
        found.nodes.push(FoundNode { told: told(id(&member.id)?, name, facts), anywhere: false });
    }
    Ok(found)
}

fn told(id: u64, name: String, facts: Facts) -> Told {
    Told {
        id,
        name,
        cores: facts.hardware.cores.into(),
        room_mib: facts.room_mb.into(),
        wire_mbit: facts.hardware.wire_mbit.into(),
        speeds: facts.speeds.into_iter().map(|speed| (speed.what, speed.milli.into())).collect(),
        models: facts.models.into_iter().map(|m| (m.name, m.size_mb.into(), m.is_loaded)).collect(),
        has_disk: facts.hardware.disk_mb > 0,
        services: facts.services.into_iter().map(|service| service.name).collect(),
    }
}

fn id(text: &str) -> Result<u64> {
    u64::from_str_radix(text, 16).with_context(|| format!("{text:?} is no node's id: 16 hex digits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, want: &str) {
        let told = match read(text) {
            Ok(found) => {
                let names: Vec<_> = found.nodes.iter().map(|node| node.told.name.clone()).collect();
                format!("{} ({})", names.join(" "), found.left_out.join("; "))
            }
            Err(error) => error.to_string(),
        };
        assert_eq!(told, want);
    }

    #[test]
    fn the_short_form_needs_cores_and_memory() {
        check(r#"{"nodes": [{"name": "a", "cores": 2, "ram_free_mb": 900}]}"#, "a ()");
        let want = "this is no JSON of a node's /api/status, nor of a plan's facts";
        check(r#"{"nodes": [{"name": "a", "cores": 2}]}"#, want);
        check(r#"{"nodes": [{"cores": 2, "ram_free_mb": 900, "colour": 1}]}"#, want);
        let odd = r#"{"nodes": [{"name": "a", "cores": 2, "ram_free_mb": 900, "speeds": {"m": -1}}]}"#;
        check(odd, "the speed of m on a is no number of tokens a second");
    }

    #[test]
    fn only_live_nodes_of_this_build_are_counted_on() {
        let facts = |build: &str| {
            serde_json::to_string(&Facts { build: build.to_owned(), ..Facts::default() }).unwrap()
        };
        let member = |id: u64, role: &str, standing: &str, build: &str| {
            format!(
                r#"{{"id": "{id:016x}", "is_self": {}, "role": "{role}", "name": "n{id}", "standing": "{standing}", "facts": {}}}"#,
                id == 1,
                facts(build)
            )
        };
        let members = [
            member(1, "node", "alive", "1"),
            member(2, "node", "down", "1"),
            member(3, "node", "alive", "2"),
            member(4, "server", "alive", "1"),
        ];
        let text = format!(r#"{{"cluster": {{"picture": {{"members": [{}]}}}}}}"#, members.join(","));
        check(&text, "n1 (n2 is down, so it is left out; n3 runs another build, 2, so it is left out)");
    }

    #[test]
    fn a_node_without_a_cluster_is_told_so() {
        check(
            r#"{"cluster": {"phase": "alone", "picture": null}}"#,
            "this node is in no cluster yet, so it knows nobody",
        );
        check("{}", "there is neither \"nodes\" nor \"cluster\" in it");
    }
}
