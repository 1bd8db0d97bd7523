//! Somebody at a virtual PC: speaks into its microphone while the hotkey is held, and reads what came of it.
//!
//! What is virtual about it: QEMU takes sound from no file, so the kernel's loopback card (snd_aloop) stands for the air
//! between a mouth and a microphone, and the PC itself makes the voice, by `agent say`. From the microphone's driver on,
//! all is as on any PC. The key is pressed at the virtual keyboard, and the answer is in what the sound card played.

use super::shelf::Shelf;
use super::{machine, wav};
use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fs::File;
use std::io::Read;
use std::time::{Duration, Instant};

/// What such a PC wants in duet.toml.
pub const SETTINGS: &str =
    "[voice]\nkeys = [\"f12\"]\nmicrophone = \"plughw:Loopback,1\"\nspeaker = \"plughw:0,0\"\n";
/// QEMU's name of that key.
const KEY: &str = "f12";
/// A PC that emulates another takes its time.
const READY_MAX: Duration = Duration::from_secs(300);
const TURN_MAX: Duration = Duration::from_secs(300);
const SHELL_MAX: Duration = Duration::from_secs(120);
const LISTENS_MAX: Duration = Duration::from_secs(20);
const PRESSES_MAX: u32 = 3;
const LOOK_EVERY: Duration = Duration::from_millis(300);
/// A person who has spoken lets go a moment later.
const REST: Duration = Duration::from_millis(400);
const SAID: &str = "/tmp/said.wav";

/// A person at one PC.
pub struct Person<'a> {
    shelf: &'a Shelf,
    pc_idx: usize,
    /// Without a key for the voice nobody is told what was said.
    key: &'a str,
    /// One of espeak-ng's.
    voice: &'a str,
}

/// A call of a tool, as the PC's book has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Called {
    pub tool: String,
    pub arguments: String,
    pub outcome: String,
}

/// A part of a turn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Took {
    pub stage: String,
    pub ms: f64,
}

/// What came of one sentence.
#[derive(Clone, Debug, Serialize)]
pub struct Turn {
    /// The PC that was spoken to.
    pub node: String,
    /// What was said to it.
    pub want: String,
    pub heard: String,
    /// Who was to answer, and why.
    pub route: String,
    pub tool: Option<Called>,
    pub answer: String,
    /// Who answered, as the PC tells it.
    pub by: Vec<String>,
    pub outcome: String,
    pub stages: Vec<Took>,
    /// From the release of the key to the first sound.
    pub silence_ms: Option<f64>,
    /// Sound in what the speaker has played meanwhile.
    pub played_s: f64,
    pub troubles: Vec<String>,
}

impl<'a> Person<'a> {
    /// Sits down when the PC hears, sees a keyboard and has both of its sound cards. `tell` hears what is waited for.
    pub fn sit(
        shelf: &'a Shelf,
        pc_idx: usize,
        key: &'a str,
        voice: &'a str,
        tell: &dyn Fn(&str),
    ) -> Result<Person<'a>> {
        let person = Person { shelf, pc_idx, key, voice };
        let has_speaker = |status: &Value| !status["voice"]["sound"]["speaker"]["device"].is_null();
        let has_keys =
            |status: &Value| status["voice"]["keys"]["devices"].as_array().is_some_and(|all| !all.is_empty());
        person.until("its sound card", tell, has_speaker)?;
        person.until("its keyboard", tell, has_keys)?;
        person.until("the model that hears", tell, |status| status["hearing"]["readiness"] == "ready")?;
        // Its boot server brings the key to it within seconds.
        person.until("its list of keys", tell, |_| person.may_hear())?;
        person.run("modprobe snd_aloop")?;
        person.until("its microphone", tell, |status| {
            let device = &status["voice"]["sound"]["microphone"]["device"];
            device.as_str().is_some_and(|name| name.contains("Loopback"))
        })?;
        Ok(person)
    }

    /// Speaks while the key is held, and waits for the end of the turn.
    pub fn says(&self, text: &str, tell: &dyn Fn(&str)) -> Result<Turn> {
        let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || c == ' ' || c == ',');
        ensure!(plain && !text.is_empty(), "{text:?} is no plain sentence");
        let name = machine::name(self.pc_idx);
        let n_calls = self.calls().len();
        tell("a voice is made");
        self.run(&format!("agent say '{text}' --voice {} --out {SAID}", self.voice))?;
        let played = self.played_s();
        let last = self.speak_at_the_key(tell)?;
        let begun = Instant::now();
        let turn = loop {
            let turns = self.turns();
            match turns.first() {
                Some(turn) if id(turn) != last => break turn.clone(),
                _ => {}
            }
            let mood = self.status()["voice"]["mood"].as_str().unwrap_or("silent").to_owned();
            tell(&format!("{name} is {mood}"));
            ensure!(
                begun.elapsed() < TURN_MAX,
                "{name} did not end its turn within {} s; what it said is in {}",
                TURN_MAX.as_secs(),
                self.shelf.places(self.pc_idx).serial_log.display()
            );
            std::thread::sleep(LOOK_EVERY);
        };
        let called = self.calls().get(n_calls..).and_then(<[Called]>::last).cloned();
        let mut turn = read(&turn, &name, text, called)?;
        turn.played_s = self.played_s() - played;
        Ok(turn)
    }

    /// Presses the key and speaks; a PC that has too much to do may miss a press, and whoever sees that presses again.
    /// Gives the turn before.
    fn speak_at_the_key(&self, tell: &dyn Fn(&str)) -> Result<Option<(u64, u64)>> {
        let mut n_left = PRESSES_MAX;
        loop {
            n_left -= 1;
            let last = self.last_turn();
            self.shelf.key(self.pc_idx, KEY, true)?;
            let spoken = self.speak(tell);
            // A key that stays down would spoil the next turn.
            self.shelf.key(self.pc_idx, KEY, false)?;
            match spoken {
                Ok(()) => return Ok(last),
                Err(error) if n_left == 0 => return Err(error),
                Err(_) => tell("the key is pressed again"),
            }
        }
    }

    fn speak(&self, tell: &dyn Fn(&str)) -> Result<()> {
        let begun = Instant::now();
        while self.status()["voice"]["mood"] != "listening" {
            ensure!(begun.elapsed() < LISTENS_MAX, "the key is down, but {} does not listen", self.name());
            std::thread::sleep(LOOK_EVERY);
        }
        tell("the key is down, somebody speaks");
        self.run(&format!("aplay -q -D plughw:Loopback,0 {SAID}"))?;
        std::thread::sleep(REST);
        Ok(())
    }

    fn name(&self) -> String {
        machine::name(self.pc_idx)
    }

    fn run(&self, command: &str) -> Result<String> {
        let answer = self.shelf.command(self.pc_idx, command, SHELL_MAX)?;
        ensure!(answer.status == 0, "{command:?} at {}: {}", self.name(), answer.output);
        Ok(answer.output)
    }

    fn status(&self) -> Value {
        status(self.shelf, self.pc_idx)
    }

    fn until(&self, what: &str, tell: &dyn Fn(&str), is_so: impl Fn(&Value) -> bool) -> Result<()> {
        until(self.shelf, self.pc_idx, what, READY_MAX, tell, is_so)
    }

    fn ask(&self, path: &str, list: &str) -> Vec<Value> {
        let told = self.shelf.node_ask(self.pc_idx, path, Some(self.key), None);
        let told: Value =
            told.ok().and_then(|(_, text)| serde_json::from_str(&text).ok()).unwrap_or_default();
        told[list].as_array().cloned().unwrap_or_default()
    }

    fn may_hear(&self) -> bool {
        let told = self.shelf.node_ask(self.pc_idx, "/api/tools/audit", Some(self.key), None);
        told.is_ok_and(|(status, _)| status == 200)
    }

    /// Newest first.
    fn turns(&self) -> Vec<Value> {
        self.ask("/api/turns", "turns")
    }

    fn last_turn(&self) -> Option<(u64, u64)> {
        self.turns().first().and_then(id)
    }

    /// Oldest first; a call that runs has a line for its beginning too, which is passed over.
    fn calls(&self) -> Vec<Called> {
        let calls = self.ask("/api/tools/audit", "calls").into_iter();
        let calls = calls.filter_map(|call| serde_json::from_value::<Called>(call).ok());
        calls.filter(|call| !["began", "asked"].contains(&call.outcome.as_str())).collect()
    }

    /// How much the speaker has sounded so far.
    fn played_s(&self) -> f64 {
        let path = &self.shelf.places(self.pc_idx).speaker;
        let mut bytes = Vec::new();
        let read = File::open(path).and_then(|file| file.take(wav::WAV_BYTES_MAX).read_to_end(&mut bytes));
        read.ok().and_then(|_| wav::sounding_s(&bytes).ok()).unwrap_or_default()
    }
}

/// What a PC's page says; null while its agent is away.
pub fn status(shelf: &Shelf, pc_idx: usize) -> Value {
    let text = shelf.node_get(pc_idx, "/api/status").ok();
    text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}

/// Waits until a PC's status is so.
pub fn until(
    shelf: &Shelf,
    pc_idx: usize,
    what: &str,
    limit: Duration,
    tell: &dyn Fn(&str),
    is_so: impl Fn(&Value) -> bool,
) -> Result<()> {
    let (begun, name) = (Instant::now(), machine::name(pc_idx));
    loop {
        let status = status(shelf, pc_idx);
        if is_so(&status) {
            return Ok(());
        }
        tell(&format!("{name} waits for {what}"));
        if begun.elapsed() > limit {
            let why = |part: &str| format!("{part} {}", status[part]["readiness"]);
            bail!(
                "{name} still waits for {what} after {} s ({}, {}); its log is {}",
                limit.as_secs(),
                why("hearing"),
                status["voice"]["sound"],
                shelf.places(pc_idx).serial_log.display()
            );
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Which turn it is: of which conversation, and its number there.
fn id(turn: &Value) -> Option<(u64, u64)> {
    Some((turn["talk"].as_u64()?, turn["turn"].as_u64()?))
}

/// What a node tells of a turn (`/api/turns`).
pub fn read(turn: &Value, node: &str, want: &str, tool: Option<Called>) -> Result<Turn> {
    let word = |name: &str| turn[name].as_str().unwrap_or_default().to_owned();
    let words = |list: &Value| -> Vec<String> {
        let all = list.as_array().into_iter().flatten();
        all.filter_map(|word| word.as_str().map(str::to_owned)).collect()
    };
    let stages =
        Vec::deserialize(&turn["took"]).context("the PC tells of a turn in a way that is not known here")?;
    Ok(Turn {
        node: node.to_owned(),
        want: want.to_owned(),
        heard: word("said"),
        route: route(&turn["steps"]),
        tool,
        answer: word("answer"),
        by: words(&turn["by"]),
        outcome: word("outcome"),
        stages,
        silence_ms: turn["silence_ms"].as_f64(),
        played_s: 0.0,
        troubles: words(&turn["troubles"]),
    })
}

/// Who was chosen, by the steps of the workflow.
fn route(steps: &Value) -> String {
    let steps: Vec<&Value> = steps.as_array().into_iter().flatten().collect();
    let notes = |step: &Value| {
        let all = step["notes"].as_array().into_iter().flatten();
        all.filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
    };
    let done = |kind: &str| steps.iter().find(|step| step["kind"] == kind && step["outcome"] == "done");
    // Every turn asks the intents first; one that knew an answer has nothing but said it.
    match (done("route"), done("answer")) {
        (Some(step), _) => notes(step),
        (None, Some(_)) => "an intent, which needs no model".to_owned(),
        (None, None) => "the general expert".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told() -> Value {
        json!({
            "talk": 1, "turn": 3, "said": "tell me a joke", "answer": "Why?", "outcome": "answered",
            "took": [{"stage": "listen", "ms": 900.0}, {"stage": "hear", "ms": 20.5}],
            "by": ["jester on pc2"], "silence_ms": 31.5, "troubles": [],
            "steps": [
                {"kind": "intent", "outcome": "done", "notes": []},
                {"kind": "route", "outcome": "done", "notes": ["creative, because of joke"]}
            ]
        })
    }

    #[test]
    fn a_turn_is_read_with_its_route_and_its_stages() {
        let turn = read(&told(), "pc1", "tell me a joke", None).unwrap();
        assert_eq!((turn.route.as_str(), turn.stages.len()), ("creative, because of joke", 2));
        assert_eq!((turn.by[0].as_str(), turn.silence_ms), ("jester on pc2", Some(31.5)));
    }

    #[test]
    fn an_intent_is_told_as_one() {
        let done = |kind: &str| json!({"kind": kind, "outcome": "done", "notes": []});
        let steps = json!([done("intent"), done("answer")]);
        assert_eq!(route(&steps), "an intent, which needs no model");
        assert_eq!(route(&json!([])), "the general expert");
    }

    #[test]
    fn a_turn_without_times_is_an_error() {
        let mut told = told();
        told["took"] = json!("soon");
        assert!(read(&told, "pc1", "", None).is_err());
    }
}
