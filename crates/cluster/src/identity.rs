//! Who a member is on the wire, and how foca's headers and updates become bytes.
//!
//! A node keeps its id for good and its address for a boot; the epoch rises with every boot, and each time the node
//! has to deny its own death. What sender and receiver know anyway is not sent: the sender stands in the frame's head,
//! and the receiver is a tag of four bytes.

use std::net::{Ipv4Addr, SocketAddrV4};

use admission::NodeId;
use foca::{Header, Member, Message, State};

use crate::bytes::{Malformed, Put, Reader};

/// One life of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    pub node: NodeId,
    /// Of two with the same node id the one with the higher epoch is right.
    pub epoch: u32,
    pub addr: SocketAddrV4,
}

pub(crate) const IDENTITY_BYTES: usize = 18;
/// What an update of foca costs in a frame.
pub(crate) const UPDATE_BYTES: usize = IDENTITY_BYTES + 3;

impl Identity {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Identity, Malformed> {
        let (node, epoch) = (NodeId(reader.u64()?), reader.u32()?);
        let addr = SocketAddrV4::new(Ipv4Addr::from(reader.array::<4>()?), reader.u16()?);
        Ok(Identity { node, epoch, addr })
    }

    pub(crate) fn write(&self, out: &mut impl Put) {
        out.put_u64(self.node.0);
        out.put_u32(self.epoch);
        out.put(&self.addr.ip().octets());
        out.put_u16(self.addr.port());
    }

    /// Four bytes that tell whether a datagram was meant for this life.
    pub(crate) fn tag(&self) -> u32 {
        (crate::hash::mix(self.node.0 ^ u64::from(self.epoch).rotate_left(40)) >> 32) as u32
    }
}

impl foca::Identity for Identity {
    type Addr = NodeId;

    fn renew(&self) -> Option<Identity> {
        Some(Identity { epoch: self.epoch.checked_add(1)?, ..*self })
    }

    fn addr(&self) -> NodeId {
        self.node
    }

    fn win_addr_conflict(&self, other: &Identity) -> bool {
        (self.epoch, self.addr) > (other.epoch, other.addr)
    }
}

/// foca's own form: complete, for our side of the wire only.
#[derive(Clone, Copy)]
pub(crate) struct Codec;

struct Buf<B>(B);

impl<B: bytes::BufMut> Put for Buf<B> {
    fn put(&mut self, bytes: &[u8]) {
        self.0.put_slice(bytes);
    }
}

impl foca::Codec<Identity> for Codec {
    type Error = Malformed;

    fn encode_header(&mut self, header: &Header<Identity>, out: impl bytes::BufMut) -> Result<(), Malformed> {
        if out.remaining_mut() < HEADER_BYTES_MAX {
            return Err(Malformed::Short);
        }
        let mut out = Buf(out);
        header.src.write(&mut out);
        header.dst.write(&mut out);
        write_message(header.src_incarnation, &header.message, &mut out);
        Ok(())
    }

    fn decode_header(&mut self, mut from: impl bytes::Buf) -> Result<Header<Identity>, Malformed> {
        let mut reader = Reader(from.chunk());
        let before = reader.0.len();
        let (src, dst) = (Identity::read(&mut reader)?, Identity::read(&mut reader)?);
        let (src_incarnation, message) = read_message(&mut reader)?;
        let n_read = before - reader.0.len();
        from.advance(n_read);
        Ok(Header { src, src_incarnation, dst, message })
    }

    fn encode_member(&mut self, member: &Member<Identity>, out: impl bytes::BufMut) -> Result<(), Malformed> {
        if out.remaining_mut() < UPDATE_BYTES {
            return Err(Malformed::Short);
        }
        write_member(member, &mut Buf(out));
        Ok(())
    }

    fn decode_member(&mut self, mut from: impl bytes::Buf) -> Result<Member<Identity>, Malformed> {
        let mut reader = Reader(from.chunk());
        let member = read_member(&mut reader)?;
        from.advance(UPDATE_BYTES);
        Ok(member)
    }
}

/// Two identities, incarnation, message with its identity and number.
pub(crate) const HEADER_BYTES_MAX: usize = 3 * IDENTITY_BYTES + 4;

pub(crate) fn write_member(member: &Member<Identity>, out: &mut impl Put) {
    member.id().write(out);
    out.put_u16(member.incarnation());
    out.put_u8(match member.state() {
        State::Alive => 0,
        State::Suspect => 1,
        State::Down => 2,
    });
}

pub(crate) fn read_member(reader: &mut Reader<'_>) -> Result<Member<Identity>, Malformed> {
    let (id, incarnation) = (Identity::read(reader)?, reader.u16()?);
    let state = match reader.u8()? {
        0 => State::Alive,
        1 => State::Suspect,
        2 => State::Down,
        _ => return Err(Malformed::Value),
    };
    Ok(Member::new(id, incarnation, state))
}

pub(crate) fn write_message(incarnation: u16, message: &Message<Identity>, out: &mut impl Put) {
    out.put_u16(incarnation);
    let (kind, id, number) = match message {
        Message::Ping(number) => (0, None, Some(number)),
        Message::Ack(number) => (1, None, Some(number)),
        Message::PingReq { target, probe_number } => (2, Some(target), Some(probe_number)),
        Message::IndirectPing { origin, probe_number } => (3, Some(origin), Some(probe_number)),
        Message::IndirectAck { target, probe_number } => (4, Some(target), Some(probe_number)),
        Message::ForwardedAck { origin, probe_number } => (5, Some(origin), Some(probe_number)),
        Message::Announce => (6, None, None),
        Message::Feed => (7, None, None),
        Message::Gossip => (8, None, None),
        Message::Broadcast => (9, None, None),
        Message::TurnUndead => (10, None, None),
    };
    out.put_u8(kind);
    if let Some(id) = id {
        id.write(out);
    }
    if let Some(number) = number {
        out.put_u8(*number);
    }
}

pub(crate) fn read_message(reader: &mut Reader<'_>) -> Result<(u16, Message<Identity>), Malformed> {
    let (incarnation, kind) = (reader.u16()?, reader.u8()?);
    let message = match kind {
        0 => Message::Ping(reader.u8()?),
        1 => Message::Ack(reader.u8()?),
        2 => Message::PingReq { target: Identity::read(reader)?, probe_number: reader.u8()? },
        3 => Message::IndirectPing { origin: Identity::read(reader)?, probe_number: reader.u8()? },
        4 => Message::IndirectAck { target: Identity::read(reader)?, probe_number: reader.u8()? },
        5 => Message::ForwardedAck { origin: Identity::read(reader)?, probe_number: reader.u8()? },
        6 => Message::Announce,
        7 => Message::Feed,
        8 => Message::Gossip,
        9 => Message::Broadcast,
        10 => Message::TurnUndead,
        _ => return Err(Malformed::Value),
    };
    Ok((incarnation, message))
}
