//! A model in memory: its weights, its vocabulary, and what its file says about it.

use crate::stock::Remote;
use crate::{Error, fingerprint, init, log, sys};
use std::ffi::{CStr, CString, c_void};
use std::fs::File;
use std::io::BufReader;
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::ptr::{NonNull, null_mut};

/// One piece of text, as the vocabulary numbers it.
pub type Token = i32;

/// Bytes of a text that is tokenised at once.
const TEXT_BYTES_MAX: usize = 1 << 24;

/// How to load.
pub struct Load<'a> {
    /// Map the file instead of reading it: weights are then fetched when they are first used.
    pub mmap: bool,
    /// Called with 0.0 to 1.0; `false` cancels.
    pub progress: Option<&'a mut dyn FnMut(f32) -> bool>,
    /// All layers lie with this server, not here.
    pub remote: Option<Remote>,
}

impl Default for Load<'_> {
    fn default() -> Self {
        Load { mmap: true, progress: None, remote: None }
    }
}

/// A loaded model. Contexts share it.
pub struct Model {
    raw: NonNull<sys::llama_model>,
    vocab: NonNull<sys::llama_vocab>,
    head: gguf::Gguf,
    facts: gguf::Facts,
    fingerprint: u64,
    slice: Option<gguf::Slice>,
}

// SAFETY: the library changes a model only while it is loaded and freed; contexts of several threads may share it.
unsafe impl Send for Model {}
// SAFETY: as above: every function that is called with a shared reference reads only.
unsafe impl Sync for Model {}

/// What the progress callback reaches through its pointer.
struct Watched<'a, 'b> {
    progress: Option<&'a mut &'b mut dyn FnMut(f32) -> bool>,
    cancelled: bool,
    panic: Option<Box<dyn std::any::Any + Send>>,
}

impl Model {
    /// Checks the file's head, then lets the library load it.
    pub fn load(path: &Path, mut how: Load<'_>) -> Result<Model, Error> {
        init();
        let (head, facts) = read_head(path)?;
        let fingerprint = fingerprint::of_file(path, &head)?;
        let slice = head.slice_of().map_err(|why| Error::Broken { path: path.display().to_string(), why })?;
        let name = c_path(path)?;
        let mut watched = Watched { progress: how.progress.as_mut(), cancelled: false, panic: None };
        // SAFETY: takes nothing, returns a plain struct.
        let mut params = unsafe { sys::llama_model_default_params() };
        let mut devices = [how.remote.map_or(null_mut(), Remote::raw), null_mut()];
        if how.remote.is_some() {
            params.devices = devices.as_mut_ptr();
        }
        params.n_gpu_layers = if how.remote.is_some() { -1 } else { 0 };
        params.load_mode = if how.mmap { sys::LLAMA_LOAD_MODE_MMAP } else { sys::LLAMA_LOAD_MODE_NONE };
        params.progress_callback = Some(on_progress);
        params.progress_callback_user_data = (&raw mut watched).cast();
        log::clear();
        // SAFETY: the name ends with a zero; `watched` and `devices`, which ends with null, outlive the call, the only
        // time they are used.
        let raw = unsafe { sys::llama_model_load_from_file(name.as_ptr(), params) };
        let raw = NonNull::new(raw);
        if let Some(panic) = watched.panic {
            raw.inspect(free);
            resume_unwind(panic);
        }
        let Some(raw) = raw else {
            return Err(if watched.cancelled { Error::Cancelled } else { log::refused("load the model") });
        };
        // SAFETY: the model was just loaded; its vocabulary lives as long as it does.
        let vocab = unsafe { sys::llama_model_get_vocab(raw.as_ptr()) };
        let Some(vocab) = NonNull::new(vocab.cast_mut()) else {
            free(&raw);
            return Err(log::refused("give the vocabulary"));
        };
        Ok(Model { raw, vocab, head, facts, fingerprint, slice })
    }

    pub(crate) fn raw(&self) -> *mut sys::llama_model {
        self.raw.as_ptr()
    }

    pub(crate) fn vocab(&self) -> *const sys::llama_vocab {
        self.vocab.as_ptr()
    }

    /// The checked head of the file: metadata and tensors.
    pub fn head(&self) -> &gguf::Gguf {
        &self.head
    }

    /// What the file says of the model's shape.
    pub fn facts(&self) -> &gguf::Facts {
        &self.facts
    }

    /// Which layers of which model these are, if they are not all.
    pub fn slice(&self) -> Option<&gguf::Slice> {
        self.slice.as_ref()
    }

    /// What no other model has, as far as its file's head and a sample of its weights tell.
    pub(crate) fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// Whether the model makes vectors of texts: its file then says how those of the tokens become one.
    pub fn is_for_embeddings(&self) -> bool {
        self.head.uint(&format!("{}.pooling_type", self.facts.architecture)).is_some_and(|kind| kind > 0)
    }

    /// The model's own chat template, if it has one.
    pub fn chat_template(&self) -> Option<&str> {
        self.head.text("tokenizer.chat_template")
    }

    pub fn n_embd(&self) -> usize {
        // SAFETY: reads a number of a live model.
        count(unsafe { sys::llama_model_n_embd(self.raw()) })
    }

    /// Width of what a model for embeddings gives.
    pub(crate) fn n_embd_out(&self) -> usize {
        // SAFETY: reads a number of a live model.
        count(unsafe { sys::llama_model_n_embd_out(self.raw()) })
    }

    /// Why hidden states cannot be handed to this model, if they cannot.
    pub(crate) fn takes_no_hidden(&self) -> Option<&'static str> {
        // SAFETY: reads two numbers of a live model.
        let (width, rope) =
            unsafe { (sys::llama_model_n_embd_inp(self.raw()), sys::llama_model_rope_type(self.raw())) };
        // The library reads four positions for each row of these.
        let is_wide = [sys::LLAMA_ROPE_TYPE_MROPE, sys::LLAMA_ROPE_TYPE_IMROPE].contains(&rope);
        if is_wide {
            Some("has positions of several numbers")
        } else if count(width) != self.n_embd() {
            Some("takes rows of another width than it gives")
        } else {
            None
        }
    }

    pub fn n_layers(&self) -> usize {
        // SAFETY: reads a number of a live model.
        count(unsafe { sys::llama_model_n_layer(self.raw()) })
    }

    pub fn n_vocab(&self) -> usize {
        // SAFETY: reads a number of a live vocabulary.
        count(unsafe { sys::llama_vocab_n_tokens(self.vocab()) })
    }

    /// Tokens of context that the model was trained for.
    pub fn n_ctx_trained(&self) -> usize {
        // SAFETY: reads a number of a live model.
        count(unsafe { sys::llama_model_n_ctx_train(self.raw()) })
    }

    /// Bytes of all weights.
    pub fn weight_bytes(&self) -> u64 {
        // SAFETY: reads a number of a live model.
        unsafe { sys::llama_model_size(self.raw()) }
    }

    /// How the library calls the weights' type, such as `Q4_K - Medium`.
    pub fn type_name(&self) -> String {
        // SAFETY: a live model has a type, and the library returns a static C string for it, or null.
        let name = unsafe { sys::llama_ftype_name(sys::llama_model_ftype(self.raw())) };
        if name.is_null() {
            return "unknown".to_owned();
        }
        // SAFETY: not null, so a static C string.
        unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned()
    }

    /// The token that begins a text, if the model has one.
    pub fn begin(&self) -> Option<Token> {
        // SAFETY: reads a number of a live vocabulary.
        self.known(unsafe { sys::llama_vocab_bos(self.vocab()) }).ok()
    }

    /// The token that ends a text, if the model has one.
    pub fn end(&self) -> Option<Token> {
        // SAFETY: reads a number of a live vocabulary.
        self.known(unsafe { sys::llama_vocab_eos(self.vocab()) }).ok()
    }

    /// Whether generation ends with this token.
    pub fn ends(&self, token: Token) -> bool {
        // SAFETY: the token was found in the vocabulary first.
        self.known(token).is_ok_and(|token| unsafe { sys::llama_vocab_is_eog(self.vocab(), token) })
    }

    /// The texts of the tokens that mean something instead of standing for text, such as `<|im_end|>`.
    pub fn marks(&self) -> Vec<String> {
        let tokens = 0..i32::try_from(self.n_vocab()).unwrap_or(0);
        // SAFETY: the token is one of the vocabulary's.
        let marks = tokens.filter(|token| unsafe { sys::llama_vocab_is_control(self.vocab(), *token) });
        marks.filter_map(|token| String::from_utf8(self.piece(token, true).ok()?).ok()).collect()
    }

    /// The token, if the vocabulary has it.
    pub(crate) fn known(&self, token: Token) -> Result<Token, Error> {
        let n_vocab = self.n_vocab() as i32;
        if (0..n_vocab).contains(&token) { Ok(token) } else { Err(Error::Token { token, n_vocab }) }
    }

    /// A text as tokens. `begin` puts the model's own beginning in front; `marks` reads `<|im_end|>` and its like as
    /// what they mean, which only text of ours may do.
    pub fn tokenise(&self, text: &str, begin: bool, marks: bool) -> Result<Vec<Token>, Error> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(Error::TooLong { what: "the text", bytes: text.len(), max: TEXT_BYTES_MAX });
        }
        let mut tokens: Vec<Token> = vec![0; text.len() + 8];
        for _ in 0..2 {
            let (length, room) = (text.len() as i32, tokens.len() as i32);
            log::clear();
            // SAFETY: both lengths are those of the buffers; the text needs no zero at its end.
            let n = unsafe {
                let (text, out) = (text.as_ptr().cast(), tokens.as_mut_ptr());
                sys::llama_tokenize(self.vocab(), text, length, out, room, begin, marks)
            };
            match usize::try_from(n) {
                Ok(n) => {
                    tokens.truncate(n);
                    return Ok(tokens);
                }
                // What is missing, as a negative number.
                Err(_) if n != i32::MIN => tokens.resize(n.unsigned_abs() as usize, 0),
                Err(_) => break,
            }
        }
        Err(log::refused("tokenise the text"))
    }

    /// The bytes of one token: not always whole letters. `marks` shows tokens that mean something instead of nothing.
    pub fn piece(&self, token: Token, marks: bool) -> Result<Vec<u8>, Error> {
        let token = self.known(token)?;
        let mut bytes = vec![0u8; 32];
        for _ in 0..2 {
            let room = bytes.len() as i32;
            // SAFETY: the token is known and the length is the buffer's.
            let n = unsafe {
                let out = bytes.as_mut_ptr().cast();
                sys::llama_token_to_piece(self.vocab(), token, out, room, 0, marks)
            };
            match usize::try_from(n) {
                Ok(n) => {
                    bytes.truncate(n);
                    return Ok(bytes);
                }
                Err(_) => bytes.resize(n.unsigned_abs() as usize, 0),
            }
        }
        Err(log::refused("spell the token"))
    }

    /// The text of many tokens; bytes that are no letters become U+FFFD.
    pub fn detokenise(&self, tokens: &[Token], marks: bool) -> Result<String, Error> {
        let mut bytes = Vec::new();
        for token in tokens {
            bytes.extend(self.piece(*token, marks)?);
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        free(&self.raw);
    }
}

fn free(raw: &NonNull<sys::llama_model>) {
    // SAFETY: the pointer came from the loader, and each of the two callers owns it and uses it no more.
    unsafe { sys::llama_model_free(raw.as_ptr()) };
}

fn count(n: i32) -> usize {
    usize::try_from(n).unwrap_or(0)
}

unsafe extern "C" fn on_progress(part: f32, user: *mut c_void) -> bool {
    // SAFETY: `load` hands over a pointer to its `Watched`, which is alive and used by nobody else meanwhile.
    let watched = unsafe { &mut *user.cast::<Watched<'_, '_>>() };
    let Some(progress) = watched.progress.as_mut() else { return true };
    match catch_unwind(AssertUnwindSafe(|| progress(part))) {
        Ok(go_on) => watched.cancelled |= !go_on,
        Err(panic) => watched.panic = Some(panic),
    }
    !watched.cancelled && watched.panic.is_none()
}

/// A path as C likes it.
pub(crate) fn c_path(path: &Path) -> Result<CString, Error> {
    let wrong =
        |_| Error::File { path: path.display().to_string(), why: "its name holds a zero byte".to_owned() };
    CString::new(path.as_os_str().as_bytes()).map_err(wrong)
}

/// The head of a model file, if it is well made and fit to be a model. Nothing else of it is read.
pub fn check_file(path: &Path) -> Result<gguf::Gguf, Error> {
    read_head(path).map(|(head, _)| head)
}

/// The head of a model file, well made and fit to be a model.
pub(crate) fn read_head(path: &Path) -> Result<(gguf::Gguf, gguf::Facts), Error> {
    let file_error = |e: std::io::Error| Error::File { path: path.display().to_string(), why: e.to_string() };
    let file = File::open(path).map_err(file_error)?;
    let facts = file.metadata().map_err(file_error)?;
    if !facts.is_file() {
        return Err(Error::File { path: path.display().to_string(), why: "it is no file".to_owned() });
    }
    let broken = |why| Error::Broken { path: path.display().to_string(), why };
    let head = gguf::Gguf::read(&mut BufReader::new(file), facts.len()).map_err(broken)?;
    let facts = gguf::check_model(&head).map_err(broken)?;
    Ok((head, facts))
}
