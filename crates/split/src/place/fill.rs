//! The rules of seating: the last resort everywhere, homes, the fallback everywhere, copies, cuts; anew, or around what is in force.

use super::cost;
use super::table::{Seating, Table};
use super::{SWITCH_PERCENT, Seat};

/// Nodes that are tried, the fastest first, when others must move to make room for an expert.
const ROOM_NODES_MAX: usize = 32;

pub fn anew(table: &mut Table) {
    last_resort(table);
    homes(table);
    fallbacks(table);
    copies(table);
    cuts(table);
}

/// Keeps what can stay, gives a home to who has none, and moves only what gains enough. Says whether nothing changed.
pub fn mend(table: &mut Table, in_force: &[Seat]) -> bool {
    for seat in in_force {
        keep(table, seat);
    }
    last_resort(table);
    homes(table);
    for want_idx in 0..table.wants.len() {
        upgrade(table, want_idx);
    }
    fallbacks(table);
    copies(table);
    cuts(table);
    let all = table.now.copies.iter().flatten();
    all.clone().count() == in_force.len() && all.clone().all(|copy| copy.is_kept)
}

fn keep(table: &mut Table, seat: &Seat) {
    let named = |want: &super::table::Want| want.expert.name == seat.expert;
    let Some(want_idx) = table.wants.iter().position(named) else { return };
    let mut stages = Vec::with_capacity(seat.parts.len());
    for part in &seat.parts {
        let Ok(node_idx) = table.nodes.binary_search_by_key(&part.node, |node| node.id) else { return };
        stages.push((node_idx, part.last.saturating_sub(part.first)));
    }
    let want = &table.wants[want_idx];
    let n = table.now.copies[want_idx].len();
    let is_wanted = want.expert.fallback || n < want.expert.copies as usize;
    match stages[..] {
        [(node_idx, n_layers)] => {
            if is_wanted && n_layers == want.model.n_layers() && table.still_fits(want_idx, node_idx) {
                table.seat_whole(want_idx, node_idx, true);
            }
        }
        _ => {
            if n == 0 && want.expert.split && want.model.split_step > 0 {
                table.seat_same_cut(want_idx, &stages, true);
            }
        }
    }
}

fn homes(table: &mut Table) {
    for want_idx in 0..table.wants.len() {
        if !table.now.copies[want_idx].is_empty() {
            continue;
        }
        match table.best(want_idx, |now| &now.n_homes) {
            Some(node_idx) => table.seat_whole(want_idx, node_idx, false),
            None => make_room(table, want_idx),
        }
    }
}

/// An expert without a home gets one if others can move to nodes that have room.
fn make_room(table: &mut Table, want_idx: usize) {
    let before = table.now.clone();
    let mut tried: Vec<usize> = (0..table.nodes.len()).filter(|idx| table.suits(want_idx, *idx)).collect();
    tried.sort_by_key(|node_idx| (table.wants[want_idx].paces[*node_idx].ns, *node_idx));
    tried.truncate(ROOM_NODES_MAX);
    let mut best: Option<((usize, u64), Seating)> = None;
    for node_idx in tried {
        if clear(table, want_idx, node_idx) {
            table.seat_whole(want_idx, node_idx, false);
            let score = table.score();
            if best.as_ref().is_none_or(|(best, _)| score > *best) {
                best = Some((score, table.now.clone()));
            }
        }
        table.now = before.clone();
    }
    if let Some((_, found)) = best {
        table.now = found;
    }
}

/// Moves whole copies away until the expert fits. False where that cannot be; what was moved is then to be put back.
fn clear(table: &mut Table, want_idx: usize, node_idx: usize) -> bool {
    while !table.fits(want_idx, node_idx) {
        let mut there: Vec<(usize, usize)> = (0..table.wants.len())
            .filter(|idx| table.speaks_beside(*idx))
            .filter_map(|idx| {
                let copies = &table.now.copies[idx];
                let here = copies.iter().position(|c| c.is_whole() && c.chairs[0].node_idx == node_idx)?;
                Some((idx, here))
            })
            .collect();
        // Whoever lives elsewhere too goes first, then the largest.
        there.sort_by_key(|(idx, _)| {
            (table.now.copies[*idx].len() == 1, std::cmp::Reverse(table.wants[*idx].bytes()), *idx)
        });
        let moved = there.into_iter().any(|(idx, copy_idx)| {
            if table.now.copies[idx].len() > 1 {
                table.unseat(idx, copy_idx);
                return true;
            }
            let Some(other) = table.best(idx, |now| &now.n_homes) else { return false };
            table.unseat(idx, copy_idx);
            table.seat_whole(idx, other, false);
            true
        });
        if !moved {
            return false;
        }
    }
    true
}

/// Moves a home that is in force to a node where it gains enough, if all homes together gain too.
fn upgrade(table: &mut Table, want_idx: usize) {
    if !table.speaks_beside(want_idx) {
        return;
    }
    let Some(now_ns) = table.shared_ns(want_idx) else { return };
    let Some(node_idx) = table.best(want_idx, |now| &now.n_homes) else { return };
    let n = table.now.n_homes[node_idx] + 1;
    let then_ns = table.wants[want_idx].paces[node_idx].ns.saturating_mul(n);
    if cost::milli(then_ns) * 100 <= cost::milli(now_ns) * (100 + SWITCH_PERCENT) {
        return;
    }
    let (before, score) = (table.now.clone(), table.score());
    table.seat_whole(want_idx, node_idx, false);
    let newest = table.now.copies[want_idx].len() - 1;
    table.make_home(want_idx, newest);
    table.unseat(want_idx, newest);
    if table.score() <= score {
        table.now = before;
    }
}

/// Before all others, and into half of the reserve: a node without it has no answer when it is alone.
fn last_resort(table: &mut Table) {
    for want_idx in 0..table.wants.len() {
        if table.speaks_beside(want_idx) {
            continue;
        }
        for node_idx in 0..table.nodes.len() {
            table.n_steps += 1;
            if table.still_fits(want_idx, node_idx) {
                table.seat_whole(want_idx, node_idx, false);
            }
        }
    }
}

fn fallbacks(table: &mut Table) {
    for want_idx in 0..table.wants.len() {
        if !table.wants[want_idx].expert.fallback {
            continue;
        }
        for node_idx in 0..table.nodes.len() {
            table.n_steps += 1;
            if table.fits(want_idx, node_idx) {
                table.seat_whole(want_idx, node_idx, false);
            }
        }
    }
}

/// Second copies of all before third copies of any.
fn copies(table: &mut Table) {
    let n_most = table.wants.iter().map(|want| want.expert.copies).max().unwrap_or(0);
    let mut is_full = vec![false; table.wants.len()];
    for n_wanted in 2..=n_most {
        for (want_idx, is_full) in is_full.iter_mut().enumerate() {
            let held = &table.now.copies[want_idx];
            let is_whole = held.first().is_some_and(|home| home.is_whole());
            let is_due = table.wants[want_idx].expert.copies >= n_wanted && held.len() < n_wanted as usize;
            if !is_whole || !is_due || *is_full {
                continue;
            }
            match table.best(want_idx, |now| &now.n_copies) {
                Some(node_idx) => table.seat_whole(want_idx, node_idx, false),
                None => *is_full = true,
            }
        }
    }
}

fn cuts(table: &mut Table) {
    for want_idx in 0..table.wants.len() {
        let want = &table.wants[want_idx];
        if !table.now.copies[want_idx].is_empty() || !want.expert.split || want.model.split_step == 0 {
            continue;
        }
        if let Some(stages) = table.ring_of_same_model(want_idx) {
            table.seat_same_cut(want_idx, &stages, false);
        }
        if table.now.copies[want_idx].is_empty() {
            table.seat_cut(want_idx);
        }
    }
}
