//! A small safe face of llama.cpp: load a model, tokenise, evaluate, sample, save and restore.
//!
//! It is the only crate that names llama.cpp.
//! The library may abort the process on a broken model file, so a program first lets a child of itself load the file;
//! this crate checks with `gguf` what can be checked without it.
//! It deliberately knows no file format but GGUF, no network and no chat protocol.

#![allow(unsafe_code)] // This crate is the face of a C library.

/// The library's own words on what it was built for.
pub fn system_info() -> String {
    // SAFETY: the function takes nothing and returns a static C string.
    let text = unsafe { std::ffi::CStr::from_ptr(llama_cpp_sys_2::llama_print_system_info()) };
    text.to_string_lossy().into_owned()
}
