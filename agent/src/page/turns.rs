//! The last turns: a bar for each stage, all of a turn on one scale, the number beside it, and why it went so.

use super::html::Html;
use super::sections::{badge, end, none};
use crate::talk::shown::{Span, is_good, seconds, spans, when, why};
use crate::talk::trace::{Stage, Trace};

/// Places of a bar; how wide it is is the style's to say.
const PLACES: usize = 1000;

const LEGEND: &str = "<p class=\"quiet\">listen: until the key is up. hear: until the text is there. answer: until its \
first word. clause: until its first clause. voice: until the first sound. speak: until the last.</p>\n";

pub fn turns(html: &mut Html, turns: &[Trace]) {
    html.raw("<section class=\"wide\">\n<h2>Last turns</h2>\n");
    if turns.is_empty() {
        none(html, "Nobody has talked to this PC yet.");
    }
    for (idx, trace) in turns.iter().enumerate() {
        html.raw(if idx == 0 { "<details open>" } else { "<details>" });
        turn(html, trace);
        html.raw("</details>\n");
    }
    if !turns.is_empty() {
        html.raw(LEGEND);
    }
    end(html);
}

fn turn(html: &mut Html, trace: &Trace) {
    html.raw("<summary>").text(&when(trace.unix_s)).raw(" · ").text(&trace.whose);
    badge(html, if is_good(trace.outcome) { "good" } else { "bad" }, trace.outcome.as_str());
    if let Some(silence_ms) = trace.silence_ms {
        html.raw(" ").text(&seconds(silence_ms)).raw(" of silence");
    }
    html.raw("</summary>\n<table class=\"turn\"><caption class=\"aside\">How long each stage took</caption>");
    let (spans, whole_ms) = spans(trace);
    for span in spans {
        html.raw("<tr><th scope=\"row\">").raw(span.stage.as_str()).raw("</th><td>");
        bar(html, span, whole_ms);
        html.raw("</td><td>").text(&seconds(span.ms)).raw("</td></tr>");
    }
    html.raw("</table>\n");
    let why = why(trace).join("; ");
    if !why.is_empty() {
        html.raw("<p class=\"quiet\">").text(&why).raw("</p>\n");
    }
    for trouble in &trace.troubles {
        html.raw("<p class=\"failed\">").text(trouble).raw("</p>\n");
    }
}

/// The number beside it says the same, so nobody has it read.
fn bar(html: &mut Html, span: Span, whole_ms: f64) {
    let (from, n) = span.places(whole_ms, PLACES);
    let class = if matches!(span.stage, Stage::Listen | Stage::Speak) { "talks" } else { "waits" };
    html.raw("<svg viewBox=\"0 0 1000 10\" preserveAspectRatio=\"none\" aria-hidden=\"true\"><rect class=\"");
    html.raw(class).raw("\" x=\"").text(&from.to_string()).raw("\" width=\"").text(&n.to_string());
    html.raw("\" height=\"10\"></rect></svg>");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::talk::trace::example;

    #[test]
    fn what_went_wrong_in_a_turn_is_text_and_never_markup() {
        let mut html = Html::default();
        turns(&mut html, &[Trace { troubles: vec!["<b>no</b> model".into()], ..example() }]);
        let page = html.finish();
        assert!(page.contains("<p class=\"failed\">&lt;b&gt;no&lt;/b&gt; model</p>"), "{page}");
    }
}
