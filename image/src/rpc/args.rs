//! The command line of `duet rpc`, as data.

use argh::{ArgsInfo, FromArgs};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Carry stock llama.cpp clients of this PC to the memory of a node.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "rpc",
    example = "Some layers of a model on an old PC:\n  $ duet rpc --at http://10.0.0.21:8000 --key-file laptop.key &\n  $ llama-cli -m MODEL.gguf --rpc 127.0.0.1:50052 -ngl 99",
    note = "The owner allows it under [rpc] in out/state/duet.toml: how much memory, and whose keys.",
    note = "The client's llama.cpp speaks version 7.0 of the protocol; another one says so and ends.",
    note = "A node serves one client at a time, and models of dense layers only.",
    error_code(1, "It cannot be done; one sentence on stderr says why and what to do.")
)]
pub struct RpcArgs {
    /// the node: HTTP://ADDRESS:PORT of its page
    #[argh(option, from_str_fn(admission::server))]
    pub at: SocketAddr,

    /// file with an API key that may
    #[argh(option)]
    pub key_file: PathBuf,

    /// where clients of this PC come (default: 127.0.0.1:50052)
    #[argh(option, default = "SocketAddr::from(([127, 0, 0, 1], 50052))")]
    pub listen: SocketAddr,
}
