//! Turns in a booted PC: somebody holds a key and speaks, and the answer is in what the sound card played.
//!
//! The microphone is a loopback card that appears after the start, so what is spoken into it takes the way of any sound;
//! the voice is the PC's own speech, and the ear a real whisper model of the shared ones.

use super::node::{Node, duet};
use super::{BOOT_MAX, Place, turn, wait_until};
use agent::sound::wav;
use image::vm::machine::{Dhcp, Pc};
use image::vm::shelf::Shelf;
use image::vm::stages::Stage;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const MODEL: &str = "stt/whisper-tiny.en-relearned-q8_0.bin";
const SETTINGS: &str = "\n[voice]\nkeys = ['f12']\nmicrophone = 'plughw:Loopback,1'\nspeaker = 'plughw:0,0'\nhearing = 'ear.bin'\n";
/// Longer than what is said takes to play.
const HOLD: Duration = Duration::from_secs(8);
/// What QEMU writes of a speaker: two channels of 16 bits behind a head.
const HEAD_BYTES: usize = 44;
const FRAME_BYTES: usize = 4;
const RATE: u32 = 44_100;

/// The model that hears, and an agent of this machine with an ear.
fn needs() -> Result<(PathBuf, PathBuf), String> {
    let agent = Path::new(env!("CARGO_BIN_EXE_agent-under-test")).with_file_name("agent");
    let beside = tests::repository().join("../shared/models-data");
    let model = std::env::var_os("DUET_MODELS_DATA").map_or(beside, PathBuf::from).join(MODEL);
    match (agent.is_file(), model.is_file()) {
        (true, true) => Ok((agent, model)),
        (false, _) => Err(format!("there is no {}: cargo build -p agent makes it", agent.display())),
        (_, false) => Err(format!("there is no {}: see DUET_MODELS_DATA", model.display())),
    }
}

#[test]
fn a_booted_pc_hears_whom_the_key_lets_speak_and_answers_through_its_speaker() {
    let (test, _turn) = ("voice", turn());
    let (ear, model) = match needs() {
        Ok(needs) => needs,
        Err(why) => return tests::skip(test, &why),
    };
    let Some(place) = Place::new(test) else { return };
    place.admits();
    let pc = Pc { usb_keyboard: true, ..Pc::default() };
    let Some(mut shelf) = place.shelf(test, Dhcp::Own, vec![pc]) else { return };
    let settings = place.folder.join("server/state/duet.toml");
    let wishes = fs::read_to_string(&settings).unwrap();
    fs::write(&settings, wishes + SETTINGS).unwrap();
    shelf.power_on(0).unwrap();
    shelf.wait_for(0, Stage::Healthy, BOOT_MAX).unwrap();
    let node = Node::of(&shelf, 0);
    let key = duet(&place, "keys", &["add", "tester", "--voice"]).trim().to_owned();
    forgets_its_sound_card(&node);
    node.give(&model, "/var/lib/duet/models/ear.bin");
    until(&node, "the model is loaded", |status| status["hearing"]["readiness"] == "ready");
    until(&node, "a keyboard is there", |status| {
        status["voice"]["keys"]["devices"].as_array().is_some_and(|all| !all.is_empty())
    });

    // The microphone's card appears when all is up.
    node.run("modprobe snd_aloop");
    let loopback = |status: &Value| {
        status["voice"]["sound"]["microphone"]["device"]
            .as_str()
            .is_some_and(|name| name.contains("Loopback"))
    };
    until(&node, "the card that came late is the microphone", loopback);

    let talk = Talk { shelf: &shelf, node: &node, key, ear, model };
    let timer = talk.say("set a timer for two minutes");
    assert!(timer.answer.contains("2 minutes"), "{timer:?}");
    // What left the speaker is the answer, as another ear hears it.
    let heard = timer.played.to_lowercase();
    assert!(heard.contains("minute"), "the speaker said {heard:?}, not {:?}", timer.answer);

    // A crash costs a second and no timer.
    node.run("systemctl kill --signal=KILL agent.service");
    node.until("systemctl is-active agent.service");
    until(&node, "it listens again", |status| status["hearing"]["readiness"] == "ready" && loopback(status));
    let left = talk.say("how much time is left");
    assert!(left.answer.contains("timer") || left.answer.contains("minute"), "{left:?}");

    // What persons tell has a place to lie in.
    let memory = "/run/private/duet-agent/memory";
    assert_eq!(node.run(&format!("ls -d {memory}")), memory);

    // A keyboard that is pulled out while it holds has let go.
    shelf.key(0, "f12", true).unwrap();
    until(&node, "it listens", |status| status["voice"]["mood"] == "listening");
    shelf.unplug_keyboard(0).unwrap();
    until(&node, "it listens no more", |status| status["voice"]["mood"] != "listening");
    assert_eq!(node.run("systemctl --failed --no-legend --plain"), "");
}

/// The agent starts where the kernel knows nothing of sound, as on a PC whose sound card is found slowly.
fn forgets_its_sound_card(node: &Node) {
    until(node, "the speaker is there at first", has_speaker);
    node.run("systemctl stop agent.service");
    // One that another still needs goes in a later round.
    node.run("for i in 1 2 3 4 5 6 7 8 9; do rmmod $(cut -d' ' -f1 /proc/modules | grep '^snd') 2>/dev/null; done; true");
    assert_eq!(node.run("grep -c alsa /proc/devices || true"), "0", "the kernel still knows sound");
    node.run("systemctl start agent.service");
    node.run("modprobe snd_hda_intel");
    until(node, "the speaker whose driver came after the agent is there", has_speaker);
}

fn has_speaker(status: &Value) -> bool {
    !status["voice"]["sound"]["speaker"]["device"].is_null()
}

fn until(node: &Node, what: &str, is_so: impl Fn(&Value) -> bool) {
    let mut last = Value::Null;
    let is_seen = wait_until(|| {
        last = node.get("/api/status");
        is_so(&last)
    });
    assert!(is_seen, "{what}: never; hearing {:#}, voice {:#}", last["hearing"], last["voice"]);
}

/// What came of one turn.
#[derive(Debug)]
struct Said {
    answer: String,
    /// What the speaker played after the key came up, as the ear of this machine hears it.
    played: String,
}

struct Talk<'a> {
    shelf: &'a Shelf,
    node: &'a Node<'a>,
    key: String,
    ear: PathBuf,
    model: PathBuf,
}

impl Talk<'_> {
    /// Speaks into the microphone while the key is held, and waits for the end of the turn.
    fn say(&self, text: &str) -> Said {
        let n_before = self.turns().len();
        self.node.run(&format!("agent say '{text}' --out /tmp/said.wav"));
        self.node
            .run("setsid sh -c 'sleep 3; aplay -q -D plughw:Loopback,0 /tmp/said.wav' >/dev/null 2>&1 &");
        self.shelf.press(0, "f12", HOLD).unwrap();
        let begin = self.played().len();
        let mut turns = vec![];
        let is_over = wait_until(|| {
            turns = self.turns();
            turns.len() > n_before
        });
        assert!(is_over, "no turn came of it: {:#}", self.node.get("/api/status")["voice"]);
        println!("{text}: {:#}", turns[0]);
        assert_eq!(turns[0]["outcome"], "answered", "{:#}", turns[0]);
        Said { answer: turns[0]["answer"].as_str().unwrap_or_default().to_owned(), played: self.heard(begin) }
    }

    /// The last turns, newest first, with what was said.
    fn turns(&self) -> Vec<Value> {
        let told: Value =
            serde_json::from_str(&self.node.get_with("/api/turns", &self.key)).unwrap_or_default();
        told["turns"].as_array().cloned().unwrap_or_default()
    }

    /// The first channel of what the speaker has played so far.
    fn played(&self) -> Vec<i16> {
        let bytes = fs::read(&self.shelf.places(0).speaker).unwrap_or_default();
        let frames = bytes.get(HEAD_BYTES..).unwrap_or_default().chunks_exact(FRAME_BYTES);
        frames.map(|frame| i16::from_le_bytes([frame[0], frame[1]])).collect()
    }

    /// What the ear makes of the sound since then.
    fn heard(&self, begin: usize) -> String {
        let samples = self.played()[begin..].to_vec();
        let clip = self.shelf.places(0).speaker.with_file_name("answer.wav");
        fs::write(&clip, wav::write(&wav::Clip { rate: RATE, samples }).unwrap()).unwrap();
        let mut agent = Command::new(&self.ear);
        agent.arg("transcribe").arg(&clip).arg("--model").arg(&self.model).args([
            "--audio-ctx",
            "256",
            "--json",
        ]);
        let done = agent.output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let told: Value = serde_json::from_slice(&done.stdout).unwrap();
        told["files"][0]["text"].as_str().unwrap().to_owned()
    }
}
