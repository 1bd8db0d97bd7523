//! The library's log, caught: its errors become part of ours, the rest is dropped.

use crate::{Error, sys};
use std::cell::RefCell;
use std::ffi::{CStr, c_char, c_void};

/// Lines kept for the next error.
const LINES_MAX: usize = 4;
/// Bytes kept of one line.
const LINE_BYTES_MAX: usize = 300;

thread_local! {
    /// The library logs on the thread that called it.
    static SAID: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

pub(crate) fn take_over() {
    // SAFETY: the callback is a plain function that lives for ever and uses no user data.
    unsafe { sys::llama_log_set(Some(hear), std::ptr::null_mut()) };
}

unsafe extern "C" fn hear(level: sys::ggml_log_level, text: *const c_char, _: *mut c_void) {
    if text.is_null() || level != sys::GGML_LOG_LEVEL_ERROR {
        return;
    }
    // SAFETY: the library hands over a C string that lives during this call.
    let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
    let line: String = text.trim().chars().take(LINE_BYTES_MAX).collect();
    if line.is_empty() {
        return;
    }
    // A thread that is ending has no such variable any more; its words are lost, nothing worse.
    let _ = SAID.try_with(|said| {
        if let Ok(mut said) = said.try_borrow_mut() {
            if said.len() == LINES_MAX {
                said.remove(0);
            }
            said.push(line);
        }
    });
}

/// Forgets what was said before.
pub(crate) fn clear() {
    SAID.with_borrow_mut(Vec::clear);
}

/// An error with what the library said since [`clear`].
pub(crate) fn refused(what: &'static str) -> Error {
    Error::Library { what, said: SAID.with_borrow_mut(std::mem::take).join("; ") }
}
