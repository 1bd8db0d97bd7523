//! The command line of `duet keys`, as data.

use admission::KeyLimits;
use argh::{ArgsInfo, FromArgs};
use std::path::PathBuf;

/// Make, list and remove the keys with which programs outside of the cluster ask its models.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "keys",
    example = "A key for my laptop; it is printed once:\n  $ sudo duet keys add laptop",
    example = "Who has one?\n  $ sudo duet keys list",
    note = "Every node answers the OpenAI API at http://NODE:8000/v1, for whoever has a key.",
    note = "Only a key that was made with --voice opens ears; what is said in a room is no program's business.",
    note = "Limits hold for each node that is asked: none counts what another has answered.",
    error_code(1, "It cannot be done; one sentence on stderr says why and what to do.")
)]
pub struct KeysArgs {
    /// the folder of `duet serve` (default: out)
    #[argh(option, default = "PathBuf::from(\"out\")")]
    pub out: PathBuf,

    #[argh(subcommand)]
    pub command: KeysCommand,
}

#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(subcommand)]
pub enum KeysCommand {
    Add(AddArgs),
    List(ListArgs),
    Remove(RemoveArgs),
}

/// Make a key and print it; nobody can print it again.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "add",
    example = "A key for a program, and one for a person who talks from a browser:\n  $ duet keys add editor --per-minute 20\n  $ duet keys add anna --voice"
)]
pub struct AddArgs {
    /// whose key it is: small letters, digits, dots, hyphens and underlines
    #[argh(positional)]
    pub name: String,

    /// also for the voice: with it one can open the ear of every PC, follow what is said, and change how PCs speak
    #[argh(switch)]
    pub voice: bool,

    /// requests a minute (default: 60)
    #[argh(option, default = "KeyLimits::default().per_minute")]
    pub per_minute: u16,

    /// requests at once (default: 4)
    #[argh(option, default = "KeyLimits::default().at_once")]
    pub at_once: u16,

    /// tokens read and written in 24 hours (default: 500000)
    #[argh(option, default = "KeyLimits::default().tokens_per_day")]
    pub tokens_per_day: u32,
}

impl AddArgs {
    pub fn limits(&self) -> KeyLimits {
        let (per_minute, at_once) = (self.per_minute, self.at_once);
        KeyLimits { per_minute, at_once, tokens_per_day: self.tokens_per_day }
    }
}

/// List the keys' names and limits.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(subcommand, name = "list", example = "$ duet keys list --json")]
pub struct ListArgs {
    /// print JSON
    #[argh(switch)]
    pub json: bool,
}

/// Remove a key; it opens nothing any more within seconds.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(subcommand, name = "remove", example = "$ duet keys remove laptop")]
pub struct RemoveArgs {
    /// whose key
    #[argh(positional)]
    pub name: String,
}
