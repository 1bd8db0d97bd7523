//! What a node says of itself to clients of Wyoming.

use super::codec::Event;
use serde_json::{Value, json};

/// What a node can, as far as this protocol has names for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    pub node: String,
    pub language: String,
    /// The file of the model that hears, if there is one.
    pub hearing: Option<String>,
    /// The languages that it understands, as far as that is known.
    pub languages: Vec<String>,
    /// The voice that speaks, if one does.
    pub voice: Option<String>,
    /// The voices that could, each named by its language, as far as that is known.
    pub voices: Vec<String>,
}

/// Voices that are told of: all of espeak-ng's would be a letter of 30 kB.
const VOICES_TOLD_MAX: usize = 64;

/// The answer to `describe`.
pub fn info(offer: &Offer) -> Event {
    let languages = [offer.language.as_str()];
    let hearing = offer.hearing.iter().map(|file| {
        let mut program = artifact("duet", "hearing by whisper.cpp", WHISPER);
        let heard = match offer.languages.as_slice() {
            [] => json!(languages),
            known => json!(known),
        };
        program["models"] = json!([with(artifact(file, file, WHISPER), json!({"languages": heard}))]);
        with(program, json!({"supports_transcript_streaming": false, "requires_external_vad": true}))
    });
    let speaking = offer.voice.iter().map(|voice| {
        let mut program = artifact("duet", "speech by eSpeak NG", ESPEAK);
        let one = |voice: &str, language: &str| {
            with(artifact(voice, voice, ESPEAK), json!({"languages": [language], "speakers": null}))
        };
        let others = offer.voices.iter().filter(|other| *other != voice).take(VOICES_TOLD_MAX);
        let voices = others.map(|other| one(other, other));
        let voices: Vec<Value> = std::iter::once(one(voice, &offer.language)).chain(voices).collect();
        program["voices"] = json!(voices);
        with(program, json!({"supports_synthesize_streaming": true}))
    });
    let what = format!("the experts of this cluster, asked at {}", offer.node);
    let mut thinking = artifact("duet", &what, DUET);
    thinking["models"] = json!([with(artifact("auto", &what, DUET), json!({"languages": languages}))]);
    let thinking =
        with(thinking, json!({"supports_handled_streaming": false, "supports_home_control": false}));
    let (asr, tts): (Vec<Value>, Vec<Value>) = (hearing.collect(), speaking.collect());
    let none: [Value; 0] = [];
    let data = json!({
        "asr": asr, "tts": tts, "handle": [thinking], "intent": none, "wake": none, "mic": none, "snd": none,
    });
    Event::new("info", data)
}

type Maker = (&'static str, &'static str);
const DUET: Maker = ("duet", "");
const WHISPER: Maker = ("whisper.cpp", "https://github.com/ggml-org/whisper.cpp");
const ESPEAK: Maker = ("eSpeak NG", "https://github.com/espeak-ng/espeak-ng");

fn artifact(name: &str, description: &str, (maker, url): Maker) -> Value {
    json!({
        "name": name,
        "description": description,
        "attribution": {"name": maker, "url": url},
        "installed": true,
        "version": env!("CARGO_PKG_VERSION"),
    })
}

fn with(mut value: Value, more: Value) -> Value {
    if let (Some(value), Value::Object(more)) = (value.as_object_mut(), more) {
        value.extend(more);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_not_offered() {
        let (node, language) = ("kitchen".into(), "en".into());
        let (languages, voices) = (vec!["en".into(), "de".into()], vec!["de".into(), "en".into()]);
        let offer = Offer { node, language, hearing: None, languages, voice: None, voices };
        let data = info(&offer).data;
        assert_eq!((&data["asr"], &data["tts"]), (&json!([]), &json!([])));
        assert_eq!(data["handle"][0]["models"][0]["languages"], json!(["en"]));
        let whole = Offer { hearing: Some("tiny.bin".into()), voice: Some("en".into()), ..offer };
        let data = info(&whole).data;
        assert_eq!(data["asr"][0]["models"][0]["name"], "tiny.bin");
        assert_eq!(data["asr"][0]["models"][0]["languages"], json!(["en", "de"]));
        let voices = data["tts"][0]["voices"].as_array().unwrap();
        let voices: Vec<_> = voices.iter().map(|voice| (&voice["name"], &voice["languages"][0])).collect();
        assert_eq!(voices, [(&json!("en"), &json!("en")), (&json!("de"), &json!("de"))]);
    }
}
