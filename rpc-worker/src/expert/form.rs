//! The form that an answer must have, as a grammar: calls of tools, JSON, or free text without one.

use openai::{ApiError, ChatRequest, Format, ToolChoice};
use prompt::{CallFormat, Json, Tool, object_grammar, schema_grammar, tool_grammar};

/// What the answer must be.
pub fn grammar(request: &ChatRequest, calls: CallFormat<'_>) -> Result<Option<String>, ApiError> {
    let choice = match &request.tool_choice {
        ToolChoice::None => None,
        ToolChoice::Auto => Some(prompt::ToolChoice::Auto),
        ToolChoice::Required => Some(prompt::ToolChoice::Required),
        ToolChoice::Named(name) => Some(prompt::ToolChoice::Named(name)),
    };
    let grammar = match (choice, &request.format) {
        (Some(prompt::ToolChoice::Auto), Format::JsonObject | Format::JsonSchema { .. }) => {
            let why = "a form of the answer and tools that may be called do not go together: set tool_choice to none or required";
            return Err(ApiError::invalid("response_format", why));
        }
        (Some(choice), _) => tools_grammar(request, choice, calls)?,
        (None, Format::Text) => return Ok(None),
        (None, Format::JsonObject) => object_grammar(),
        (None, Format::JsonSchema { schema, .. }) => {
            let param = "response_format.json_schema.schema";
            let schema = Json::parse(schema).map_err(|e| ApiError::invalid(param, e))?;
            schema_grammar(&schema).map_err(|e| ApiError::invalid(param, e.to_string()))?
        }
    };
    Ok(Some(grammar))
}

fn tools_grammar(
    request: &ChatRequest,
    choice: prompt::ToolChoice<'_>,
    mut format: CallFormat<'_>,
) -> Result<String, ApiError> {
    let mut schemas = Vec::new();
    for (idx, tool) in request.tools.iter().enumerate() {
        let param = || format!("tools[{idx}].function.parameters");
        let schema = tool.parameters.as_deref().map(Json::parse).transpose();
        schemas.push(schema.map_err(|e| ApiError::invalid(param(), e))?);
    }
    let pairs = request.tools.iter().zip(&schemas);
    let tools: Vec<Tool<'_>> =
        pairs.map(|(tool, schema)| Tool { name: &tool.name, parameters: schema.as_ref() }).collect();
    if !request.parallel_tool_calls {
        format.between = None;
    }
    tool_grammar(&tools, choice, &format).map_err(|e| ApiError::invalid(e.path, e.reason))
}
