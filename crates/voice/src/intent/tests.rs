//! What people say to it, in the languages that come along.

use super::*;

const ENGLISH: &str = include_str!("../../../../agent/intents/en.toml");
const GERMAN: &str = include_str!("../../../../agent/intents/de.toml");

fn shown(value: &Value) -> String {
    match value {
        Value::Number(number) => number.to_string(),
        Value::Length(length) => format!("{}s", length.as_secs()),
        Value::Clock(Clock { hour, minute, is_exact }) => {
            format!("{hour}:{minute:02}{}", if *is_exact { "" } else { "?" })
        }
        Value::Words(words) | Value::Rest(words) => words.clone(),
    }
}

fn check(file: &str, said: &str, want: &str) {
    let intents = Intents::read(file).unwrap();
    let told = intents.find(said).map_or("-".to_owned(), |wish| {
        let slots = wish.slots.iter().map(|(name, value)| format!(" {name}={}", shown(value)));
        format!("{}{}", wish.intent, slots.collect::<String>())
    });
    assert_eq!(told, want, "{said}");
}

fn refused(file: &str, want: &str) {
    let error = Intents::read(&format!("language = \"xx\"\n{file}")).unwrap_err();
    assert!(error.to_string().contains(want), "{error}");
}

#[test]
fn the_time_is_asked_in_many_ways() {
    for said in
        ["What time is it?", "what's the time", "Hey duet, what is the time please?", "tell me the time"]
    {
        check(ENGLISH, said, "time");
    }
    check(ENGLISH, "What's the date today?", "date");
    check(ENGLISH, "what day is it", "date");
}

#[test]
fn what_is_to_be_remembered_stays_as_it_was_said() {
    check(
        ENGLISH,
        "Please remember that Anna's birthday is on May 3rd, and she likes Bach.",
        "memory.remember fact=Anna's birthday is on May 3rd, and she likes Bach",
    );
    let long = "one of the things that nobody here can ever keep in mind ".repeat(4);
    let said = format!("remember {long}is this");
    check(ENGLISH, &said, &format!("memory.remember fact={long}is this"));
    check(ENGLISH, "remember that", "memory.remember fact=that");
    check(
        ENGLISH,
        "Remember please: duet is the name of the computer",
        "memory.remember fact=please: duet is the name of the computer",
    );
    check(ENGLISH, "Do you remember Paris?", "-");
    check(ENGLISH, "What do you know about Anna?", "memory.recall about=Anna");
    check(ENGLISH, "forget that", "memory.forget");
    check(ENGLISH, "forget it", "stop");
    check(ENGLISH, "Forget everything about the garage", "memory.forget.about about=the garage");
    check(
        GERMAN,
        "Merk dir bitte, dass Ömis Hund Bello heißt!",
        "memory.remember fact=Ömis Hund Bello heißt",
    );
    check(GERMAN, "Vergiss nicht, dass morgen Müll ist", "memory.remember fact=morgen Müll ist");
    check(GERMAN, "Was weißt du über Bello?", "memory.recall about=Bello");
    check(GERMAN, "Vergiss das wieder", "memory.forget");
    check(GERMAN, "vergiss alles über die Garage", "memory.forget.about about=die Garage");
}

#[test]
fn a_timer_has_a_length() {
    check(ENGLISH, "Set a timer for 5 minutes.", "timer.set length=300s");
    check(ENGLISH, "set a twenty-five minute timer", "timer.set length=1500s");
    check(ENGLISH, "Timer for an hour and a half", "timer.set length=5400s");
    check(ENGLISH, "timer for two and a half hours", "timer.set length=9000s");
    check(ENGLISH, "remind me in half an hour", "timer.set length=1800s");
    check(ENGLISH, "1 hour, 10 minutes and 30 seconds timer", "timer.set length=4230s");
    check(ENGLISH, "set a timer for 0 minutes", "-");
    check(ENGLISH, "set a timer for 999999 days", "-");
}

#[test]
fn an_alarm_has_a_time_of_day() {
    check(ENGLISH, "Wake me up at 7:30.", "alarm.set clock=7:30?");
    check(ENGLISH, "wake me at half past six", "alarm.set clock=6:30?");
    check(ENGLISH, "set an alarm for quarter to one", "alarm.set clock=0:45?");
    check(ENGLISH, "set an alarm for 7 pm", "alarm.set clock=19:00");
    check(ENGLISH, "set an alarm for 12:15 a.m.", "alarm.set clock=0:15");
    check(ENGLISH, "alarm at seven o'clock in the morning", "-");
    check(ENGLISH, "alarm at seven in the morning", "alarm.set clock=7:00");
    check(ENGLISH, "set an alarm for 19:05", "alarm.set clock=19:05");
    check(ENGLISH, "set an alarm for 25:05", "-");
}

#[test]
fn the_rest_is_understood_too() {
    check(ENGLISH, "Louder!", "volume.up");
    check(ENGLISH, "set the volume to 40 percent", "volume.set number=40");
    check(ENGLISH, "Stop.", "stop");
    check(ENGLISH, "never mind", "stop");
    check(ENGLISH, "Say that again, please.", "repeat");
    check(ENGLISH, "How many nodes are there?", "status");
    check(ENGLISH, "Who are you?", "who");
    check(ENGLISH, "Why was that so slow?", "slow");
    check(ENGLISH, "Cancel the timer", "timer.stop");
}

#[test]
fn what_only_begins_like_an_intent_is_for_the_model() {
    for said in [
        "",
        "What time is it in Tokyo?",
        "stop me if you know this one",
        "who are you going to call",
        "please",
    ] {
        check(ENGLISH, said, "-");
    }
    check(ENGLISH, &"what time is it ".repeat(50), "-");
}

#[test]
fn german_is_a_file_of_its_own() {
    check(GERMAN, "Wie spät ist es?", "time");
    check(GERMAN, "Stell einen Timer auf fünf Minuten.", "timer.set length=300s");
    check(GERMAN, "Timer für anderthalb Stunden", "timer.set length=5400s");
    check(GERMAN, "Weck mich um halb sieben", "alarm.set clock=6:30?");
    check(GERMAN, "Wecke mich um 18 Uhr 45", "alarm.set clock=18:45");
    check(GERMAN, "Lauter bitte", "volume.up");
}

#[test]
fn both_languages_know_the_same() {
    let names = |file: &str| Intents::read(file).unwrap().names().map(str::to_owned).collect::<BTreeSet<_>>();
    assert_eq!(names(ENGLISH), names(GERMAN));
}

#[test]
fn a_file_with_a_fault_says_where() {
    let phrase = |say: &str| format!("[[intent]]\nname = \"x\"\nsay = [\"{say}\"]");
    refused(&phrase("set [a|b"), "x: phrase \"set [a|b\": a ] is missing");
    refused(&phrase("a | b"), "choices stand in [] or ()");
    refused(&phrase("a ] b"), "a ] closes nothing");
    refused(&phrase("<colour>"), "<colour> is none of number, length, clock, words and rest");
    refused(&phrase("((((((a))))))"), "more than 4 deep");
    refused(&phrase(&"a ".repeat(300)), "more than 400 bytes");
    refused(&format!("{}\n{}", phrase("a"), phrase("b")), "intent x is there twice");
    refused("[[clock]]\nsay = [\"<clock>\"]", "a clock is not made of clocks");
    refused("word = 3", "unknown field");
}

#[test]
fn a_phrase_of_many_choices_is_read_in_a_moment() {
    let say = "(a|a a|<words>) ".repeat(20);
    let intents =
        Intents::read(&format!("language = \"xx\"\n[[intent]]\nname = \"x\"\nsay = [\"{say}\"]")).unwrap();
    assert!(intents.find(&"a ".repeat(WORDS_MAX)).is_some_and(|wish| wish.intent == "x"));
}
