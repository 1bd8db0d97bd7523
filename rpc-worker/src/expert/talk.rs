//! From messages to tokens: what one expert makes of a request before anything is computed.
//! What form the answer must have is `form`'s, what date it is the caller's.

use super::backend::Manner;
use super::{begun, form};
use engine::{Model, Sampling, Token};
use openai::handover::Begun;
use openai::{ApiError, ChatRequest, Choosing, CompletionRequest, Message, Role, ToolChoice};
use prompt::{CallFormat, ChatInput, ChatTemplate, CivilTime, Json, template_messages};
use split::expert::Expert;
use std::sync::Arc;

/// For models that bring no template of their own: the form that most of them know.
const PLAIN_TEMPLATE: &str = "{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' + \
    message.content + '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
/// Breaks a mark in a stranger's text: it has no width, and no mark has it.
const JOINER: char = '\u{2060}';

/// What one model and one expert's manner make of requests.
pub struct Talk {
    model: Arc<Model>,
    template: ChatTemplate,
    calls: CallFormat<'static>,
    knows_tools: bool,
    marks: Vec<String>,
    persona: String,
    sampling: split::expert::Sampling,
    /// Positions of one conversation.
    n_ctx: u32,
    begin: String,
    end: String,
}

/// What the scheduler is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Prepared {
    pub prompt: Vec<Token>,
    pub manner: Manner,
    pub n_tokens_max: u32,
    /// How calls are written, where the answer may have some.
    pub calls: Option<CallFormat<'static>>,
    /// The text of `manner.begun`, as the client's copy before this one showed it or made calls of it.
    pub begun_text: String,
}

impl Talk {
    /// Errors are of the model's template, as sentences.
    pub fn new(model: Arc<Model>, expert: &Expert, persona: &str, n_ctx: u32) -> Result<Talk, String> {
        let source = model.chat_template().unwrap_or(PLAIN_TEMPLATE);
        let template = ChatTemplate::parse(source).map_err(|e| e.to_string())?;
        let is_llama = source.contains("<|python_tag|>") && !source.contains("<tool_call>");
        let text = |token: Option<Token>| {
            let bytes = token.and_then(|token| model.piece(token, true).ok()).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let (begin, end) = (text(model.begin()), text(model.end()));
        // A mark of one or two letters is no mark, and would break ordinary words.
        let marks = model.marks().into_iter().filter(|mark| mark.len() > 2).collect();
        Ok(Talk {
            calls: if is_llama { CallFormat::LLAMA_3 } else { CallFormat::HERMES },
            knows_tools: template.names("tools"),
            template,
            marks,
            persona: persona.trim().to_owned(),
            sampling: expert.sampling,
            n_ctx,
            begin,
            end,
            model,
        })
    }

    pub fn chat(&self, request: &ChatRequest, now: CivilTime, dice: u64) -> Result<Prepared, ApiError> {
        let calls = (request.tool_choice != ToolChoice::None).then_some(self.calls);
        let prompt = self.read(request, now)?;
        let grammar = form::grammar(request, self.calls)?;
        let manner = self.manner(&request.choosing, request.top_logprobs, grammar, dice);
        self.within(prompt, manner, &request.choosing, calls, request.begun.as_ref())
    }

    pub fn completion(&self, request: &CompletionRequest, dice: u64) -> Result<Prepared, ApiError> {
        let prompt = self.model.tokenise(&request.prompt, true, false);
        let prompt = prompt.map_err(|e| ApiError::invalid("prompt", e.to_string()))?;
        if prompt.is_empty() {
            return Err(ApiError::invalid("prompt", "has no tokens"));
        }
        let manner = self.manner(&request.choosing, request.top_logprobs, None, dice);
        self.within(prompt, manner, &request.choosing, None, request.begun.as_ref())
    }

    /// What all conversations begin with: as many tokens as two that differ in their first word have in common.
    pub fn beginning(&self, now: CivilTime) -> Vec<Token> {
        let ask = |text: &str| {
            let body =
                format!("{{\"model\":\"m\",\"messages\":[{{\"role\":\"user\",\"content\":\"{text}\"}}]}}");
            ChatRequest::read(body.as_bytes()).ok().and_then(|request| self.read(&request, now).ok())
        };
        let (Some(one), Some(other)) = (ask("A"), ask("?")) else { return Vec::new() };
        one.iter().zip(&other).take_while(|(a, b)| a == b).map(|(token, _)| *token).collect()
    }

    fn within(
        &self,
        prompt: Vec<Token>,
        mut manner: Manner,
        asked: &Choosing,
        calls: Option<CallFormat<'static>>,
        begun: Option<&Begun>,
    ) -> Result<Prepared, ApiError> {
        let begun = begun.map(|begun| begun::tokens(&self.model, begun, calls.as_ref(), &asked.stop));
        let begun_text;
        (manner.begun, begun_text) = begun.transpose()?.unwrap_or_default();
        let room = (self.n_ctx as usize).saturating_sub(prompt.len());
        // An answer that another copy ended for want of room may only have lost its last word.
        if room == 0 || manner.begun.len() > room {
            let n = prompt.len() + manner.begun.len();
            return Err(ApiError::context_overflow(n, self.n_ctx as usize));
        }
        let n_tokens_max = asked.tokens_max.unwrap_or(u32::MAX).min(room as u32);
        Ok(Prepared { prompt, manner, n_tokens_max, calls, begun_text })
    }

    /// The messages as the model was taught to read them.
    fn read(&self, request: &ChatRequest, now: CivilTime) -> Result<Vec<Token>, ApiError> {
        let mut messages: Vec<Json> = Vec::new();
        let tools = match request.tool_choice {
            ToolChoice::None => Vec::new(),
            _ => request
                .tools
                .iter()
                .enumerate()
                .map(|tool| self.tool(tool))
                .collect::<Result<Vec<Json>, _>>()?,
        };
        let mut system = match request.messages.first() {
            Some(Message { role: Role::System, .. }) => String::new(),
            _ => self.persona.clone(),
        };
        if !tools.is_empty() && !self.knows_tools {
            system = [system, told(&tools, &self.calls)].join("\n\n").trim().to_owned();
        }
        if !system.is_empty() {
            messages.push(object(&[("role", "system".into()), ("content", Json::Text(system))]));
        }
        messages.extend(request.messages.iter().map(|message| self.message(message)));
        let thinking = Json::Bool(request.enable_thinking.unwrap_or(false));
        let input = ChatInput {
            messages: &template_messages(&messages),
            tools: (!tools.is_empty() && self.knows_tools).then_some(tools.as_slice()),
            add_generation_prompt: true,
            bos_token: &self.begin,
            eos_token: &self.end,
            now,
            extra: &[("enable_thinking".to_owned(), thinking)],
        };
        let wrong = |e: String| ApiError::invalid("messages", e);
        let text = self.template.render(&input).map_err(|e| wrong(e.to_string()))?;
        let has_begin = !self.begin.is_empty() && text.starts_with(&self.begin);
        let tokens = self.model.tokenise(&text, !has_begin, true).map_err(|e| wrong(e.to_string()))?;
        if tokens.is_empty() { Err(wrong("the messages have no tokens".to_owned())) } else { Ok(tokens) }
    }

    fn message(&self, message: &Message) -> Json {
        let mut entries = vec![("role", Json::from(message.role.name()))];
        let text = |text: &str| Json::Text(self.without_marks(text));
        // Templates join it to texts, and nothing joins to nothing.
        entries.push(("content", text(message.content.as_deref().unwrap_or_default())));
        if let Some(name) = &message.name {
            entries.push(("name", text(name)));
        }
        if let Some(id) = &message.call_id {
            entries.push(("tool_call_id", text(id)));
        }
        if !message.calls.is_empty() {
            let calls = message.calls.iter().map(|call| {
                let function = [("name", text(&call.name)), ("arguments", text(&call.arguments))];
                object(&[
                    ("id", text(&call.id)),
                    ("type", "function".into()),
                    ("function", object(&function)),
                ])
            });
            entries.push(("tool_calls", Json::List(calls.collect())));
        }
        object(&entries)
    }

    fn tool(&self, (idx, tool): (usize, &openai::Tool)) -> Result<Json, ApiError> {
        let json = self.without_marks(&tool.json);
        Json::parse(&json).map_err(|e| ApiError::invalid(format!("tools[{idx}]"), e))
    }

    /// A stranger's text must not end his turn and begin another's.
    fn without_marks(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for mark in self.marks.iter().filter(|mark| !mark.is_empty()) {
            if text.contains(mark.as_str()) {
                let mut letters = mark.chars();
                let broken: String = letters.next().into_iter().chain([JOINER]).chain(letters).collect();
                text = text.replace(mark.as_str(), &broken);
            }
        }
        text
    }

    fn manner(&self, asked: &Choosing, top: Option<u32>, grammar: Option<String>, dice: u64) -> Manner {
        let own = &self.sampling;
        let seed = asked.seed.unwrap_or(dice);
        let sampling = Sampling {
            temperature: asked.temperature.unwrap_or(own.temperature),
            top_k: asked.top_k.unwrap_or(own.top_k),
            top_p: asked.top_p.unwrap_or(own.top_p),
            min_p: asked.min_p.unwrap_or(own.min_p),
            // The engine divides by it, so nothing must not be zero.
            repeat_penalty: asked.repeat_penalty.unwrap_or(own.repeat_penalty.max(0.1)),
            presence_penalty: asked.presence_penalty.unwrap_or(0.0),
            frequency_penalty: asked.frequency_penalty.unwrap_or(0.0),
            // The last number means dice without a seed to the library.
            seed: ((seed ^ (seed >> 32)) as u32).min(u32::MAX - 1),
            grammar,
            ..Sampling::default()
        };
        Manner { sampling, top_logprobs: top, begun: Vec::new() }
    }
}

fn object(entries: &[(&str, Json)]) -> Json {
    Json::Map(entries.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect())
}

/// For templates that know no tools.
fn told(tools: &[Json], format: &CallFormat<'_>) -> String {
    let list: Vec<String> = tools.iter().map(Json::to_string).collect();
    format!(
        "You may call functions. Their signatures are:\n<tools>\n{}\n</tools>\nA call is written so:\n\
         {}{{\"{}\": <name>, \"{}\": <arguments as JSON>}}{}",
        list.join("\n"),
        format.before,
        format.name_key,
        format.arguments_key,
        format.after
    )
}
