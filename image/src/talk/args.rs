//! The command lines of `duet ask` and `duet say`, as data.

use argh::{ArgsInfo, FromArgs};
use std::path::PathBuf;

/// Ask the cluster a question, and print the answer as it comes.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "ask",
    example = "Any node may answer:\n  $ sudo duet ask \"how hot does a Core 2 get\"",
    example = "This node, from a PC without `duet serve`:\n  $ DUET_KEY=... duet ask \"what is the time\" --node 10.0.0.7",
    note = "The key is DUET_KEY, or the file of --key-file, or one of the owner's own, which the first call makes in out/keys/owner.key.",
    error_code(1, "Nobody answered; one sentence on stderr says why and what to do.")
)]
pub struct AskArgs {
    /// what to ask
    #[argh(positional)]
    pub text: String,
    /// go on with what was asked under this name before
    #[argh(option, default = "String::new()", arg_name = "NAME")]
    pub conversation: String,
    /// answer by this workflow, such as researcher
    #[argh(option, arg_name = "NAME")]
    pub workflow: Option<String>,
    /// the node: its name, or its address (default: the first that is alive)
    #[argh(option)]
    pub node: Option<String>,
    /// the folder of the running `duet serve` (default: out)
    #[argh(option, default = "PathBuf::from(\"out\")")]
    pub out: PathBuf,
    /// a file with a key
    #[argh(option, arg_name = "FILE")]
    pub key_file: Option<PathBuf>,
}

/// Have a node say something aloud.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "say",
    example = "$ sudo duet say \"Dinner is ready.\" --node kitchen",
    note = "A node that somebody talks to passes it over. The key is found as by `duet ask`, and must be one for the voice.",
    error_code(1, "Nobody says it; one sentence on stderr says why and what to do.")
)]
pub struct SayArgs {
    /// what to say
    #[argh(positional)]
    pub text: String,
    /// the node: its name, or its address (default: the first that is alive)
    #[argh(option)]
    pub node: Option<String>,
    /// the folder of the running `duet serve` (default: out)
    #[argh(option, default = "PathBuf::from(\"out\")")]
    pub out: PathBuf,
    /// a file with a key
    #[argh(option, arg_name = "FILE")]
    pub key_file: Option<PathBuf>,
}
