//! The targets of `crates/prompt`: texts from model files and from clients.

use prompt::gbnf::Matcher;
use prompt::template::Limits;
use prompt::{
    CallFormat, ChatInput, ChatTemplate, CivilTime, Grammar, Json, StopMachine, Tool, ToolChoice,
    schema_grammar, template_messages, tool_grammar,
};

/// A choice, three stop strings and a text, each ended by a zero. However the text is cut, the same is shown.
pub fn stop(bytes: &[u8]) {
    let mut parts = bytes.splitn(4, |byte| *byte == 0);
    let stops: Vec<String> = parts
        .by_ref()
        .take(3)
        .map(|part| String::from_utf8_lossy(part).into_owned())
        .filter(|s| !s.is_empty())
        .collect();
    let text = parts.next().unwrap_or_default();
    let Ok(machine) = StopMachine::new(&stops) else { return };
    let play = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut machine = machine.clone();
        let mut shown: String = pieces.map(|piece| machine.push(piece).text).collect();
        let last = machine.finish();
        shown.push_str(&last.text);
        (shown, last.stopped)
    };
    let whole = play(&mut std::iter::once(text));
    for size in 1..5 {
        assert_eq!(whole, play(&mut text.chunks(size)), "in pieces of {size}");
    }
    let (shown, stopped) = whole;
    let plain = String::from_utf8_lossy(text);
    assert!(plain.starts_with(&shown), "something else was shown");
    assert!(stops.iter().all(|stop| !shown.contains(stop)), "a stop string was shown");
    match stopped {
        Some(idx) => assert!(plain[shown.len()..].starts_with(&stops[idx])),
        None => assert_eq!(plain, shown),
    }
}

/// A JSON schema. What it makes is a grammar, and what the grammar lets through is JSON.
pub fn schema(bytes: &[u8]) {
    let Some(schema) = std::str::from_utf8(bytes).ok().and_then(|text| Json::parse(text).ok()) else {
        return;
    };
    match schema_grammar(&schema) {
        Ok(text) => {
            let grammar = Grammar::parse(&text).expect("a grammar of ours can be read");
            if let Some(sentence) = walk(&grammar, bytes) {
                Json::parse(&sentence).unwrap_or_else(|error| panic!("{error} in {sentence}"));
            }
        }
        Err(error) => assert!(!error.path.is_empty() && !error.reason.is_empty()),
    }
    let tools = [Tool { name: "f", parameters: Some(&schema) }];
    let made = tool_grammar(&tools, ToolChoice::Auto, &CallFormat::HERMES);
    if let Ok(text) = made {
        let grammar = Grammar::parse(&text).expect("a grammar of ours can be read");
        assert!(grammar.accepts("plain words"));
    }
}

/// A sentence of the grammar, led by the bytes; none if they lead to no end.
fn walk(grammar: &Grammar, bytes: &[u8]) -> Option<String> {
    const SIGNS: &str = "}]\"{[:, 0123456789-.eEtrufalsnbcdxyzZT\\/_";
    let mut matcher = Matcher::new(grammar);
    let mut sentence = String::new();
    for (idx, byte) in bytes.iter().cycle().take(120).enumerate() {
        if matcher.is_done() && (byte % 2 == 0 || idx > 60) {
            return Some(sentence);
        }
        // Later on, the signs that close things come first.
        let first = if idx > 40 { 0 } else { usize::from(*byte) % SIGNS.len() };
        let next = SIGNS.chars().cycle().skip(first).take(SIGNS.len()).find(|c| matcher.clone().push(*c))?;
        matcher.push(next);
        sentence.push(next);
    }
    matcher.is_done().then_some(sentence)
}

/// A grammar from a client. What is read can be followed; ends are found only where steps were taken.
pub fn grammar(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(grammar) = Grammar::parse(text) else { return };
    assert!(grammar.n_rules() > 0);
    let mut matcher = Matcher::new(&grammar);
    for c in text.chars().take(64) {
        if !matcher.push(c) {
            assert!(!matcher.is_done() && matcher.n_stacks() == 0);
            break;
        }
    }
    if let Some(sentence) = walk(&grammar, bytes) {
        assert!(grammar.accepts(&sentence));
    }
}

/// A chat template. It keeps its limits and says the same twice.
pub fn template(bytes: &[u8]) {
    let Ok(source) = std::str::from_utf8(bytes) else { return };
    let Ok(template) = ChatTemplate::parse(source) else { return };
    let messages = r#"[{"role":"system","content":"Be kind."},{"role":"user","content":[{"type":"text","text":"Hi \n 'é'"}]},
        {"role":"assistant","content":"","tool_calls":[{"function":{"name":"f","arguments":"{\"a\":[1,2.5,null]}"}}]}]"#;
    let messages = Json::parse(messages).expect("it is JSON");
    let messages = template_messages(messages.items().expect("it is a list"));
    let tools = [Json::parse(r#"{"name":"f","parameters":{"type":"object"}}"#).expect("it is JSON")];
    let input = ChatInput {
        messages: &messages,
        tools: Some(&tools),
        add_generation_prompt: true,
        bos_token: "<s>",
        eos_token: "</s>",
        now: CivilTime { year: 2026, month: 2, day: 28, hour: 23, minute: 59, second: 59 },
        extra: &[],
    };
    let limits = Limits { steps: 20_000, made_bytes: 1 << 18, output_bytes: 1 << 14, depth: 100 };
    let once = template.render_within(&input, limits);
    if let Ok(text) = &once {
        assert!(text.len() <= limits.output_bytes);
    }
    assert_eq!(once, template.render_within(&input, limits));
}
