//! libespeak-ng: text in, sound out, piece by piece as it is made.
//!
//! Only what is needed of its face is declared here. Its state is global, so there is one `Espeak` in a process at a time,
//! and it stays in its thread. It writes to no sound card: it is asked for samples and nothing else.

#![allow(unsafe_code)]

use super::engine::{Engine, Sink, SpeechError, TEXT_BYTES_MAX, Voice, is_voice_name};
use super::tame::tame;
use std::ffi::{CStr, CString, c_char, c_int, c_short, c_uint, c_void};
use std::marker::PhantomData;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// How much sound comes at a time: the first is heard that much earlier, and a stop takes at most as long.
const PIECE_MS: c_int = 40;

/// Samples are handed to a callback; nothing is played (`AUDIO_OUTPUT_SYNCHRONOUS`).
const SYNCHRONOUS: c_int = 2;
const DONT_EXIT: c_int = 0x8000;
const POSITION_CHARACTER: c_int = 1;
const UTF8: c_uint = 1;
const END_PAUSE: c_uint = 0x1000;
const OK: c_int = 0;

/// Parameters and their ranges, from speak_lib.h.
const RATE: c_int = 1;
const PITCH: c_int = 3;

type Callback = unsafe extern "C" fn(*mut c_short, c_int, *mut Event) -> c_int;

#[link(name = "espeak-ng")]
unsafe extern "C" {
    fn espeak_Initialize(output: c_int, buffer_ms: c_int, path: *const c_char, options: c_int) -> c_int;
    fn espeak_SetVoiceByName(name: *const c_char) -> c_int;
    fn espeak_SetParameter(parameter: c_int, value: c_int, relative: c_int) -> c_int;
    fn espeak_ListVoices(like: *const Listed) -> *const *const Listed;
    fn espeak_SetSynthCallback(callback: Option<Callback>);
    fn espeak_Synth(
        text: *const c_void,
        size: usize,
        position: c_uint,
        position_type: c_int,
        end_position: c_uint,
        flags: c_uint,
        identifier: *mut c_uint,
        user_data: *mut c_void,
    ) -> c_int;
}

/// The beginning of `espeak_EVENT`; what follows is not read.
#[repr(C)]
struct Event {
    kind: c_int,
    identifier: c_uint,
    text_position: c_int,
    length: c_int,
    audio_position: c_int,
    sample: c_int,
    user_data: *mut c_void,
}

/// The beginning of `espeak_VOICE`; what follows is not read.
#[repr(C)]
struct Listed {
    name: *const c_char,
    languages: *const c_char,
    /// Its file, such as `gmw/en-US`.
    identifier: *const c_char,
}

/// Voices that are read of a list; it has 131 where all of espeak-ng 1.51 is there.
const VOICES_MAX: usize = 512;

static IS_TAKEN: AtomicBool = AtomicBool::new(false);
/// Its samples a second, once it runs. It is never ended: `espeak_Terminate` of 1.51 waits for ever for a thread that did
/// not begin yet.
static STARTED: OnceLock<u32> = OnceLock::new();

/// To be called once, by whoever has taken it.
fn begin(data: Option<&Path>) -> Result<u32, SpeechError> {
    let path = data.map(|data| plain(&data.to_string_lossy()));
    let path = path.as_ref().map_or(std::ptr::null(), |path| path.as_ptr());
    // SAFETY: `IS_TAKEN` lets one thread in, and `path` is null or a C string that lives through the call.
    let rate = unsafe { espeak_Initialize(SYNCHRONOUS, PIECE_MS, path, DONT_EXIT) };
    let rate = u32::try_from(rate).ok().filter(|rate| *rate > 0).ok_or_else(|| no_data(rate))?;
    // SAFETY: initialised above, and `on_piece` has the type and the manners that espeak asks for.
    unsafe { espeak_SetSynthCallback(Some(on_piece)) };
    Ok(rate)
}

/// The one voice of this process.
#[derive(Debug)]
pub struct Espeak {
    rate: u32,
    /// What was set last: setting a voice reads files.
    voice: Option<Voice>,
    stays_in_its_thread: PhantomData<*mut ()>,
}

impl Espeak {
    /// Starts it; `data` is the folder that holds `espeak-ng-data`, the system's own when absent.
    pub fn start(data: Option<&Path>) -> Result<Espeak, SpeechError> {
        if IS_TAKEN.swap(true, Ordering::Acquire) {
            return Err(taken());
        }
        let started = match STARTED.get() {
            Some(rate) => Ok(*rate),
            None => begin(data).inspect(|rate| _ = STARTED.set(*rate)),
        };
        if started.is_err() {
            IS_TAKEN.store(false, Ordering::Release);
        }
        Ok(Espeak { rate: started?, voice: None, stays_in_its_thread: PhantomData })
    }
}

impl Engine for Espeak {
    fn name(&self) -> &'static str {
        "espeak-ng"
    }

    fn rate(&self) -> u32 {
        self.rate
    }

    fn set(&mut self, voice: &Voice) -> Result<(), SpeechError> {
        if self.voice.as_ref() == Some(voice) {
            return Ok(());
        }
        let name = plain(&voice.name);
        // SAFETY: `self` is the one that is initialised, and `name` lives through the call.
        if unsafe { espeak_SetVoiceByName(name.as_ptr()) } != OK {
            return Err(SpeechError::Voice { name: voice.name.clone() });
        }
        let numbers =
            [(RATE, c_int::from(voice.rate).clamp(80, 450)), (PITCH, c_int::from(voice.pitch).min(99))];
        for (parameter, value) in numbers {
            // SAFETY: `self` is the one that is initialised; numbers only.
            unsafe { espeak_SetParameter(parameter, value, 0) };
        }
        self.voice = Some(voice.clone());
        Ok(())
    }

    fn voices(&self) -> Vec<String> {
        // SAFETY: `self` is the one that is initialised; no voice to compare with means all.
        let list = unsafe { espeak_ListVoices(std::ptr::null()) };
        let mut voices = vec![];
        for idx in 0..if list.is_null() { 0 } else { VOICES_MAX } {
            // SAFETY: the list ends in a null, beyond which nothing is read, and is espeak's until it is asked anew.
            let Some(voice) = (unsafe { (*list.add(idx)).as_ref() }) else { break };
            if voice.identifier.is_null() {
                continue;
            }
            // SAFETY: a C string of espeak's.
            let file = unsafe { CStr::from_ptr(voice.identifier) }.to_string_lossy();
            // By its file a voice can be set, by the languages it lists not always. Voices of MBROLA are listed whether or
            // not that program is there.
            let name = file.rsplit('/').next().unwrap_or_default();
            if is_voice_name(name) && !file.starts_with("mb") {
                voices.push(name.to_owned());
            }
        }
        voices.sort();
        voices.dedup();
        voices
    }

    fn say(&mut self, text: &str, sink: Sink<'_>) -> Result<(), SpeechError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(SpeechError::Text { bytes: text.len() });
        }
        let voice = self.voice.as_ref().map_or("en", |voice| voice.name.as_str());
        let text = plain(&tame(text, voice));
        let mut sink = sink;
        let to = (&raw mut sink).cast::<c_void>();
        let size = text.as_bytes_with_nul().len();
        // SAFETY: the call returns when all is spoken (synchronous), so `text` and `sink` outlive every callback.
        let code = unsafe {
            let text = text.as_ptr().cast();
            espeak_Synth(text, size, 0, POSITION_CHARACTER, 0, UTF8 | END_PAUSE, std::ptr::null_mut(), to)
        };
        if code == OK { Ok(()) } else { Err(SpeechError::Speak { code }) }
    }
}

impl Drop for Espeak {
    fn drop(&mut self) {
        IS_TAKEN.store(false, Ordering::Release);
    }
}

/// A piece of sound; 1 ends the speech. A panic in the sink ends the program at this border.
unsafe extern "C" fn on_piece(samples: *mut c_short, n_samples: c_int, events: *mut Event) -> c_int {
    let n_samples = usize::try_from(n_samples).unwrap_or(0);
    if samples.is_null() || n_samples == 0 || events.is_null() {
        return 0;
    }
    // SAFETY: espeak hands a list of at least one event, and each carries the pointer that `say` gave.
    let sink = unsafe { (*events).user_data.cast::<Sink<'_>>().as_mut() };
    let Some(sink) = sink else { return 0 };
    // SAFETY: `samples` are `n_samples` samples of espeak's until this returns.
    let piece = unsafe { std::slice::from_raw_parts(samples, n_samples) };
    c_int::from(sink(piece).is_break())
}

fn taken() -> SpeechError {
    SpeechError::Start("speech is made already in this process".into())
}

fn no_data(code: c_int) -> SpeechError {
    SpeechError::Start(format!(
        "libespeak-ng does not start (code {code}); the folder espeak-ng-data is missing or of another version"
    ))
}

/// Up to the first NUL.
fn plain(text: &str) -> CString {
    let end = text.find('\0').unwrap_or(text.len());
    CString::new(&text[..end]).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ops::ControlFlow;
    use std::sync::{Mutex, MutexGuard};

    /// One test after another: there is one voice in a process.
    fn alone() -> MutexGuard<'static, ()> {
        static TURN: Mutex<()> = Mutex::new(());
        TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn spoken(text: &str, voice: &Voice) -> Vec<i16> {
        let mut espeak = Espeak::start(None).unwrap();
        espeak.set(voice).unwrap();
        let mut sound = vec![];
        espeak
            .say(text, &mut |piece| {
                sound.extend_from_slice(piece);
                ControlFlow::Continue(())
            })
            .unwrap();
        sound
    }

    #[test]
    fn a_sentence_becomes_sound_of_its_length() {
        let _alone = alone();
        let sound = spoken("It is half past seven.", &Voice::default());
        let seconds = sound.len() as f32 / 22_050.0;
        assert!((0.8..3.5).contains(&seconds), "{seconds} s");
        let loudest = sound.iter().map(|sample| sample.unsigned_abs()).max().unwrap();
        assert!(loudest > 3000, "{loudest}");
        let faster = spoken("It is half past seven.", &Voice { rate: 330, ..Voice::default() });
        assert!(faster.len() * 4 < sound.len() * 3, "{} against {}", faster.len(), sound.len());
    }

    #[test]
    fn the_sink_may_end_it() {
        let _alone = alone();
        let mut espeak = Espeak::start(None).unwrap();
        espeak.set(&Voice::default()).unwrap();
        let mut n_pieces = 0;
        let mut end = |_: &[i16]| {
            n_pieces += 1;
            if n_pieces == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        espeak.say("This is a long sentence that nobody wants to hear to its end.", &mut end).unwrap();
        assert_eq!(n_pieces, 3);
    }

    #[test]
    fn a_voice_that_is_not_there_is_named() {
        let _alone = alone();
        let mut espeak = Espeak::start(None).unwrap();
        let error = espeak.set(&Voice { name: "nowhere".to_owned(), ..Voice::default() });
        assert_eq!(error, Err(SpeechError::Voice { name: "nowhere".to_owned() }));
        assert_eq!(Espeak::start(None).unwrap_err(), taken());
    }

    #[test]
    fn every_voice_that_is_listed_can_be_set() {
        let _alone = alone();
        let mut espeak = Espeak::start(None).unwrap();
        let voices = espeak.voices();
        assert!(["en", "de"].iter().all(|own| voices.iter().any(|voice| voice == own)), "{voices:?}");
        for name in voices {
            assert_eq!(espeak.set(&Voice { name: name.clone(), ..Voice::default() }), Ok(()), "{name}");
        }
    }

    #[test]
    fn odd_texts_are_spoken_or_refused() {
        let _alone = alone();
        for odd in
            ["", "\0hidden", "[[not phonemes]] <not> &marks;", "żółć 漢字 🎉", "....", &"a ".repeat(2000)]
        {
            spoken(odd, &Voice::default());
        }
        let mut espeak = Espeak::start(None).unwrap();
        let long = "a".repeat(TEXT_BYTES_MAX + 1);
        let error = espeak.say(&long, &mut |_| ControlFlow::Continue(()));
        assert_eq!(error, Err(SpeechError::Text { bytes: TEXT_BYTES_MAX + 1 }));
    }
}
