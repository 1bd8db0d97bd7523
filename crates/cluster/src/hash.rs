//! A small hash that says whether two nodes hold the same picture of the cluster.
//!
//! It keeps out accidents, not enemies: whoever can forge a picture holds the ring key anyway, and what is
//! believed of a node is signed.

/// The finaliser of SplitMix64: every bit of the input moves half the bits of the output.
pub(crate) fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// One member's part of the picture; the parts are added, so their order does not matter.
pub(crate) fn part(node: u64, epoch: u32, record: (u32, u32)) -> u64 {
    let record = u64::from(record.0) << 32 | u64::from(record.1);
    mix(mix(node) ^ mix(u64::from(epoch) << 1 | 1).rotate_left(7) ^ mix(!record).rotate_left(29))
}
