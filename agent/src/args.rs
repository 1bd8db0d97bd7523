//! The command line as data.

use admission::OverlayPublic;
use argh::FromArgs;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The voice of a node: status page, API, boot reports.
#[derive(FromArgs, Debug)]
#[argh(
    example = "agent serve\nagent status\nagent status --json\nagent transcribe clip.wav --model tiny.en-q8_0.bin\nagent say 'It is half past seven.' --out clip.wav",
    note = "The page is at http://ADDRESS:8000/, the same as JSON at /api/status."
)]
pub struct Args {
    /// print the version
    #[argh(switch)]
    pub version: bool,
    #[argh(subcommand)]
    pub command: Option<Command>,
}

#[derive(FromArgs, Debug)]
#[argh(subcommand)]
pub enum Command {
    Serve(Serve),
    Status(StatusArgs),
    Diag(Diag),
    Reached(Reached),
    Overlay(Overlay),
    Stick(Stick),
    Acts(Acts),
    Sandbox(Sandbox),
    Transcribe(Transcribe),
    MeasureHearing(MeasureHearing),
    Devices(Devices),
    Level(Level),
    Keys(Keys),
    Say(Say),
    Turn(Turn),
    Workflow(Workflow),
    Tools(Tools),
    MeasureRecall(MeasureRecall),
    MeasureCalls(MeasureCalls),
    MeasureRouting(MeasureRouting),
    Memory(Memory),
}

/// Serve the status page and report this boot to the boot servers.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "serve", example = "agent serve --listen 127.0.0.1:8000")]
pub struct Serve {
    /// address of the page (default 0.0.0.0:8000)
    #[argh(option, default = "SocketAddr::from(([0, 0, 0, 0], PORT))")]
    pub listen: SocketAddr,
    /// address of rpc-worker (default 127.0.0.1:8081)
    #[argh(option, default = "usual_worker()")]
    pub worker: SocketAddr,
    /// read the machine's files below this folder (default /)
    #[argh(option, default = "usual_root()")]
    pub root: PathBuf,
    /// the boot servers' port for calls home (default 7948)
    #[argh(option, default = "admission::ENROL_PORT")]
    pub enrol_port: u16,
    /// public key of the overlay, 64 hex digits, where no overlay runs
    #[argh(option, from_str_fn(overlay_key))]
    pub overlay_key: Option<OverlayPublic>,
    /// file with API keys, where no boot server gives them
    #[argh(option)]
    pub api_keys: Option<PathBuf>,
    /// folder with the experts' files (default /usr/share/duet/experts)
    #[argh(option, default = "PathBuf::from(\"/usr/share/duet/experts\")")]
    pub experts: PathBuf,
    /// folder with the models' files (default /var/lib/duet/models)
    #[argh(option, default = "PathBuf::from(\"/var/lib/duet/models\")")]
    pub models: PathBuf,
    /// HTTP://ADDRESS:PORT that answers all that is asked of models, instead of the cluster
    #[argh(option, from_str_fn(admission::server))]
    pub llm_url: Option<SocketAddr>,
    /// the same for what nobody in the cluster serves; may be given several times
    #[argh(option, from_str_fn(admission::server))]
    pub llm_last_resort: Vec<SocketAddr>,
    /// memory that a stock llama.cpp client may have here, whatever the cluster says (16 to 1048576)
    #[argh(option)]
    pub rpc_memory_mib: Option<u32>,
    /// name of an API key that may have it; may be given several times
    #[argh(option)]
    pub rpc_key: Vec<String>,
    /// folder for what this home remembers (default: memory in the folder that systemd gives)
    #[argh(option)]
    pub memory: Option<PathBuf>,
    /// part that this node plays: edge, mid, core, or auto, which measures it
    #[argh(option, from_str_fn(tier_word))]
    pub tier: Option<TierWord>,
    /// where calls of tools run: local, remote, split or auto, whatever the cluster says
    #[argh(option)]
    pub tools: Option<admission::ToolMode>,
    /// HTTP://ADDRESS:PORT of the node that runs tools for this one
    #[argh(option, from_str_fn(admission::server))]
    pub tools_url: Option<SocketAddr>,
    /// file with the key for its door
    #[argh(option)]
    pub tools_key_file: Option<PathBuf>,
    /// where questions to models go: local, remote or auto
    #[argh(option, from_str_fn(crate::tier::llm))]
    pub llm: Option<crate::tier::Llm>,
    /// ADDRESS:PORT where Home Assistant finds ear, mouth and mind by Wyoming, whatever the cluster says
    #[argh(option)]
    pub wyoming: Option<SocketAddr>,
    /// whoever reads the page needs a key, whatever the cluster says
    #[argh(switch)]
    pub closed: bool,
}

/// Print the status of this node.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "status", example = "agent status --json")]
pub struct StatusArgs {
    /// one JSON object, as /api/status
    #[argh(switch)]
    pub json: bool,
    /// address of rpc-worker (default 127.0.0.1:8081)
    #[argh(option, default = "usual_worker()")]
    pub worker: SocketAddr,
    /// read the machine's files below this folder (default /)
    #[argh(option, default = "usual_root()")]
    pub root: PathBuf,
}

/// Find out on a serial line or a screen what this PC has and what is wrong with it.
#[derive(FromArgs, Debug)]
#[argh(
    subcommand,
    name = "diag",
    example = "agent diag </dev/ttyS0 >/dev/ttyS0",
    note = "It ends with 75 where the PC is to start anew and with 76 where a root shell is wanted: diag@.service does both."
)]
pub struct Diag {
    /// folder with the agent's socket (default /run/duet-talk)
    #[argh(option, default = "PathBuf::from(\"/run/duet-talk\")")]
    pub agent: PathBuf,
}

/// Note that multi-user is reached; duet-reached.service runs this once per boot.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "reached", example = "agent reached")]
pub struct Reached {
    /// write below this folder (default /)
    #[argh(option, default = "usual_root()")]
    pub root: PathBuf,
}

/// Set up WireGuard as the agent wishes; duet-overlay.service runs this with the right to change the network.
#[derive(FromArgs, Debug)]
#[argh(
    subcommand,
    name = "overlay",
    example = "agent overlay",
    note = "It writes public.key, state.json and address to run/duet-overlay."
)]
pub struct Overlay {
    /// file with the wished address and peers (default /run/duet-agent/overlay.json)
    #[argh(option, default = "PathBuf::from(\"/run/duet-agent/overlay.json\")")]
    pub wish: PathBuf,
    /// write below this folder (default /)
    #[argh(option, default = "usual_root()")]
    pub root: PathBuf,
}

/// Sign a call home with the owner's stick, if one is in this PC; duet-stick@.service runs this with the right to read
/// sticks. The question comes on standard input, the proof goes to standard output.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "stick", example = "agent stick <question >proof")]
pub struct Stick {
    /// read the machine's files below this folder (default /)
    #[argh(option, default = "usual_root()")]
    pub root: PathBuf,
}

/// Switch this PC off or start a program of it anew, if the agent says so; duet-acts@.service runs this. The wish comes on
/// a socket as standard input, and the answer goes back there.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "acts", example = "agent acts")]
pub struct Acts {
    /// run systemctl below this folder (default /)
    #[argh(option, default = "usual_root()")]
    pub root: PathBuf,
}

/// Run a few lines of shell or Python behind bars; duet-sandbox@.service runs this for each wish of the agent, as a user
/// without any right. The wish comes on standard input, how it ended goes to standard output.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "sandbox", example = "agent sandbox <wish >answer")]
pub struct Sandbox {
    /// folder that the code may write to (default /run/duet/workspace)
    #[argh(option, default = "PathBuf::from(crate::tools::sandbox::WORKSPACE)")]
    pub workspace: PathBuf,
}

/// Check workflows, or run one.
#[derive(FromArgs, Debug)]
#[argh(
    subcommand,
    name = "workflow",
    example = "agent workflow check my.yaml\nagent workflow run my.yaml --text 'Why is the sky blue?' --llm-url http://10.0.0.7:8081",
    note = "A workflow may use the personas of the program and those of etc/duet-agent/personas below --root."
)]
pub struct Workflow {
    /// check, or run
    #[argh(positional)]
    pub what: String,
    #[argh(positional)]
    pub files: Vec<PathBuf>,
    /// what the person says, for run
    #[argh(option, default = "String::new()")]
    pub text: String,
    /// HTTP://ADDRESS:PORT that answers what is asked of models
    #[argh(option, from_str_fn(admission::server))]
    pub llm_url: Option<SocketAddr>,
    /// one JSON object with all steps
    #[argh(switch)]
    pub json: bool,
    /// read the machine's files below this folder (default /)
    #[argh(option, default = "usual_root()")]
    pub root: PathBuf,
}

/// List the tools of this node, run one, or show which calls there were.
#[derive(FromArgs, Debug)]
#[argh(
    subcommand,
    name = "tools",
    example = "agent tools list\nagent tools run calculator '{{\"sum\": \"19.99 * 3\"}}'\nagent tools audit",
    note = "run asks the agent that runs on this PC, with an API key for the voice in DUET_API_KEY or in a file; where none runs, or with --alone, it runs the tool by itself.\nWhat the owner says of tools is in etc/duet-agent/tools.toml below --root. A tool that needs a person's yes asks at the terminal."
)]
pub struct Tools {
    /// list, run or audit
    #[argh(positional)]
    pub what: String,
    /// for run: the tool, and its arguments as one JSON object
    #[argh(positional)]
    pub call: Vec<String>,
    /// as JSON
    #[argh(switch)]
    pub json: bool,
    /// HTTP://ADDRESS:PORT of the agent (default http://127.0.0.1:8000)
    #[argh(option, from_str_fn(admission::server), default = "usual_agent()")]
    pub agent: SocketAddr,
    /// file with the API key
    #[argh(option)]
    pub key_file: Option<PathBuf>,
    /// ask no agent
    #[argh(switch)]
    pub alone: bool,
    /// folder with the book of calls, where it is not the agent's own
    #[argh(option)]
    pub folder: Option<PathBuf>,
    /// read the machine's files below this folder (default /)
    #[argh(option, default = "usual_root()")]
    pub root: PathBuf,
}

/// Have a model call a tool for each sentence of a file, and print how often the call was exactly right, as JSON.
#[derive(FromArgs, Debug)]
#[argh(
    subcommand,
    name = "measure-calls",
    example = "agent measure-calls held-out.jsonl --llm-url http://10.0.0.7:8081",
    note = "A line of the file is an object: `said`, and `call` with `tool` and `arguments`. No tool is run."
)]
pub struct MeasureCalls {
    #[argh(positional)]
    pub file: PathBuf,
    /// HTTP://ADDRESS:PORT of a server with the model
    #[argh(option, from_str_fn(admission::server))]
    pub llm_url: SocketAddr,
    /// name there of the model (default auto)
    #[argh(option)]
    pub model: Option<String>,
}

/// Choose an expert for each sentence of a file in every way there is, and print how often each way was right, as JSON.
#[derive(FromArgs, Debug)]
#[argh(
    subcommand,
    name = "measure-routing",
    example = "agent measure-routing sentences.tsv --llm-url http://10.0.0.7:8081",
    note = "A line of the file is an expert, a tab and a sentence. Without --llm-url only words are measured."
)]
pub struct MeasureRouting {
    #[argh(positional)]
    pub file: PathBuf,
    /// sentences that the ways were made with; they are measured beside
    #[argh(option)]
    pub tuned: Option<PathBuf>,
    /// HTTP://ADDRESS:PORT of a server with a small model, with one for vectors, or with both
    #[argh(option, from_str_fn(admission::server))]
    pub llm_url: Option<SocketAddr>,
    /// name there of the model that chooses (default auto)
    #[argh(option)]
    pub model: Option<String>,
    /// name there of the model that makes vectors (default auto)
    #[argh(option)]
    pub embeddings: Option<String>,
}

/// Measure how often a question in other words finds its fact; prints one JSON object.
#[derive(FromArgs, Debug)]
#[argh(
    subcommand,
    name = "measure-recall",
    example = "agent measure-recall questions.tsv --llm-url http://10.0.0.7:8081 --embeddings minilm",
    note = "A line of the file is a language, a fact and a question, with tabs between. Without --llm-url only words are measured."
)]
pub struct MeasureRecall {
    #[argh(positional)]
    pub file: PathBuf,
    /// HTTP://ADDRESS:PORT of a server with a model that makes vectors
    #[argh(option, from_str_fn(admission::server))]
    pub llm_url: Option<SocketAddr>,
    /// name there of that model (default auto)
    #[argh(option)]
    pub embeddings: Option<String>,
}

/// Print the words of WAV files.
#[derive(FromArgs, Debug)]
#[argh(
    subcommand,
    name = "transcribe",
    example = "agent transcribe clip.wav --model tiny.en-q8_0.bin\nagent say 'It is half past seven.' --out clip.wav\narecord -d 5 -r 16000 -f S16_LE | agent transcribe - --model tiny.en-q8_0.bin",
    note = "Files hold 16-bit PCM, one or two channels, 8 to 48 kHz, at most ten minutes; - is standard input.\nDUET_KERNELS says whose kernels run where --kernels does not."
)]
pub struct Transcribe {
    #[argh(positional)]
    pub files: Vec<PathBuf>,
    /// model file in whisper.cpp's format
    #[argh(option)]
    pub model: PathBuf,
    /// language, for a model that knows several (default en)
    #[argh(option, default = "\"en\".into()")]
    pub language: String,
    /// threads (default 1)
    #[argh(option, default = "1")]
    pub threads: usize,
    /// places of the encoder, 50 a second (default: by the length of the clip)
    #[argh(option)]
    pub audio_ctx: Option<usize>,
    /// a name that is likelier here than elsewhere; may be given several times
    #[argh(option)]
    pub hot_word: Vec<String>,
    /// exactly so many tokens, whatever they say; for measuring
    #[argh(option)]
    pub tokens: Option<usize>,
    /// ours, stock (ggml's own), or ours of one instruction set: sse2, ssse3, sse41, avx2
    #[argh(option)]
    pub kernels: Option<String>,
    /// ours, or whisper (whisper.cpp's own way through the model)
    #[argh(option, default = "\"ours\".into()")]
    pub steps: String,
    /// one JSON object
    #[argh(switch)]
    pub json: bool,
}

/// Hear one clip again and again, by turns with ggml's own kernels and with ours, and print the times as JSON.
#[derive(FromArgs, Debug)]
#[argh(
    subcommand,
    name = "measure-hearing",
    example = "agent measure-hearing clip.wav --model tiny.en-q8_0.bin --kernels ssse3"
)]
pub struct MeasureHearing {
    #[argh(positional)]
    pub file: PathBuf,
    /// model file in whisper.cpp's format
    #[argh(option)]
    pub model: PathBuf,
    /// threads (default 1)
    #[argh(option, default = "1")]
    pub threads: usize,
    /// places of the encoder, 50 a second (default: by the length of the clip)
    #[argh(option)]
    pub audio_ctx: Option<usize>,
    /// exactly so many tokens, whatever they say
    #[argh(option)]
    pub tokens: Option<usize>,
    /// times that each side hears the clip (default 5)
    #[argh(option, default = "5")]
    pub rounds: usize,
    /// leave out whisper.cpp's own way, which hears with the encoder too
    #[argh(switch)]
    pub encoder_only: bool,
    /// our side: ours, or one instruction set: sse2, ssse3, sse41, avx2
    #[argh(option)]
    pub kernels: Option<String>,
}

/// Print the sound devices of this PC, what each can do, and which are taken where the owner names none.
#[derive(FromArgs, Debug)]
#[argh(
    subcommand,
    name = "devices",
    example = "agent devices --json",
    note = "In duet.toml, microphone and speaker under [voice] choose one: by the name in the first column,\nor by part of what the card is called."
)]
pub struct Devices {
    /// one JSON object
    #[argh(switch)]
    pub json: bool,
    /// read the machine's files below this folder (default /)
    #[argh(option, default = "usual_root()")]
    pub root: PathBuf,
}

/// Print each key that is pressed, on any keyboard, pedal or button, by the name that duet.toml wants.
#[derive(FromArgs, Debug)]
#[argh(
    subcommand,
    name = "keys",
    example = "agent keys --seconds 5",
    note = "In duet.toml, keys under [voice] says which of them open the ear."
)]
pub struct Keys {
    /// how long (default 30)
    #[argh(option, default = "30")]
    pub seconds: u16,
    /// read the machine's files below this folder (default /)
    #[argh(option, default = "usual_root()")]
    pub root: PathBuf,
}

/// Show how loud the microphone hears, and say whether that is good for speech.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "level", example = "agent level --microphone \"USB PnP\" --seconds 5")]
pub struct Level {
    /// a name of agent devices, or part of what the card is called (default: the first that can record)
    #[argh(option)]
    pub microphone: Option<String>,
    /// how long (default 10)
    #[argh(option, default = "10")]
    pub seconds: u16,
    /// read the machine's files below this folder (default /)
    #[argh(option, default = "usual_root()")]
    pub root: PathBuf,
}

/// Speak a text into a WAV file, as answers are spoken.
#[derive(FromArgs, Debug)]
#[argh(
    subcommand,
    name = "say",
    example = "agent say 'Es ist halb acht.' --language de --out clip.wav",
    note = "What is written is made speakable first: units, times, links, code.\nA voice is one of espeak's, such as en-us or en+f3; a language is one that agent/speech knows or any of espeak's."
)]
pub struct Say {
    #[argh(positional)]
    pub text: String,
    /// the WAV file, or - for standard output
    #[argh(option)]
    pub out: PathBuf,
    /// language of the text (default en)
    #[argh(option, default = "\"en\".into()")]
    pub language: String,
    /// voice, where it is not the language's own
    #[argh(option)]
    pub voice: Option<String>,
    /// words a minute, 80 to 450 (default 165)
    #[argh(option, default = "165")]
    pub rate: u16,
    /// height of the voice, 0 to 99 (default 50)
    #[argh(option, default = "50")]
    pub pitch: u8,
    /// one JSON object
    #[argh(switch)]
    pub json: bool,
}

/// Play one whole turn from files: a clip is heard while the key is held, answered and spoken.
#[derive(FromArgs, Debug)]
#[argh(
    subcommand,
    name = "turn",
    example = "agent turn --wav ask.wav --model tiny.en-q8_0.bin --out answer.wav",
    note = "The clock is that of the clips and stands still while somebody works; what that took is told beside it.\nIntents are answered without a model; for all else name --llm-url or --answer-file."
)]
pub struct Turn {
    /// WAV file that is spoken into the microphone
    #[argh(option)]
    pub wav: PathBuf,
    /// model that hears, in whisper.cpp's format
    #[argh(option)]
    pub model: PathBuf,
    /// WAV file for what the speaker plays
    #[argh(option)]
    pub out: Option<PathBuf>,
    /// HTTP://ADDRESS:PORT of a server with the OpenAI API
    #[argh(option, from_str_fn(admission::server))]
    pub llm_url: Option<SocketAddr>,
    /// file whose text is the model's answer
    #[argh(option)]
    pub answer_file: Option<PathBuf>,
    /// language (default en)
    #[argh(option, default = "\"en\".into()")]
    pub language: String,
    /// how long the key is held after the clip, in milliseconds (default 400)
    #[argh(option, default = "400")]
    pub hold_ms: u64,
    /// hear only when the key comes up
    #[argh(switch)]
    pub no_guess: bool,
    /// take this for what was heard, whatever it was; for measuring
    #[argh(option)]
    pub said: Option<String>,
    /// exactly so many tokens are heard; for measuring
    #[argh(option)]
    pub tokens: Option<usize>,
    /// places of the encoder, 50 a second (default: by the length of the sound)
    #[argh(option)]
    pub audio_ctx: Option<usize>,
    /// ours, stock (ggml's own), or ours of one instruction set: sse2, ssse3, sse41, avx2
    #[argh(option)]
    pub kernels: Option<String>,
    /// one JSON object
    #[argh(switch)]
    pub json: bool,
}

/// See and change what this home remembers, as the agent that runs here knows it.
#[derive(FromArgs, Debug)]
#[argh(
    subcommand,
    name = "memory",
    example = "agent memory search 'when is the bin collected'\nagent memory save memory.jsonl",
    note = "It needs an API key for the voice, in DUET_API_KEY or in a file."
)]
pub struct Memory {
    /// HTTP://ADDRESS:PORT of the node (default http://127.0.0.1:8000)
    #[argh(option, from_str_fn(admission::server), default = "usual_agent()")]
    pub agent: SocketAddr,
    /// file with the API key
    #[argh(option)]
    pub key_file: Option<PathBuf>,
    #[argh(subcommand)]
    pub deed: MemoryDeed,
}

#[derive(FromArgs, Debug)]
#[argh(subcommand)]
pub enum MemoryDeed {
    List(MemoryList),
    Search(MemorySearch),
    Remember(MemoryRemember),
    Forget(MemoryForget),
    Save(MemorySave),
    Load(MemoryLoad),
    Bench(MemoryBench),
}

/// Print the newest facts.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "list")]
pub struct MemoryList {}

/// Print the facts that a question is about.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "search")]
pub struct MemorySearch {
    #[argh(positional)]
    pub text: String,
}

/// Remember a fact.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "remember")]
pub struct MemoryRemember {
    #[argh(positional)]
    pub text: String,
}

/// Forget a fact on all nodes.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "forget")]
pub struct MemoryForget {
    /// as `list` and `search` print it
    #[argh(positional)]
    pub id: String,
}

/// Write all facts to a file.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "save")]
pub struct MemorySave {
    #[argh(positional)]
    pub file: PathBuf,
}

/// Add the facts of a file that was saved.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "load")]
pub struct MemoryLoad {
    #[argh(positional)]
    pub file: PathBuf,
}

/// Measure a memory of its own, filled with facts of no meaning; needs no agent and changes none.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "bench", example = "agent memory bench --vectors")]
pub struct MemoryBench {
    /// facts (default 100000)
    #[argh(option, default = "100_000")]
    pub facts: usize,
    /// give each fact a vector too, and search them
    #[argh(switch)]
    pub vectors: bool,
    /// numbers of each vector (default 384)
    #[argh(option, default = "384")]
    pub dimensions: usize,
    /// where its folder is made (default: the one for temporary files)
    #[argh(option)]
    pub folder: Option<PathBuf>,
    /// print one JSON object
    #[argh(switch)]
    pub json: bool,
}

/// Where the page is.
pub const PORT: u16 = 8000;

/// A tier, or none for `auto`.
#[derive(Clone, Copy, Debug)]
pub struct TierWord(pub Option<cluster::Tier>);

fn tier_word(text: &str) -> Result<TierWord, String> {
    crate::tier::tier(text).map(TierWord)
}

fn overlay_key(text: &str) -> Result<OverlayPublic, String> {
    OverlayPublic::parse(text).ok_or_else(|| "--overlay-key is 64 small hex digits".into())
}

pub fn usual_worker() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8081))
}

fn usual_agent() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], PORT))
}

pub fn usual_root() -> PathBuf {
    PathBuf::from("/")
}
