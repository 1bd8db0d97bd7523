//! `duet release`: list, promote and remove releases.

use anyhow::{Result, anyhow};
use argh::{ArgsInfo, FromArgs};
use release::ReleaseId;
use std::path::PathBuf;

/// Say which releases there are, which one PCs get, and remove old ones.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "release",
    example = "Which releases are there, and which do PCs get?\n  $ duet release list",
    example = "Go back to an older one:\n  $ duet release promote trixie-0123456789ab",
    note = "A running `duet serve` takes up the change within a second."
)]
pub struct ReleaseArgs {
    #[argh(subcommand)]
    command: ReleaseCommand,
}

#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(subcommand)]
enum ReleaseCommand {
    List(ListArgs),
    Promote(PromoteArgs),
    Remove(RemoveArgs),
}

/// List the releases: the one that PCs get first, then the one they fall back to, then the others.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(subcommand, name = "list", example = "As data:\n  $ duet release list --json")]
struct ListArgs {
    /// the folder with the releases (default: out)
    #[argh(option, default = "PathBuf::from(\"out\")")]
    out: PathBuf,

    /// print JSON
    #[argh(switch)]
    json: bool,
}

/// Make a release the one that PCs get; they fall back to the one before.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(subcommand, name = "promote", example = "$ duet release promote trixie-0123456789ab")]
struct PromoteArgs {
    /// the release, as `duet release list` names it
    #[argh(positional)]
    id: String,

    /// the folder with the releases (default: out)
    #[argh(option, default = "PathBuf::from(\"out\")")]
    out: PathBuf,
}

/// Remove a release from the disk.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(subcommand, name = "remove", example = "$ duet release remove trixie-0123456789ab")]
struct RemoveArgs {
    /// the release, as `duet release list` names it
    #[argh(positional)]
    id: String,

    /// the folder with the releases (default: out)
    #[argh(option, default = "PathBuf::from(\"out\")")]
    out: PathBuf,

    /// remove it even if it is promoted
    #[argh(switch)]
    force: bool,
}

pub fn command(args: ReleaseArgs) -> Result<()> {
    let id = |text: &str| ReleaseId::parse(text).map_err(|error| anyhow!("{error}, not '{text}'"));
    match args.command {
        ReleaseCommand::List(args) => {
            let releases = super::list(&args.out)?;
            let json = || serde_json::to_string(&releases).map(|json| json + "\n");
            print!("{}", if args.json { json()? } else { super::table(&releases) });
            Ok(())
        }
        ReleaseCommand::Promote(args) => super::promote(&args.out, &id(&args.id)?),
        ReleaseCommand::Remove(args) => super::remove(&args.out, &id(&args.id)?, args.force),
    }
}
