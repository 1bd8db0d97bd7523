//! Does what an intent says, and fills in its answer.

use super::phrases::Phrases;
use super::timers::{Kind, SetError, TIMERS_MAX, Timer, uptime};
use super::zone::Zone;
use super::{About, Mind};
use crate::talk::trace::{Stage, Trace};
use crate::tools::talking::timer_length;
use std::time::Duration;
use tools::Call;
use voice::intent::{Clock, Slots, Value, Wish};

/// Louder and softer are steps of so much.
const VOLUME_STEP: u8 = 10;

/// Nodes that are named when they are away.
const AWAY_MAX: usize = 3;

pub struct Deed<'a> {
    pub mind: &'a Mind,
    pub phrases: &'a Phrases,
    pub talk: u64,
}

impl Deed<'_> {
    /// What is said; what cannot be done is a sentence too.
    pub fn answer(&self, wish: &Wish<'_>) -> String {
        let fill = |name: &str, value: &str| wish.answer.replace(name, value);
        match wish.intent {
            "time" => self.local().map_or_else(
                || self.phrases.no_clock.clone(),
                |(zone, unix_s)| {
                    let at = zone.local(unix_s);
                    fill("{time}", &self.phrases.clock(at.hour, at.minute))
                },
            ),
            "date" => self.local().map_or_else(
                || self.phrases.no_clock.clone(),
                |(zone, unix_s)| fill("{date}", &self.phrases.date(&zone.local(unix_s))),
            ),
            "timer.set" => match wish.slots.get("length") {
                Some(Value::Length(length)) => {
                    let kind = Kind::Timer { length_s: length.as_secs() };
                    self.set(kind, *length, &fill("{length}", &self.phrases.length(*length)))
                }
                _ => String::new(),
            },
            "alarm.set" => match wish.slots.get("clock") {
                Some(Value::Clock(clock)) => self.alarm(*clock, wish.answer),
                _ => String::new(),
            },
            "timer.list" => fill("{timers}", &self.timers()),
            "timer.stop" => fill("{stopped}", &self.stop()),
            "stop" => {
                // Whoever says stop while a timer rings means the timer.
                let _ = self.mind.timers.change(|timers| timers.hush(uptime()));
                wish.answer.to_owned()
            }
            "volume.set" | "volume.up" | "volume.down" => self.volume(wish),
            "repeat" => {
                let memory = self.mind.memory();
                let last = memory.last_answer(self.talk).unwrap_or(&self.phrases.nothing_said);
                fill("{last}", last)
            }
            "status" => fill("{status}", &self.status()),
            "who" => {
                let about = self.mind.world.about();
                let name = self.phrases.name.replace("{node}", &about.node);
                wish.answer.replace("{name}", &name).replace("{nodes}", &self.phrases.nodes(about.n_alive))
            }
            "slow" => fill("{slow}", &self.slow()),
            _ => wish.answer.to_owned(),
        }
    }

    fn local(&self) -> Option<(Zone, u64)> {
        let rule = self.mind.world.settings().time_zone;
        let zone = rule.and_then(|rule| Zone::parse(&rule).ok()).unwrap_or_default();
        Some((zone, self.mind.world.about().unix_s?))
    }

    fn set(&self, kind: Kind, left: Duration, told: &str) -> String {
        match self.mind.timers.change(|timers| timers.set(uptime(), kind, left)) {
            Ok(Ok(_)) => told.to_owned(),
            Ok(Err(SetError::Full)) => self.phrases.timers_full.replace("{n}", &TIMERS_MAX.to_string()),
            Ok(Err(SetError::Long)) => self.phrases.too_long.clone(),
            Err(why) => self.phrases.not_kept.replace("{why}", &why),
        }
    }

    fn alarm(&self, clock: Clock, answer: &str) -> String {
        let Some((zone, unix_s)) = self.local() else { return self.phrases.no_clock.clone() };
        let until = |hour: u8| (zone.until(unix_s, hour, clock.minute), hour);
        // Where nobody said which half of the day, the next one is meant.
        let later = Some(clock.hour + 12)
            .filter(|_| !clock.is_exact && clock.hour <= 12)
            .map(|hour| until(hour % 24));
        let (left, hour) = std::iter::once(until(clock.hour)).chain(later).min().unwrap_or_default();
        let said = answer.replace("{clock}", &self.phrases.clock(hour, clock.minute));
        self.set(Kind::Alarm { hour, minute: clock.minute }, Duration::from_secs(left), &said)
    }

    fn timers(&self) -> String {
        let now = uptime();
        let timers = self.mind.timers.now();
        let told: Vec<String> = timers.all().iter().map(|timer| self.timer(timer, now)).collect();
        if told.is_empty() { self.phrases.no_timer.clone() } else { told.join(". ") + "." }
    }

    fn timer(&self, timer: &Timer, now: Duration) -> String {
        match timer.kind {
            Kind::Timer { length_s } => {
                let length = self.phrases.length(Duration::from_secs(length_s));
                let left = self.phrases.length(timer.left(now));
                self.phrases.timer_left.replace("{length}", &length).replace("{left}", &left)
            }
            Kind::Alarm { hour, minute } => {
                self.phrases.alarm_left.replace("{clock}", &self.phrases.clock(hour, minute))
            }
        }
    }

    fn stop(&self) -> String {
        match self.mind.timers.change(|timers| timers.stop(uptime())) {
            Ok(0) => self.phrases.no_timer.clone(),
            Ok(1) => self.phrases.one_stopped.clone(),
            Ok(n) => self.phrases.many_stopped.replace("{n}", &n.to_string()),
            Err(why) => self.phrases.not_kept.replace("{why}", &why),
        }
    }

    fn volume(&self, wish: &Wish<'_>) -> String {
        let world = &self.mind.world;
        if !world.is_here(self.talk) {
            return self.phrases.volume_elsewhere.clone();
        }
        let now = world.settings().volume;
        let volume = match (wish.intent, wish.slots.get("number")) {
            ("volume.up", _) => now.saturating_add(VOLUME_STEP),
            ("volume.down", _) => now.saturating_sub(VOLUME_STEP),
            (_, Some(Value::Number(number))) => u8::try_from(*number).unwrap_or(u8::MAX),
            _ => now,
        };
        let volume = volume.min(100);
        match world.set_volume(volume) {
            Ok(()) => wish.answer.replace("{number}", &volume.to_string()),
            Err(why) => self.phrases.not_kept.replace("{why}", &why),
        }
    }

    fn status(&self) -> String {
        let About { n_alive, n_known, away, n_with_model, .. } = self.mind.world.about();
        let away: Vec<String> =
            away.iter().take(AWAY_MAX).map(|node| self.phrases.away.replace("{node}", node)).collect();
        let health = if away.is_empty() { self.phrases.healthy.clone() } else { away.join(" ") };
        let place = if n_known <= 1 { &self.phrases.status_alone } else { &self.phrases.status };
        let numbers =
            |text: &str| text.replace("{n}", &n_alive.to_string()).replace("{all}", &n_known.to_string());
        let models = match n_with_model {
            0 => self.phrases.no_models.clone(),
            _ if n_known <= 1 => String::new(),
            n => self.phrases.models.replace("{n}", &n.to_string()),
        };
        format!("{} {models}", numbers(place).replace("{health}", &health)).trim_end().to_owned()
    }

    fn slow(&self) -> String {
        match self.mind.world.last_trace(self.talk) {
            None => self.phrases.no_turn.clone(),
            Some(trace) => self.why(&trace),
        }
    }

    /// Why a turn took as long as it did, in plain words.
    fn why(&self, trace: &Trace) -> String {
        let phrases = self.phrases;
        let slowest = trace.slowest().map_or(String::new(), |took| {
            let elsewhere = trace.heard.last().and_then(|heard| heard.elsewhere.as_deref());
            let is_intent = trace.by.iter().any(|by| by.starts_with("intent "));
            let text = match (took.stage, elsewhere) {
                (Stage::Hear, Some(node)) => phrases.slow_hear_elsewhere.replace("{node}", node),
                (Stage::Hear, None) => phrases.slow_hear.clone(),
                (Stage::Answer, _) if is_intent => phrases.slow_intent.clone(),
                (Stage::Answer, _) => phrases.slow_answer.clone(),
                (Stage::Clause, _) => phrases.slow_clause.clone(),
                _ => phrases.slow_voice.clone(),
            };
            let by = trace.by.last().map_or("", String::as_str);
            text.replace("{time}", &phrases.seconds(took.ms)).replace("{by}", by)
        });
        let told = match trace.silence_ms {
            Some(ms) => phrases.took.replace("{whole}", &phrases.seconds(ms)),
            None => phrases.no_sound.clone(),
        };
        told.replace("{slowest}", &slowest).trim_end().to_owned()
    }
}

impl Mind {
    /// What the tools of a conversation do, in the few words of an answer.
    pub fn does(&self, call: &Call) -> Option<String> {
        let (_, phrases) = self.own_language();
        let deed = Deed { mind: self, phrases, talk: call.asker.talk.unwrap_or_default() };
        let none = Slots::new;
        let (intent, slots, answer) = match call.tool.as_str() {
            "say" => {
                let is_said = self.world.say_here(call.text("text")?.to_owned());
                return Some(if is_said { "It is said." } else { "This PC has no mouth now." }.into());
            }
            "time" => ("time", none(), "{time}"),
            "date" => ("date", none(), "{date}"),
            "status" => ("status", none(), "{status}"),
            "timers" => ("timer.list", none(), "{timers}"),
            "timer" => {
                let length = Value::Length(timer_length(call)?);
                ("timer.set", Slots::from([("length".to_owned(), length)]), "{length}")
            }
            "volume" => {
                let number = Value::Number(u32::try_from(call.whole("percent")?).ok()?);
                ("volume.set", Slots::from([("number".to_owned(), number)]), "{number}")
            }
            _ => return None,
        };
        Some(deed.answer(&Wish { intent, slots, answer }))
    }
}
