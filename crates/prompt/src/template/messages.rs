//! Messages as clients send them, brought into the form that templates were written for.

use crate::json::Json;

/// Calls carry their arguments as a JSON text on the wire, but templates print them with `tojson` and want an object.
/// A content in parts becomes one text when all parts are text, since many templates know no parts.
pub fn template_messages(messages: &[Json]) -> Vec<Json> {
    messages.iter().map(message).collect()
}

fn message(message: &Json) -> Json {
    change(message, |key, value| match (key, value) {
        ("content", Json::List(parts)) => joined(parts).unwrap_or_else(|| value.clone()),
        ("tool_calls", Json::List(calls)) => Json::List(calls.iter().map(call).collect()),
        _ => value.clone(),
    })
}

fn call(call: &Json) -> Json {
    change(call, |key, value| match (key, value) {
        ("function", function @ Json::Map(_)) => self::call(function),
        ("arguments", Json::Text(text)) => match Json::parse(text) {
            Ok(arguments @ Json::Map(_)) => arguments,
            _ => value.clone(),
        },
        _ => value.clone(),
    })
}

fn change(json: &Json, new: impl Fn(&str, &Json) -> Json) -> Json {
    match json {
        Json::Map(entries) => {
            Json::Map(entries.iter().map(|(key, value)| (key.clone(), new(key, value))).collect())
        }
        other => other.clone(),
    }
}

fn joined(parts: &[Json]) -> Option<Json> {
    let texts = parts.iter().map(|part| part.get("text").and_then(Json::text)).collect::<Option<Vec<_>>>()?;
    Some(Json::Text(texts.join("\n")))
}

#[cfg(test)]
mod checks {
    use super::*;

    #[track_caller]
    fn check(message: &str, want: &str) {
        assert_eq!(template_messages(&[Json::parse(message).unwrap()])[0].to_string(), want);
    }

    #[test]
    fn arguments_become_objects() {
        check(
            r#"{"role":"assistant","tool_calls":[{"type":"function","function":{"name":"f","arguments":"{\"a\": 1}"}}]}"#,
            r#"{"role":"assistant","tool_calls":[{"type":"function","function":{"name":"f","arguments":{"a":1}}}]}"#,
        );
        check(r#"{"tool_calls":[{"arguments":"no json"}]}"#, r#"{"tool_calls":[{"arguments":"no json"}]}"#);
    }

    #[test]
    fn parts_of_text_become_one_text() {
        check(
            r#"{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}"#,
            r#"{"role":"user","content":"a\nb"}"#,
        );
        check(r#"{"content":[{"type":"image_url"}]}"#, r#"{"content":[{"type":"image_url"}]}"#);
    }
}
