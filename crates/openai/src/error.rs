//! What a client is told when something is wrong: a status and `{"error": {...}}`, as its library expects it.

use serde::Serialize;
use std::fmt;

/// What kind of thing is wrong; clients map the status to an exception and show the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The request: 400, or 404 and 413 where these say more.
    Invalid,
    /// No key, or a wrong one.
    Authentication,
    /// More than the key may.
    RateLimit,
    /// Full for now; libraries try again.
    Overloaded,
    /// Ours.
    Server,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Invalid => "invalid_request_error",
            Kind::Authentication => "authentication_error",
            Kind::RateLimit => "rate_limit_error",
            Kind::Overloaded => "overloaded_error",
            Kind::Server => "server_error",
        }
    }
}

/// An error as it goes to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    pub status: u16,
    pub kind: Kind,
    pub message: String,
    /// The part of the request that is wrong: `messages[0].role`.
    pub param: Option<String>,
    /// A word that programs look at.
    pub code: Option<&'static str>,
    /// When to try again.
    pub retry_after_ms: Option<u32>,
}

#[derive(Serialize)]
struct Body<'a> {
    error: Inner<'a>,
}

#[derive(Serialize)]
struct Inner<'a> {
    message: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    param: Option<&'a str>,
    code: Option<&'static str>,
}

impl ApiError {
    fn new(status: u16, kind: Kind, message: impl Into<String>) -> ApiError {
        ApiError { status, kind, message: message.into(), param: None, code: None, retry_after_ms: None }
    }

    /// One parameter is wrong.
    pub fn invalid(param: impl Into<String>, message: impl Into<String>) -> ApiError {
        ApiError { param: Some(param.into()), ..ApiError::new(400, Kind::Invalid, message) }
    }

    /// The body is no request at all.
    pub fn unreadable(message: impl Into<String>) -> ApiError {
        ApiError::new(400, Kind::Invalid, message)
    }

    pub fn unknown_model(name: &str) -> ApiError {
        let message = format!("the model {name:?} does not exist");
        let error = ApiError::new(404, Kind::Invalid, message);
        ApiError { param: Some("model".to_owned()), code: Some("model_not_found"), ..error }
    }

    pub fn unknown_route(method: &str, path: &str) -> ApiError {
        let message = format!("unknown request URL: {method} {path}");
        ApiError { code: Some("unknown_url"), ..ApiError::new(404, Kind::Invalid, message) }
    }

    pub fn context_overflow(n_tokens: usize, n_ctx: usize) -> ApiError {
        let message =
            format!("this model's maximum context length is {n_ctx} tokens, but the request has {n_tokens}");
        let error = ApiError::invalid("messages", message);
        ApiError { code: Some("context_length_exceeded"), ..error }
    }

    pub fn no_key(message: impl Into<String>) -> ApiError {
        ApiError { code: Some("invalid_api_key"), ..ApiError::new(401, Kind::Authentication, message) }
    }

    pub fn too_many_requests(message: impl Into<String>, retry_after_ms: u32) -> ApiError {
        ApiError {
            code: Some("rate_limit_exceeded"),
            retry_after_ms: Some(retry_after_ms),
            ..ApiError::new(429, Kind::RateLimit, message)
        }
    }

    pub fn overloaded(message: impl Into<String>, retry_after_ms: u32) -> ApiError {
        ApiError {
            code: Some("overloaded"),
            retry_after_ms: Some(retry_after_ms),
            ..ApiError::new(503, Kind::Overloaded, message)
        }
    }

    pub fn internal(message: impl Into<String>) -> ApiError {
        ApiError { code: Some("internal_error"), ..ApiError::new(500, Kind::Server, message) }
    }

    /// The body; within a stream it is the data of the last event.
    pub fn body(&self) -> String {
        let ApiError { kind, message, param, code, .. } = self;
        let inner = Inner { message, kind: kind.name(), param: param.as_deref(), code: *code };
        serde_json::to_string(&Body { error: inner }).expect("texts can always be written")
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.param {
            Some(param) => write!(f, "{} {param}: {}", self.status, self.message),
            None => write!(f, "{} {}", self.status, self.message),
        }
    }
}

impl std::error::Error for ApiError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_written_as_libraries_read_it() {
        let error = ApiError::invalid("messages[0].role", "there is no role \"me\"");
        let want = r#"{"error":{"message":"there is no role \"me\"","type":"invalid_request_error","param":"messages[0].role","code":null}}"#;
        assert_eq!((error.status, error.body().as_str()), (400, want));
    }

    #[test]
    fn what_may_be_tried_again_says_when() {
        let error = ApiError::overloaded("all slots are taken", 500);
        assert_eq!((error.status, error.retry_after_ms), (503, Some(500)));
        assert_eq!(ApiError::too_many_requests("slower", 20).status, 429);
    }
}
