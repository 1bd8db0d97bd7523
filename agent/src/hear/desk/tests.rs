//! The desk with an ear that is told what to do.

use super::*;
use crate::hear::away::Nobody;
use crate::talk::parts::{Stop, Who};
use std::fs;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// A test that waits longer than this hangs.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Says the first sample of what it hears. Sound that begins with `HELD` is heard until the test lets go or it is
/// stopped.
struct Parrot {
    begun: Sender<i16>,
    is_held: Arc<Mutex<bool>>,
    hot_words: Arc<Mutex<Vec<String>>>,
}

const HELD: i16 = 1000;

impl OpenEar for Parrot {
    fn hear(&mut self, pcm: &[i16], how: &How, stop: &dyn Fn() -> bool) -> Result<Text, Miss> {
        if how.language == "xx" {
            return Err(Miss::Failed("no language xx".into()));
        }
        let first = pcm[0];
        // What the desk itself hears to measure is no test's business.
        if !(-128..=127).contains(&first) {
            self.begun.send(first).unwrap();
        }
        while first >= HELD && *self.is_held.lock().unwrap() {
            if stop() {
                return Err(Miss::Stopped);
            }
            std::thread::yield_now();
        }
        Ok(Text { text: format!("{} {first}", how.language), ..Text::default() })
    }

    fn set_hot_words(&mut self, words: &[String]) {
        *self.hot_words.lock().unwrap() = words.to_vec();
    }

    fn languages(&self) -> Vec<String> {
        ["en", "de", "fr"].map(String::from).into()
    }
}

struct Story {
    desk: Desk,
    folder: PathBuf,
    begun: Receiver<i16>,
    is_held: Arc<Mutex<bool>>,
    hot_words: Arc<Mutex<Vec<String>>>,
    tell: Sender<(i16, HearEnd)>,
    ends: Receiver<(i16, HearEnd)>,
}

impl Story {
    /// A desk whose models are good if they say so.
    fn new(name: &str, model: &str) -> Story {
        let folder = std::env::temp_dir().join(format!("duet-desk-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        if !model.is_empty() {
            fs::write(folder.join("a.bin"), model).unwrap();
        }
        let (begun, begun_here) = channel();
        let (tell, ends) = channel();
        let is_held = Arc::new(Mutex::new(true));
        let hot_words = Arc::<Mutex<Vec<String>>>::default();
        let (held, hot) = (is_held.clone(), hot_words.clone());
        let open: Opener = Box::new(move |path| match fs::read_to_string(path) {
            Ok(text) if text == "good" => {
                Ok(Box::new(Parrot { begun: begun.clone(), is_held: held.clone(), hot_words: hot.clone() }))
            }
            _ => Err("it is damaged".into()),
        });
        let desk = Desk::start(Story::wanted(&folder), open, Box::new(Nobody)).unwrap();
        Story { desk, folder, begun: begun_here, is_held, hot_words, tell, ends }
    }

    fn wanted(folder: &Path) -> Wanted {
        Wanted { models: folder.to_owned(), model: None, language: "en".into(), sphinx: None }
    }

    fn wait(&self, what: &str, is_so: impl Fn() -> bool) {
        let began = std::time::Instant::now();
        while !is_so() {
            assert!(began.elapsed() < WAIT_MAX, "not so in time: {what}; {:?}", self.desk.status());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn ready(self) -> Story {
        self.wait("the model is ready", || self.desk.status().readiness == Readiness::Ready);
        self
    }

    fn job(&self, first: i16, who: Who) -> HearJob {
        let ends = self.tell.clone();
        let done = Box::new(move |end| ends.send((first, end)).unwrap());
        HearJob { pcm: vec![first; 1600], who, language: None, stop: Stop::default(), done }
    }

    fn hear_in(&self, first: i16, language: &str) {
        self.desk.hear(HearJob { language: Some(language.into()), ..self.job(first, Who::Program(1)) });
    }

    fn hear(&self, first: i16, is_guess: bool) -> Stop {
        let job = self.job(first, if is_guess { Who::Guess } else { Who::Person });
        let stop = job.stop.clone();
        self.desk.hear(job);
        stop
    }

    fn begun(&self) -> i16 {
        self.begun.recv_timeout(WAIT_MAX).unwrap()
    }

    fn let_go(&self) {
        *self.is_held.lock().unwrap() = false;
    }

    /// Who was heard next, and the words or the reason.
    fn end(&self) -> (i16, Result<String, String>) {
        let (first, end) = self.ends.recv_timeout(WAIT_MAX).unwrap();
        (first, end.text)
    }
}

impl Drop for Story {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn a_wish_becomes_words_in_the_owners_language() {
    let story = Story::new("words", "good").ready();
    story.hear(500, false);
    assert_eq!(story.end(), (500, Ok("en 500".into())));
    story.desk.set(Wanted { language: "de".into(), ..Story::wanted(&story.folder) });
    story.hear(501, false);
    assert_eq!(story.end(), (501, Ok("de 501".into())));
    assert!(story.desk.status().milli > 0, "the load measured no speed");
}

#[test]
fn persons_are_heard_before_guesses() {
    let story = Story::new("persons", "good").ready();
    story.hear(HELD, false);
    assert_eq!(story.begun(), HELD);
    story.hear(200, true);
    story.hear(201, false);
    story.hear(202, true);
    story.hear(203, false);
    story.let_go();
    let order: Vec<i16> = (0..5).map(|_| story.end().0).collect();
    assert_eq!(order, [HELD, 201, 203, 200, 202]);
}

#[test]
fn a_guess_that_is_being_heard_makes_room_for_a_person_once() {
    let story = Story::new("room", "good").ready();
    story.hear(HELD + 1, true);
    assert_eq!(story.begun(), HELD + 1);
    story.hear(300, false);
    assert_eq!(story.end().0, 300);
    // Now it is being heard again, and the next person waits.
    assert_eq!((story.begun(), story.begun()), (300, HELD + 1));
    story.hear(301, false);
    story.let_go();
    assert_eq!((story.end().0, story.end().0), (HELD + 1, 301));
}

#[test]
fn a_program_that_is_being_heard_makes_room_for_a_person_and_waits_for_no_guess() {
    let story = Story::new("program", "good").ready();
    story.desk.hear(story.job(HELD + 1, Who::Program(1)));
    assert_eq!(story.begun(), HELD + 1);
    story.hear(300, true);
    story.hear(301, false);
    assert_eq!((story.end().0, story.begun(), story.begun()), (301, 301, HELD + 1));
    story.let_go();
    assert_eq!((story.end().0, story.end().0), (HELD + 1, 300));
}

#[test]
fn each_is_heard_in_its_language_and_another_is_refused_with_those_that_there_are() {
    let story = Story::new("tongues", "good").ready();
    story.hear_in(500, "de");
    assert_eq!(story.end(), (500, Ok("de 500".into())));
    story.hear_in(501, "fr-CA");
    assert_eq!(story.end(), (501, Ok("fr-CA 501".into())));
    story.hear_in(502, "xx");
    assert_eq!(story.end(), (502, Err("this node hears en, de, fr, and not xx".into())));
    assert_eq!(story.desk.languages(), ["en", "de", "fr"]);
}

#[test]
fn who_no_longer_waits_is_called_back_no_more() {
    let story = Story::new("stop", "good").ready();
    let running = story.hear(HELD, false);
    assert_eq!(story.begun(), HELD);
    let waiting = story.hear(400, false);
    story.hear(401, false);
    waiting.stop();
    running.stop();
    assert_eq!(story.end().0, 401);
    assert!(story.ends.try_recv().is_err());
}

#[test]
fn the_queue_has_an_end_and_a_person_takes_the_place_of_a_guess() {
    let story = Story::new("full", "good").ready();
    story.hear(HELD, false);
    assert_eq!(story.begun(), HELD);
    let n = queue::WISHES_MAX as i16;
    (0..n).for_each(|idx| drop(story.hear(200 + idx, idx == n - 1)));
    story.hear(300, true);
    assert_eq!(story.end(), (300, Err(queue::FULL.into())));
    story.hear(301, false);
    assert_eq!(story.end(), (200 + n - 1, Err(queue::FULL.into())));
    story.hear(302, false);
    assert_eq!(story.end(), (302, Err(queue::FULL.into())));
    story.let_go();
    let last: Vec<i16> = (0..=n).map(|_| story.end().0).collect();
    assert_eq!(last.last(), Some(&301));
}

#[test]
fn a_missing_model_is_told_and_found_when_it_comes() {
    let story = Story::new("missing", "");
    story.wait("it is missed", || story.desk.status().sentence.contains("no model that hears"));
    story.hear(500, false);
    let why = story.end().1.unwrap_err();
    assert!(why.contains("no model that hears") && why.contains("duet-desk-missing"), "{why}");
    fs::write(story.folder.join("b.bin"), "good").unwrap();
    let story = story.ready();
    assert_eq!(story.desk.status().model, "b.bin");
}

#[test]
fn a_damaged_model_is_told_and_tried_again_when_it_changes() {
    let story = Story::new("damaged", "bad");
    story.wait("it failed", || story.desk.status().readiness == Readiness::Failed);
    assert_eq!(story.desk.status().sentence, "the model that hears, a.bin: it is damaged");
    story.hear(500, false);
    assert_eq!(story.end().1.unwrap_err(), "the model that hears, a.bin: it is damaged");
    fs::write(story.folder.join("a.new"), "good").unwrap();
    fs::rename(story.folder.join("a.new"), story.folder.join("a.bin")).unwrap();
    story.ready();
}

#[test]
fn a_damaged_file_beside_a_good_one_is_passed_over() {
    let story = Story::new("beside", "bad");
    fs::write(story.folder.join("silero.bin"), "good").unwrap();
    fs::write(story.folder.join("z.bin"), "good").unwrap();
    let story = story.ready();
    assert_eq!(story.desk.status().model, "z.bin");
}

#[test]
fn a_language_that_the_model_does_not_know_is_told_before_anybody_speaks() {
    let story = Story::new("language", "");
    story.desk.set(Wanted { language: "xx".into(), ..Story::wanted(&story.folder) });
    fs::write(story.folder.join("a.bin"), "good").unwrap();
    story.wait("it is told", || story.desk.status().sentence.ends_with("a.bin: no language xx"));
    story.desk.set(Story::wanted(&story.folder));
    story.ready();
}

#[test]
fn hot_words_reach_the_model_and_the_next_one() {
    let story = Story::new("hot", "good").ready();
    story.desk.set_hot_words(["attic", "duet-0a1b2c", "living-room"].map(String::from));
    let has = || *story.hot_words.lock().unwrap() == ["attic", "living room"];
    story.wait("the words are there", has);
    story.hot_words.lock().unwrap().clear();
    fs::write(story.folder.join("a.new"), "good").unwrap();
    fs::rename(story.folder.join("a.new"), story.folder.join("a.bin")).unwrap();
    story.wait("the next model has them too", has);
}

#[test]
fn a_neighbour_is_heard_only_while_nobody_is_heard_here() {
    let story = Story::new("neighbour", "good").ready();
    let french = |first| HearJob { language: Some("fr".into()), ..story.job(first, Who::Person) };
    story.desk.hear_for_another(french(500)).unwrap();
    assert_eq!(story.end(), (500, Ok("fr 500".into())));
    assert_eq!(story.begun(), 500);
    story.hear(HELD, false);
    assert_eq!(story.begun(), HELD);
    assert_eq!(story.desk.hear_for_another(story.job(501, Who::Person)), Err(Refusal::Busy));
    story.let_go();
    let none = Story::new("neighbour-none", "");
    none.wait("it is missed", || none.desk.status().sentence.contains("no model"));
    assert_eq!(none.desk.hear_for_another(none.job(502, Who::Person)), Err(Refusal::NoModel));
}
