//! The status page: one HTML document with its style and script inside, from a [`Status`] and nothing else.
//!
//! It reads well without the scripts: they show one panel at a time, keep the numbers fresh from `/api/status`, and bring
//! what needs a key.
//! It deliberately loads nothing from anywhere: the policy in `page.csp` forbids it, and names style and script by
//! their hashes, so that nothing smuggled into a text could run.

mod cluster;
mod gateway;
mod html;
mod map;
mod models;
mod panels;
mod sections;
mod turns;
mod voice;
mod workflows;

use crate::cluster::facts;
use crate::facts::Status;
use html::Html;
pub use html::{bytes, duration};

const STYLE: &str = include_str!("page/page.css");
const VOICE: &str = include_str!("page/voice.js");
/// The scripts, in the order in which they run: what all share, the rail, then a panel each.
const SCRIPTS: [&str; 11] = [
    include_str!("page/base.js"),
    include_str!("page/tabs.js"),
    include_str!("page/fresh.js"),
    include_str!("page/chat.js"),
    VOICE,
    include_str!("page/memory.js"),
    include_str!("page/experts.js"),
    include_str!("page/timers.js"),
    include_str!("page/approvals.js"),
    include_str!("page/audio.js"),
    include_str!("page/log.js"),
];
/// What takes the sound of a browser's microphone: browsers want it from a place of its own.
pub const WORKLET: &str = include_str!("page/worklet.js");
pub const WORKLET_PATH: &str = "/worklet.js";
/// The content security policy; `UPDATE=1 cargo test -p agent` writes its hashes anew.
pub const POLICY: &str = include_str!("page/page.csp").trim_ascii_end();

const CLOSED: &str = "</h1>\n<p class=\"health\">Closed: log in under Talk to see more.</p>\n</header>\n";

pub fn render(status: &Status) -> String {
    document(&status.name, Some(status))
}

/// What whoever may not read is shown: the same page without its matter. The script brings that after a login.
pub fn closed(name: &str) -> String {
    document(name, None)
}

fn document(name: &str, status: Option<&Status>) -> String {
    let mut html = Html::default();
    html.raw("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    html.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    html.raw("<meta name=\"color-scheme\" content=\"light dark\">\n<link rel=\"icon\" href=\"data:,\">\n");
    html.raw("<title>").text(name).raw(" · duet</title>\n");
    html.raw("<style>").raw(STYLE).raw("</style>\n</head>\n");
    html.raw(if status.is_some() { "<body>\n" } else { "<body data-closed>\n" });
    html.raw("<a class=\"skip\" href=\"#main\">To the content</a>\n<div class=\"top\">\n<div data-fresh=\"head\">\n");
    match status {
        Some(status) => sections::head(&mut html, status),
        None => _ = html.raw("<header><h1><i class=\"lamp\"></i>").text(name).raw(CLOSED),
    }
    html.raw("</div>\n<p class=\"own\"><span id=\"who\"></span> <button type=\"button\" class=\"plain\" id=\"logout\" hidden>Log out</button>");
    html.raw(" <button type=\"button\" class=\"plain\" id=\"theme\" title=\"light or dark\">As the system</button></p>\n</div>\n");
    html.raw("<div class=\"frame\">\n");
    panels::rail(&mut html);
    html.raw("<main id=\"main\" tabindex=\"-1\">\n");
    panels(&mut html, status);
    html.raw("</main>\n</div>\n<footer>The same as <a href=\"/api/status\">JSON</a>, and <a href=\"/api/openapi.json\">how to ask</a>. ");
    html.raw(
        "<span id=\"lost\" role=\"status\" hidden>This node does not answer at the moment.</span></footer>\n",
    );
    for script in SCRIPTS {
        html.raw("<script>").raw(script).raw("</script>\n");
    }
    html.raw("</body>\n</html>\n");
    html.finish()
}

/// All of them, in the order of the rail; the script shows one at a time, and without it all are read.
fn panels(html: &mut Html, status: Option<&Status>) {
    panels::begin(html, "talk");
    voice::voice(html);
    panels::end(html);
    fresh(html, "turns", status, |html, status| turns::turns(html, &status.turns));
    fresh(html, "cluster", status, |html, status| {
        let mood = status.voice.as_ref().map(|voice| voice.mood).unwrap_or_default();
        cluster::cluster(html, &status.cluster, facts::mood(mood));
    });
    fresh(html, "models", status, |html, status| {
        models::models(html, status.spread.as_ref(), &status.quality);
    });
    still(html, "memory", panels::MEMORY, true);
    fresh(html, "workflows", status, |html, status| workflows::workflows(html, &status.workflows));
    still(html, "experts", panels::EXPERTS, false);
    still(html, "timers", panels::TIMERS, false);
    still(html, "approvals", panels::APPROVALS, true);
    panels::begin(html, "audio");
    html.raw(panels::LEVELS).raw(panels::DOOR);
    sections::end(html);
    voice::knobs(html, status.map_or(&[], |status| &status.sound_cards));
    panels::end(html);
    still(html, "log", panels::LOG, true);
    fresh(html, "pc", status, |html, status| {
        html.raw("<div class=\"columns\">\n");
        pc(html, status);
        html.raw("</div>\n");
    });
}

/// A panel whose matter this node writes; on a closed page it says how to open it.
fn fresh(html: &mut Html, id: &'static str, status: Option<&Status>, fill: impl FnOnce(&mut Html, &Status)) {
    panels::begin_fresh(html, id);
    match status {
        Some(status) => fill(html, status),
        None => _ = html.raw(panels::CLOSED),
    }
    panels::end(html);
}

/// A panel whose matter the script brings; `needs_key` where nobody sees it without one.
fn still(html: &mut Html, id: &'static str, markup: &'static str, needs_key: bool) {
    if !panels::offered().any(|(offered, _)| offered == id) {
        return;
    }
    panels::begin(html, id);
    html.raw(markup).raw(if needs_key { panels::DOOR } else { "" });
    sections::end(html);
    panels::end(html);
}

fn pc(html: &mut Html, status: &Status) {
    sections::memory(html, &status.memory);
    sections::network(html, &status.interfaces);
    sections::sound_and_keys(html, status);
    if let Some(hearing) = &status.hearing {
        sections::hearing(html, hearing);
    }
    gateway::gateway(html, &status.gateway);
    sections::units(html, &status.units);
    sections::boot(html, status.boot.as_ref());
    sections::machine(html, status);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::sound::SoundCard;
    use sha2::{Digest, Sha256};
    use std::io::Write;
    use std::process::{Command, Stdio};

    /// As in RFC 4648, section 4, for input whose length is 2 more than a multiple of 3, such as a hash.
    fn base64(hash: &[u8; 32]) -> String {
        const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = String::new();
        for chunk in hash.chunks(3) {
            let bits = chunk.iter().chain([&0]).take(3).fold(0usize, |bits, b| bits << 8 | usize::from(*b));
            text.extend((0..4).map(|i| LETTERS[bits >> (18 - 6 * i) & 63] as char));
        }
        text.pop();
        text + "="
    }

    fn policy() -> String {
        let hash = |text: &str| format!("'sha256-{}'", base64(&Sha256::digest(text).into()));
        let (style, scripts) = (hash(STYLE), SCRIPTS.map(hash).join(" "));
        // 'self' is for the worklet; nothing else of this node is called a script.
        format!(
            "default-src 'none'; style-src {style}; script-src {scripts} 'self'; connect-src 'self'; img-src data:; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
    }

    #[test]
    fn the_policy_names_style_and_script_by_their_hashes() {
        if std::env::var_os("UPDATE").is_some() {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/page/page.csp");
            std::fs::write(path, policy() + "\n").unwrap();
        } else {
            assert_eq!(POLICY, policy(), "run UPDATE=1 cargo test -p agent");
        }
    }

    #[test]
    fn a_name_from_outside_is_text_and_never_markup() {
        let evil = "<script>alert('1')</script>\"&";
        let card = SoundCard { name: evil.into(), id: evil.into(), ..SoundCard::default() };
        let page = render(&Status { name: evil.into(), sound_cards: vec![card], ..Status::default() });
        assert_eq!(page.matches("<script>").count(), SCRIPTS.len());
        assert!(page.contains("&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&quot;&amp;"));
    }

    #[test]
    fn the_gateways_keys_and_failures_are_shown() {
        let key = crate::gateway::keys::KeyStatus {
            name: "laptop".into(),
            voice: true,
            requests: 7,
            at_once: 1,
            tokens_today: 90,
        };
        let failures = vec!["calm at 10.0.0.7:8081: connection <refused>".to_owned()];
        let gateway = crate::gateway::meters::GatewayStatus {
            requests: 7,
            in_flight: 1,
            failed: 1,
            handovers: 1,
            keys: vec![key],
            failures,
        };
        let page = render(&Status { gateway, ..Status::default() });
        assert!(page.contains("<td>laptop</td><td>yes</td>") && page.contains("connection &lt;refused&gt;"));
        assert!(render(&Status::default()).contains("duet keys add NAME"));
    }

    #[test]
    fn a_browsers_microphone_hears_no_echo_and_its_page_tells_what_it_played() {
        assert!(VOICE.contains("const sound = { channelCount: 1, echoCancellation: true,"));
        assert!(VOICE.contains("getUserMedia({ audio: sound })"));
        assert!(
            VOICE.contains("tells_played: true") && VOICE.contains("own.send('played', { turn, clause })")
        );
    }

    #[test]
    fn the_page_says_which_key_talks_and_why_one_does_not() {
        let page = render(&Status::default());
        assert!(
            page.contains("<code>duet keys add NAME --voice</code>") && page.contains("id=\"voice-refused\"")
        );
        assert!(
            VOICE.contains("is for the models alone")
                && VOICE.contains("$('refused').textContent = error.message")
        );
    }

    #[test]
    fn style_and_script_cannot_end_their_elements() {
        assert!(SCRIPTS.iter().chain([&STYLE]).all(|text| !text.contains("</")));
    }

    /// What a slow wire carries, with scripts, style and the worklet.
    const GZIPPED_BYTES_MAX: usize = 60 * 1024;

    #[test]
    fn the_whole_page_has_less_than_60_kib_when_gzipped() {
        let whole = render(&Status::default()) + WORKLET;
        let mut gzip = Command::new("gzip")
            .args(["-9", "-c"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = gzip.stdin.take().unwrap();
        let writer = std::thread::spawn(move || stdin.write_all(whole.as_bytes()).map(|()| whole.len()));
        let packed = gzip.wait_with_output().unwrap().stdout.len();
        let n = writer.join().unwrap().unwrap();
        println!("the page has {n} bytes, {packed} when gzipped");
        assert!(packed > 1000 && packed < GZIPPED_BYTES_MAX, "{packed}");
    }

    #[test]
    fn a_closed_page_has_all_panels_and_tells_nothing_but_the_name() {
        let (page, open) = (closed("kit<chen"), render(&Status::default()));
        assert!(page.contains("<body data-closed>") && !open.contains("data-closed"));
        assert!(page.contains("kit&lt;chen</h1>") && !page.contains("data-live="));
        for (id, _) in panels::offered() {
            assert!(page.contains(&format!("<div class=\"panel\" id=\"{id}\"")), "{id}");
        }
        assert_eq!(page.matches(panels::CLOSED).count(), 5);
    }

    #[test]
    fn every_panel_is_on_the_rail_and_there_once() {
        let page = render(&Status::default());
        for (id, name) in panels::offered() {
            assert_eq!(page.matches(&format!("<div class=\"panel\" id=\"{id}\"")).count(), 1, "{id}");
            assert!(page.contains(&format!("<a href=\"#{id}\">{name} ")), "{id}");
        }
    }

    #[test]
    fn the_page_loads_nothing_from_elsewhere() {
        let page = render(&Status::default());
        assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("src="));
    }
}
