//! Opens an ear for the desk: pocketsphinx where its program is named, else whisper, or says that this agent was built
//! without it.

use super::desk::{OpenEar, Opener};
use super::sphinx::{self, Sphinx};
use std::path::Path;

pub fn opener() -> Opener {
    Box::new(|path| match path.ends_with(sphinx::PROGRAM) {
        true => Ok(Box::new(Sphinx::open(path)?)),
        false => whisper(path),
    })
}

#[cfg(not(feature = "hear"))]
fn whisper(_: &Path) -> Result<Box<dyn OpenEar>, String> {
    Err("this agent was built without hearing".into())
}

#[cfg(feature = "hear")]
fn whisper(path: &Path) -> Result<Box<dyn OpenEar>, String> {
    super::kernel_choice::take(None).map_err(|error| format!("{error:#}"))?;
    let ear = super::ear::Ear::open(path).map_err(|error| error.to_string())?;
    Ok(Box::new(whisper::Whisper(ear)))
}

#[cfg(feature = "hear")]
mod whisper {
    use crate::hear::desk::{How, Miss, OpenEar, Text};
    use crate::hear::ear::{Ear, HearError, Options, Steps};
    use crate::talk::tongue::primary;

    pub struct Whisper(pub Ear);

    impl OpenEar for Whisper {
        fn hear(&mut self, pcm: &[i16], how: &How, stop: &dyn Fn() -> bool) -> Result<Text, Miss> {
            let sound: Vec<f32> = pcm.iter().map(|sample| f32::from(*sample) / 32_768.0).collect();
            let options = Options {
                language: primary(&how.language).to_ascii_lowercase(),
                threads: how.threads,
                audio_ctx: None,
                n_tokens: None,
                steps: Steps::Ours,
            };
            match self.0.hear(&sound, &options, stop) {
                Ok(heard) => Ok(Text {
                    text: heard.text,
                    cpu_s: heard.whole.cpu_s,
                    audio_ctx: heard.audio_ctx,
                    was_doubted: heard.was_doubted,
                }),
                Err(HearError::Aborted) => Err(Miss::Stopped),
                Err(error) => Err(Miss::Failed(error.to_string())),
            }
        }

        fn set_hot_words(&mut self, words: &[String]) {
            self.0.set_hot_words(words);
        }

        fn languages(&self) -> Vec<String> {
            self.0.languages()
        }
    }
}
