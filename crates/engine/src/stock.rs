//! ggml's own RPC: its server for one connection that is there already, and a server elsewhere as a place for layers.
//!
//! The server trusts what it is sent and aborts the process on what it did not expect. It belongs into a process that
//! has no other work, behind a gate that reads every message before (`rpcgate`).
//! The other side, a host whose model lies with such a server, dies with its server; it is here for tests.

use crate::{Error, init, sys};
use std::ffi::{CString, c_char, c_int};
use std::net::SocketAddrV4;
use std::os::fd::{IntoRawFd, OwnedFd};
use std::ptr::NonNull;

/// The version of the protocol, which its HELLO tells: major, minor.
pub const PROTOCOL: [u8; 2] = [7, 0];
const THREADS_MAX: u32 = 64;

unsafe extern "C" {
    fn duet_stock_serve(fd: c_int, n_threads: c_int) -> bool;
    fn duet_stock_device(endpoint: *const c_char) -> sys::ggml_backend_dev_t;
}

/// Serves one host until its connection ends.
pub fn serve(connection: OwnedFd, n_threads: u32) -> Result<(), Error> {
    if !(1..=THREADS_MAX).contains(&n_threads) {
        let want = format!("1 to {THREADS_MAX}");
        return Err(Error::Setting { name: "threads", value: n_threads.to_string(), want });
    }
    init();
    // SAFETY: the descriptor is open and becomes the server's, which closes it; the number of threads was checked.
    let served = unsafe { duet_stock_serve(connection.into_raw_fd(), n_threads as c_int) };
    let refused = Error::Library { what: "make a backend", said: String::new() };
    served.then_some(()).ok_or(refused)
}

/// A server elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct Remote(NonNull<sys::ggml_backend_device>);

// SAFETY: the library makes devices once and never frees them; one is only handed back to it.
unsafe impl Send for Remote {}

impl Remote {
    /// Connects. If there is no server, or it goes later, the library aborts this process.
    pub fn at(address: SocketAddrV4) -> Result<Remote, Error> {
        init();
        let refused = Error::Library { what: "name a server", said: String::new() };
        let endpoint = CString::new(address.to_string()).map_err(|_| refused.clone())?;
        // SAFETY: the text ends with a zero and lives during the call.
        let device = unsafe { duet_stock_device(endpoint.as_ptr()) };
        NonNull::new(device).map(Remote).ok_or(refused)
    }

    pub(crate) fn raw(self) -> sys::ggml_backend_dev_t {
        self.0.as_ptr()
    }
}

/// What ggml says of one of its types: numbers in a block and bytes of a block.
pub fn kind(number: u32) -> Option<(u64, u64)> {
    if number >= sys::GGML_TYPE_COUNT {
        return None;
    }
    // SAFETY: the number is one of the table's.
    let (block, bytes) = unsafe { (sys::ggml_blck_size(number), sys::ggml_type_size(number)) };
    u64::try_from(block).ok().filter(|block| *block > 0).map(|block| (block, bytes as u64))
}

/// ggml's name of one of its operations.
pub fn op(number: u32) -> Option<String> {
    if number >= sys::GGML_OP_COUNT {
        return None;
    }
    // SAFETY: the number is one of the table's, whose names end with a zero and live for ever.
    let name = unsafe { std::ffi::CStr::from_ptr(sys::ggml_op_name(number)) };
    Some(name.to_string_lossy().into_owned())
}
