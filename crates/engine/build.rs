//! Asks the linker to put our kernels in ggml's place, for this crate's own tests, and compiles ggml's RPC server.
//! A program that links this crate needs the same linker lines in its own build script: cargo hands none on.
//!
//! The server is compiled here and not by llama.cpp's own build (`GGML_RPC=ON`): that would register it in every
//! program at start, in whisper.cpp's ggml too, and it would listen on a socket of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The crate that carries ggml's source.
const CARRIER: &str = "llama-cpp-sys-2";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/stock");
    for symbol in kernels::WRAPPED {
        println!("cargo::rustc-link-arg=-Wl,--wrap={symbol}");
    }
    let ggml = carried().join("llama.cpp/ggml");
    let mut server = cc::Build::new();
    server.cpp(true).std("c++17").warnings(false).opt_level_str("s").cpp_link_stdlib(None);
    for folder in ["include", "src", "src/ggml-rpc"] {
        server.include(ggml.join(folder));
    }
    server.files(["src/stock/serve.cpp", "src/stock/carry.cpp"]).compile("stock");
}

/// Where cargo has unpacked the source that this crate's llama.cpp is built from: as a rule beside all others.
fn carried() -> PathBuf {
    let name = format!("{CARRIER}-{}", locked_version());
    let own = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = own.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let shelves = home.and_then(|home| std::fs::read_dir(home.join("registry/src")).ok());
    let found = shelves.into_iter().flatten().flatten().map(|shelf| shelf.path().join(&name));
    found.into_iter().find(|path| path.is_dir()).unwrap_or_else(|| told(&name))
}

fn locked_version() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.lock");
    let text = std::fs::read_to_string(path).expect("the workspace has a lock file");
    let after = text.split(&format!("name = \"{CARRIER}\"\nversion = \"")).nth(1);
    let version = after.and_then(|after| after.split('"').next());
    version.expect("the lock file names llama.cpp's crate").to_owned()
}

/// What cargo itself says, where packages lie elsewhere.
fn told(name: &str) -> PathBuf {
    let cargo = std::env::var_os("CARGO").expect("cargo names itself to build scripts");
    let mut command = Command::new(cargo);
    command.args(["metadata", "--format-version", "1", "--locked"]);
    let output = command.output().expect("cargo can be started");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo does not tell where its packages are: {said}");
    // Of the whole document only one path is needed: not worth a reader of JSON here.
    let text = String::from_utf8(output.stdout).expect("cargo writes UTF-8");
    let mut paths = text.split("\"manifest_path\":\"").skip(1).filter_map(|rest| rest.split('"').next());
    let found = paths.find(|path| path.contains(CARRIER));
    let manifest = found.unwrap_or_else(|| panic!("cargo does not know {name}"));
    Path::new(manifest).parent().expect("a manifest lies in a folder").to_path_buf()
}
