//! Puts a question of a workflow to a model: which one, in whose manner, and in which form.

use super::Brain;
use super::library::Library;
use crate::answer::model::ModelJob;
use crate::gateway::route::AUTO;
use crate::talk::parts::{Part, Stop};
use brain::{Form, Message, Role};
use serde_json::{Value, json};

pub struct Asking {
    pub expert: String,
    pub persona: Option<String>,
    pub messages: Vec<Message>,
    pub form: Form,
    pub tokens: u32,
}

pub fn ask(brain: &Brain, asking: Asking, stop: Stop, sink: Box<dyn FnMut(Part) + Send>) {
    brain.models.ask(job(&brain.library, &asking, stop, sink));
}

pub fn job(library: &Library, asking: &Asking, stop: Stop, sink: Box<dyn FnMut(Part) + Send>) -> ModelJob {
    let expert = library.persona(&asking.expert);
    let manner = match &asking.persona {
        Some(name) => library.persona(name),
        None => expert.clone(),
    };
    let told = manner.map(|manner| manner.prompt.clone()).unwrap_or_default();
    let tag = expert.map_or_else(|| asking.expert.clone(), |expert| expert.tag.clone());
    ModelJob { body: body(asking, &told), tag: Some(tag), stop, sink }
}

/// The request as the API has it. Where a persona has no words none are sent: what is sent before is the same every time
/// then, and a copy keeps it.
fn body(asking: &Asking, told: &str) -> Vec<u8> {
    let message = |role: &str, content: &str| json!({ "role": role, "content": content });
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
    if let Form::Choice(words) = &asking.form {
        let schema = json!({ "name": "choice", "schema": { "type": "string", "enum": words } });
        body["response_format"] = json!({ "type": "json_schema", "json_schema": schema });
        // The likeliest word, not a lucky one.
        body["temperature"] = json!(0);
    }
    body.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_one_that_our_own_worker_reads_and_a_choice_has_a_grammar() {
        let form = Form::Choice(vec!["yes".into(), "no".into()]);
        let messages = vec![Message { role: Role::Person, text: "hi".into() }];
        let asking = Asking { expert: "general".into(), persona: None, messages, form, tokens: 7 };
        let request = openai::ChatRequest::read(&body(&asking, "Be brief.")).unwrap();
        assert_eq!((request.messages.len(), request.choosing.tokens_max), (2, Some(7)));
        let openai::Format::JsonSchema { schema, .. } = request.format else { panic!() };
        assert_eq!(schema, r#"{"enum":["yes","no"],"type":"string"}"#);
        assert_eq!(openai::ChatRequest::read(&body(&asking, "")).unwrap().messages.len(), 1);
    }
}
