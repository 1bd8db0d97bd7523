//! Models in booted PCs: planned, loaded by the units as they ship, and asked, also through the other PC.

#[path = "../../../crates/engine/tests/common/families.rs"]
mod families;
#[allow(dead_code)] // Only its vocabulary is needed.
#[path = "../../../crates/engine/tests/common/tiny.rs"]
mod tiny;

use super::node::{Node, duet};
use super::{BOOT_MAX, Place, turn, wait_until};
use families::{ALL, model};
use image::vm::machine::{Dhcp, Pc};
use image::vm::stages::Stage;
use serde_json::{Value, json};
use std::fs;

/// Lines as bash's printf reads them.
const EXPERT: &str =
    "name = 'small'\\nmodel = 's.gguf'\\nquantisation = 'F32'\\ncontext = 512\\nslots = 1\\ncopies = 1\\n";

#[test]
fn two_booted_pcs_load_what_their_plan_says_and_answer_with_it_whoever_is_asked() {
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
        node.run(&format!("printf \"{EXPERT}\" >/usr/share/duet/experts/small.toml"));
    }
    let messages = json!([{"role": "user", "content": "Good morning"}]);
    let ask = json!({"model": "small", "messages": messages, "max_tokens": 8, "temperature": 0});
    let texts = nodes.each_ref().map(|node| {
        let mut last = (0, String::new());
        let is_answered = wait_until(|| {
            last = node.post("/v1/chat/completions", &key, &ask);
            last.0 == 200
        });
        let why = || format!("{last:?}, {:#}, {:#}", node.get("/api/plan"), node.get("/api/status")["holds"]);
        assert!(is_answered, "{}", why());
        let answer: Value = serde_json::from_str(&last.1).unwrap();
        assert_eq!(answer["model"], "small", "{}", why());
        answer["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
    });
    // There is one copy, whoever is asked.
    assert_eq!(texts[0], texts[1]);
    assert!(!texts[0].is_empty());
    for node in &nodes {
        assert_eq!(node.run("systemctl --failed --no-legend --plain"), "");
    }
}
