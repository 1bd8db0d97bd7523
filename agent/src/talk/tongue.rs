//! Which languages a node hears and speaks, and the sentence for whoever wishes another.

/// `de` of `de-AT`, of `de_AT` and of `de+f3`.
pub fn primary(language: &str) -> &str {
    language.split(['-', '_', '+']).next().unwrap_or(language)
}

/// Whether a language or voice is among the known ones, a country's manner of it counting as the language. Where none is
/// known yet, none is refused. `does` is what the node does with it: hears or speaks.
pub fn check(does: &str, wished: &str, known: &[String]) -> Result<(), String> {
    let plain = |name: &str| name.split('+').next().unwrap_or(name).replace('_', "-").to_ascii_lowercase();
    let (exact, main) = (plain(wished), plain(primary(wished)));
    let is_it = |name: &String| [&exact, &main].contains(&&plain(name));
    if known.is_empty() || known.iter().any(is_it) {
        return Ok(());
    }
    Err(format!("this node {does} {}, and not {}", known.join(", "), shown(wished)))
}

/// Strangers may wish for anything.
fn shown(wished: &str) -> String {
    const CHARS_MAX: usize = 40;
    wished.chars().filter(|char| !char.is_control()).take(CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(wished: &str, known: &[&str]) -> String {
        let known: Vec<String> = known.iter().map(|name| (*name).to_owned()).collect();
        check("hears", wished, &known).err().unwrap_or_default()
    }

    #[test]
    fn a_language_that_is_not_there_is_refused_with_those_that_are() {
        assert_eq!(refused("fr", &["en", "de"]), "this node hears en, de, and not fr");
        assert_eq!(refused("\u{7}x", &["en"]), "this node hears en, and not x");
        assert!(refused(&"x".repeat(9000), &["en"]).len() < 100);
    }

    #[test]
    fn a_countrys_manner_of_a_language_is_that_language() {
        for wished in ["en", "EN", "en-US", "en_us", "en-us+f3"] {
            assert_eq!(refused(wished, &["en", "de"]), "", "{wished}");
            assert_eq!(refused(wished, &["en-us", "en"]), "", "{wished}");
        }
        assert_eq!(refused("en-us", &["en-us"]), "");
        assert_ne!(refused("eng", &["en"]), "");
    }

    #[test]
    fn where_nothing_is_known_nothing_is_refused() {
        assert_eq!(refused("xx", &[]), "");
    }
}
