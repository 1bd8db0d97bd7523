//! The status page, its JSON and its text, for the same fixed node: what a person sees changes only on purpose.

use admission::{NodeId, Quality, QualityFigure};
use agent::cluster::story::Happening;
use agent::cluster::{ClusterStatus, Phase, PlanStatus};
use agent::facts::Status;
use agent::io::node::Node;
use agent::keys::listening::KeysState;
use agent::serve::voicing::VoiceStatus;
use agent::sound::state::{SideState, SoundState};
use agent::speech::mouth::MouthFacts;
use agent::spreading::{SpreadFile, SpreadStatus};
use agent::talk::trace::{HearTrace, Outcome, Stage, Took, Trace};
use agent::{page, text};
use cluster::{Facts, Health, Service};
use gossip::{BadSender, Member, Picture, Traffic};
use tests::node::{Root, fixture_text, server, units};

fn status(name: &str, boot_toml: &str, reached: &str, units: String, worker_status: u16) -> Status {
    let root = Root::new(name, boot_toml, units);
    if !reached.is_empty() {
        root.put("run/duet/multi-user", reached);
    }
    let worker = server(move |_| worker_status).to_string();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut status = runtime.block_on(Node::new(root.path().to_path_buf(), &worker).status());
    // A release of the agent changes nothing that these files are about.
    status.system.agent_version = "0.0.0".into();
    status
}

/// Compares without style and scripts: they are files of their own, and the page's policy holds their hashes.
fn golden_page(name: &str, status: &Status) {
    let page = page::render(status);
    let page = without(&without(&page, "style"), "script");
    tests::golden(name, &page);
}

/// The page with `[NAME]` in the place of what each such element holds.
fn without(page: &str, name: &str) -> String {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let mut parts = page.split(&open);
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (_, rest) = part.split_once(&close).expect("an element that is opened is closed");
        text += &format!("{open}[{name}]{close}{rest}");
    }
    text
}

fn healthy(name: &str) -> Status {
    status(name, &fixture_text("run/duet/boot.toml"), &fixture_text("run/duet/multi-user"), units(), 200)
}

#[test]
fn the_page_of_a_healthy_node_stays_as_it_is() {
    golden_page("status/healthy.html", &healthy("page"));
}

#[test]
fn the_json_of_a_healthy_node_stays_as_it_is() {
    let json = serde_json::to_string_pretty(&healthy("json")).unwrap() + "\n";
    tests::golden("status/healthy.json", &json);
}

#[test]
fn the_text_of_a_healthy_node_stays_as_it_is() {
    tests::golden("status/healthy.txt", &text::render(&healthy("text"), 8000));
}

#[test]
fn the_page_of_a_failed_node_says_what_failed() {
    let failed = units().replace("Result=success\nNRestarts=1", "Result=oom-kill\nNRestarts=9");
    let failed = failed.replacen(
        "ActiveState=active\nSubState=running\n\nResult=success\nId=duet-reached",
        "ActiveState=failed\nSubState=failed\n\nResult=success\nId=duet-reached",
        1,
    );
    let boot = fixture_text("run/duet/boot.toml");
    let status = status("failed", &boot, "9340 45690000000", failed, 200);
    assert!(page::render(&status).contains("rpc-worker.service failed: memory ran out"));
    golden_page("status/failed.html", &status);
}

#[test]
fn a_node_whose_worker_is_silent_is_still_starting() {
    let boot = fixture_text("run/duet/boot.toml");
    let health = status("silent", &boot, "9340 1", units(), 503).health;
    assert_eq!(health.sentence, "rpc-worker does not answer yet");
}

#[test]
fn a_boot_toml_that_is_garbage_leaves_the_rest_of_the_page() {
    let status = status("garbage", "\u{0}release = [[[", "x", units(), 200);
    assert_eq!((status.boot, status.name.as_str()), (None, "kitchen"));
}

/// A node among others: one is well, one down, one without a certificate, and the boot server watches.
fn in_a_cluster(name: &str) -> Status {
    let member = |n: u8, name: &str, standing: &'static str| {
        let service = |name: &str| Service {
            name: name.into(),
            port: 8081,
            health: Health::Passing,
            busy: 0,
            slots: 1,
        };
        let mut facts = Facts { name: name.into(), ..Facts::default() };
        facts.hardware.processor = "Intel(R) Core(TM)2 Duo CPU E8400 @ 3.00GHz".into();
        (facts.hardware.isa, facts.hardware.ram_mb, facts.hardware.ram_free_mb) = (15, 3950, 3648);
        facts.services = vec![service("agent"), service("rpc-worker")];
        Member {
            id: NodeId(u64::from(n)),
            is_self: n == 1,
            role: "node",
            name: name.into(),
            address: format!("10.77.0.1{n}:7947").parse().expect("an address"),
            overlay: None,
            standing,
            for_s: 754,
            heard_s: (n != 1).then_some(u64::from(n)),
            sees: Some((3, if n == 2 { 8 } else { 7 })),
            facts: (!name.is_empty()).then_some(facts),
            unread: None,
            doubted: Vec::new(),
            certificate: None,
        }
    };
    let mut server = Member { role: "server", ..member(5, "shelf", "alive") };
    server.facts = Some(Facts { name: "shelf".into(), ..Facts::default() });
    let mut kitchen = member(2, "office <2>", "alive");
    kitchen.doubted = vec!["rpc-worker".into()];
    let picture = Picture {
        own: NodeId(1),
        ring: 2,
        n_alive: 3,
        agreement: 7,
        members: vec![
            member(1, "kitchen", "alive"),
            kitchen,
            member(3, "cellar", "down"),
            member(4, "", "uncertified"),
            server,
        ],
        traffic: Traffic { sent: 120, sent_bytes: 30_000, received: 118, received_bytes: 29_000 },
        refused: vec![("malformed", 2), ("sealed with no key of ours", 40)],
        senders: vec![BadSender { address: [10, 77, 0, 99].into(), n: 42, last_s: 3 }],
    };
    let plan = PlanStatus {
        n_made: 4,
        generation: 7,
        coordinator_id: 1,
        coordinator: "kitchen".into(),
        is_coordinator: true,
        holds: vec!["calm".into(), "large 0..12".into()],
        reasons: vec!["calm lives whole on kitchen: 16.5 tokens/s, measured there, 539 MiB; it stays".into()],
    };
    let happening = |number, at_s, kind, sentence: &str| Happening {
        number,
        at_s,
        kind,
        node: None,
        sentence: sentence.into(),
    };
    let happenings = vec![
        happening(1, 3, "joined", "office <2> joined"),
        happening(2, 5, "joined", "cellar joined"),
        happening(3, 6758, "down", "cellar is down"),
    ];
    Status {
        cluster: ClusterStatus { phase: Phase::Member, picture: Some(picture), happenings, plan },
        ..healthy(name)
    }
}

#[test]
fn the_page_of_a_node_in_a_cluster_stays_as_it_is() {
    golden_page("status/cluster.html", &in_a_cluster("cluster-page"));
}

#[test]
fn the_json_and_the_text_of_a_cluster_stay_as_they_are() {
    let status = in_a_cluster("cluster-json");
    let json = serde_json::to_string_pretty(&status.cluster).unwrap() + "\n";
    tests::golden("status/cluster.json", &json);
    tests::golden("status/cluster.txt", &text::render(&status, 8000));
}

#[test]
fn a_node_that_waits_for_the_owner_shows_its_code() {
    let phase = Phase::Waiting { code: "123 456".into() };
    let status =
        Status { cluster: ClusterStatus { phase, ..ClusterStatus::default() }, ..healthy("waiting") };
    assert!(page::render(&status).contains("<p class=\"figure\">123 456</p>"));
    assert!(text::render(&status, 8000).contains("code 123 456: the owner must let this node in"));
}

/// A node with one ear and one mouth, and two turns: one answered, one for which there was no model.
fn talked(name: &str) -> Status {
    let side = |device: &str| SideState {
        device: Some(device.into()),
        card: Some("USB <PnP> Sound Device".into()),
        rate: 48_000,
        channels: 2,
        ..SideState::default()
    };
    let speaker = SideState { reason: Some("the device is busy".into()), ..SideState::default() };
    let voice = VoiceStatus {
        sound: SoundState { microphone: side("plughw:1,0"), speaker },
        keys: KeysState { devices: vec!["event3: USB Keyboard".into()], ..KeysState::default() },
        mouth: MouthFacts {
            engine: Some("espeak-ng"),
            voice: Some("en".into()),
            n_clauses: 3,
            ..MouthFacts::default()
        },
        ..VoiceStatus::default()
    };
    let took = |ms: &[f64]| -> Vec<Took> {
        Stage::ALL.into_iter().zip(ms).map(|(stage, ms)| Took { stage, ms: *ms }).collect()
    };
    let heard = HearTrace {
        elsewhere: Some("attic".into()),
        is_guess: false,
        sound_ms: 2100,
        waited_ms: 0.0,
        worked_ms: 640.0,
        cpu_ms: 610.0,
        audio_ctx: 160,
        was_doubted: false,
    };
    let answered = Trace {
        talk: 1,
        whose: "this PC".into(),
        turn: 2,
        unix_s: 1_774_746_000,
        outcome: Outcome::Answered,
        took: took(&[2100.0, 640.0, 410.0, 220.0, 35.0, 3900.0]),
        silence_ms: Some(1305.0),
        recorded_ms: 2100,
        is_guessed: false,
        has_interrupted: false,
        n_clauses: 3,
        answer_bytes: 140,
        heard: vec![heard],
        by: vec!["local on attic (fastest)".into()],
        troubles: vec![],
        steps: vec![],
        said: None,
        answer: None,
    };
    let failed = Trace {
        turn: 1,
        outcome: Outcome::NoAnswer,
        took: took(&[1500.0, 700.0, 20.0]),
        silence_ms: None,
        heard: vec![],
        by: vec![],
        troubles: vec!["nobody serves a model <yet>".into()],
        ..answered.clone()
    };
    Status { voice: Some(voice), turns: vec![answered, failed], ..healthy(name) }
}

#[test]
fn the_page_and_the_text_of_a_node_that_talked_stay_as_they_are() {
    let status = talked("talked");
    golden_page("status/talked.html", &status);
    tests::golden("status/talked.txt", &text::render(&status, 8000));
}

/// A node with models here, on the way, refused and waiting, whose cluster was measured but for one figure.
fn with_models(name: &str) -> Status {
    let file = |file: &str, mb: u64, have_mb: u64| SpreadFile {
        file: file.into(),
        bytes: mb << 20,
        have_bytes: have_mb << 20,
        ..SpreadFile::default()
    };
    let from = vec![("boot server".to_owned(), 2), ("attic <2>".to_owned(), 31)];
    let files = vec![
        SpreadFile {
            is_here: true,
            from: from.clone(),
            bytes_per_s: 61 << 20,
            ..file("duet-ear-q8_0.bin", 9, 9)
        },
        SpreadFile { from, bytes_per_s: 11 << 20, ..file("calm-Q4_0.gguf", 200, 125) },
        SpreadFile {
            sentence: "large-Q4_0.gguf has no <room>: 540 MB are missing".into(),
            dropped: vec!["cellar".into()],
            ..file("large-Q4_0.gguf", 2048, 0)
        },
        file("all-MiniLM-L6-v2-q8_0.gguf", 24, 0),
    ];
    let quality = Quality {
        measured_unix_s: Some(1_774_746_000),
        wer_synthetic: QualityFigure::new("duet-ear-q8_0.bin", 0.2274, 277),
        tool_call_exact: QualityFigure::new("duet-calls <b>.gguf", 0.98, 200),
        routing_accuracy: QualityFigure::new("words", 0.837, 129),
        recall_at_5: QualityFigure::new("all-MiniLM-L6-v2-q8_0.gguf", 0.667, 72),
        ..Quality::default()
    };
    Status { spread: Some(SpreadStatus { catalogue: 7, files }), quality, ..healthy(name) }
}

/// The browser of `mission.rs` shows these two, so that it sees both sections full.
#[test]
fn the_page_the_json_and_the_text_of_a_node_with_models_stay_as_they_are() {
    let status = with_models("models");
    golden_page("status/models.html", &status);
    tests::golden("status/models.json", &(serde_json::to_string_pretty(&status).unwrap() + "\n"));
    tests::golden("status/models.txt", &text::render(&status, 8000));
}

/// `duet demo` reads turns and calls as a node tells them; neither may drift.
#[test]
fn the_demo_reads_a_turn_and_a_call_as_a_node_tells_them() {
    let answered = &talked("demo").turns[0];
    let told = serde_json::to_value(Trace { said: Some("how late".into()), ..answered.clone() }).unwrap();
    let call = tools::AuditRecord {
        number: 1,
        at_s: 1,
        tool: "status".into(),
        arguments: "{}".into(),
        asker: "this PC".into(),
        outcome: tools::Outcome::Done,
        why: String::new(),
        by: None,
        took_ms: None,
        output: None,
    };
    let call = serde_json::from_value(serde_json::to_value(call).unwrap()).unwrap();
    let turn = image::vm::person::read(&told, "pc1", "how late", Some(call)).unwrap();
    assert_eq!((turn.heard.as_str(), turn.outcome.as_str()), ("how late", "answered"));
    assert_eq!(turn.by, answered.by);
    assert_eq!(turn.stages.len(), answered.took.len());
    assert_eq!(turn.tool.unwrap().outcome, "done");
}
