//! Small ELF files for the tests, made by the system's C compiler.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// The C compiler, which linking Rust needs as well.
pub struct Cc;

/// `None`, with a line that says so, where an ordinary user has no compiler.
pub fn needs_cc() -> Option<Cc> {
    let is_there = Command::new("cc").arg("--version").output().is_ok_and(|out| out.status.success());
    assert!(is_there || std::env::var_os("CI").is_none(), "cc is missing");
    if !is_there {
        println!("skipped: there is no C compiler called cc");
    }
    is_there.then_some(Cc)
}

/// A root tree of one test; it goes when the test ends.
pub struct Lab(PathBuf);

impl Lab {
    pub fn new(name: &str) -> Lab {
        let path = std::env::temp_dir().join(format!("duet-elf-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("root")).unwrap();
        Lab(path)
    }

    pub fn root(&self) -> PathBuf {
        self.0.join("root")
    }

    /// A file beside the root.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub fn read(&self, path: &str) -> Vec<u8> {
        fs::read(self.root().join(path)).unwrap()
    }

    pub fn link(&self, path: &str, target: &str) {
        let path = self.ready(path);
        std::os::unix::fs::symlink(target, path).unwrap();
    }

    pub fn put(&self, path: &str, bytes: &[u8]) {
        fs::write(self.ready(path), bytes).unwrap();
    }

    fn ready(&self, path: &str) -> PathBuf {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Where the tests' libraries lie.
pub const LIB: &str = "usr/lib/x86_64-linux-gnu";

impl Cc {
    pub fn library(&self, lab: &Lab, source: &str, path: &str, soname: &str, more: &[&str]) {
        let soname = format!("-Wl,-soname,{soname}");
        self.run(lab, source, path, &[&["-shared", "-fPIC", "-nostdlib", &soname], more].concat());
    }

    /// A program with `main` as its entry and without the C library.
    pub fn program(&self, lab: &Lab, source: &str, path: &str, more: &[&str]) {
        let flags = ["-fPIE", "-pie", "-nostdlib", "-Wl,-e,main", "-Wl,--no-dynamic-linker"];
        self.run(lab, source, path, &[&flags, more].concat());
    }

    fn run(&self, lab: &Lab, source: &str, path: &str, flags: &[&str]) {
        lab.write("source.c", source);
        let out = Command::new("cc")
            .args(["-O1", "-g0", "-fcf-protection=none", "-o"])
            .arg(lab.ready(path))
            .arg(lab.path("source.c"))
            .arg(format!("-L{}", lab.root().join(LIB).display()))
            .args(flags)
            .output()
            .unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    }
}

/// Changes one byte, or cuts the end off, differently for each `seed`.
pub fn mutate(bytes: &mut Vec<u8>, seed: u64) {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = |limit: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as usize % limit.max(1)
    };
    for _ in 0..=next(4) {
        // Headers and tables stand at both ends; most changes go there.
        let len = bytes.len();
        let at = match next(4) {
            0 => next(len.min(64)),
            1 => next(len.min(1024)),
            2 => len - 1 - next(len.min(2048)),
            _ => next(len),
        };
        bytes[at] = match next(4) {
            0 => 0,
            1 => 0xff,
            2 => bytes[at] ^ (1 << next(8)),
            _ => next(256) as u8,
        };
    }
    if next(8) == 0 {
        let len = next(bytes.len()).max(4);
        bytes.truncate(len);
    }
}
