//! Memory that this program alone has, and its end before the PC's.
//!
//! The unit's limit cannot tell a leak from a model: what the agent fetches into a tmpfs counts as the agent's own.

use std::fs;

/// Beside the weights that hear: our own ear takes about 110 MB while it works, whisper's base.en as F16 340 MiB with its
/// weights of 148; long requests on their way to a model 16 MiB, twice for a moment. It is for a leak, so it leaves all
/// of these room.
pub const BYTES_MAX: u64 = 1 << 30;

/// 0 where the kernel says nothing of it.
pub fn bytes() -> u64 {
    parse(&fs::read_to_string("/proc/self/status").unwrap_or_default())
}

/// Why the program had better begin anew; `hears` is the length of the model that hears.
pub fn excess(bytes: u64, hears: u64) -> Option<String> {
    let most = BYTES_MAX.saturating_add(hears);
    let mib = |bytes: u64| bytes >> 20;
    (bytes > most).then(|| {
        format!("it has {} MiB of memory for itself and may have {}; it begins anew", mib(bytes), mib(most))
    })
}

fn parse(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0).saturating_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_when_it_has_more_than_it_may() {
        assert_eq!(parse("VmRSS:\t  9000 kB\nRssAnon:\t  8192 kB\n"), 8 << 20);
        assert_eq!((parse(""), parse("RssAnon: -1 kB")), (0, 0));
        assert!((1..BYTES_MAX).contains(&bytes()));
        assert_eq!((excess(BYTES_MAX, 0), excess(BYTES_MAX + 9, 9)), (None, None));
        assert!(excess(BYTES_MAX + (1 << 20), 9).unwrap().starts_with("it has 1025 MiB"));
    }
}
