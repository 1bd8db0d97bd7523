//! Seconds as a date: chat templates may ask what day it is.

use prompt::CivilTime;

/// A second of history as a date.
pub fn civil(seconds: u64) -> CivilTime {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Years that begin in March have their leap day at the end (Howard Hinnant, chrono-compatible low-level algorithms).
    let z = days + 719_468;
    let era = z / 146_097;
    let day_of_era = z % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march = (5 * day_of_year + 2) / 153;
    let month = if march < 10 { march + 3 } else { march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    CivilTime {
        year: u16::try_from(year).unwrap_or(u16::MAX),
        month: month as u8,
        day: (day_of_year - (153 * march + 2) / 5 + 1) as u8,
        hour: (rest / 3600) as u8,
        minute: (rest / 60 % 60) as u8,
        second: (rest % 60) as u8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_become_dates() {
        let day = |seconds| {
            let at = civil(seconds);
            (at.year, at.month, at.day, at.hour, at.minute, at.second)
        };
        assert_eq!(day(0), (1970, 1, 1, 0, 0, 0));
        assert_eq!(day(951_827_696), (2000, 2, 29, 12, 34, 56));
        assert_eq!(day(4_107_542_399), (2100, 2, 28, 23, 59, 59));
        assert_eq!(day(4_107_542_400), (2100, 3, 1, 0, 0, 0));
    }
}
