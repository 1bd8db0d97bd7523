//! What a person allows on the page is done to a booted PC: a program starts anew, work is given away, a sentence is said at
//! the other, and the PC boots.

use super::node::Node;
use super::wait_until;
use image::vm::shelf::Shelf;
use serde_json::{Value, json};

/// It runs the call that its text is, so that no model is needed here.
const WORKFLOW: &str = "workflow: act\\nabout: Runs one call.\\ninputs: {text: text, before: talk}\\nseconds: 180\\ntokens: 100\\nnodes:\\n  use: {do: call, of: text, into: told}\\n  told: {do: answer, text: \"{told}\"}\\n";

/// A PC at which somebody sits, with a key for the voice.
pub struct Desk<'a> {
    pub node: &'a Node<'a>,
    pub key: &'a str,
}

impl Desk<'_> {
    pub fn prepare(node: &Node) {
        node.run(&format!(
            "mkdir -p /etc/duet-agent/workflows && printf '{WORKFLOW}' >/etc/duet-agent/workflows/act.yaml"
        ));
    }

    /// Wants a call, reads what will run, answers with yes or no, and gives what the book says of its end.
    pub fn call(&self, call: &Value, will_run: &str, is_yes: bool) -> Value {
        let before = self.last();
        let message = json!({ "text": call.to_string(), "workflow": "act" });
        let mut asked = (0, String::new());
        let is_asked = wait_until(|| {
            asked = self.node.post("/api/message", self.key, &message);
            asked.0 == 200
        });
        assert!(is_asked, "{asked:?}");
        let pending: Value = serde_json::from_str(&self.node.get_with("/api/approvals", self.key)).unwrap();
        let pending = &pending["pending"][0];
        assert_eq!(pending["will_run"], will_run, "{asked:?}");
        let (status, text) =
            self.node.post("/api/approvals", self.key, &json!({ "id": pending["id"], "yes": is_yes }));
        assert_eq!(status, 200, "{text}");
        let mut last = Value::Null;
        let is_over = wait_until(|| {
            last = self.last();
            last["number"] != before["number"]
                && !["asked", "began"].contains(&last["outcome"].as_str().unwrap_or("asked"))
        });
        assert!(is_over, "{last}");
        last
    }

    /// The newest line of the book of calls.
    fn last(&self) -> Value {
        let book: Value =
            serde_json::from_str(&self.node.get_with("/api/tools/audit", self.key)).unwrap_or_default();
        book["calls"].as_array().and_then(|calls| calls.last().cloned()).unwrap_or_default()
    }
}

/// `small` is an expert that one of the two holds.
pub fn what_a_person_allows_is_done(shelf: &Shelf, nodes: &[Node<'_>; 2], key: &str) {
    nodes.iter().for_each(Desk::prepare);
    let desk = Desk { node: &nodes[0], key };
    let call = |tool: &str, arguments: Value| json!({ "tool": tool, "arguments": arguments });

    // A no is one; what nobody has is told with the names there are.
    let no = desk.call(&call("power.off", json!({ "node": "pc2" })), "power off pc2", false);
    assert_eq!((&no["outcome"], &no["why"]), (&json!("denied"), &json!("a person said no")));
    let nobody = desk.call(&call("power.off", json!({ "node": "attic" })), "power off \"attic\"", true);
    assert!(nobody["why"].as_str().unwrap().contains("there are: pc1, pc2"), "{nobody}");

    // A program of the other starts anew.
    let worker = "systemctl show --property=MainPID --value rpc-worker.service";
    let before = nodes[1].run(worker);
    let restart = call("cluster.restart", json!({ "unit": "rpc-worker", "node": "pc2" }));
    let done = desk.call(&restart, "restart rpc-worker on pc2", true);
    assert_eq!(done["outcome"], "done", "{done}");
    assert_ne!(nodes[1].run(worker), before);

    // A sentence is said at the other's speaker.
    let say = call("cluster.say", json!({ "node": "pc2", "text": "Dinner is ready." }));
    let said = desk.call(&say, "say at pc2: Dinner is ready.", true);
    assert_eq!(said["outcome"], "done", "{said}");

    // Whoever holds the model gives it away, and the other takes it.
    let holds = |node: &Node| node.get("/api/status")["holds"]["experts"][0]["state"] == "ready";
    assert!(wait_until(|| nodes.iter().any(&holds)), "nobody holds the expert");
    let from = usize::from(!holds(&nodes[0]));
    let name = ["pc1, this PC", "pc2"][from];
    let drain = call("cluster.drain", json!({ "node": format!("pc{}", from + 1) }));
    let drained =
        desk.call(&drain, &format!("drain {name}: it takes no new work and gives its models away"), true);
    assert_eq!(drained["outcome"], "done", "{drained}");
    let is_moved = wait_until(|| holds(&nodes[1 - from]) && !holds(&nodes[from]));
    assert!(is_moved, "the expert did not move: {}", nodes[from].get("/api/status")["holds"]);
    let resume = call("cluster.resume", json!({ "node": format!("pc{}", from + 1) }));
    let resumed = desk.call(&resume, &format!("let {name} take work again"), true);
    assert_eq!(resumed["outcome"], "done", "{resumed}");
    for node in nodes {
        assert_eq!(node.run("systemctl --failed --no-legend --plain"), "");
    }

    // The other boots, from its power-on to healthy.
    let boot = call("power.reboot", json!({ "node": "pc2" }));
    let booted = desk.call(&boot, "boot pc2 anew", true);
    assert_eq!(booted["outcome"], "done", "{booted}");
    let again = |told: &Value| told["attempt"] == 2 && told["stage"] == "healthy";
    assert!(wait_until(|| again(&super::told(shelf, "pc2"))), "{}", super::told(shelf, "pc2"));
}
