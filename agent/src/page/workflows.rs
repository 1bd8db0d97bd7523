//! The workflows: each a graph with what its last run did, and the same in words for whoever cannot see it.

use super::html::Html;
use super::sections::{badge, end};
use crate::brain::shown::{Shown, Workflow};
use crate::talk::shown::when;
use brain::{End, Outcome, Step};
use std::collections::BTreeMap;

/// A node, in units of the picture, and the room around it.
const WIDTH: usize = 104;
const HEIGHT: usize = 32;
const STEP_X: usize = 124;
const STEP_Y: usize = 58;
/// Steps that are listed.
const STEPS_MAX: usize = 40;

pub fn workflows(html: &mut Html, shown: &Shown) {
    html.raw("<section class=\"wide\">\n<h2>Workflows</h2>\n");
    for trouble in &shown.troubles {
        html.raw("<p class=\"failed\">").text(trouble).raw("</p>\n");
    }
    for workflow in &shown.workflows {
        html.raw("<details><summary>").text(&workflow.name).raw(" · ").text(&workflow.about);
        if let Some(last) = &workflow.last {
            let (class, word) = match last.end {
                End::Answered => ("good", "answered"),
                End::Failed(_) => ("bad", "failed"),
                End::Cancelled => ("bad", "cancelled"),
            };
            badge(html, class, word);
            html.raw(" ").text(&when(last.unix_s));
        }
        html.raw("</summary>\n");
        graph(html, workflow);
        steps(html, workflow);
        html.raw("</details>\n");
    }
    end(html);
}

/// Each node once, as far down as it is from the first; ways back go round on the left.
fn graph(html: &mut Html, workflow: &Workflow) {
    let places = places(workflow);
    let n_wide = places.values().map(|(column, _)| column + 1).max().unwrap_or(1);
    let n_high = places.values().map(|(_, row)| row + 1).max().unwrap_or(1);
    let number = |html: &mut Html, n: usize| _ = html.text(&n.to_string());
    html.raw("<svg class=\"graph\" aria-hidden=\"true\" viewBox=\"0 0 ");
    number(html, n_wide * STEP_X + 20);
    html.raw(" ");
    number(html, n_high * STEP_Y);
    html.raw("\">\n");
    for edge in &workflow.edges {
        let (Some(from), Some(to)) = (places.get(edge.from.as_str()), places.get(edge.to.as_str())) else {
            continue;
        };
        way(html, *from, *to);
    }
    for node in &workflow.nodes {
        let Some((column, row)) = places.get(node.name.as_str()) else { continue };
        let (x, y) = (20 + column * STEP_X, row * STEP_Y + 2);
        let mut ran = workflow.last.iter().flat_map(|last| &last.steps).filter(|step| step.node == node.name);
        let last = ran.next_back();
        html.raw(match last.map(|step| step.outcome) {
            Some(Outcome::Done) => "<g class=\"done\">",
            Some(Outcome::Failed) => "<g class=\"failed\">",
            Some(Outcome::Stopped) => "<g class=\"stopped\">",
            Some(Outcome::Running) | None => "<g>",
        });
        html.raw("<rect rx=\"5\" width=\"104\" height=\"32\" x=\"");
        number(html, x);
        html.raw("\" y=\"");
        number(html, y);
        html.raw("\"></rect>");
        let told =
            last.map_or_else(|| node.kind.to_owned(), |step| format!("{} {} ms", node.kind, step.took_ms));
        for (class, text, down) in
            [("<text x=\"", node.name.as_str(), 14), ("<text class=\"small\" x=\"", &told, 26)]
        {
            html.raw(class);
            number(html, x + WIDTH / 2);
            html.raw("\" y=\"");
            number(html, y + down);
            html.raw("\">").text(text).raw("</text>");
        }
        html.raw("</g>\n");
    }
    html.raw("</svg>\n");
}

/// From the foot of one node to the head of another below it, or from side to side.
fn way(html: &mut Html, from: (usize, usize), to: (usize, usize)) {
    let middle = |column: usize| 20 + column * STEP_X + WIDTH / 2;
    let path = if to.1 > from.1 {
        let (y, end) = (from.1 * STEP_Y + HEIGHT + 2, to.1 * STEP_Y + 2);
        let bend = (y + end) / 2;
        format!(
            "M{} {y}C{} {bend} {} {bend} {} {end}",
            middle(from.0),
            middle(from.0),
            middle(to.0),
            middle(to.0)
        )
    } else {
        let (y, end) = (from.1 * STEP_Y + 18, to.1 * STEP_Y + 18);
        let (x, there) = (20 + from.0 * STEP_X, 20 + to.0 * STEP_X);
        let side = x.min(there).saturating_sub(18);
        format!("M{x} {y}C{side} {y} {side} {end} {there} {end}")
    };
    html.raw("<path d=\"").text(&path).raw("\"></path>\n");
}

/// Column and row of each node, and of the end.
fn places(workflow: &Workflow) -> BTreeMap<&str, (usize, usize)> {
    let mut rows: BTreeMap<&str, usize> = BTreeMap::new();
    let mut next: Vec<&str> = workflow.nodes.first().map(|node| node.name.as_str()).into_iter().collect();
    let mut row = 0;
    while !next.is_empty() {
        let here: Vec<&str> = std::mem::take(&mut next);
        for name in here {
            if !rows.contains_key(name) {
                rows.insert(name, row);
                next.extend(
                    workflow.edges.iter().filter(|edge| edge.from == name).map(|edge| edge.to.as_str()),
                );
            }
        }
        row += 1;
    }
    let mut taken: BTreeMap<usize, usize> = BTreeMap::new();
    let mut places = BTreeMap::new();
    for node in &workflow.nodes {
        let Some(row) = rows.get(node.name.as_str()) else { continue };
        let column = taken.entry(*row).or_default();
        places.insert(node.name.as_str(), (*column, *row));
        *column += 1;
    }
    places
}

fn steps(html: &mut Html, workflow: &Workflow) {
    let steps: &[Step] = workflow.last.as_ref().map_or(&[], |last| &last.steps);
    if steps.is_empty() {
        html.raw("<p class=\"quiet\">It has not run yet.</p>\n");
        return;
    }
    html.raw("<ol class=\"quiet\">");
    for step in steps.iter().take(STEPS_MAX) {
        html.raw("<li>").text(&step.node).raw(" (").raw(step.kind).raw("): ");
        html.text(&step.took_ms.to_string()).raw(" ms").raw(match step.outcome {
            Outcome::Done => "",
            Outcome::Failed => ", failed",
            Outcome::Stopped => ", stopped",
            Outcome::Running => ", running",
        });
        html.raw("</li>");
    }
    html.raw("</ol>\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::brain::library::Source;
    use crate::brain::run::Over;
    use crate::brain::shown::Node;
    use brain::Edge;

    #[test]
    fn each_node_is_drawn_once_with_its_time_and_names_are_text() {
        let edge = |from: &str, to: &str| Edge { from: from.into(), to: to.into(), label: String::new() };
        let node = |name: &str, kind| Node { name: name.into(), kind };
        let step = Step {
            node: "a".into(),
            kind: "route",
            began_ms: 0,
            took_ms: 42,
            outcome: Outcome::Failed,
            tokens: 0,
            notes: vec![],
        };
        let last = Over { unix_s: 0, end: End::Failed(String::new()), tokens: 0, steps: vec![step] };
        let workflow = Workflow {
            name: "<b>".into(),
            about: String::new(),
            source: Source::File,
            seconds: 1,
            tokens: 1,
            nodes: vec![node("a", "route"), node("b", "loop"), node("c", "answer")],
            edges: vec![edge("a", "b"), edge("b", "c"), edge("c", "b"), edge("a", "c"), edge("c", "end")],
            last: Some(last),
            text: None,
        };
        assert_eq!(places(&workflow), BTreeMap::from([("a", (0, 0)), ("b", (0, 1)), ("c", (1, 1))]));
        let mut html = Html::default();
        workflows(&mut html, &Shown { workflows: vec![workflow], troubles: vec!["a.yaml:1:1: <x>".into()] });
        let page = html.finish();
        assert_eq!((page.matches("<rect").count(), page.matches("<path").count()), (3, 4));
        assert!(page.contains("route 42 ms") && page.contains("<g class=\"failed\">"), "{page}");
        assert!(
            page.contains("&lt;b&gt;") && page.contains("a.yaml:1:1: &lt;x&gt;") && !page.contains("<b>"),
            "{page}"
        );
    }
}
