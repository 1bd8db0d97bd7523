//! The face of whisper.cpp: a checked model, and a clip's way through it.
//!
//! The steps are taken one by one instead of by whisper.cpp's `full`: each can be timed and stopped in between, the
//! picture is our own, and no step works for silence that nobody hears. `Steps::Whisper` is `full`, for comparison.
//! Flash attention stays off: ggml 0.9.5 does it in plain C, for 49 % more instructions, and it hears up to 255 places
//! behind a short encoder that are not there, which breaks short clips with the small model of our own.

use super::hot::HotWords;
use super::mel::{HOP, Mel};
use super::window::Rule;
use super::words::{self, End, Tokens};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use std::fmt;
use std::fs::File;
use std::io::BufReader;
use std::os::fd::AsRawFd;
use std::path::Path;
use voice::whisper::{self, Model, ModelError};
use whisper_rs::{
    FullParams, SamplingStrategy, WhisperContext, WhisperContextParameters, WhisperError, WhisperState,
};

/// The shortest sound that whisper.cpp takes at all: ten columns.
const LEAST: usize = 9 * HOP + 200;
/// Below this a text is doubted (whisper's own default).
const LOGPROB_LEAST: f32 = -1.0;
/// Above this, and with a doubted text, nobody spoke (whisper's own default).
const NO_SPEECH_MOST: f32 = 0.6;
/// Nobody says more tokens a second; one that reads numbers comes near.
const TOKENS_A_SECOND: f32 = 12.0;
const TOKENS_LEAST: usize = 16;

/// Who walks a clip through the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Steps {
    Ours,
    /// whisper.cpp's `full`, with its own picture of the sound.
    Whisper,
}

#[derive(Debug, Clone)]
pub struct Options {
    pub language: String,
    pub threads: usize,
    /// Places of the encoder; chosen by the clip's length when absent.
    pub audio_ctx: Option<usize>,
    /// Exactly so many tokens, whatever they say: for measuring.
    pub n_tokens: Option<usize>,
    pub steps: Steps,
}

#[derive(Debug)]
pub enum HearError {
    Model(ModelError),
    /// whisper.cpp refused what the check had let pass, or ran out of memory.
    Whisper(WhisperError),
    Language(String),
    AudioCtx {
        asked: usize,
        max: usize,
    },
    Aborted,
}

impl fmt::Display for HearError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            HearError::Model(error) => error.fmt(f),
            HearError::Whisper(error) => write!(f, "whisper.cpp failed: {error}"),
            HearError::Language(name) => write!(f, "whisper knows no language {name:?}"),
            HearError::AudioCtx { asked, max } => {
                write!(f, "the encoder of this model takes 1 to {max} places, not {asked}")
            }
            HearError::Aborted => f.write_str("hearing was stopped"),
        }
    }
}

impl std::error::Error for HearError {}

impl From<ModelError> for HearError {
    fn from(error: ModelError) -> Self {
        HearError::Model(error)
    }
}

impl From<WhisperError> for HearError {
    fn from(error: WhisperError) -> Self {
        HearError::Whisper(error)
    }
}

/// What was heard.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Heard {
    pub text: String,
    pub n_tokens: usize,
    /// Mean logarithm of the tokens' likelihoods; 0 with whisper.cpp's own steps.
    pub logprob: f32,
    /// Places of the encoder that were used at last.
    pub audio_ctx: usize,
    /// A text was doubted: a longer encoder heard the sound again, or there was none longer.
    pub was_doubted: bool,
    pub mel: Span,
    pub encode: Span,
    pub decode: Span,
    pub whole: Span,
}

/// Time that passed, and time that processors worked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Span {
    pub wall_s: f64,
    pub cpu_s: f64,
}

impl Span {
    /// Runs a step and adds what it took.
    pub fn add<T>(&mut self, step: impl FnOnce() -> T) -> T {
        let now = || [ClockId::Monotonic, ClockId::ProcessCPUTime].map(clock_gettime);
        let seconds = |from: rustix::time::Timespec, to: rustix::time::Timespec| {
            (to.tv_sec - from.tv_sec) as f64 + (to.tv_nsec - from.tv_nsec) as f64 * 1e-9
        };
        let before = now();
        let result = step();
        let after = now();
        self.wall_s += seconds(before[0], after[0]);
        self.cpu_s += seconds(before[1], after[1]);
        result
    }
}

/// A model that is ready to hear.
pub struct Ear {
    state: WhisperState,
    context: WhisperContext,
    model: Model,
    tokens: Tokens,
    mel: Mel,
    rule: Rule,
    hot: HotWords,
    /// What whisper.cpp was told last.
    audio_ctx: Option<usize>,
}

impl Ear {
    /// Checks a model file and loads it.
    pub fn open(path: &Path) -> Result<Ear, HearError> {
        whisper_rs::install_logging_hooks();
        let file = File::open(path).map_err(ModelError::Io)?;
        let bytes = file.metadata().map_err(ModelError::Io)?.len();
        let model = whisper::check(BufReader::new(&file), bytes)?;
        // By its descriptor: what is loaded is the file that was checked, even if another now has its name.
        let checked = format!("/proc/self/fd/{}", file.as_raw_fd());
        let mut parameters = WhisperContextParameters::new();
        parameters.use_gpu(false).flash_attn(false);
        let context = WhisperContext::new_with_params(checked, parameters)?;
        let state = context.create_state()?;
        let (tokens, mel) = (Tokens::of(&model.shape), Mel::new(&model.filters));
        let rule = Rule::of(&model.shape);
        Ok(Ear { state, context, model, tokens, mel, rule, hot: HotWords::default(), audio_ctx: None })
    }

    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Names that are likelier here than elsewhere, from now on.
    pub fn set_hot_words(&mut self, words: &[String]) {
        let spell = |word: &str| {
            // More tokens than room would be read behind the room's end by the binding; a token has a byte at least.
            self.context.tokenize(word, word.len() + 1).unwrap_or_default()
        };
        self.hot = HotWords::new(words, spell);
    }

    /// The words of a clip at 16 kHz, piece by piece. `stop` is asked between the steps.
    pub fn hear(&mut self, sound: &[f32], options: &Options, stop: Asked) -> Result<Heard, HearError> {
        let n_max = self.model.shape.n_audio_ctx as usize;
        if let Some(asked) = options.audio_ctx.filter(|asked| !(1..=n_max).contains(asked)) {
            return Err(HearError::AudioCtx { asked, max: n_max });
        }
        let prompt = self.tokens.prompt(self.language(&options.language)?);
        let mut whole = Span::default();
        let heard = whole.add(|| match options.steps {
            Steps::Whisper => self.full(sound, options),
            Steps::Ours => self.pieces(sound, options, &prompt, stop),
        })?;
        Ok(Heard { whole, text: heard.text.trim().to_string(), ..heard })
    }

    /// The languages that the model understands, by whisper's names.
    pub fn languages(&self) -> Vec<String> {
        let name = |number| i32::try_from(number).ok().and_then(whisper_rs::get_lang_str);
        (0..self.tokens.n_languages()).filter_map(name).map(str::to_owned).collect()
    }

    fn language(&self, name: &str) -> Result<usize, HearError> {
        let plain = Some(name).filter(|name| !name.contains('\0'));
        let language =
            plain.and_then(whisper_rs::get_lang_id).and_then(|number| usize::try_from(number).ok());
        let known = language.filter(|number| *number < self.tokens.n_languages());
        known.ok_or_else(|| HearError::Language(name.to_string()))
    }

    fn pieces(
        &mut self,
        sound: &[f32],
        options: &Options,
        prompt: &[i32],
        stop: Asked,
    ) -> Result<Heard, HearError> {
        let mut heard = Heard::default();
        let mut logprob = 0.0;
        for piece in self.rule.pieces(sound) {
            let text = self.piece(&sound[piece], options, prompt, stop, &mut heard)?;
            logprob += text.logprob;
            heard.n_tokens += text.tokens.len();
            heard.text += &self.text(&text.tokens);
        }
        heard.logprob = logprob / heard.n_tokens.max(1) as f32;
        Ok(heard)
    }

    /// One piece, with a longer encoder while the text is doubtful; if all are, the likeliest counts.
    fn piece(
        &mut self,
        sound: &[f32],
        options: &Options,
        prompt: &[i32],
        stop: Asked,
        heard: &mut Heard,
    ) -> Result<Text, HearError> {
        let mut audio_ctx = options.audio_ctx.unwrap_or_else(|| self.rule.audio_ctx(sound.len()));
        let mut best: Option<Text> = None;
        loop {
            stopped(stop)?;
            heard.audio_ctx = audio_ctx;
            self.look(sound, audio_ctx, &mut heard.mel)?;
            stopped(stop)?;
            heard.encode.add(|| self.state.encode(0, options.threads))?;
            let mut decode = heard.decode;
            let text = decode.add(|| self.decode(sound.len(), options, prompt, stop));
            heard.decode = decode;
            let text = text?;
            heard.was_doubted |= text.is_doubtful;
            let is_sure = !text.is_doubtful;
            let is_better = best.as_ref().is_none_or(|best| text.mean() > best.mean());
            let best = if is_sure || is_better { best.insert(text) } else { best.get_or_insert(text) };
            let again = !is_sure && options.audio_ctx.is_none() && options.n_tokens.is_none();
            match self.rule.wider(audio_ctx).filter(|_| again) {
                Some(wider) => audio_ctx = wider,
                None => return Ok(std::mem::take(best)),
            }
        }
    }

    /// Gives whisper.cpp the picture, and the length of encoder it is for.
    fn look(&mut self, sound: &[f32], audio_ctx: usize, span: &mut Span) -> Result<(), HearError> {
        span.add(|| {
            if self.audio_ctx != Some(audio_ctx) {
                // Only `full` can set the length. With sound of ten columns it sets it and ends, having heard nothing.
                let mut parameters = FullParams::new(SamplingStrategy::Greedy { best_of: 1 });
                parameters.set_audio_ctx(audio_ctx as i32);
                self.state.full(parameters, &[0.0; LEAST])?;
                self.audio_ctx = Some(audio_ctx);
            }
            let picture = self.mel.picture(sound, 2 * audio_ctx);
            match self.mel.n_bands() {
                80 => Ok(self.state.set_mel(&picture)?),
                // The binding knows 80 bands only; whisper.cpp makes its own picture then.
                _ => Ok(self.state.pcm_to_mel(&at_least(sound), 1)?),
            }
        })
    }

    fn decode(
        &mut self,
        n_samples: usize,
        options: &Options,
        prompt: &[i32],
        stop: Asked,
    ) -> Result<Text, HearError> {
        let mut text = Text::default();
        let n_max = self.n_tokens_max(n_samples, options);
        // One by one: of several tokens the binding gives the first one's numbers, and whisper.cpp makes the last one's.
        let mut no_speech = 0.0;
        for (n_past, token) in prompt.iter().enumerate() {
            self.state.decode(&[*token], n_past, options.threads)?;
            if n_past == 0 {
                no_speech = self.tokens.no_speech(self.state.get_logits()?);
            }
        }
        loop {
            stopped(stop)?;
            let is_first = text.tokens.is_empty();
            let end = if is_first || options.n_tokens.is_some() { End::Forbidden } else { End::Free };
            let blank = is_first.then_some(self.model.blank as usize);
            let logits = self.state.get_logits()?;
            let plain = words::choose(logits, &self.tokens, end, blank);
            let choice =
                if options.n_tokens.is_some() { plain } else { self.hot.lift(plain, logits, &text.tokens) };
            text.logprob += choice.logprob;
            if choice.token == self.tokens.end {
                break;
            }
            text.tokens.push(choice.token as i32);
            text.is_doubtful = words::is_circling(&text.tokens) || text.tokens.len() >= n_max;
            if options.n_tokens.map_or(text.is_doubtful, |n_tokens| text.tokens.len() >= n_tokens.min(n_max))
            {
                break;
            }
            let n_past = prompt.len() + text.tokens.len() - 1;
            self.state.decode(&text.tokens[text.tokens.len() - 1..], n_past, options.threads)?;
        }
        text.is_doubtful |= text.mean() < LOGPROB_LEAST;
        if options.n_tokens.is_some() {
            return Ok(text);
        }
        if text.is_doubtful && no_speech > NO_SPEECH_MOST {
            return Ok(Text::default());
        }
        words::cut_circles(&mut text.tokens);
        Ok(text)
    }

    /// The decoder's own limit is half of its length, as in whisper.cpp; a clip's is what a mouth can say in it.
    fn n_tokens_max(&self, n_samples: usize, options: &Options) -> usize {
        let decoder = self.model.shape.n_text_ctx as usize / 2 - 4;
        let mouth = (n_samples as f32 / super::RATE as f32 * TOKENS_A_SECOND) as usize + TOKENS_LEAST;
        if options.n_tokens.is_some() { decoder } else { mouth.min(decoder) }
    }

    fn text(&self, tokens: &[i32]) -> String {
        // Characters may be cut between tokens, so the bytes come first.
        let bytes = tokens.iter().filter_map(|token| self.context.token_to_bytes(*token).ok());
        String::from_utf8_lossy(&bytes.collect::<Vec<_>>().concat()).into_owned()
    }

    /// whisper.cpp's own way, greedy, in one go.
    fn full(&mut self, sound: &[f32], options: &Options) -> Result<Heard, HearError> {
        let audio_ctx = options.audio_ctx.unwrap_or_else(|| self.rule.audio_ctx(sound.len()));
        let mut parameters = FullParams::new(SamplingStrategy::Greedy { best_of: 1 });
        parameters.set_n_threads(options.threads as i32);
        parameters.set_audio_ctx(audio_ctx as i32);
        parameters.set_language(Some(&options.language));
        parameters.set_no_timestamps(true);
        parameters.set_no_context(true);
        parameters.set_single_segment(true);
        parameters.set_temperature_inc(0.0);
        parameters.set_max_tokens(options.n_tokens.unwrap_or(0) as i32);
        self.audio_ctx = Some(audio_ctx);
        self.state.full(parameters, &at_least(sound))?;
        let mut heard = Heard { audio_ctx, ..Heard::default() };
        for segment in self.state.as_iter() {
            heard.n_tokens += segment.n_tokens().max(0) as usize;
            heard.text += &segment.to_str_lossy()?;
        }
        Ok(heard)
    }
}

#[derive(Default)]
struct Text {
    tokens: Vec<i32>,
    /// Sum over the tokens and the end.
    logprob: f32,
    is_doubtful: bool,
}

impl Text {
    /// Of a token's logarithm of likelihood; the end counts as one.
    fn mean(&self) -> f32 {
        self.logprob / (self.tokens.len() + 1) as f32
    }
}

/// Whether nobody waits any more.
pub type Asked<'a> = &'a dyn Fn() -> bool;

fn stopped(stop: Asked) -> Result<(), HearError> {
    if stop() { Err(HearError::Aborted) } else { Ok(()) }
}

/// whisper.cpp reads 200 samples from the start unseen, and does nothing for less than a tenth of a second.
fn at_least(sound: &[f32]) -> Vec<f32> {
    let mut sound = sound.to_vec();
    sound.resize(sound.len().max(2 * LEAST), 0.0);
    sound
}
