//! Schemas against the grammars made of them: what is taken, what is refused, and what is said about it.

#![allow(clippy::unwrap_used)] // A panic is how a test reports.

use prompt::{Grammar, Json, object_grammar, schema_grammar};

fn grammar(schema: &str) -> Grammar {
    let text =
        schema_grammar(&Json::parse(schema).unwrap()).unwrap_or_else(|error| panic!("{schema}: {error}"));
    Grammar::parse(&text).unwrap_or_else(|error| panic!("{schema}: {error}\n{text}"))
}

#[track_caller]
fn check(schema: &str, taken: &[&str], refused: &[&str]) {
    let grammar = grammar(schema);
    taken.iter().for_each(|text| assert!(grammar.accepts(text), "{text} should be taken"));
    refused.iter().for_each(|text| assert!(!grammar.accepts(text), "{text} should be refused"));
}

#[track_caller]
fn wrong(schema: &str, want: &str) {
    let error = schema_grammar(&Json::parse(schema).unwrap()).unwrap_err();
    assert_eq!(error.to_string(), want);
}

#[test]
fn properties_come_in_order_and_optional_ones_may_be_missing() {
    check(
        r#"{"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"string"},"c":{"type":"boolean"}},"required":["b"]}"#,
        &[r#"{"b":"x"}"#, r#"{"a":1,"b":"x"}"#, r#"{"a": 1, "b": "x", "c": true}"#, r#"{"b":"","c":false}"#],
        &["{}", r#"{"a":1}"#, r#"{"b":"x","a":1}"#, r#"{"b":"x","d":1}"#, r#"{,"b":"x"}"#, r#"{"b":"x",}"#],
    );
}

#[test]
fn an_object_of_optional_properties_may_be_empty() {
    check(
        r#"{"type":"object","properties":{"a":{"type":"null"},"b":{"type":"null"}}}"#,
        &["{}", r#"{"a":null}"#, r#"{"b":null}"#, r#"{"a":null,"b":null}"#],
        &[r#"{"a":null,}"#, r#"{,"b":null}"#],
    );
}

#[test]
fn other_properties_are_taken_only_where_they_are_allowed() {
    let open = r#"{"type":"object","properties":{"ab":{"type":"integer"}},"additionalProperties":{"type":"boolean"}}"#;
    check(
        open,
        &[
            "{}",
            r#"{"ab":1}"#,
            r#"{"ab":1,"a":true}"#,
            r#"{"abc":true}"#,
            r#"{"":false,"b":true}"#,
            r#"{"é\"":true}"#,
        ],
        &[r#"{"ab":true}"#, r#"{"ab":1,"ab":true}"#, r#"{"x":1}"#, r#"{"\u0061b":true}"#],
    );
    check(
        r#"{"type":"object","additionalProperties":{"type":"integer"},"maxProperties":2,"minProperties":1}"#,
        &[r#"{"x":1}"#, r#"{"x":1,"y":2}"#],
        &["{}", r#"{"x":1,"y":2,"z":3}"#, r#"{"x":"1"}"#],
    );
    check(r#"{"type":"object","additionalProperties":false}"#, &["{}"], &[r#"{"a":1}"#]);
}

#[test]
fn a_required_property_without_a_schema_may_be_anything() {
    check(r#"{"required":["x"]}"#, &[r#"{"x":[1,{"y":null}]}"#], &["{}", "1"]);
}

#[test]
fn lists_have_their_length() {
    check(
        r#"{"type":"array","items":{"type":"integer"},"minItems":2,"maxItems":3}"#,
        &["[1,2]", "[1, 2, 3]"],
        &["[]", "[1]", "[1,2,3,4]", "[1,2,]"],
    );
    check(r#"{"type":"array","items":{"type":"null"},"maxItems":0}"#, &["[]"], &["[null]"]);
    check(r#"{"type":"array","items":false}"#, &["[]"], &["[null]"]);
    check(r#"{"type":"array","maxItems":2000}"#, &["[]", "[1,2,3]"], &["[1,]"]);
    check(r#"{"type":"object","maxProperties":2000}"#, &["{}", r#"{"a":1,"b":2}"#], &["[]"]);
    check(r#"{"type":"array","maxItems":1}"#, &["[]", "[{}]"], &["[1,2]"]);
}

#[test]
fn tuples_keep_their_places() {
    let tuple = r#"{"type":"array","prefixItems":[{"type":"integer"},{"type":"string"}],"minItems":1}"#;
    check(tuple, &["[1]", r#"[1,"x"]"#], &["[]", r#"["x"]"#, r#"[1,"x",2]"#]);
    let more = r#"{"type":"array","prefixItems":[{"type":"integer"}],"items":{"type":"string"},"minItems":2,"maxItems":3}"#;
    check(more, &[r#"[1,"x"]"#, r#"[1,"x","y"]"#], &["[1]", "[1,2]", r#"[1,"x","y","z"]"#]);
    check(r#"{"items":[{"type":"null"}],"additionalItems":false}"#, &["[]", "[null]"], &["[null,null]"]);
}

#[test]
fn strings_have_their_length_in_characters() {
    check(
        r#"{"type":"string","minLength":2,"maxLength":3}"#,
        &[r#""ab""#, "\"\u{1f600}\u{e9}\"", r#""a\n\"""#, r#""\u00e9b""#],
        &[r#""a""#, r#""abcd""#, r#""\ud83d\ude00""#, "\"a\nb\""],
    );
    check(r#"{"type":"string","maxLength":5000}"#, &["\"\"", r#""abc""#], &["x"]);
}

#[test]
fn formats_and_patterns_bind() {
    check(r#"{"type":"string","format":"date"}"#, &[r#""2024-02-29""#], &[r#""2023-02-29""#, "2024-02-29"]);
    check(r#"{"type":"string","format":"color"}"#, &[r#""red""#], &[]);
    check(r#"{"type":"string","pattern":"^[a-z]+\\.\"$"}"#, &[r#""abc.\"""#], &[r#""abc.""#, r#""ABC.\"""#]);
}

#[test]
fn enums_and_constants_are_written_as_they_are() {
    check(
        r#"{"enum":["on","off",1,null,{"a":[1,2]}]}"#,
        &[r#""on""#, "1", "null", r#"{"a":[1,2]}"#, r#"{"a": [1, 2]}"#],
        &[r#""of""#, "2", r#"{"a":[]}"#],
    );
    check(r#"{"const":"\"q\"\n"}"#, &[r#""\"q\"\n""#], &[r#""q""#]);
    check(r#"{"type":"string","enum":["a",1,"bcd"],"maxLength":2}"#, &[r#""a""#], &["1", r#""bcd""#]);
    check(r#"{"type":"integer","enum":[1,5,9],"minimum":4}"#, &["5", "9"], &["1"]);
}

#[test]
fn numbers_keep_their_bounds() {
    check(
        r#"{"type":"integer","minimum":-3,"exclusiveMaximum":11}"#,
        &["-3", "0", "10"],
        &["-4", "11", "1.0", "01", "-0"],
    );
    check(
        r#"{"type":"number","minimum":0,"maximum":1}"#,
        &["0", "0.5", "1", "1.0"],
        &["-0.1", "1.01", "2", "1e0"],
    );
    check(r#"{"type":"number","minimum":0,"exclusiveMinimum":true}"#, &["0.1", "7"], &["0", "0.0"]);
    check(r#"{"type":"number"}"#, &["1", "-1.5e-3", "0"], &["01", "+1", ".5", "1."]);
    check(
        r#"{"type":"integer","minimum":-9223372036854775808,"maximum":9223372036854775807}"#,
        &["0", "-77"],
        &["x"],
    );
    check(r#"{"type":"number","multipleOf":1}"#, &["7"], &["7.5"]);
}

#[test]
fn types_may_be_several() {
    check(r#"{"type":["string","null"],"maxLength":1}"#, &["null", r#""a""#], &[r#""ab""#, "1"]);
    check(r#"{"type":"integer","nullable":true}"#, &["null", "4"], &["true"]);
    check("true", &["null", "[1,{\"a\":2}]"], &["nul"]);
    check("{}", &["-1.5e3"], &[""]);
}

#[test]
fn alternatives_are_each_whole() {
    let schema = r#"{"anyOf":[{"type":"integer"},{"type":"object","properties":{"k":{"const":"a"}},"required":["k"]}]}"#;
    check(schema, &["3", r#"{"k":"a"}"#], &["\"a\"", "{}"]);
    let beside = r#"{"type":"object","properties":{"x":{"type":"integer"}},"required":["x"],
        "oneOf":[{"properties":{"k":{"const":"a"}},"required":["k"]},{"properties":{"m":{"type":"null"}},"required":["m"]}]}"#;
    check(beside, &[r#"{"x":1,"k":"a"}"#, r#"{"x":1,"m":null}"#], &[r#"{"x":1}"#, r#"{"k":"a"}"#]);
}

#[test]
fn all_of_is_merged() {
    check(
        r#"{"allOf":[{"type":"object","properties":{"a":{"type":"integer","minimum":3}}},
            {"properties":{"a":{"maximum":5},"b":{"type":"string"}},"required":["a","b"]}]}"#,
        &[r#"{"a":3,"b":""}"#, r#"{"a":5,"b":"x"}"#],
        &[r#"{"a":6,"b":""}"#, r#"{"a":4}"#],
    );
    check(r#"{"allOf":[{"enum":[1,2,3]},{"enum":[3,4]}]}"#, &["3"], &["1", "4"]);
    check(
        r#"{"allOf":[{"properties":{"a":{}},"additionalProperties":false},{"properties":{"b":{}}}]}"#,
        &["{}", r#"{"a":1}"#],
        &[r#"{"b":1}"#],
    );
}

#[test]
fn schemas_may_recur() {
    let tree = r##"{"$defs":{"node":{"type":"object","properties":{"v":{"type":"integer"},"next":{"anyOf":[{"$ref":"#/$defs/node"},{"type":"null"}]},
        "kids":{"type":"array","items":{"$ref":"#"}}},"required":["v"]}},"$ref":"#/$defs/node"}"##;
    check(
        tree,
        &[
            r#"{"v":1}"#,
            r#"{"v":1,"next":{"v":2,"next":null}}"#,
            r#"{"v":1,"kids":[{"v":2,"kids":[{"v":3}]}]}"#,
        ],
        &[r#"{"next":null}"#, r#"{"v":1,"next":1}"#, r#"{"v":1,"kids":[{}]}"#],
    );
}

#[test]
fn errors_name_the_place() {
    wrong(r#"{"properties":{"a":{"type":"strin"}}}"#, "#/properties/a/type: \"strin\" is no type");
    wrong(r#"{"items":{"not":{}}}"#, "#/items/not: this word is not understood, or cannot be promised");
    wrong(r#"{"uniqueItems":true}"#, "#/uniqueItems: this word is not understood, or cannot be promised");
    wrong(
        r##"{"properties":{"a/b":{"$ref":"#/$defs/no"}}}"##,
        "#/properties/a~1b/$ref: #/$defs/no points at nothing",
    );
    wrong(r#"{"$ref":"other.json"}"#, "#/$ref: only references within the schema (#/...) are followed");
    wrong(r##"{"$ref":"#"}"##, "#: the schema refers to itself with nothing between");
    wrong(
        r##"{"anyOf":[{"$ref":"#"},{"type":"null"}]}"##,
        "#: the schema refers to itself with nothing between",
    );
    wrong("7", "#: a schema is an object, not integer");
    wrong("false", "#: nothing can be valid here");
    wrong(r#"{"allOf":[{"type":"string"},{"type":"null"}]}"#, "#: nothing can be valid here");
    wrong(
        r#"{"type":"string","pattern":"(?=x)"}"#,
        "#/pattern: pattern: only plain groups ( ) and (?: ) are understood",
    );
    wrong(
        r#"{"type":"string","pattern":"x","maxLength":3}"#,
        "#: only one of a length, a pattern and a format can be promised for one string",
    );
    wrong(r#"{"type":"integer","minimum":3,"maximum":2}"#, "#: no number lies within the bounds");
    wrong(
        r#"{"type":"number","multipleOf":0.1}"#,
        "#/multipleOf: multiples of 1 can be promised, of nothing else",
    );
    wrong(r#"{"enum":[]}"#, "#/enum: an enum is a list of at least one value");
    wrong(r#"{"enum":["abc"],"maxLength":2}"#, "#: no value of the enum is allowed by what stands beside it");
    wrong(r#"{"type":"array","minItems":5000}"#, "#: minItems and maxItems are at most 2000");
    wrong(
        r#"{"required":["a"],"additionalProperties":false}"#,
        "#: \"a\" is required, but no such property may be",
    );
    wrong(
        r#"{"properties":{"a":{}},"minProperties":1}"#,
        "#: so few or so many properties cannot be promised here",
    );
}

#[test]
fn a_schema_that_explodes_is_refused() {
    let doubled = (0..20).map(|n| {
        format!(
            "\"d{n}\":{{\"anyOf\":[{{\"$ref\":\"#/$defs/d{m}\"}},{{\"$ref\":\"#/$defs/d{m}\"}}]}}",
            m = n + 1
        )
    });
    let defs: Vec<String> = doubled.collect();
    let schema =
        format!("{{\"$ref\":\"#/$defs/d0\",\"$defs\":{{{},\"d20\":{{\"type\":\"null\"}}}}}}", defs.join(","));
    wrong(&schema, "#/$defs/d13/anyOf: more than 64 alternatives at one place");
    let deep = format!("{}{{}}{}", r#"{"items":"#.repeat(60), "}".repeat(60));
    assert!(schema_grammar(&Json::parse(&deep).unwrap()).is_ok());
    let names: Vec<String> = (0..513).map(|n| format!("\"p{n}\":{{}}")).collect();
    wrong(&format!("{{\"properties\":{{{}}}}}", names.join(",")), "#/properties: more than 512 properties");
}

#[test]
fn any_object_is_an_object() {
    let grammar = Grammar::parse(&object_grammar()).unwrap();
    assert!(grammar.accepts(r#"{"a": [1, "x\u00e9", {"b": null}], "c": -0.5e3}"#));
    assert!(!grammar.accepts("[]") && !grammar.accepts(r#"{"a"}"#) && !grammar.accepts("{} "));
}
