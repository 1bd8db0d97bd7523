//! Seconds since 1970 as a date, in UTC. It reads no clock.

/// A moment of the civil calendar.
pub struct Moment {
    pub year: u64,
    pub month: u64,
    pub day: u64,
    pub hour: u64,
    pub minute: u64,
    pub second: u64,
}

impl Moment {
    /// Howard Hinnant's "days from civil", inverted: days are counted in eras of 400 years from a March.
    pub fn of(unix_s: u64) -> Moment {
        let (days, seconds) = (unix_s / 86_400, unix_s % 86_400);
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        Moment {
            year: era * 400 + year_of_era + u64::from(month <= 2),
            month,
            day: day_of_year - (153 * month_from_march + 2) / 5 + 1,
            hour: seconds / 3600,
            minute: seconds / 60 % 60,
            second: seconds % 60,
        }
    }

    /// `2026-01-31`.
    pub fn date(&self) -> String {
        format!("{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }

    /// `2026-01-31 23:59 UTC`.
    pub fn minutes(&self) -> String {
        format!("{} {:02}:{:02} UTC", self.date(), self.hour, self.minute)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(unix_s: u64, want: &str) {
        let moment = Moment::of(unix_s);
        assert_eq!(
            format!("{} {:02}:{:02}:{:02}", moment.date(), moment.hour, moment.minute, moment.second),
            want
        );
    }

    #[test]
    fn time_began_in_1970() {
        check(0, "1970-01-01 00:00:00");
    }

    #[test]
    fn a_leap_day_is_a_day() {
        check(1_709_164_800, "2024-02-29 00:00:00");
        check(1_709_251_199, "2024-02-29 23:59:59");
    }

    #[test]
    fn a_new_year_follows_the_old_one() {
        check(1_798_761_599, "2026-12-31 23:59:59");
        check(1_798_761_600, "2027-01-01 00:00:00");
    }
}
