//! The command line as data.

use crate::choice::{self, Choice};
use crate::expert::wishes::Sources;
use argh::FromArgs;
use engine::kernels::Way;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Lends this node's memory and cores to the language model.
#[derive(FromArgs, Debug)]
#[argh(
    example = "rpc-worker\nrpc-worker --listen 127.0.0.1:18081\ncurl http://127.0.0.1:8081/health\nrpc-worker generate MODEL.gguf --prompt 'Once upon a time'",
    example = "The same bits at every start:\n  rpc-worker --way tables",
    example = "One model, by hand:\n  rpc-worker --model MODEL.gguf\n  curl http://127.0.0.1:8081/v1/chat/completions -d '{{\"model\":\"local\",\"messages\":[{{\"role\":\"user\",\"content\":\"Hello\"}}]}}'",
    note = "Without a command it serves: GET /health answers with build, uptime, kernels, memory and experts as JSON, /metrics for Prometheus, and /v1 speaks the OpenAI API for the experts that this node was given."
)]
pub struct Args {
    /// print the version
    #[argh(switch)]
    pub version: bool,
    /// address to listen on (default 127.0.0.1:8081)
    #[argh(option, default = "SocketAddr::from(([127, 0, 0, 1], 8081))")]
    pub listen: SocketAddr,
    /// how weights of Q1_0 meet one column: tables, direct (default: the faster one, found at every start; they round
    /// differently)
    #[argh(option, from_str_fn(choice::way_named))]
    pub way: Option<Way>,
    /// file with the node's overlay address, where it listens too (default /run/duet-overlay/address)
    #[argh(option, default = "PathBuf::from(\"/run/duet-overlay/address\")")]
    pub overlay: PathBuf,
    /// file that says what this node is to hold (default /run/duet-agent/assignment.json); before there is one, the
    /// smallest chat model is served as local
    #[argh(option, default = "PathBuf::from(\"/run/duet-agent/assignment.json\")")]
    pub assignment: PathBuf,
    /// folder of the models (default /var/lib/duet/models)
    #[argh(option, default = "PathBuf::from(\"/var/lib/duet/models\")")]
    pub models: PathBuf,
    /// serve this expert, whatever the node is to hold
    #[argh(option)]
    pub expert: Option<PathBuf>,
    /// serve this model, as the expert local or as the one of --expert
    #[argh(option)]
    pub model: Option<PathBuf>,
    /// folder where the beginning of all conversations is kept, so that the next start need not read it
    #[argh(option)]
    pub warm: Option<PathBuf>,
    /// address where other nodes' stages of a cut model come, once this node has a part in one (default
    /// 127.0.0.1:50052)
    #[argh(option, default = "SocketAddr::from(([127, 0, 0, 1], 50052))")]
    pub stages: SocketAddr,
    /// file that allows stock llama.cpp clients some memory here (default /run/duet-agent/stock.json); without it there
    /// is nothing for them
    #[argh(option, default = "PathBuf::from(\"/run/duet-agent/stock.json\")")]
    pub stock: PathBuf,
    /// threads of each model (default: one for each core)
    #[argh(option)]
    pub threads: Option<u32>,
    #[argh(subcommand)]
    pub command: Option<Command>,
}

impl Args {
    /// Where the wishes for experts come from.
    pub fn sources(&self) -> Sources {
        let Args { assignment, models, expert, model, .. } = self;
        let (assignment, models) = (assignment.clone(), models.clone());
        Sources { assignment, models, expert: expert.clone(), model: model.clone() }
    }
}

#[derive(FromArgs, Debug)]
#[argh(subcommand)]
pub enum Command {
    Generate(Generate),
    Kernels(Kernels),
    Measure(Measure),
    Probe(Probe),
    Quantise(Quantise),
    Stage(StageArgs),
    StockChild(StockChild),
}

/// Writes text that follows a prompt, token by token.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "generate")]
pub struct Generate {
    /// the model, a GGUF file
    #[argh(positional)]
    pub model: PathBuf,
    /// the text that is gone on with
    #[argh(option)]
    pub prompt: String,
    /// at most so many tokens (default 64)
    #[argh(option, default = "64")]
    pub tokens: u32,
    /// at 0 the likeliest token each time (default), at 1 as the model says
    #[argh(option, default = "0.0")]
    pub temperature: f32,
    /// seed of the dice (default 0)
    #[argh(option, default = "0")]
    pub seed: u32,
    /// file with a GBNF grammar that the text must follow
    #[argh(option)]
    pub grammar: Option<PathBuf>,
    /// end before this text; may be given several times
    #[argh(option)]
    pub stop: Vec<String>,
    /// whose kernels: ours, stock, or a level: sse2, ssse3, sse41, avx2 (default: DUET_KERNELS, else ours)
    #[argh(option)]
    pub kernels: Option<Choice>,
    /// threads (default 1)
    #[argh(option, default = "1")]
    pub threads: u32,
    /// the model is a first slice, and this is a slice behind it; to be given for each, in their order. All work in this
    /// process, one after the other
    #[argh(option)]
    pub then: Vec<PathBuf>,
    /// the model is the first slice of a ring, whose next stage is at this address
    #[argh(option)]
    pub ring: Option<SocketAddr>,
    /// where the last stage of the ring comes back
    #[argh(option)]
    pub ring_listen: Option<SocketAddr>,
    /// stages of the ring (default 2)
    #[argh(option, default = "2")]
    pub ring_stages: u16,
    /// the ring's key, 32 hex digits (default zeros)
    #[argh(option, default = "\"0\".repeat(32)")]
    pub ring_key: String,
    /// positions of each sequence of the ring (default 512)
    #[argh(option, default = "512")]
    pub ring_context: u32,
    /// sequences of the ring at once (default 1)
    #[argh(option, default = "1")]
    pub ring_slots: u16,
    /// model that goes on where the ring is lost
    #[argh(option)]
    pub ring_fallback: Option<PathBuf>,
    /// tokens of the prompt that are read at a time (default 512); a ring reads 64
    #[argh(option, default = "512")]
    pub batch: u32,
    /// say on standard error when each token came
    #[argh(switch)]
    pub events: bool,
    /// say on standard error a hash of all logits at each token; in a ring the last stage says it
    #[argh(switch)]
    pub logits: bool,
}

/// Computes one slice of a model for a ring of stages, by hand.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "stage")]
pub struct StageArgs {
    /// the slice, as `duet models slice` writes it
    #[argh(positional)]
    pub slice: PathBuf,
    /// which stage this is, from 1; 0 is the head (rpc-worker generate --ring)
    #[argh(option)]
    pub stage: u16,
    /// stages of the ring (default 2)
    #[argh(option, default = "2")]
    pub stages: u16,
    /// where the stage before comes
    #[argh(option)]
    pub listen: SocketAddr,
    /// where the next stage is; the head, for the last one
    #[argh(option)]
    pub next: SocketAddr,
    /// the ring's key, 32 hex digits (default zeros)
    #[argh(option, default = "\"0\".repeat(32)")]
    pub key: String,
    /// positions of each sequence (default 512)
    #[argh(option, default = "512")]
    pub context: u32,
    /// sequences at once (default 1)
    #[argh(option, default = "1")]
    pub slots: u16,
    /// threads (default 1)
    #[argh(option, default = "1")]
    pub threads: u32,
    /// say on standard error a hash of all logits at each token, if this is the last stage
    #[argh(switch)]
    pub logits: bool,
}

/// Measures ggml's own kernels against ours in one run, a round of each in turn.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "measure")]
pub struct Measure {
    /// the model, a GGUF file
    #[argh(positional)]
    pub model: PathBuf,
    /// tokens of the prompt (default 32)
    #[argh(option, default = "32")]
    pub prompt: u32,
    /// tokens decoded one by one after it (default 8)
    #[argh(option, default = "8")]
    pub decode: u32,
    /// threads, one or several numbers with commas (default 1)
    #[argh(option, default = "String::from(\"1\")")]
    pub threads: String,
    /// rounds of each (default 5); their median counts
    #[argh(option, default = "5")]
    pub rounds: u32,
    /// level of our kernels: sse2, ssse3, sse41, avx2 (default: the processor's best)
    #[argh(option)]
    pub kernels: Option<Choice>,
    /// print one JSON object
    #[argh(switch)]
    pub json: bool,
}

/// Measures every kernel alone: ggml's own, ours, and what the machine could do at best.
#[derive(FromArgs, Debug)]
#[argh(
    subcommand,
    name = "kernels",
    example = "rpc-worker kernels\nrpc-worker kernels --level ssse3 --threads 2 --json"
)]
pub struct Kernels {
    /// level of our kernels: sse2, ssse3, sse41, avx2 (default: the processor's best)
    #[argh(option)]
    pub level: Option<String>,
    /// threads (default 1)
    #[argh(option, default = "1")]
    pub threads: usize,
    /// seconds for each row (default 0.5)
    #[argh(option, default = "0.5")]
    pub seconds: f64,
    /// only what the machine could do at best
    #[argh(switch)]
    pub machine: bool,
    /// print one JSON object
    #[argh(switch)]
    pub json: bool,
}

/// Makes a smaller model file of a larger one.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "quantize")]
pub struct Quantise {
    /// the model that is read, best of floats; one of TQ1_0 becomes TQ2_0 without loss
    #[argh(positional)]
    pub input: PathBuf,
    /// the file that is written
    #[argh(positional)]
    pub output: PathBuf,
    /// what most weights become: Q4_K, Q8_0, TQ2_0, ...
    #[argh(positional)]
    pub kind: String,
    /// every matrix in that type, instead of some in a better one
    #[argh(switch)]
    pub pure: bool,
    /// threads (default 1)
    #[argh(option, default = "1")]
    pub threads: u32,
}

/// Lets a child of this program try a model, and says what it died of if it does.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "probe")]
pub struct Probe {
    /// the model, a GGUF file
    #[argh(positional)]
    pub model: PathBuf,
}

/// Serves one stock llama.cpp client on standard input, which is a socket; rpc-worker starts this by itself.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "stock-child")]
pub struct StockChild {
    /// memory that the client may have
    #[argh(option)]
    pub memory_mib: u32,
    /// threads
    #[argh(option)]
    pub threads: u32,
}
