//! Templates of the families that people run, against what Python's Jinja2 3.1 makes of them when Hugging Face sets it up.
//!
//! The expected texts were written by Jinja2, never by this crate; `UPDATE=1` would only make it agree with itself, so there is none.

#![allow(clippy::unwrap_used)] // A panic is how a test reports.

use std::fs;
use std::path::Path;

use prompt::template::Limits;
use prompt::{ChatInput, ChatTemplate, CivilTime, Json, TemplateError};

const NOW: CivilTime = CivilTime { year: 2026, month: 11, day: 21, hour: 8, minute: 5, second: 9 };

fn input<'a>(messages: &'a [Json], extra: &'a [(String, Json)]) -> ChatInput<'a> {
    ChatInput {
        messages,
        tools: None,
        add_generation_prompt: true,
        bos_token: "<s>",
        eos_token: "</s>",
        now: NOW,
        extra,
    }
}

/// Renders a template without messages within small limits, and tells what came of it.
fn told_within(source: &str, limits: Limits) -> String {
    let rendered =
        ChatTemplate::parse(source).and_then(|template| template.render_within(&input(&[], &[]), limits));
    rendered.unwrap_or_else(|error| format!("error: {error}"))
}

#[track_caller]
fn check(source: &str, want: &str) {
    assert_eq!(told_within(source, Limits::default()), want);
}

#[test]
fn every_family_gives_the_text_that_jinja2_gives() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/templates");
    let read = |name: String| {
        fs::read_to_string(folder.join(&name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    let cases = Json::parse(&read("cases.json".to_string())).unwrap();
    for case in cases.items().unwrap() {
        let name = case.get("name").and_then(Json::text).unwrap();
        let template = ChatTemplate::parse(&read(format!(
            "{}.jinja",
            case.get("template").and_then(Json::text).unwrap()
        )));
        let template = template.unwrap_or_else(|error| panic!("{name}: {error}"));
        let input = ChatInput {
            tools: case.get("tools").and_then(Json::items),
            add_generation_prompt: case.get("add_generation_prompt") != Some(&Json::Bool(false)),
            ..input(
                case.get("messages").and_then(Json::items).unwrap(),
                case.get("extra").and_then(Json::entries).unwrap_or_default(),
            )
        };
        let made = match template.render(&input) {
            Ok(text) => text,
            Err(TemplateError::Refused { what }) => format!("ERROR {what}"),
            Err(error) => panic!("{name}: {error}"),
        };
        let want = read(format!("{name}.txt"));
        for (made, want) in made.lines().zip(want.lines()) {
            assert_eq!(made, want, "in {name}");
        }
        assert_eq!(made, want, "{name}");
    }
}

#[test]
fn a_template_knows_what_it_speaks_of() {
    let template = ChatTemplate::parse("tools {% if messages %}{{ enable_thinking }}{% endif %}").unwrap();
    assert!(template.names("enable_thinking") && !template.names("tools"));
}

#[test]
fn marks_for_training_mean_nothing() {
    check("a {%- generation %} b {% endgeneration -%} c", "a b c");
    assert!(ChatTemplate::parse("{%}").is_err());
}

#[test]
fn mistakes_are_told_with_their_line() {
    check("\n{{ 1 + 'a' }}", "error: line 2 of the template: an int + a text means nothing");
    check("{{ a.b.c }}", "error: line 1 of the template: something undefined has no .b");
    check("{{ nothing() }}", "error: line 1 of the template: there is no function nothing");
    check("{{ [].append(1) }}", "error: line 1 of the template: lists cannot be changed, as .append would");
    check("{{ 1 // 0 }}", "error: line 1 of the template: division by zero");
    check("{{ 'x' | nope }}", "error: line 1 of the template: there is no filter nope");
    check("{{ x is nope }}", "error: line 1 of the template: is nope is not known");
    check(
        "{{ 9223372036854775807 + 1 }}",
        "error: line 1 of the template: 9223372036854775807 + 1 is too large",
    );
    check("{{ {} | tojson(indent=99) }}", "error: line 1 of the template: tojson indents by at most 16");
    check("{% include 'secret' %}", "error: line 1 of the template: unknown statement include");
    check(
        "{{ raise_exception('no tools here') }}",
        "error: the model's template refuses the messages: no tools here",
    );
}

#[test]
fn what_is_no_template_is_refused_when_it_is_read() {
    let wrong = |source: &str| ChatTemplate::parse(source).map(drop).unwrap_err().to_string();
    assert_eq!(wrong("{% if %}"), "line 1 of the template: unexpected end of block");
    assert_eq!(wrong(&"x".repeat(200_000)), "the template has 200000 bytes, but at most 131072 are allowed");
    let chain = format!("{{{{ {} }}}}", vec!["a"; 400].join("~"));
    assert_eq!(wrong(&chain), "line 1 of the template: a tag has more than 600 words");
    let choices = format!("{{% if a %}}{}{{% endif %}}", "{% elif a %}".repeat(300));
    assert_eq!(wrong(&choices), "line 1 of the template: more than 200 times elif");
    assert!(wrong(&format!("{{{{ {}1{} }}}}", "(".repeat(250), ")".repeat(250))).contains("recursion"));
    assert!(wrong(&"{% if a %}".repeat(2000)).contains("recursion"));
}

#[test]
fn a_hostile_template_runs_out_of_what_it_may_use() {
    let small = Limits { steps: 500_000, made_bytes: 1 << 20, output_bytes: 1 << 16, depth: 100 };
    let used_up = |source: &str, what: &str| {
        let want = format!("error: line 1 of the template: the limit for {what} is reached");
        assert_eq!(told_within(source, small), want, "{source}");
    };
    let doubled =
        "{% set n = namespace(s='xxxxxxxx') %}{% for i in range(99) %}{% set n.s = DOUBLE %}{% endfor %}";
    for double in [
        "n.s ~ n.s",
        "n.s + n.s",
        "n.s * 2",
        "n.s.replace('x', 'xx')",
        "[n.s, n.s] | join('-')",
        "'{}{}'.format(n.s, n.s)",
    ] {
        used_up(&doubled.replace("DOUBLE", double), "memory");
    }
    used_up(
        "{% set n = namespace(s=[1]) %}{% for i in range(99) %}{% set n.s = n.s + n.s %}{% endfor %}",
        "memory",
    );
    used_up("{{ 'x' * 100000000 }}", "memory");
    used_up("{{ 'x'.center(100000000) }}", "memory");
    used_up("{{ [0] * 100000000 }}", "memory");
    let sums = vec!["i"; 40].join(" + ");
    used_up(&format!("{{% for i in range(9999) %}}{{% set x = {sums} %}}{{% endfor %}}"), "steps");
    used_up("{% for i in range(9999) %}long enough to fill the page{% endfor %}", "the prompt's length");
    used_up("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "depth");
    // Lists that hold themselves twice look small and print for ever.
    let laughs =
        "{% set n = namespace(s=['ha']) %}{% for i in range(60) %}{% set n.s = [n.s, n.s] %}{% endfor %}";
    used_up(&format!("{laughs}{{{{ n.s }}}}"), "memory");
    used_up(&format!("{laughs}{{{{ n.s | tojson }}}}"), "memory");
    used_up(&format!("{laughs}{{{{ n.s == [n.s, n.s] }}}}"), "steps");
    used_up(
        "{% set n = namespace(s=[]) %}{% for i in range(999) %}{% set n.s = [n.s] %}{% endfor %}",
        "lists within lists",
    );
    used_up("{{ range(9999) | list | string | list | string | list | string | list }}", "memory");
}

#[test]
fn circles_are_no_trouble() {
    check("{% set n = namespace() %}{% set n.n = n %}{{ n.n.n }} {{ n == n.n }}", "<a namespace> True");
}

#[test]
fn the_largest_depth_fits_on_a_thread_s_stack() {
    let limits = Limits::default();
    let deep = "{% macro m(x) %}{% if x %}{% for i in [1] %}{% call(y) m(x) %}{{ [m(x ~ (y or 1))] }}{% endcall %}{% endfor %}{% endif %}{% endmacro %}{{ m(1) }}";
    assert_eq!(told_within(deep, limits), "error: line 1 of the template: the limit for depth is reached");
}
