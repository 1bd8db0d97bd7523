//! The C++ in both node programs at work on emulated Core 2 processors, with models made of dice.

#![allow(clippy::unwrap_used)] // A panic is how a test reports.

#[path = "../../crates/engine/tests/common/tiny.rs"]
mod tiny;

use std::fs;
use std::path::PathBuf;
use tests::core2::{CONROE, PENRYN, command};
use voice::whisper::forge;

const SEED: u64 = 7;
const RATE: u32 = 16_000;

/// A folder that is gone when the test is over.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("duet-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn put(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.0.join(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What a program prints on this processor, with these kernels.
fn said(processor: &str, program: &str, arguments: &[&str], kernels: &str) -> Option<String> {
    let mut command = command(&format!("{program} on {processor}"), processor, program)?;
    let done = command.args(arguments).args(["--kernels", kernels]).output().unwrap();
    let errors = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{program} with {kernels} kernels on {processor}: {errors}");
    Some(String::from_utf8(done.stdout).unwrap())
}

/// Our kernels give the words that ggml's own give, on both generations.
fn check(program: &str, arguments: &[&str], words: impl Fn(String) -> String) {
    for processor in [CONROE, PENRYN] {
        let Some(ours) = said(processor, program, arguments, "ours").map(&words) else { return };
        assert!(ours.len() > 4, "{program} on {processor} says only {ours:?}");
        assert_eq!(said(processor, program, arguments, "stock").map(&words), Some(ours), "on {processor}");
    }
}

#[test]
fn a_language_model_goes_on_with_a_prompt_on_both_core_2() {
    let folder = Folder::new("core2-words");
    let model = folder.put("dice.gguf", &tiny::model("llama"));
    let prompt = "Once upon a time there was a shelf of old PCs";
    check("rpc-worker", &["generate", &model, "--prompt", prompt, "--tokens", "12"], |text| text);
}

/// A second of two tones.
fn tones() -> Vec<u8> {
    let sample = |idx: u32| {
        let at = idx as f32 / RATE as f32 * std::f32::consts::TAU;
        (((at * 440.0).sin() + (at * 1170.0).sin()) * 8000.0) as i16
    };
    let data: Vec<u8> = (0..RATE).flat_map(|idx| sample(idx).to_le_bytes()).collect();
    let mut wav = b"RIFF".to_vec();
    wav.extend((36 + data.len() as u32).to_le_bytes());
    wav.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    wav.extend(RATE.to_le_bytes());
    wav.extend((2 * RATE).to_le_bytes());
    wav.extend(b"\x02\0\x10\0data");
    wav.extend((data.len() as u32).to_le_bytes());
    wav.extend(data);
    wav
}

#[test]
fn whisper_finds_words_in_a_sound_on_both_core_2() {
    let folder = Folder::new("core2-sound");
    let form = forge::Form { n_state: 64, n_head: 1, n_layer: 1, n_text_ctx: 32 };
    for kind in forge::Kind::ALL {
        let mut bytes = vec![];
        forge::write(&mut bytes, &form, kind, SEED).unwrap();
        let model = folder.put(&format!("{}.bin", kind.name()), &bytes);
        let clip = folder.put("tones.wav", &tones());
        let arguments = ["transcribe", &clip, "--model", &model, "--audio-ctx", "64", "--tokens", "4"];
        // The lines around it tell times.
        let words =
            |text: String| text.lines().find_map(|line| line.strip_prefix(&clip)).unwrap().to_string();
        check("agent", &arguments, words);
    }
}
