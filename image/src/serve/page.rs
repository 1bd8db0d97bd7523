//! The page at `/`: one self-contained HTML text, drawn from a snapshot.
//!
//! Pure. Everything that came from outside is escaped; the policy lets the browser run only our own script.

use super::text;
use super::view::{PcView, Server, Snapshot, StageView, State};
use sha2::{Digest, Sha256};
use std::fmt::Write;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E\
%3Ccircle cx='5.5' cy='8' r='4' fill='%231f6feb'/%3E%3Ccircle cx='10.5' cy='8' r='4' fill='%231a7f4b' \
fill-opacity='.8'/%3E%3C/svg%3E";

/// Nothing is loaded from anywhere, and only the script and the style in this page are run.
pub fn content_policy() -> String {
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        base64(&Sha256::digest(STYLE)),
        base64(&Sha256::digest(SCRIPT))
    )
}

pub fn html(snapshot: &Snapshot) -> String {
    let n_healthy = snapshot.pcs.iter().filter(|pc| pc.state == State::Healthy).count();
    let title = match snapshot.pcs.len() {
        0 => "duet".to_owned(),
        n => format!("duet: {n_healthy} of {n} healthy"),
    };
    let version = snapshot.version;
    let main = main_html(snapshot);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <link rel=\"icon\" href=\"{ICON}\">\n<style>{STYLE}</style>\n</head>\n<body data-version=\"{version}\">\n\
         <div id=\"off\" hidden>The boot server does not answer. This page shows what was last known.</div>\n\
         {main}<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )
}

fn main_html(snapshot: &Snapshot) -> String {
    let mut html = String::from("<main>\n");
    head(&mut html, snapshot);
    notes(&mut html, &snapshot.server.notes);
    if snapshot.pcs.is_empty() {
        html.push_str(
            "<div class=\"empty\"><b>No PC has asked yet</b>\
             Switch one on and let it boot from the network: it appears here by itself.</div>\n",
        );
    }
    for pc in &snapshot.pcs {
        card(&mut html, pc);
    }
    let up = text::duration((snapshot.server.up_s * 1000.0) as u64);
    add(
        &mut html,
        format_args!("<footer>Serving for {up}. The same as data: <code>/api/pcs</code></footer>\n</main>\n"),
    );
    html
}

fn head(html: &mut String, snapshot: &Snapshot) {
    let Server { interface, dhcp, release, fallback, .. } = &snapshot.server;
    let name = |release: &Option<String>| release.as_deref().map_or_else(|| "none".to_owned(), escape);
    add(
        html,
        format_args!("<header>\n<div><h1>du<i>et</i></h1><p>{}</p></div>\n<dl>\n", summary(&snapshot.pcs)),
    );
    fact(html, "PCs get", &format!("<code>{}</code>", name(release)));
    if fallback.is_some() {
        fact(html, "they fall back to", &format!("<code>{}</code>", name(fallback)));
    }
    fact(html, "network", &format!("{}, DHCP {dhcp}", escape(interface)));
    html.push_str("</dl>\n</header>\n");
}

fn fact(html: &mut String, term: &str, value: &str) {
    add(html, format_args!("<div><dt>{term}</dt><dd>{value}</dd></div>\n"));
}

/// `6 PCs: 1 failed, 3 booting, 1 healthy, 1 known`.
fn summary(pcs: &[PcView]) -> String {
    let words = [State::Failed, State::Silent, State::Booting, State::Healthy, State::Known].map(|state| {
        let n = pcs.iter().filter(|pc| pc.state == state).count();
        (n > 0).then(|| format!("{n} {}", state_name(state)))
    });
    let words: Vec<String> = words.into_iter().flatten().collect();
    let colon = if words.is_empty() { "" } else { ": " };
    let plural = if pcs.len() == 1 { "" } else { "s" };
    format!("{} PC{plural}{colon}{}", pcs.len(), words.join(", "))
}

fn notes(html: &mut String, notes: &[String]) {
    if notes.is_empty() {
        return;
    }
    html.push_str("<ul class=\"notes\">\n");
    for note in notes {
        add(html, format_args!("<li>{}</li>\n", escape(note)));
    }
    html.push_str("</ul>\n");
}

fn card(html: &mut String, pc: &PcView) {
    let id = pc.mac.replace(':', "-");
    let state = state_name(pc.state);
    add(
        html,
        format_args!(
            "<article class=\"{state}\" id=\"pc-{id}\">\n<div class=\"top\"><h2>{}</h2>",
            escape(&pc.name)
        ),
    );
    let who: Vec<String> = [Some(&pc.mac), pc.address.as_ref(), pc.firmware.as_ref()]
        .into_iter()
        .flatten()
        .map(|text| escape(text))
        .collect();
    add(html, format_args!("<span class=\"who\">{}</span>", who.join(" · ")));
    if let Some(gossip) = &pc.gossip {
        let alive = if gossip.is_alive() { "in" } else { "out" };
        let overlay = gossip.overlay.map(|address| format!(" · <code>{address}</code>")).unwrap_or_default();
        add(
            html,
            format_args!("<span class=\"gossip {alive}\">{} in the cluster{overlay}</span>", gossip.standing),
        );
    }
    if let Some(release) = &pc.release {
        let attempt = pc.attempt.map(|n| format!(" · attempt {n}")).unwrap_or_default();
        add(html, format_args!("<span class=\"order\"><code>{}</code>{attempt}</span>", escape(release)));
    }
    add(html, format_args!("</div>\n<p class=\"now\">{}</p>\n", escape(&pc.line)));
    if let Some(reason) = &pc.reason {
        add(html, format_args!("<p class=\"why\">{}</p>\n", escape(reason)));
    }
    if pc.stage.is_some() {
        html.push_str("<ol>\n");
        pc.stages.iter().for_each(|stage| stage_html(html, stage, pc));
        html.push_str("</ol>\n");
    }
    html.push_str("</article>\n");
}

fn stage_html(html: &mut String, view: &StageView, pc: &PcView) {
    let (name, passed) = (view.stage.name(), pc.stage > Some(view.stage));
    let Some(at_s) = view.at_s else {
        // A PC whose card is iPXE itself has no first stage, and in wrap mode nothing tells when the root is ready.
        let value = u8::from(passed);
        add(
            html,
            format_args!(
                "<li class=\"not\"><progress value=\"{value}\" max=\"1\"></progress><b>{name}</b></li>\n"
            ),
        );
        return;
    };
    let (value, max) = if view.of > 0 { (view.bytes, view.of) } else { (1, 1) };
    let at =
        if at_s == 0.0 { "0 s".to_owned() } else { format!("+{}", text::duration((at_s * 1000.0) as u64)) };
    add(
        html,
        format_args!(
            "<li><progress value=\"{value}\" max=\"{max}\"></progress><b>{name}</b><span>{at}</span>"
        ),
    );
    if view.of > 0 {
        match view.took_s {
            Some(took_s) => {
                let took = text::duration((took_s * 1000.0) as u64);
                add(html, format_args!("<span><i>{}</i> <i>in {took}</i></span>", text::bytes(view.bytes)));
            }
            None => add(
                html,
                format_args!(
                    "<span><i>{}</i></span>",
                    text::part(view.bytes, view.of).replace(" of", "</i> <i>of")
                ),
            ),
        }
    }
    html.push_str("</li>\n");
}

fn state_name(state: State) -> &'static str {
    match state {
        State::Known => "known",
        State::Booting => "booting",
        State::Healthy => "healthy",
        State::Failed => "failed",
        State::Silent => "silent",
    }
}

fn add(html: &mut String, text: std::fmt::Arguments<'_>) {
    html.write_fmt(text).expect("a String takes everything");
}

/// The text with everything that means something to HTML written out.
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

/// RFC 4648 section 4, with padding.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits =
            three.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for idx in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * idx) & 63) as usize];
            text.push(if idx <= three.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::example;

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (bytes, want) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(bytes.as_bytes()), want);
        }
    }

    #[test]
    fn a_sentence_with_markup_stays_text() {
        let html = html(&example::snapshot());
        assert!(html.contains("&lt;b&gt;hash&lt;/b&gt;") && !html.contains("<b>hash"));
    }

    #[test]
    fn the_style_and_script_do_not_end_early() {
        // A closing tag inside would cut them off, and the policy's hashes would not fit.
        assert!(!STYLE.contains("</") && !SCRIPT.contains("</"));
    }

    #[test]
    fn the_page_names_no_other_place() {
        let html = html(&example::snapshot());
        let outside = html.replace(ICON, "");
        assert!(
            !outside.contains("src=") && !outside.contains("@import") && !outside.contains("url("),
            "{outside}"
        );
    }
}
