//! Models in booted PCs: planned, cut where none can hold one alone, loaded by the units as they ship, and asked, also
//! through a PC that has nothing of them.

#[path = "../../../crates/engine/tests/common/families.rs"]
mod families;
#[allow(dead_code)] // Only its vocabulary is needed.
#[path = "../../../crates/engine/tests/common/tiny.rs"]
mod tiny;

use super::node::{Node, QUICK, duet};
use super::{BOOT_MAX, Place, turn, wait_until};
use families::{ALL, Family, model};
use image::vm::machine::{Dhcp, Pc};
use image::vm::stages::Stage;
use serde_json::{Value, json};
use std::fs;

/// Lines as bash's printf reads them.
const SMALL: &str = "model = 's.gguf'\\ncontext = 512\\nslots = 1\\ncopies = 1\\n";
/// With its caches of 700 MB it is too large for one of the PCs, and fits two.
const LARGE: &str = "model = 'm.gguf'\\ncontext = 131072\\nslots = 1\\ncopies = 1\\nsplit = true\\n";
/// A PC with so little keeps all of it for itself.
const LITTLE_MIB: u32 = 448;

#[test]
fn two_booted_pcs_load_what_their_plan_says_answer_with_it_and_do_what_a_person_allows() {
    let (test, _turn) = ("planned_models", turn());
    let Some(place) = Place::new(test) else { return };
    place.admits();
    let Some(mut shelf) = place.shelf(test, Dhcp::Own, vec![Pc::default(); 2]) else { return };
    for pc_idx in 0..2 {
        shelf.power_on(pc_idx).unwrap();
    }
    for pc_idx in 0..2 {
        shelf.wait_for(pc_idx, Stage::Healthy, BOOT_MAX).unwrap();
    }
    let nodes = [0, 1].map(|pc_idx| Node::of(&shelf, pc_idx));
    let key = duet(&place, "keys", &["add", "tester"]).trim().to_owned();
    let file = place.folder.join("s.gguf");
    fs::write(&file, model(&ALL[0])).unwrap();
    for node in &nodes {
        node.run("rm -f /usr/share/duet/experts/*.toml");
        node.give(&file, "/var/lib/duet/models/s.gguf");
        put_expert(node, "small", SMALL);
    }
    let texts = nodes.each_ref().map(|node| said(node, &nodes, &key, "small"));
    // There is one copy, whoever is asked.
    assert_eq!(texts[0], texts[1]);
    assert!(!texts[0].is_empty());
    for node in &nodes {
        assert_eq!(node.run("systemctl --failed --no-legend --plain"), "");
    }
    let key = duet(&place, "keys", &["add", "owner", "--voice"]).trim().to_owned();
    super::acts::what_a_person_allows_is_done(&shelf, &nodes, &key);
}

#[test]
fn booted_pcs_carry_together_what_none_of_them_can_hold_and_a_third_one_answers_with_it() {
    let (test, _turn) = ("cut_model", turn());
    let Some(place) = Place::new(test) else { return };
    place.admits();
    let weak = Pc { memory_mib: LITTLE_MIB, ..Pc::default() };
    let pcs = vec![Pc::default(), Pc::default(), weak];
    let Some(mut shelf) = place.shelf(test, Dhcp::Own, pcs) else { return };
    for pc_idx in 0..3 {
        shelf.power_on(pc_idx).unwrap();
    }
    for pc_idx in 0..3 {
        shelf.wait_for(pc_idx, Stage::Healthy, BOOT_MAX).unwrap();
    }
    let nodes = [0, 1, 2].map(|pc_idx| Node::of(&shelf, pc_idx));
    let key = duet(&place, "keys", &["add", "tester"]).trim().to_owned();
    let file = place.folder.join("m.gguf");
    fs::write(&file, model(&Family { n_layers: 80, n_ctx: 1 << 17, ..ALL[0] })).unwrap();
    for node in &nodes {
        node.run("rm -f /usr/share/duet/experts/*.toml");
    }
    // Whoever plans must know the model, whoever carries it must have it; the third has no room.
    for node in &nodes {
        node.give(&file, "/var/lib/duet/models/m.gguf");
    }
    for node in &nodes {
        put_expert(node, "large", LARGE);
    }
    let text = said(&nodes[2], &nodes, &key, "large");
    assert!(!text.is_empty());
    assert_eq!(text, said(&nodes[0], &nodes, &key, "large"));

    // Each of the two has its part of it, cut by the unit of rpc-worker, and takes no more than was planned.
    for (pc_idx, node) in nodes[..2].iter().enumerate() {
        let why = || told(node, &nodes);
        assert_eq!(node.run("ls /var/lib/duet/models").matches(".layers-").count(), 1, "{}", why());
        let holds = &node.get("/api/status")["holds"];
        let held = &holds["stages"][0];
        assert_eq!((&held["name"], &held["state"]), (&json!("large"), &json!("ready")), "{}", why());
        let (taken, planned) = (holds["taken_bytes"].as_u64().unwrap(), held["bytes"].as_u64().unwrap());
        eprintln!("PC {pc_idx}: {} MiB are planned, {} taken", planned >> 20, taken >> 20);
        assert!(taken <= planned, "{}", why());
        let strange = "journalctl --unit agent --no-pager | grep 'is no model'";
        assert_ne!(shelf.command(pc_idx, strange, QUICK).unwrap().status, 0, "the agent cannot read a slice");
    }
    assert_eq!(nodes[2].run("ls /var/lib/duet/models").trim(), "m.gguf");
    for node in &nodes {
        assert_eq!(node.run("systemctl --failed --no-legend --plain"), "");
    }
    // The plan changes: what was cut for it goes.
    for node in &nodes {
        node.run("rm /usr/share/duet/experts/large.toml");
    }
    for node in &nodes {
        node.until("! ls /var/lib/duet/models | grep layers");
    }
}

fn put_expert(node: &Node, name: &str, lines: &str) {
    let text = format!("name = '{name}'\\nquantisation = 'F32'\\n{lines}");
    node.run(&format!("printf \"{text}\" >/usr/share/duet/experts/{name}.toml"));
}

/// What an expert says at one PC, once it answers.
fn said(node: &Node, all: &[Node], key: &str, expert: &str) -> String {
    let messages = json!([{"role": "user", "content": "Good morning"}]);
    let ask = json!({"model": expert, "messages": messages, "max_tokens": 8, "temperature": 0});
    let mut last = (0, String::new());
    let is_answered = wait_until(|| {
        last = node.post("/v1/chat/completions", key, &ask);
        last.0 == 200
    });
    assert!(is_answered, "{expert}: {last:?}, {}", told(node, all));
    let answer: Value = serde_json::from_str(&last.1).unwrap();
    assert_eq!(answer["model"], expert, "{}", told(node, all));
    answer["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
}

/// What a PC holds, and what all were told to.
fn told(node: &Node, all: &[Node]) -> String {
    let plans: Vec<Value> = all.iter().map(|node| node.get("/api/plan")).collect();
    format!("{:#}, {plans:#?}", node.get("/api/status")["holds"])
}
