//! The mouth with the engine that nodes have: it survives every text, leaves no memory behind, and is understood.
#![cfg(feature = "speak")]
#![allow(clippy::unwrap_used)] // A panic is how a test reports.

use admission::VoiceSettings;
use agent::speech;
use agent::speech::engine::{Engine, TEXT_BYTES_MAX, Voice};
use agent::speech::espeak::Espeak;
use agent::speech::mouth::Mouth;
use agent::talk::parts::{Sound, Speak, SpeakJob, Stop};
use std::fs;
use std::ops::ControlFlow;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, MutexGuard};

#[path = "../../tests/src/skip.rs"]
mod skip;

/// Samples a second of espeak's.
const RATE: usize = 22_050;

/// There is one espeak in a process, and memory is counted for the whole of it.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(|broken| broken.into_inner())
}

/// xorshift64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % n
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.roll(of.len())]
    }

    /// A character of any block, or of one that engines trip over.
    fn char(&mut self) -> char {
        const BLOCKS: [(u32, u32); 12] = [
            (0x20, 0x7f),
            (0x01, 0x20),
            (0x80, 0x250),
            (0x300, 0x370),
            (0x370, 0x500),
            (0x590, 0x700),
            (0x900, 0xe00),
            (0x1100, 0x1200),
            (0x2000, 0x2c00),
            (0x3040, 0xa000),
            (0xac00, 0xd7a4),
            (0xe000, 0x11_0000),
        ];
        let (from, to) = BLOCKS[self.roll(BLOCKS.len())];
        char::from_u32(from + self.roll((to - from) as usize) as u32).unwrap_or('\u{fffd}')
    }

    /// A text of some kind, as long as is spoken at once at most.
    fn text(&mut self) -> String {
        const PARTS: [&str; 40] = [
            "a", "e", "xyz", "the", "ing", "MCMXCIV", "1", "0", "999", "1e9", "-", "--", "...", "?!", "'",
            "\"", "[[", "]]", "<mark>", "&amp;", "\u{0301}", "\u{200d}", "\u{202e}", "\u{feff}", "ß", "ij",
            "漢", "ก", "한", "🎉", "\n", "\t", ".", ",", "/", "\\", "@", "%", "½", "_^_de",
        ];
        let kind = self.roll(5);
        let n_max = [8, 80, 800, 4000][self.roll(4)];
        let n = self.roll(n_max) + 1;
        let part = self.one(&PARTS);
        let mut text = String::new();
        for _ in 0..n {
            match kind {
                0 => text.push(self.char()),
                1 => text.push_str(part),
                2 => text.push_str(self.one(&PARTS)),
                3 => text.extend([self.one(&PARTS), self.one(&["", " ", " "])]),
                _ => text.extend([char::from(b'a' + self.roll(26) as u8), [' ', 'e', 'n'][self.roll(3)]]),
            }
        }
        let mut end = text.len().min(TEXT_BYTES_MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text
    }
}

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().map_or(usual, |text| text.parse().unwrap())
}

/// `DUET_TEXTS` says how many, `DUET_SEED` from which dice.
#[test]
fn texts_of_all_kinds_are_spoken_to_their_end_or_until_it_is_enough() {
    let _turn = turn();
    let (seed, n_texts) = (number("DUET_SEED", 20_251), number("DUET_TEXTS", 300));
    let mut espeak = Espeak::start(None).unwrap();
    for idx in 0..n_texts {
        let mut dice = Dice((seed + idx).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let name = dice.one(&["en", "de", "en-us", "en+f3"]).to_owned();
        let voice = Voice { name, rate: 80 + dice.roll(371) as u16, pitch: dice.roll(100) as u8 };
        espeak.set(&voice).unwrap();
        let text = dice.text();
        // Where espeak would end the program, this is the last that is read of it.
        fs::write(last_text(), format!("seed {}, {voice:?}\n{text}", seed + idx)).unwrap();
        let enough = 1 + dice.roll(20 * RATE);
        let mut n_samples = 0;
        let said = espeak.say(&text, &mut |piece| {
            n_samples += piece.len();
            if n_samples > enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert_eq!(said, Ok(()), "seed {}", seed + idx);
        assert!(n_samples < enough + RATE, "seed {}: {n_samples} samples after {enough}", seed + idx);
    }
    let _ = fs::remove_file(last_text());
}

fn last_text() -> std::path::PathBuf {
    std::env::temp_dir().join(format!("duet-speaking-{}.txt", std::process::id()))
}

/// Asks and gives where the pieces come; after `n_wanted` of them nobody wants more.
fn ask(mouth: &Mouth, text: &str, n_wanted: usize) -> Receiver<Vec<i16>> {
    let (to, from) = channel();
    let stop = Stop::default();
    let stopping = stop.clone();
    let mut n = 0;
    let sink = move |sound: Sound<'_>| match sound {
        Sound::Piece { rate, pcm } => {
            assert_eq!(rate as usize, RATE);
            n += 1;
            if n == n_wanted {
                stopping.stop();
            }
            to.send(pcm.to_vec()).unwrap();
        }
        Sound::End => {}
        Sound::Failed(why) => panic!("{why}"),
    };
    let (text, sink) = (text.to_owned(), Box::new(sink));
    mouth.speak(SpeakJob { text, talk: 1, voice: None, stop, sink });
    from
}

fn spoken(mouth: &Mouth, text: &str) -> Vec<i16> {
    ask(mouth, text, usize::MAX).into_iter().flatten().collect()
}

#[test]
fn a_stop_at_any_piece_is_the_last_piece_and_harms_no_later_clause() {
    let _turn = turn();
    let mouth = speech::start(&VoiceSettings::default()).unwrap();
    let text = "It is half past seven, and the next bus leaves in five minutes.";
    let n_pieces = ask(&mouth, text, usize::MAX).into_iter().count();
    assert!(n_pieces > 50, "{n_pieces}");
    for n_wanted in 1..n_pieces {
        let pieces: Vec<Vec<i16>> = ask(&mouth, text, n_wanted).into_iter().collect();
        assert_eq!(pieces.len(), n_wanted);
        let longest = pieces.iter().map(Vec::len).max().unwrap();
        assert!(longest <= RATE / 10, "a piece of {longest} samples is no piece");
    }
    let after = spoken(&mouth, "One moment.").len();
    assert!((RATE / 4..2 * RATE).contains(&after), "{after} samples");
}

/// Memory that is not of files, in KiB.
fn memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn ten_thousand_short_clauses_leave_no_memory_behind() {
    let _turn = turn();
    let mouth = speech::start(&VoiceSettings::default()).unwrap();
    let speak = |n: usize| (0..n).for_each(|_| assert!(!spoken(&mouth, "No.").is_empty()));
    speak(1000);
    let before = memory();
    speak(10_000);
    let after = memory();
    assert!(after < before + 1024, "{before} KiB became {after} KiB");
}

#[test]
fn settings_change_the_sound_while_it_runs() {
    let _turn = turn();
    let mouth = speech::start(&VoiceSettings::default()).unwrap();
    let text = "The next bus leaves in five minutes.";
    let usual = spoken(&mouth, text);
    mouth.set(&VoiceSettings { rate: 330, ..VoiceSettings::default() });
    let fast = spoken(&mouth, text);
    assert!(fast.len() * 10 < usual.len() * 7, "{} against {}", fast.len(), usual.len());
    // A higher voice crosses zero more often, in as much time.
    let crossings = |sound: &[i16]| {
        let n = sound.windows(2).filter(|two| (two[0] < 0) != (two[1] < 0)).count();
        n * RATE / sound.len()
    };
    mouth.set(&VoiceSettings { language: "de".into(), ..VoiceSettings::default() });
    let german = spoken(&mouth, text);
    assert_ne!(german.len() / 100, usual.len() / 100, "the German voice is the English one");
    assert_eq!(mouth.facts().voice.as_deref(), Some("de"));
    assert!(crossings(&usual) > 500, "{} crossings a second are no speech", crossings(&usual));
}

#[test]
fn the_command_says_what_is_missing() {
    let folder = std::env::temp_dir().join(format!("duet-no-speech-{}", std::process::id()));
    fs::create_dir_all(folder.join("espeak-ng-data")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_agent"));
    command.env("ESPEAK_DATA_PATH", &folder).args(["say", "hello", "--out", "-"]);
    let output = command.output().unwrap();
    fs::remove_dir_all(folder).unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("the folder espeak-ng-data is missing or of another version"), "{told}");
}

/// What a person would hear, if whisper were one.
#[cfg(feature = "hear")]
#[test]
fn what_is_said_is_understood() {
    use agent::hear::ear::{Ear, Options, Steps};
    use agent::hear::resample;
    use agent::sound::wav::Clip;
    use std::path::{Path, PathBuf};
    use voice::clause::Clause;

    let _turn = turn();
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/models-data");
    let model = std::env::var_os("DUET_MODELS_DATA").map_or(beside, PathBuf::from);
    let model = model.join("stt/whisper-tiny.en-relearned-q8_0.bin");
    if !model.is_file() {
        return skip::skip("what_is_said_is_understood", "no model in DUET_MODELS_DATA");
    }
    let mut ear = Ear::open(&model).unwrap();
    let steps = Steps::Ours;
    let options = Options { language: "en".into(), threads: 1, audio_ctx: None, n_tokens: None, steps };
    let mouth = speech::start(&VoiceSettings { rate: 140, ..VoiceSettings::default() }).unwrap();
    let mut heard = |written: &str| {
        let text = speech::sayings::of("en").say(&Clause::Text(written.into())).unwrap();
        let clip = Clip { rate: RATE as u32, samples: spoken(&mouth, &text) };
        ear.hear(&resample::to_hearing(&clip), &options, &|| false).unwrap().text
    };
    // Written, said and heard again; the model knows few words, and one sentence may fail with another espeak.
    let sentences = [
        ("What time is it?", "What time is it?"),
        ("**Set** a timer for 5 min.", "Set a timer for 5 minutes."),
        ("Turn on the lights in the `kitchen`.", "Turn on the lights in the kitchen."),
        ("- Play some music.", "Play some music."),
        ("What is the weather?", "What is the weather?"),
    ];
    let heard_so = sentences.map(|(written, want)| (heard(written), want));
    let n_understood = heard_so.iter().filter(|(heard, want)| heard == want).count();
    assert!(n_understood + 1 >= sentences.len(), "{heard_so:?}");
}
