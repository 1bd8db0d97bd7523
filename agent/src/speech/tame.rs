//! The characters that espeak is given.
//!
//! Where a word of one script holds a letter of another, espeak 1.51 reads memory that it has freed: valgrind shows it
//! with random texts, and after some hundreds of them the program is gone. Such a letter would be spelled out at best
//! ("Chinese letter"), so a language is given its own script and Latin letters, a change between both ends a word, and
//! all else is a space.

use crate::talk::tongue::primary;
use std::ops::RangeInclusive;

/// The longest word of any sense; whatever is longer is cut.
const WORD_CHARS_MAX: usize = 60;

type Script = &'static [RangeInclusive<char>];

/// What living languages write; the rest of the block is of linguists and lost alphabets.
const LATIN: Script = &[
    'A'..='Z',
    'a'..='z',
    'À'..='Ö',
    'Ø'..='ö',
    'ø'..='ſ',
    'Ơ'..='ơ',
    'Ư'..='ư',
    'Ș'..='ț',
    'ə'..='ə',
    'Ḁ'..='ỿ',
];
/// Marks that a voice says or rests at, beside those of ASCII.
const MARKS: Script =
    &['£'..='£', '€'..='€', '°'..='±', '²'..='³', '¼'..='¿', '×'..='×', '–'..='—', '‘'..='„', '…'..='…'];

/// Scripts beside the Latin one, and the languages of espeak's that are written in them.
const SCRIPTS: [(Script, &[&str]); 25] = [
    (&['Ͱ'..='Ͽ', 'ἀ'..='῾'], &["el", "grc"]),
    (&['Ѐ'..='ԯ'], &["ba", "be", "bg", "cv", "kk", "ky", "mk", "nog", "ru", "sr", "tt", "uk"]),
    (&['\u{531}'..='\u{58a}'], &["hy", "hyw"]),
    (&['\u{591}'..='\u{5f4}'], &["he"]),
    (&['\u{600}'..='\u{6ff}', '\u{750}'..='\u{77f}'], &["ar", "fa", "ku", "sd", "ug", "ur"]),
    (&['\u{900}'..='\u{97f}'], &["hi", "kok", "mr", "ne"]),
    (&['\u{980}'..='\u{9fe}'], &["as", "bn", "bpy"]),
    (&['\u{a01}'..='\u{a76}'], &["pa"]),
    (&['\u{a81}'..='\u{aff}'], &["gu"]),
    (&['\u{b01}'..='\u{b77}'], &["or"]),
    (&['\u{b82}'..='\u{bfa}'], &["ta"]),
    (&['\u{c00}'..='\u{c7f}'], &["te"]),
    (&['\u{c80}'..='\u{cf3}'], &["kn"]),
    (&['\u{d00}'..='\u{d7f}'], &["ml"]),
    (&['\u{d81}'..='\u{df4}'], &["si"]),
    (&['\u{e01}'..='\u{e5b}'], &["th"]),
    (&['\u{1000}'..='\u{109f}'], &["my", "shn"]),
    (&['\u{10a0}'..='\u{10ff}'], &["ka"]),
    (&['\u{1100}'..='\u{11ff}', '\u{3131}'..='\u{318e}', '가'..='힣'], &["ko"]),
    (&['\u{1200}'..='\u{137c}'], &["am"]),
    (&['\u{13a0}'..='\u{13fd}'], &["chr"]),
    (&['\u{3041}'..='\u{30ff}', '一'..='\u{9fff}'], &["ja"]),
    (&['一'..='\u{9fff}'], &["cmn", "hak", "yue"]),
    (&['\u{f8d0}'..='\u{f8ff}'], &["piqd"]),
    (&['\u{10450}'..='\u{1047f}'], &["en-shaw"]),
];

/// What a character is to the language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Latin,
    Own,
    Mark,
    Nothing,
}

/// The text as a voice of this name may be given it.
pub fn tame(text: &str, voice: &str) -> String {
    let language = primary(voice);
    let own =
        SCRIPTS.iter().find(|(_, languages)| languages.contains(&language)).map_or(&[][..], |(own, _)| *own);
    let mut tamed = String::with_capacity(text.len());
    let (mut last, mut n_chars) = (Kind::Nothing, 0);
    for char in text.chars() {
        let kind = kind_of(char, own);
        let is_border = matches!((last, kind), (Kind::Latin, Kind::Own) | (Kind::Own, Kind::Latin));
        if is_border || n_chars == WORD_CHARS_MAX {
            tamed.push(' ');
            n_chars = 0;
        }
        let char = if kind == Kind::Nothing { ' ' } else { char };
        n_chars = if char == ' ' { 0 } else { n_chars + 1 };
        tamed.push(char);
        last = kind;
    }
    tamed
}

fn kind_of(char: char, own: Script) -> Kind {
    let is_of = |script: Script| script.iter().any(|range| range.contains(&char));
    match char {
        _ if is_of(LATIN) => Kind::Latin,
        _ if is_of(own) => Kind::Own,
        '!'..='~' => Kind::Mark,
        _ if is_of(MARKS) => Kind::Mark,
        _ => Kind::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(voice: &str, text: &str, want: &str) {
        assert_eq!(tame(text, voice), want, "{voice}");
    }

    #[test]
    fn a_language_keeps_its_letters_and_all_that_is_latin() {
        let plain = "Grüße, “Zoë” – it’s 20 °C… 5 € & [x] ½!";
        check("en", plain, plain);
        check("de", "żółć Łódź ﬁn", "żółć Łódź  n");
        check("ru", "Привет, мир", "Привет, мир");
    }

    #[test]
    fn letters_of_other_scripts_are_spaces() {
        check("en", "a漢字b Привет x🎉\0\n\u{202e}y", "a  b        x    y");
        check("de-AT", "αβγ", "   ");
        check("ru", "漢", " ");
    }

    #[test]
    fn a_change_of_script_ends_a_word() {
        check("ru", "abвгde", "ab вг de");
        check("el", "λx", "λ x");
    }

    #[test]
    fn a_word_of_no_sense_is_cut() {
        let text = "a".repeat(130);
        let want = ["a".repeat(60), "a".repeat(60), "a".repeat(10)].join(" ");
        check("en", &text, &want);
    }
}
