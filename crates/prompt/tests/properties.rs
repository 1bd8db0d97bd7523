//! Random schemas: what is valid and well ordered is taken, and nothing that a grammar lets through is invalid.

#![allow(clippy::unwrap_used)] // A panic is how a test reports.

mod support;

use prompt::gbnf::Matcher;
use prompt::{Grammar, Json, schema_grammar};
use support::{Dice, document, random_json, schema, spaced, valid};

const SEED: u64 = 0x00d0_e703;
const SCHEMAS: u64 = 300;

/// Runs one story for each schema; the story's number is in every message.
fn each(mut story: impl FnMut(&str, &mut Dice, &Json, &Grammar)) {
    for round in 0..SCHEMAS {
        let mut dice = Dice::new(SEED + round);
        let schema = schema(&mut dice, 3);
        let said = format!("round {round} of seed {SEED:#x}: {schema}");
        let text = schema_grammar(&schema).unwrap_or_else(|error| panic!("{said}: {error}"));
        let grammar = Grammar::parse(&text).unwrap_or_else(|error| panic!("{said}: {error}"));
        story(&said, &mut dice, &schema, &grammar);
    }
}

#[test]
fn documents_made_from_a_schema_are_taken() {
    each(|said, dice, schema, grammar| {
        for _ in 0..12 {
            let json = document(dice, schema);
            assert!(valid(schema, &json), "the test's own document is invalid: {said}\n{json}");
            assert!(grammar.accepts(&json.to_string()), "{said}\n{json}");
            assert!(grammar.accepts(&spaced(&json)), "{said}\n{json}");
        }
    });
}

#[test]
fn documents_that_are_not_valid_are_refused() {
    let mut n_invalid = 0;
    each(|said, dice, schema, grammar| {
        for _ in 0..25 {
            let mut json = document(dice, schema);
            support::spoil(dice, &mut json);
            if !valid(schema, &json) {
                n_invalid += 1;
                assert!(!grammar.accepts(&json.to_string()), "{said}\n{json}");
            }
            let other = random_json(dice, 2);
            if !valid(schema, &other) {
                assert!(!grammar.accepts(&other.to_string()), "{said}\n{other}");
            }
        }
    });
    assert!(n_invalid > 1000, "only {n_invalid} of the spoiled documents were invalid");
}

#[test]
fn what_a_grammar_lets_through_is_valid() {
    const LETTERS: &str = "{}[]\",: 0123456789-+.eEtrufalsnbcxyz\\/\u{e9}";
    let letters: Vec<char> = LETTERS.chars().collect();
    let mut n_whole = 0;
    each(|said, dice, schema, grammar| {
        for _ in 0..6 {
            let mut matcher = Matcher::new(grammar);
            let mut text = String::new();
            for _ in 0..300 {
                if matcher.is_done() && (dice.roll(3) == 0 || text.len() > 100) {
                    break;
                }
                // Signs that close things are tried first when the text grows long.
                let skip = dice.roll(letters.len());
                let order = "}]\""
                    .chars()
                    .filter(|_| text.len() > 60)
                    .chain(letters.iter().copied().cycle().skip(skip));
                let next = order.take(letters.len() + 3).find(|c| matcher.clone().push(*c));
                let Some(c) = next else { break };
                matcher.push(c);
                text.push(c);
            }
            if matcher.is_done() {
                n_whole += 1;
                let json = Json::parse(&text).unwrap_or_else(|error| panic!("{said}\n{text}\n{error}"));
                assert!(valid(schema, &json), "{said}\n{text}");
            }
        }
    });
    assert!(n_whole > 500, "only {n_whole} walks came to an end");
}
