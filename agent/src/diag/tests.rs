//! A person at the line, and a PC with nothing in it.

use super::line::Event;
use super::*;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::sync::mpsc::{Receiver, SyncSender};

/// A PC with nothing in it; what the agent is told is noted, and may be answered.
struct Fake {
    told: RefCell<Vec<String>>,
    answers: RefCell<Vec<(&'static str, Vec<Value>)>>,
    events: SyncSender<Event>,
    root: PathBuf,
    is_away: bool,
}

impl Hands for Fake {
    fn status(&self) -> String {
        "node       kitchen\nhealth     healthy: all is well\nunit       agent.service active\n".into()
    }

    fn journal(&self) -> String {
        (1..=100).map(|n| format!("line {n}.\n")).collect()
    }

    fn models(&self) -> String {
        "general (a.gguf, 1 MB) is loaded\n".into()
    }

    fn available_bytes(&self) -> u64 {
        4 * memory::BLOCK_BYTES as u64
    }

    fn tell(&self, line: &str) -> bool {
        if self.is_away {
            return false;
        }
        self.told.borrow_mut().push(line.to_owned());
        let mut answers = self.answers.borrow_mut();
        if let Some(at) = answers.iter().position(|(begin, _)| line.starts_with(begin)) {
            for told in answers.remove(at).1 {
                self.events.send(Event::Told(told.to_string())).unwrap();
            }
        }
        true
    }

    fn root(&self) -> &Path {
        &self.root
    }
}

fn fake() -> (Fake, Receiver<Event>) {
    let (events, receiver) = sync_channel(1000);
    let root = PathBuf::from("/nowhere");
    let (told, answers) = Default::default();
    (Fake { told, answers, events, root, is_away: false }, receiver)
}

/// What is shown while this is typed.
fn shown(fake: &Fake, receiver: Receiver<Event>, typed: &str) -> (String, Option<End>) {
    fake.events.send(Event::Typed(typed.into())).unwrap();
    fake.events.send(Event::End(Ok(()))).unwrap();
    let mut output = Vec::new();
    let end = serve(&mut Line::new(receiver, &mut output), fake);
    (String::from_utf8(output).unwrap(), end.ok())
}

/// What one command shows, while this is typed.
fn done(fake: &Fake, receiver: Receiver<Event>, command: Command, typed: &str) -> String {
    fake.events.send(Event::Typed(typed.into())).unwrap();
    let mut output = Vec::new();
    assert!(matches!(obey(&mut Line::new(receiver, &mut output), fake, command), Ok(None)));
    String::from_utf8(output).unwrap()
}

/// Commands of which each is obeyed before the next is typed.
#[cfg(feature = "sound")]
fn typed_one_by_one(fake: &Fake, receiver: Receiver<Event>, typed: &[&str]) -> String {
    let mut output = Vec::new();
    let mut line = Line::new(receiver, &mut output);
    for typed in typed {
        assert!(matches!(obey(&mut line, fake, menu::parse(typed)), Ok(None)));
    }
    drop(line);
    String::from_utf8(output).unwrap()
}

#[test]
fn enter_shows_how_the_pc_is() {
    let (fake, receiver) = fake();
    let (text, end) = shown(&fake, receiver, "");
    assert!(text.contains("kitchen") && !text.contains("agent.service") && text.ends_with(HELLO), "{text}");
    assert_eq!(end, None);
}

#[test]
fn a_terminal_that_ends_lines_twice_is_answered_once() {
    let (fake, receiver) = fake();
    // Once at the beginning, once for this.
    assert_eq!(shown(&fake, receiver, "\r\n").0.matches("kitchen").count(), 2);
}

#[test]
fn letters_show_their_parts() {
    let (fake, receiver) = fake();
    let (text, _) = shown(&fake, receiver, "u\n?\nzz\nz\n");
    assert!(text.contains("agent.service") && text.matches("kitchen").count() == 1, "{text}");
    assert!(text.contains(menu::HELP) && text.contains("\"z\" means nothing here"));
    assert_eq!(*fake.told.borrow(), ["ask zz"]);
}

#[test]
fn what_is_longer_than_a_screen_waits_for_enter() {
    let (fake, receiver) = fake();
    let (text, _) = shown(&fake, receiver, "l 50\n\nq\n");
    let has = |n: usize| text.contains(&format!("line {n}.\n"));
    assert!(has(51) && has(94) && !has(95) && !has(50), "{text}");
    assert!(text.contains("-- 2 of 3; Enter: more, q: enough -- "));
}

#[test]
fn the_log_alone_is_one_screen_and_a_command_ends_a_longer_one() {
    let (fake, receiver) = fake();
    let (text, _) = shown(&fake, receiver, "l\nl 50\nu\n");
    assert!(text.contains("line 100.\nline 51.\n"), "{text}");
    assert!(!text.contains("line 78.\nline 79.\nline 80.\n-- "), "{text}");
    assert!(text.ends_with("unit       agent.service active\n"), "{text}");
}

#[test]
fn only_yes_starts_the_pc_anew() {
    for (typed, want) in [("r\nyes\n", Some(End::Reboot)), ("r\ny\n", None), ("r\n\n", None)] {
        let (fake, receiver) = fake();
        assert_eq!(shown(&fake, receiver, typed).1, want, "{typed:?}");
    }
}

#[test]
fn there_is_a_root_shell_only_where_the_image_has_one() {
    let (mut fake, receiver) = fake();
    let (text, end) = shown(&fake, receiver, "x\n");
    assert!(text.contains("no root shell") && end.is_none(), "{text}");

    let (events, receiver) = sync_channel(1000);
    fake.root = std::env::temp_dir().join(format!("duet-shell-{}", std::process::id()));
    fake.events = events;
    let mark = fake.root.join(SHELL_MARK);
    std::fs::create_dir_all(mark.parent().unwrap()).unwrap();
    std::fs::write(&mark, "").unwrap();
    assert_eq!(shown(&fake, receiver, "x\n").1, Some(End::Shell));
    std::fs::remove_dir_all(&fake.root).unwrap();
}

#[test]
fn t_opens_the_ear_and_closes_it() {
    let (fake, receiver) = fake();
    let mood = |mood: &str| vec![json!({"kind": "mood", "mood": mood})];
    fake.answers.borrow_mut().push(("start", mood("listening")));
    fake.events.send(Event::Typed(b"t\n".to_vec())).unwrap();
    // The second tap comes after the agent has told that it listens.
    let mut line = Line::new(receiver, Vec::new());
    let Ok(Woken::Line(first)) = line.wait(None) else { panic!("nothing was typed") };
    assert!(matches!(obey(&mut line, &fake, menu::parse(&first)), Ok(None)));
    let Ok(Woken::Told(told)) = line.wait(None) else { panic!("nothing was told") };
    assert!(line.show(&told).is_ok());
    assert!(matches!(obey(&mut line, &fake, Command::Talk), Ok(None)));
    assert_eq!(*fake.told.borrow(), ["start", "stop"]);
}

#[test]
fn an_agent_that_is_away_is_said_to_be() {
    let (mut fake, receiver) = fake();
    fake.is_away = true;
    let (text, _) = shown(&fake, receiver, "t\nwhat time is it\ng\n");
    assert_eq!(text.matches(AWAY).count(), 3, "{text}");
}

#[test]
fn the_models_are_asked_and_timed() {
    let (fake, receiver) = fake();
    let answer = vec![
        json!({"kind": "by", "by": "general on kitchen"}),
        json!({"kind": "words", "words": "It is "}),
        json!({"kind": "words", "words": "deep."}),
        json!({"kind": "done", "outcome": "answered"}),
    ];
    fake.answers.borrow_mut().push(("ask ", answer));
    let text = done(&fake, receiver, Command::Models, "");
    for want in [
        "general (a.gguf, 1 MB) is loaded\n",
        "by general on kitchen\n",
        "duet: It is deep.\n",
        ", 3 words in ",
    ] {
        assert!(text.contains(want), "{want:?} is not in {text}");
    }
}

#[test]
fn memory_is_tested_to_its_end_or_until_enter() {
    for (typed, want) in [("", "All of it remembered."), ("\n", "It was ended; nothing was wrong so far.")] {
        let (fake, receiver) = fake();
        let text = done(&fake, receiver, Command::Memory, typed);
        assert!(text.contains(want) && text.contains("pass 1 of 8\n"), "{text}");
        assert!(text.is_ascii() && text.lines().all(|line| line.len() < 80), "{text}");
    }
}

#[cfg(feature = "sound")]
#[test]
fn cards_that_the_agent_keeps_are_not_tried() {
    let (fake, receiver) = fake();
    fake.answers.borrow_mut().push(("lend", vec![json!({"kind": "kept", "sentence": "somebody speaks"})]));
    let text = done(&fake, receiver, Command::Sound, "");
    assert!(text.contains("somebody speaks\n") && !text.contains("tone"), "{text}");
}

#[cfg(feature = "sound")]
#[test]
fn a_device_is_chosen_by_its_number() {
    let (mut fake, receiver) = fake();
    fake.root = std::env::temp_dir().join(format!("duet-choose-{}", std::process::id()));
    std::fs::create_dir_all(fake.root.join("proc/asound")).unwrap();
    let write =
        |name: &str, text: &str| std::fs::write(fake.root.join("proc/asound").join(name), text).unwrap();
    write(
        "cards",
        " 0 [Intel          ]: HDA-Intel - HDA \u{1b}[2JIntel\n 1 [Set            ]: USB-Audio - Headset\n",
    );
    write("pcm", "00-00: A : A : playback 1\n01-00: B : B : playback 1 : capture 1\n");
    for sentence in ["set {\"microphone\":\"plughw:1,0\"}", "set {\"speaker\":\"\"}", "set {\"volume\":50}"] {
        fake.answers.borrow_mut().push((sentence, vec![json!({"kind": "set"})]));
    }
    let text = typed_one_by_one(&fake, receiver, &["d", "d m 2", "d s 0", "d v 50", "d m 3"]);
    assert!(text.contains(" 2  plughw:1,0  Headset (B): speaker and microphone\n"), "{text}");
    assert!(text.contains("HDA ?[2JIntel") && text.is_ascii() && !text.contains('\u{1b}'), "{text}");
    assert_eq!(text.matches("It is so now.\n").count(), 3, "{text}");
    assert!(text.contains("There is no device of this number"), "{text}");
    std::fs::remove_dir_all(&fake.root).unwrap();
}
