//! The messages inside the envelope: a head that every datagram has, and one matter.
//!
//! The head says who sends, counts the sender's datagrams (a replay is seen by it), and tells in 14 bytes how its
//! sender sees the cluster. Two nodes with the same picture know it by any datagram, and need no digest at rest.

use admission::{BOX_OVERHEAD_BYTES, NodeId, PAGE_BYTES_MAX, RING_KEY_BYTES};
use foca::{Member, Message};

use crate::bytes::{Malformed, Put, Reader};
use crate::envelope::{DATAGRAM_BYTES_MAX, OVERHEAD_BYTES};
use crate::identity::{self, IDENTITY_BYTES, Identity, UPDATE_BYTES};
use crate::record::{RECORD_BYTES_MAX, Version};

/// Longest text inside an envelope.
pub(crate) const TEXT_BYTES_MAX: usize = DATAGRAM_BYTES_MAX - OVERHEAD_BYTES;
pub(crate) const HEAD_BYTES: usize = IDENTITY_BYTES + 4 + 14 + 1;
/// What is left for the matter.
pub(crate) const MATTER_BYTES_MAX: usize = TEXT_BYTES_MAX - HEAD_BYTES;
pub(crate) const ENTRY_BYTES: usize = IDENTITY_BYTES + 8;
pub(crate) const ENTRIES_MAX: usize = (MATTER_BYTES_MAX - 18) / ENTRY_BYTES;
pub(crate) const RANGES_MAX: usize = 32;
pub(crate) const PULLS_MAX: usize = 32;
pub(crate) const RUMOURS_MAX: usize = MATTER_BYTES_MAX / RUMOUR_BYTES - 1;
pub(crate) const RUMOUR_BYTES: usize = 16;
pub(crate) const DOWNS_MAX: usize = 96;
const BOX_BYTES: usize = RING_KEY_BYTES + BOX_OVERHEAD_BYTES;
// A record and a page of the roster fit a datagram with their head.
const _: () = assert!(RECORD_BYTES_MAX + 3 <= MATTER_BYTES_MAX && PAGE_BYTES_MAX <= MATTER_BYTES_MAX);
const _: () = assert!(DOWNS_MAX * 12 < MATTER_BYTES_MAX && RANGES_MAX * 12 < MATTER_BYTES_MAX);

/// How a node sees the cluster, in short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sight {
    /// Hash of all live members with their lives and records.
    pub hash: u32,
    /// How many it believes alive, itself included.
    pub alive: u16,
    /// Hash of its roster's pages.
    pub roster: u32,
    /// Number of the newest ring key it holds.
    pub ring: u32,
}

/// What every datagram begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub from: Identity,
    /// Rises with every datagram of this node in this boot.
    pub counter: u32,
    pub sight: Sight,
}

/// A live member and the newest record of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub id: Identity,
    pub record: Version,
}

/// There is a newer record of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rumour {
    pub node: NodeId,
    pub record: Version,
}

/// One message of foca, without what sender and receiver know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Swim {
    /// For which life of the receiver.
    pub to: u32,
    pub incarnation: u16,
    pub message: Message<Identity>,
    pub updates: Vec<Member<Identity>>,
    pub rumours: Vec<Rumour>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Matter {
    /// Only the head; `asks` wants an answer.
    Hello {
        asks: bool,
    },
    Swim(Swim),
    /// Newer records that the sender heard of.
    Rumours(Vec<Rumour>),
    /// The sender's picture in parts: each range ends at its first number, and has the hash of what lies in it.
    Ranges(Vec<(u64, u32)>),
    /// Everyone whom the sender believes alive with ids in `first..=last`.
    List {
        first: u64,
        last: u64,
        asks: bool,
        entries: Vec<Entry>,
    },
    /// These you list alive, and I hold them dead in the same life.
    Downs(Vec<(NodeId, u32)>),
    /// I know you, or your record, in this life: go beyond it.
    Outlived {
        epoch: u32,
        is_down: bool,
        record: Version,
    },
    /// You failed my probe: answer, and deny the suspicion of this incarnation.
    Doubt {
        incarnation: u16,
    },
    /// The answer to a doubt.
    Here,
    /// Send me the records of these.
    Pull(Vec<NodeId>),
    Records(Vec<Vec<u8>>),
    /// A page of the roster.
    Page(Vec<u8>),
    /// Number and version of each page that the sender has.
    Pages(Vec<(u8, u64)>),
    /// A ring key, sealed to the receiver.
    RingKey(Vec<u8>),
}

pub(crate) fn encode(head: &Head, matter: &Matter) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    head.from.write(&mut out);
    out.put_u32(head.counter);
    out.put_u32(head.sight.hash);
    out.put_u16(head.sight.alive);
    out.put_u32(head.sight.roster);
    out.put_u32(head.sight.ring);
    match matter {
        Matter::Hello { asks } => out.put_u8(u8::from(*asks)),
        Matter::Swim(swim) => write_swim(swim, &mut out),
        Matter::Rumours(rumours) => {
            out.put_u8(3);
            write_rumours(rumours, &mut out);
        }
        Matter::Ranges(ranges) => {
            out.put_u8(4);
            for (last, hash) in ranges {
                out.put_u64(*last);
                out.put_u32(*hash);
            }
        }
        Matter::List { first, last, asks, entries } => {
            out.put_u8(5);
            out.put_u64(*first);
            out.put_u64(*last);
            out.put_u8(u8::from(*asks));
            for entry in entries {
                entry.id.write(&mut out);
                out.put_u32(entry.record.0);
                out.put_u32(entry.record.1);
            }
        }
        Matter::Downs(downs) => {
            out.put_u8(6);
            for (node, epoch) in downs {
                out.put_u64(node.0);
                out.put_u32(*epoch);
            }
        }
        Matter::Outlived { epoch, is_down, record } => {
            out.put_u8(7);
            out.put_u32(*epoch);
            out.put_u8(u8::from(*is_down));
            out.put_u32(record.0);
            out.put_u32(record.1);
        }
        Matter::Doubt { incarnation } => {
            out.put_u8(8);
            out.put_u16(*incarnation);
        }
        Matter::Pull(nodes) => {
            out.put_u8(9);
            nodes.iter().for_each(|node| out.put_u64(node.0));
        }
        Matter::Records(records) => {
            out.put_u8(10);
            for record in records {
                out.put_u16(record.len() as u16);
                out.put(record);
            }
        }
        Matter::Page(page) => {
            out.put_u8(11);
            out.put(page);
        }
        Matter::Pages(pages) => {
            out.put_u8(12);
            for (number, version) in pages {
                out.put_u8(*number);
                out.put_u64(*version);
            }
        }
        Matter::RingKey(sealed) => {
            out.put_u8(13);
            out.put(sealed);
        }
        Matter::Here => out.put_u8(14),
    }
    assert!(out.len() <= TEXT_BYTES_MAX, "a message is made to fit one datagram");
    out
}

pub(crate) fn decode(text: &[u8]) -> Result<(Head, Matter), Malformed> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(Malformed::Long);
    }
    let mut reader = Reader(text);
    let from = Identity::read(&mut reader)?;
    let counter = reader.u32()?;
    let (hash, alive) = (reader.u32()?, reader.u16()?);
    let sight = Sight { hash, alive, roster: reader.u32()?, ring: reader.u32()? };
    let matter = read_matter(&mut reader)?;
    reader.end()?;
    Ok((Head { from, counter, sight }, matter))
}

fn read_matter(reader: &mut Reader<'_>) -> Result<Matter, Malformed> {
    Ok(match reader.u8()? {
        0 => Matter::Hello { asks: false },
        1 => Matter::Hello { asks: true },
        2 => Matter::Swim(read_swim(reader)?),
        3 => Matter::Rumours(read_rumours(reader)?),
        4 => Matter::Ranges(list(reader, 12, RANGES_MAX, |r| Ok((r.u64()?, r.u32()?)))?),
        5 => {
            let (first, last, asks) = (reader.u64()?, reader.u64()?, read_bool(reader)?);
            let entries = list(reader, ENTRY_BYTES, ENTRIES_MAX, |r| {
                Ok(Entry { id: Identity::read(r)?, record: (r.u32()?, r.u32()?) })
            })?;
            let within = |entry: &Entry| (first..=last).contains(&entry.id.node.0);
            if first > last || !entries.iter().all(within) {
                return Err(Malformed::Value);
            }
            Matter::List { first, last, asks, entries }
        }
        6 => Matter::Downs(list(reader, 12, DOWNS_MAX, |r| Ok((NodeId(r.u64()?), r.u32()?)))?),
        7 => Matter::Outlived {
            epoch: reader.u32()?,
            is_down: read_bool(reader)?,
            record: (reader.u32()?, reader.u32()?),
        },
        8 => Matter::Doubt { incarnation: reader.u16()? },
        9 => Matter::Pull(list(reader, 8, PULLS_MAX, |r| Ok(NodeId(r.u64()?)))?),
        10 => {
            let mut records = Vec::new();
            while !reader.0.is_empty() {
                let n = usize::from(reader.u16()?);
                records.push(reader.take(n)?.to_vec());
            }
            Matter::Records(records)
        }
        11 => Matter::Page(rest(reader, PAGE_BYTES_MAX)?),
        12 => Matter::Pages(list(reader, 9, admission::PAGES_MAX, |r| Ok((r.u8()?, r.u64()?)))?),
        13 => Matter::RingKey(rest(reader, BOX_BYTES)?),
        14 => Matter::Here,
        _ => return Err(Malformed::Value),
    })
}

fn rest(reader: &mut Reader<'_>, n_max: usize) -> Result<Vec<u8>, Malformed> {
    let n = reader.0.len();
    if n > n_max { Err(Malformed::Long) } else { Ok(reader.take(n)?.to_vec()) }
}

fn read_bool(reader: &mut Reader<'_>) -> Result<bool, Malformed> {
    match reader.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Malformed::Value),
    }
}

/// Reads entries of one size to the end.
fn list<T>(
    reader: &mut Reader<'_>,
    size: usize,
    n_max: usize,
    mut read: impl FnMut(&mut Reader<'_>) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let n = reader.0.len() / size;
    if n > n_max {
        return Err(Malformed::Long);
    }
    (0..n).map(|_| read(reader)).collect()
}

fn write_swim(swim: &Swim, out: &mut Vec<u8>) {
    out.put_u8(2);
    out.put_u32(swim.to);
    identity::write_message(swim.incarnation, &swim.message, out);
    out.put_u8(swim.updates.len() as u8);
    swim.updates.iter().for_each(|update| identity::write_member(update, out));
    write_rumours(&swim.rumours, out);
}

fn read_swim(reader: &mut Reader<'_>) -> Result<Swim, Malformed> {
    let to = reader.u32()?;
    let (incarnation, message) = identity::read_message(reader)?;
    let n = usize::from(reader.u8()?);
    if n * UPDATE_BYTES > reader.0.len() {
        return Err(Malformed::Short);
    }
    let updates = (0..n).map(|_| identity::read_member(reader)).collect::<Result<_, _>>()?;
    Ok(Swim { to, incarnation, message, updates, rumours: read_rumours(reader)? })
}

fn write_rumours(rumours: &[Rumour], out: &mut Vec<u8>) {
    for rumour in rumours {
        out.put_u64(rumour.node.0);
        out.put_u32(rumour.record.0);
        out.put_u32(rumour.record.1);
    }
}

fn read_rumours(reader: &mut Reader<'_>) -> Result<Vec<Rumour>, Malformed> {
    list(reader, RUMOUR_BYTES, RUMOURS_MAX, |r| {
        Ok(Rumour { node: NodeId(r.u64()?), record: (r.u32()?, r.u32()?) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use foca::State;
    use std::net::SocketAddrV4;

    fn id(node: u64) -> Identity {
        Identity { node: NodeId(node), epoch: 5, addr: SocketAddrV4::new([10, 0, 0, 1].into(), 7947) }
    }

    /// One message of each kind, each as long as it may be.
    fn all() -> Vec<Matter> {
        let rumour = Rumour { node: NodeId(9), record: (1, 2) };
        let update = Member::new(id(3), 7, State::Suspect);
        let entry = Entry { id: id(4), record: (5, 6) };
        let swim = |message| Swim {
            to: 77,
            incarnation: 3,
            message,
            updates: vec![update.clone(); 40],
            rumours: vec![rumour; 20],
        };
        let mut all: Vec<Matter> = [
            Message::Ping(1),
            Message::Ack(2),
            Message::PingReq { target: id(1), probe_number: 3 },
            Message::IndirectPing { origin: id(2), probe_number: 4 },
            Message::IndirectAck { target: id(3), probe_number: 5 },
            Message::ForwardedAck { origin: id(4), probe_number: 6 },
            Message::Gossip,
        ]
        .map(|message| Matter::Swim(swim(message)))
        .into();
        all.extend([
            Matter::Hello { asks: true },
            Matter::Hello { asks: false },
            Matter::Rumours(vec![rumour; RUMOURS_MAX]),
            Matter::Ranges(vec![(u64::MAX, 3); RANGES_MAX]),
            Matter::List { first: 1, last: 9, asks: true, entries: vec![entry; ENTRIES_MAX] },
            Matter::Downs(vec![(NodeId(3), 4); DOWNS_MAX]),
            Matter::Outlived { epoch: 4, is_down: true, record: (1, 1) },
            Matter::Doubt { incarnation: 9 },
            Matter::Here,
            Matter::Pull(vec![NodeId(1); PULLS_MAX]),
            Matter::Records(vec![vec![1; RECORD_BYTES_MAX]]),
            Matter::Page(vec![2; PAGE_BYTES_MAX]),
            Matter::Pages(vec![(1, 2); admission::PAGES_MAX]),
            Matter::RingKey(vec![3; BOX_BYTES]),
        ]);
        all
    }

    #[test]
    fn every_message_fits_a_datagram_and_comes_back_as_it_was() {
        let head = Head { from: id(2), counter: 8, sight: Sight { hash: 1, alive: 2, roster: 3, ring: 4 } };
        for matter in all() {
            let text = encode(&head, &matter);
            assert!(text.len() <= TEXT_BYTES_MAX);
            assert_eq!(decode(&text), Ok((head, matter)));
        }
    }

    #[test]
    fn a_message_cut_short_is_refused_or_is_another_whole_message() {
        let head = Head { from: id(2), counter: 8, sight: Sight::default() };
        for matter in all() {
            let text = encode(&head, &matter);
            for n in 0..text.len() {
                if let Ok((head, other)) = decode(&text[..n]) {
                    assert_eq!(encode(&head, &other), text[..n], "{matter:?} cut to {n} bytes");
                }
            }
        }
    }
}
