//! What pocketsphinx is given to read: the grammar of wishes and of noise, and how each of their words sounds.
//!
//! Of Debian's 130,000 words those of the grammar are taken, which makes each start ten times as fast.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead;
use voice::intent::Intents;

const DICTIONARY_BYTES_MAX: u64 = 16 << 20;
const LINE_BYTES_MAX: usize = 256;
/// English has 39.
const SOUNDS_MAX: usize = 100;
/// No English word begins so.
const NOISE: &str = "zz";

/// The likelihood of each sound of noise: at one in 39, five commands of ten were taken for noise that were heard right
/// at this. Likelihoods are held to a sum of one, so a noise that nobody makes has the rest of it.
const SOUND: f32 = 0.005;
const NEVER: &str = "zznever";

/// Whether a heard word is a sound of no command.
pub fn is_noise(word: &str) -> bool {
    word.starts_with(NOISE)
}

/// Grammar and dictionary.
pub fn of(intents: &Intents, words: impl BufRead) -> Result<(String, String), String> {
    let wanted = RefCell::new(BTreeSet::new());
    let note = |word: &str| {
        wanted.borrow_mut().insert(word.to_owned());
        true
    };
    intents.grammar(&note).ok_or("the intents leave nothing for a grammar")?;
    let lexicon = Lexicon::read(words, &wanted.into_inner())?;
    let wishes = intents.grammar(&|word| lexicon.words.contains_key(word));
    let wishes = wishes.ok_or("the dictionary has too few words for a grammar")?;
    let noise: Vec<String> =
        lexicon.sounds.iter().map(|sound| format!("/{SOUND}/ {}", noise_of(sound))).collect();
    let rest = 1.0 - SOUND * noise.len() as f32;
    let grammar = format!(
        "#JSGF V1.0;\ngrammar duet;\n{wishes}<noise> = {} | /{rest:.3}/ {NEVER};\n\
         public <said> = <wish> | <noise>+;\n",
        noise.join(" | ")
    );
    let mut dictionary = String::new();
    for (word, ways) in &lexicon.words {
        for (n, sounds) in ways.iter().enumerate() {
            let number = if n == 0 { String::new() } else { format!("({})", n + 1) };
            dictionary += &format!("{word}{number} {sounds}\n");
        }
    }
    let last = lexicon.sounds.last().map_or("", String::as_str);
    dictionary += &format!("{NEVER}{}\n", format!(" {last}").repeat(8));
    dictionary.extend(lexicon.sounds.iter().map(|sound| format!("{} {sound}\n", noise_of(sound))));
    Ok((grammar, dictionary))
}

fn noise_of(sound: &str) -> String {
    format!("{NOISE}{}", sound.to_ascii_lowercase())
}

#[derive(Default)]
struct Lexicon {
    /// Ways to say each word.
    words: BTreeMap<String, Vec<String>>,
    sounds: BTreeSet<String>,
}

impl Lexicon {
    /// Of lines such as `what's(2) W AH T S`. Intents are written without apostrophes, so `whats` is said like `what's`
    /// unless there is a word `whats`.
    fn read(words: impl BufRead, wanted: &BTreeSet<String>) -> Result<Lexicon, String> {
        let mut lexicon = Lexicon::default();
        let mut shortened: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in words.take(DICTIONARY_BYTES_MAX).lines() {
            let line = line.map_err(|error| format!("the dictionary of pocketsphinx: {error}"))?;
            let Some((entry, sounds)) = line.split_once(' ').filter(|_| line.len() <= LINE_BYTES_MAX) else {
                continue;
            };
            if !sounds.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b' ') {
                continue;
            }
            for sound in sounds.split_whitespace() {
                if lexicon.sounds.len() < SOUNDS_MAX && !lexicon.sounds.contains(sound) {
                    lexicon.sounds.insert(sound.to_owned());
                }
            }
            let word = entry.split('(').next().unwrap_or_default();
            let plain = word.replace('\'', "");
            if wanted.contains(word) {
                lexicon.words.entry(word.to_owned()).or_default().push(sounds.to_owned());
            } else if wanted.contains(&plain) {
                shortened.entry(plain).or_default().push(sounds.to_owned());
            }
        }
        for (word, ways) in shortened {
            lexicon.words.entry(word).or_insert(ways);
        }
        Ok(lexicon)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTENTS: &str = r#"
        language = "en"
        [numbers]
        one = 1
        [length]
        minutes = ["minute"]
        [[clock]]
        say = ["<number:hour>"]
        [[intent]]
        name = "x"
        say = ["[whats|what is] the time", "frobnicate"]
    "#;
    const WORDS: &str = "is IH Z\none W AH N\none(2) HH W AH N\nminute M IH N AH T\nthe DH AH\ntime T AY M\n\
                         what W AH T\nwhat's W AH T S\nother AH DH ER\nbad T 1\n";

    #[test]
    fn words_without_apostrophes_are_said_like_those_with() {
        let (grammar, dictionary) = of(&Intents::read(INTENTS).unwrap(), WORDS.as_bytes()).unwrap();
        assert!(grammar.contains("<phrase> = (whats|what is) the time;\n"), "{grammar}");
        assert!(dictionary.contains("\nwhats W AH T S\n"), "{dictionary}");
        assert!(dictionary.contains("one W AH N\none(2) HH W AH N\n"), "{dictionary}");
        assert!(!dictionary.contains("other") && !grammar.contains("frobnicate"));
    }

    #[test]
    fn every_sound_alone_is_noise() {
        let (grammar, dictionary) = of(&Intents::read(INTENTS).unwrap(), WORDS.as_bytes()).unwrap();
        assert!(grammar.contains("public <said> = <wish> | <noise>+;"), "{grammar}");
        assert!(
            grammar.contains("/0.005/ zzah | /0.005/ zzay") && dictionary.contains("zzah AH\n"),
            "{grammar}{dictionary}"
        );
        assert!(is_noise("zzah") && !is_noise("is"));
    }

    #[test]
    fn a_dictionary_of_nothing_is_an_error() {
        let end = of(&Intents::read(INTENTS).unwrap(), &b""[..]);
        assert_eq!(end, Err("the dictionary has too few words for a grammar".to_owned()));
    }
}
