//! Files with mistakes, each told with its line and column, and with what to do.

use crate::{Known, Workflow};

pub fn known() -> Known {
    let all = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    Known { tools: all(&["time"]), personas: all(&["general", "coding", "router"]) }
}

pub fn read(nodes: &str) -> Result<Workflow, String> {
    let text = format!("workflow: w\nabout: a\ninputs: {{text: text, before: talk}}\nnodes:\n{nodes}");
    Workflow::read("w.yaml", &text, &known()).map_err(|mistakes| mistakes.to_string())
}

/// The nodes begin in line 5.
#[track_caller]
fn check(nodes: &str, want: &[&str]) {
    let got = read(nodes).map(|_| ()).unwrap_err();
    let lines: Vec<&str> = got.lines().collect();
    assert_eq!(lines.len(), want.len(), "{got}");
    for (got, want) in lines.iter().zip(want) {
        assert!(got.starts_with(&format!("w.yaml:{want}")), "got  {got}\nwant w.yaml:{want}");
    }
}

const ANSWER: &str = "  done: {do: answer, text: '{text}'}\n";

#[test]
fn a_graph_is_read_with_its_ways() {
    let nodes = "  a: {do: route, text: '{text}', into: who}
  b: {do: ask, expert: '{who}', prompt: '{text}', talk: before, aloud: yes, into: said, next: end, else: c}
  c: {do: answer, text: sorry}\n";
    let workflow = read(nodes).unwrap();
    assert_eq!(workflow.nodes().collect::<Vec<_>>(), [("a", "route"), ("b", "ask"), ("c", "answer")]);
    let edges: Vec<String> =
        workflow.edges().iter().map(|e| format!("{}-{}>{}", e.from, e.label, e.to)).collect();
    assert_eq!(edges, ["a->b", "b->end", "b-else>c"]);
    assert_eq!(
        workflow.inputs().map(|(name, slot)| format!("{name} {}", slot.name())).collect::<Vec<_>>(),
        ["before talk", "text text"]
    );
}

#[test]
fn several_mistakes_are_told_at_once() {
    check(
        "  a: {do: fly, into: x}\n  b: {do: tool, tool: hammer, into: x, nxt: done}\n  c: {do: ask, expert: nobody, prompt: '{', into: y}\n",
        &[
            "5:11: nodes cannot do `fly`",
            "6:23: there is no tool `hammer`; there are: time",
            "6:40: the node b has no `nxt`; it has `do`",
            "7:3: the node c is the last, so it must say `next`",
            "7:24: there is no expert `nobody`; there are: general, coding, router",
            "7:40: a lone brace",
        ],
    );
    let whole = |text: &str| Workflow::read("w.yaml", text, &known()).unwrap_err().to_string();
    assert_eq!(whole("[]"), "w.yaml:1:1: a workflow must be a map of names and values, not a list");
    assert!(
        whole("workflow: W\nnodes: 1\nseconds: 0")
            .contains("w.yaml:3:10: `seconds` must be a whole number from 1")
    );
    assert!(whole("a: [").starts_with("w.yaml:2:1: this is no YAML"));
}

#[test]
fn a_slot_is_written_on_every_way_before_it_is_read() {
    check(
        "  a: {do: answer, text: '{nothing}'}\n",
        &["5:25: nothing writes `nothing`; there are: before, text"],
    );
    // The way by `else` did not write it.
    check(
        "  a: {do: tool, tool: time, into: x, next: b, else: b}\n  b: {do: answer, text: '{x}'}\n",
        &["6:25: `x` may not have been written"],
    );
    check(
        "  a: {do: branch, on: before, cases: {empty: b}, otherwise: c}\n  b: {do: tool, tool: time, into: x}\n  c: {do: answer, text: '{x}'}\n",
        &["7:25: `x` may not have been written"],
    );
    // A loop that may be passed by without a round.
    check(
        "  a: {do: loop, body: b, most: 2, next: c}\n  b: {do: tool, tool: time, into: x, next: a}\n  c: {do: answer, text: '{x}'}\n",
        &["7:25: `x` may not have been written"],
    );
    let both = "  a: {do: branch, on: before, cases: {empty: b}, otherwise: d}\n  b: {do: tool, tool: time, into: x, next: c}\n  d: {do: tool, tool: time, into: x, next: c}\n  c: {do: answer, text: '{x}'}\n";
    assert!(read(both).is_ok());
}

#[test]
fn slots_have_types() {
    check("  a: {do: answer, text: '{before}'}\n", &["5:25: `before` is a talk; a text cannot hold it"]);
    check(
        "  a: {do: ask, expert: '{text}', prompt: x, talk: text, into: y, next: done}\n",
        &["5:72: there is no node `done`"],
    );
    check(
        &format!(
            "  a: {{do: ask, expert: '{{text}}', prompt: x, talk: text, into: y, next: done}}\n{ANSWER}"
        ),
        &["5:51: `text` is a text; `talk` wants", "5:51: `text` is a text; an expert is"],
    );
    check(
        &format!("  a: {{do: recall, query: x, into: y}}\n  b: {{do: tool, tool: time, into: y}}\n{ANSWER}"),
        &["6:35: `y` holds a list elsewhere, and a text here"],
    );
}

#[test]
fn a_branch_has_a_way_for_each_word() {
    let ask = "  a: {do: ask, expert: general, prompt: x, choices: [yes-sir, never], into: y}\n";
    let branch = |cases: &str| format!("{ask}  b: {{do: branch, on: y, {cases}}}\n{ANSWER}");
    check(&branch("cases: {yes-sir: done}"), &["6:23: the branch says nothing of never"]);
    check(&branch("cases: {yes-sir: done, maybe: done}, otherwise: done"), &["6:23: `y` is never \"maybe\""]);
    assert!(read(&branch("cases: {yes-sir: done, never: done}")).is_ok());
    check(
        &format!("  b: {{do: branch, on: text, cases: {{a: done}}}}\n{ANSWER}"),
        &["5:23: `text` can hold any text, so the branch needs `otherwise`"],
    );
}

#[test]
fn whoever_goes_round_comes_by_a_loop_and_every_node_is_reached() {
    check(
        "  a: {do: tool, tool: time, into: x}\n  b: {do: tool, tool: time, into: x, next: a}\n",
        &["6:3: a -> b -> a goes round without end; put a node with `do: loop`"],
    );
    // Behind its limit a loop would go round for ever.
    check(
        "  a: {do: loop, body: b, most: 2, next: b}\n  b: {do: tool, tool: time, into: x, next: a}\n",
        &["6:3: a -> b -> a goes round"],
    );
    check(&format!("  a: {{do: answer, text: x}}\n{ANSWER}"), &["6:3: no way leads to the node done"]);
    check(
        "  a: {do: tool, tool: time, into: x, next: end}\n",
        &["5:3: the node a ends the run without a word"],
    );
    check(&format!("  end: {{do: answer, text: x}}\n{ANSWER}"), &["5:3: `end` is where a way ends"]);
}

#[test]
fn a_vote_knows_who_decides() {
    let vote = |more: &str| {
        format!("  a: {{do: vote, experts: [general, coding], prompt: x, into: y{more}}}\n{ANSWER}")
    };
    check(&vote(""), &["5:3: a vote on free answers needs a `judge`"]);
    check(&vote(", choices: [a, b], judge: general"), &["5:89: where there are `choices` they are counted"]);
    check(&vote(", lines: 3"), &["5:3: a vote is on `choices` or on free answers"]);
    assert!(read(&vote(", judge: general")).is_ok() && read(&vote(", choices: [a, b]")).is_ok());
}
