//! The node programs as they ship, and the emulator that runs them as an old processor would.

use crate::{out, repository, skip};
use image::build::programs::Programs;
use image::progress::Progress;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// A Core 2 of 2006: an instruction beyond SSSE3 ends the program.
pub const CONROE: &str = "Conroe";
/// A Core 2 of 2008, which has SSE4.1 too.
pub const PENRYN: &str = "Penryn";

const EMULATOR: &str = "qemu-x86_64";

/// A command that runs a node program on this processor; nothing where the emulator is missing.
pub fn command(test: &str, processor: &str, name: &str) -> Option<Command> {
    if Command::new(EMULATOR).arg("--version").stdout(Stdio::null()).status().is_err() {
        skip(test, "qemu-x86_64 is not installed");
        return None;
    }
    let mut command = Command::new(EMULATOR);
    command.args(["-cpu", processor]).arg(program(name));
    Some(command)
}

/// The programs, built once for all tests as `duet build` builds them, and in its folder:
/// their C++ takes minutes to compile.
pub fn program(name: &str) -> PathBuf {
    static PROGRAMS: OnceLock<Programs> = OnceLock::new();
    let build = || {
        let step = Progress::new(1).step("programs for a Core 2", None);
        Programs::build(repository(), &out().join("target"), &out().join("logs"), &step)
            .unwrap_or_else(|error| panic!("the node programs do not build for a Core 2: {error:#}"))
    };
    PROGRAMS.get_or_init(build).node(name)
}
