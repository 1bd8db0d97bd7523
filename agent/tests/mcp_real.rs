//! A tool server that others made: the library mcp of Python, unmodified, as a child and behind an address.

#![allow(clippy::unwrap_used)] // A panic is how a test reports.
#![allow(dead_code)] // The module on clients is one of another package, which uses more of it.

use agent::tools::mcp::config::{Setup, Way};
use agent::tools::mcp::offer::Offer;
use agent::tools::mcp::{OutsideTool, Server};
use agent::tools::{Limits, Tool};
use serde_json::json;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};
use tools::{Asker, Call, Origin, Wanted};

#[path = "../../tests/src/clients.rs"]
mod clients;
#[path = "../../tests/src/skip.rs"]
mod skip;

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn out() -> PathBuf {
    std::env::var_os("DUET_OUT").map_or_else(|| repository().join("out"), PathBuf::from)
}

/// None where it cannot be installed, which is told.
fn server(test: &str) -> Option<Command> {
    match clients::python("mcp", "mcp-requirements.txt", "mcp_server") {
        Ok(command) => Some(command),
        Err(why) => {
            skip::skip(test, &why);
            None
        }
    }
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn within<T>(work: impl FnOnce(&Limits<'_>) -> T) -> T {
    let stop = AtomicBool::new(false);
    work(&Limits { deadline: Instant::now() + Duration::from_secs(120), output_max: 4096, stop: &stop })
}

fn check(way: Way) {
    let server = Arc::new(Server::start(Setup { name: "sums".into(), way, seconds_max: 30 }).unwrap());
    let offers = within(|limits| server.offers(limits)).unwrap();
    let lines: Vec<String> = offers.iter().map(|offer| offer.spec.line()).collect();
    let want = [
        "sums.add(a, b): Adds two numbers.",
        "sums.shout(text, mood: glad|cross): Says it louder.",
        "sums.fail(): Always fails.",
    ];
    assert_eq!(lines, want);
    let call = |name: &str, arguments: serde_json::Value| {
        let offer: Offer = offers.iter().find(|offer| offer.spec.name == name).unwrap().clone();
        let wanted = Wanted { tool: name.into(), arguments: arguments.as_object().unwrap().clone() };
        let asker = Asker { origin: Origin::Model, who: "a test".into(), talk: None };
        let call = Call::new(&offer.spec, &wanted, asker).unwrap();
        let tool = OutsideTool { server: server.clone(), offer };
        within(|limits| tool.run(&call, limits))
    };
    assert_eq!(call("sums.add", json!({"a": 40, "b": 2})), Ok("42".into()));
    assert_eq!(call("sums.shout", json!({"text": "hello"})), Ok("HELLO!".into()));
    assert_eq!(call("sums.shout", json!({"text": "hello", "mood": "cross"})), Ok("HELLO?!".into()));
    let failed = call("sums.fail", json!({})).unwrap_err();
    assert!(failed.starts_with("sums: ") && failed.contains("fail"), "{failed}");
    assert_eq!(call("sums.add", json!({"a": 1, "b": 1})), Ok("2".into()), "after a failure");
}

#[test]
fn a_real_server_is_a_child() {
    let Some(command) = server("a_real_server_is_a_child") else { return };
    let words = command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
    check(Way::Child { program: command.get_program().into(), words });
}

#[test]
fn a_real_server_is_behind_an_address() {
    for manner in ["events", "json"] {
        let Some(mut command) = server("a_real_server_is_behind_an_address") else { return };
        let address: SocketAddr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        command.args([address.port().to_string().as_str(), manner]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let _running = Running(child.unwrap());
        let by = Instant::now() + Duration::from_secs(120);
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < by, "it does not listen");
            std::thread::yield_now();
        }
        check(Way::Http { address, path: "/mcp".into() });
    }
}
