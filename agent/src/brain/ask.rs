//! Puts a question of a workflow to a model: which one, in whose manner, and in which form.

use super::Brain;
use super::library::Library;
use crate::answer::model::ModelJob;
use crate::gateway::route::AUTO;
use crate::talk::parts::{Part, Stop};
use crate::tools::desk::Desk;
use brain::{Form, Message, Role};
use serde_json::{Value, json};
use tools::{Risk, Spec};

/// Each line costs a small model time, and each tool makes the right one harder to find.
const OFFERED_MAX: usize = 40;

pub struct Asking {
    pub expert: String,
    pub persona: Option<String>,
    pub messages: Vec<Message>,
    pub form: Form,
    pub tokens: u32,
}

pub fn ask(brain: &Brain, asking: Asking, stop: Stop, sink: Box<dyn FnMut(Part) + Send>) {
    let offered = match &asking.form {
        Form::Call(names) => offered(&brain.desk, names),
        _ => vec![],
    };
    brain.models.ask(job(&brain.library, &asking, &offered, stop, sink));
}

/// What a model may call: these, or all, but for what the owner forbids.
fn offered(desk: &Desk, names: &[String]) -> Vec<Spec> {
    let is_offered = |(spec, risk): &(Spec, Risk)| {
        *risk != Risk::Forbidden && (names.is_empty() || names.contains(&spec.name))
    };
    let specs = desk.specs().into_iter().filter(is_offered).map(|(spec, _)| spec);
    specs.take(OFFERED_MAX).collect()
}

/// `tools` are those that it may call, where it is asked for a call.
pub fn job(
    library: &Library,
    asking: &Asking,
    tools: &[Spec],
    stop: Stop,
    sink: Box<dyn FnMut(Part) + Send>,
) -> ModelJob {
    let expert = library.persona(&asking.expert);
    let manner = match &asking.persona {
        Some(name) => library.persona(name),
        None => expert.clone(),
    };
    let told = manner.map(|manner| manner.prompt.clone()).unwrap_or_default();
    let tag = expert.map_or_else(|| asking.expert.clone(), |expert| expert.tag.clone());
    ModelJob { body: body(asking, &told, tools), tag: Some(tag), stop, sink }
}

/// The request as the API has it. Where a persona has no words none are sent: what is sent before is the same every time
/// then, and a copy keeps it.
fn body(asking: &Asking, told: &str, tools: &[Spec]) -> Vec<u8> {
    let message = |role: &str, content: &str| json!({ "role": role, "content": content });
    let lines: String = tools.iter().map(|spec| format!("\n- {}", spec.line())).collect();
    let told = &match lines.is_empty() {
        true => told.to_owned(),
        false => format!("{told}\nThe tools:{lines}"),
    };
    let system = (!told.is_empty()).then(|| message("system", told));
    let messages = asking.messages.iter().map(|one| match one.role {
        Role::Person => message("user", &one.text),
        Role::Model => message("assistant", &one.text),
    });
    let mut body = json!({
        "model": AUTO,
        "messages": system.into_iter().chain(messages).collect::<Vec<Value>>(),
        "stream": true,
        "max_tokens": asking.tokens,
    });
    let schema = match &asking.form {
        Form::Choice(words) => Some(("choice", json!({ "type": "string", "enum": words }).to_string())),
        Form::Call(_) => Some(("call", tools::schema::calls(tools))),
        Form::Free | Form::Lines(_) => None,
    };
    let Some((name, schema)) = schema else { return body.to_string().into_bytes() };
    // The likeliest word, not a lucky one.
    body["temperature"] = json!(0);
    // As a text, because a schema's order is kept by no map.
    let format = format!(r#"{{"type":"json_schema","json_schema":{{"name":"{name}","schema":{schema}}}}}"#);
    let mut body = body.to_string();
    body.pop();
    format!(r#"{body},"response_format":{format}}}"#).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_one_that_our_own_worker_reads_and_a_choice_has_a_grammar() {
        let form = Form::Choice(vec!["yes".into(), "no".into()]);
        let messages = vec![Message { role: Role::Person, text: "hi".into() }];
        let asking = Asking { expert: "general".into(), persona: None, messages, form, tokens: 7 };
        let request = openai::ChatRequest::read(&body(&asking, "Be brief.", &[])).unwrap();
        assert_eq!((request.messages.len(), request.choosing.tokens_max), (2, Some(7)));
        let openai::Format::JsonSchema { schema, .. } = request.format else { panic!() };
        assert_eq!(schema, r#"{"enum":["yes","no"],"type":"string"}"#);
        assert_eq!(openai::ChatRequest::read(&body(&asking, "", &[])).unwrap().messages.len(), 1);
        let asking = Asking { form: Form::Call(vec![]), ..asking };
        let tools = [Spec::new("time", "Tells the time.")];
        let request = openai::ChatRequest::read(&body(&asking, "Choose.", &tools)).unwrap();
        let openai::Format::JsonSchema { schema, .. } = request.format else { panic!() };
        assert!(schema.contains(r#"{"const":"time"}"#) && schema.contains(r#"{"const":"none"}"#), "{schema}");
    }
}
