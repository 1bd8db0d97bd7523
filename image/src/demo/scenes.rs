//! The conversation of the demo: three sentences at one PC, and the other one is switched off before the last.
//!
//! The boot tests play the same scenes. What is said is said by a voice that no model of ours was trained with.

use super::models::{Models, TALK};
use crate::progress::{Progress, Step};
use crate::vm::hands;
use crate::vm::machine;
use crate::vm::person::{self, Person, Turn};
use crate::vm::shelf::Shelf;
use anyhow::{Result, bail, ensure};
use serde::Serialize;
use serde_json::Value;
use std::time::{Duration, Instant};

/// In `NEW_VARIANTS` of models/train/speech/synth.py, which no training takes.
pub const VOICE: &str = "en-us+m7";
/// The PC at which somebody sits down at first.
const FIRST: usize = 0;
/// Where nobody but the last resort is, it chooses a tool for everything.
const ASKS_A_TOOL: &str = "which nodes are online";
/// It goes to the expert for what is enjoyed, who lives on one PC alone; where that is gone, to the last resort.
const ASKS_THE_OTHER: &str = "tell me a joke";
/// One who is not understood says it again.
const TRIES_MAX: usize = 3;
/// A plan is mended when the PCs have measured how fast they are; an expert may move once or twice before it stays.
const MOVES_MAX: usize = 4;
/// Until both PCs follow a plan; a coordinator waits 10 s for others.
const PLAN_MAX: Duration = Duration::from_secs(300);
/// Until a PC notices that another is gone: 4 s by the gossip, more where two PCs share what one has.
const GONE_MAX: Duration = Duration::from_secs(60);
const EXPERT: &str = "jester";
/// Steps of a progress that this takes.
pub const N_STEPS: usize = 9;

/// What came of it.
#[derive(Debug, Serialize)]
pub struct Played {
    pub voice: &'static str,
    /// The PC at which somebody sat, and the one that was switched off.
    pub at: String,
    pub off: String,
    /// From the switch to the other's word that it is gone.
    pub noticed_s: f64,
    pub turns: Vec<Turn>,
}

/// Hears of each turn as it ends.
pub type Tell<'a> = &'a mut dyn FnMut(usize, &Turn);

/// Two healthy PCs, and a key for the voice.
pub fn play(
    shelf: &mut Shelf,
    models: &Models,
    key: &str,
    progress: &Progress,
    tell: Tell<'_>,
) -> Result<Played> {
    ensure!(shelf.n_pcs() == 2, "the scenes are for two PCs");
    let step = progress.step("the models of our own, on both PCs", None);
    for pc_idx in 0..2 {
        models.wait(shelf, pc_idx, &|what| step.note(what))?;
    }
    step.done("fetched from the boot server and each other");

    let person = sit(shelf, FIRST, key, progress)?;
    let first = says(&person, 1, ASKS_A_TOOL, &|turn| turn.tool.is_some(), progress)?;
    tell(1, &first);

    let (off, second) = ask_the_other(shelf, key, progress)?;
    tell(2, &second);

    let at = 1 - off;
    let noticed_s = switch_off(shelf, off, at, progress)?;
    let person = sit(shelf, at, key, progress)?;
    let alone = |turn: &Turn| !names(turn, &machine::name(off)) && !turn.answer.is_empty();
    let third = says(&person, 3, ASKS_THE_OTHER, &alone, progress)?;
    tell(3, &third);
    let turns = vec![first, second, third];
    Ok(Played { voice: VOICE, at: machine::name(at), off: machine::name(off), noticed_s, turns })
}

fn sit<'a>(shelf: &'a Shelf, pc_idx: usize, key: &'a str, progress: &Progress) -> Result<Person<'a>> {
    let step = progress.step(&format!("somebody sits down at {}", machine::name(pc_idx)), None);
    let person = Person::sit(shelf, pc_idx, key, VOICE, &|what| step.note(what))?;
    step.done("it hears");
    Ok(person)
}

/// Says it until the turn is what the scene is about.
fn says(
    person: &Person<'_>,
    number: usize,
    text: &str,
    is_it: &dyn Fn(&Turn) -> bool,
    progress: &Progress,
) -> Result<Turn> {
    let step = progress.step(&format!("turn {number}: {text}"), None);
    for _ in 0..TRIES_MAX {
        if let Some(turn) = says_once(person, text, is_it, &step)? {
            step.done("answered");
            return Ok(turn);
        }
    }
    bail!("{text:?} was said {TRIES_MAX} times, and no turn was what turn {number} is about")
}

/// The turn, if it is what the scene is about; another one is told, because what failed is in it.
fn says_once(
    person: &Person<'_>,
    text: &str,
    is_it: &dyn Fn(&Turn) -> bool,
    step: &Step,
) -> Result<Option<Turn>> {
    let turn = person.says(text, &|what| step.note(what))?;
    if turn.outcome == "answered" && is_it(&turn) {
        return Ok(Some(turn));
    }
    step.say(&format!("another turn than was wanted: {}", serde_json::to_string(&turn)?));
    Ok(None)
}

/// Gives a new expert of one copy to the cluster, and asks it from the PC where it is not. Says where it is.
fn ask_the_other(shelf: &Shelf, key: &str, progress: &Progress) -> Result<(usize, Turn)> {
    for pc_idx in 0..2 {
        hands::run(shelf, pc_idx, &expert())?;
    }
    let step = progress.step("the cluster plans who holds which model", None);
    let mut off = holder(shelf, &step)?;
    step.done(&format!("{EXPERT} is ready on {}", machine::name(off)));
    let mut person = sit(shelf, 1 - off, key, progress)?;
    let step = progress.step(&format!("turn 2: {ASKS_THE_OTHER}"), None);
    for _ in 0..TRIES_MAX + MOVES_MAX {
        let by_other = |turn: &Turn| names(turn, &machine::name(off));
        if let Some(turn) = says_once(&person, ASKS_THE_OTHER, &by_other, &step)? {
            step.done("answered");
            return Ok((off, turn));
        }
        let now = holder(shelf, &step)?;
        if now != off {
            off = now;
            let (place, seat) = (machine::name(off), machine::name(1 - off));
            step.say(&format!("the plan moved {EXPERT} to {place}, so somebody sits down at {seat}"));
            person = Person::sit(shelf, 1 - off, key, VOICE, &|what| step.note(what))?;
        }
    }
    bail!("{ASKS_THE_OTHER:?} was said {} times, and the other PC never answered", TRIES_MAX + MOVES_MAX)
}

/// Whether an answer came from this PC: who answered is told as `expert on place (why)`.
fn names(turn: &Turn, name: &str) -> bool {
    let place = format!(" on {name}");
    turn.by.iter().any(|by| by.split(" (").next().is_some_and(|who| who.ends_with(&place)))
}

/// An expert of the owner's own with one copy: the same small model, for what is to be enjoyed.
fn expert() -> String {
    let lines = [
        format!("name = \"{EXPERT}\""),
        format!("model = \"{TALK}\""),
        "quantisation = \"Q8_0\"".to_owned(),
        "context = 256".to_owned(),
        "slots = 1".to_owned(),
        "copies = 1".to_owned(),
        "tags = [\"creative\"]".to_owned(),
    ];
    let text = lines.join("\\n");
    format!("printf '{text}\\n' >/usr/share/duet/experts/{EXPERT}.toml")
}

/// The one PC that holds that expert, once it is ready there; while it moves two may name it.
fn holder(shelf: &Shelf, step: &Step) -> Result<usize> {
    let begun = Instant::now();
    loop {
        let held = [0, 1].map(|pc_idx| held(&person::status(shelf, pc_idx)));
        match held {
            [Held::Ready, Held::No] => return Ok(0),
            [Held::No, Held::Ready] => return Ok(1),
            _ => {}
        }
        step.note("a plan is made when all are there for 10 s");
        if begun.elapsed() > PLAN_MAX {
            let plans: Vec<String> =
                (0..2).map(|pc_idx| shelf.node_get(pc_idx, "/api/plan").unwrap_or_default()).collect();
            bail!("no PC alone holds {EXPERT} after {} s; the plans: {plans:?}", PLAN_MAX.as_secs());
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Held {
    No,
    /// It loads, or it ends, or nobody knows.
    Nearly,
    Ready,
}

fn held(status: &Value) -> Held {
    let experts = status["holds"]["experts"].as_array();
    match experts.into_iter().flatten().find(|expert| expert["name"] == EXPERT) {
        // An agent that does not answer may hold anything.
        None if status.is_null() => Held::Nearly,
        None => Held::No,
        Some(expert) if expert["state"] == "ready" => Held::Ready,
        Some(_) => Held::Nearly,
    }
}

/// Switches a PC off, and says how long the other needed to notice.
fn switch_off(shelf: &mut Shelf, off: usize, at: usize, progress: &Progress) -> Result<f64> {
    let (name, begun) = (machine::name(off), Instant::now());
    let step = progress.step(&format!("{name} is switched off"), None);
    shelf.power_off(off)?;
    let gone = |status: &Value| {
        let members = status["cluster"]["picture"]["members"].as_array();
        let mut members = members.into_iter().flatten();
        members
            .find(|member| member["name"] == name.as_str())
            .is_some_and(|member| member["standing"] != "alive")
    };
    let tell = |what: &str| step.note(what);
    person::until(shelf, at, &format!("the word that {name} is gone"), GONE_MAX, &tell, gone)?;
    let took = begun.elapsed().as_secs_f64();
    step.done("the other one noticed");
    Ok(took)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_turn_names_the_pc_that_answered_and_no_longer_name() {
        let turn = |by: &str| Turn {
            node: "pc1".into(),
            want: String::new(),
            heard: String::new(),
            route: String::new(),
            tool: None,
            answer: String::new(),
            by: vec![by.into()],
            outcome: "answered".into(),
            stages: vec![],
            silence_ms: None,
            played_s: 0.0,
            troubles: vec![],
        };
        assert!(names(&turn("jester on pc2 (on pc2, 0 of 1 slots taken)"), "pc2"));
        assert!(!names(&turn("jester on pc20 (here)"), "pc2"));
        assert!(!names(&turn("last-resort on pc1 (here, in the place of jester on pc2)"), "pc2"));
    }

    #[test]
    fn an_expert_that_still_loads_is_not_held() {
        let status = |state: &str| json!({"holds": {"experts": [{"name": EXPERT, "state": state}]}});
        let all = [held(&status("ready")), held(&status("loading")), held(&Value::Null), held(&json!({}))];
        assert_eq!(all, [Held::Ready, Held::Nearly, Held::Nearly, Held::No]);
    }

    #[test]
    fn the_expert_is_one_that_a_node_reads() {
        let command = expert();
        let text = command.split('\'').nth(1).unwrap().replace("\\n", "\n");
        let expert: split::expert::Expert = split::expert::Expert::parse(&text).unwrap();
        assert_eq!((expert.name.as_str(), expert.copies), (EXPERT, 1));
    }
}
