//! The target of `crates/openai`: bodies of requests from whoever has a key.

use openai::{
    ApiError, BODY_BYTES_MAX, ChatRequest, Choosing, CompletionRequest, EmbeddingRequest, Format, INPUTS_MAX,
    MESSAGES_MAX, Routing, STOPS_MAX, TOOLS_MAX, ToolChoice, with_handover,
};

/// A body, read as each kind of request. What is wrong is told by a 400 that is JSON; what is taken keeps its limits;
/// and another model's name changes nothing else.
pub fn openai(bytes: &[u8]) {
    let renamed = with_handover(bytes, "an\"other\u{e9}", false, None);
    let chat = told(ChatRequest::read(bytes));
    if let Some(chat) = &chat {
        assert!((1..=MESSAGES_MAX).contains(&chat.messages.len()) && chat.tools.len() <= TOOLS_MAX);
        check(&chat.choosing);
        match &chat.tool_choice {
            ToolChoice::Named(name) => assert!(chat.tools.iter().any(|tool| tool.name == *name)),
            ToolChoice::None => {}
            ToolChoice::Auto | ToolChoice::Required => assert!(!chat.tools.is_empty()),
        }
        let schemas = chat.tools.iter().filter_map(|tool| tool.parameters.as_deref());
        let format = match &chat.format {
            Format::JsonSchema { schema, .. } => Some(schema.as_str()),
            _ => None,
        };
        for schema in schemas.chain(format) {
            assert!(schema.starts_with('{') && schema.ends_with('}'));
        }
        let renamed = renamed.as_ref().expect("what was read can be renamed");
        let mut again = ChatRequest::read(renamed).expect("a name changes nothing else");
        assert_eq!(again.model, "an\"other\u{e9}");
        again.model.clone_from(&chat.model);
        // What another copy began is a gateway's to say, so a client's word for it does not get through.
        assert_eq!(again.begun, None);
        again.begun.clone_from(&chat.begun);
        assert_eq!(&again, chat);
    }
    if let Some(completion) = told(CompletionRequest::read(bytes)) {
        assert!(completion.prompt.len() <= BODY_BYTES_MAX);
        check(&completion.choosing);
    }
    if let Some(embedding) = told(EmbeddingRequest::read(bytes)) {
        assert!((1..=INPUTS_MAX).contains(&embedding.inputs.len()));
    }
    if let Some(routing) = told(Routing::read(bytes)) {
        let renamed = renamed.expect("what was read can be renamed");
        let again = Routing::read(&renamed).expect("a name changes nothing else");
        assert_eq!(Routing { model: routing.model.clone(), ..again }, routing);
    }
}

fn told<T>(read: Result<T, ApiError>) -> Option<T> {
    let error = match read {
        Ok(request) => return Some(request),
        Err(error) => error,
    };
    assert!(error.status == 400 && !error.message.is_empty(), "{error:?}");
    let body: serde_json::Value = serde_json::from_str(&error.body()).expect("an error is JSON");
    assert_eq!(body["error"]["message"], error.message.as_str());
    None
}

fn check(choosing: &Choosing) {
    assert!(choosing.stop.len() <= STOPS_MAX && choosing.stop.iter().all(|stop| !stop.is_empty()));
    assert!(choosing.tokens_max.is_none_or(|n| n > 0));
    let numbers = [choosing.temperature, choosing.top_p, choosing.min_p, choosing.presence_penalty];
    assert!(numbers.into_iter().flatten().all(|number| (-2.0..=2.0).contains(&number)));
}
