//! The plan in sentences: where each expert lives and why, and what has no place and why not.

use super::cost;
use super::cut::NoCut;
use super::table::{Copy, Table, Want};
use super::{Outcome, Part, Plan, SPLIT_NS_MAX, SWITCH_PERCENT, Seat};
use crate::expert::Expert;

/// Names in one sentence; of a thousand nodes nobody reads more.
const NAMES_MAX: usize = 6;

/// How this plan came to be.
pub enum Choice {
    First,
    /// The plan in force was mended; `is_whole` where nothing had to change.
    Kept {
        is_whole: bool,
        old: (usize, u64),
        new: (usize, u64),
    },
    Switched {
        old: (usize, u64),
        new: (usize, u64),
    },
}

pub fn plan(table: &Table, choice: Choice, experts: &[Expert]) -> Plan {
    let mut order: Vec<usize> = (0..table.wants.len()).collect();
    order.sort_by_key(|want_idx| &table.wants[*want_idx].expert.name);
    let is_kept = matches!(choice, Choice::Kept { is_whole: true, .. });
    let mut plan = Plan { is_kept, n_steps: table.n_steps, ..Plan::default() };
    plan.reasons.push(chosen(&choice, table.nodes.len()));
    for want_idx in order {
        let name = &table.wants[want_idx].expert.name;
        let copies = &table.now.copies[want_idx];
        plan.seats.extend(copies.iter().map(|copy| Seat {
            expert: name.clone(),
            parts: parts(table, copy),
            tokens_per_s_milli: cost::milli(copy.ns),
        }));
        plan.outcomes.push(Outcome {
            expert: name.clone(),
            n_copies: copies.len(),
            n_wanted: table.wants[want_idx].expert.copies,
            tokens_per_s_milli: copies.first().map_or(0, |home| cost::milli(home.ns)),
            shared_milli: table.shared_ns(want_idx).map_or(0, cost::milli),
        });
        plan.reasons.extend(told(table, want_idx));
    }
    for expert in experts {
        if !plan.outcomes.iter().any(|outcome| outcome.expert == expert.name) {
            let (name, model) = (&expert.name, &expert.model);
            plan.reasons.push(format!("{name} has no place: nobody knows the model {model}"));
            plan.outcomes.push(Outcome {
                expert: name.clone(),
                n_copies: 0,
                n_wanted: expert.copies,
                tokens_per_s_milli: 0,
                shared_milli: 0,
            });
        }
    }
    plan
}

fn parts(table: &Table, copy: &Copy) -> Vec<Part> {
    let part = |chair: &super::table::Chair| Part {
        node: table.nodes[chair.node_idx].id,
        first: chair.first,
        last: chair.last,
        bytes: chair.bytes(),
    };
    copy.chairs.iter().map(part).collect()
}

fn chosen(choice: &Choice, n_nodes: usize) -> String {
    let gain = |old: u64, new: u64| i128::from(new) * 100 / i128::from(old.max(1)) - 100;
    match choice {
        Choice::First => format!("a first plan for {}", count(n_nodes, "node")),
        Choice::Kept { is_whole, old, new } => {
            let word = if *is_whole { "the plan in force is kept" } else { "the plan in force is mended" };
            match gain(old.1, new.1) {
                ..=0 => format!("{word}: a new one would not be faster"),
                n => format!("{word}: a new one would be {n} % faster, and {SWITCH_PERCENT} % are asked for"),
            }
        }
        Choice::Switched { old, new } if new.0 > old.0 => {
            format!("a new plan: it serves {}, the old one could serve {}", count(new.0, "expert"), old.0)
        }
        Choice::Switched { old, new } => {
            format!("a new plan: it is {} % faster than the old one", gain(old.1, new.1))
        }
    }
}

fn told(table: &Table, want_idx: usize) -> Vec<String> {
    let want = &table.wants[want_idx];
    let copies = &table.now.copies[want_idx];
    let Some(home) = copies.first() else { return vec![homeless(table, want_idx)] };
    let mut told = vec![if home.is_whole() { whole(table, want, home) } else { cut(table, want_idx, home) }];
    if copies.len() > 1 || (home.is_whole() && want.expert.copies > 1) {
        told.push(more(table, want, copies));
    }
    told
}

fn whole(table: &Table, want: &Want, home: &Copy) -> String {
    let name = &want.expert.name;
    let node_idx = home.chairs[0].node_idx;
    let how = if want.paces[node_idx].is_measured { "measured there" } else { "reckoned" };
    let why = match home.is_kept {
        true => "it stays where it was",
        false => "of the nodes with room it answers soonest there",
    };
    let (node, speed, size) = (&table.nodes[node_idx].name, speed(home.ns), mib(home.chairs[0].bytes()));
    format!("{name} lives whole on {node}: {speed}, {how}, {size}; {why}")
}

fn cut(table: &Table, want_idx: usize, home: &Copy) -> String {
    let want = &table.wants[want_idx];
    let stage = |chair: &super::table::Chair| {
        format!("{} {}..{}", table.nodes[chair.node_idx].name, chair.first, chair.last)
    };
    let stages: Vec<String> = home.chairs.iter().map(stage).collect();
    let why = match home.is_kept {
        true => "the cut stays as it was".to_owned(),
        false => no_room(table, want_idx),
    };
    let (name, n, speed) = (&want.expert.name, home.chairs.len(), speed(home.ns));
    format!("{name} is cut over {n} nodes ({}): {speed}; {why}", stages.join(", "))
}

fn more(table: &Table, want: &Want, copies: &[Copy]) -> String {
    let name = &want.expert.name;
    let others = copies.iter().skip(1).map(|copy| table.nodes[copy.chairs[0].node_idx].name.as_str());
    let mut names: Vec<&str> = others.take(NAMES_MAX).collect();
    let n_more = copies.len() - 1 - names.len();
    let rest = format!("{n_more} more");
    if n_more > 0 {
        names.push(&rest);
    }
    let (n, wanted) = (copies.len(), want.expert.copies as usize);
    if want.expert.fallback {
        let n_all = table.nodes.len();
        return format!(
            "{name} is the fallback, so it is wherever it fits: on {n} of {}",
            count(n_all, "node")
        );
    }
    let on = if names.is_empty() { String::new() } else { format!(", also on {}", names.join(", ")) };
    match n < wanted {
        true => format!(
            "{name} has {n} of the {wanted} copies wanted{on}: no other node has room and is fast enough"
        ),
        false => format!("{name} has all {} wanted{on}", count(wanted, "copy")),
    }
}

fn homeless(table: &Table, want_idx: usize) -> String {
    let want = &table.wants[want_idx];
    let (name, model) = (&want.expert.name, &want.model.file);
    let head = format!("{name} has no place: ");
    let with_file: Vec<usize> = (0..table.nodes.len()).filter(|idx| want.has_file[*idx]).collect();
    let fastest = with_file.iter().min_by_key(|idx| want.paces[**idx].ns).copied();
    let Some(fastest) = fastest else { return format!("{head}no node has {model}") };
    let least = want.expert.least_tokens_per_second.unwrap_or(0.0);
    if !table.is_fast_enough(want_idx, want.paces[fastest].ns) {
        let (node, speed) = (&table.nodes[fastest].name, speed(want.paces[fastest].ns));
        return format!(
            "{head}{least} tokens/s are asked for, and the fastest node, {node}, would give {speed}"
        );
    }
    let whole = no_room(table, want_idx);
    let cut = match table.uncut[want_idx] {
        Some(NoCut::Room { n_layers }) => {
            format!(
                "cut, the nodes together have room for {n_layers} of its {} layers",
                want.model.n_layers()
            )
        }
        Some(NoCut::Slow { ns }) if ns > SPLIT_NS_MAX => {
            format!(
                "cut, a token would take {} ms, and {} are the limit",
                ns / 1_000_000,
                SPLIT_NS_MAX / 1_000_000
            )
        }
        Some(NoCut::Slow { ns }) => format!("cut, it would give {}, and {least} are asked for", speed(ns)),
        None if !want.expert.split => "its file does not allow a cut".to_owned(),
        None => "its architecture is not known to bear a cut".to_owned(),
    };
    format!("{head}{whole}; {cut}")
}

/// Why no node takes it whole.
fn no_room(table: &Table, want_idx: usize) -> String {
    let roomiest = (0..table.nodes.len())
        .filter(|idx| table.suits(want_idx, *idx))
        .max_by_key(|idx| (table.left(*idx), std::cmp::Reverse(*idx)));
    let Some(idx) = roomiest else { return "no node alone is fast enough for all of it".to_owned() };
    let needs = mib(table.whole_chair(want_idx, idx).bytes());
    format!(
        "whole it needs {needs}, and {} has the most left, {}",
        table.nodes[idx].name,
        mib(table.left(idx))
    )
}

fn speed(ns: u64) -> String {
    format!("{:.1} tokens/s", cost::milli(ns) as f64 / 1000.0)
}

fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}

fn count(n: usize, what: &str) -> String {
    match (n, what.strip_suffix('y')) {
        (1, _) => format!("1 {what}"),
        (_, Some(stem)) => format!("{n} {stem}ies"),
        _ => format!("{n} {what}s"),
    }
}
