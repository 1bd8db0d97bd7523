//! Models in booted PCs: planned, cut where none can hold one alone, loaded by the units as they ship, and asked.

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

/// Small enough for any PC. Lines as bash's printf reads them.
const SMALL: &str = "model = 's.gguf'\\ncontext = 512\\nslots = 1\\ncopies = 1\\n";
/// Its caches of 700 MB are too large for one of the two, and fit both.
const LARGE: &str = "model = 'm.gguf'\\ncontext = 131072\\nslots = 1\\ncopies = 1\\nsplit = true\\n";

#[test]
fn two_booted_pcs_load_what_their_plan_says_and_answer_with_it_also_together() {
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
    let (small, large) = (place.folder.join("s.gguf"), place.folder.join("m.gguf"));
    fs::write(&small, model(&ALL[0])).unwrap();
    fs::write(&large, model(&Family { n_layers: 80, n_ctx: 1 << 17, ..ALL[0] })).unwrap();
    for node in &nodes {
        node.run("rm -f /usr/share/duet/experts/*.toml");
        node.give(&small, "/var/lib/duet/models/s.gguf");
        node.give(&large, "/var/lib/duet/models/m.gguf");
        for (name, lines) in [("small", SMALL), ("large", LARGE)] {
            let text = format!("name = '{name}'\\nquantisation = 'F32'\\n{lines}");
            node.run(&format!("printf \"{text}\" >/usr/share/duet/experts/{name}.toml"));
        }
    }
    for name in ["small", "large"] {
        let messages = json!([{"role": "user", "content": "Good morning"}]);
        let ask = json!({"model": name, "messages": messages, "max_tokens": 8, "temperature": 0});
        let texts = nodes.each_ref().map(|node| {
            let mut last = (0, String::new());
            let is_answered = wait_until(|| {
                last = node.post("/v1/chat/completions", &key, &ask);
                last.0 == 200
            });
            let why =
                || format!("{name}: {last:?}, {:#}, {:#}", node.get("/api/plan"), node.get("/api/status"));
            assert!(is_answered, "{}", why());
            let answer: Value = serde_json::from_str(&last.1).unwrap();
            assert_eq!(answer["model"], name, "{}", why());
            answer["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
        });
        // Whoever is asked, the same copy answers, and the same way.
        assert_eq!(texts[0], texts[1]);
        assert!(!texts[0].is_empty());
    }
    // Each has its part of the large one, cut by the unit of rpc-worker, and no unit failed.
    for node in &nodes {
        let slices = node.run("ls /var/lib/duet/models");
        let why = || {
            format!(
                "{slices}: {:#}",
                nodes.each_ref().map(|node| node.get("/api/plan")["reasons"].to_string()).join("\n")
            )
        };
        assert_eq!(slices.matches(".layers-").count(), 1, "{}", why());
        let held = &node.get("/api/status")["holds"]["stages"][0];
        assert_eq!((&held["name"], &held["state"]), (&json!("large"), &json!("ready")), "{held}");
        let strange = "journalctl --unit agent --no-pager | grep 'is no model'";
        assert_ne!(
            shelf.command(node.pc_idx(), strange, QUICK).unwrap().status,
            0,
            "the agent cannot read a slice"
        );
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
