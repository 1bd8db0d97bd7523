//! The panels of the page and the rail between them: markup that depends on nothing. Each has a script of its name.

use super::html::Html;
use crate::api;

/// Every panel by its place in the address, its name on the rail, and what it asks, in the order of the rail.
const PANELS: [(&str, &str, &str); 12] = [
    ("talk", "Talk", "/api/message"),
    ("turns", "Turns", "/api/turns"),
    ("cluster", "Cluster", "/api/events"),
    ("models", "Models", "/api/status"),
    ("memory", "Memory", "/api/memory"),
    ("workflows", "Workflows", "/api/workflows"),
    ("experts", "Experts", "/api/personas"),
    ("timers", "Timers", "/api/timers"),
    ("approvals", "Approvals", "/api/approvals"),
    ("audio", "Audio", "/api/level"),
    ("log", "Log", "/api/log"),
    ("pc", "This PC", "/api/status"),
];

/// Those whose matter an agent of this build has.
pub fn offered() -> impl Iterator<Item = (&'static str, &'static str)> {
    PANELS.into_iter().filter(|(_, _, path)| api::has(path)).map(|(id, name, _)| (id, name))
}

pub fn rail(html: &mut Html) {
    html.raw("<nav id=\"rail\" aria-label=\"Panels\"><ul>\n");
    for (id, name) in offered() {
        html.raw("<li><a href=\"#").raw(id).raw("\">").raw(name);
        html.raw(" <span class=\"count\" hidden></span></a></li>\n");
    }
    html.raw("</ul></nav>\n");
}

pub fn begin(html: &mut Html, id: &'static str) {
    html.raw("<div class=\"panel\" id=\"").raw(id).raw("\">\n");
}

/// One whose matter this node writes, and writes anew when something came or went.
pub fn begin_fresh(html: &mut Html, id: &'static str) {
    html.raw("<div class=\"panel\" id=\"").raw(id).raw("\" data-fresh=\"").raw(id).raw("\">\n");
}

pub fn end(html: &mut Html) {
    html.raw("</div>\n");
}

/// Where a panel needs a key.
pub const DOOR: &str = "<p class=\"quiet\" data-without=\"voice\">Log in with a key under <a href=\"#talk\">Talk</a> to see this.</p>\n";

/// In the place of what a closed page keeps to itself.
pub const CLOSED: &str = "<section class=\"wide\"><p class=\"quiet\">The owner has closed this page. Log in with a key under <a href=\"#talk\">Talk</a> to see this.</p></section>\n";

pub const MEMORY: &str = r#"<section class="wide"><h2>Memory</h2>
<div data-needs="voice" hidden><form id="memory-form"><label for="memory-text">Something to look for, or to remember</label>
<div class="row"><input id="memory-text" maxlength="2000" autocomplete="off" placeholder="the spare key hangs in the shed">
<button value="search">Search</button><button value="tell" class="plain">Remember</button></div></form>
<p id="memory-about" class="quiet" role="status"></p><ul id="memory-facts" class="rows"></ul>
<p id="memory-note" role="status"></p>
<p class="row"><button type="button" class="plain" id="memory-save">Save to a file</button>
<label class="file">Load a file <input type="file" id="memory-load" accept=".jsonl"></label></p></div>
"#;

pub const EXPERTS: &str = r#"<section class="wide"><h2>Experts and workflows</h2>
<p class="quiet">Who may answer, what each of them is told, and the ways to an answer. What is edited here holds on all PCs and outlives their power.</p><p id="experts-troubles" class="failed"></p>
<div class="halves"><ul id="experts-list" class="choices"></ul>
<div><p id="experts-none" class="quiet">Choose one to read what it is told.</p>
<div id="experts-edit" hidden><h3 id="experts-name"></h3><form id="experts-form"><label for="experts-text">Its file</label>
<textarea id="experts-text" rows="16" spellcheck="false"></textarea>
<p class="row" data-needs="voice" hidden><button>Save</button><button type="button" class="plain" id="experts-reset">As it was</button></p>
</form></div><p id="experts-note" role="status"></p></div></div>
"#;

pub const TIMERS: &str = r#"<section class="wide"><h2>Timers</h2>
<ul id="timers-list" class="rows"></ul><p id="timers-none" class="quiet">No timer runs. Say “set a timer for five minutes”.</p>
<p id="timers-note" role="status"></p>
"#;

pub const APPROVALS: &str = r#"<section class="wide"><h2>Approvals</h2>
<div data-needs="voice" hidden><ul id="approvals-list" class="calls"></ul>
<p id="approvals-none" class="quiet">Nothing waits for your word.</p><p id="approvals-note" role="status"></p></div>
"#;

/// The knobs of `voice.rs` follow.
pub const LEVELS: &str = r#"<section class="wide"><h2>Level</h2>
<div data-needs="voice" hidden><div class="levels"><label for="audio-in">Microphone</label>
<meter id="audio-in" min="-60" max="0" low="-40" high="-6" optimum="-20" value="-60"></meter><output id="audio-in-db" for="audio-in">silent</output>
<label for="audio-out">Speaker</label>
<meter id="audio-out" min="-60" max="0" low="-50" high="-3" optimum="-12" value="-60"></meter><output id="audio-out-db" for="audio-out">silent</output></div>
<form id="audio-try"><label for="audio-text">Have this PC say something</label><div class="row">
<input id="audio-text" maxlength="500" value="Good day. This is how I sound." autocomplete="off"><button>Say it</button></div></form></div>
"#;

pub const LOG: &str = r#"<section class="wide"><h2>Log</h2>
<div data-needs="voice" hidden><div class="row tools"><input id="log-filter" type="search" aria-label="Show lines with" placeholder="Filter">
<select id="log-level" aria-label="Least level"><option value="0">All lines</option><option value="1">Notices</option><option value="2">Warnings</option></select>
<button type="button" class="plain" id="log-clear">Clear</button><button type="button" class="plain" id="log-journal">Journal</button></div>
<div id="log-lines" role="log" aria-label="Lines of the log" tabindex="0"></div><p id="log-note" role="alert"></p>
<details><summary>Banner</summary><form id="banner-form"><label for="banner-text">A word or two, large, for all who look</label><div class="row">
<input id="banner-text" maxlength="24" autocomplete="off"><button>Show</button></div></form></details></div>
"#;
