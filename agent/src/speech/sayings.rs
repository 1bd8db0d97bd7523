//! How each language says what is written: the files of `agent/speech`, which travel inside the program.

use crate::talk::tongue::primary;
use std::sync::OnceLock;
use voice::speakable::Sayings;

/// A language more is a file more, and a line here.
const FILES: [(&str, &str); 2] =
    [("en", include_str!("../../speech/en.toml")), ("de", include_str!("../../speech/de.toml"))];

/// Those of a language, such as `de` or `de-AT`; English for one that has none.
pub fn of(language: &str) -> &'static Sayings {
    static READ: [OnceLock<Sayings>; FILES.len()] = [const { OnceLock::new() }; FILES.len()];
    let idx = FILES.iter().position(|(name, _)| *name == primary(language)).unwrap_or(0);
    READ[idx].get_or_init(|| Sayings::read(FILES[idx].1).expect("a test reads each of these files"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_read_and_found_by_its_language() {
        for (name, _) in FILES {
            assert_eq!(of(name).language, name);
        }
        assert_eq!(of("de-AT").language, "de");
        assert_eq!(of("en+f3").language, "en");
        assert_eq!(of("tlh").language, "en");
    }
}
