//! The time of day where the owner lives: a rule as POSIX writes it, `CET-1CEST,M3.5.0,M10.5.0/3`, and the calendar.
//!
//! The boot server finds the rule; a node has no table of the world's zones. Without a rule it is UTC.

use std::fmt;

/// Longest rule.
pub const RULE_BYTES_MAX: usize = 64;
const DAY_S: i64 = 86_400;

/// A day and a time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Local {
    pub year: i64,
    /// 1 to 12.
    pub month: u8,
    pub day: u8,
    /// 0 is Monday.
    pub weekday: u8,
    pub hour: u8,
    pub minute: u8,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Zone {
    /// Seconds to add to UTC.
    standard_s: i64,
    summer: Option<Summer>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Summer {
    offset_s: i64,
    begins: Change,
    ends: Change,
}

/// `M3.5.0/2`: the fifth, that is the last, Sunday of March at 2 o'clock of the time before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Change {
    month: u8,
    week: u8,
    /// 0 is Sunday.
    weekday: u8,
    at_s: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZoneError;

impl fmt::Display for ZoneError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a time zone is written CET-1CEST,M3.5.0,M10.5.0/3")
    }
}

impl Zone {
    pub fn parse(rule: &str) -> Result<Zone, ZoneError> {
        if rule.len() > RULE_BYTES_MAX {
            return Err(ZoneError);
        }
        read(rule).ok_or(ZoneError)
    }

    /// Seconds to add to UTC at this moment.
    fn offset_s(&self, unix_s: i64) -> i64 {
        let Some(summer) = self.summer else { return self.standard_s };
        let (year, ..) = date((unix_s + self.standard_s).div_euclid(DAY_S));
        let begins = summer.begins.at(year) - self.standard_s;
        let ends = summer.ends.at(year) - summer.offset_s;
        let is_summer = if begins < ends {
            (begins..ends).contains(&unix_s)
        } else {
            // South of the equator the year begins in summer.
            !(ends..begins).contains(&unix_s)
        };
        if is_summer { summer.offset_s } else { self.standard_s }
    }

    pub fn local(&self, unix_s: u64) -> Local {
        let unix_s = i64::try_from(unix_s).unwrap_or(i64::MAX / 2);
        let seconds = unix_s + self.offset_s(unix_s);
        let (days, of_day) = (seconds.div_euclid(DAY_S), seconds.rem_euclid(DAY_S));
        let (year, month, day) = date(days);
        // 1970 began on a Thursday.
        let weekday = (days + 3).rem_euclid(7) as u8;
        Local { year, month, day, weekday, hour: (of_day / 3600) as u8, minute: (of_day / 60 % 60) as u8 }
    }

    /// Seconds from now until it is so late, at most a day and an hour of changed clocks.
    pub fn until(&self, unix_s: u64, hour: u8, minute: u8) -> u64 {
        let now = i64::try_from(unix_s).unwrap_or(i64::MAX / 2);
        let here = now + self.offset_s(now);
        let wanted = i64::from(hour) * 3600 + i64::from(minute) * 60;
        let mut then = here.div_euclid(DAY_S) * DAY_S + wanted;
        if then <= here {
            then += DAY_S;
        }
        // By the clock that holds then.
        let guess = then - self.offset_s(now);
        let at = then - self.offset_s(guess);
        u64::try_from(at - now).unwrap_or(0)
    }
}

impl Change {
    /// Seconds since 1970 by the clock on the wall.
    fn at(&self, year: i64) -> i64 {
        let first = days(year, self.month, 1);
        // 1970-01-01 was a Thursday, 4 of this count.
        let weekday = (first + 4).rem_euclid(7);
        let mut day =
            first + (i64::from(self.weekday) - weekday).rem_euclid(7) + 7 * i64::from(self.week - 1);
        let next = if self.month == 12 { days(year + 1, 1, 1) } else { days(year, self.month + 1, 1) };
        if day >= next {
            day -= 7;
        }
        day * DAY_S + self.at_s
    }
}

fn read(rule: &str) -> Option<Zone> {
    let mut rest = rule;
    name(&mut rest)?;
    let standard_s = -time(&mut rest)?;
    if rest.is_empty() {
        return Some(Zone { standard_s, summer: None });
    }
    name(&mut rest)?;
    let offset_s = if rest.starts_with(',') { standard_s + 3600 } else { -time(&mut rest)? };
    let (begins, ends) = rest.strip_prefix(',')?.split_once(',')?;
    let summer = Summer { offset_s, begins: change(begins)?, ends: change(ends)? };
    Some(Zone { standard_s, summer: Some(summer) })
}

/// `CET` or `<+03>`.
fn name(rest: &mut &str) -> Option<()> {
    let end = match rest.strip_prefix('<') {
        Some(quoted) => quoted.find('>')? + 2,
        None => rest.find(|char: char| !char.is_ascii_alphabetic()).unwrap_or(rest.len()),
    };
    *rest = rest.get(end..).filter(|_| end >= 3)?;
    Some(())
}

/// `-1`, `3:30`, `26`: seconds.
fn time(rest: &mut &str) -> Option<i64> {
    let end = rest.find(|char: char| !matches!(char, '0'..='9' | '+' | '-' | ':')).unwrap_or(rest.len());
    let (text, behind) = rest.split_at(end);
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut seconds = 0;
    let mut unit = 3600;
    for part in digits.split(':') {
        let is_plain = (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
        let number = part.parse::<i64>().ok().filter(|number| is_plain && unit > 0 && *number <= 167)?;
        seconds += number * unit;
        unit /= 60;
    }
    *rest = behind;
    Some(sign * seconds)
}

fn change(text: &str) -> Option<Change> {
    let (day, at) = text.split_once('/').unwrap_or((text, "2"));
    let mut at = at;
    let at_s = time(&mut at).filter(|_| at.is_empty())?;
    let mut parts = day.strip_prefix('M')?.split('.').map(|part| part.parse::<u8>().ok());
    let (month, week, weekday) = (parts.next()??, parts.next()??, parts.next()??);
    let is_one =
        parts.next().is_none() && (1..=12).contains(&month) && (1..=5).contains(&week) && weekday <= 6;
    is_one.then_some(Change { month, week, weekday, at_s })
}

/// Days since 1970 of a date (Howard Hinnant, chrono-compatible low-level date algorithms).
fn days(year: i64, month: u8, day: u8) -> i64 {
    let month = i64::from(month);
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The other way.
fn date(days: i64) -> (i64, u8, u8) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + i64::from(month <= 2), month as u8, day as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BERLIN: &str = "CET-1CEST,M3.5.0,M10.5.0/3";
    const SYDNEY: &str = "AEST-10AEDT,M10.1.0,M4.1.0/3";

    fn check(rule: &str, unix_s: u64, want: &str) {
        let at = Zone::parse(rule).unwrap().local(unix_s);
        let Local { year, month, day, weekday, hour, minute } = at;
        assert_eq!(format!("{year}-{month:02}-{day:02} {weekday} {hour:02}:{minute:02}"), want, "{rule}");
    }

    /// Wanted times are those of `TZ=... date -d @...`.
    #[test]
    fn a_moment_is_another_time_in_each_zone() {
        check("UTC0", 0, "1970-01-01 3 00:00");
        check("UTC0", 1_709_164_800, "2024-02-29 3 00:00");
        check(BERLIN, 1_774_745_999, "2026-03-29 6 01:59");
        check(BERLIN, 1_774_746_000, "2026-03-29 6 03:00");
        check(BERLIN, 1_792_889_999, "2026-10-25 6 02:59");
        check(BERLIN, 1_792_890_000, "2026-10-25 6 02:00");
        check(SYDNEY, 1_767_225_600, "2026-01-01 3 11:00");
        check(SYDNEY, 1_782_864_000, "2026-07-01 2 10:00");
        check("EST5EDT,M3.2.0,M11.1.0", 1_782_864_000, "2026-06-30 1 20:00");
        check("<+0545>-5:45", 1_782_864_000, "2026-07-01 2 05:45");
    }

    #[test]
    fn an_alarm_rings_by_the_clock_on_the_wall() {
        let berlin = Zone::parse(BERLIN).unwrap();
        // 2026-03-28 22:00 there; the night is an hour short.
        assert_eq!(berlin.until(1_774_731_600, 7, 0), 8 * 3600);
        assert_eq!(berlin.until(1_774_731_600, 22, 0), 23 * 3600);
        assert_eq!(berlin.until(1_774_731_600, 22, 1), 60);
        assert_eq!(Zone::default().until(59, 0, 1), 1);
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        let long = format!("CET{}", "1".repeat(99));
        for rule in [
            "",
            "CET",
            "Europe/Berlin",
            "CET-1CEST",
            "CET-1CEST,M13.1.0,M1.1.0",
            "CET-1CEST,J60,J300",
            "CET-x",
            "<+03-3",
            "CET-9999",
            &long,
        ] {
            assert_eq!(Zone::parse(rule), Err(ZoneError), "{rule}");
        }
    }
}
