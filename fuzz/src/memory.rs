//! The targets of memory: what a disk holds, what a peer says, and a file that the owner loads.

use journal::{Digests, Entry, Exchange, Given, HEAD_BYTES, Kind, Listing, Part, Record, load, save, scan};

/// A segment; its records come back as they were, and each byte belongs to one part.
pub fn memory_segment(bytes: &[u8]) {
    let mut written = bytes[..HEAD_BYTES.min(bytes.len())].to_vec();
    let mut next = 0;
    for part in scan(bytes).parts {
        match part {
            Part::Record(record) => {
                assert!(record.number >= next, "a number came twice");
                next = record.next();
                let from = written.len();
                record.write(&mut written);
                let again = Record::read(&written[from..]);
                assert_eq!(again, Ok((record, written.len() - from)), "a record does not come back");
                if let Kind::Entry(payload) = record.kind
                    && let Ok(entry) = Entry::read(payload)
                {
                    assert_eq!(entry.write(), payload, "an entry does not come back");
                }
            }
            Part::Bad(range) => written.extend(&bytes[range]),
        }
    }
    assert_eq!(written, bytes, "bytes of a segment were lost");
}

/// A byte says which of the four a peer sends; what was taken comes back as it was.
pub fn memory_peer(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first() else { return };
    let again = match kind % 4 {
        0 => Digests::read(rest).map(|told| told.write()),
        1 => Listing::read(rest).map(|told| told.write()),
        2 => Exchange::read(rest).map(|told| told.write()),
        _ => Given::read(rest).map(|told| told.write()),
    };
    match again {
        Ok(again) => assert_eq!(again, rest, "it does not come back"),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A saved memory; what was taken can be saved again.
pub fn memory_saved(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    match load(text) {
        Ok(loaded) => {
            let again = save(loaded.0.iter()).expect("what was read can be written");
            assert_eq!(load(&again), Ok(loaded), "a fact does not come back");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
