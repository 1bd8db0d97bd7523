//! What `/health` says: build, uptime, and the memory that could be lent.

use serde::Serialize;
use std::fs::File;
use std::io::Read;
use std::time::Duration;

/// Longest text read from `/proc`.
const PROC_BYTES_MAX: u64 = 16 * 1024;

#[derive(Debug, PartialEq, Serialize)]
pub struct Health {
    build: &'static str,
    uptime_s: f64,
    memory_total_kib: u64,
    memory_available_kib: u64,
    /// What this process itself occupies.
    memory_own_kib: u64,
}

pub fn now(uptime: Duration) -> Health {
    health(uptime, &read("/proc/meminfo"), &read("/proc/self/status"))
}

fn health(uptime: Duration, meminfo: &str, status: &str) -> Health {
    Health {
        build: env!("CARGO_PKG_VERSION"),
        uptime_s: uptime.as_millis() as f64 / 1000.0,
        memory_total_kib: kib(meminfo, "MemTotal:"),
        memory_available_kib: kib(meminfo, "MemAvailable:"),
        memory_own_kib: kib(status, "VmRSS:"),
    }
}

fn kib(text: &str, key: &str) -> u64 {
    let value = text.lines().find_map(|l| l.strip_prefix(key));
    value.and_then(|v| v.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn read(path: &str) -> String {
    let mut text = String::new();
    // What cannot be read is shown as zero.
    let _ = File::open(path).and_then(|f| f.take(PROC_BYTES_MAX).read_to_string(&mut text));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(meminfo: &str, status: &str, want: [u64; 3]) {
        let h = health(Duration::ZERO, meminfo, status);
        assert_eq!([h.memory_total_kib, h.memory_available_kib, h.memory_own_kib], want);
    }

    #[test]
    fn memory_is_read_from_the_kernels_texts() {
        check(
            "MemTotal: 1000 kB\nMemAvailable:  800 kB\n",
            "Name:\trpc-worker\nVmRSS:\t    1500 kB\n",
            [1000, 800, 1500],
        );
    }

    #[test]
    fn what_cannot_be_read_is_zero() {
        check("", "VmRSS: many kB", [0, 0, 0]);
    }
}
