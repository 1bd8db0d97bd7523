//! What every datagram is wrapped in: `[format][key id][nonce, 24][XChaCha20-Poly1305 text and tag]`.
//!
//! Format, key id and cluster are authenticated too, so a datagram of another cluster or key does not open.
//! The nonce is handed in and must come from the operating system: dice that a test can seed would repeat it.

use admission::{ClusterId, KeyRing, RingKey};
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};

/// Bytes around the text.
pub const OVERHEAD_BYTES: usize = 2 + NONCE_BYTES + TAG_BYTES;
/// Longest datagram: it fits one frame of every Ethernet without fragments.
pub const DATAGRAM_BYTES_MAX: usize = 1400;
pub const NONCE_BYTES: usize = 24;

const FORMAT: u8 = 1;
const TAG_BYTES: usize = 16;

/// Why a datagram was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sealed {
    /// Too short, too long or of another format.
    Form,
    /// No key of the ring has this id.
    Key,
    /// Of another cluster, changed on the way, or sealed by someone without the key.
    Tag,
}

fn associated(cluster: ClusterId, key_id: u8) -> [u8; 7] {
    let [a, b, c, d, e] = cluster.0;
    [FORMAT, key_id, a, b, c, d, e]
}

/// Wraps a text with a key of the ring.
pub fn seal(key: &RingKey, cluster: ClusterId, nonce: [u8; NONCE_BYTES], text: &[u8]) -> Vec<u8> {
    let cipher = XChaCha20Poly1305::new(key.expose().into());
    let mut bytes = Vec::with_capacity(OVERHEAD_BYTES + text.len());
    bytes.extend_from_slice(&[FORMAT, key.wire_id()]);
    bytes.extend_from_slice(&nonce);
    bytes.extend_from_slice(text);
    let at = 2 + NONCE_BYTES;
    let tag = cipher.encrypt_inout_detached(
        &XNonce::from(nonce),
        &associated(cluster, key.wire_id()),
        bytes[at..].as_mut().into(),
    );
    bytes.extend_from_slice(&tag.expect("a datagram is far below the cipher's limit"));
    bytes
}

/// The key that a datagram names, if the ring has it; only [`open`] says whether it is sealed with it.
pub(crate) fn named_key<'a>(ring: &'a KeyRing, bytes: &[u8]) -> Option<&'a RingKey> {
    ring.by_wire_id(*bytes.get(1)?)
}

/// Opens a datagram with the key it names, if the ring has that.
pub fn open(ring: &KeyRing, cluster: ClusterId, bytes: &[u8]) -> Result<Vec<u8>, Sealed> {
    if bytes.len() < OVERHEAD_BYTES || bytes.len() > DATAGRAM_BYTES_MAX || bytes[0] != FORMAT {
        return Err(Sealed::Form);
    }
    let key = named_key(ring, bytes).ok_or(Sealed::Key)?;
    let (nonce, rest) = bytes[2..].split_first_chunk::<NONCE_BYTES>().ok_or(Sealed::Form)?;
    let (text, tag) = rest.split_last_chunk::<TAG_BYTES>().ok_or(Sealed::Form)?;
    let mut text = text.to_vec();
    let cipher = XChaCha20Poly1305::new(key.expose().into());
    let aad = associated(cluster, bytes[1]);
    let opened = cipher.decrypt_inout_detached(
        &XNonce::from(*nonce),
        &aad,
        text.as_mut_slice().into(),
        &(*tag).into(),
    );
    opened.map_err(|_| Sealed::Tag)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: ClusterId = ClusterId([1, 2, 3, 4, 5]);

    fn ring(number: u32, byte: u8) -> KeyRing {
        KeyRing::new(RingKey::new(number, [byte; 32]))
    }

    #[test]
    fn a_datagram_opens_only_with_its_key_in_its_cluster_and_unchanged() {
        let sealed = seal(ring(1, 7).current(), HERE, [9; NONCE_BYTES], b"hello");
        assert_eq!(sealed.len(), 5 + OVERHEAD_BYTES);
        assert_eq!(open(&ring(1, 7), HERE, &sealed).as_deref(), Ok(&b"hello"[..]));
        assert_eq!(open(&ring(1, 8), HERE, &sealed), Err(Sealed::Tag));
        assert_eq!(open(&ring(2, 7), HERE, &sealed), Err(Sealed::Key));
        assert_eq!(open(&ring(1, 7), ClusterId([0; 5]), &sealed), Err(Sealed::Tag));
        assert_eq!(open(&ring(1, 7), HERE, &sealed[..OVERHEAD_BYTES - 1]), Err(Sealed::Form));
        for idx in 0..sealed.len() {
            let mut bent = sealed.clone();
            bent[idx] ^= 1;
            assert!(open(&ring(1, 7), HERE, &bent).is_err(), "byte {idx} may be changed");
        }
    }

    #[test]
    fn a_datagram_of_the_previous_key_still_opens_after_a_switch() {
        let mut both = ring(1, 7);
        let old = seal(both.current(), HERE, [1; NONCE_BYTES], b"old");
        assert!(both.add_next(RingKey::new(2, [8; 32])) && both.switch_to(2));
        let new = seal(both.current(), HERE, [2; NONCE_BYTES], b"new");
        assert!(open(&both, HERE, &old).is_ok() && open(&both, HERE, &new).is_ok());
        assert_eq!(open(&ring(1, 7), HERE, &new), Err(Sealed::Key));
        both.drop_previous();
        assert_eq!(open(&both, HERE, &old), Err(Sealed::Key));
    }
}
