//! `POST /v1/embeddings`: vectors of texts.

use crate::fields::body;
use crate::{ApiError, BODY_BYTES_MAX, INPUTS_MAX, MODEL_BYTES_MAX, NAME_BYTES_MAX};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmbeddingRequest {
    pub model: String,
    pub inputs: Vec<String>,
    pub encoding: Encoding,
    /// Numbers of a vector that the client counts on; only the model's own are given.
    pub dimensions: Option<u32>,
}

/// How a vector is written. Libraries ask for base64, because it is shorter and exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Floats,
    /// Floats of four bytes, little end first.
    Base64,
}

impl EmbeddingRequest {
    pub fn read(bytes: &[u8]) -> Result<EmbeddingRequest, ApiError> {
        let fields = body(bytes)?;
        let input = fields.need("input")?;
        let inputs = if input.is_list() {
            let inputs = input.list(INPUTS_MAX)?;
            inputs.iter().map(|text| text.text(BODY_BYTES_MAX)).collect::<Result<Vec<_>, _>>()?
        } else {
            vec![input.text(BODY_BYTES_MAX)?]
        };
        if inputs.is_empty() || inputs.iter().any(String::is_empty) {
            return Err(fields.wrong("input", "must not be empty"));
        }
        let encoding = match fields.text("encoding_format", NAME_BYTES_MAX)?.as_deref() {
            None | Some("float") => Encoding::Floats,
            Some("base64") => Encoding::Base64,
            Some(other) => {
                return Err(
                    fields.wrong("encoding_format", format!("must be float or base64, not {other:?}"))
                );
            }
        };
        let dimensions = fields.whole("dimensions", 1..=1 << 20)?.map(|n| n as u32);
        Ok(EmbeddingRequest {
            model: fields.need("model")?.text(MODEL_BYTES_MAX)?,
            inputs,
            encoding,
            dimensions,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(more: &str, want: Result<(usize, Encoding), (&str, &str)>) {
        let body = format!(r#"{{"model":"m",{more}}}"#);
        match (EmbeddingRequest::read(body.as_bytes()), want) {
            (Ok(request), Ok(want)) => assert_eq!((request.inputs.len(), request.encoding), want),
            (Err(error), Err((param, message))) => {
                assert_eq!(error.param.as_deref(), Some(param));
                assert!(error.message.contains(message), "{error}");
            }
            (got, want) => panic!("{got:?} is not {want:?}"),
        }
    }

    #[test]
    fn one_text_or_many_are_taken() {
        check(r#""input":"a""#, Ok((1, Encoding::Floats)));
        check(r#""input":["a","b"],"encoding_format":"base64","dimensions":384"#, Ok((2, Encoding::Base64)));
    }

    #[test]
    fn what_is_no_text_is_refused_by_its_place() {
        check(r#""input":[]"#, Err(("input", "empty")));
        check(r#""input":["a",""]"#, Err(("input", "empty")));
        check(r#""input":["a",[1,2]]"#, Err(("input[1]", "must be a string")));
        check(r#""input":"a","encoding_format":"hex""#, Err(("encoding_format", "float or base64")));
    }
}
