//! Plays the kept fuzz corpus, and mutations of it, against every codec with the ordinary toolchain.
//!
//! The targets and their promises are those of `fuzz/`; there the search is guided, here it is only repeated.

#[path = "../../fuzz/src/targets.rs"]
mod targets;

use std::path::Path;

use agent::answer::keep::record as timer_record;
use agent::gateway::{record as gateway_record, stream as gateway_stream};
use agent::hear::letter as hear_letter;
use agent::keys::event as key_event;
use agent::session::{frame as session_frame, words as session_words};
use agent::sound::wav as sound_wav;
use agent::wyoming::codec as wyoming_codec;
use agent::wyoming::mdns::packet as mdns_packet;
use image::serve::{head, report, settings};
use init::http;

/// Mutations for each target. All together stay near a second in a debug build.
const MUTATIONS: u64 = 4000;
/// Targets that do a thousand times the work of a parser for each input get fewer.
const HEAVY: [&str; 12] = [
    "models_manifest",
    "stop",
    "schema",
    "grammar",
    "template",
    "admission_answer",
    "admission_roster",
    "admission_order",
    "admission_api_keys",
    "admission_settings",
    "admission_catalogue",
    "gossip_node",
];
const HEAVY_MUTATIONS: u64 = 200;
const INPUT_BYTES_MAX: usize = 4096;

/// Dice (xorshift64*): the same story every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % below
    }
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(name);
    let entries = std::fs::read_dir(&folder).expect("every target has a corpus");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("the folder can be read").path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).expect("the file can be read")).collect()
}

/// Says which input broke a target, in hex, when it does.
struct Shown<'a>(&'a str, &'a [u8]);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let hex: String = self.1.iter().map(|byte| format!("{byte:02x}")).collect();
            eprintln!("target {} broke on {hex}", self.0);
        }
    }
}

fn play(name: &str, target: targets::Target, input: &[u8]) {
    let _shown = Shown(name, input);
    target(input);
}

fn mutate(dice: &mut Dice, seed: &[u8], other: &[u8]) -> Vec<u8> {
    let mut input = seed.to_vec();
    for _ in 0..=dice.roll(4) {
        let at = dice.roll(input.len() + 1);
        match dice.roll(6) {
            0 => input.truncate(at),
            1 => input.insert(at, dice.roll(256) as u8),
            2 => drop(input.splice(at..at, other[..dice.roll(other.len() + 1)].iter().copied())),
            3 if at < input.len() => drop(input.remove(at)),
            4 if at < input.len() => input[at] = [0, 1, 0x7f, 0x80, 0xff][dice.roll(5)],
            _ if at < input.len() => input[at] ^= 1 << dice.roll(8),
            _ => {}
        }
    }
    input.truncate(INPUT_BYTES_MAX);
    input
}

#[test]
fn every_target_has_a_corpus_that_it_takes() {
    for (name, target) in targets::TARGETS {
        let corpus = corpus(name);
        assert!(!corpus.is_empty(), "{name} has no corpus");
        corpus.iter().for_each(|input| play(name, target, input));
    }
}

#[test]
fn mutations_of_the_corpus_break_nothing() {
    for (name, target) in targets::TARGETS {
        let corpus = corpus(name);
        let mut dice = Dice(0x00d0_e700 + name.len() as u64);
        for _ in 0..if HEAVY.contains(&name) { HEAVY_MUTATIONS } else { MUTATIONS } {
            let (seed, other) = (dice.roll(corpus.len()), dice.roll(corpus.len()));
            play(name, target, &mutate(&mut dice, &corpus[seed], &corpus[other]));
        }
    }
}
