//! The words of a fact and of a question, made alike: how memory is searched where no model makes vectors; pure.
//!
//! Letters lose their case and their marks, words that say nothing are left out, and of the others the beginning counts:
//! that is crude, needs no dictionary, and joins `batteries` with `battery` and `dienstags` with `Dienstag`.

use std::collections::BTreeSet;
use std::sync::OnceLock;

/// Of a word so many letters count.
const STEM_CHARS: usize = 6;
/// Words of one text.
const WORDS_MAX: usize = 400;

/// Words of English and German that are in every second sentence.
const IDLE: &str = "a about all als am an and are as at auf aus be bei bin bitte but by can da das dass dein dem den der des \
    deine deinem deinen deiner die dir do does du ein eine einem einen einer eines er es for from fuer had hab habe haben \
    has hast hat have he her his how i ich ihr im in is ist it its kann know mein meine meinem meinen meiner me mich mir \
    mit my nach not of on or our please sein seine she sich sie sind so tell that the their them they this to ueber um und uns \
    unser unsere unserem unseren unserer us von vom was we weiss weisst wer wie wir wo what when where which who whose \
    will with you your zu zum zur wann welche welcher welches warum why";

fn idle_words() -> &'static BTreeSet<&'static str> {
    static WORDS: OnceLock<BTreeSet<&'static str>> = OnceLock::new();
    WORDS.get_or_init(|| IDLE.split_whitespace().collect())
}

/// What a word is looked up by.
fn stem(word: &str) -> String {
    if word.bytes().any(|byte| byte.is_ascii_digit()) {
        // A number or a name of something: all of it counts.
        return word.to_owned();
    }
    // A plural's s is no part of a short word either.
    let bare = if word.len() > 3 { word.strip_suffix('s').unwrap_or(word) } else { word };
    bare.chars().take(STEM_CHARS).collect()
}

fn fold(char: char, to: &mut String) {
    match char {
        'ä' | 'æ' => to.push_str("ae"),
        'ö' | 'ø' | 'œ' => to.push_str("oe"),
        'ü' => to.push_str("ue"),
        'ß' => to.push_str("ss"),
        'á' | 'à' | 'â' | 'ã' | 'å' => to.push('a'),
        'é' | 'è' | 'ê' | 'ë' => to.push('e'),
        'í' | 'ì' | 'î' | 'ï' => to.push('i'),
        'ó' | 'ò' | 'ô' | 'õ' => to.push('o'),
        'ú' | 'ù' | 'û' => to.push('u'),
        'ç' => to.push('c'),
        'ñ' => to.push('n'),
        other => to.push(other),
    }
}

/// The stems of a text in their order; a text of idle words alone keeps them.
pub fn stems(text: &str) -> Vec<String> {
    let bare = text.chars().filter(|char| !matches!(char, '\'' | '’')).flat_map(char::to_lowercase);
    let mut folded = String::with_capacity(text.len());
    bare.for_each(|char| fold(char, &mut folded));
    let words = folded.split(|char: char| !char.is_alphanumeric()).filter(|word| !word.is_empty());
    let words: Vec<&str> = words.take(WORDS_MAX).collect();
    let idle = idle_words();
    let telling: Vec<String> = words.iter().filter(|word| !idle.contains(**word)).map(|w| stem(w)).collect();
    if telling.is_empty() { words.into_iter().map(stem).collect() } else { telling }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, want: &[&str]) {
        assert_eq!(stems(text), want, "{text}");
    }

    #[test]
    fn words_that_mean_the_same_have_the_same_stem() {
        check("The batteries are in the drawer.", &["batter", "drawer"]);
        check("Which battery?", &["batter"]);
        check("Die Mülltonne kommt dienstags", &["muellt", "kommt", "dienst"]);
        check("Anna's birthday", &["anna", "birthd"]);
        check("what is that", &["what", "is", "that"]);
        check("room B12345678", &["room", "b12345678"]);
        check("", &[]);
    }
}
