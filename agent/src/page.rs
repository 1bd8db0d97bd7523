//! The status page: one HTML document with its style and script inside, from a [`Status`] and nothing else.
//!
//! It reads well without the script; the script only keeps the numbers fresh from `/api/status`.
//! It deliberately loads nothing from anywhere: the policy in `page.csp` forbids it, and names style and script by
//! their hashes, so that nothing smuggled into a text could run.

mod cluster;
mod gateway;
mod html;
mod sections;
mod turns;
mod voice;
mod workflows;

use crate::facts::Status;
use html::Html;
pub use html::{bytes, duration};

const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");
const VOICE: &str = include_str!("page/voice.js");
/// What takes the sound of a browser's microphone: browsers want it from a place of its own.
pub const WORKLET: &str = include_str!("page/worklet.js");
pub const WORKLET_PATH: &str = "/worklet.js";
/// The content security policy; `UPDATE=1 cargo test -p agent` writes its hashes anew.
pub const POLICY: &str = include_str!("page/page.csp").trim_ascii_end();

pub fn render(status: &Status) -> String {
    let mut html = Html::default();
    html.raw("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    html.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    html.raw("<meta name=\"color-scheme\" content=\"light dark\">\n<link rel=\"icon\" href=\"data:,\">\n");
    html.raw("<title>").text(&status.name).raw(" · duet</title>\n");
    html.raw("<style>").raw(STYLE).raw("</style>\n</head>\n<body>\n");
    sections::head(&mut html, status);
    voice::voice(&mut html, &status.sound_cards);
    if status.voice.is_some() {
        turns::turns(&mut html, &status.turns);
        workflows::workflows(&mut html, &status.workflows);
    }
    cluster::cluster(&mut html, &status.cluster);
    html.raw("<main>\n");
    sections::memory(&mut html, &status.memory);
    sections::network(&mut html, &status.interfaces);
    sections::sound_and_keys(&mut html, status);
    if let Some(hearing) = &status.hearing {
        sections::hearing(&mut html, hearing);
    }
    gateway::gateway(&mut html, &status.gateway);
    sections::units(&mut html, &status.units);
    sections::boot(&mut html, status.boot.as_ref());
    sections::machine(&mut html, status);
    html.raw("</main>\n<footer>The same as <a href=\"/api/status\">JSON</a>. ");
    html.raw("<span id=\"lost\" hidden>This node does not answer at the moment.</span></footer>\n");
    html.raw("<script>").raw(SCRIPT).raw("</script>\n<script>");
    html.raw(VOICE).raw("</script>\n</body>\n</html>\n");
    html.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::sound::SoundCard;
    use sha2::{Digest, Sha256};

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
        let (style, script, voice) = (hash(STYLE), hash(SCRIPT), hash(VOICE));
        // 'self' is for the worklet; nothing else of this node is called a script.
        format!(
            "default-src 'none'; style-src {style}; script-src {script} {voice} 'self'; connect-src 'self'; img-src data:; \
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
        assert_eq!(page.matches("<script>").count(), 2);
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
        assert!(VOICE.contains("answer.status === 403") && VOICE.contains("$('refused').textContent = why"));
    }

    #[test]
    fn style_and_script_cannot_end_their_elements() {
        assert!([STYLE, SCRIPT, VOICE].iter().all(|text| !text.contains("</")));
    }

    #[test]
    fn the_page_loads_nothing_from_elsewhere() {
        let page = render(&Status::default());
        assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("src="));
    }
}
