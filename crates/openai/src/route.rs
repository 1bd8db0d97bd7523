//! What a gateway must know of a request that it hands on: for whom it is, and whether the answer is a stream.

use crate::fields::body;
use crate::handover::{BODY_FIELD, Begun};
use crate::{ApiError, MODEL_BYTES_MAX};

/// The few fields that decide where a request goes. The rest is checked where it is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routing {
    pub model: String,
    pub is_stream: bool,
    /// The client wants the count of tokens at a stream's end.
    pub with_usage: bool,
    pub has_tools: bool,
}

impl Routing {
    pub fn read(bytes: &[u8]) -> Result<Routing, ApiError> {
        let fields = body(bytes)?;
        let options = fields.get("stream_options").filter(|options| options.is_object());
        let with_usage = match options {
            Some(options) => options.object()?.flag("include_usage")?.unwrap_or(false),
            None => false,
        };
        Ok(Routing {
            with_usage,
            model: fields.need("model")?.text(MODEL_BYTES_MAX)?,
            is_stream: fields.flag("stream")?.unwrap_or(false),
            has_tools: fields.get("tools").is_some_and(|tools| tools.json() != "[]"),
        })
    }
}

/// The same request for another copy; all that is not ours stays as it was written. What `streams` is answered as a stream,
/// however the client wishes it, that ends with its count of tokens, for whoever counts. What another copy `begun` comes
/// from a gateway only, never from a client.
pub fn with_handover(
    bytes: &[u8],
    model: &str,
    streams: bool,
    begun: Option<&Begun>,
) -> Result<Vec<u8>, ApiError> {
    let mut changed = vec![("model", text(model))];
    if streams {
        changed.push(("stream", "true".to_owned()));
        changed.push(("stream_options", "{\"include_usage\":true}".to_owned()));
    }
    changed.extend(begun.map(|begun| (BODY_FIELD, begun.json())));
    with_fields(bytes, &changed)
}

/// These fields have these values, as JSON.
fn with_fields(bytes: &[u8], changed: &[(&str, String)]) -> Result<Vec<u8>, ApiError> {
    let fields = body(bytes)?;
    let is_kept = |name: &str| name != BODY_FIELD && changed.iter().all(|(other, _)| *other != name);
    let kept = fields.entries().filter(|(name, _)| is_kept(name));
    let changed = changed.iter().map(|(name, value)| (*name, value.as_str()));
    let mut out = String::with_capacity(bytes.len() + 128);
    for (name, value) in changed.chain(kept) {
        out.push(if out.is_empty() { '{' } else { ',' });
        out.push_str(&text(name));
        out.push(':');
        out.push_str(value);
    }
    out.push('}');
    Ok(out.into_bytes())
}

fn text(text: &str) -> String {
    serde_json::to_string(text).expect("texts can always be written")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_reads_model_and_stream() {
        let routing = Routing::read(br#"{"messages":7,"stream":true,"model":"auto","tools":[{}]}"#).unwrap();
        let want = Routing { model: "auto".into(), is_stream: true, with_usage: false, has_tools: true };
        assert_eq!(routing, want);
        let body = br#"{"model":"a","stream_options":{"include_usage":true}}"#;
        assert!(Routing::read(body).unwrap().with_usage);
        assert_eq!(Routing::read(b"{}").unwrap_err().param.as_deref(), Some("model"));
    }

    #[test]
    fn another_model_changes_nothing_else() {
        let body = br#"{"b": {"z" : 1.0, "a":[ ]}, "model":"auto", "a\n":"\u00e9"}"#;
        let got = with_handover(body, "x\"y", false, None).unwrap();
        let want = r#"{"model":"x\"y","b":{"z" : 1.0, "a":[ ]},"a\n":"\u00e9"}"#;
        assert_eq!(String::from_utf8(got).unwrap(), want);
        let counted = with_handover(br#"{"stream_options":null,"duet":7,"n":1}"#, "x", true, None).unwrap();
        let want = r#"{"model":"x","stream":true,"stream_options":{"include_usage":true},"n":1}"#;
        assert_eq!(String::from_utf8(counted).unwrap(), want);
    }
}
