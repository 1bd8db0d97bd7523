//! The tools of a conversation: what its mind can do without a model, as intents do it.

use super::{Call, Field, Limits, Spec, Tool};
use crate::answer::Mind;
use std::sync::Weak;

/// Longest timer, in seconds: a year.
const TIMER_SECONDS_MAX: i64 = 366 * 24 * 3600;

const SAID_BYTES_MAX: usize = 500;

/// One of [`specs`].
pub struct Talking {
    pub spec: Spec,
    pub mind: Weak<Mind>,
}

pub fn specs() -> [Spec; 7] {
    let seconds = Field::whole("seconds", "how long from now", 1, TIMER_SECONDS_MAX);
    let percent = Field::whole("percent", "how loud", 0, 100);
    let text = Field::text("text", "what is said", SAID_BYTES_MAX);
    [
        Spec::new("say", "Says something aloud at this PC, beside the conversation.").field(text),
        Spec::new("time", "Tells the time of day."),
        Spec::new("date", "Tells the day and the date."),
        Spec::new("status", "Tells how the computers of this home are."),
        Spec::new("timers", "Tells which timers and alarms are set."),
        Spec::new("timer", "Sets a timer.").field(seconds),
        Spec::new("volume", "Sets how loud this PC speaks.").field(percent),
    ]
}

impl Tool for Talking {
    fn spec(&self) -> Spec {
        self.spec.clone()
    }

    fn run(&self, call: &Call, _: &Limits<'_>) -> Result<String, String> {
        let mind = self.mind.upgrade().ok_or("nobody talks any more")?;
        mind.does(call).ok_or_else(|| format!("{} works in a running agent only", call.tool))
    }
}
