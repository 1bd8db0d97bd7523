//! `POST /api/hear`, for neighbours: on the overlay, and nowhere else.
//!
//! WireGuard has checked who sends there, and that the address is the sender's own, so no key is asked for.

use super::desk::{Desk, Refusal};
use super::letter::{self, BYTES_MAX, LANGUAGE, PATH, Told};
use crate::talk::parts::{HearEnd, HearJob, Stop, Who};
use service::door::{Allowance, Answer, Ask, Head, Limits, Reply};
use std::sync::Arc;
use std::time::Duration;

/// A neighbour brings one recording at a time.
pub const LIMITS: Limits = Limits { connections: 64, connections_per_address: 8, body_bytes: BYTES_MAX };
/// A neighbour waits no longer than this.
const TIME_MAX: Duration = Duration::from_secs(60);

pub fn gate(head: &Head<'_>) -> Result<Allowance, Reply> {
    match head.path {
        PATH if head.is_post => Ok(Allowance { body_bytes: BYTES_MAX, time: TIME_MAX }),
        PATH => Err(Answer { fields: &[("allow", "POST")], ..Answer::text(405, "sound is posted\n") }.into()),
        _ => Err(Answer::text(404, "there is /api/hear\n").into()),
    }
}

pub async fn answer(desk: Arc<Desk>, ask: Ask) -> Answer {
    if ask.is_of_a_browser {
        return Answer::text(403, "a page may not have this node hear\n");
    }
    let language = ask.fields.get(LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let asked =
        letter::language(language).and_then(|_| letter::sound(ask.posted.as_deref().unwrap_or_default()));
    let pcm = match asked {
        Ok(pcm) => pcm,
        Err(error) => return Answer::text(400, &format!("{error}\n")),
    };
    let (done, end) = tokio::sync::oneshot::channel();
    let stop = StopWhenGone(Stop::default());
    let done = Box::new(move |end| {
        let _ = done.send(end);
    });
    let job =
        HearJob { pcm, who: Who::Person, language: Some(language.to_owned()), stop: stop.0.clone(), done };
    match desk.hear_for_another(job) {
        Ok(()) => {}
        Err(Refusal::Busy) => return Answer::text(503, "this node hears somebody else\n"),
        Err(Refusal::NoModel) => return Answer::text(503, "this node has no model that hears\n"),
    }
    let Ok(HearEnd { text, waited_s, worked_s, cpu_s, audio_ctx, was_doubted, .. }) = end.await else {
        return Answer::text(503, "hearing ended\n");
    };
    let told = match text {
        Ok(text) => Told { text, waited_s, worked_s, cpu_s, audio_ctx, was_doubted },
        Err(why) => return Answer::text(500, &format!("{why}\n")),
    };
    match serde_json::to_vec(&told) {
        Ok(body) => Answer::json(200, body),
        Err(error) => Answer::text(500, &format!("the words cannot be written: {error}\n")),
    }
}

/// A neighbour that leaves waits for nothing any more.
struct StopWhenGone(Stop);

impl Drop for StopWhenGone {
    fn drop(&mut self) {
        self.0.stop();
    }
}
