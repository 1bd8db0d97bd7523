//! The command line of `duet models`, as data.

use argh::{ArgsInfo, FromArgs};
use std::path::PathBuf;

/// Fill the shelf of models that PCs fetch from, and work on model files.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "models",
    note = "The shelf is the folder `models` of OUT. `duet serve` offers it, and PCs fetch what they need by themselves.",
    error_code(1, "Something is wrong; one sentence on stderr says what and what to do.")
)]
pub struct ModelsArgs {
    #[argh(subcommand)]
    pub command: ModelsCommand,
}

#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(subcommand)]
pub enum ModelsCommand {
    List(ListArgs),
    Fetch(FetchArgs),
    Verify(VerifyArgs),
    Add(AddArgs),
    Remove(RemoveArgs),
    Slice(SliceArgs),
    Quantize(QuantizeArgs),
}

/// Show every model that is known or lies on the shelf, and the sets.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "list",
    example = "What is there, and what could be:\n  duet models list",
    example = "As JSON, with addresses and hashes:\n  duet models list --json"
)]
pub struct ListArgs {
    /// folder for everything that is made (default: out)
    #[argh(option, default = "PathBuf::from(\"out\")")]
    pub out: PathBuf,
    /// the list of models (default: models/manifest.toml of the checkout)
    #[argh(option, arg_name = "FILE")]
    pub manifest: Option<PathBuf>,
    /// print one JSON object
    #[argh(switch)]
    pub json: bool,
}

/// Bring models to the shelf: from the internet, a folder or a USB stick. It goes on where it stopped.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "fetch",
    example = "What suits three PCs of 2 GB:\n  duet models fetch --nodes 3 --memory 2",
    example = "The same set by its name, or a model by its own:\n  duet models fetch 3x2\n  duet models fetch Bonsai-4B-Q1_0",
    example = "A real ear, which hears open English:\n  duet models fetch ggml-tiny.en-q8_0",
    example = "From a folder, or from a mounted USB stick by its label:\n  duet models fetch 3x2 --from /srv/models\n  duet models fetch 3x2 --stick MODELS",
    note = "Every file is held to its length before the first byte and to its hash after the last.\nNo proxy is asked; behind one, fetch the files another way and use --from."
)]
pub struct FetchArgs {
    /// sets, or models with or without their ending
    #[argh(positional, arg_name = "set-or-model")]
    pub names: Vec<String>,
    /// folder for everything that is made (default: out)
    #[argh(option, default = "PathBuf::from(\"out\")")]
    pub out: PathBuf,
    /// how many PCs there are: with --memory, takes the set that suits them
    #[argh(option, arg_name = "N")]
    pub nodes: Option<u32>,
    /// memory of one PC in GiB: what no such PC can hold is refused before it is fetched
    #[argh(option, arg_name = "GIB")]
    pub memory: Option<u32>,
    /// take the files from this folder instead of the internet
    #[argh(option, arg_name = "DIR")]
    pub from: Option<PathBuf>,
    /// take the files from the mounted USB stick with this label
    #[argh(option, arg_name = "LABEL")]
    pub stick: Option<String>,
    /// accept this licence where a model asks for it; may be repeated
    #[argh(option, arg_name = "NAME")]
    pub accept_licence: Vec<String>,
    /// fetch it although no PC can hold it
    #[argh(switch)]
    pub anyway: bool,
    /// the list of models (default: models/manifest.toml of the checkout)
    #[argh(option, arg_name = "FILE")]
    pub manifest: Option<PathBuf>,
    /// print one JSON object on stdout; progress goes to stderr
    #[argh(switch)]
    pub json: bool,
}

/// Hold files of the shelf to their hashes.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "verify",
    example = "All of them:\n  duet models verify",
    error_code(1, "A file is not what it should be.")
)]
pub struct VerifyArgs {
    /// models with or without their ending (default: all that lie there)
    #[argh(positional, arg_name = "model")]
    pub names: Vec<String>,
    /// folder for everything that is made (default: out)
    #[argh(option, default = "PathBuf::from(\"out\")")]
    pub out: PathBuf,
    /// the list of models (default: models/manifest.toml of the checkout)
    #[argh(option, arg_name = "FILE")]
    pub manifest: Option<PathBuf>,
    /// print one JSON object
    #[argh(switch)]
    pub json: bool,
}

/// Put a model file of your own on the shelf.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "add",
    example = "A language model in GGUF, or whisper as ggml:\n  duet models add ~/Downloads/my-model-Q4_0.gguf",
    note = "What the file is for is read from the file. An expert of models/experts has to name a language model before PCs hold it."
)]
pub struct AddArgs {
    /// the file
    #[argh(positional)]
    pub file: PathBuf,
    /// what it is called on the shelf (default: as it is)
    #[argh(option)]
    pub name: Option<String>,
    /// folder for everything that is made (default: out)
    #[argh(option, default = "PathBuf::from(\"out\")")]
    pub out: PathBuf,
    /// the list of models (default: models/manifest.toml of the checkout)
    #[argh(option, arg_name = "FILE")]
    pub manifest: Option<PathBuf>,
}

/// Take models off the shelf, also half-fetched ones.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "remove",
    example = "It can be fetched again:\n  duet models remove Bonsai-8B-Q1_0"
)]
pub struct RemoveArgs {
    /// models with or without their ending
    #[argh(positional, arg_name = "model")]
    pub names: Vec<String>,
    /// folder for everything that is made (default: out)
    #[argh(option, default = "PathBuf::from(\"out\")")]
    pub out: PathBuf,
}

/// Cut a model by its layers, so that several nodes hold it together.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "slice",
    example = "Three slices of nearly one size:\n  $ duet models slice model.gguf --stages 3 --out slices",
    example = "Cut before layers 4 and 20:\n  $ duet models slice model.gguf --cuts 4,20 --out slices",
    note = "A slice is a model file that ends in a hash of itself; the order of layers is in its name.\nPCs cut models by themselves; this is for looking."
)]
pub struct SliceArgs {
    /// the model, a GGUF file
    #[argh(positional)]
    pub model: PathBuf,

    /// how many slices (default: 2)
    #[argh(option)]
    pub stages: Option<u64>,

    /// where each slice but the first begins, numbers with commas (default: evenly)
    #[argh(option)]
    pub cuts: Option<String>,

    /// the folder of the slices (default: the model's own)
    #[argh(option)]
    pub out: Option<PathBuf>,

    /// print JSON
    #[argh(switch)]
    pub json: bool,
}

/// Make a smaller model file of a larger one, with the program that PCs run.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "quantize",
    example = "Four bits a weight, and onto the shelf:\n  duet models quantize model-f16.gguf model-Q4_0.gguf Q4_0\n  duet models add model-Q4_0.gguf",
    note = "It runs the rpc-worker that `duet build` made, or the one beside this program. One bit a weight needs a model trained for it."
)]
pub struct QuantizeArgs {
    /// the model that is read, best of floats
    #[argh(positional)]
    pub input: PathBuf,
    /// the file that is written
    #[argh(positional)]
    pub output: PathBuf,
    /// what most weights become: Q4_0, Q4_K, Q8_0, TQ2_0 and others
    #[argh(positional)]
    pub kind: String,
    /// folder for everything that is made (default: out)
    #[argh(option, default = "PathBuf::from(\"out\")")]
    pub out: PathBuf,
    /// every matrix in that type, instead of some in a better one
    #[argh(switch)]
    pub pure: bool,
    /// threads (default: all of this machine)
    #[argh(option)]
    pub threads: Option<u32>,
}
