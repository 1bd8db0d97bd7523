//! TFTP, read only: how a ROM fetches its first stage.
//!
//! [`parse`] reads a request that came to port 69; a [`Transfer`] then sends one file to one client.
//! The caller opens a socket of its own for each transfer (its port is the transfer's name, RFC 1350),
//! drops datagrams from any other address, and keeps a limit on transfers.
//! Writing is refused: there is no code for it.

mod request;
mod transfer;

pub use request::{ERROR_BYTES_MAX, Mode, REQUEST_BYTES_MAX, Refusal, Request, parse};
pub use transfer::{BLOCK_BYTES_MAX, End, Input, Output, RETRIES_MAX, TRANSFER_MAX, Transfer, WINDOW_MAX};

const READ: u16 = 1;
const WRITE: u16 = 2;
const DATA: u16 = 3;
const ACK: u16 = 4;
const ERROR: u16 = 5;
const OPTIONS: u16 = 6;
