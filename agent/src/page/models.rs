//! The models of this node: how far each is on its way here, and how good the cluster's were measured to be.

use super::html::{Html, bytes};
use super::sections::{badge, begin_wide, end, none};
use crate::spreading::{SpreadFile, SpreadStatus};
use crate::talk::shown::when;
use admission::{Quality, QualityFigure};

/// Files on the page; the JSON has all.
const FILES_MAX: usize = 64;
/// What measures the figures, on the boot server; clips of real persons lie in a folder of the owner's.
const BENCH: &str = "duet bench models";
const BENCH_SPEECH: &str = "duet bench models --speech FOLDER";

pub fn models(html: &mut Html, spread: Option<&SpreadStatus>, quality: &Quality) {
    begin_wide(html, "Models of this PC");
    match spread {
        None => none(html, "No models travel to this PC, because no agent serves here."),
        Some(spread) if spread.catalogue == 0 => {
            none(html, "No boot server has said yet which models there are.");
        }
        Some(spread) if spread.files.is_empty() => {
            html.raw("<p class=\"quiet\">Nothing on the boot server's shelf is for this PC. ");
            html.raw("<code>duet models list</code> there shows what there is.</p>\n");
        }
        Some(spread) => files(html, &spread.files),
    }
    end(html);
    begin_wide(html, "Quality of the models");
    figures(html, quality);
    end(html);
}

fn files(html: &mut Html, files: &[SpreadFile]) {
    let n_here = files.iter().filter(|file| file.is_here).count();
    html.raw("<p class=\"figure\">").text(&n_here.to_string()).raw(" <small>of ");
    html.text(&files.len().to_string()).raw(" here</small></p>\n<ul class=\"models\">\n");
    for (idx, file) in files.iter().enumerate().take(FILES_MAX) {
        html.raw("<li><strong>").text(&file.file).raw("</strong> <span class=\"quiet\">");
        html.text(&bytes(file.bytes)).raw("</span>");
        let (class, word) = state(file);
        badge(html, class, word);
        if is_coming(file) {
            coming(html, idx, file);
        }
        from(html, idx, file);
        if !file.is_here && !file.sentence.is_empty() {
            html.raw("<p class=\"failed\">").text(&file.sentence).raw("</p>");
        }
        if !file.dropped.is_empty() {
            html.raw("<p class=\"failed\">Sent wrong bytes and is not asked again: ");
            html.text(&file.dropped.join(", ")).raw("</p>");
        }
        html.raw("</li>\n");
    }
    html.raw("</ul>\n");
}

fn is_coming(file: &SpreadFile) -> bool {
    !file.is_here && file.have_bytes > 0
}

fn state(file: &SpreadFile) -> (&'static str, &'static str) {
    match file {
        _ if file.is_here => ("good", "here"),
        _ if is_coming(file) => ("wait", "on the way"),
        _ if !file.sentence.is_empty() => ("bad", "refused"),
        _ => ("plain", "waits"),
    }
}

/// What has come; `fresh.js` works the percent out in the same way.
fn coming(html: &mut Html, idx: usize, file: &SpreadFile) {
    let percent = u128::from(file.have_bytes) * 100 / u128::from(file.bytes.max(1));
    html.raw(" ").live(&format!("spread.files.{idx}"), "share", &format!("{} %", percent.min(99)));
    html.raw("<progress aria-label=\"").text(&file.file).raw("\" data-live=\"");
    html.text(&format!("spread.files.{idx}.have_bytes")).raw("\" data-form=\"value\" max=\"");
    html.text(&file.bytes.max(1).to_string()).raw("\" value=\"").text(&file.have_bytes.to_string());
    html.raw("\"></progress>");
}

/// Of the last fetch.
fn from(html: &mut Html, idx: usize, file: &SpreadFile) {
    if file.from.is_empty() {
        return;
    }
    html.raw("<p class=\"quiet\">Chunks from ");
    for (place, (name, n)) in file.from.iter().enumerate() {
        html.raw(if place > 0 { ", " } else { "" }).text(name).raw(": ");
        html.live(&format!("spread.files.{idx}.from.{place}.1"), "text", &n.to_string());
    }
    html.raw("; ").live(&format!("spread.files.{idx}.bytes_per_s"), "bytes", &bytes(file.bytes_per_s));
    html.raw(" a second</p>");
}

fn figures(html: &mut Html, quality: &Quality) {
    let Quality { wer_synthetic, wer_real, tool_call_exact, routing_accuracy, recall_at_5, .. } = quality;
    if quality.is_empty() {
        html.raw("<p class=\"quiet\">Nobody has measured the models of this cluster yet. ");
        html.raw("<code>duet bench models</code> on the boot server does it.</p>\n");
    } else {
        html.raw("<p class=\"quiet\">Measured on the boot server, ");
        html.text(&quality.measured_unix_s.map_or_else(|| "nobody noted when".to_owned(), when));
        html.raw(". Of several models the best is told.</p>\n");
    }
    html.raw("<div class=\"scroll\" role=\"region\" aria-label=\"Quality\" tabindex=\"0\"><table class=\"nodes\">\n");
    html.raw("<tr><th scope=\"col\">what</th><th scope=\"col\">how much</th><th scope=\"col\">of</th>");
    html.raw("<th scope=\"col\">with</th></tr>\n");
    figure(html, "Words heard wrong, voices that were made", "words", BENCH, wer_synthetic.as_ref());
    figure(html, "Words heard wrong, real persons", "words", BENCH_SPEECH, wer_real.as_ref());
    figure(html, "Tool calls exactly right", "calls", BENCH, tool_call_exact.as_ref());
    figure(html, "Right expert chosen", "questions", BENCH, routing_accuracy.as_ref());
    figure(html, "Fact found again within five", "questions", BENCH, recall_at_5.as_ref());
    html.raw("</table></div>\n");
}

fn figure(
    html: &mut Html,
    what: &'static str,
    of: &'static str,
    command: &'static str,
    told: Option<&QualityFigure>,
) {
    html.raw("<tr><td>").raw(what).raw("</td><td>");
    match told {
        Some(QualityFigure { thousandths, n, model }) => {
            html.text(&format!("{}.{} %", thousandths / 10, thousandths % 10)).raw("</td><td>");
            html.text(&n.to_string()).raw(" ").raw(of).raw("</td><td>");
            html.text(if model == "words" { "no model, by words" } else { model });
        }
        None => {
            html.raw("not measured</td><td></td><td>by <code>").raw(command).raw("</code>");
        }
    }
    html.raw("</td></tr>\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(spread: Option<SpreadStatus>, quality: &Quality) -> String {
        let mut html = Html::default();
        models(&mut html, spread.as_ref(), quality);
        html.finish()
    }

    #[track_caller]
    fn check(file: SpreadFile, want: &[&str], not: &[&str]) {
        let page = drawn(Some(SpreadStatus { catalogue: 7, files: vec![file] }), &Quality::default());
        for part in want {
            assert!(page.contains(part), "{part} is not in {page}");
        }
        for part in not {
            assert!(!page.contains(part), "{part} is in {page}");
        }
    }

    fn file() -> SpreadFile {
        SpreadFile { file: "ear<1>.bin".into(), bytes: 200 << 20, ..SpreadFile::default() }
    }

    #[test]
    fn each_file_is_here_on_the_way_refused_or_waits() {
        let here = SpreadFile { is_here: true, have_bytes: 200 << 20, sentence: "old".into(), ..file() };
        check(here, &["ear&lt;1&gt;.bin", "200 MiB", ">here<", "1 <small>of 1 here"], &["old", "<progress"]);
        let from = vec![("boot server".to_owned(), 2), ("attic <2>".to_owned(), 1)];
        let coming = SpreadFile { have_bytes: 125 << 20, bytes_per_s: 61 << 20, from, ..file() };
        let want = [
            ">on the way<",
            "data-live=\"spread.files.0\" data-form=\"share\">62 %<",
            "<progress aria-label=\"ear&lt;1&gt;.bin\"",
            "data-live=\"spread.files.0.from.1.1\" data-form=\"text\">1<",
            "attic &lt;2&gt;: ",
            "61 MiB</span> a second",
        ];
        check(coming, &want, &["class=\"failed\""]);
        let refused = SpreadFile { sentence: "no <room>".into(), ..file() };
        check(refused, &[">refused<", "<p class=\"failed\">no &lt;room&gt;</p>"], &["<progress"]);
        check(file(), &[">waits<"], &["Chunks from", "class=\"failed\""]);
        check(SpreadFile { dropped: vec!["liar".into()], ..file() }, &["not asked again: liar"], &[]);
    }

    #[test]
    fn numbers_that_cannot_be_draw_a_page_all_the_same() {
        check(SpreadFile { bytes: 0, have_bytes: u64::MAX, ..file() }, &[">99 %<", "max=\"1\""], &[]);
        let figure = QualityFigure { thousandths: u16::MAX, n: u32::MAX, model: "<b>".into() };
        let quality = Quality { wer_real: Some(figure), ..Quality::default() };
        let page = drawn(None, &quality);
        assert!(page.contains("6553.5 %") && page.contains("&lt;b&gt;"), "{page}");
    }

    #[test]
    fn a_page_without_models_says_why() {
        for (spread, want) in [
            (None, "no agent serves here"),
            (Some(SpreadStatus::default()), "No boot server has said yet"),
            (Some(SpreadStatus { catalogue: 1, files: vec![] }), "<code>duet models list</code>"),
        ] {
            let page = drawn(spread, &Quality::default());
            assert!(page.contains(want), "{want} is not in {page}");
        }
    }

    #[test]
    fn what_was_not_measured_names_the_command_that_measures_it() {
        let page = drawn(None, &Quality::default());
        assert!(page.contains("Nobody has measured"), "{page}");
        assert_eq!(page.matches("not measured").count(), 5);
        let quality = Quality {
            measured_unix_s: Some(0),
            wer_synthetic: QualityFigure::new("ear.bin", 0.2274, 277),
            recall_at_5: QualityFigure::new("words", 0.097, 72),
            ..Quality::default()
        };
        let page = drawn(None, &quality);
        for part in [
            "Measured on the boot server, 1970-01-01 00:00 UTC.",
            "<td>22.7 %</td><td>277 words</td><td>ear.bin</td>",
            "<td>9.7 %</td><td>72 questions</td><td>no model, by words</td>",
            "<td>not measured</td><td></td><td>by <code>duet bench models --speech FOLDER</code></td>",
        ] {
            assert!(page.contains(part), "{part} is not in {page}");
        }
        assert_eq!(page.matches("not measured").count(), 3);
    }
}
