//! How well each detector tells voice from other sound: real speech alone and with noise over it, and minutes of what
//! is no speech. `cargo test -p agent --test detecting -- --nocapture` prints the table that docs/hearing.md shows.
#![allow(clippy::unwrap_used)] // A panic is how a test reports.

use agent::hear::detect::{Detectors, EARSHOT_LEAST, FRAME, SILERO_LEAST};
use agent::hear::resample;
use agent::sound::wav;
use std::f64::consts::PI;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use voice::pause::{Pauses, Sign};
use voice::silero::{Silero, WINDOW, Weights, as_whisper_cpp};
use voice::turn::LISTEN_MS_MAX;

#[path = "../../tests/src/skip.rs"]
mod skip;

const RATE: usize = 16_000;
const SEED: u32 = 7;
/// Held by what ships, in any of the noises: of the frames with voice, and of those without.
const FOUND_LEAST: f64 = 0.85;
const FALSE_MOST: f64 = 0.1;
/// What is tried beside it.
const LEASTS: [f32; 4] = [0.3, 0.5, 0.6, 0.7];
const CLIPS: [&str; 8] = [
    "LJ001-0002.wav",
    "LJ001-0004.wav",
    "austen_0880.wav",
    "cards_001.wav",
    "cards_003.wav",
    "jfk.wav",
    "sb_spk1_snt1.wav",
    "sb_spk1_snt4.wav",
];
/// Of the loud frames of a clean clip: above the one it is voice, below the other it is none, between nobody knows.
const VOICE_LEAST: f64 = 0.05;
const QUIET_MOST: f64 = 0.015;

fn shared(name: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/models-data");
    let path = std::env::var_os("DUET_MODELS_DATA").map_or(beside, PathBuf::from).join(name);
    path.is_file().then_some(path)
}

/// The clips, each with a second of a quiet room before and after it; nothing where they are not there.
fn clips() -> Option<Vec<Vec<f32>>> {
    CLIPS.iter().map(|name| shared(&format!("speech/{name}"))).collect::<Option<Vec<_>>>().map(|paths| {
        let mut dice = Dice(SEED);
        let mut read = |path: &PathBuf| {
            let clip = resample::to_hearing(&wav::read(&std::fs::read(path).unwrap()).unwrap());
            let mut room = || (0..RATE).map(|_| dice.roll() * 0.0005).collect::<Vec<f32>>();
            [room(), clip, room()].concat()
        };
        paths.iter().map(&mut read).collect()
    })
}

fn weights() -> Option<Arc<Weights>> {
    let file = std::fs::read(shared("vad/ggml-silero-v6.2.0.bin")?).unwrap();
    Some(Arc::new(Weights::read(&file).unwrap()))
}

/// Dice (an LCG).
struct Dice(u32);

impl Dice {
    /// From -1 to 1.
    fn roll(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 8) as f32 / (1 << 23) as f32 - 1.0
    }
}

fn loudness(frame: &[f32]) -> f64 {
    (frame.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / frame.len() as f64).sqrt()
}

/// What each frame of a clean clip is.
fn truth(clip: &[f32]) -> Vec<Option<bool>> {
    let all: Vec<f64> = clip.chunks_exact(FRAME).map(loudness).collect();
    let mut sorted = all.clone();
    sorted.sort_by(f64::total_cmp);
    let loud = sorted[sorted.len() * 95 / 100];
    let around = |idx: usize| &all[idx.saturating_sub(4)..all.len().min(idx + 5)];
    let judge = |idx: usize| match all[idx] {
        own if own > VOICE_LEAST * loud => Some(true),
        // A detector holds on a little: the frames around must be quiet too.
        _ if around(idx).iter().all(|one| *one < QUIET_MOST * loud) => Some(false),
        _ => None,
    };
    (0..all.len()).map(judge).collect()
}

/// White noise so many decibels below the clip's speech.
fn with_noise(clip: &[f32], below_db: f64) -> Vec<f32> {
    let frames: Vec<f64> = clip.chunks_exact(FRAME).map(loudness).collect();
    let speech = (frames.iter().map(|x| x * x).sum::<f64>() / frames.len() as f64).sqrt();
    // Evenly rolled dice are as loud as the root of a third.
    let height = speech * 10f64.powf(-below_db / 20.0) * 3f64.sqrt();
    let mut dice = Dice(SEED);
    clip.iter().map(|x| (x + dice.roll() * height as f32).clamp(-1.0, 1.0)).collect()
}

/// How likely each frame is voice.
type Scores = Box<dyn Fn(&[f32]) -> Vec<f32>>;

fn detectors() -> Vec<(&'static str, f32, Scores)> {
    let earshot: Scores = Box::new(|sound| {
        let mut detector = earshot::Detector::default();
        let frames = sound.chunks_exact(FRAME);
        frames
            .map(|frame| {
                let pcm: Vec<i16> = frame.iter().map(|x| (x * 32_767.0) as i16).collect();
                detector.predict_i16(&pcm)
            })
            .collect()
    });
    let mut all = vec![("earshot", EARSHOT_LEAST, earshot)];
    if let Some(weights) = weights() {
        let silero: Scores = Box::new(move |sound| {
            let mut silero = Silero::new(weights.clone());
            // A frame is told by the window that it is in.
            sound.as_chunks::<WINDOW>().0.iter().flat_map(|window| [silero.hear(window); 2]).collect()
        });
        all.push(("silero", SILERO_LEAST, silero));
    }
    all
}

/// Times that an ear would have been opened for nothing: each beginning lasts until its end, or as long as a turn may.
fn beginnings(scores: &[f32], least: f32) -> usize {
    let (mut pauses, mut n, mut n_frames) = (Pauses::default(), 0, 0);
    for score in scores {
        n_frames += 1;
        if pauses.span().is_some() && n_frames * FRAME >= LISTEN_MS_MAX as usize * RATE / 1000 {
            pauses = Pauses::default();
        }
        match pauses.handle(FRAME, *score >= least) {
            Some(Sign::Began) => (n, n_frames) = (n + 1, 0),
            Some(Sign::Ended) => pauses = Pauses::default(),
            _ => {}
        }
    }
    n
}

fn minutes(n: usize, mut sample: impl FnMut(usize) -> f32) -> Vec<f32> {
    (0..n * 60 * RATE).map(&mut sample).collect()
}

/// Chords of three tones with overtones, a new one every half second, struck and fading.
fn music(n_minutes: usize) -> Vec<f32> {
    const STEPS: [f64; 7] = [0.0, 2.0, 4.0, 5.0, 7.0, 9.0, 11.0];
    let mut dice = Dice(SEED);
    let mut chord = [0.0; 3];
    minutes(n_minutes, |idx| {
        let at = idx % (RATE / 2);
        if at == 0 {
            let mut tone = || STEPS[((dice.roll() + 1.0) * 3.49) as usize];
            chord = [tone(), tone(), tone()].map(|step| 220.0 * 2f64.powf(step / 12.0));
        }
        let time = idx as f64 / RATE as f64;
        let fade = (-(at as f64) / RATE as f64 * 4.0).exp();
        let tones =
            chord.iter().flat_map(|hz| (1..5).map(move |over| (hz * f64::from(over), f64::from(over))));
        let sum: f64 = tones.map(|(hz, over)| (2.0 * PI * hz * time).sin() / over).sum();
        (sum * fade * 0.08) as f32
    })
}

#[test]
fn each_detector_tells_speech_from_other_sound() {
    let Some(clips) = clips() else {
        return skip::skip("each_detector_tells_speech_from_other_sound", "no clips in DUET_MODELS_DATA");
    };
    let detectors = detectors();
    println!("{:<10}{:<16}{:>7}{:>12}{:>12}", "detector", "sound", "least", "voice found", "false voice");
    for (name, shipped, scores) in &detectors {
        for (what, below_db) in
            [("clean", 90.0), ("noise -20 dB", 20.0), ("noise -10 dB", 10.0), ("noise 0 dB", 0.0)]
        {
            let heard: Vec<(Vec<f32>, Vec<Option<bool>>)> =
                clips.iter().map(|clip| (scores(&with_noise(clip, below_db)), truth(clip))).collect();
            for least in LEASTS {
                let (mut n, mut n_yes) = ([0usize; 2], [0usize; 2]);
                for (score, is_voice) in heard.iter().flat_map(|(scores, truth)| scores.iter().zip(truth)) {
                    let Some(is_voice) = is_voice else { continue };
                    n[usize::from(*is_voice)] += 1;
                    n_yes[usize::from(*is_voice)] += usize::from(*score >= least);
                }
                let share = |idx: usize| n_yes[idx] as f64 / n[idx].max(1) as f64;
                println!(
                    "{name:<10}{what:<16}{least:>7}{:>11.1}%{:>11.1}%",
                    100.0 * share(1),
                    100.0 * share(0)
                );
                if least == *shipped {
                    assert!(share(1) >= FOUND_LEAST, "{name}, {what}: {:.3} of voice is found", share(1));
                    assert!(share(0) <= FALSE_MOST, "{name}, {what}: {:.3} of quiet is voice", share(0));
                }
            }
        }
    }
}

#[test]
fn ten_minutes_without_speech_open_no_ear() {
    const MINUTES: usize = 10;
    let mut dice = Dice(SEED);
    let mut noise = |height: f32| minutes(MINUTES, |_| dice.roll() * height);
    let sounds = [
        ("silence", minutes(MINUTES, |_| 0.0)),
        ("a quiet room", noise(0.003)),
        ("loud noise", noise(0.2)),
        ("music", music(MINUTES)),
    ];
    println!("{:<10}{:<16}{:>7}{:>24}", "detector", "ten minutes of", "least", "false beginnings");
    for (name, shipped, scores) in detectors() {
        for (what, sound) in &sounds {
            let scores = scores(sound);
            for least in LEASTS {
                let n = beginnings(&scores, least);
                println!("{name:<10}{what:<16}{least:>7}{n:>24}");
                // Music is no speech, but made of what speech is made of: it is told, not promised.
                if least == shipped && *what != "music" {
                    assert_eq!(n, 0, "{name}, {what}: seed {SEED}");
                }
            }
        }
    }
}

#[test]
fn the_owners_choice_holds_from_the_next_frame_on() {
    let Some(file) = shared("vad/ggml-silero-v6.2.0.bin") else {
        return skip::skip("the_owners_choice_holds_from_the_next_frame_on", "no model in DUET_MODELS_DATA");
    };
    let detectors = Arc::new(Detectors::default());
    let mut detector = detectors.listen();
    let music = music(1);
    let mut n_voice = |detectors: &Detectors, which| {
        detectors.set(which, file.parent().unwrap());
        assert_eq!(detectors.sentence(), "");
        let frames = music.as_chunks::<FRAME>().0;
        frames.iter().filter(|frame| detector.is_voice(&frame.map(|x| (x * 32_767.0) as i16))).count()
    };
    let told = [admission::Detector::Earshot, admission::Detector::Silero, admission::Detector::Earshot];
    let [first, silero, last] = told.map(|which| n_voice(&detectors, which));
    assert!(first > 0 && last > 0, "earshot took no music for voice, so this test shows nothing");
    assert_eq!(silero, 0, "silero took music for voice, or was not asked");
}

#[cfg(feature = "hear")]
#[test]
fn silero_says_what_whisper_cpp_says() {
    use whisper_rs::{WhisperVadContext, WhisperVadContextParams};
    let (Some(weights), Some(clips)) = (weights(), clips()) else {
        return skip::skip("silero_says_what_whisper_cpp_says", "no clips or no model in DUET_MODELS_DATA");
    };
    whisper_rs::install_logging_hooks();
    let file = shared("vad/ggml-silero-v6.2.0.bin").unwrap();
    let mut theirs = WhisperVadContext::new(file.to_str().unwrap(), WhisperVadContextParams::new()).unwrap();
    for (clip, name) in clips.iter().zip(CLIPS) {
        theirs.detect_speech(clip).unwrap();
        let ours = as_whisper_cpp(weights.clone(), clip);
        // The last window of theirs is filled up.
        for (idx, (ours, theirs)) in ours.iter().zip(theirs.probabilities()).enumerate() {
            // Their products of 16-bit floats are rounded.
            assert!((ours - theirs).abs() < 0.02, "{name}, window {idx}: {ours} {theirs}");
        }
    }
}
