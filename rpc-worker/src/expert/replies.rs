//! What every path of `/v1` answers with, and what its making must not hold up.

use openai::ApiError;
use service::door::{Reply, Response, ResponseBody};

pub fn json(status: u16, body: Vec<u8>, fields: &[(&'static str, String)]) -> Reply {
    let (fields, body) = (fields.to_vec(), ResponseBody::Whole(body));
    Reply::Full(Response { status, content_type: "application/json", fields, body })
}

pub fn error_reply(error: &ApiError) -> Reply {
    let mut fields = Vec::new();
    if let Some(ms) = error.retry_after_ms {
        fields.push(("retry-after-ms", ms.to_string()));
        fields.push(("retry-after", ms.div_ceil(1000).to_string()));
    }
    json(error.status, error.body().into_bytes(), &fields)
}

/// For a request whose making blocks: tokenising a long text must not hold up everybody's door.
pub async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(ApiError::internal("the request could not be read")))
}
