//! The cluster on the page: how far this node has come, who is there, and what happened last.

use super::html::{Html, bytes, duration};
use super::map;
use super::sections::{badge, begin_wide, end, none};
use crate::cluster::story::Happening;
use crate::cluster::{ClusterStatus, Phase, PlanStatus};
use ::cluster::{Facts, Health, Mood, isa};
use gossip::{Member, Picture};

/// Happenings on the page, newest first; the JSON has more.
const HAPPENINGS_MAX: usize = 8;

pub fn cluster(html: &mut Html, status: &ClusterStatus, mood: Mood) {
    begin_wide(html, "Cluster");
    phase(html, &status.phase);
    if let Some(picture) = &status.picture {
        map::map(html, picture, mood);
        members(html, picture);
        strangers(html, picture);
    }
    plan(html, &status.plan);
    happenings(html, &status.happenings);
    end(html);
}

fn phase(html: &mut Html, phase: &Phase) {
    match phase {
        Phase::Alone => {
            none(html, "This machine was not started by a duet boot server, so it is on its own.")
        }
        Phase::Calling { sentence } => {
            html.raw("<p>Calling the boot server. ").text(sentence).raw("</p>\n");
        }
        Phase::Waiting { code } => {
            html.raw("<p>The owner must let this node in. Its code is</p>\n<p class=\"figure\">").text(code);
            html.raw("</p>\n<p class=\"quiet\">Compare it with <code>duet nodes list</code>, then run ");
            html.raw("<code>duet nodes approve</code> on the boot server.</p>\n");
        }
        Phase::Refused { sentence } => {
            html.raw("<p class=\"failed\">").text(sentence).raw("</p>\n");
        }
        Phase::Member => {}
    }
}

fn members(html: &mut Html, picture: &Picture) {
    html.raw("<p class=\"figure\">").live("cluster.picture.n_alive", "text", &picture.n_alive.to_string());
    html.raw(if picture.n_alive == 1 { " <small>node alive" } else { " <small>nodes alive" });
    html.raw("</small></p>\n<div class=\"scroll\" role=\"region\" aria-label=\"Nodes\" tabindex=\"0\"><table class=\"nodes\">\n");
    html.raw(
        "<tr><th>node</th><th>address</th><th>memory</th><th>services</th><th>sees</th><th>heard</th></tr>\n",
    );
    let of_us = |member: &&Member| member.role == "node";
    let (nodes, servers): (Vec<_>, Vec<_>) = picture.members.iter().enumerate().partition(|(_, m)| of_us(m));
    for (idx, member) in nodes.into_iter().chain(servers) {
        row(html, idx, member, picture);
    }
    html.raw("</table></div>\n");
}

fn row(html: &mut Html, idx: usize, member: &Member, picture: &Picture) {
    let path = |end: &str| format!("cluster.picture.members.{idx}.{end}");
    html.raw("<tr class=\"").text(member.standing).raw("\"><td><i class=\"lamp\"></i>");
    html.text(if member.name.is_empty() { "unnamed" } else { &member.name });
    if member.is_self {
        badge(html, "plain", "this node");
    }
    if member.role == "server" {
        badge(html, "plain", "boot server");
    }
    if let Some(facts) = member.facts.as_ref().filter(|_| member.role == "node") {
        badge(html, "plain", facts.tier.as_str());
    }
    let mood = member.facts.as_ref().filter(|_| member.is_alive()).map_or(Mood::Idle, |facts| facts.mood);
    if mood != Mood::Idle {
        badge(html, "plain", mood.as_str());
    }
    if !member.is_alive() {
        badge(html, "bad", &format!("{} for {}", member.standing, duration(member.for_s as f64)));
    }
    html.raw("</td><td title=\"")
        .text(&member.id.to_string())
        .raw("\">")
        .text(&member.address.ip().to_string());
    html.raw("</td><td>");
    if let Some(facts) = member.facts.as_ref().filter(|facts| facts.hardware.ram_mb > 0) {
        memory(html, &path("facts.hardware.ram_free_mb"), facts);
    }
    html.raw("</td><td>");
    services(html, member);
    html.raw("</td><td>");
    if let Some((n, agreement)) = member.sees {
        html.live(&path("sees.0"), "text", &n.to_string());
        if agreement != picture.agreement {
            badge(html, "wait", "differs");
        }
    }
    html.raw("</td><td>");
    match member.heard_s {
        Some(s) if !member.is_self => _ = html.live(&path("heard_s"), "ago", &ago(s)),
        _ => {}
    }
    html.raw("</td></tr>\n");
}

fn memory(html: &mut Html, path: &str, facts: &Facts) {
    let mib = |n: u32| bytes(u64::from(n) << 20);
    let hardware = &facts.hardware;
    html.raw("<span title=\"").text(&hardware.processor).raw(" ");
    html.text(&isa::names(hardware.isa).collect::<Vec<_>>().join(" ")).raw("\">");
    html.live(path, "mib", &mib(hardware.ram_free_mb)).raw(" free of ").text(&mib(hardware.ram_mb));
    html.raw("</span>");
}

fn services(html: &mut Html, member: &Member) {
    let Some(facts) = &member.facts else {
        _ = html.text(member.unread.as_deref().unwrap_or(""));
        return;
    };
    for service in &facts.services {
        let class = match member.health(&service.name) {
            Some(Health::Passing) => "good",
            Some(Health::Warning) => "wait",
            Some(Health::Critical) | None => "bad",
        };
        badge(html, class, &service.name);
    }
}

/// Datagrams that were not accepted: quiet as long as there are none.
fn strangers(html: &mut Html, picture: &Picture) {
    if picture.refused.is_empty() {
        return;
    }
    html.raw("<p class=\"quiet\">Refused datagrams: ");
    for (idx, (why, n)) in picture.refused.iter().enumerate() {
        html.raw(if idx > 0 { ", " } else { "" }).text(&n.to_string()).raw(" ").text(why);
    }
    if let Some(loudest) = picture.senders.first() {
        html.raw("; most from ").text(&loudest.address.to_string());
    }
    html.raw(".</p>\n");
}

/// Which models this node holds, who has planned it, and why.
fn plan(html: &mut Html, plan: &PlanStatus) {
    if plan.generation == 0 || plan.coordinator.is_empty() {
        return;
    }
    html.raw("<p>Models here: ");
    html.text(if plan.holds.is_empty() { "none" } else { "" }).text(&plan.holds.join(", "));
    html.raw(". <span class=\"quiet\">Plan ").text(&plan.generation.to_string()).raw(" of ");
    html.text(if plan.is_coordinator { "this node" } else { &plan.coordinator }).raw(".</span></p>\n");
    if !plan.reasons.is_empty() {
        html.raw("<ul class=\"story\">");
        for reason in &plan.reasons {
            html.raw("<li>").text(reason).raw("</li>");
        }
        html.raw("</ul>\n");
    }
}

fn happenings(html: &mut Html, happenings: &[Happening]) {
    if happenings.is_empty() {
        return;
    }
    html.raw("<ul class=\"story\">");
    for happening in happenings.iter().rev().take(HAPPENINGS_MAX) {
        html.raw("<li><span class=\"quiet\">").text(&duration(happening.at_s as f64)).raw("</span> ");
        html.text(&happening.sentence).raw("</li>");
    }
    html.raw("</ul>\n<p class=\"quiet\">Times are since the agent started.</p>\n");
}

/// `just now`, `7 s ago`; `fresh.js` shows it in the same way.
fn ago(s: u64) -> String {
    if s < 2 { "just now".to_owned() } else { format!("{} ago", duration(s as f64)) }
}
