//! What a gateway must know of a request that it hands on: for whom it is, and whether the answer is a stream.

use crate::fields::body;
use crate::{ApiError, MODEL_BYTES_MAX};

/// The few fields that decide where a request goes. The rest is checked where it is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routing {
    pub model: String,
    pub is_stream: bool,
    pub has_tools: bool,
}

impl Routing {
    pub fn read(bytes: &[u8]) -> Result<Routing, ApiError> {
        let fields = body(bytes)?;
        Ok(Routing {
            model: fields.need("model")?.text(MODEL_BYTES_MAX)?,
            is_stream: fields.flag("stream")?.unwrap_or(false),
            has_tools: fields.get("tools").is_some_and(|tools| tools.json() != "[]"),
        })
    }
}

/// The same request for another model; all else stays as it was written.
pub fn with_model(bytes: &[u8], model: &str) -> Result<Vec<u8>, ApiError> {
    let fields = body(bytes)?;
    let text = |text: &str| serde_json::to_string(text).expect("texts can always be written");
    let mut out = format!("{{\"model\":{}", text(model));
    for (name, value) in fields.entries().filter(|(name, _)| *name != "model") {
        out.push(',');
        out.push_str(&text(name));
        out.push(':');
        out.push_str(value);
    }
    out.push('}');
    Ok(out.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_reads_model_and_stream() {
        let routing = Routing::read(br#"{"messages":7,"stream":true,"model":"auto","tools":[{}]}"#).unwrap();
        assert_eq!(routing, Routing { model: "auto".into(), is_stream: true, has_tools: true });
        assert_eq!(Routing::read(b"{}").unwrap_err().param.as_deref(), Some("model"));
    }

    #[test]
    fn another_model_changes_nothing_else() {
        let body = br#"{"b": {"z" : 1.0, "a":[ ]}, "model":"auto", "a\n":"\u00e9"}"#;
        let got = with_model(body, "x\"y").unwrap();
        let want = r#"{"model":"x\"y","b":{"z" : 1.0, "a":[ ]},"a\n":"\u00e9"}"#;
        assert_eq!(String::from_utf8(got).unwrap(), want);
    }
}
