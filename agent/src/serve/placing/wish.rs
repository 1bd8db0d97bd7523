//! What rpc-worker of this node is told to hold: the file that it watches.

use crate::io::runtime;
use anyhow::Context;
use split::assign::{self, Assignment};
use split::place::Seat;

pub fn write(assignment: &Assignment) -> anyhow::Result<()> {
    assignment.check()?;
    let text = serde_json::to_string(assignment).context("cannot write the assignment as JSON")?;
    runtime::write(assign::FILE, text.as_bytes(), runtime::For::Everybody).context("cannot write a file")
}

/// The generation that an earlier run of this program wrote.
pub fn floor() -> u64 {
    let read = || {
        let text = crate::io::read::bytes(&runtime::path(assign::FILE)?, assign::FILE_BYTES_MAX as u64);
        serde_json::from_slice::<Assignment>(&text).ok()
    };
    read().map_or(0, |assignment| assignment.generation)
}

/// The name of a ring: its expert, and who holds which layers.
///
/// The plan's number is no part of it: a ring that stays as it is keeps its name whoever plans next, so that nobody loads
/// a slice anew. It is the same in every release, because a ring's stages may have started at different times.
pub fn ring(seat: &Seat) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("duet 2026 name of a ring");
    hasher.update(&(seat.expert.len() as u64).to_be_bytes()).update(seat.expert.as_bytes());
    for part in &seat.parts {
        hasher.update(&part.node.0.to_be_bytes());
        hasher.update(&part.first.to_be_bytes()).update(&part.last.to_be_bytes());
    }
    hasher.finalize().to_hex()[..assign::KEY_DIGITS].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use split::place::{NodeId, Part};

    #[test]
    fn every_ring_has_a_name_of_its_own_that_lasts() {
        let seat = |expert: &str, cut: u32| {
            let part = |node, first, last| Part { node: NodeId(node), first, last, bytes: 1 };
            Seat {
                expert: expert.into(),
                parts: vec![part(1, 0, cut), part(2, cut, 8)],
                tokens_per_s_milli: 7,
            }
        };
        let names = [ring(&seat("a", 4)), ring(&seat("b", 4)), ring(&seat("a", 5))];
        assert!(names.iter().all(|name| name.len() == assign::KEY_DIGITS));
        assert!(names[0] != names[1] && names[0] != names[2]);
        assert_eq!(names[0], "0727acd64ec4ea5507a43fba057ed483");
        let faster = Seat { tokens_per_s_milli: 9, ..seat("a", 4) };
        assert_eq!(ring(&faster), names[0], "what was predicted is no part of a ring");
    }
}
