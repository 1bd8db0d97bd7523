//! The time of day that a template may tell, handed in from outside.

use std::fmt::Write;

use super::budget::{Outcome, wrong};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// A date and time of day, without a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CivilTime {
    pub year: u16,
    /// 1 to 12; other values are taken as the nearest of these, here and below.
    pub month: u8,
    pub day: u8,
    pub hour: u8,
    pub minute: u8,
    pub second: u8,
}

impl CivilTime {
    fn month_idx(self) -> usize {
        usize::from(self.month.clamp(1, 12)) - 1
    }

    fn is_leap(self) -> bool {
        self.year.is_multiple_of(4) && (!self.year.is_multiple_of(100) || self.year.is_multiple_of(400))
    }

    /// Days since the first of January.
    fn day_of_year(self) -> u32 {
        const BEFORE: [u32; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
        let leap = u32::from(self.is_leap() && self.month_idx() > 1);
        BEFORE[self.month_idx()] + leap + u32::from(self.day.max(1)) - 1
    }

    /// 0 is Sunday: days since the year 1, counted through.
    fn weekday(self) -> usize {
        let years = u32::from(self.year.max(1)) - 1;
        ((1 + years * 365 + years / 4 - years / 100 + years / 400 + self.day_of_year()) % 7) as usize
    }

    /// Python's strftime, as far as templates use it.
    pub(super) fn format(self, format: &str) -> Outcome<String> {
        let mut text = String::new();
        let mut signs = format.chars();
        while let Some(c) = signs.next() {
            if c != '%' {
                text.push(c);
                continue;
            }
            let mut sign = signs.next();
            let is_bare = sign == Some('-');
            if is_bare {
                sign = signs.next();
            }
            let twelve = match self.hour % 12 {
                0 => 12,
                hour => hour,
            };
            let width = |width: usize| if is_bare { 0 } else { width };
            let mut number = |value: u32, digits: usize| write!(text, "{value:00$}", width(digits));
            let _ = match sign {
                Some('Y') => number(self.year.into(), 4),
                Some('y') => number(u32::from(self.year % 100), 2),
                Some('m') => number(self.month_idx() as u32 + 1, 2),
                Some('d') => number(self.day.into(), 2),
                Some('H') => number(self.hour.into(), 2),
                Some('I') => number(twelve.into(), 2),
                Some('M') => number(self.minute.into(), 2),
                Some('S') => number(self.second.into(), 2),
                Some('j') => number(self.day_of_year() + 1, 3),
                Some('w') => number(self.weekday() as u32, 0),
                Some('e') => write!(text, "{:>1$}", self.day, width(2)),
                Some('B') => write!(text, "{}", MONTHS[self.month_idx()]),
                Some('b' | 'h') => write!(text, "{}", &MONTHS[self.month_idx()][..3]),
                Some('A') => write!(text, "{}", DAYS[self.weekday()]),
                Some('a') => write!(text, "{}", &DAYS[self.weekday()][..3]),
                Some('p') => write!(text, "{}", if self.hour < 12 { "AM" } else { "PM" }),
                Some('F') => write!(text, "{}", self.format("%Y-%m-%d")?),
                Some('T') => write!(text, "{}", self.format("%H:%M:%S")?),
                Some('%') => write!(text, "%"),
                // Without a zone Python writes nothing.
                Some('Z' | 'z') => Ok(()),
                other => return wrong(format!("strftime_now does not know %{}", other.unwrap_or(' '))),
            };
        }
        Ok(text)
    }
}

#[cfg(test)]
mod checks {
    use super::*;

    #[track_caller]
    fn check((year, month, day): (u16, u8, u8), format: &str, want: &str) {
        let time = CivilTime { year, month, day, hour: 15, minute: 4, second: 9 };
        assert_eq!(time.format(format).unwrap(), want);
    }

    #[test]
    fn days_have_their_names() {
        check((2026, 11, 21), "%A, %d %B %Y", "Saturday, 21 November 2026");
        check((2000, 1, 1), "%a %j %w", "Sat 001 6");
        check((2024, 12, 31), "%a %j", "Tue 366");
        check((1900, 3, 1), "%a %b", "Thu Mar");
    }

    #[test]
    fn hours_are_counted_both_ways() {
        check((2026, 7, 4), "%F %T %I:%M %p %-d/%-m %e %y%%", "2026-07-04 15:04:09 03:04 PM 4/7  4 26%");
    }

    #[test]
    fn unknown_signs_are_refused() {
        let time = CivilTime { year: 2026, month: 1, day: 1, hour: 0, minute: 0, second: 0 };
        assert!(time.format("%Q").is_err() && time.format("100%").is_err());
    }
}
