//! A plan as one JSON object, or as a page for the terminal.

use serde::Serialize;
use split::place::{Node, Plan, RESERVE_BYTES};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Names of nodes in one row.
const NAMES_MAX: usize = 4;

#[derive(Serialize)]
pub struct Shown {
    pub assignments: Vec<Assigned>,
    /// Of each expert's home, for one conversation alone.
    pub predicted_tokens_per_second: BTreeMap<String, f64>,
    /// The same while all experts on that node speak.
    pub predicted_when_shared: BTreeMap<String, f64>,
    pub experts: Vec<ExpertShown>,
    pub reasons: Vec<String>,
    pub kept: bool,
}

/// What one node is to hold.
#[derive(Serialize)]
pub struct Assigned {
    pub node: String,
    pub name: String,
    pub experts: Vec<String>,
    pub stages: Vec<StageShown>,
    pub mib: u64,
    /// Memory for models, before the reserve.
    pub of_mib: u64,
}

#[derive(Serialize)]
pub struct StageShown {
    pub expert: String,
    pub first: u32,
    pub last: u32,
    pub of: u32,
}

#[derive(Serialize)]
pub struct ExpertShown {
    pub name: String,
    pub copies: usize,
    pub wanted: u32,
    pub nodes: Vec<String>,
}

impl Shown {
    pub fn new(nodes: &[Node], plan: &Plan) -> Shown {
        let name_of: BTreeMap<_, _> = nodes.iter().map(|node| (node.id, node.name.as_str())).collect();
        let named = |seat: &split::place::Seat| -> Vec<String> {
            seat.parts
                .iter()
                .filter_map(|part| name_of.get(&part.node))
                .map(|name| (*name).to_owned())
                .collect()
        };
        let speeds = |milli: fn(&split::place::Outcome) -> u64| {
            plan.outcomes.iter().map(move |o| (o.expert.clone(), milli(o) as f64 / 1000.0)).collect()
        };
        Shown {
            assignments: nodes.iter().map(|node| assigned(node, plan)).collect(),
            predicted_tokens_per_second: speeds(|outcome| outcome.tokens_per_s_milli),
            predicted_when_shared: speeds(|outcome| outcome.shared_milli),
            experts: plan
                .outcomes
                .iter()
                .map(|outcome| ExpertShown {
                    name: outcome.expert.clone(),
                    copies: outcome.n_copies,
                    wanted: outcome.n_wanted,
                    nodes: plan.seats.iter().filter(|s| s.expert == outcome.expert).flat_map(named).collect(),
                })
                .collect(),
            reasons: plan.reasons.clone(),
            kept: plan.is_kept,
        }
    }

    pub fn page(&self) -> String {
        let served = self.experts.iter().filter(|expert| expert.copies > 0).count();
        let (n, of) = (self.assignments.len(), self.experts.len());
        let mut page = format!("{n} PCs, {of} experts, {served} of them served\n\n");
        let head = ["EXPERT", "COPIES", "TOKENS/S", "WHEN SHARED", "WHERE"].map(str::to_owned);
        let rows = self.experts.iter().map(|expert| {
            let speed = |of: &BTreeMap<String, f64>| match of.get(&expert.name) {
                Some(speed) if expert.copies > 0 => format!("{speed:.1}"),
                _ => "-".to_owned(),
            };
            [
                expert.name.clone(),
                format!("{} of {}", expert.copies, expert.wanted),
                speed(&self.predicted_tokens_per_second),
                speed(&self.predicted_when_shared),
                names(&expert.nodes),
            ]
        });
        table(&mut page, [head].into_iter().chain(rows));
        page.push('\n');
        let head = ["PC", "MEMORY", "HOLDS"].map(str::to_owned);
        let rows = self.assignments.iter().map(|node| {
            let stages =
                node.stages.iter().map(|s| format!("{} {}..{} of {}", s.expert, s.first, s.last, s.of));
            let held: Vec<String> = node.experts.iter().cloned().chain(stages).collect();
            let held = if held.is_empty() { "-".to_owned() } else { held.join(", ") };
            [node.name.clone(), format!("{} of {} MiB", node.mib, node.of_mib), held]
        });
        table(&mut page, [head].into_iter().chain(rows));
        page.push_str("\nWhy:\n");
        for reason in &self.reasons {
            let _ = writeln!(page, "  {reason}");
        }
        page
    }
}

fn assigned(node: &Node, plan: &Plan) -> Assigned {
    let mut assigned = Assigned {
        node: node.id.to_string(),
        name: node.name.clone(),
        experts: Vec::new(),
        stages: Vec::new(),
        mib: 0,
        of_mib: node.ram_bytes.saturating_sub(RESERVE_BYTES) >> 20,
    };
    let mut bytes = 0;
    for seat in &plan.seats {
        let Some(part) = seat.parts.iter().find(|part| part.node == node.id) else { continue };
        bytes += part.bytes;
        let expert = seat.expert.clone();
        match (seat.parts.len(), seat.parts.last()) {
            (2.., Some(end)) => {
                assigned.stages.push(StageShown { expert, first: part.first, last: part.last, of: end.last });
            }
            _ => assigned.experts.push(expert),
        }
    }
    assigned.mib = bytes >> 20;
    assigned
}

fn names(nodes: &[String]) -> String {
    match nodes.len().checked_sub(NAMES_MAX) {
        None | Some(0) if nodes.is_empty() => "-".to_owned(),
        None | Some(0) => nodes.join(", "),
        Some(more) => format!("{} and {more} more", nodes[..NAMES_MAX].join(", ")),
    }
}

/// Columns as wide as their matter.
fn table<const N: usize>(page: &mut String, rows: impl Iterator<Item = [String; N]>) {
    let rows: Vec<[String; N]> = rows.collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    for row in &rows {
        let cells: Vec<String> =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        let _ = writeln!(page, "{}", cells.join("  ").trim_end());
    }
}
