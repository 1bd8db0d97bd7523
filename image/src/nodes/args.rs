//! The command line of `duet nodes`, as data.

use admission::DiagPart;
use argh::{ArgsInfo, FromArgs};
use std::path::PathBuf;

/// See the PCs of the cluster, take them in and out, name them, and read their journals.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "nodes",
    example = "Who is there, and who waits for me?\n  $ sudo duet nodes list",
    example = "Take in the PC whose screen shows these digits:\n  $ sudo duet nodes approve 123456",
    example = "What went wrong on a PC?\n  $ sudo duet nodes logs kitchen --lines 50",
    note = "The running `duet serve` of the same folder is asked; a PC is named by its name, MAC or id.",
    error_code(1, "It cannot be done; one sentence on stderr says why and what to do.")
)]
pub struct NodesArgs {
    /// the folder of the running `duet serve` (default: out)
    #[argh(option, default = "PathBuf::from(\"out\")")]
    pub out: PathBuf,

    #[argh(subcommand)]
    pub command: NodesCommand,
}

#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(subcommand)]
pub enum NodesCommand {
    List(ListArgs),
    Approve(ApproveArgs),
    Remove(RemoveArgs),
    Rename(RenameArgs),
    RotateKey(RotateKeyArgs),
    OpenWindow(OpenWindowArgs),
    UsbKey(UsbKeyArgs),
    VoidSticks(VoidSticksArgs),
    Logs(LogsArgs),
    RunDiag(RunDiagArgs),
}

/// List the PCs: those that wait for you first.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(subcommand, name = "list", example = "$ duet nodes list --json")]
pub struct ListArgs {
    /// print JSON
    #[argh(switch)]
    pub json: bool,
}

/// Take in a PC that waits, after comparing the six digits on its screen.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(subcommand, name = "approve", example = "$ duet nodes approve 123456")]
pub struct ApproveArgs {
    /// the six digits, or the PC's name: then the digits are shown to compare
    #[argh(positional)]
    pub who: String,
}

/// Take a PC out: its keys are void everywhere within seconds, and it comes back by your word alone.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(subcommand, name = "remove", example = "$ duet nodes remove kitchen")]
pub struct RemoveArgs {
    /// the PC
    #[argh(positional)]
    pub who: String,
}

/// Give a PC another name; it is written to duet.toml.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(subcommand, name = "rename", example = "$ duet nodes rename duet-770001 kitchen")]
pub struct RenameArgs {
    /// the PC
    #[argh(positional)]
    pub who: String,

    /// its new name: small letters, digits and hyphens
    #[argh(positional)]
    pub name: String,
}

/// Change the key that gossip is sealed with, without an interruption.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(subcommand, name = "rotate-key", example = "$ duet nodes rotate-key")]
pub struct RotateKeyArgs {}

/// Take in every PC that calls, for some minutes.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(subcommand, name = "open-window", example = "$ duet nodes open-window --minutes 10")]
pub struct OpenWindowArgs {
    /// for how long (default: 60); 0 closes the window
    #[argh(option, default = "60")]
    pub minutes: u16,
}

/// Write a stick that takes PCs in under policy usb; whoever has it can take PCs in, so keep it like a key.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(subcommand, name = "usb-key", example = "$ sudo duet nodes usb-key /dev/sdb --days 7")]
pub struct UsbKeyArgs {
    /// the stick, as a whole device such as /dev/sdb, or a file to copy onto one later
    #[argh(positional)]
    pub place: PathBuf,

    /// for how long it is good, at most 366 days (default: 30)
    #[argh(option, default = "30")]
    pub days: u16,

    /// overwrite what is there; without it, the command says what would be lost
    #[argh(switch)]
    pub force: bool,
}

/// Make void every stick that was written until now.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(subcommand, name = "void-sticks", example = "$ duet nodes void-sticks")]
pub struct VoidSticksArgs {}

/// Print the end of a PC's journal.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(subcommand, name = "logs", example = "$ duet nodes logs kitchen --lines 50")]
pub struct LogsArgs {
    /// the PC
    #[argh(positional)]
    pub who: String,

    /// how many lines, at most 1000 (default: 200)
    #[argh(option, default = "200")]
    pub lines: u16,
}

/// Have a PC look at itself, and print what it found: its state, or one part of it tried out.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "run-diag",
    example = "$ duet nodes run-diag kitchen",
    example = "$ duet nodes run-diag kitchen --part memory",
    note = "Parts: status (default), network, cluster, units, voice, devices show what is known; level, sound, memory, models try it out, for at most a minute. `sound` plays a tone there and records three seconds; what is heard stays on the PC."
)]
pub struct RunDiagArgs {
    /// the PC
    #[argh(positional)]
    pub who: String,

    /// what is looked at (default: status)
    #[argh(option, default = "DiagPart::Status")]
    pub part: DiagPart,
}
