//! The way of one call to another node and back.

use super::letter::{BYTES_MAX, Letter, Told};
use super::{Other, PATH};
use crate::tools::{Call, Limits};
use service::upstream::{Ask, UpstreamError, ask};
use std::time::Duration;

/// Between two looks at whether anybody still waits.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How another's error is shown.
const ERROR_BYTES_MAX: usize = 300;

pub enum Failure {
    /// It never heard of it.
    Unreachable(String),
    /// It does not do such things, or not now.
    Refused(String),
    /// It heard, and then was silent.
    Broke(String),
}

/// What the tool said there, or why nothing came of it.
pub fn send(other: &Other, call: &Call, limits: &Limits<'_>) -> Result<Result<String, String>, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Unreachable(error.to_string()))?;
    let letter = Letter::of(call);
    runtime.block_on(async {
        let nobody_waits = async {
            while !limits.is_over() {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        tokio::select! {
            told = exchange(other, &letter, limits.left()) => told,
            // To hang up is to stop it there.
            () = nobody_waits => Err(Failure::Broke("it did not answer in time".into())),
        }
    })
}

pub async fn exchange(
    other: &Other,
    letter: &Letter,
    time_max: Duration,
) -> Result<Result<String, String>, Failure> {
    let body = serde_json::to_vec(letter).map_err(|error| Failure::Refused(error.to_string()))?;
    let bearer = other.key.as_ref().map(|key| format!("Bearer {key}"));
    let fields: Vec<(&'static str, &str)> =
        bearer.iter().map(|value| ("authorization", value.as_str())).collect();
    let asked = Ask { address: other.address, path: PATH, fields: &fields, body: Some(body.into()) };
    let answer = ask(asked, time_max).await.map_err(|error| match error {
        UpstreamError::Unreachable(_) => Failure::Unreachable(error.to_string()),
        _ => Failure::Broke(error.to_string()),
    })?;
    let status = answer.status;
    let bytes = answer.whole(BYTES_MAX, time_max).await.map_err(|error| Failure::Broke(error.to_string()))?;
    if status != 200 {
        let why: String =
            String::from_utf8_lossy(&bytes).chars().filter(|letter| !letter.is_control()).collect();
        return Err(Failure::Refused(format!("{} (status {status})", tools::cut(&why, ERROR_BYTES_MAX))));
    }
    match serde_json::from_slice(&bytes)
        .map_err(|_| Failure::Broke("what it says is not understood".into()))?
    {
        Told::Ok(text) => Ok(Ok(text)),
        Told::Failed(why) => Ok(Err(why)),
    }
}
