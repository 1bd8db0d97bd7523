//! In which voice to speak: what was asked for, else what is nearest to it.

use super::engine::{Engine, SpeechError, Voice, is_voice_name};
use crate::talk::tongue::primary;
use admission::VoiceSettings;

/// Spoken where nothing that was asked for is there; every image has it.
const LAST: &str = "en";

/// What the owner set of the voice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// The best first.
    names: Vec<String>,
    rate: u16,
    pitch: u8,
}

/// The voice that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub name: String,
    /// A sentence, where it is not the one that was asked for.
    pub instead: Option<String>,
}

impl Wish {
    pub fn of(settings: &VoiceSettings) -> Wish {
        let mut wish = Wish { names: vec![], rate: settings.rate, pitch: settings.pitch };
        wish.names.extend(settings.voice.iter().cloned());
        for name in [settings.language.as_str(), primary(&settings.language), LAST] {
            wish.add(name);
        }
        wish
    }

    /// The same manner in another voice, if there is one; the owner's own where there is not.
    pub fn but(&self, voice: Option<&str>) -> Wish {
        let Some(voice) = voice else { return self.clone() };
        let mut wish = Wish { names: vec![voice.to_owned()], ..*self };
        wish.add(primary(voice));
        self.names.iter().for_each(|name| wish.add(name));
        wish
    }

    fn add(&mut self, name: &str) {
        if !self.names.iter().any(|known| known == name) {
            self.names.push(name.to_owned());
        }
    }

    /// Sets the first voice of the wish that the engine has.
    pub fn set(&self, engine: &mut dyn Engine) -> Result<Found, SpeechError> {
        let mut missing = None;
        for name in &self.names {
            let voice = Voice { name: name.clone(), rate: self.rate, pitch: self.pitch };
            let is_set = if is_voice_name(name) { engine.set(&voice) } else { Err(unknown(name)) };
            match (is_set, missing) {
                (Ok(()), None) => return Ok(Found { name: voice.name, instead: None }),
                (Ok(()), Some(error)) => {
                    let instead = Some(format!("{error}; {name} speaks instead"));
                    return Ok(Found { name: voice.name, instead });
                }
                (Err(error @ SpeechError::Voice { .. }), first) => missing = first.or(Some(error)),
                (Err(error), _) => return Err(error),
            }
        }
        Err(missing.unwrap_or_else(|| unknown(LAST)))
    }
}

fn unknown(name: &str) -> SpeechError {
    SpeechError::Voice { name: name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::speech::tone::Tone;

    /// The engine knows en, de and fr.
    fn check(language: &str, voice: Option<&str>, but: Option<&str>, want: &str) {
        let settings = VoiceSettings {
            language: language.into(),
            voice: voice.map(str::to_owned),
            ..Default::default()
        };
        let found = Wish::of(&settings).but(but).set(&mut Tone::default()).unwrap();
        let told = found.instead.map_or(String::new(), |instead| format!(": {instead}"));
        assert_eq!(found.name + &told, want);
    }

    #[test]
    fn the_owners_voice_speaks_and_else_that_of_the_language() {
        check("de", Some("fr"), None, "fr");
        check("de", None, None, "de");
        let end = "the image holds the languages that it was built with";
        check("de", Some("xx"), None, &format!("de: there is no voice \"xx\"; {end}; de speaks instead"));
        check("de-AT", None, None, &format!("de: there is no voice \"de-AT\"; {end}; de speaks instead"));
        check("xx", None, None, &format!("en: there is no voice \"xx\"; {end}; en speaks instead"));
    }

    #[test]
    fn one_clause_may_have_another_voice() {
        check("de", None, Some("fr"), "fr");
        let end = "the image holds the languages that it was built with";
        check(
            "de",
            None,
            Some("fr-CA"),
            &format!("fr: there is no voice \"fr-CA\"; {end}; fr speaks instead"),
        );
        check("de", None, Some("../x"), &format!("de: there is no voice \"../x\"; {end}; de speaks instead"));
    }

    #[test]
    fn an_engine_without_any_voice_says_which_is_missing() {
        struct Mute;
        impl Engine for Mute {
            fn name(&self) -> &'static str {
                "mute"
            }
            fn rate(&self) -> u32 {
                1
            }
            fn set(&mut self, voice: &Voice) -> Result<(), SpeechError> {
                Err(unknown(&voice.name))
            }
            fn voices(&self) -> Vec<String> {
                vec![]
            }
            fn say(&mut self, _: &str, _: crate::speech::engine::Sink<'_>) -> Result<(), SpeechError> {
                Ok(())
            }
        }
        let wish = Wish::of(&VoiceSettings { language: "de".into(), ..Default::default() });
        assert_eq!(wish.set(&mut Mute), Err(unknown("de")));
    }
}
