//! An answer that another copy began: which tokens it is here.
//!
//! The tokens of the other copy count if they say, letter by letter, what the client has: then this one goes on as the
//! other would have. Those of another model do not, and the text is cut into tokens anew. A call of a tool is told in
//! parts, so what the model wrote is not known, and only its own tokens can be gone on with.

use super::calls::{Calls, Heard};
use engine::{Model, Token};
use openai::ApiError;
use openai::handover::Begun;
use prompt::{CallFormat, StopMachine};

/// The tokens, and their text as far as it was shown or made calls of.
pub fn tokens(
    model: &Model,
    begun: &Begun,
    calls: Option<&CallFormat<'static>>,
    stops: &[String],
) -> Result<(Vec<Token>, String), ApiError> {
    let text = said(model, &begun.tokens, calls.is_some(), stops)?;
    if text.as_deref().is_some_and(|text| shown(text, calls) == begun.shown) {
        return Ok((begun.tokens.clone(), text.unwrap_or_default()));
    }
    let wrong = |why: String| ApiError::invalid("duet.continue", why);
    if begun.has_calls {
        return Err(wrong("half a call of a tool can only be gone on with by the same model".to_owned()));
    }
    let tokens = model.tokenise(&begun.shown, false, false).map_err(|e| wrong(e.to_string()))?;
    Ok((tokens, begun.shown.clone()))
}

/// What the scheduler lets through of these tokens; nothing where the model does not know one.
fn said(
    model: &Model,
    tokens: &[Token],
    shows_marks: bool,
    stops: &[String],
) -> Result<Option<String>, ApiError> {
    let mut stop = StopMachine::new(stops).map_err(|e| ApiError::invalid("stop", e.to_string()))?;
    let mut text = String::new();
    for token in tokens {
        let Ok(piece) = model.piece(*token, shows_marks) else { return Ok(None) };
        text.push_str(&stop.push(&piece).text);
    }
    Ok(Some(text))
}

/// What a client has of it, in its order.
fn shown(text: &str, calls: Option<&CallFormat<'static>>) -> String {
    let Some(format) = calls else { return text.to_owned() };
    let part = |heard| match heard {
        Heard::Text(part) | Heard::Call { name: part } | Heard::Arguments(part) => part,
    };
    Calls::new(format).push(text).into_iter().map(part).collect()
}
