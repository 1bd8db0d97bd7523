//! The gate itself: bytes from the client in, bytes of checked messages out, one question at a time.
//!
//! A question is a command that the server answers. While one waits for its answer nothing more of the client's is
//! read, because what the next message may do follows from the answer; a stock client waits by itself.
//! Weights and results pass in pieces, each as a message of its own: a piece is whole and checked like any other, and
//! the server never holds more of them than one.

use crate::buffers::Buffers;
use crate::graph;
use crate::message::{
    Command, HEAD_BYTES, HELLO_ANSWER_BYTES, HELLO_BYTES, PIECE_BYTES, Reader, SET_HEAD_BYTES,
};
use crate::message::{SOURCES_MAX, TENSOR_BYTES};
use crate::refusal::{Fault, Refusal};
use crate::tensor::{Tensor, without_memory};

/// What a client may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// All its buffers together.
    pub bytes_max: u64,
}

/// What is to be sent on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Out {
    pub to_client: Vec<u8>,
    pub to_server: Vec<u8>,
}

/// What is being read of the client's.
enum Reading {
    /// A command and a length.
    Head,
    /// Matter of a message that is judged when it is whole.
    Message { command: Command, length: u64, judged: usize },
    /// Bytes that are set, after the head of their message was found good.
    Bytes { tensor: Vec<u8>, offset: u64, left: u64 },
}

/// The answer that is waited for.
enum Question {
    /// Nothing in it concerns the gate.
    Plain(u64),
    Alloc {
        asked: u64,
    },
    Base {
        pointer: u64,
    },
    /// A result comes in pieces: `got` bytes of this one are here, `left` are in those that were not asked for yet.
    Piece {
        tensor: Vec<u8>,
        offset: u64,
        piece: u64,
        left: u64,
    },
}

/// Between one client and one server.
pub struct Gate {
    lease: Lease,
    buffers: Buffers,
    greeted: bool,
    has_graph: bool,
    reading: Reading,
    /// The beginning of what is being read.
    heard: Vec<u8>,
    question: Option<Question>,
    /// The beginning of the answer.
    answer: Vec<u8>,
    /// Bytes of a result that are still to pass.
    passing: u64,
}

impl Gate {
    pub fn new(lease: Lease) -> Gate {
        Gate {
            lease,
            buffers: Buffers::new(lease.bytes_max),
            greeted: false,
            has_graph: false,
            reading: Reading::Head,
            heard: Vec::new(),
            question: None,
            answer: Vec::new(),
            passing: 0,
        }
    }

    /// Whether the server owes an answer; until then nothing of the client's is read.
    pub fn is_waiting(&self) -> bool {
        self.question.is_some()
    }

    /// Whether a message of the client's has begun and is not whole.
    pub fn is_within_message(&self) -> bool {
        !matches!(self.reading, Reading::Head) || !self.heard.is_empty()
    }

    /// Takes the client's bytes up to the next question, and tells how many it took.
    pub fn from_client(&mut self, bytes: &[u8], out: &mut Out) -> Result<usize, Refusal> {
        let mut rest = bytes;
        while !self.is_waiting() && self.read(&mut rest, out)? {}
        Ok(bytes.len() - rest.len())
    }

    /// One step; `false` if it needs more bytes.
    fn read(&mut self, rest: &mut &[u8], out: &mut Out) -> Result<bool, Refusal> {
        let want = match &self.reading {
            Reading::Head => HEAD_BYTES,
            Reading::Message { judged, .. } => *judged,
            Reading::Bytes { left, .. } => PIECE_BYTES.min(usize::try_from(*left).unwrap_or(PIECE_BYTES)),
        };
        let n = (want - self.heard.len()).min(rest.len());
        let (taken, after) = rest.split_at(n);
        self.heard.extend_from_slice(taken);
        *rest = after;
        if self.heard.len() < want {
            return Ok(false);
        }
        let heard = std::mem::take(&mut self.heard);
        match std::mem::replace(&mut self.reading, Reading::Head) {
            Reading::Head => self.begin(&heard)?,
            Reading::Message { command, length, .. } => self.judge(command, length, heard, out)?,
            Reading::Bytes { tensor, offset, left } => self.pass(tensor, offset, left, &heard, out),
        }
        Ok(true)
    }

    fn begin(&mut self, head: &[u8]) -> Result<(), Refusal> {
        let command = Command::of(head[0])?;
        match (self.greeted, command == Command::Hello) {
            (false, false) => return Err(Refusal::NoHello),
            (true, true) => return Err(Refusal::HelloAgain),
            _ => {}
        }
        let length = Reader(&head[1..]).u64().unwrap_or(0);
        let judged = command.judged_bytes(length)?;
        self.reading = Reading::Message { command, length, judged };
        Ok(())
    }

    fn judge(
        &mut self,
        command: Command,
        length: u64,
        message: Vec<u8>,
        out: &mut Out,
    ) -> Result<(), Refusal> {
        let short = || Refusal::Length { command, length };
        let mut reader = Reader(&message);
        let question = match command {
            Command::Hello => {
                self.greeted = true;
                // No wish for another transport gets through.
                command.put(&mut out.to_server, &[&[0; HELLO_BYTES]]);
                self.question = Some(Question::Plain(HELLO_ANSWER_BYTES as u64));
                return Ok(());
            }
            Command::DeviceCount => Some(Question::Plain(4)),
            Command::GetAlignment | Command::GetMaxSize => {
                is_device(reader.u32().ok_or_else(short)?)?;
                Some(Question::Plain(8))
            }
            Command::GetDeviceMemory => {
                is_device(reader.u32().ok_or_else(short)?)?;
                // What the lease has, whatever the machine has.
                let (free, total) = (self.buffers.left(), self.lease.bytes_max);
                out.to_client.extend([16, free, total].iter().flat_map(|n| n.to_le_bytes()));
                return Ok(());
            }
            Command::AllocBuffer => {
                is_device(reader.u32().ok_or_else(short)?)?;
                let asked = reader.u64().ok_or_else(short)?;
                self.buffers.check_room(asked)?;
                Some(Question::Alloc { asked })
            }
            Command::BufferGetBase => {
                let pointer = reader.u64().ok_or_else(short)?;
                self.buffers.check(pointer)?;
                Some(Question::Base { pointer })
            }
            Command::FreeBuffer => {
                self.buffers.free(reader.u64().ok_or_else(short)?)?;
                self.has_graph = false;
                None
            }
            Command::BufferClear => {
                self.buffers.check(reader.u64().ok_or_else(short)?)?;
                None
            }
            Command::SetTensor => return self.set(message, length),
            Command::SetTensorHash => {
                self.tensor(&mut reader)?;
                // The server keeps nothing that it could have it from.
                out.to_client.extend([1, 0, 0, 0, 0, 0, 0, 0, 0]);
                return Ok(());
            }
            Command::GetTensor => return self.get(&message, out),
            Command::CopyTensor => {
                let (from, to) = (self.tensor(&mut reader)?, self.tensor(&mut reader)?);
                within(command, &to, 0, from.bytes)?;
                Some(Question::Plain(1))
            }
            Command::GraphCompute => {
                graph::check(&message, &self.buffers)?;
                self.has_graph = true;
                None
            }
            Command::GraphRecompute => {
                is_device(reader.u32().ok_or_else(short)?)?;
                if !self.has_graph {
                    return Err(Refusal::NoGraph);
                }
                None
            }
            Command::InitTensor => {
                self.tensor(&mut reader)?;
                None
            }
            Command::GetAllocSize => {
                let message = sizes_only(&message)?;
                command.put(&mut out.to_server, &[&message]);
                self.question = Some(Question::Plain(8));
                return Ok(());
            }
            Command::MemsetTensor => {
                let tensor = self.tensor(&mut reader)?;
                let (offset, bytes) = (reader.u64().ok_or_else(short)?, reader.u64().ok_or_else(short)?);
                within(command, &tensor, offset, bytes)?;
                None
            }
        };
        command.put(&mut out.to_server, &[&message]);
        self.question = question;
        Ok(())
    }

    /// The next tensor of a message, in its buffer.
    fn tensor(&self, reader: &mut Reader<'_>) -> Result<Tensor, Refusal> {
        let tensor = Tensor::read(reader.slice(TENSOR_BYTES).unwrap_or_default())?;
        self.buffers.check_tensor(&tensor)?;
        Ok(tensor)
    }

    /// The head of bytes that are set is good; they follow.
    fn set(&mut self, mut head: Vec<u8>, length: u64) -> Result<(), Refusal> {
        let mut reader = Reader(&head);
        let tensor = self.tensor(&mut reader)?;
        let _flag = reader.slice(1);
        let offset = reader.u64().unwrap_or(u64::MAX);
        let left = length - SET_HEAD_BYTES as u64;
        within(Command::SetTensor, &tensor, offset, left)?;
        head.truncate(TENSOR_BYTES);
        if left > 0 {
            self.reading = Reading::Bytes { tensor: head, offset, left };
        }
        Ok(())
    }

    /// A piece of the bytes that are set.
    fn pass(&mut self, tensor: Vec<u8>, offset: u64, left: u64, piece: &[u8], out: &mut Out) {
        // The flag would have the server keep a file of it.
        let flag = [0];
        Command::SetTensor.put(&mut out.to_server, &[&tensor, &flag, &offset.to_le_bytes(), piece]);
        let n = piece.len() as u64;
        if left > n {
            self.reading = Reading::Bytes { tensor, offset: offset + n, left: left - n };
        }
    }

    fn get(&mut self, message: &[u8], out: &mut Out) -> Result<(), Refusal> {
        let mut reader = Reader(message);
        let tensor = self.tensor(&mut reader)?;
        let (offset, bytes) = (reader.u64().unwrap_or(u64::MAX), reader.u64().unwrap_or(u64::MAX));
        within(Command::GetTensor, &tensor, offset, bytes)?;
        out.to_client.extend(bytes.to_le_bytes());
        self.ask_piece(message[..TENSOR_BYTES].to_vec(), offset, bytes, out);
        Ok(())
    }

    fn ask_piece(&mut self, tensor: Vec<u8>, offset: u64, left: u64, out: &mut Out) {
        if left == 0 {
            return;
        }
        let piece = left.min(PIECE_BYTES as u64);
        let place = [offset, piece].map(u64::to_le_bytes).concat();
        Command::GetTensor.put(&mut out.to_server, &[&tensor, &place]);
        self.question = Some(Question::Piece { tensor, offset: offset + piece, piece, left: left - piece });
    }

    /// Takes the server's bytes.
    pub fn from_server(&mut self, mut bytes: &[u8], out: &mut Out) -> Result<(), Fault> {
        while !bytes.is_empty() {
            let question = self.question.as_ref().ok_or(Fault::Unasked)?;
            if self.passing > 0 {
                let n = usize::try_from(self.passing).unwrap_or(usize::MAX).min(bytes.len());
                out.to_client.extend_from_slice(&bytes[..n]);
                bytes = &bytes[n..];
                self.passing -= n as u64;
                if self.passing == 0 {
                    self.next_piece(out);
                }
                continue;
            }
            let want = match question {
                Question::Plain(want) => *want,
                Question::Alloc { .. } => 16,
                Question::Base { .. } => 8,
                Question::Piece { piece, .. } => *piece,
            };
            let is_piece = matches!(question, Question::Piece { .. });
            let whole = if is_piece { 8 } else { 8 + want as usize };
            let n = (whole - self.answer.len()).min(bytes.len());
            self.answer.extend_from_slice(&bytes[..n]);
            bytes = &bytes[n..];
            if let Some(told) = Reader(&self.answer).u64().filter(|told| *told != want) {
                return Err(Fault::Length { want, told });
            }
            if self.answer.len() == whole {
                let answer = std::mem::take(&mut self.answer);
                if is_piece { self.passing = want } else { self.learn(answer, out)? }
            }
        }
        Ok(())
    }

    fn next_piece(&mut self, out: &mut Out) {
        if let Some(Question::Piece { tensor, offset, left, .. }) = self.question.take() {
            self.ask_piece(tensor, offset, left, out);
        }
    }

    /// What follows from an answer, before the client has it.
    fn learn(&mut self, answer: Vec<u8>, out: &mut Out) -> Result<(), Fault> {
        let mut reader = Reader(&answer[8..]);
        let (first, second) = (reader.u64().unwrap_or(0), reader.u64().unwrap_or(0));
        let is_good = match self.question.take() {
            // A pointer of nothing says that there was no memory.
            Some(Question::Alloc { asked }) => {
                first == 0 || second >= asked && self.buffers.add(first, asked)
            }
            Some(Question::Base { pointer }) => self.buffers.set_base(pointer, first),
            _ => true,
        };
        if !is_good {
            return Err(Fault::Memory);
        }
        out.to_client.extend(answer);
        Ok(())
    }
}

fn is_device(device: u32) -> Result<(), Refusal> {
    if device == 0 { Ok(()) } else { Err(Refusal::Device { device }) }
}

/// Whether bytes lie within a tensor.
fn within(command: Command, tensor: &Tensor, offset: u64, bytes: u64) -> Result<(), Refusal> {
    match offset.checked_add(bytes) {
        Some(end) if end <= tensor.bytes => Ok(()),
        _ => Err(Refusal::Outside { command, offset, bytes, of: tensor.bytes }),
    }
}

/// The question how large a tensor would be, without any memory: sources may lie with another server.
fn sizes_only(message: &[u8]) -> Result<Vec<u8>, Refusal> {
    let (device, tensors) = message.split_at(4);
    is_device(Reader(device).u32().unwrap_or(u32::MAX))?;
    let mut out = device.to_vec();
    for (idx, bytes) in tensors.chunks_exact(TENSOR_BYTES).take(1 + SOURCES_MAX).enumerate() {
        // A source without an id is none; the server does not look at it.
        let is_none = idx > 0 && bytes[..8] == [0; 8];
        if !is_none {
            Tensor::read(bytes)?;
        }
        out.extend(without_memory(bytes));
    }
    Ok(out)
}

#[cfg(test)]
mod tests;
