//! Talking on the page: with the ears of this PC, or with the browser's own microphone. `voice.js` gives it life.

use super::html::Html;
use super::sections::{begin_wide, end};
use crate::facts::sound::SoundCard;

pub fn voice(html: &mut Html, cards: &[SoundCard]) {
    begin_wide(html, "Voice");
    html.raw(PRESS);
    html.raw("<details><summary>Sound of this PC</summary>\n<div class=\"knobs\">\n");
    html.raw("<label>volume <input type=\"range\" id=\"voice-volume\" min=\"0\" max=\"100\"></label>\n");
    let can_record = cards.iter().filter(|card| card.can_record);
    let can_play = cards.iter().filter(|card| card.can_play);
    choice(html, "<label>microphone <select id=\"voice-microphone\">", can_record);
    choice(html, "<label>speaker <select id=\"voice-speaker\">", can_play);
    html.raw("</div></details>\n</div></div></div>\n");
    end(html);
}

fn choice<'a>(html: &mut Html, open: &'static str, cards: impl Iterator<Item = &'a SoundCard>) {
    html.raw(open).raw("<option value=\"\">the first that there is</option>");
    for card in cards {
        html.raw("<option value=\"").text(&card.id).raw("\">").text(&card.name).raw("</option>");
    }
    html.raw("</select></label>\n");
}

/// All that depends on nothing.
const PRESS: &str = r#"<p id="voice-off" class="quiet">Talking from this page needs its script.</p>
<form id="voice-door" hidden><label for="voice-key">Who talks here shows a key</label>
<div class="row"><input id="voice-key" type="password" autocomplete="off" spellcheck="false" placeholder="key">
<button>Open</button></div><p class="quiet"><code>duet keys add NAME --voice</code> on the boot server makes one. It stays in this tab.</p>
<p id="voice-refused" role="alert"></p></form>
<div id="voice" data-mood="idle" hidden><div class="press">
<button id="voice-talk" type="button" aria-describedby="voice-mood"><i></i><span>Talk</span></button>
<p id="voice-mood" role="status">Ready</p>
<progress id="voice-level" max="1" value="0" aria-label="level of the microphone"></progress>
<p class="quiet">Hold it, or tap to begin and to end. The space bar does the same.</p></div>
<div class="words"><fieldset><legend class="aside">whose microphone</legend>
<label><input type="radio" name="voice-source" value="pc" checked><span>This PC</span></label>
<label><input type="radio" name="voice-source" value="browser"><span>This browser</span></label></fieldset>
<div id="voice-talked" aria-live="polite"><p class="said" id="voice-said"></p><p class="told" id="voice-told"></p></div>
<p id="voice-by" class="quiet"></p><p id="voice-note" role="alert"></p>
"#;
