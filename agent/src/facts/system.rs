//! Small facts of the system: load, uptime, kernel, distribution.

use serde::Serialize;

/// Programs that wait for a processor, as averages over 1, 5 and 15 minutes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Load {
    pub one: f64,
    pub five: f64,
    pub fifteen: f64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct System {
    pub kernel: String,
    pub distribution: String,
    pub agent_version: String,
}

/// From `/proc/loadavg`.
pub fn load(loadavg: &str) -> Load {
    let mut numbers = loadavg.split_whitespace().map(number);
    let mut next = || numbers.next().unwrap_or(0.0);
    Load { one: next(), five: next(), fifteen: next() }
}

/// From `/proc/uptime`: seconds since the kernel began.
pub fn uptime_s(uptime: &str) -> f64 {
    uptime.split_whitespace().next().map_or(0.0, number)
}

/// From `/etc/os-release`.
pub fn distribution(os_release: &str) -> String {
    let name = os_release.lines().find_map(|l| l.strip_prefix("PRETTY_NAME="));
    name.unwrap_or("").trim().trim_matches('"').to_string()
}

/// JSON has no infinity, and neither has an uptime.
fn number(word: &str) -> f64 {
    word.parse().ok().filter(|n: &f64| n.is_finite() && *n >= 0.0).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_load(text: &str, want: [f64; 3]) {
        let l = load(text);
        assert_eq!([l.one, l.five, l.fifteen], want);
    }

    #[test]
    fn load_has_three_averages() {
        check_load("0.52 0.58 0.59 2/614 9876\n", [0.52, 0.58, 0.59]);
        check_load("0.52", [0.52, 0.0, 0.0]);
        check_load("inf nan -1", [0.0; 3]);
    }

    #[test]
    fn uptime_is_the_first_number() {
        assert_eq!(uptime_s("12.50 20.01\n"), 12.5);
        assert_eq!(uptime_s("soon"), 0.0);
    }

    #[test]
    fn the_distribution_is_its_pretty_name() {
        assert_eq!(
            distribution("ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\n"),
            "Debian GNU/Linux 13 (trixie)"
        );
        assert_eq!(distribution("ID=debian\n"), "");
    }
}
