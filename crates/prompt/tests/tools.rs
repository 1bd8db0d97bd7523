//! Calling tools under a grammar: which answers are let through.

#![allow(clippy::unwrap_used)] // A panic is how a test reports.

use prompt::{CallFormat, Grammar, Json, Tool, ToolChoice, tool_grammar};

const WEATHER: &str = r#"{"type":"function","function":{"name":"weather","parameters":
    {"type":"object","properties":{"town":{"type":"string"},"days":{"type":"integer","minimum":1,"maximum":7}},"required":["town"]}}}"#;
const STOP: &str = r#"{"name":"stop_music"}"#;

fn made(choice: ToolChoice, format: &CallFormat) -> Result<Grammar, String> {
    let tools = [Json::parse(WEATHER).unwrap(), Json::parse(STOP).unwrap()];
    let tools: Vec<Tool> = tools.iter().map(|tool| Tool::read(tool).unwrap()).collect();
    let text = tool_grammar(&tools, choice, format).map_err(|error| error.to_string())?;
    Ok(Grammar::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}")))
}

#[track_caller]
fn check(choice: ToolChoice, format: &CallFormat, taken: &[&str], refused: &[&str]) {
    let grammar = made(choice, format).unwrap();
    taken.iter().for_each(|text| assert!(grammar.accepts(text), "{text} should be taken"));
    refused.iter().for_each(|text| assert!(!grammar.accepts(text), "{text} should be refused"));
}

const CALL: &str =
    "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"town\": \"Ulm\", \"days\": 3}}\n</tool_call>";
const OTHER: &str = "<tool_call>\n{\"name\": \"stop_music\", \"arguments\": {}}\n</tool_call>";

#[test]
fn a_required_call_is_a_call_and_nothing_else() {
    let two = format!("{CALL}\n{OTHER}");
    check(
        ToolChoice::Required,
        &CallFormat::HERMES,
        &[CALL, OTHER, &two],
        &[
            "",
            "Hello",
            "<tool_call>\n{\"name\": \"rain\", \"arguments\": {}}\n</tool_call>",
            "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"days\": 3}}\n</tool_call>",
            "<tool_call>\n{\"name\": \"stop_music\", \"arguments\": {\"town\": \"x\"}}\n</tool_call>",
        ],
    );
}

#[test]
fn a_named_tool_is_the_only_one() {
    check(ToolChoice::Named("stop_music"), &CallFormat::HERMES, &[OTHER], &[CALL, ""]);
}

#[test]
fn the_model_may_talk_first_when_it_may_choose() {
    let both = format!("Let me see.\n{CALL}");
    check(
        ToolChoice::Auto,
        &CallFormat::HERMES,
        &["", "Hello <b> <tool_ca", "a << <tool_cal <tool_call", CALL, &both],
        &["x <tool_call> y", "<tool_call>", &format!("{CALL} and more")],
    );
}

#[test]
fn a_bare_call_begins_with_a_brace() {
    let call = r#"{"name": "stop_music", "parameters": {}}"#;
    check(
        ToolChoice::Auto,
        &CallFormat::LLAMA_3,
        &["", "Hi {", call],
        &["{", "{}", &format!("{call}{call}")],
    );
}

#[test]
fn wrong_tools_are_named() {
    let error = |choice| made(choice, &CallFormat::HERMES).unwrap_err();
    assert_eq!(error(ToolChoice::Named("rain")), "tool_choice: there is no tool named \"rain\"");
    let bad = Json::parse(r#"{"type":"object","properties":{"x":{"not":{}}}}"#).unwrap();
    let check = |tools: &[Tool], want: &str| {
        let error = tool_grammar(tools, ToolChoice::Auto, &CallFormat::HERMES).unwrap_err();
        assert_eq!(error.to_string(), want);
    };
    let tool = |name| Tool { name, parameters: None };
    check(&[], "tool_choice: there is no tool to call");
    check(&[tool("a b")], "tools[0].name: a name is 1 to 64 letters, digits and _ - . / :");
    check(&[tool("a"), tool("a")], "tools[1].name: \"a\" is named twice");
    check(
        &[tool("a"), Tool { name: "b", parameters: Some(&bad) }],
        "tools[1].parameters/properties/x/not: this word is not understood, or cannot be promised",
    );
}
