//! The status page, its JSON and its text, for the same fixed node: what a person sees changes only on purpose.

use agent::facts::Status;
use agent::io::node::Node;
use agent::{page, text};
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

fn healthy(name: &str) -> Status {
    status(name, &fixture_text("run/duet/boot.toml"), &fixture_text("run/duet/multi-user"), units(), 200)
}

#[test]
fn the_page_of_a_healthy_node_stays_as_it_is() {
    tests::golden("status/healthy.html", &page::render(&healthy("page")));
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
    let page = page::render(&status("failed", &boot, "9340 45690000000", failed, 200));
    assert!(page.contains("rpc-worker.service failed: memory ran out"));
    tests::golden("status/failed.html", &page);
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
