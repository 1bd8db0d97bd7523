//! Figures and times in words that fit into a table or a page.

/// `812 B`, `93 kB`, `41.3 MB`: decimal, as network speeds are.
pub fn bytes(n: u64) -> String {
    match n {
        0..1_000 => format!("{n} B"),
        1_000..1_000_000 => format!("{:.0} kB", n as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", n as f64 / 1e6),
        _ => format!("{:.2} GB", n as f64 / 1e9),
    }
}

/// `24.0 of 39.9 MB`, or with both units where they differ.
pub fn part(n: u64, of: u64) -> String {
    let (part, whole) = (bytes(n), bytes(of));
    match (part.split_once(' '), whole.split_once(' ')) {
        (Some((number, unit)), Some((_, same))) if unit == same => format!("{number} of {whole}"),
        _ => format!("{part} of {whole}"),
    }
}

/// `0.4 s`, `42 s`, `3 min 05 s`, `2 h 10 min`, `3 d`.
pub fn duration(ms: u64) -> String {
    let s = ms / 1000;
    match s {
        0..10 => format!("{:.1} s", (ms / 100) as f64 / 10.0),
        10..120 => format!("{s} s"),
        120..7_200 => format!("{} min {:02} s", s / 60, s % 60),
        7_200..172_800 => format!("{} h {:02} min", s / 3600, s / 60 % 60),
        _ => format!("{} d", s / 86_400),
    }
}

/// The text cut to so many characters, with an ellipsis where something is missing.
pub fn cut(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(chars_max.saturating_sub(1)).collect();
    if chars_max > 0 {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_three_or_four_digits() {
        for (n, want) in [
            (0, "0 B"),
            (999, "999 B"),
            (93_400, "93 kB"),
            (41_340_000, "41.3 MB"),
            (2_500_000_000, "2.50 GB"),
        ] {
            assert_eq!(bytes(n), want);
        }
    }

    #[test]
    fn a_part_names_its_unit_once() {
        assert_eq!(part(24_000_000, 39_900_000), "24.0 of 39.9 MB");
        assert_eq!(part(24_000, 39_900_000), "24 kB of 39.9 MB");
    }

    #[test]
    fn durations_grow_coarser() {
        for (ms, want) in [
            (0, "0.0 s"),
            (9_990, "9.9 s"),
            (42_000, "42 s"),
            (185_000, "3 min 05 s"),
            (7_800_000, "2 h 10 min"),
            (300_000_000, "3 d"),
        ] {
            assert_eq!(duration(ms), want);
        }
    }

    #[test]
    fn a_cut_text_says_so() {
        assert_eq!(cut("kitchen", 7), "kitchen");
        assert_eq!(cut("kitchen", 4), "kit…");
        assert_eq!(cut("küche", 0), "");
    }
}
