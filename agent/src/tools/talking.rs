//! The tools of a conversation: what its mind can do without a model, as intents do it.

use super::{Call, Field, Limits, Spec, Tool};
use crate::answer::Mind;
use std::sync::Weak;
use std::time::Duration;

/// Longest timer, in seconds: a year.
const TIMER_SECONDS_MAX: i64 = 366 * 24 * 3600;

const SAID_BYTES_MAX: usize = 500;

/// One of [`specs`].
pub struct Talking {
    pub spec: Spec,
    pub mind: Weak<Mind>,
}

pub fn specs() -> [Spec; 7] {
    let part = |unit, about| Field::whole(unit, about, 0, TIMER_SECONDS_MAX).optional();
    let percent = Field::whole("percent", "how loud", 0, 100);
    let text = Field::text("text", "what is said", SAID_BYTES_MAX);
    [
        Spec::new("say", "Says something aloud at this PC, beside the conversation.").field(text),
        Spec::new("time", "Tells the time of day."),
        Spec::new("date", "Tells the day and the date."),
        Spec::new("status", "Tells how the computers of this home are."),
        Spec::new("timers", "Tells which timers and alarms are set."),
        Spec::new("timer", "Sets a timer that rings after so many hours, minutes and seconds together.")
            .field(part("hours", "how long from now, as it was said"))
            .field(part("minutes", "the same"))
            .field(part("seconds", "the same")),
        Spec::new("volume", "Sets how loud this PC speaks.").field(percent),
    ]
}

/// How long a timer is to run: its parts are added here, because small models write numbers down but do not work them out.
pub fn timer_length(call: &Call) -> Option<Duration> {
    let part = |unit, seconds: i64| call.whole(unit).unwrap_or(0).checked_mul(seconds);
    let all = part("hours", 3600)?.checked_add(part("minutes", 60)?)?.checked_add(part("seconds", 1)?)?;
    let seconds = u64::try_from(all).ok().filter(|_| (1..=TIMER_SECONDS_MAX).contains(&all))?;
    Some(Duration::from_secs(seconds))
}

impl Tool for Talking {
    fn spec(&self) -> Spec {
        self.spec.clone()
    }

    fn run(&self, call: &Call, _: &Limits<'_>) -> Result<String, String> {
        if call.tool == "timer" && timer_length(call).is_none() {
            return Err("a timer takes hours, minutes or seconds: one second at least, a year at most".into());
        }
        let mind = self.mind.upgrade().ok_or("nobody talks any more")?;
        mind.does(call).ok_or_else(|| format!("{} works in a running agent only", call.tool))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::tools::{Argument, Asker, Origin};

    fn check(parts: &[(&str, i64)], want: Option<u64>) {
        let arguments = parts.iter().map(|(unit, n)| ((*unit).to_owned(), Argument::Whole(*n))).collect();
        let asker = Asker { origin: Origin::Person, who: "a test".into(), talk: None };
        let call = Call { tool: "timer".into(), arguments, asker, yes: None, stays: false };
        assert_eq!(timer_length(&call).map(|length| length.as_secs()), want);
    }

    #[test]
    fn the_parts_of_a_timer_are_added_and_none_at_all_is_no_timer() {
        check(&[("hours", 1), ("minutes", 30)], Some(5400));
        check(&[("minutes", 2), ("seconds", 5)], Some(125));
        check(&[("seconds", TIMER_SECONDS_MAX)], Some(TIMER_SECONDS_MAX.unsigned_abs()));
        check(&[], None);
        check(&[("seconds", 0)], None);
        check(&[("hours", TIMER_SECONDS_MAX)], None);
        check(&[("hours", i64::MAX)], None);
    }
}
