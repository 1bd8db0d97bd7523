//! Tells systemd how the program is: ready, alive, stopping, and one sentence for `systemctl status`.
//!
//! The protocol is one datagram of `NAME=value` lines to the socket named in `NOTIFY_SOCKET`.
//! Without systemd every call does nothing. It deliberately never fails: a service must not die of a lost notice.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The program answers now.
pub fn ready() {
    send("READY=1");
}

/// The program is still alive; due at least every [`watchdog_period`].
pub fn alive() {
    send("WATCHDOG=1");
}

/// The program ends on purpose.
pub fn stopping() {
    send("STOPPING=1");
}

/// One sentence that `systemctl status` shows.
pub fn status(sentence: &str) {
    send(&format!("STATUS={}", sentence.replace('\n', " ")));
}

/// How often to call [`alive`], if systemd watches this process: half the time it allows.
pub fn watchdog_period() -> Option<Duration> {
    let text = |name: &str| std::env::var(name).ok();
    period(text("WATCHDOG_USEC").as_deref(), text("WATCHDOG_PID").as_deref(), std::process::id())
}

fn period(usec: Option<&str>, pid: Option<&str>, own_pid: u32) -> Option<Duration> {
    if pid.is_some_and(|p| p.parse() != Ok(own_pid)) {
        return None;
    }
    let usec: u64 = usec?.parse().ok()?;
    (usec > 0).then(|| Duration::from_micros(usec / 2))
}

fn send(message: &str) {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let Some(address) = name.to_str().and_then(address) else { return };
    let Ok(socket) = UnixDatagram::unbound() else { return };
    // A full socket must not stop the program; the next notice follows soon.
    let _ = socket.set_nonblocking(true);
    let _ = socket.send_to_addr(message.as_bytes(), &address);
}

/// A name that begins with `@` lives in the abstract name space, any other is a path.
fn address(name: &str) -> Option<SocketAddr> {
    match name.strip_prefix('@') {
        Some(rest) => SocketAddr::from_abstract_name(rest).ok(),
        None if name.starts_with('/') => SocketAddr::from_pathname(name).ok(),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_period(usec: Option<&str>, pid: Option<&str>, want_ms: Option<u64>) {
        assert_eq!(period(usec, pid, 7), want_ms.map(Duration::from_millis));
    }

    #[test]
    fn half_of_the_allowed_time_is_the_period() {
        check_period(Some("10000000"), Some("7"), Some(5000));
    }

    #[test]
    fn no_pid_means_this_process() {
        check_period(Some("2000000"), None, Some(1000));
    }

    #[test]
    fn a_watchdog_of_another_process_is_ignored() {
        check_period(Some("10000000"), Some("8"), None);
    }

    #[test]
    fn zero_and_words_are_no_watchdog() {
        check_period(Some("0"), None, None);
        check_period(Some("soon"), None, None);
        check_period(None, None, None);
    }

    #[test]
    fn a_notice_arrives_at_a_path_and_at_an_abstract_name() {
        for name in [format!("@duet-notify-{}", std::process::id()), path()] {
            let address = address(&name).expect("a good name");
            let server = UnixDatagram::bind_addr(&address).expect("bind");
            let client = UnixDatagram::unbound().expect("socket");
            client.send_to_addr(b"READY=1", &address).expect("send");
            let mut buffer = [0; 16];
            let n = server.recv(&mut buffer).expect("receive");
            assert_eq!(&buffer[..n], b"READY=1");
        }
        let _ = std::fs::remove_file(path());
    }

    fn path() -> String {
        format!("{}/duet-notify-{}", std::env::temp_dir().display(), std::process::id())
    }

    #[test]
    fn a_relative_name_is_no_address() {
        assert!(address("run/notify").is_none());
    }
}
