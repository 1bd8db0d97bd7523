//! The phrases of a language as a grammar in JSGF, for a recogniser that hears what it is given and nothing else.
//!
//! Phrases with `<words>` or `<rest>` are left out, since a grammar cannot hold what is not known before.

use super::Intents;
use super::amount::Amounts;
use std::collections::BTreeMap;

impl Intents {
    /// Rules `<number>`, `<length>`, `<clock>`, `<idle>` and, of all of them, `<wish>`: none of them public. `knows` says
    /// which words the recogniser has; what needs another is left out. Nothing where no phrase is left.
    pub fn grammar(&self, knows: &dyn Fn(&str) -> bool) -> Option<String> {
        let mut rules = BTreeMap::new();
        rules.insert("number", numbers(&self.amounts, knows));
        rules.insert("unit", self.amounts.units.keys().filter(|word| knows(word)).cloned().collect());
        rules.insert("length", lengths(&self.amounts, knows));
        rules.insert("clock", written(self.amounts.clocks.iter().map(|clock| &clock.pattern), knows));
        rules.insert("idle", self.idle.iter().filter(|word| knows(word)).cloned().collect());
        // A rule without a way would make all that names it unspeakable.
        if rules.iter().any(|(name, ways)| ways.is_empty() && *name != "idle") {
            return None;
        }
        let polite = rules.get("idle").is_some_and(|ways| !ways.is_empty());
        if !polite {
            rules.remove("idle");
        }
        let patterns = self.intents.iter().flat_map(|intent| &intent.patterns);
        let phrases = written(patterns, knows);
        if phrases.is_empty() {
            return None;
        }
        rules.insert("phrase", phrases);
        // People are polite, and call the house by its name.
        let wish = if polite { "[<idle> [<idle>]] <phrase> [<idle>]" } else { "<phrase>" };
        rules.insert("wish", vec![wish.to_owned()]);
        let line = |(name, ways): (&str, Vec<String>)| format!("<{name}> = {};\n", ways.join(" | "));
        Some(rules.into_iter().map(line).collect())
    }
}

fn written<'a>(
    patterns: impl Iterator<Item = &'a super::pattern::Pattern>,
    knows: &dyn Fn(&str) -> bool,
) -> Vec<String> {
    patterns.filter_map(|pattern| pattern.jsgf(knows)).filter(|text| !text.is_empty()).collect()
}

fn numbers(amounts: &Amounts, knows: &dyn Fn(&str) -> bool) -> Vec<String> {
    let of = |is_it: &dyn Fn(u32) -> bool| -> Vec<String> {
        let named = amounts.numbers.iter().filter(|(word, number)| is_it(**number) && knows(word));
        named.map(|(word, _)| word.clone()).collect()
    };
    let mut ways = of(&|_| true);
    let is_word = |word: &String| word.len() > "an".len();
    let tens = of(&|number| (20..100).contains(&number) && number % 10 == 0);
    // Nobody says twenty a.
    let ones: Vec<String> = of(&|number| (1..10).contains(&number)).into_iter().filter(is_word).collect();
    if !tens.is_empty() && !ones.is_empty() {
        ways.push(format!("({}) ({})", tens.join("|"), ones.join("|")));
    }
    ways
}

fn lengths(amounts: &Amounts, knows: &dyn Fn(&str) -> bool) -> Vec<String> {
    let all_known = |words: &[String]| words.iter().all(|word| knows(word));
    let joints: Vec<&str> = amounts.joints.iter().map(String::as_str).filter(|word| knows(word)).collect();
    let joint = if joints.is_empty() { String::new() } else { format!("[{}] ", joints.join("|")) };
    let mut ways = vec!["<number> <unit>".to_owned(), format!("<number> <unit> {joint}<number> <unit>")];
    ways.extend(amounts.halves.iter().filter(|half| all_known(half)).flat_map(|half| {
        let half = half.join(" ");
        [format!("<number> <unit> {half}"), format!("<number> {half} <unit>")]
    }));
    let whole = amounts.lengths.iter().filter(|(words, _)| all_known(words));
    ways.extend(whole.map(|(words, _)| words.join(" ")));
    ways
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
        language = "en"
        idle = ["please"]
        [numbers]
        one = 1
        twenty = 20
        [length]
        minutes = ["minute", "min"]
        and = ["and"]
        whole = { "half an hour" = 1800 }
        [[clock]]
        say = ["<number:hour> (oclock)"]
        [[intent]]
        name = "x"
        say = ["(set|start) a [timer|clock] for <length>", "wake me at <clock>", "note <rest>", "[quux]"]
    "#;

    #[track_caller]
    fn check(unknown: &[&str], want: &[&str]) {
        let intents = Intents::read(FILE).unwrap();
        let grammar = intents.grammar(&|word| !unknown.contains(&word)).unwrap();
        let lines: Vec<&str> = grammar.lines().collect();
        assert_eq!(lines, want);
    }

    #[test]
    fn every_phrase_that_is_not_free_is_written() {
        check(
            &["quux"],
            &[
                "<clock> = <number> [oclock];",
                "<idle> = please;",
                "<length> = <number> <unit> | <number> <unit> [and] <number> <unit> | half an hour;",
                "<number> = one | twenty | (twenty) (one);",
                "<phrase> = [set|start] a (timer|clock) for <length> | wake me at <clock>;",
                "<unit> = min | minute;",
                "<wish> = [<idle> [<idle>]] <phrase> [<idle>];",
            ],
        );
    }

    #[test]
    fn what_needs_a_word_that_the_recogniser_lacks_is_left_out() {
        check(
            &["quux", "clock", "set", "start", "wake", "oclock", "please", "and", "half", "min", "twenty"],
            &[
                "<clock> = <number>;",
                "<length> = <number> <unit> | <number> <unit> <number> <unit>;",
                "<number> = one;",
                "<phrase> = a (timer) for <length>;",
                "<unit> = minute;",
                "<wish> = <phrase>;",
            ],
        );
        assert_eq!(Intents::read(FILE).unwrap().grammar(&|_| false), None);
    }
}
