//! The grammar that is made of tools' specs: a model can write their calls, and nothing else.

#![allow(clippy::unwrap_used)] // A panic is how a test reports.

use prompt::{Grammar, Json, schema_grammar};
use tools::{Field, Spec, Wanted, schema};

fn grammar() -> Grammar {
    let lamp = Spec::new("lamp.set", "Switches a lamp.")
        .field(Field::text("room", "where it stands", 20))
        .field(Field::whole("percent", "how bright", 0, 100).optional())
        .field(Field::choice("colour", "which", &["red", "blue"]).optional());
    let more = Spec::new("more", "Anything.").field(Field::json("what", "anything", 100));
    let calls = schema::calls(&[Spec::new("time", "Tells the time."), lamp, more]);
    let text = schema_grammar(&Json::parse(&calls).unwrap()).unwrap();
    Grammar::parse(&text).unwrap()
}

/// Whether a model can write it, and whether it is read as a call then.
#[track_caller]
fn check(text: &str, want: bool) {
    assert_eq!(grammar().accepts(text), want, "{text}");
    if want && !text.contains("none") {
        Wanted::read(text).unwrap();
    }
}

#[test]
fn a_model_under_the_grammar_writes_calls_of_these_tools_and_nothing_else() {
    check(r#"{"tool":"time","arguments":{}}"#, true);
    check(r#"{"tool":"lamp.set","arguments":{"room":"hall"}}"#, true);
    check(r#"{"tool":"lamp.set","arguments":{"colour":"red","percent":70,"room":"hall"}}"#, true);
    check(r#"{"tool":"more","arguments":{"what":[1,{"a":null}]}}"#, true);
    check(r#"{"tool":"none"}"#, true);
    check(r#"{"tool":"power.off","arguments":{}}"#, false);
    check(r#"{"tool":"lamp.set","arguments":{}}"#, false);
    check(r#"{"tool":"lamp.set","arguments":{"percent":101,"room":"hall"}}"#, false);
    check(r#"{"tool":"lamp.set","arguments":{"room":"a room with a very long name"}}"#, false);
    check(r#"{"tool":"lamp.set","arguments":{"colour":"green","room":"hall"}}"#, false);
    check("I would rather talk.", false);
}
