//! One netlink socket: a request, then its whole answer.
//!
//! What goes out and what comes in may hold the private key, so both buffers are wiped.

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader, NetlinkMessage, NetlinkPayload,
    NetlinkSerializable,
};
use netlink_sys::{Socket, SocketAddr};
use std::io;
use zeroize::{Zeroize, Zeroizing};

/// The kernel sends no larger piece of an answer: a dump's piece is at most 32 KiB.
const PIECE_BYTES_MAX: usize = 64 * 1024;
/// Every netlink message begins on such a border.
const ALIGN: usize = 4;

pub fn request<T>(message: T, flags: u16) -> NetlinkMessage<T> {
    let mut header = NetlinkHeader::default();
    header.flags = flags | NLM_F_REQUEST;
    NetlinkMessage::new(header, NetlinkPayload::InnerMessage(message))
}

/// A socket with its buffer.
pub struct Line {
    socket: Socket,
    sequence: u32,
    piece: Vec<u8>,
    /// Messages of one answer.
    n_answers_max: usize,
}

impl Line {
    /// `protocol` is one of `netlink_sys::protocols`.
    pub fn open(protocol: isize, n_answers_max: usize) -> io::Result<Line> {
        let mut socket = Socket::new(protocol)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Line { socket, sequence: 0, piece: Vec::with_capacity(PIECE_BYTES_MAX), n_answers_max })
    }

    /// Asks for a change; the kernel says yes or why not.
    pub fn tell<T>(&mut self, message: T, flags: u16) -> io::Result<()>
    where
        T: NetlinkSerializable + NetlinkDeserializable,
    {
        self.ask(message, flags | NLM_F_ACK).map(drop)
    }

    /// Asks, and gives all that is answered. `flags` hold `NLM_F_ACK` or `NLM_F_DUMP`, which say where an answer ends.
    pub fn ask<T>(&mut self, message: T, flags: u16) -> io::Result<Vec<T>>
    where
        T: NetlinkSerializable + NetlinkDeserializable,
    {
        self.exchange(&mut request(message, flags))
    }

    /// The same with a request that the caller keeps, to wipe it.
    pub fn exchange<T>(&mut self, request: &mut NetlinkMessage<T>) -> io::Result<Vec<T>>
    where
        T: NetlinkSerializable + NetlinkDeserializable,
    {
        self.sequence = self.sequence.wrapping_add(1);
        request.header.sequence_number = self.sequence;
        request.finalize();
        let mut bytes = Zeroizing::new(vec![0; request.buffer_len()]);
        request.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;
        let answers = self.answers();
        self.piece.zeroize();
        answers
    }

    fn answers<T: NetlinkDeserializable>(&mut self) -> io::Result<Vec<T>> {
        let mut answers = vec![];
        loop {
            self.piece.clear();
            self.socket.recv(&mut self.piece, 0)?;
            let mut rest = &self.piece[..];
            while !rest.is_empty() {
                let message = NetlinkMessage::<T>::deserialize(rest).map_err(io::Error::other)?;
                let length = (message.header.length as usize).next_multiple_of(ALIGN);
                rest = rest.get(length..).unwrap_or_default();
                if message.header.sequence_number != self.sequence {
                    continue;
                }
                match message.payload {
                    NetlinkPayload::InnerMessage(_) if answers.len() >= self.n_answers_max => {
                        return Err(io::Error::other("the kernel answers without end"));
                    }
                    NetlinkPayload::InnerMessage(answer) => answers.push(answer),
                    NetlinkPayload::Error(error) if error.code.is_some() => return Err(error.to_io()),
                    NetlinkPayload::Error(_) | NetlinkPayload::Done(_) => return Ok(answers),
                    _ => {}
                }
            }
        }
    }
}
