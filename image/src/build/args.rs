//! The command lines of `duet build` and `duet verify`.

use argh::{ArgsInfo, FromArgs};
use std::path::PathBuf;

/// Build a release: kernel, initrd and root, signed and promoted.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "build",
    example = "Build what changed since the last time:\n  duet build",
    example = "Take Debian's newest packages:\n  duet build --update",
    example = "And bring the models that suit three PCs of 2 GB:\n  duet build --models 3x2",
    example = "Make our kernels a library for ggml as Debian builds it:\n  duet build --ggml-variant",
    example = "See what would be done, from the lists alone:\n  duet build --plan"
)]
pub struct BuildArgs {
    /// folder for everything that is made (default: out)
    #[argh(option, default = "PathBuf::from(\"out\")")]
    pub out: PathBuf,
    /// print the plan and do nothing
    #[argh(switch)]
    pub plan: bool,
    /// ask the mirror for its newest packages and write a new lock file
    #[argh(switch)]
    pub update: bool,
    /// build from this lock file (default: OUT/packages.lock)
    #[argh(option)]
    pub lock: Option<PathBuf>,
    /// package archive to take instead of mmdebstrap's default: a URL, or a whole line of a sources.list
    #[argh(option)]
    pub mirror: Option<String>,
    /// suite of Debian to take instead of the one in buildroot/build.toml
    #[argh(option)]
    pub suite: Option<String>,
    /// add a profile of buildroot/profiles, such as shell; may be repeated
    #[argh(option)]
    pub profile: Vec<String>,
    /// a set of models to fetch too (`duet models list`); those of our own are always put on the shelf
    #[argh(option, arg_name = "SET")]
    pub models: Option<String>,
    /// leave the promoted release as it is
    #[argh(switch)]
    pub no_promote: bool,
    /// build no release, but libggml-cpu-core2.so in OUT/ggml, for programs with dynamic ggml
    #[argh(switch)]
    pub ggml_variant: bool,
    /// source of ggml for --ggml-variant, of the program's own version (default: that of llama-cpp-sys-2)
    #[argh(option)]
    pub ggml_source: Option<PathBuf>,
    /// install missing packages without asking
    #[argh(switch, short = 'y')]
    pub yes: bool,
    /// print one JSON object about the release on stdout
    #[argh(switch)]
    pub json: bool,
}

/// Check a release: signature, lengths, hashes; with --rebuild, that its lock file gives the same bytes.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "verify",
    example = "Check the promoted release:\n  duet verify",
    example = "Build it once more and compare every byte:\n  duet verify --rebuild"
)]
pub struct VerifyArgs {
    /// folder for everything that is made (default: out)
    #[argh(option, default = "PathBuf::from(\"out\")")]
    pub out: PathBuf,
    /// the release to check (default: the promoted one)
    #[argh(positional)]
    pub id: Option<String>,
    /// build again from the release's lock file and compare
    #[argh(switch)]
    pub rebuild: bool,
    /// install missing packages without asking
    #[argh(switch, short = 'y')]
    pub yes: bool,
}
