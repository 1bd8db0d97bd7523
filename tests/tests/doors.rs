//! The doors to a node's voice with what really comes through them: PyPI's client of Wyoming, discovery by zeroconf,
//! Chromium with a microphone that is a file, and strangers.

#![allow(clippy::unwrap_used)] // A panic is how a test reports.

use admission::KeyLimits;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;
use tests::gateway::{Gateway, KEY, KEY_OF_MODELS};
use tests::node::{WAIT_MAX, connect};

const LIMITS: KeyLimits = KeyLimits { per_minute: 6000, at_once: 64, tokens_per_day: 1_000_000 };
const CLIP: &str = "speech/7_george_7.wav";
const WORD: &str = "seven";
const MODEL: &str = "stt/own-first-257-words-q8_0.bin";

/// The agent with ear and mouth, which `tests` itself is built without; the model's folder and the clip.
struct Needs {
    agent: PathBuf,
    models: PathBuf,
    clip: PathBuf,
}

fn needs() -> Result<Needs, String> {
    let agent = Path::new(env!("CARGO_BIN_EXE_agent-under-test")).with_file_name("agent");
    let beside = tests::repository().join("../shared/models-data");
    let folder = std::env::var_os("DUET_MODELS_DATA").map_or(beside, PathBuf::from);
    let (model, clip) = (folder.join(MODEL), folder.join(CLIP));
    for (file, why) in [
        (&agent, "cargo build -p agent makes it"),
        (&model, "see DUET_MODELS_DATA"),
        (&clip, "see DUET_MODELS_DATA"),
    ] {
        if !file.is_file() {
            return Err(format!("there is no {}: {why}", file.display()));
        }
    }
    Ok(Needs { agent, models: model.parent().unwrap().to_owned(), clip })
}

/// The address of this machine that others see, if it has one; nothing is sent.
fn own_address() -> IpAddr {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    let seen = socket.connect("192.0.2.254:9").and_then(|()| socket.local_addr());
    seen.map_or(Ipv4Addr::LOCALHOST.into(), |address| address.ip())
}

/// A port that is free now.
fn free(ip: IpAddr) -> SocketAddr {
    TcpListener::bind((ip, 0)).unwrap().local_addr().unwrap()
}

fn started(needs: &Needs, name: &str, wyoming: SocketAddr) -> Gateway {
    let models = needs.models.display().to_string();
    let words = ["--models".into(), models, "--wyoming".into(), wyoming.to_string()];
    Gateway::start(&needs.agent, name, LIMITS, &words)
}

#[track_caller]
fn run(mut client: Command, cases: &[&str]) {
    let output = client.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let done: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("ok ")).collect();
    assert_eq!(done, cases, "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn home_assistants_library_hears_speaks_and_finds_a_node() {
    let ready = needs()
        .and_then(|needs| Ok((needs, tests::clients::python("voice", "voice-requirements.txt", "voice")?)));
    let (needs, mut client) = match ready {
        Ok(ready) => ready,
        Err(why) => return tests::skip("wyoming", &why),
    };
    let address = free(own_address());
    let gateway = started(&needs, "wyoming", address);
    client.args([address.ip().to_string(), address.port().to_string()]).arg(&needs.clip).arg(WORD);
    client.args([gateway.address.to_string(), KEY.to_owned()]);
    let mut cases = vec![
        "an_info",
        "a_ping",
        "a_transcript",
        "a_speech",
        "a_streamed_speech",
        "an_answer",
        "an_error",
        "garbage",
        "an_old_client",
        "a_session",
        "a_session_without_a_key",
        "garbage_in_a_session",
    ];
    if !address.ip().is_loopback() {
        cases.push("a_discovery");
    }
    run(client, &cases);
}

#[test]
fn a_person_talks_through_the_page() {
    let Some(chromium) = tests::clients::chromium() else {
        return tests::skip("page", "there is no chromium");
    };
    let ready = needs()
        .and_then(|needs| Ok((needs, tests::clients::python("voice", "voice-requirements.txt", "page")?)));
    let (needs, mut client) = match ready {
        Ok(ready) => ready,
        Err(why) => return tests::skip("page", &why),
    };
    let gateway = started(&needs, "page", free(Ipv4Addr::LOCALHOST.into()));
    client.args([chromium, &gateway.address.to_string(), KEY]).arg(&needs.clip).arg(WORD);
    run(client, &["a_wrong_key", "a_key", "a_microphone", "a_question", "an_answer"]);
}

/// An agent without ear and mouth is enough for who may not come in.
fn gateway(name: &str) -> Gateway {
    Gateway::start(Path::new(env!("CARGO_BIN_EXE_agent-under-test")), name, LIMITS, &[])
}

#[track_caller]
fn check(answer: &str, status: u16, words: &str) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(words), "{answer}");
}

#[test]
fn nobody_without_a_key_and_no_page_from_elsewhere_comes_in() {
    let gateway = gateway("access");
    for path in ["/api/session/start", "/api/session/end", "/api/talk/start", "/api/talk/stop", "/api/voice"]
    {
        check(&gateway.ask("POST", path, "", "{}"), 401, "no API key was sent");
        let key = format!("Authorization: Bearer {KEY}\r\n");
        let evil = format!("{key}Origin: http://evil.example\r\n");
        check(&gateway.ask("POST", path, &evil, "{}"), 403, "a page from elsewhere");
        let cross = format!("{key}Sec-Fetch-Site: cross-site\r\n");
        check(&gateway.ask("POST", path, &cross, "{}"), 403, "a page from elsewhere");
    }
    for path in ["/api/talk", "/api/talk/events", "/api/voice", "/api/session/0"] {
        check(&gateway.ask("GET", path, "", ""), 401, "no API key was sent");
        let other = format!("Authorization: Bearer {KEY_OF_MODELS}\r\n");
        check(&gateway.ask("GET", path, &other, ""), 403, "the API key editor is for the models alone");
    }
    for path in ["/api/session/start", "/api/session/end", "/api/talk/start", "/api/talk/stop", "/api/voice"]
    {
        let other = format!("Authorization: Bearer {KEY_OF_MODELS}\r\n");
        check(&gateway.ask("POST", path, &other, "{}"), 403, "`duet keys add NAME --voice`");
    }
    check(&gateway.ask("GET", "/api/session/0/audio", "", ""), 426, "over a WebSocket");
}

#[test]
fn a_session_is_begun_shown_and_ended() {
    let gateway = gateway("session");
    let begun = gateway.post("/api/session/start", r#"{"rate": 48000, "name": "phone"}"#);
    check(&begun, 201, "\"protocol\":\"duet.session\"");
    let begun: Value = serde_json::from_str(begun.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    let id = begun["id"].as_str().unwrap();
    check(&gateway.get(&format!("/api/session/{id}")), 200, "\"mood\":\"idle\"");
    check(&gateway.get("/api/talk"), 200, "\"whose\":\"phone\"");
    let end = format!("{{\"id\":\"{id}\"}}");
    check(&gateway.post("/api/session/end", &end), 200, id);
    check(&gateway.post("/api/session/end", &end), 404, "no such session");
    check(&gateway.get(&format!("/api/session/{id}")), 404, "no such session");
    check(&gateway.post("/api/session/start", r#"{"format": "opus"}"#), 400, "send 16-bit PCM");
    check(&gateway.post("/api/session/start", r#"{"rate": 7}"#), 400, "the rate must be");
    check(&gateway.post("/api/session/start", "[]"), 400, "expected");
    check(&gateway.post("/api/voice", r#"{"volume": 101}"#), 400, "volume");
    check(&gateway.post("/api/voice", r#"{"volume": 31}"#), 200, "\"volume\":31");
    check(&gateway.get("/api/voice"), 200, "\"volume\":31");
}

#[test]
fn garbage_on_the_ports_leaves_the_agent_as_it_was() {
    let wyoming = free(Ipv4Addr::LOCALHOST.into());
    let words = ["--wyoming".into(), wyoming.to_string()];
    let gateway =
        Gateway::start(Path::new(env!("CARGO_BIN_EXE_agent-under-test")), "garbage", LIMITS, &words);
    let end = Instant::now() + WAIT_MAX;
    while TcpStream::connect(wyoming).is_err() {
        assert!(Instant::now() < end, "nobody listens for Home Assistant");
    }
    // xorshift64*, always the same story.
    let mut dice = 0x00d0_e700_u64;
    let mut roll = move || {
        dice ^= dice >> 12;
        dice ^= dice << 25;
        dice ^= dice >> 27;
        (dice.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 56) as u8
    };
    for round in 0..64 {
        let address = if round % 2 == 0 { wyoming } else { gateway.address };
        let bytes: Vec<u8> = (0..2048).map(|_| roll()).collect();
        let mut stream = connect(address);
        stream.set_read_timeout(Some(WAIT_MAX)).unwrap();
        // The other side may close in the middle of it.
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read_to_end(&mut vec![]);
    }
    check(&gateway.get("/api/talk"), 200, "talks");
    let mut stream = connect(wyoming);
    stream.write_all(b"{\"type\":\"ping\"}\n").unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    assert!(line.contains("pong"), "{line:?}");
}
