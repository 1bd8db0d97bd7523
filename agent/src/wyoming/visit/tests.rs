//! Visits as stories: what a client says, and what it is told.

use super::*;

fn visit() -> Visit {
    let (node, language, voice) = ("kitchen".into(), "en".into(), Some("en-gb-x-rp".into()));
    let [languages, voices] = [["en", "de"], ["de", "en-us"]].map(|names| names.map(String::from).into());
    Visit::new(Offer { node, language, hearing: None, languages, voice, voices })
}

fn as_(wished: Option<String>) -> String {
    wished.map(|wished| format!(" as {wished}")).unwrap_or_default()
}

/// What the client is told and what is done for it, in few words.
fn story(visit: &mut Visit) -> String {
    let word = |output: Output| match output {
        Output::Send(event) => {
            let text = event.text("text").map(|text| format!("({text})")).unwrap_or_default();
            format!("{}{text}", event.kind)
        }
        Output::Hear { pcm, language } => format!("HEAR {}{}", pcm.len(), as_(language)),
        Output::Say { clause: Clause::Text(text), voice } => format!("SAY {text}{}", as_(voice)),
        Output::Say { clause: Clause::Code { n_lines }, .. } => format!("SAY {n_lines} lines"),
        Output::Ask { text, conversation } => format!("ASK {text} in {conversation}"),
        Output::Close => "CLOSE".to_owned(),
    };
    std::iter::from_fn(|| visit.poll()).map(word).collect::<Vec<_>>().join(", ")
}

#[track_caller]
fn check(visit: &mut Visit, inputs: Vec<Input<'_>>, want: &str) {
    inputs.into_iter().for_each(|input| visit.handle(input));
    assert_eq!(story(visit), want);
}

fn event(kind: &str, data: Value) -> Input<'static> {
    Input::Event(Event::new(kind, data))
}

fn sound(kind: &str, n: usize) -> Input<'static> {
    let data = json!({"rate": 16000, "width": 2, "channels": 1});
    Input::Event(Event { payload: vec![0; 2 * n], ..Event::new(kind, data) })
}

#[test]
fn who_asks_is_told_who_is_here() {
    let ping = event("ping", json!({"text": "x"}));
    check(&mut visit(), vec![event("describe", json!({})), ping], "info, pong(x)");
}

#[test]
fn a_recording_becomes_a_transcript() {
    let mut visit = visit();
    let inputs = vec![
        event("transcribe", json!({})),
        sound("audio-start", 0),
        sound("audio-chunk", 300),
        sound("audio-chunk", 20),
        event("audio-stop", json!({})),
    ];
    check(&mut visit, inputs, "HEAR 320");
    check(&mut visit, vec![Input::Heard(Ok("hello"))], "transcript(hello)");
    check(&mut visit, vec![sound("audio-start", 0), event("audio-stop", json!({}))], "HEAR 0");
    check(&mut visit, vec![Input::Heard(Err("no model is here"))], "error(no model is here), CLOSE");
}

#[test]
fn a_recording_is_heard_in_the_language_that_the_client_says() {
    let mut visit = visit();
    let transcribe = |language: &str| event("transcribe", json!({"language": language}));
    let recording =
        || vec![sound("audio-start", 0), sound("audio-chunk", 20), event("audio-stop", json!({}))];
    visit.handle(transcribe("de-AT"));
    check(&mut visit, recording(), "HEAR 20 as de-AT");
    check(&mut visit, vec![Input::Heard(Ok("ja"))], "transcript(ja)");
    visit.handle(transcribe(""));
    check(&mut visit, recording(), "HEAR 20");
    check(&mut visit, vec![transcribe("fr")], "error(this node hears en, de, and not fr), CLOSE");
}

#[test]
fn a_text_is_said_in_the_voice_that_the_client_wishes() {
    let synthesize = |voice: Value| event("synthesize", json!({"text": "one", "voice": voice}));
    for (voice, want) in [
        (json!({"name": "de", "language": "en"}), "SAY one as de"),
        (json!({"language": "en-US"}), "SAY one as en-US"),
        (json!({"name": null}), "SAY one"),
        (json!("de"), "SAY one"),
        // The owner's own, though the engine lists no such voice.
        (json!({"name": "en-gb-x-rp"}), "SAY one as en-gb-x-rp"),
        (json!({"name": "fr"}), "error(this node speaks de, en-us, and not fr), CLOSE"),
    ] {
        check(&mut visit(), vec![synthesize(voice)], want);
    }
    let mut visit = visit();
    let chunk = event("synthesize-chunk", json!({"text": "It is noon now. And"}));
    let begin = event("synthesize-start", json!({"voice": {"name": "de"}}));
    check(&mut visit, vec![begin, chunk], "SAY It is noon now. as de");
}

#[test]
fn a_visit_that_is_over_says_why() {
    check(&mut visit(), vec![Input::Over("enough")], "error(enough), CLOSE");
}

#[test]
fn sound_without_a_beginning_ends_the_visit() {
    check(&mut visit(), vec![sound("audio-chunk", 9)], "error(sound came before its beginning), CLOSE");
}

#[test]
fn a_text_is_said_clause_by_clause_and_its_end_is_told() {
    let mut visit = visit();
    let text = json!({"text": "The first one is here now. The second one follows."});
    check(&mut visit, vec![event("synthesize", text)], "SAY The first one is here now.");
    let piece = || Input::Piece { rate: 22_050, pcm: &[1, 2] };
    check(&mut visit, vec![piece(), piece()], "audio-start, audio-chunk, audio-chunk");
    check(&mut visit, vec![Input::Said(Ok(()))], "SAY The second one follows.");
    check(&mut visit, vec![piece(), Input::Said(Ok(()))], "audio-chunk, audio-stop");
    assert!(!visit.is_busy());
}

#[test]
fn a_streamed_text_is_said_while_it_comes_and_the_whole_one_is_passed_over() {
    let mut visit = visit();
    let chunk = |text: &str| event("synthesize-chunk", json!({"text": text}));
    let begin = vec![event("synthesize-start", json!({})), chunk("It is noon now. "), chunk("And")];
    check(&mut visit, begin, "SAY It is noon now.");
    let rest = vec![
        event("synthesize", json!({"text": "It is noon now. And"})),
        event("synthesize-stop", json!({})),
    ];
    check(&mut visit, rest, "");
    let piece = Input::Piece { rate: 22_050, pcm: &[1] };
    check(&mut visit, vec![piece, Input::Said(Ok(()))], "audio-start, audio-chunk, SAY And");
    check(&mut visit, vec![Input::Said(Ok(()))], "audio-stop, synthesize-stopped");
}

#[test]
fn a_text_of_nothing_is_a_sound_of_no_length() {
    check(&mut visit(), vec![event("synthesize", json!({"text": " ... "}))], "audio-start, audio-stop");
}

#[test]
fn a_second_text_before_the_end_of_the_first_ends_the_visit() {
    let text = || event("synthesize", json!({"text": "one"}));
    let want = "SAY one, error(what was to be said before is not said yet), CLOSE";
    check(&mut visit(), vec![text(), text()], want);
}

#[test]
fn a_stream_of_text_without_an_end_is_refused() {
    let mut visit = visit();
    visit.handle(event("synthesize-start", json!({})));
    for _ in 0..=SPEECH_BYTES_MAX / 1000 {
        visit.handle(event("synthesize-chunk", json!({"text": "a".repeat(1000)})));
    }
    assert!(story(&mut visit).ends_with("CLOSE") && !visit.is_busy());
}

#[test]
fn what_was_said_is_answered_within_its_conversation() {
    let mut visit = visit();
    let context = json!({"conversation_id": "c1"});
    let asked = event("transcript", json!({"text": " what time is it ", "context": context}));
    check(&mut visit, vec![asked], "ASK what time is it in c1");
    let answer = vec![Input::Words("It is "), Input::Words("noon. "), Input::Answered(Ok(()))];
    check(&mut visit, answer, "handled(It is noon.)");
    check(&mut visit, vec![event("recognize", json!({"text": "x"}))], "ASK x in ");
    check(&mut visit, vec![Input::Answered(Err("nobody thinks here"))], "not-handled(nobody thinks here)");
    let empty = event("transcript", json!({}));
    check(&mut visit, vec![empty], "not-handled(a text to answer has 1 to 4096 bytes)");
}

#[test]
fn what_comes_late_changes_nothing() {
    let late = vec![
        Input::Heard(Ok("x")),
        Input::Piece { rate: 1, pcm: &[1] },
        Input::Said(Ok(())),
        Input::Words("x"),
        Input::Answered(Ok(())),
        event("satellite-connected", json!({})),
    ];
    check(&mut visit(), late, "");
}
