//! Memory, from `/proc/meminfo`.

use serde::Serialize;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Memory {
    pub total_kib: u64,
    pub free_kib: u64,
    /// What programs can still get, by the kernel's own estimate.
    pub available_kib: u64,
    /// Total less free: page cache and the image in memory count too.
    pub occupied_kib: u64,
    /// What programs can still get, and what models take already: seen at the same moment as the models.
    pub room_kib: u64,
}

pub fn parse(meminfo: &str) -> Memory {
    let total_kib = kib(meminfo, "MemTotal");
    let free_kib = kib(meminfo, "MemFree").min(total_kib);
    let available_kib = kib(meminfo, "MemAvailable").min(total_kib);
    let occupied_kib = total_kib - free_kib;
    Memory { total_kib, free_kib, available_kib, occupied_kib, room_kib: available_kib }
}

/// Also reads `/proc/<pid>/status`, which has the same form.
pub fn kib(text: &str, key: &str) -> u64 {
    let value = text.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix(':'));
    let number = value.and_then(|v| v.split_whitespace().next());
    number.and_then(|n| n.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(meminfo: &str, want: [u64; 4]) {
        let m = parse(meminfo);
        assert_eq!([m.total_kib, m.free_kib, m.available_kib, m.occupied_kib], want);
    }

    #[test]
    fn occupied_is_total_less_free() {
        let text = "MemTotal:        1007884 kB\nMemFree:          860100 kB\nMemAvailable:     801200 kB\n";
        check(text, [1_007_884, 860_100, 801_200, 147_784]);
    }

    #[test]
    fn a_missing_line_is_zero() {
        check("MemTotal: 100 kB\n", [100, 0, 0, 100]);
        check("", [0; 4]);
    }

    #[test]
    fn nonsense_does_not_underflow() {
        check("MemTotal: 10 kB\nMemFree: 99999999999999999999999 kB\n", [10, 0, 0, 10]);
        check("MemTotal: 10 kB\nMemFree: 11 kB\n", [10, 10, 0, 0]);
    }
}
