//! Why nothing more passes, in words for the log.

use crate::message::Command;
use std::fmt;

/// What is wrong with what the client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Something came before HELLO.
    NoHello,
    /// A second HELLO.
    HelloAgain,
    /// No command has this number.
    Unknown { command: u8 },
    /// The message is too short or too long for its command.
    Length { command: Command, length: u64 },
    /// There is one device, number 0.
    Device { device: u32 },
    /// More memory than the lease has left.
    Memory { asked: u64, left: u64 },
    /// More buffers than a client needs.
    Buffers { max: usize },
    /// No buffer that the server gave out.
    Buffer { pointer: u64 },
    /// A tensor that could not be one.
    Tensor { name: String, why: &'static str },
    /// Bytes beyond the end of a tensor.
    Outside { command: Command, offset: u64, bytes: u64, of: u64 },
    /// A graph that could not be one.
    Graph { why: &'static str },
    /// An operation that is not let through, or not in this shape.
    Op { name: String, op: u32, why: &'static str },
    /// GRAPH_RECOMPUTE without a graph, or after memory of it was freed.
    NoGraph,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::NoHello => f.write_str("it does not begin with HELLO"),
            Refusal::HelloAgain => f.write_str("a second HELLO"),
            Refusal::Unknown { command } => write!(f, "there is no command {command}"),
            Refusal::Length { command, length } => {
                write!(f, "{command} of {length} bytes")
            }
            Refusal::Device { device } => write!(f, "there is no device {device}"),
            Refusal::Memory { asked, left } => {
                write!(f, "{asked} bytes of memory were asked for, and the lease has {left} left")
            }
            Refusal::Buffers { max } => write!(f, "more than {max} buffers"),
            Refusal::Buffer { pointer } => write!(f, "there is no buffer {pointer:#x}"),
            Refusal::Tensor { name, why } => write!(f, "tensor '{name}' {why}"),
            Refusal::Outside { command, offset, bytes, of } => {
                write!(f, "{command} of {bytes} bytes at {offset} in a tensor of {of}")
            }
            Refusal::Graph { why } => write!(f, "a graph {why}"),
            Refusal::Op { name, op, why } => write!(f, "operation {op} of tensor '{name}' {why}"),
            Refusal::NoGraph => f.write_str("GRAPH_RECOMPUTE without a graph"),
        }
    }
}

impl std::error::Error for Refusal {}

/// What is wrong with what the server answered; then it is not the server that was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It answered what nobody asked.
    Unasked,
    /// The answer's length is not that of the question.
    Length { want: u64, told: u64 },
    /// More memory than was asked for, or memory that lies nowhere.
    Memory,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Unasked => f.write_str("the server answered what nobody asked"),
            Fault::Length { want, told } => {
                write!(f, "the server answered with {told} bytes instead of {want}")
            }
            Fault::Memory => f.write_str("the server told of memory that cannot be"),
        }
    }
}

impl std::error::Error for Fault {}
