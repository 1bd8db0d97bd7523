//! The thread that hears: it opens the model, follows its file, and takes one wish after the other.

use super::file::{self, Choice};
use super::load::Load;
use super::queue::Wish;
use super::{How, Inner, Miss, OpenEar, Opener, Readiness, Shared, THREADS_MAX};
use crate::hear::RATE;
use crate::talk::parts::HearEnd;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

/// Between two looks at the model's file.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What this thread has.
#[derive(Default)]
struct Held {
    ear: Option<Box<dyn OpenEar>>,
    /// What was tried last, in which language.
    tried: Option<(Result<Vec<Choice>, String>, String)>,
    /// Which of them hears.
    opened: usize,
}

impl Held {
    /// Whether this would be tried in vain, or be what hears already: what comes behind it makes no difference to an ear.
    fn has_tried(&self, choices: &Result<Vec<Choice>, String>, language: &str) -> bool {
        let Some((tried, in_language)) = &self.tried else { return false };
        match (&self.ear, tried, choices) {
            // A model that is here hears another language without being loaded again.
            (Some(_), Ok(old), Ok(new)) => old.get(..=self.opened) == new.get(..=self.opened),
            (Some(_), ..) => tried == choices,
            (None, ..) => tried == choices && in_language == language,
        }
    }
}

pub fn run(shared: &Shared, open: &Opener) {
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get().min(THREADS_MAX));
    let mut held = Held::default();
    loop {
        if shared.lock().is_over {
            break;
        }
        follow_file(shared, open, &mut held, threads);
        let Some(wish) = next(shared, &mut held) else { continue };
        match &mut held.ear {
            Some(ear) => hear(shared, ear.as_mut(), wish, threads),
            None => {
                let why = shared.lock().status.sentence.clone();
                wish.end(HearEnd::failed(why));
            }
        }
    }
    let left: Vec<Wish> = shared.lock().queue.drain().collect();
    left.into_iter().for_each(|wish| wish.end(HearEnd::failed("hearing ends here")));
}

/// Opens the model if its file is another than before. A file that could not be opened is tried again when it changes.
fn follow_file(shared: &Shared, open: &Opener, held: &mut Held, threads: usize) {
    let wanted = shared.lock().wanted.clone();
    let choices = file::choices(&wanted);
    if held.has_tried(&choices, &wanted.language) {
        return;
    }
    held.tried = Some((choices.clone(), wanted.language.clone()));
    // The old model goes first: two need not have room.
    held.ear = None;
    let choices = match choices {
        Ok(choices) => choices,
        Err(why) => return tell(shared, Readiness::Absent, "", &why),
    };
    tell(shared, Readiness::Loading, &choices[0].name(), "the model that hears is being loaded");
    let mut first_why = None;
    for (idx, choice) in choices.iter().enumerate() {
        let name = choice.name();
        match open(&choice.path) {
            Ok(mut ear) => {
                let (words, language) = {
                    let mut inner = shared.lock();
                    inner.has_new_words = false;
                    (inner.hot_words.clone(), inner.wanted.language.clone())
                };
                ear.set_hot_words(&words);
                let languages = ear.languages();
                match measured(ear.as_mut(), &language, threads) {
                    Ok(load) => {
                        (held.ear, held.opened) = (Some(ear), idx);
                        let mut inner = shared.lock();
                        (inner.load, inner.status.languages) = (load, languages);
                        drop(inner);
                        return tell(shared, Readiness::Ready, &name, &file::sentence(choice, &wanted));
                    }
                    Err(why) => first_why.get_or_insert(format!("the model that hears, {name}: {why}")),
                }
            }
            Err(why) => first_why.get_or_insert(format!("the model that hears, {name}: {why}")),
        };
    }
    tell(shared, Readiness::Failed, &choices[0].name(), &first_why.unwrap_or_default());
}

fn tell(shared: &Shared, readiness: Readiness, model: &str, sentence: &str) {
    use service::log::{Level, say};
    let mut inner = shared.lock();
    inner.status.readiness = readiness;
    inner.status.model = model.to_owned();
    inner.status.sentence = sentence.to_owned();
    let level = if readiness == Readiness::Failed { Level::Warning } else { Level::Info };
    say(level, &format!("duet: {sentence}"));
    if matches!(readiness, Readiness::Absent | Readiness::Failed) {
        (inner.load, inner.status.languages) = (Load::default(), vec![]);
        let left: Vec<Wish> = inner.queue.drain().collect();
        drop(inner);
        left.into_iter().for_each(|wish| wish.end(HearEnd::failed(sentence)));
    }
}

/// A second of soft noise: caches are warm then, a language that the model does not know is told before anybody
/// speaks, and neighbours are told a speed.
fn measured(ear: &mut dyn OpenEar, language: &str, threads: usize) -> Result<Load, String> {
    let mut dice = 1u32;
    let mut roll = || {
        dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (dice >> 24) as i16 - 128
    };
    let noise: Vec<i16> = (0..RATE).map(|_| roll()).collect();
    let how = How { language: language.to_owned(), threads };
    let mut load = Load::default();
    // The first is slower than any after it.
    for _ in 0..2 {
        let began = Instant::now();
        match ear.hear(&noise, &how, &|| false) {
            Ok(_) => {
                load.forget();
                load.add(noise.len(), began.elapsed().as_secs_f64());
            }
            Err(Miss::Failed(why)) => return Err(why),
            Err(Miss::Stopped) => {}
        }
    }
    Ok(load)
}

/// Waits for a wish, at most until the file is to be looked at again.
fn next(shared: &Shared, held: &mut Held) -> Option<Wish> {
    let mut inner = shared.lock();
    if inner.queue.is_empty() && !inner.is_over {
        let waited = shared.woken.wait_timeout(inner, LOOK_EVERY);
        inner = waited.unwrap_or_else(PoisonError::into_inner).0;
    }
    if inner.has_new_words
        && let Some(ear) = &mut held.ear
    {
        ear.set_hot_words(&inner.hot_words);
        inner.has_new_words = false;
    }
    let wish = inner.queue.pop()?;
    inner.load.begin(wish.job.pcm.len(), Instant::now());
    Some(wish)
}

fn hear(shared: &Shared, ear: &mut dyn OpenEar, wish: Wish, threads: usize) {
    let language = wish.job.language.clone().unwrap_or_else(|| shared.lock().wanted.language.clone());
    let how = How { language, threads };
    let stop = || wish.job.stop.is_stopped() || (wish.makes_room() && shared.lock().queue.has_person());
    let waited_s = wish.since.elapsed().as_secs_f64();
    let began = Instant::now();
    let heard = ear.hear(&wish.job.pcm, &how, &stop);
    let worked_s = began.elapsed().as_secs_f64();
    let mut inner: std::sync::MutexGuard<'_, Inner> = shared.lock();
    inner.load.end();
    let end = match heard {
        Ok(text) => {
            inner.load.add(wish.job.pcm.len(), worked_s);
            inner.status.n_heard += 1;
            inner.status.n_doubted += u64::from(text.was_doubted);
            HearEnd {
                text: Ok(text.text),
                elsewhere: None,
                waited_s,
                worked_s,
                cpu_s: text.cpu_s,
                audio_ctx: text.audio_ctx,
                was_doubted: text.was_doubted,
            }
        }
        Err(Miss::Stopped) => {
            if !wish.job.stop.is_stopped() {
                inner.queue.put_off(wish);
            }
            return;
        }
        Err(Miss::Failed(why)) => HearEnd { waited_s, worked_s, ..HearEnd::failed(why) },
    };
    // Whoever is called back may ask for more.
    drop(inner);
    wish.end(end);
}
