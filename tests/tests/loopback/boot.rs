//! A PC's boot as the server sees it: script, files, reports, the gate, settings that change.

use crate::lab::{Lab, NEW, OLD, wait};

const FILES_ONLY: &str = "--dhcp off --ra off";
const MAC: &str = "52:54:00:99:00:02";
const SCRIPT: &str = "/boot/52-54-00-99-00-02.ipxe";

/// Fetches the script; gives back the attempt and the release in it.
fn begin(lab: &Lab) -> (u64, String) {
    let script = String::from_utf8(lab.get(SCRIPT, "").body).expect("text");
    let word = |name: &str| {
        let found = script.split_whitespace().find_map(|word| word.strip_prefix(name));
        found.unwrap_or_else(|| panic!("no {name} in:\n{script}")).to_owned()
    };
    (word("duet.attempt=").parse().expect("a number"), word("duet.release="))
}

fn fetch(lab: &Lab, release: &str) {
    for file in ["vmlinuz", "initrd", "root.squashfs"] {
        assert_eq!(lab.get(&format!("/releases/{release}/{file}"), "").status, 200);
    }
}

fn report(lab: &Lab, attempt: u64, release: &str, stage: &str) -> u16 {
    let body = format!(
        r#"{{"mac":"{MAC}","attempt":{attempt},"release":"{release}","stage":"{stage}","sentence":"<b>","clock":7}}"#
    );
    post(lab, &body)
}

fn post(lab: &Lab, body: &str) -> u16 {
    let head =
        format!("POST /v1/boot/report HTTP/1.1\r\nHost: 10.99.0.1\r\nContent-Length: {}\r\n\r\n", body.len());
    lab.exchange((head + body).as_bytes()).status
}

#[test]
fn a_boot_is_followed_from_script_to_healthy() {
    let Some(mut lab) = Lab::new("boot") else { return };
    lab.start(FILES_ONLY);
    let chain = String::from_utf8(lab.get("/boot.ipxe", "").body).expect("text");
    assert!(chain.starts_with("#!ipxe") && chain.contains("/boot/${netX/mac:hexhyp}.ipxe"), "{chain}");
    let (attempt, release) = begin(&lab);
    assert_eq!((attempt, release.as_str()), (1, NEW));
    fetch(&lab, NEW);
    for stage in ["root-ready", "booted", "healthy"] {
        assert_eq!(report(&lab, 1, NEW, stage), 204, "{stage}");
    }
    let pc = &lab.pcs()["pcs"][0];
    assert_eq!(
        (&pc["mac"], &pc["name"], &pc["state"]),
        (&MAC.into(), &"duet-990002".into(), &"healthy".into())
    );
    assert_eq!(pc["stages"][5]["bytes"], 300_000);
    lab.wait_log(r#""event":"reached""#);
}

#[test]
fn a_report_counts_only_for_the_attempt_it_belongs_to() {
    let Some(mut lab) = Lab::new("report") else { return };
    lab.start(FILES_ONLY);
    assert_eq!(report(&lab, 1, NEW, "healthy"), 409);
    begin(&lab);
    begin(&lab);
    assert_eq!((report(&lab, 1, NEW, "healthy"), report(&lab, 2, OLD, "healthy")), (409, 409));
    assert_eq!((report(&lab, 2, NEW, "asleep"), post(&lab, "{}"), post(&lab, "")), (400, 400, 400));
    assert_eq!(post(&lab, &"x".repeat(5_000)), 413);
    assert_eq!(report(&lab, 2, NEW, "failed"), 204);
    assert_eq!(
        (&lab.pcs()["pcs"][0]["state"], &lab.pcs()["pcs"][0]["sentence"]),
        (&"failed".into(), &"<b>".into())
    );
    let page = String::from_utf8(lab.get("/", "").body).expect("text");
    assert!(page.contains("&lt;b&gt;") && !page.contains("<p class=\"now\"><b>"));
}

#[test]
fn strangers_and_web_pages_cannot_count_against_a_pc() {
    let Some(mut lab) = Lab::new("strangers") else { return };
    lab.start(FILES_ONLY);
    begin(&lab);
    for field in
        ["Origin: http://evil.example\r\n", "Sec-Fetch-Site: cross-site\r\n", "Host: evil.example\r\n"]
    {
        assert_eq!(lab.get(SCRIPT, field).status, 403, "{field}");
    }
    // The kernel knows whose address this is, so a script for another card is not counted.
    let other = String::from_utf8(lab.get("/boot/52-54-00-99-00-03.ipxe", "").body).expect("text");
    assert!(other.contains("duet.attempt=0 "), "{other}");
    let last = ["Range: bytes=-1\r\n", "Range: bytes=-1\r\n"];
    for range in last {
        begin(&lab);
        assert_eq!(lab.get(&format!("/releases/{NEW}/root.squashfs"), range).status, 206);
    }
    assert_eq!(begin(&lab), (4, NEW.to_owned()));
    assert_eq!(lab.pcs()["pcs"].as_array().map(Vec::len), Some(1));
}

#[test]
fn two_boots_that_never_get_healthy_bring_the_release_before_even_after_a_restart() {
    let Some(mut lab) = Lab::new("gate") else { return };
    lab.start(FILES_ONLY);
    for _ in 0..2 {
        assert_eq!(begin(&lab).1, NEW);
        fetch(&lab, NEW);
    }
    lab.stop();
    lab.start(FILES_ONLY);
    let (attempt, release) = begin(&lab);
    assert_eq!((attempt, release.as_str()), (3, OLD));
    let reason = lab.pcs()["pcs"][0]["reason"].to_string();
    assert!(reason.contains("was fetched 2 times and never healthy"), "{reason}");
    lab.add_release("trixie-00000000000d", b"root");
    wait(
        || (begin(&lab).1 == "trixie-00000000000d").then_some(()),
        || "the promotion was not taken up".to_owned(),
    );
}

#[test]
fn settings_take_effect_while_the_server_runs_and_a_mistake_changes_nothing() {
    let Some(mut lab) = Lab::new("settings") else { return };
    lab.start(FILES_ONLY);
    let path = lab.out.join("state/duet.toml");
    assert!(std::fs::read_to_string(&path).expect("a template").starts_with("# duet.toml"));
    let script = || String::from_utf8(lab.get(SCRIPT, "").body).expect("text");
    let set = |text: &str| std::fs::write(&path, format!("[pc.\"{MAC}\"]\n{text}\n")).expect("settings");
    set(&format!("name = \"kitchen\"\nmode = \"wrap\"\nrelease = \"{OLD}\"\nwords = \"loglevel=7\""));
    let pinned =
        wait(|| Some(script()).filter(|s| s.contains("kitchen")), || "the settings were not read".to_owned());
    for want in ["systemd.hostname=kitchen", "loglevel=7", "/root.squashfs mode=444", OLD] {
        assert!(pinned.contains(want), "{want} is not in:\n{pinned}");
    }
    set("name = \"cellar\"\nmodus = \"net\"");
    let note = wait(|| lab.pcs()["server"]["notes"][0].as_str().map(str::to_owned), || "no note".to_owned());
    assert!(note.contains("duet.toml, line 3: unknown field `modus`"), "{note}");
    assert!(script().contains("systemd.hostname=kitchen"));
    set("boot = \"local\"");
    wait(|| script().contains("sanboot").then_some(()), || "no local boot".to_owned());
    set("block = true");
    wait(|| script().contains("blocked in duet.toml").then_some(()), || "no block".to_owned());
}

#[test]
fn a_release_with_a_wrong_signature_is_never_offered() {
    let Some(mut lab) = Lab::new("forged") else { return };
    std::fs::write(lab.out.join("releases").join(NEW).join("manifest.sig"), "0".repeat(128) + "\n")
        .expect("a file");
    lab.start(FILES_ONLY);
    assert_eq!(begin(&lab).1, OLD);
    assert_eq!(lab.get(&format!("/releases/{NEW}/vmlinuz"), "").status, 404);
    let notes = lab.pcs()["server"]["notes"].to_string();
    assert!(notes.contains("is not offered: the signature"), "{notes}");
}

#[test]
fn a_damaged_state_is_kept_aside_and_the_server_starts() {
    let Some(mut lab) = Lab::new("damaged") else { return };
    std::fs::create_dir_all(lab.out.join("state")).expect("a folder");
    std::fs::write(lab.out.join("state/pcs.json"), "{\"format\":").expect("a file");
    lab.start(FILES_ONLY);
    lab.wait_log("is damaged");
    assert_eq!(begin(&lab).0, 1);
    assert!(lab.out.join("state/pcs.json.damaged").exists());
}
