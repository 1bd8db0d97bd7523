//! Whisper with our kernels under it: that they are used, and that they change no word.
#![cfg(feature = "hear")]
#![allow(clippy::unwrap_used)] // A panic is how a test reports.

use agent::hear::ear::{Ear, HearError, Options, Steps};
use agent::hear::transcribe;
use kernels::hook::{self, Mode};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use voice::whisper::forge::{self, Form, Kind};

#[path = "../../tests/src/skip.rs"]
mod skip;

const SMALL: Form = Form { n_state: 64, n_head: 2, n_layer: 1, n_text_ctx: 64 };
const GO: fn() -> bool = || false;

/// Whose kernels run is one setting for the whole program, so tests that change it take turns.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(|broken| broken.into_inner())
}

fn options() -> Options {
    Options { language: "en".into(), threads: 1, audio_ctx: None, n_tokens: None, steps: Steps::Ours }
}

struct Model(PathBuf);

impl Model {
    fn forge(kind: Kind, name: &str) -> Model {
        let path =
            std::env::temp_dir().join(format!("duet-{}-{name}-{}.bin", std::process::id(), kind.name()));
        let mut bytes = vec![];
        forge::write(&mut bytes, &SMALL, kind, 1).unwrap();
        fs::write(&path, bytes).unwrap();
        Model(path)
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Dice (an LCG), as loud as speech.
fn noise(n: usize) -> Vec<f32> {
    let mut state = 1u32;
    let mut roll = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32 - 0.5
    };
    (0..n).map(|_| roll()).collect()
}

/// The hooks that whisper.cpp cannot do without. A release of ggml that renames one of them leaves it at zero.
/// The dots of single rows stay unused here, because every product of whisper comes as a matrix; `types.rs` holds
/// them.
const USED: [&str; 2] = ["llamafile_sgemm", "ggml_cpu_fp32_to_fp16"];

#[test]
fn every_hook_that_whisper_needs_does_work() {
    let _turn = turn();
    for kind in Kind::ALL {
        let model = Model::forge(kind, "hooks");
        let mut ear = Ear::open(&model.0).unwrap();
        let mut hear = |mode| {
            hook::set_mode(mode);
            hook::forget();
            let options = Options { audio_ctx: Some(96), n_tokens: Some(3), ..options() };
            ear.hear(&noise(16_000), &options, &GO).unwrap();
            hook::report().filter(|(symbol, calls)| USED.contains(symbol) && *calls > 0).count()
        };
        assert_eq!(hear(Mode::Ours), USED.len(), "{}: {:?}", kind.name(), hook::report().collect::<Vec<_>>());
        assert_eq!(hear(Mode::Stock), 0, "{}", kind.name());
    }
    hook::set_mode(Mode::Ours);
}

#[test]
fn a_stopped_ear_says_so_and_can_hear_again() {
    let _turn = turn();
    let model = Model::forge(Kind::Q8_0, "stop");
    let mut ear = Ear::open(&model.0).unwrap();
    let options = Options { n_tokens: Some(2), ..options() };
    let stopped = ear.hear(&noise(8000), &options, &|| true);
    assert!(matches!(stopped, Err(HearError::Aborted)), "{stopped:?}");
    assert_eq!(ear.hear(&noise(8000), &options, &GO).unwrap().n_tokens, 2);
}

#[test]
fn sound_of_any_length_is_heard() {
    let _turn = turn();
    let model = Model::forge(Kind::Q8_0, "length");
    let mut ear = Ear::open(&model.0).unwrap();
    for n in [0, 1, 399, 16_000] {
        for steps in [Steps::Ours, Steps::Whisper] {
            let options = Options { audio_ctx: Some(64), n_tokens: Some(1), steps, ..options() };
            let heard = ear.hear(&noise(n), &options, &GO).unwrap();
            // whisper.cpp itself stops one token late.
            assert!(heard.n_tokens <= 2, "{n} samples, {steps:?}: {heard:?}");
        }
    }
}

#[test]
fn what_cannot_be_asked_is_an_error() {
    let _turn = turn();
    let model = Model::forge(Kind::Q8_0, "ask");
    let mut ear = Ear::open(&model.0).unwrap();
    let mut ask = |options: Options| ear.hear(&noise(8000), &options, &GO).unwrap_err().to_string();
    let long = Options { audio_ctx: Some(1501), ..options() };
    assert_eq!(ask(long), "the encoder of this model takes 1 to 1500 places, not 1501");
    for language in ["xx", "e\0n", ""] {
        let asked = Options { language: language.into(), ..options() };
        assert_eq!(ask(asked), format!("whisper knows no language {language:?}"));
    }
}

#[test]
fn a_broken_model_is_an_error_and_not_the_end_of_the_program() {
    let _turn = turn();
    let model = Model::forge(Kind::Q8_0, "broken");
    let bytes = fs::read(&model.0).unwrap();
    for length in [0, 40, 100_000, bytes.len() - 1] {
        fs::write(&model.0, &bytes[..length]).unwrap();
        assert!(Ear::open(&model.0).is_err(), "{length} bytes were taken for a model");
    }
    assert!(Ear::open(Path::new("/no/such/model")).is_err());
}

/// Real weights and real speech; nothing in the product needs them.
fn shared(name: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/models-data");
    let path = std::env::var_os("DUET_MODELS_DATA").map_or(beside, PathBuf::from).join(name);
    path.is_file().then_some(path)
}

#[test]
fn our_kernels_and_our_steps_change_no_word_of_a_clip() {
    let _turn = turn();
    let model = shared("stt/whisper-tiny.en-relearned-q8_0.bin");
    let clips = ["sb_spk1_snt4.wav", "sb_spk1_snt5.wav", "cards_001.wav"];
    let clips: Option<Vec<PathBuf>> = clips.iter().map(|clip| shared(&format!("speech/{clip}"))).collect();
    let (Some(model), Some(clips)) = (model, clips) else {
        let why = "no clips or no model in DUET_MODELS_DATA";
        return skip::skip("our_kernels_and_our_steps_change_no_word_of_a_clip", why);
    };
    let mut ear = Ear::open(&model).unwrap();
    for clip in clips {
        let sound = transcribe::sound(&clip).unwrap();
        let mut hear = |mode, steps, threads| {
            hook::set_mode(mode);
            let audio_ctx = Some(192);
            ear.hear(&sound, &Options { steps, threads, audio_ctx, ..options() }, &GO).unwrap().text
        };
        let want = hear(Mode::Stock, Steps::Whisper, 1);
        assert!(!want.is_empty(), "{}", clip.display());
        for threads in [1, 2] {
            assert_eq!(hear(Mode::Ours, Steps::Ours, threads), want, "{}", clip.display());
        }
    }
    hook::set_mode(Mode::Ours);
}
