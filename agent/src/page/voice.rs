//! Talking on the page: with the ears of this PC, or with the browser's own microphone, or by typing. `voice.js` and
//! `chat.js` give it life.

use super::html::Html;
use super::sections::{begin_wide, end};
use crate::facts::sound::SoundCard;

pub fn voice(html: &mut Html) {
    begin_wide(html, "Talk");
    html.raw(PRESS);
    end(html);
}

/// How this PC listens and speaks.
pub fn knobs(html: &mut Html, cards: &[SoundCard]) {
    begin_wide(html, "Settings");
    html.raw("<div data-needs=\"voice\" hidden><div class=\"knobs\">\n");
    html.raw("<label>Volume <span><input type=\"range\" id=\"voice-volume\" min=\"0\" max=\"100\"> <output></output></span></label>\n");
    let can_record = cards.iter().filter(|card| card.can_record);
    let can_play = cards.iter().filter(|card| card.can_play);
    choice(html, "<label>Microphone <select id=\"voice-microphone\" data-late=\"microphones\">", can_record);
    choice(html, "<label>Speaker <select id=\"voice-speaker\" data-late=\"speakers\">", can_play);
    html.raw(KNOBS);
    end(html);
}

fn choice<'a>(html: &mut Html, open: &'static str, cards: impl Iterator<Item = &'a SoundCard>) {
    html.raw(open).raw("<option value=\"\">the first that there is</option>");
    for card in cards {
        html.raw("<option value=\"").text(&card.id).raw("\">").text(&card.name).raw("</option>");
    }
    html.raw("</select></label>\n");
}

const KNOBS: &str = r#"<label>Language <input id="voice-language" maxlength="8" size="4"></label>
<label>Voice <input id="voice-voice" maxlength="40" placeholder="the language’s own"></label>
<label>Words a minute <span><input type="range" id="voice-rate" min="80" max="450"> <output></output></span></label>
<label>Pitch <span><input type="range" id="voice-pitch" min="0" max="99"> <output></output></span></label>
<label>Talk key <select id="voice-key_manner"><option value="either">hold or tap</option><option value="hold">hold</option><option value="toggle">tap</option></select></label>
<label>Voice detector <select id="voice-detector"><option value="earshot">earshot</option><option value="silero">silero</option></select></label>
<label class="check"><input type="checkbox" id="voice-hands_free"> Hands free</label>
<label class="check"><input type="checkbox" id="voice-guess"> Hear while I still talk</label>
</div><p id="audio-note" role="status"></p></div>
"#;

/// All that depends on nothing. The face is the button: it shows what the node does.
const PRESS: &str = r#"<p id="voice-off" class="quiet">Talking from this page needs its script.</p>
<form id="voice-door" hidden><label for="voice-key">Whoever talks here shows a key</label>
<div class="row"><input id="voice-key" type="password" autocomplete="current-password" spellcheck="false" placeholder="key">
<button>Log in</button></div><p class="quiet"><code>duet keys add NAME --voice</code> on the boot server makes one. The login lasts twelve hours.</p>
<p id="voice-refused" role="alert"></p></form>
<div class="talk"><div id="voice" data-mood="idle" hidden><div class="press">
<button id="voice-talk" type="button" aria-describedby="voice-mood"><i></i><svg viewBox="0 0 100 100" aria-hidden="true">
<g class="eyes"><ellipse cx="36" cy="44" rx="5.5" ry="7.5"/><ellipse cx="64" cy="44" rx="5.5" ry="7.5"/></g>
<path class="mouth" d="M38 64q12 9 24 0"/><ellipse class="open" cx="50" cy="66" rx="9" ry="6"/>
<g class="dots"><circle cx="40" cy="66" r="2.6"/><circle cx="50" cy="66" r="2.6"/><circle cx="60" cy="66" r="2.6"/></g></svg>
<span class="aside">Talk</span></button>
<p id="voice-mood" role="status">Ready</p>
<progress id="voice-level" max="1" value="0" aria-label="level of the microphone"></progress>
<p class="quiet">Hold it, or tap to begin and to end. The space bar does the same.</p>
<fieldset><legend class="aside">whose microphone</legend>
<label><input type="radio" name="voice-source" value="pc" checked><span>This PC</span></label>
<label><input type="radio" name="voice-source" value="browser"><span>This browser</span></label></fieldset></div></div>
<div class="words" data-needs="name" hidden>
<div id="voice-talked" role="log" aria-label="Conversation" tabindex="0"><div id="chat-past"></div><p class="said" id="voice-said"></p><p class="told" id="voice-told"></p>
<p id="voice-by" class="quiet"></p></div><p id="voice-note" role="alert"></p>
<form id="chat-form"><label for="chat-text" class="aside">Type instead</label><div class="row wide-row"><input id="chat-text" maxlength="4000" autocomplete="off" placeholder="Or type a question">
<button>Send</button><button type="button" class="plain" id="chat-stop" hidden>Stop</button></div></form></div></div>
"#;
