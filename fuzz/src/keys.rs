//! The target of the agent's `keys::event`: what an input device writes, be it a keyboard or what passes for one.

use crate::key_event::{MASK_BYTES, Presses, Told};
use std::collections::BTreeSet;

/// A byte for the length of the pieces, then the stream; its beginning is also a mask of what is down.
pub fn key_events(bytes: &[u8]) {
    let Some((n_piece, stream)) = bytes.split_first() else { return };
    let mut presses = Presses::new(None);
    let mut pieces = stream.chunks(usize::from(*n_piece).max(1));
    let (mut down, mut n_asked) = (BTreeSet::new(), 0);
    let mut hold = |told, n_asked: &mut u32| {
        let is_right = match told {
            Told::Down(code) => down.insert(code),
            Told::Up(code) => down.remove(&code),
            Told::Ask => {
                *n_asked += 1;
                true
            }
        };
        assert!(is_right, "a key that does what it did already: {told:?}");
    };
    pieces.by_ref().for_each(|piece| presses.handle(piece, &mut |told| hold(told, &mut n_asked)));
    presses.held(stream.first_chunk::<MASK_BYTES>(), &mut |told| hold(told, &mut n_asked));
    presses.held(None, &mut |told| hold(told, &mut n_asked));
    assert!(!presses.is_down() && down.is_empty(), "a key is stuck");
    // Pieces change nothing but where the stream is cut.
    let (mut whole, mut n_whole) = (Presses::new(None), 0);
    whole.handle(stream, &mut |told| n_whole += u32::from(told == Told::Ask));
    assert_eq!(n_whole, n_asked);
}
