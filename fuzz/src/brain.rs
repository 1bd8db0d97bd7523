//! What an owner writes of workflows and personas.

use brain::{End, Event, Id, Known, Machine, Persona, Type, Value, Wish, Workflow};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Events of one run.
const EVENTS_MAX: u32 = 4000;

/// A workflow that is taken can be drawn and run to its end; a mistake has a line of the file.
pub fn workflow(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let all = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let known = Known {
        tools: all(&["time", "status"]),
        personas: all(&["general", "coding", "researcher", "summary"]),
    };
    let workflow = match Workflow::read("w", text, &known) {
        Ok(workflow) => workflow,
        Err(mistakes) => {
            let n_lines = text.split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).count();
            let is_there = |line: usize| (1..=n_lines + 1).contains(&line);
            return assert!(
                !mistakes.all.is_empty() && mistakes.all.iter().all(|one| is_there(one.at.line)),
                "{mistakes}"
            );
        }
    };
    let names: Vec<&str> = workflow.nodes().map(|(name, _)| name).collect();
    for edge in workflow.edges() {
        assert!(
            names.contains(&edge.from.as_str()) && (edge.to == "end" || names.contains(&edge.to.as_str()))
        );
    }
    let input = |slot: &Type| match slot {
        Type::List => Value::List(vec!["one".into()]),
        Type::Talk => Value::Talk(vec![("a".into(), "b".into())]),
        _ => Value::Text("hi".into()),
    };
    let inputs: BTreeMap<String, Value> =
        workflow.inputs().map(|(name, slot)| (name.to_owned(), input(slot))).collect();
    let tokens = workflow.tokens;
    let mut machine =
        Machine::start(Arc::new(workflow), inputs, Duration::ZERO).expect("it has all it needs");
    let mut end: Option<End> = None;
    for n in 0..EVENTS_MAX {
        while let Some(wish) = machine.poll() {
            assert_eq!(end, None, "something came after the end");
            if let Wish::Done(told) = wish {
                end = Some(told);
            }
        }
        assert!(machine.tokens() <= tokens);
        if machine.is_over() {
            return assert!(end.is_some());
        }
        // Whichever kind is waited for is among these.
        let (id, now, text) = (Id(1 + n / 8), Duration::from_millis(u64::from(n)), "enough".to_owned());
        machine.handle(
            now,
            match n % 8 {
                0 => Event::Intent { id, answer: None },
                1 => Event::Recalled { id, facts: vec![text] },
                2 => Event::Routed { id, expert: "coding".into(), why: text },
                3 => Event::Tool { id, text },
                4 => Event::Person { id, text },
                5 => Event::Token { id, text },
                6 => Event::Asked { id, tokens: Some(n) },
                _ => Event::Failed { id, why: text },
            },
        );
    }
    machine.handle(Duration::MAX, Event::Deadline);
    assert!(machine.is_over() || machine.deadline().is_some());
}

/// A persona that is taken keeps its limits.
pub fn persona(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Persona::read("p", "p", text) {
        Ok(persona) => {
            assert!(persona.prompt.len() <= brain::persona::PROMPT_BYTES_MAX && !persona.about.is_empty())
        }
        Err(mistakes) => assert!(!mistakes.to_string().is_empty()),
    }
}
