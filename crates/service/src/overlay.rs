//! A program's second door: on the node's overlay address, for as long as it has one.
//!
//! The overlay's process writes the address once the interface has it, and programs only read the file.
//! An address outside of the overlay is refused, so that no mistake there opens the door to the network card.

use crate::log::{self, Level};
use crate::watch::Watch;
use std::io::Read;
use std::net::Ipv6Addr;
use std::path::Path;
use std::time::Duration;
use tokio::net::TcpListener;

/// The longest text of an address, and its line feed.
const ADDRESS_BYTES_MAX: u64 = 46;
/// The interface may be gone for a moment while its process starts anew.
const RETRY: Duration = Duration::from_secs(1);

/// Serves until the program ends; without an overlay it only waits. `program` is its name in the log.
pub async fn serve<O, R>(program: &str, file: &Path, port: u16, open: O)
where
    O: Fn(TcpListener) -> R,
    R: Future<Output = ()>,
{
    let mut watch = match Watch::new(file) {
        Ok(watch) => watch,
        Err(error) => {
            let line = format!("{program}: {} cannot be watched, so loopback only: {error}", file.display());
            log::say(Level::Warning, &line);
            return std::future::pending().await;
        }
    };
    let mut address = read(file);
    loop {
        tokio::select! {
            () = open_at(program, address, port, &open) => {}
            next = changed(&mut watch, file, address) => address = Some(next),
        }
    }
}

/// The door at one address.
async fn open_at<O, R>(program: &str, address: Option<Ipv6Addr>, port: u16, open: &O)
where
    O: Fn(TcpListener) -> R,
    R: Future<Output = ()>,
{
    let Some(address) = address else { return std::future::pending().await };
    match TcpListener::bind((address, port)).await {
        Ok(listener) => {
            log::say(Level::Info, &format!("{program}: listening on [{address}]:{port}"));
            open(listener).await;
        }
        Err(_) => tokio::time::sleep(RETRY).await,
    }
}

/// Waits for another address. A file that is gone changes nothing: the interface outlives its process.
async fn changed(watch: &mut Watch, file: &Path, old: Option<Ipv6Addr>) -> Ipv6Addr {
    loop {
        if watch.changed().await.is_err() {
            return std::future::pending().await;
        }
        match read(file) {
            Some(address) if Some(address) != old => return address,
            _ => {}
        }
    }
}

fn read(file: &Path) -> Option<Ipv6Addr> {
    let mut text = String::new();
    std::fs::File::open(file).ok()?.take(ADDRESS_BYTES_MAX).read_to_string(&mut text).ok()?;
    parse(&text)
}

/// An address of `fd00::/8`, and nothing else.
fn parse(text: &str) -> Option<Ipv6Addr> {
    let address: Ipv6Addr = text.strip_suffix('\n')?.parse().ok()?;
    (address.octets()[0] == 0xfd).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, good: bool) {
        assert_eq!(parse(text).is_some(), good, "{text:?}");
    }

    #[test]
    fn only_an_overlay_address_opens_the_door() {
        check("fd01:203:405:0:1122:3344:5566:7788\n", true);
        check("::\n", false);
        check("::1\n", false);
        check("fe80::1\n", false);
        check("2001:db8::1\n", false);
        check("10.0.0.1\n", false);
        check("fd01::1", false);
        check("", false);
    }
}
