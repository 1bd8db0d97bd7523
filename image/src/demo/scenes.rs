//! The conversation of the demo: three sentences at one PC, and the other one is switched off before the last.
//!
//! The boot tests play the same scenes. What is said is said by a voice that no model of ours was trained with.

use super::models::{Models, TALK};
use crate::progress::{Progress, Step};
use crate::vm::hands;
use crate::vm::machine;
use crate::vm::person::{self, Person, Turn};
use crate::vm::shelf::Shelf;
use anyhow::{Result, ensure};
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
    let mut turns = vec![];
    let mut scene = |person: &Person<'_>, text: &str, is_it: &dyn Fn(&Turn) -> bool, what: &str| {
        let number = turns.len() + 1;
        let step = progress.step(&format!("turn {number}: {text}"), None);
        let turn = says(person, text, is_it, what, &step)?;
        step.done("answered");
        tell(number, &turn);
        turns.push(turn);
        anyhow::Ok(())
    };
    let person = sit(shelf, FIRST, key, progress)?;
    scene(&person, ASKS_A_TOOL, &|turn| turn.tool.is_some(), "called a tool")?;

    // Wherever the plan puts the new expert, somebody talks to the other PC.
    for pc_idx in 0..2 {
        hands::run(shelf, pc_idx, &expert())?;
    }
    let off = holder(shelf, progress)?;
    let at = 1 - off;
    let person = sit(shelf, at, key, progress)?;
    let by_other = |turn: &Turn| names(turn, &machine::name(off));
    scene(&person, ASKS_THE_OTHER, &by_other, "was answered by the other PC")?;

    let noticed_s = switch_off(shelf, off, at, progress)?;
    let person = sit(shelf, at, key, progress)?;
    let alone = |turn: &Turn| !by_other(turn) && !turn.answer.is_empty();
    scene(&person, ASKS_THE_OTHER, &alone, "was answered without the other PC")?;
    Ok(Played { voice: VOICE, at: machine::name(at), off: machine::name(off), noticed_s, turns })
}

fn sit<'a>(shelf: &'a Shelf, pc_idx: usize, key: &'a str, progress: &Progress) -> Result<Person<'a>> {
    let step = progress.step(&format!("somebody sits down at {}", machine::name(pc_idx)), None);
    let person = Person::sit(shelf, pc_idx, key, VOICE, &|what| step.note(what))?;
    step.done("it hears");
    Ok(person)
}

/// Says it until it is understood, and the turn is what the scene is about.
fn says(
    person: &Person<'_>,
    text: &str,
    is_it: &dyn Fn(&Turn) -> bool,
    what: &str,
    step: &Step,
) -> Result<Turn> {
    let mut last = None;
    for _ in 0..TRIES_MAX {
        let turn = person.says(text, &|what| step.note(what))?;
        if turn.outcome == "answered" && is_it(&turn) {
            return Ok(turn);
        }
        eprintln!(
            "  {:?} was heard as {:?}, answered by {}: {:?}",
            text,
            turn.heard,
            turn.by.join(", "),
            turn.answer
        );
        last = Some(turn);
    }
    let last = serde_json::to_string(&last)?;
    anyhow::bail!("{text:?} was said {TRIES_MAX} times, and no turn {what}; the last one: {last}")
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

/// The PC on which the plan put that expert, once it is ready there.
fn holder(shelf: &Shelf, progress: &Progress) -> Result<usize> {
    let step = progress.step("the cluster plans who holds which model", None);
    let begun = Instant::now();
    loop {
        for pc_idx in 0..2 {
            if holds(&person::status(shelf, pc_idx)) {
                step.done(&format!("{EXPERT} is ready on {}", machine::name(pc_idx)));
                return Ok(pc_idx);
            }
        }
        step.note("a plan is made when all are there for 10 s");
        if begun.elapsed() > PLAN_MAX {
            let plans: Vec<String> =
                (0..2).map(|pc_idx| shelf.node_get(pc_idx, "/api/plan").unwrap_or_default()).collect();
            anyhow::bail!("no PC holds {EXPERT} after {} s; the plans: {plans:?}", PLAN_MAX.as_secs());
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

fn holds(status: &Value) -> bool {
    let experts = status["holds"]["experts"].as_array();
    experts.into_iter().flatten().any(|expert| expert["name"] == EXPERT && expert["state"] == "ready")
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
        assert!(holds(&status("ready")) && !holds(&status("loading")) && !holds(&Value::Null));
    }

    #[test]
    fn the_expert_is_one_that_a_node_reads() {
        let command = expert();
        let text = command.split('\'').nth(1).unwrap().replace("\\n", "\n");
        let expert: split::expert::Expert = split::expert::Expert::parse(&text).unwrap();
        assert_eq!((expert.name.as_str(), expert.copies), (EXPERT, 1));
    }
}
