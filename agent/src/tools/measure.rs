//! `agent measure-calls`: how often a model calls exactly the tool that a sentence is about, with exactly the right values.
//!
//! It is asked as a turn asks: the same words, the same tools, the same grammar. What it writes is read as the desk reads it.

use super::setup::Setup;
use super::talking;
use crate::answer::TOOLS;
use crate::answer::model::GatewayModels;
use crate::args::MeasureCalls as Args;
use crate::brain::ask::Asking;
use crate::brain::command::gateway;
use crate::brain::library::Library;
use crate::brain::measure::said;
use crate::gateway::route::AUTO;
use anyhow::{Context, bail};
use brain::{Form, Message, Role};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;
use tokio::runtime::Handle;
use tools::{Argument, Spec};

/// The expert for tools, and how much it may write: as in the workflow `tiered`.
const EXPERT: &str = "tools";
const CALL_TOKENS: u32 = 200;
/// Wrong calls that are shown.
const SHOWN_MAX: usize = 40;
const SENTENCES_MAX: usize = 10_000;

/// A sentence and the call that it wants.
#[derive(Debug, Deserialize)]
struct Sentence {
    said: String,
    call: Wanted,
}

#[derive(Debug, Deserialize)]
struct Wanted {
    tool: String,
    #[serde(default)]
    arguments: Value,
}

pub async fn run(args: Args) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(&args.file).with_context(|| args.file.display().to_string())?;
    let sentences = sentences(&text)?;
    let (specs, library) = (specs(), Library::shipped(&TOOLS));
    let models = GatewayModels { gateway: gateway(Some(args.llm_url)), runtime: Handle::current() };
    let (began, mut n_exact, mut wrong) = (Instant::now(), 0, vec![]);
    let mut of_each: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
    for sentence in &sentences {
        let messages = vec![Message { role: Role::Person, text: sentence.said.clone() }];
        let (expert, persona) = (EXPERT.to_owned(), Some(EXPERT.to_owned()));
        let asking = Asking { expert, persona, messages, form: Form::Call(vec![]), tokens: CALL_TOKENS };
        let got = said(&models, &library, args.model.as_deref().unwrap_or(AUTO), &asking, &specs).await;
        let got = got.map_err(|why| anyhow::anyhow!("{:?}: {why}", sentence.said))?;
        let is_exact = read(&got, &specs).is_some_and(|got| got == sentence.call.both());
        let [exact, all] = of_each.entry(&sentence.call.tool).or_default();
        (*exact, *all) = (*exact + usize::from(is_exact), *all + 1);
        n_exact += usize::from(is_exact);
        if !is_exact && wrong.len() < SHOWN_MAX {
            wrong.push(json!([sentence.said, sentence.call.both(), got]));
        }
    }
    let n = sentences.len();
    let figures = json!({
        "tool_call_exact": n_exact as f64 / n as f64,
        "n_exact": n_exact,
        "n_sentences": n,
        "exact_of_each": of_each,
        "ms_each": began.elapsed().as_secs_f64() * 1e3 / n as f64,
        "wrong": wrong,
    });
    Ok(figures.to_string() + "\n")
}

impl Wanted {
    fn both(&self) -> (String, Value) {
        let arguments = if self.arguments.is_null() { json!({}) } else { self.arguments.clone() };
        (self.tool.clone(), arguments)
    }
}

fn sentences(text: &str) -> anyhow::Result<Vec<Sentence>> {
    let mut all = vec![];
    for (idx, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        if all.len() == SENTENCES_MAX {
            bail!("line {}: at most {SENTENCES_MAX} sentences are asked; make the file shorter", idx + 1);
        }
        let sentence = serde_json::from_str(line);
        all.push(sentence.with_context(|| format!("line {}: `said` and `call` are wanted", idx + 1))?);
    }
    if all.is_empty() { bail!("there is no sentence in it") } else { Ok(all) }
}

/// The tools of a PC without a folder of its own: nothing is run here.
fn specs() -> Vec<Spec> {
    let setup = Setup::new(Path::new("/nonexistent"), None);
    let specs = setup.desk.specs().into_iter().map(|(spec, _)| spec);
    specs.chain(talking::specs()).collect()
}

/// A call as the desk reads it; none where it would be refused.
fn read(text: &str, specs: &[Spec]) -> Option<(String, Value)> {
    let call: Value = serde_json::from_str(text.trim()).ok()?;
    let tool = call["tool"].as_str()?.to_owned();
    let Some(spec) = specs.iter().find(|spec| spec.name == tool) else { return Some((tool, json!({}))) };
    let checked = spec.check(call["arguments"].as_object()?).ok()?;
    let value = |argument: Argument| match argument {
        Argument::Text(text) => json!(text),
        Argument::Whole(number) => json!(number),
        Argument::YesNo(is_yes) => json!(is_yes),
        Argument::Json(value) => value,
    };
    Some((tool, checked.into_iter().map(|(name, argument)| (name, value(argument))).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: Option<Value>) {
        let got = read(text, &specs()).map(|(tool, arguments)| json!([tool, arguments]));
        assert_eq!(got, want, "{text}");
    }

    #[test]
    fn a_call_is_read_with_its_values() {
        check(r#"{"tool":"timer","arguments":{"seconds":60}}"#, Some(json!(["timer", {"seconds": 60}])));
        check(r#"{"tool":"none"}"#, Some(json!(["none", {}])));
    }

    #[test]
    fn what_the_desk_would_refuse_is_no_call() {
        check(r#"{"tool":"timer","arguments":{"seconds":"soon"}}"#, None);
        check(r#"{"tool":"timer"}"#, None);
        check("I set a timer.", None);
    }

    #[test]
    fn a_sentence_without_a_call_is_told_with_its_line() {
        let good = r#"{"said": "how late is it", "call": {"tool": "time", "arguments": {}}}"#;
        assert_eq!(sentences(good).unwrap()[0].call.both(), ("time".to_owned(), json!({})));
        let error = sentences(&format!("{good}\n{{\"said\": \"x\"}}\n")).unwrap_err();
        assert!(format!("{error:#}").contains("line 2"), "{error:#}");
        assert!(sentences("\n").is_err());
    }
}
