//! What a model file says of itself: whether it is one, and for what.
//!
//! For most only the head is read: it keeps a picture or a web page off the shelf, and what is fetched has a hash.
//! A file of the owner's own is held to all that a node asks of it, so half of one is not spread to every PC.

use anyhow::{Context, Result, bail, ensure};
use split::manifest::Use;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use voice::{silero, whisper};

const MAGIC: [u8; 4] = *b"lmgg";
/// Of whisper's eleven numbers, in their order: the largest that a model has, `large` doubled.
const WHISPER_MAX: [u32; 11] = [120_000, 6000, 4096, 64, 64, 4096, 4096, 64, 64, 512, 4096];

/// Reads the head; the name decides which of the two forms it must have.
pub fn purpose(path: &Path, name: &str) -> Result<Use> {
    let what = || format!("{} is no model", path.display());
    if name.ends_with(".gguf") {
        let head = gguf::read_head(path).with_context(what)?;
        let facts = gguf::check_model(&head).with_context(what)?;
        let is_encoder = facts.architecture.contains("bert");
        return Ok(if is_encoder { Use::Embedding } else { Use::Language });
    }
    hearing(File::open(path).with_context(|| format!("reading {}", path.display()))?).with_context(what)
}

/// The same, and nothing in the file is other than a node asks for.
pub fn purpose_of_whole(path: &Path, name: &str) -> Result<Use> {
    let purpose = purpose(path, name)?;
    let what = || format!("{} is no whole model", path.display());
    let reading = || format!("reading {}", path.display());
    match purpose {
        Use::Speech => {
            let file = File::open(path).with_context(reading)?;
            let bytes = file.metadata().with_context(reading)?.len();
            whisper::check(BufReader::new(file), bytes).with_context(what)?;
        }
        Use::VoiceActivity => {
            let mut file = Vec::new();
            let from = File::open(path).with_context(reading)?;
            from.take(silero::FILE_BYTES_MAX).read_to_end(&mut file).with_context(reading)?;
            silero::Weights::read(&file).with_context(what)?;
        }
        // The head of a GGUF file is held to its length.
        Use::Language | Use::Embedding => {}
    }
    Ok(purpose)
}

fn hearing(file: impl Read) -> Result<Use> {
    let mut head = [0; 48];
    let mut file = file.take(head.len() as u64);
    file.read_exact(&mut head).context("it is shorter than a head")?;
    ensure!(head[..4] == MAGIC, "it does not begin as ggml's files do; whisper.cpp's models end with .bin");
    // Silero's says its name where whisper's has numbers.
    if head[8..].starts_with(b"silero") {
        return Ok(Use::VoiceActivity);
    }
    let numbers =
        head[4..].chunks_exact(4).map(|four| u32::from_le_bytes(four.try_into().expect("four bytes")));
    for (number, most) in numbers.zip(WHISPER_MAX) {
        if number > most {
            bail!("it is not whisper's: a number of its head is {number}, and {most} is the most");
        }
    }
    Ok(Use::Speech)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(head: &[u8], want: &str) {
        let told = hearing(head).map_or_else(|e| format!("error: {e}"), |of| of.name().to_owned());
        assert!(told.starts_with(want), "{told}");
    }

    #[test]
    fn whisper_and_silero_are_told_apart_and_others_refused() {
        let numbers = [51_864u32, 1500, 384, 6, 4, 448, 384, 6, 4, 80, 7];
        let whisper: Vec<u8> =
            MAGIC.into_iter().chain(numbers.iter().flat_map(|n| n.to_le_bytes())).collect();
        check(&whisper, "speech");
        let mut odd = whisper.clone();
        odd[7] = 0x7f;
        check(&odd, "error: it is not whisper's");
        let mut silero = whisper.clone();
        silero[4..18].copy_from_slice(b"\x0a\0\0\0silero-16k");
        check(&silero, "voice-activity");
        check(b"<html>", "error: it is shorter than a head");
        check(&[b'<'; 64], "error: it does not begin as ggml's files do");
    }
}
