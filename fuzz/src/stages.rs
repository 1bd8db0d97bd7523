//! The target of `split::wire`: what a stage reads from another node.

use split::wire::{BODY_BYTES_MAX, Counter, Frame, HEAD_BYTES, Head, seal};

/// A byte of kind, then a body. The head is made well, so that the body is read at all; then all of it is a stream.
pub fn stage_wire(bytes: &[u8]) {
    stream(bytes);
    let Some((kind, body)) = bytes.split_first() else { return };
    let mut frame = vec![0; HEAD_BYTES];
    frame.extend(body);
    seal(&mut frame, *kind, 0);
    let Some(frame) = stream(&frame) else { return };
    if let Frame::Rows(rows) = &frame {
        assert!(rows.hidden.len().is_multiple_of(rows.tokens.len()), "rows of no width");
        assert!(rows.hidden.iter().all(|float| float.is_finite()), "a state that is no number");
    }
    // What was read is written, and then read the same.
    let written = Counter::default().encode(&frame);
    assert_eq!(stream(&written), Some(frame));
}

/// The first frame of a connection, read as the hands read it.
fn stream(bytes: &[u8]) -> Option<Frame> {
    let (head_bytes, rest) = bytes.split_first_chunk::<HEAD_BYTES>()?;
    let head = match Head::read(head_bytes) {
        Ok(head) => head,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return None;
        }
    };
    assert!(head.body_bytes <= BODY_BYTES_MAX, "more than any frame has");
    let body = rest.get(..head.body_bytes)?;
    Counter::default().decode(head, head_bytes, body).ok()
}
