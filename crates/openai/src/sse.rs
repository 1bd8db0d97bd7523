//! A streamed answer as text: one event for each piece, and a last word.

use serde::Serialize;

/// Ends every stream that came to its end.
pub const DONE: &str = "data: [DONE]\n\n";
/// Libraries pass it over; a connection on which nothing happens would be closed by those in between.
pub const KEEP_ALIVE: &str = ": keep-alive\n\n";
/// The content type of a stream.
pub const CONTENT_TYPE: &str = "text/event-stream";

/// One event.
pub fn event(piece: &impl Serialize) -> String {
    // JSON has no line feed outside of texts, and within them it is escaped.
    let json = serde_json::to_string(piece).expect("answers are plain values");
    format!("data: {json}\n\n")
}

/// An error after the stream began, when it is too late for a status.
pub fn error(error: &crate::ApiError) -> String {
    format!("data: {}\n\n", error.body())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_one_event_whatever_it_says() {
        assert_eq!(event(&"a\n\ndata: [DONE]\r"), "data: \"a\\n\\ndata: [DONE]\\r\"\n\n");
        let broken = error(&crate::ApiError::internal("a\nb"));
        assert_eq!(broken.matches('\n').count(), 2);
    }
}
