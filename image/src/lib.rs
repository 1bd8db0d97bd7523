//! `duet`: builds, serves and tries the netboot image.

pub mod vm;
