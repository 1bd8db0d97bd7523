//! One function for each codec that reads what strangers send: bytes in, broken promises out as panics.
//!
//! `fuzz_targets/` hands them to libFuzzer; `tests/tests/fuzz_replay.rs` includes this file and plays the kept
//! corpus and mutations of it with the ordinary toolchain.
//! The root of whoever includes it has the boot server's modules `head` (HTTP requests), `report` and `settings`,
//! init's module `http` (HTTP answers), and the agent's `gateway_stream` (streams of
//! events that the gateway hands on), `hear_letter` (what nodes say of hearing), `key_event` (what keyboards write),
//! `sound_wav`, `timer_record`, and `wyoming_codec`, `session_frame`, `session_words`, `mdns_packet`.

use std::collections::BTreeSet;
use std::io::{self, Read, Seek, SeekFrom};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use netboot::{Mac, dhcp, ra, script, tftp};
use release::{HostName, Mode, ReleaseId, Server};
use voice::whisper;

use crate::{
    gateway_record as record, gateway_stream as passing, head, http, report as reports, settings as wishes,
};

#[path = "brain.rs"]
mod brains;
#[path = "admission.rs"]
mod calls;
#[path = "gossip.rs"]
mod datagrams;
#[path = "doors.rs"]
mod doors;
#[path = "hearing.rs"]
mod ears;
#[path = "keys.rs"]
mod keys;
#[path = "memory.rs"]
mod memory;
#[path = "experts.rs"]
mod models;
#[path = "prompts.rs"]
mod prompts;
#[path = "requests.rs"]
mod requests;
#[path = "rpc.rs"]
mod rpc;
#[path = "spreading.rs"]
mod spreading;
#[path = "stages.rs"]
mod stages;
#[path = "tools.rs"]
mod tool;

pub use brains::{persona, workflow};
pub use calls::{
    admission_answer, admission_api_keys, admission_ask, admission_certificate, admission_order,
    admission_roster, admission_settings, admission_stick,
};
pub use datagrams::{gossip_envelope, gossip_facts, gossip_node};
pub use doors::{mdns, session_words, websocket, wyoming};
pub use ears::{hear_letter, silero_model, sound_wav, timer_record};
pub use keys::key_events;
pub use memory::{memory_peer, memory_saved, memory_segment};
pub use models::{assignment, expert, models_manifest};
pub use prompts::{grammar, schema, stop, template};
pub use requests::openai;
pub use rpc::rpc_gate;
pub use spreading::{admission_catalogue, spread};
pub use stages::stage_wire;
pub use tool::{tool_call, tool_sum, web_page};

/// Takes any bytes; panics if a promise is broken.
pub type Target = fn(&[u8]);

/// Every target by name, for the replay.
pub const TARGETS: [(&str, Target); 56] = [
    ("tool_call", tool_call),
    ("tool_sum", tool_sum),
    ("web_page", web_page),
    ("workflow", workflow),
    ("persona", persona),
    ("expert", expert),
    ("models_manifest", models_manifest),
    ("assignment", assignment),
    ("dhcp", dhcp),
    ("tftp_request", tftp_request),
    ("tftp_transfer", tftp_transfer),
    ("ra", ra),
    ("script", script),
    ("manifest", manifest),
    ("boot_line", boot_line),
    ("promoted", promoted),
    ("signature", signature),
    ("http_head", http_head),
    ("answer_head", answer_head),
    ("report", report),
    ("settings", settings),
    ("key_events", key_events),
    ("gguf", gguf),
    ("memory_peer", memory_peer),
    ("memory_saved", memory_saved),
    ("memory_segment", memory_segment),
    ("stop", stop),
    ("schema", schema),
    ("grammar", grammar),
    ("template", template),
    ("whisper_model", whisper_model),
    ("hear_letter", hear_letter),
    ("timer_record", timer_record),
    ("sound_wav", sound_wav),
    ("silero_model", silero_model),
    ("admission_ask", admission_ask),
    ("admission_answer", admission_answer),
    ("admission_certificate", admission_certificate),
    ("admission_roster", admission_roster),
    ("admission_order", admission_order),
    ("admission_stick", admission_stick),
    ("admission_api_keys", admission_api_keys),
    ("admission_settings", admission_settings),
    ("admission_catalogue", admission_catalogue),
    ("spread", spread),
    ("gateway_stream", gateway_stream),
    ("gossip_envelope", gossip_envelope),
    ("gossip_facts", gossip_facts),
    ("gossip_node", gossip_node),
    ("openai", openai),
    ("rpc_gate", rpc_gate),
    ("stage_wire", stage_wire),
    ("wyoming", wyoming),
    ("websocket", websocket),
    ("mdns", mdns),
    ("session_words", session_words),
];

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const FROM: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 77), 68);

/// Datagrams to one server. Each is a byte of circumstances, two of length, then itself.
pub fn dhcp(bytes: &[u8]) {
    let Some((mode, mut rest)) = bytes.split_first() else { return };
    let mut server = dhcp_server(mode & 1 == 1);
    let mut now = Instant::now();
    while let [how, high, low, after @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]) % 4096).min(after.len());
        let (datagram, after) = after.split_at(length);
        rest = after;
        now += Duration::from_secs(u64::from(how >> 2) * 60);
        let port = [67, 4011, 68, 67][usize::from(how & 3)];
        server.handle(now, dhcp::Datagram { bytes: datagram, from: FROM, port });
        while let Some(output) = server.poll() {
            match output {
                dhcp::Output::Send(answer) => check_dhcp_answer(datagram, &answer),
                dhcp::Output::Event(event) => assert!(!event.to_string().is_empty()),
            }
        }
        let leases = server.leases(now);
        let addresses: BTreeSet<Ipv4Addr> = leases.iter().map(|lease| lease.address).collect();
        assert_eq!(addresses.len(), leases.len(), "one address has two clients");
    }
}

fn dhcp_server(own: bool) -> dhcp::Server {
    let pool = dhcp::Pool {
        first: Ipv4Addr::new(10, 0, 0, 100),
        last: Ipv4Addr::new(10, 0, 0, 103),
        mask: Ipv4Addr::new(255, 255, 255, 0),
        gateway: Some(SERVER),
        dns: vec![SERVER],
        lease: Duration::from_secs(3600),
    };
    let mode = if own { dhcp::Mode::Own(pool) } else { dhcp::Mode::Proxy };
    dhcp::Server::new(dhcp::Config { server: SERVER, http_port: 80, mode }).expect("the settings are good")
}

fn check_dhcp_answer(question: &[u8], answer: &dhcp::Answer) {
    let bytes = &answer.bytes;
    assert!((300..=576).contains(&bytes.len()), "no client takes {} bytes", bytes.len());
    assert_eq!((bytes[0], &bytes[4..8], &bytes[28..34]), (2, &question[4..8], &question[28..34]));
    let known =
        answer.to.ip().is_broadcast() || answer.to == FROM || answer.to.ip().octets()[..3] == [10, 0, 0];
    assert!(known, "an answer went to {}", answer.to);
    assert!(answer.from_port == 67 || answer.from_port == 4011);
    let mut options = &bytes[240..];
    while let [number, rest @ ..] = options
        && *number != 255
    {
        let length = usize::from(rest[0]);
        options = &rest[1 + length..];
    }
    assert!(!options.is_empty(), "the options have no end");
}

/// A datagram that came to port 69.
pub fn tftp_request(bytes: &[u8]) {
    match tftp::parse(bytes) {
        Ok(request) => {
            assert!(
                (1..=128).contains(&request.name.len())
                    && request.name.bytes().all(|byte| byte.is_ascii_graphic())
            );
            assert!(!request.name.starts_with('/') && request.block.is_none_or(|block| block >= 8));
            assert!(request.window != Some(0) && request.timeout_s != Some(0));
        }
        Err(refusal) => {
            let answer = refusal.bytes().unwrap_or(vec![0, 5, 0, 0, 0]);
            assert!(answer.len() <= tftp::ERROR_BYTES_MAX && answer.ends_with(&[0]));
        }
    }
}

/// Two bytes of options, one of file size, then events: a byte of kind, two of number.
pub fn tftp_transfer(bytes: &[u8]) {
    let [options, block, size, events @ ..] = bytes else { return };
    let request = tftp::Request {
        name: "x".to_owned(),
        mode: if options & 1 == 0 { tftp::Mode::Octet } else { tftp::Mode::Netascii },
        block: (options & 2 != 0).then_some(u16::from(*block) * 257).filter(|block| *block >= 8),
        size: options & 4 != 0,
        window: (options & 8 != 0).then_some(u16::from(options >> 4) + 1),
        timeout_s: (options & 16 != 0).then_some(block | 1),
    };
    let file: Arc<[u8]> = (0..usize::from(*size) * 97).map(|idx| (idx % 251) as u8).collect();
    let mut now = Instant::now();
    let mut transfer = tftp::Transfer::new(now, &request, file);
    let mut over = drain(&mut transfer);
    for event in events.chunks_exact(3) {
        match event[0] % 4 {
            0 => transfer.handle(now, tftp::Input::Datagram(&[0, 4, event[1], event[2]])),
            1 => transfer.handle(now, tftp::Input::Datagram(event)),
            2 => now += Duration::from_millis(u64::from(event[1]) * 40),
            _ => {
                now = transfer.deadline().unwrap_or(now);
                transfer.handle(now, tftp::Input::Time);
            }
        }
        let ended = drain(&mut transfer);
        assert!(!(over && ended), "a transfer ended twice");
        over |= ended;
        assert_eq!(transfer.deadline().is_none(), over);
        let (sent, size) = transfer.progress();
        assert!(sent <= size);
    }
    silence(&mut transfer);
}

/// Without a client every transfer ends soon.
fn silence(transfer: &mut tftp::Transfer) {
    for _ in 0..=tftp::RETRIES_MAX + 1 {
        let Some(wake) = transfer.deadline() else { return };
        transfer.handle(wake, tftp::Input::Time);
        drain(transfer);
    }
    panic!("a transfer outlived its client");
}

/// Takes all outputs; true if the transfer is over.
fn drain(transfer: &mut tftp::Transfer) -> bool {
    let (mut sent, mut over) = (0, false);
    while let Some(output) = transfer.poll() {
        assert!(!over, "something came after the end");
        match output {
            tftp::Output::Send(bytes) => {
                sent += 1;
                assert!(bytes.len() <= 4 + usize::from(tftp::BLOCK_BYTES_MAX));
            }
            tftp::Output::End(end) => over = !end.to_string().is_empty(),
        }
    }
    assert!(sent <= tftp::WINDOW_MAX, "one event made {sent} packets");
    over
}

/// An ICMPv6 body; the first byte is the hop limit.
pub fn ra(bytes: &[u8]) {
    let Some((hops, body)) = bytes.split_first() else { return };
    if let Ok(asked) = ra::solicited_by(body, *hops) {
        assert!(*hops == 255 && body[0] == 133 && body.len() >= 8);
        assert!(asked.mac.is_none_or(Mac::is_card));
    }
}

/// Settings as text: MAC, release, hostname, sentence, then consoles and words, a line each.
pub fn script(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    // A line break inside a value is written as \u{1}: it is what must never come through.
    let mut lines = text.split('\n').map(|line| line.replace('\u{1}', "\n"));
    let mut next = || lines.next().unwrap_or_default();
    let (mac, release, hostname, sentence) = (next(), next(), next(), next());
    let mac = match mac.parse::<Mac>() {
        Ok(parsed) => {
            assert_eq!(parsed.to_string().parse(), Ok(parsed));
            assert_eq!(parsed.hyphenated().parse(), Ok(parsed));
            parsed
        }
        Err(_) => Mac([2, 0, 0, 0, 0, 1]),
    };
    let name = HostName::parse(&hostname).unwrap_or_else(|_| HostName::of_mac(mac));
    let (consoles, extra): (Vec<String>, Vec<String>) = lines.partition(|line| line.starts_with("tty"));
    let mut settings = script::Settings { consoles, extra, ..script::Settings::default() };
    for mode in [Mode::Net, Mode::Wrap] {
        settings.mode = mode;
        if let Ok(release) = ReleaseId::parse(&release) {
            check_boot_script(mac, &name, &settings, &release);
        }
    }
    let server = SocketAddrV4::new(SERVER, 8080);
    if let Ok(text) = script::waiting(mac, server, &sentence) {
        check_script(&text, &script::waiting(mac, server, "plain").expect("it is plain"));
    }
}

fn check_boot_script(mac: Mac, name: &HostName, settings: &script::Settings, release: &ReleaseId) {
    let servers = [Server { ip: SERVER, port: 8080 }];
    let boot = script::Boot { mac, name, settings, servers: &servers, release, attempt: 7 };
    let Ok(text) = script::boot(&boot) else { return };
    let plain = script::Settings { mode: settings.mode, ..script::Settings::default() };
    let plain_id = ReleaseId::parse("plain").expect("it is plain");
    let plain = script::Boot { settings: &plain, release: &plain_id, ..boot };
    check_script(&text, &script::boot(&plain).expect("it is plain"));
    // What the script says, the node understands.
    let words = script::words(&boot).expect("the script was made");
    let words = words.replace("${netX/ip},${netX/netmask},${netX/gateway}", "10.0.0.5,255.255.255.0,");
    let line = release::BootLine::parse(words.as_bytes()).expect("init reads the boot line");
    assert_eq!((line.release.as_ref(), line.hostname.as_ref()), (Some(release), Some(name)));
    assert_eq!((line.servers.len(), line.attempt), (1, Some(7)));
}

/// No value added a line, a command or a variable.
fn check_script(text: &str, plain: &str) {
    for mark in ["\n", "${", " || ", " && ", ";"] {
        assert_eq!(
            text.matches(mark).count(),
            plain.matches(mark).count(),
            "{mark:?} came in through a value"
        );
    }
    assert!(text.is_ascii());
}

/// A manifest that is accepted is written as it was read.
pub fn manifest(bytes: &[u8]) {
    if let Ok(manifest) = release::Manifest::parse(bytes) {
        let again = release::Manifest::parse(manifest.to_text().as_bytes());
        assert_eq!(again.as_ref(), Ok(&manifest));
    }
}

/// A kernel command line.
pub fn boot_line(bytes: &[u8]) {
    if let Ok(line) = release::BootLine::parse(bytes) {
        let again = release::BootLine::parse(line.to_string().as_bytes());
        assert_eq!(again.as_ref(), Ok(&line));
    }
}

/// The list of promoted releases.
pub fn promoted(bytes: &[u8]) {
    if let Ok(ids) = release::parse_promoted(bytes) {
        let again = release::parse_promoted(release::render_promoted(&ids).as_bytes());
        assert_eq!(again.as_ref(), Ok(&ids));
    }
}

/// A manifest and a signature, with a line of `--` between: only what was signed is accepted.
pub fn signature(bytes: &[u8]) {
    static KEY: OnceLock<release::SecretKey> = OnceLock::new();
    let key = KEY.get_or_init(|| release::SecretKey::from_seed(&[7; 32]));
    let Some(at) = bytes.windows(4).position(|four| four == b"\n--\n") else { return };
    let (manifest, signature) = (&bytes[..at + 1], &bytes[at + 4..]);
    if release::verify(&key.public(), manifest, signature).is_ok() {
        assert_eq!(release::sign(key, manifest).as_bytes(), signature, "a foreign signature was accepted");
    }
    let _ = release::PublicKey::from_text(signature);
    let _ = release::SecretKey::from_text(signature);
}

/// The first bytes of an HTTP connection; the last four are also the length of a file.
pub fn http_head(bytes: &[u8]) {
    let length = bytes.last_chunk().map_or(0, |four| u64::from(u32::from_be_bytes(*four)));
    match head::decide(bytes) {
        head::Decision::More => assert!(bytes.len() <= head::HEAD_BYTES_MAX, "it would read for ever"),
        head::Decision::Refuse(refusal) => assert!(refusal.status().starts_with(['4', '5'])),
        head::Decision::Model(ask) => assert!(ask.release.is_empty() && ask.file.len() == 64),
        head::Decision::File(ask) => {
            for name in [&ask.release, &ask.file] {
                let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
                assert!(
                    plain && !name.is_empty() && name != "." && name != "..",
                    "{name:?} leaves its folder"
                );
            }
            if let Some(part) = ask.range.and_then(|range| range.resolve(length)) {
                assert!(part.start < part.end && part.end <= length, "{part:?} of {length}");
            }
        }
        head::Decision::Page => {}
    }
    if let Some(part) = head::parse_range(bytes).and_then(|range| range.resolve(length)) {
        assert!(part.start < part.end && part.end <= length, "{part:?} of {length}");
    }
}

/// The first bytes of a boot server's answer, as init reads them.
pub fn answer_head(bytes: &[u8]) {
    let Some(body) = http::body_start(bytes) else { return };
    assert!(bytes[..body].ends_with(b"\r\n\r\n"));
    let Ok(head) = http::parse_head(&bytes[..body]) else { return };
    if let Some((first, total)) = head.part {
        assert!(first < total, "a part begins at {first} of {total}");
    }
    // What init takes, another reader understands as the same answer.
    let mut fields = [httparse::EMPTY_HEADER; 512];
    let mut answer = httparse::Response::new(&mut fields);
    let end = match answer.parse(&bytes[..body]) {
        Err(httparse::Error::TooManyHeaders) => return,
        other => other.expect("init takes nothing that is not HTTP"),
    };
    assert_eq!((end, answer.code), (httparse::Status::Complete(body), Some(head.status)));
    let values = |name: &str| {
        let named = answer.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
        named.map(|field| field.value.trim_ascii()).collect::<Vec<_>>()
    };
    let [length] = values("content-length")[..] else { panic!("there is not one length") };
    assert_eq!(std::str::from_utf8(length).map(str::parse), Ok(Ok(head.length)));
    assert_eq!(values("content-range").len(), usize::from(head.part.is_some()));
    assert!(values("transfer-encoding").is_empty() && values("content-encoding").is_empty());
}

/// The body of a node's report. What is accepted is written as it was read, up to the longest sentence.
pub fn report(bytes: &[u8]) {
    let Some(mut read) = reports::parse(bytes) else { return };
    assert!(bytes.len() <= release::REPORT_BYTES_MAX);
    let text = read.to_json();
    assert!(text.len() <= release::REPORT_BYTES_MAX, "{} bytes", text.len());
    let again = reports::parse(text.as_bytes()).expect("the server reads what a node writes");
    assert!(read.sentence.starts_with(&again.sentence));
    assert!(again.sentence.len() + 3 >= read.sentence.len().min(release::SENTENCE_BYTES_MAX));
    read.sentence.clone_from(&again.sentence);
    assert_eq!(again, read);
}

/// The owner's `duet.toml`. What is accepted boots every PC by a name of its own; a mistake has a line.
pub fn settings(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let settings = match wishes::Settings::parse(text) {
        Ok(settings) => settings,
        Err(mistake) => {
            let n_lines = text.split('\n').count();
            assert!((1..=n_lines).contains(&mistake.line), "line {} of {n_lines}", mistake.line);
            return assert!(!mistake.what.is_empty() && !mistake.what.contains('\n'), "{:?}", mistake.what);
        }
    };
    let release = ReleaseId::parse("trixie-1").expect("the id is good");
    let mut names = BTreeSet::new();
    for mac in settings.macs() {
        let name = settings.name_of(mac);
        let extra = settings.of(mac).words.map(|words| words.0).unwrap_or_default();
        let pc = script::Settings { extra, ..script::Settings::default() };
        assert_eq!(pc.check(), Ok(()));
        check_boot_script(*mac, &name, &pc, &release);
        assert!(names.insert(name), "two PCs share a name");
    }
}

/// A model file, and the same as the beginning of a longer one.
pub fn gguf(bytes: &[u8]) {
    for more in [0, 1 << 16] {
        let file_bytes = bytes.len() as u64 + more;
        match gguf::Gguf::read(&mut &bytes[..], file_bytes) {
            Ok(file) => check_gguf(&file, file_bytes),
            Err(e) => assert!(!e.to_string().is_empty()),
        }
    }
}

fn check_gguf(file: &gguf::Gguf, file_bytes: u64) {
    let mut places: Vec<(u64, u64)> = file.tensors.iter().map(|t| (t.offset, t.offset + t.bytes)).collect();
    places.sort_unstable();
    assert!(places.windows(2).all(|two| two[0].1 <= two[1].0), "two tensors share bytes");
    assert!(places.iter().all(|place| file.data_at + place.1 <= file_bytes), "a tensor leaves the file");
    assert!(file.tensors.iter().all(|tensor| tensor.n_weights() > 0 && tensor.offset % file.alignment == 0));
    match gguf::check_model(file) {
        Ok(facts) => {
            assert!((1..=512).contains(&facts.n_layers) && facts.n_embd > 0 && facts.n_vocab > 0);
            assert!([1, facts.n_layers].contains(&(facts.n_heads.len() as u64)));
        }
        Err(e) => assert!(!e.to_string().is_empty()),
    }
    // What was read can be written, and is then read the same.
    let meta: Vec<(&str, gguf::Value)> = file.meta.iter().map(|(k, v)| (k.as_str(), v.clone())).collect();
    let tensors: Vec<gguf::NewTensor> = file
        .tensors
        .iter()
        .map(|t| gguf::NewTensor { name: t.name.clone(), kind: t.kind, dims: t.dims.clone() })
        .collect();
    let mut writer = gguf::Writer::new(Vec::new(), &meta, &tensors).expect("it was read");
    for tensor in &file.tensors {
        writer.write(&vec![0; tensor.bytes as usize]).expect("it is as long as it was");
    }
    let written = writer.finish().expect("all tensors are there");
    let again = gguf::Gguf::read(&mut &written[..], written.len() as u64).expect("we wrote it");
    // Floats by their bits: what is no number equals nothing.
    assert_eq!(format!("{:?}", again.meta), format!("{:?}", file.meta));
    let shape = |t: &gguf::Tensor| (t.name.clone(), t.kind, t.dims.clone(), t.bytes);
    assert!(again.tensors.iter().map(shape).eq(file.tensors.iter().map(shape)));
}

/// A model file: eight bytes of its length, then its heads and words. What lies between them need not be there.
pub fn whisper_model(bytes: &[u8]) {
    let Some((length, bytes)) = bytes.split_first_chunk::<8>() else { return };
    let file_bytes = u64::from_le_bytes(*length);
    let mut folded = Folded { bytes, n_passed: 0 };
    let read = whisper::check(&mut folded, file_bytes);
    assert!(folded.n_passed <= file_bytes, "it read behind the end");
    let model = match read {
        Ok(model) => model,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    assert_eq!((folded.n_passed, model.bytes), (file_bytes, file_bytes), "a part of the file was not judged");
    let shape = &model.shape;
    assert_eq!(model.filters.len(), shape.n_mels as usize * whisper::BINS);
    assert!(
        shape.n_state.is_multiple_of(shape.n_audio_head) && shape.n_state.is_multiple_of(shape.n_text_head)
    );
    assert!(shape.n_state.is_multiple_of(shape.weights.block.0), "ggml would abort");
    assert!(model.blank < shape.n_vocab);
    let mut n_bytes = 0;
    whisper::each_tensor(shape, |_, tensor| n_bytes += tensor.bytes());
    assert!(n_bytes < file_bytes, "the file is too small for its tensors");
}

/// A file whose long stretches, filters and weights, are left out: they read as zeros and are stepped over.
struct Folded<'a> {
    bytes: &'a [u8],
    n_passed: u64,
}

impl Read for Folded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        const LONG: usize = 4096;
        let n = if buffer.len() > LONG {
            buffer.fill(0);
            buffer.len()
        } else {
            self.bytes.read(buffer)?
        };
        self.n_passed += n as u64;
        Ok(n)
    }
}

impl Seek for Folded<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let SeekFrom::Current(n) = to else { panic!("a model is read from its start to its end") };
        self.n_passed += u64::try_from(n).expect("a model is never read backwards");
        Ok(self.n_passed)
    }
}

/// What a node that answers for a model may send: cut anywhere, it is handed on whole and unchanged.
pub fn gateway_stream(bytes: &[u8]) {
    let Some((cut, bytes)) = bytes.split_first() else { return };
    let (mut splitter, mut events) = (passing::Splitter::default(), Vec::new());
    let mut kept = record::Record::default();
    for part in bytes.chunks(usize::from(*cut) + 1) {
        if splitter.add(part).is_err() {
            assert!(bytes.len() > passing::EVENT_BYTES_MAX);
            return;
        }
        while let Some(event) = splitter.take() {
            assert!(event.ends_with(b"\n\n") || event.ends_with(b"\n\r\n"));
            passing::judge(&event);
            record::fault(&event);
            kept.take(event.clone());
            events.extend_from_slice(&event);
        }
    }
    assert!(bytes.starts_with(&events), "something was changed on its way");
    let _ = passing::usage(bytes);
    if let Some(begun) = kept.lost() {
        assert!(begun.shown.len() <= openai::handover::SHOWN_BYTES_MAX);
    }
}
