//! Which ports of a machine answer? `port-scan ADDRESS tcp|udp FIRST LAST` prints one JSON object.
//!
//! `open` are the TCP ports that take a connection and the UDP ports that answer, `refused` those whose machine says
//! that nobody is there, and all others are `silent`.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Long enough for the second try of a connection, which follows the first after a second.
const ANSWER_MAX: Duration = Duration::from_millis(2500);
/// Ports asked at once: more would be lost in the queue of an emulated card.
const AT_ONCE: usize = 2048;
/// The pause after each port, so that the machine asked has time for each.
const PAUSE: Duration = Duration::from_micros(400);

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Port {
    Open,
    Refused,
    Silent,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let asked = || {
        let [address, kind, first, last] = &words[..] else { return None };
        let ports = first.parse::<u16>().ok()?..=last.parse::<u16>().ok()?;
        Some((address.parse::<IpAddr>().ok()?, kind == "tcp", ports))
    };
    let Some((address, is_tcp, ports)) = asked() else {
        eprintln!("port-scan ADDRESS tcp|udp FIRST LAST");
        return ExitCode::from(2);
    };
    let limit = getrlimit(Resource::Nofile);
    // Without the right to more files the scan is slower.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    let files = getrlimit(Resource::Nofile).current.map_or(AT_ONCE, |n| n as usize / 2);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let found = runtime.block_on(scan(address, is_tcp, ports.collect(), AT_ONCE.min(files)));
    let of = |kind: Port| found.get(&kind).cloned().unwrap_or_default();
    let (open, refused, silent) = (of(Port::Open), of(Port::Refused), of(Port::Silent).len());
    println!("{}", serde_json::json!({ "open": open, "refused": refused, "silent": silent }));
    ExitCode::SUCCESS
}

async fn scan(address: IpAddr, is_tcp: bool, ports: Vec<u16>, at_once: usize) -> BTreeMap<Port, Vec<u16>> {
    let places = Arc::new(Semaphore::new(at_once));
    let mut asked = JoinSet::new();
    for port in ports {
        let place = places.clone().acquire_owned().await.expect("the semaphore stays open");
        asked.spawn(async move {
            let to = SocketAddr::new(address, port);
            let answer = if is_tcp { tcp(to).await } else { udp(to).await };
            drop(place);
            (answer, port)
        });
        tokio::time::sleep(PAUSE).await;
    }
    let mut found = BTreeMap::<Port, Vec<u16>>::new();
    for (answer, port) in asked.join_all().await {
        found.entry(answer).or_default().push(port);
    }
    found.values_mut().for_each(|ports| ports.sort_unstable());
    found
}

async fn tcp(to: SocketAddr) -> Port {
    match tokio::time::timeout(ANSWER_MAX, TcpStream::connect(to)).await {
        Ok(Ok(_)) => Port::Open,
        Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => Port::Refused,
        _ => Port::Silent,
    }
}

async fn udp(to: SocketAddr) -> Port {
    let asked = async {
        let socket = UdpSocket::bind("0.0.0.0:0").await?;
        socket.connect(to).await?;
        socket.send(b"who is there?").await?;
        socket.recv(&mut [0; 2048]).await
    };
    match tokio::time::timeout(ANSWER_MAX, asked).await {
        Ok(Ok(_)) => Port::Open,
        Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => Port::Refused,
        _ => Port::Silent,
    }
}
