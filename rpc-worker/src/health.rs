//! What `/health` says: build, uptime, the memory that could be lent, and the experts that are held.

use crate::choice::InForce;
use crate::expert::hall::{Hall, Shown};
use crate::expert::holds;
use crate::ring::told::Shown as Part;
use serde::Serialize;
use split::report::Holds;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

/// Longest text read from `/proc`.
const PROC_BYTES_MAX: u64 = 16 * 1024;

#[derive(Debug, PartialEq, Serialize)]
pub struct Health {
    build: &'static str,
    uptime_s: f64,
    /// Whose kernels run, and which way of Q1_0: `kernels` and `way`.
    #[serde(flatten)]
    in_force: InForce,
    memory_total_kib: u64,
    memory_available_kib: u64,
    /// What this process itself occupies.
    memory_own_kib: u64,
    experts: Vec<Shown>,
    /// Parts of models that are cut over several nodes.
    stages: Vec<Part>,
    /// The same and more, in the words of the agent's facts.
    holds: Holds,
}

pub fn now(uptime: Duration, in_force: InForce, hall: &Hall, models: &Path) -> Health {
    let status = read("/proc/self/status");
    let taken = kib(&status, "RssAnon:") * 1024;
    let health = health(uptime, in_force, &read("/proc/meminfo"), &status);
    Health {
        experts: hall.shown(),
        stages: hall.parts().shown(),
        holds: holds::now(hall, models, taken),
        ..health
    }
}

fn health(uptime: Duration, in_force: InForce, meminfo: &str, status: &str) -> Health {
    Health {
        build: env!("CARGO_PKG_VERSION"),
        uptime_s: uptime.as_millis() as f64 / 1000.0,
        in_force,
        memory_total_kib: kib(meminfo, "MemTotal:"),
        memory_available_kib: kib(meminfo, "MemAvailable:"),
        memory_own_kib: kib(status, "VmRSS:"),
        experts: Vec::new(),
        stages: Vec::new(),
        holds: Holds::default(),
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
        let in_force = InForce { kernels: "ssse3", way: Some("tables") };
        let h = health(Duration::ZERO, in_force, meminfo, status);
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
    fn it_names_kernels_and_way() {
        let json = |kernels, way| {
            let health = health(Duration::ZERO, InForce { kernels, way }, "", "");
            let json = serde_json::to_value(health).expect("plain values");
            (json["kernels"].clone(), json["way"].clone())
        };
        assert_eq!(json("ssse3", Some("direct")), ("ssse3".into(), "direct".into()));
        assert_eq!(json("stock", None), ("stock".into(), serde_json::Value::Null));
    }

    #[test]
    fn what_cannot_be_read_is_zero() {
        check("", "VmRSS: many kB", [0, 0, 0]);
    }
}
