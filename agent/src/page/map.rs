//! The cluster as a picture: this node in the middle, the others around it, each with its load, its models and its link.
//!
//! The table below it says the same in words, so nobody has the picture read.

use super::html::Html;
use cluster::Mood;
use gossip::{Member, Picture};

/// Half the picture's height and width, less what stands outside of the ring.
const RING: usize = 120;
/// More nodes than this need a wider ring, each by so much.
const RING_FULL: usize = 6;
const RING_STEP: usize = 18;
const ROOM: usize = 72;
/// Letters of a line of text.
const LETTERS_MAX: usize = 18;
/// Models of a node that are named.
const MODELS_MAX: usize = 2;

/// `mood` is this node's own, which it knows sooner than the gossip.
pub fn map(html: &mut Html, picture: &Picture, mood: Mood) {
    let (own, others): (Vec<&Member>, Vec<&Member>) =
        picture.members.iter().partition(|member| member.is_self);
    let ring = if others.is_empty() { 0 } else { RING + others.len().saturating_sub(RING_FULL) * RING_STEP };
    let size = 2 * (ring + ROOM);
    html.raw("<svg class=\"map\" aria-hidden=\"true\" viewBox=\"0 0 ");
    html.text(&format!("{size} {size}")).raw("\">\n");
    let middle = (ring + ROOM) as f64;
    let place = |idx: usize| {
        let turn = std::f64::consts::TAU * idx as f64 / others.len() as f64 - std::f64::consts::FRAC_PI_2;
        (middle + ring as f64 * turn.cos(), middle + ring as f64 * turn.sin())
    };
    for (idx, member) in others.iter().enumerate() {
        link(html, (middle, middle), place(idx), member);
    }
    for (idx, member) in others.iter().enumerate() {
        let mood = member.facts.as_ref().filter(|_| member.is_alive()).map_or(Mood::Idle, |facts| facts.mood);
        node(html, place(idx), member, mood);
    }
    for member in own {
        node(html, (middle, middle), member, mood);
    }
    html.raw("</svg>\n");
}

/// As wide as the wire is quick, and broken where nobody answers.
fn link(html: &mut Html, from: (f64, f64), to: (f64, f64), member: &Member) {
    let mbit = member.facts.as_ref().map_or(0, |facts| facts.hardware.wire_mbit);
    let class = match (member.is_alive(), mbit) {
        (false, _) => "gone",
        (true, 1000..) => "quick",
        (true, _) => "link",
    };
    html.raw("<line class=\"").raw(class);
    for (name, n) in [("\" x1=\"", from.0), ("\" y1=\"", from.1), ("\" x2=\"", to.0), ("\" y2=\"", to.1)] {
        html.raw(name).text(&format!("{n:.0}"));
    }
    html.raw("\"></line>");
}

fn node(html: &mut Html, (x, y): (f64, f64), member: &Member, mood: Mood) {
    html.raw("<g class=\"").raw(member.standing);
    if member.is_self {
        html.raw(" self");
    }
    html.raw("\" transform=\"translate(").text(&format!("{x:.0} {y:.0}")).raw(")\">");
    if mood != Mood::Idle {
        html.raw("<circle class=\"talks\" r=\"33\"></circle>");
    }
    html.raw(if member.role == "server" {
        "<rect x=\"-24\" y=\"-24\" width=\"48\" height=\"48\" rx=\"10\"></rect>"
    } else {
        "<circle r=\"26\"></circle>"
    });
    let services = member.facts.iter().flat_map(|facts| &facts.services);
    let (busy, slots) = services.fold((0u32, 0u32), |(busy, slots), service| {
        (busy + u32::from(service.busy), slots + u32::from(service.slots))
    });
    if let Some(percent) = (busy.min(slots) * 100).checked_div(slots) {
        html.raw("<circle class=\"load\" r=\"26\" pathLength=\"100\" transform=\"rotate(-90)\" stroke-dasharray=\"");
        html.text(&percent.to_string()).raw(" 100\"></circle>");
        line(html, "<text class=\"busy\" y=\"4\">", &format!("{busy}/{slots}"));
    }
    let name = if member.name.is_empty() { "unnamed" } else { &member.name };
    line(html, "<text class=\"name\" y=\"43\">", name);
    let role = match (member.is_self, member.role) {
        (true, _) => "this node",
        (_, "server") => "boot server",
        _ if !member.is_alive() => member.standing,
        _ if mood != Mood::Idle => mood.as_str(),
        _ => "node",
    };
    line(html, "<text y=\"57\">", role);
    line(html, "<text y=\"70\">", &models(member));
    html.raw("</g>\n");
}

/// `general, coding +3`.
fn models(member: &Member) -> String {
    let loaded: Vec<&str> = member
        .facts
        .iter()
        .flat_map(|facts| &facts.models)
        .filter(|model| model.is_loaded)
        .map(|model| model.name.as_str())
        .collect();
    let named = loaded.iter().take(MODELS_MAX).copied().collect::<Vec<_>>().join(", ");
    match loaded.len().saturating_sub(MODELS_MAX) {
        0 => named,
        more => format!("{named} +{more}"),
    }
}

fn line(html: &mut Html, open: &'static str, text: &str) {
    let cut: String = text.chars().take(LETTERS_MAX).collect();
    html.raw(open).text(&cut).raw(if cut.len() < text.len() { "…</text>" } else { "</text>" });
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::cluster::{Facts, Health, Model, Service};

    fn member(name: &str, is_self: bool, standing: &'static str) -> Member {
        let service =
            Service { name: "llama-api-a".into(), port: 1, health: Health::Passing, busy: 1, slots: 4 };
        let model = |name: &str| Model { name: name.into(), size_mb: 1, is_loaded: true };
        let models = ["general", "coding", "math"].map(model).into();
        let facts = Facts { services: vec![service], models, ..Facts::default() };
        Member {
            id: admission::NodeId(1),
            is_self,
            role: "node",
            name: name.into(),
            address: "10.0.0.1:7947".parse().unwrap(),
            overlay: None,
            standing,
            for_s: 0,
            heard_s: None,
            sees: None,
            facts: Some(facts),
            unread: None,
            doubted: vec![],
            certificate: None,
        }
    }

    #[test]
    fn every_node_is_drawn_once_with_load_models_and_link_and_names_are_text() {
        let members =
            vec![member("<a>", true, "alive"), member("b", false, "alive"), member("c", false, "down")];
        let picture = Picture {
            own: admission::NodeId(1),
            ring: 1,
            n_alive: 2,
            agreement: 0,
            members,
            traffic: gossip::Traffic::default(),
            refused: vec![],
            senders: vec![],
        };
        let mut html = Html::default();
        map(&mut html, &picture, Mood::Speaking);
        let page = html.finish();
        assert_eq!((page.matches("<g class=").count(), page.matches("<line ").count()), (3, 2));
        assert_eq!((page.matches("class=\"gone\"").count(), page.matches("class=\"talks\"").count()), (1, 1));
        assert!(
            page.contains("general, coding +1") && page.contains("stroke-dasharray=\"25 100\""),
            "{page}"
        );
        assert!(page.contains("&lt;a&gt;") && page.contains(">1/4<") && !page.contains("<a>"), "{page}");
    }
}
