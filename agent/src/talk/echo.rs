//! For tests of the doors: hands that answer at once, with what they were given.

use super::Shared;
use super::parts::*;
use super::testing::heard;
use std::sync::Arc;

/// Hears how many samples there were, thinks what was said, and speaks a sample for each byte.
struct Echo;

impl Hear for Echo {
    fn hear(&self, job: HearJob) {
        (job.done)(heard(Ok(format!("{} samples", job.pcm.len()))));
    }
}

impl Speak for Echo {
    fn speak(&self, mut job: SpeakJob) {
        let pcm = vec![7; job.text.len()];
        (job.sink)(Sound::Piece { rate: 1000, pcm: &pcm });
        (job.sink)(Sound::End);
    }
}

impl Answer for Echo {
    fn answer(&self, mut job: AskJob) {
        (job.sink)(Part::By("an echo".into()));
        (job.sink)(Part::Words(format!("You said {}.", job.text)));
        (job.sink)(Part::End);
    }
}

pub fn shared() -> Shared {
    Shared { ear: Arc::new(Echo), mouth: Arc::new(Echo), mind: Arc::new(Echo) }
}
