//! `POST /v1/chat/completions`: messages, tools, and what form the answer must have.

use crate::fields::{Field, Fields, body};
use crate::handover::Begun;
use crate::{
    ApiError, BODY_BYTES_MAX, CALLS_MAX, Choosing, MESSAGES_MAX, MODEL_BYTES_MAX, NAME_BYTES_MAX, PARTS_MAX,
    STOP_BYTES_MAX, STOPS_MAX, Streaming, TOKENS_MAX, TOOLS_MAX, TOP_LOGPROBS_MAX,
};

/// A request for an answer to messages.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatRequest {
    pub model: String,
    pub messages: Vec<Message>,
    pub tools: Vec<Tool>,
    pub tool_choice: ToolChoice,
    /// Whether one answer may call several tools.
    pub parallel_tool_calls: bool,
    pub format: Format,
    pub choosing: Choosing,
    pub streaming: Streaming,
    /// How many tokens beside the chosen one are shown with their logarithms; `None` for no logarithms at all.
    pub top_logprobs: Option<u32>,
    /// What a model's template may be told: whether to think first.
    pub enable_thinking: Option<bool>,
    /// The answer that is to be gone on with.
    pub begun: Option<Begun>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Also what newer clients call `developer`.
    System,
    User,
    Assistant,
    /// A tool's result.
    Tool,
}

impl Role {
    /// The name that templates know.
    pub fn name(self) -> &'static str {
        match self {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
            Role::Tool => "tool",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub role: Role,
    /// Parts of text are joined by line feeds. An assistant that only called tools said nothing.
    pub content: Option<String>,
    pub name: Option<String>,
    pub calls: Vec<Call>,
    /// The call that a tool answers.
    pub call_id: Option<String>,
}

/// A call that an assistant made before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub id: String,
    pub name: String,
    /// JSON, as a text.
    pub arguments: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool {
    pub name: String,
    /// The schema of the arguments, as it was written; without one the tool takes none.
    pub parameters: Option<String>,
    /// The whole tool as it was written, for the model's template.
    pub json: String,
}

/// Who decides whether a tool is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolChoice {
    /// Nobody: none is called.
    None,
    Auto,
    Required,
    Named(String),
}

/// What form the answer must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    Text,
    JsonObject,
    /// The schema as it was written.
    JsonSchema {
        name: String,
        schema: String,
    },
}

impl ChatRequest {
    pub fn read(bytes: &[u8]) -> Result<ChatRequest, ApiError> {
        let fields = body(bytes)?;
        let model = fields.need("model")?.text(MODEL_BYTES_MAX)?;
        let messages = fields.need("messages")?.list(MESSAGES_MAX)?;
        let messages: Vec<Message> = messages.iter().map(message).collect::<Result<_, _>>()?;
        if messages.is_empty() {
            return Err(fields.wrong("messages", "must have at least one message"));
        }
        let tools = tools(&fields)?;
        fields.only("functions", &["[]"], "is the old name of tools, and is not understood")?;
        fields.only("function_call", &["\"none\"", "\"auto\""], "is the old name of tool_choice")?;
        fields.only("modalities", &["[\"text\"]"], "only text is understood")?;
        Ok(ChatRequest {
            model,
            messages,
            tool_choice: tool_choice(&fields, &tools)?,
            parallel_tool_calls: fields.flag("parallel_tool_calls")?.unwrap_or(true),
            format: format(&fields)?,
            tools,
            choosing: choosing(&fields)?,
            streaming: streaming(&fields)?,
            top_logprobs: top_logprobs(&fields)?,
            enable_thinking: enable_thinking(&fields)?,
            begun: Begun::of(&fields)?,
        })
    }
}

fn message(field: &Field<'_>) -> Result<Message, ApiError> {
    let fields = field.object()?;
    let role = fields.need("role")?.text(NAME_BYTES_MAX)?;
    let role = match role.as_str() {
        "system" | "developer" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" => Role::Tool,
        other => return Err(fields.wrong("role", format!("there is no role {other:?}"))),
    };
    let content = fields.get("content").map(|field| content(&field)).transpose()?;
    let calls = match (role, fields.get("tool_calls")) {
        (Role::Assistant, Some(calls)) => {
            calls.list(CALLS_MAX)?.iter().map(call).collect::<Result<Vec<Call>, _>>()?
        }
        _ => Vec::new(),
    };
    if content.is_none() && calls.is_empty() {
        // An assistant may have been cut off before its first word.
        if role != Role::Assistant {
            return Err(fields.wrong("content", "the parameter content is missing"));
        }
    }
    let call_id = fields.text("tool_call_id", NAME_BYTES_MAX)?;
    if role == Role::Tool && call_id.is_none() {
        return Err(fields.wrong("tool_call_id", "a tool's message must name the call that it answers"));
    }
    Ok(Message { role, content, name: fields.text("name", NAME_BYTES_MAX)?, calls, call_id })
}

/// A text, or parts that are all texts.
fn content(field: &Field<'_>) -> Result<String, ApiError> {
    if field.is_text() {
        return field.text(BODY_BYTES_MAX);
    }
    if !field.is_list() {
        return Err(ApiError::invalid(field.path.clone(), "must be a string or a list of parts"));
    }
    let mut texts = Vec::new();
    for part in field.list(PARTS_MAX)? {
        let part = part.object()?;
        match part.need("type")?.text(NAME_BYTES_MAX)?.as_str() {
            "text" => texts.push(part.need("text")?.text(BODY_BYTES_MAX)?),
            "refusal" => texts.push(part.need("refusal")?.text(BODY_BYTES_MAX)?),
            other => return Err(part.wrong("type", format!("only text is understood, not {other:?}"))),
        }
    }
    Ok(texts.join("\n"))
}

fn call(field: &Field<'_>) -> Result<Call, ApiError> {
    let fields = field.object()?;
    let function = fields.need("function")?.object()?;
    Ok(Call {
        id: fields.text("id", NAME_BYTES_MAX)?.unwrap_or_default(),
        name: function.need("name")?.text(NAME_BYTES_MAX)?,
        arguments: function.text("arguments", BODY_BYTES_MAX)?.unwrap_or_else(|| "{}".to_owned()),
    })
}

fn tools(fields: &Fields<'_>) -> Result<Vec<Tool>, ApiError> {
    let Some(field) = fields.get("tools") else { return Ok(Vec::new()) };
    field.list(TOOLS_MAX)?.iter().map(tool).collect()
}

fn tool(field: &Field<'_>) -> Result<Tool, ApiError> {
    let fields = field.object()?;
    let kind = fields.need("type")?.text(NAME_BYTES_MAX)?;
    if kind != "function" {
        return Err(fields.wrong("type", format!("only functions are understood, not {kind:?}")));
    }
    let function = fields.need("function")?.object()?;
    let name = function.need("name")?.text(NAME_BYTES_MAX)?;
    let parameters = match function.get("parameters") {
        Some(schema) if schema.is_object() => Some(schema.json().to_owned()),
        Some(_) => return Err(function.wrong("parameters", "must be a JSON schema, an object")),
        None => None,
    };
    Ok(Tool { name, parameters, json: field.json().to_owned() })
}

fn tool_choice(fields: &Fields<'_>, tools: &[Tool]) -> Result<ToolChoice, ApiError> {
    let Some(field) = fields.get("tool_choice") else {
        return Ok(if tools.is_empty() { ToolChoice::None } else { ToolChoice::Auto });
    };
    let choice = if field.is_object() {
        let choice = field.object()?;
        let name = choice.need("function")?.object()?.need("name")?.text(NAME_BYTES_MAX)?;
        ToolChoice::Named(name)
    } else {
        match field.text(NAME_BYTES_MAX)?.as_str() {
            "none" => ToolChoice::None,
            "auto" => ToolChoice::Auto,
            "required" => ToolChoice::Required,
            other => return Err(fields.wrong("tool_choice", format!("there is no choice {other:?}"))),
        }
    };
    match &choice {
        ToolChoice::Auto if tools.is_empty() => Ok(ToolChoice::None),
        ToolChoice::None | ToolChoice::Auto => Ok(choice),
        _ if tools.is_empty() => Err(fields.wrong("tool_choice", "there are no tools to choose from")),
        ToolChoice::Named(name) if tools.iter().all(|tool| tool.name != *name) => {
            Err(fields.wrong("tool_choice", format!("there is no tool named {name:?}")))
        }
        _ => Ok(choice),
    }
}

fn format(fields: &Fields<'_>) -> Result<Format, ApiError> {
    let Some(field) = fields.get("response_format") else { return Ok(Format::Text) };
    let format = field.object()?;
    match format.need("type")?.text(NAME_BYTES_MAX)?.as_str() {
        "text" => Ok(Format::Text),
        "json_object" => Ok(Format::JsonObject),
        "json_schema" => {
            let inner = format.need("json_schema")?.object()?;
            let schema = inner.need("schema")?;
            if !schema.is_object() {
                return Err(inner.wrong("schema", "must be a JSON schema, an object"));
            }
            let name = inner.text("name", NAME_BYTES_MAX)?.unwrap_or_default();
            Ok(Format::JsonSchema { name, schema: schema.json().to_owned() })
        }
        other => Err(format.wrong("type", format!("there is no format {other:?}"))),
    }
}

/// What chat and completion have in common.
pub fn choosing(fields: &Fields<'_>) -> Result<Choosing, ApiError> {
    fields.only("n", &["1"], "only one answer is given: n must be 1")?;
    fields.only("logit_bias", &["{}"], "is not understood")?;
    let tokens_max = match fields.whole("max_completion_tokens", 1..=TOKENS_MAX)? {
        Some(n) => Some(n),
        None => fields.whole("max_tokens", 1..=TOKENS_MAX)?,
    };
    let seed = fields.get("seed").map(|field| field.any_whole()).transpose()?;
    Ok(Choosing {
        tokens_max: tokens_max.map(|n| n as u32),
        temperature: fields.number("temperature", 0.0..=2.0)?,
        top_p: fields.number("top_p", 0.0..=1.0)?,
        top_k: fields.whole("top_k", 0..=1_000_000)?.map(|n| n as u32),
        min_p: fields.number("min_p", 0.0..=1.0)?,
        repeat_penalty: fields.number("repeat_penalty", 0.1..=10.0)?,
        presence_penalty: fields.number("presence_penalty", -2.0..=2.0)?,
        frequency_penalty: fields.number("frequency_penalty", -2.0..=2.0)?,
        seed: seed.map(i64::cast_unsigned),
        stop: stops(fields)?,
    })
}

fn stops(fields: &Fields<'_>) -> Result<Vec<String>, ApiError> {
    let Some(field) = fields.get("stop") else { return Ok(Vec::new()) };
    let stops = match field.is_text() {
        true => vec![field.text(STOP_BYTES_MAX)?],
        false => {
            let stops = field.list(STOPS_MAX)?;
            stops.iter().map(|stop| stop.text(STOP_BYTES_MAX)).collect::<Result<_, _>>()?
        }
    };
    match stops.iter().any(String::is_empty) {
        true => Err(fields.wrong("stop", "an empty text would stop everything")),
        false => Ok(stops),
    }
}

pub fn streaming(fields: &Fields<'_>) -> Result<Streaming, ApiError> {
    let is_wanted = fields.flag("stream")?.unwrap_or(false);
    let with_usage = match fields.get("stream_options") {
        Some(options) => options.object()?.flag("include_usage")?.unwrap_or(false),
        None => false,
    };
    Ok(Streaming { is_wanted, with_usage: is_wanted && with_usage })
}

fn top_logprobs(fields: &Fields<'_>) -> Result<Option<u32>, ApiError> {
    let wanted = fields.flag("logprobs")?.unwrap_or(false);
    match fields.whole("top_logprobs", 0..=TOP_LOGPROBS_MAX)? {
        Some(n) if !wanted && n > 0 => Err(fields.wrong("top_logprobs", "needs logprobs: true")),
        n => Ok(wanted.then(|| n.unwrap_or(0) as u32)),
    }
}

fn enable_thinking(fields: &Fields<'_>) -> Result<Option<bool>, ApiError> {
    match fields.get("chat_template_kwargs") {
        Some(field) => field.object()?.flag("enable_thinking"),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request with one message and these further fields.
    fn read(more: &str) -> Result<ChatRequest, ApiError> {
        let text = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"hi"}}]{more}}}"#);
        ChatRequest::read(text.as_bytes())
    }

    #[track_caller]
    fn check_refused(body: &str, param: Option<&str>, message: &str) {
        let error = ChatRequest::read(body.as_bytes()).unwrap_err();
        assert_eq!((error.status, error.param.as_deref()), (400, param), "{error}");
        assert!(error.message.contains(message), "{error}");
    }

    #[track_caller]
    fn check_field(more: &str, param: &str, message: &str) {
        let text = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"hi"}}],{more}}}"#);
        check_refused(&text, Some(param), message);
    }

    #[test]
    fn the_least_request_is_a_model_and_a_message() {
        let request = read("").unwrap();
        assert_eq!((request.model.as_str(), request.messages.len()), ("m", 1));
        assert_eq!(request.choosing, Choosing::default());
        assert_eq!((request.tool_choice, request.format), (ToolChoice::None, Format::Text));
    }

    #[test]
    fn what_is_not_known_is_passed_over_and_null_is_absent() {
        assert_eq!(read(r#","user":"me","metadata":{"a":[1]},"seed":null,"tools":null"#), read(""));
    }

    #[test]
    fn content_may_come_in_parts() {
        let body = r#"{"model":"m","messages":[{"role":"developer","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}]}"#;
        let request = ChatRequest::read(body.as_bytes()).unwrap();
        assert_eq!(
            (request.messages[0].role, request.messages[0].content.as_deref()),
            (Role::System, Some("a\nb"))
        );
    }

    #[test]
    fn a_conversation_with_calls_is_read() {
        let body = r#"{"model":"m","messages":[{"role":"user","content":"hi"},
            {"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]},
            {"role":"tool","tool_call_id":"c1","content":"42"}]}"#;
        let request = ChatRequest::read(body.as_bytes()).unwrap();
        let call = Call { id: "c1".into(), name: "f".into(), arguments: "{\"a\":1}".into() };
        assert_eq!(request.messages[1].calls, [call]);
        assert_eq!(request.messages[2].call_id.as_deref(), Some("c1"));
    }

    #[test]
    fn every_setting_is_read() {
        let request = read(
            r#","max_tokens":5,"max_completion_tokens":7,"temperature":0.5,"top_p":0.9,"seed":-1,"stop":["x","y"],
            "presence_penalty":1,"frequency_penalty":-1,"logprobs":true,"top_logprobs":3,"stream":true,
            "stream_options":{"include_usage":true},"n":1,"chat_template_kwargs":{"enable_thinking":false}"#,
        )
        .unwrap();
        assert_eq!((request.choosing.tokens_max, request.choosing.seed), (Some(7), Some(u64::MAX)));
        assert_eq!(request.choosing.stop, ["x", "y"]);
        assert_eq!((request.top_logprobs, request.enable_thinking), (Some(3), Some(false)));
        assert_eq!(request.streaming, Streaming { is_wanted: true, with_usage: true });
    }

    #[test]
    fn tools_keep_what_was_written() {
        let request = read(
            r#","tools":[{"type":"function","function":{"name":"f","parameters":{"z":1,"a":2}}}],"tool_choice":{"type":"function","function":{"name":"f"}}"#,
        )
        .unwrap();
        assert_eq!(request.tools[0].parameters.as_deref(), Some(r#"{"z":1,"a":2}"#));
        assert_eq!(request.tool_choice, ToolChoice::Named("f".into()));
    }

    #[test]
    fn a_schema_keeps_its_order() {
        let request = read(
            r#","response_format":{"type":"json_schema","json_schema":{"name":"s","schema":{"z":{},"a":{}}}}"#,
        )
        .unwrap();
        let schema = r#"{"z":{},"a":{}}"#.to_owned();
        assert_eq!(request.format, Format::JsonSchema { name: "s".into(), schema });
    }

    #[test]
    fn a_body_that_is_no_request_is_refused() {
        check_refused("", None, "not JSON");
        check_refused("[]", None, "must be a JSON object");
        check_refused("{\"model\":\"m\"} x", None, "not JSON");
        check_refused("{}", Some("model"), "missing");
        check_refused(r#"{"model":"m"}"#, Some("messages"), "missing");
        check_refused(r#"{"model":1,"messages":[]}"#, Some("model"), "must be a string");
        check_refused(r#"{"model":"m","messages":{}}"#, Some("messages"), "must be a list");
        check_refused(r#"{"model":"m","messages":[]}"#, Some("messages"), "at least one");
        check_refused(r#"{"model":"m","messages":[1]}"#, Some("messages[0]"), "must be an object");
        let wide = vec!["1"; MESSAGES_MAX + 1].join(",");
        check_refused(&format!(r#"{{"model":"m","messages":[{wide}]}}"#), Some("messages"), "more than 1024");
        let fields: Vec<String> = (0..=FIELDS).map(|n| format!("\"k{n}\":1")).collect();
        check_refused(&format!("{{{}}}", fields.join(",")), None, "more than 256 fields");
        assert!(ChatRequest::read(b"{\"\xff\":1}").is_err());
    }

    const FIELDS: usize = crate::FIELDS_MAX;

    #[test]
    fn a_message_is_named_by_its_place() {
        let one = |message: &str| format!(r#"{{"model":"m","messages":[{message}]}}"#);
        check_refused(&one(r#"{"content":"x"}"#), Some("messages[0].role"), "missing");
        check_refused(&one(r#"{"role":"me","content":"x"}"#), Some("messages[0].role"), "no role \"me\"");
        check_refused(&one(r#"{"role":"user"}"#), Some("messages[0].content"), "missing");
        check_refused(
            &one(r#"{"role":"user","content":7}"#),
            Some("messages[0].content"),
            "a string or a list",
        );
        let image = r#"{"role":"user","content":[{"type":"image_url","image_url":{}}]}"#;
        check_refused(&one(image), Some("messages[0].content[0].type"), "only text");
        check_refused(
            &one(r#"{"role":"tool","content":"x"}"#),
            Some("messages[0].tool_call_id"),
            "must name",
        );
    }

    #[test]
    fn settings_beyond_their_limits_are_refused_by_name() {
        check_field(r#""n":2"#, "n", "only one answer");
        check_field(r#""temperature":2.1"#, "temperature", "from 0 to 2");
        check_field(r#""temperature":1e999"#, "temperature", "must be");
        check_field(r#""temperature":"hot""#, "temperature", "must be a number");
        check_field(r#""max_tokens":0"#, "max_tokens", "from 1");
        check_field(r#""max_tokens":-1"#, "max_tokens", "from 1");
        check_field(r#""max_tokens":1.5"#, "max_tokens", "a whole number");
        check_field(r#""stop":"""#, "stop", "empty");
        check_field(r#""stop":[1]"#, "stop[0]", "must be a string");
        check_field(r#""logit_bias":{"50":1}"#, "logit_bias", "not understood");
        check_field(r#""top_logprobs":2"#, "top_logprobs", "needs logprobs");
        check_field(r#""stream":"yes""#, "stream", "true or false");
        check_field(r#""tool_choice":"required""#, "tool_choice", "no tools");
        check_field(r#""tools":[{"type":"function"}]"#, "tools[0].function", "missing");
        check_field(r#""tools":[{"type":"web"}]"#, "tools[0].type", "only functions");
        check_field(r#""response_format":{"type":"xml"}"#, "response_format.type", "no format");
        check_field(
            r#""response_format":{"type":"json_schema","json_schema":{"schema":[]}}"#,
            "response_format.json_schema.schema",
            "an object",
        );
    }
}
