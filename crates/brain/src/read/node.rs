//! Reads one node: what it does, its fields, and where the way goes on.

use super::{Places, SECONDS_MAX, STEP_SECONDS, STEP_TOKENS, TOKENS_MAX};
use crate::fields::{Fields, Word, is_name};
use crate::mistake::{At, Pad};
use crate::template::Template;
use crate::workflow::{Asking, Form, Kind, Known, Node, To, Who};
use crate::yaml;
use std::collections::BTreeMap;
use std::time::Duration;

/// A person takes longer.
const PERSON_SECONDS: u32 = 120;
const CHOICES_MAX: usize = 16;
const LINES_MAX: u32 = 20;
const ROUNDS_MAX: u32 = 20;
const RECALLED_MAX: u32 = 20;
const VOTERS_MAX: usize = 7;
const ARGUMENTS_MAX: usize = 16;
/// Tools of which a model may choose one by name.
const TOOLS_MAX: usize = 32;
/// In place of their names: all that there are when it is asked.
const ANY_TOOL: &str = "any";
/// Where the way ends without a node more.
const END: &str = "end";

pub(super) struct Reader<'a> {
    pub known: &'a Known,
    pub names: BTreeMap<&'a str, usize>,
    pub n_nodes: usize,
    pub places: Places,
    pub pad: &'a mut Pad,
}

impl Reader<'_> {
    pub fn node(&mut self, idx: usize, key: &yaml::Key, node: &yaml::Node) -> Option<Node> {
        let name = Word { at: key.at, text: key.name.clone() };
        if name.text == END {
            self.pad.note(name.at, "`end` is where a way ends, and no name for a node");
        }
        let is_good = is_name(&name, self.pad);
        let fields = Fields::of(node, &format!("the node {}", name.text), self.pad)?.told_at(key.at);
        let kind = fields.need_word("do", self.pad)?;
        let read = self.kind(idx, &kind, &fields);
        let is_person = matches!(read, Some(Kind::Person { .. }));
        let seconds = fields.number("seconds", 1..=SECONDS_MAX, self.pad);
        let seconds = seconds.unwrap_or(if is_person { PERSON_SECONDS } else { STEP_SECONDS });
        let into = match kind.text.as_str() {
            "branch" | "loop" | "answer" => None,
            _ => {
                let into = fields.need("into", self.pad).and_then(|_| fields.name("into", self.pad));
                into.inspect(|into| self.place(idx, &into.text, into.at)).map(|into| into.text)
            }
        };
        let next = match kind.text.as_str() {
            "branch" | "answer" => None,
            _ => match fields.word("next", self.pad) {
                Some(to) => self.to(&to),
                None if fields.get("next").is_none() && idx + 1 < self.n_nodes => Some(To::Node(idx + 1)),
                None => {
                    self.pad
                        .note(key.at, format!("the node {} is the last, so it must say `next`", name.text));
                    None
                }
            },
        };
        let otherwise = match kind.text.as_str() {
            "write" | "branch" | "loop" | "answer" => None,
            "intent" => fields.need_word("else", self.pad).and_then(|to| self.to(&to)),
            _ => fields.word("else", self.pad).and_then(|to| self.to(&to)),
        };
        let is_aloud = matches!(read, Some(Kind::Ask { is_aloud: true, .. }));
        if [next, otherwise].contains(&Some(To::End)) && !is_aloud {
            self.pad.note(
                key.at,
                format!("the node {} ends the run without a word: lead it to an answer, or let it speak with `aloud: yes`", name.text),
            );
        }
        if otherwise == Some(To::End) {
            self.pad
                .note(key.at, "`else` cannot be the end: nothing would have been said; lead it to an answer");
        }
        fields.rest(self.pad);
        let time = Duration::from_secs(seconds.into());
        let node = Node { name: name.text, at: key.at, kind: read?, into, next, otherwise, time };
        is_good.then_some(node)
    }

    fn kind(&mut self, idx: usize, kind: &Word, fields: &Fields<'_>) -> Option<Kind> {
        Some(match kind.text.as_str() {
            "intent" => Kind::Intent { text: self.template(idx, fields, "text")? },
            "recall" => Kind::Recall {
                query: self.template(idx, fields, "query")?,
                most: fields.number("most", 1..=RECALLED_MAX, self.pad).unwrap_or(4) as usize,
            },
            "route" => Kind::Route { text: self.template(idx, fields, "text")? },
            "ask" => {
                let is_aloud = fields.flag("aloud", self.pad);
                let who = fields.need_word("expert", self.pad);
                let asking = self.asking(idx, fields, "prompt");
                let (who, asking) = (self.who(idx, &who?)?, asking?);
                if is_aloud && asking.form != Form::Free {
                    self.pad.note(
                        fields.at(),
                        "what is said aloud cannot have `choices`, `lines` or `tools`; take one away",
                    );
                }
                Kind::Ask { who, asking, is_aloud }
            }
            "vote" => self.vote(idx, fields)?,
            "summarise" => {
                let of = fields.need("of", self.pad).and_then(|_| fields.name("of", self.pad))?;
                self.place(idx, &of.text, of.at);
                let who = fields.need_word("expert", self.pad);
                let above = fields.number("above", 0..=crate::SLOT_BYTES_MAX as u32, self.pad).unwrap_or(0);
                let prompt = Word { at: of.at, text: format!("{{{}}}", of.text) };
                let prompt = Template::read(&prompt, self.pad)?;
                let persona = self.persona(fields);
                let tokens = fields.number("tokens", 1..=TOKENS_MAX, self.pad).unwrap_or(STEP_TOKENS);
                let asking = Asking { persona, talk: None, prompt, form: Form::Free, tokens };
                Kind::Summarise { of: of.text, who: self.who(idx, &who?)?, asking, above: above as usize }
            }
            "tool" => {
                let name = fields.need_word("tool", self.pad)?;
                self.known(&name, "tool", |known| &known.tools);
                let pairs = fields.pairs("arguments", ARGUMENTS_MAX, self.pad);
                let filled = pairs.into_iter().map(|(key, text)| Some((key.text, self.text(idx, &text)?)));
                let arguments = filled.collect::<Vec<_>>().into_iter().collect::<Option<_>>()?;
                Kind::Tool { name: name.text, arguments }
            }
            "call" => {
                let of = fields.need("of", self.pad).and_then(|_| fields.name("of", self.pad))?;
                self.place(idx, &of.text, of.at);
                Kind::Call { of: of.text }
            }
            "write" => Kind::Write { text: self.template(idx, fields, "text")? },
            "branch" => {
                let on = fields.need("on", self.pad).and_then(|_| fields.name("on", self.pad))?;
                self.place(idx, &on.text, on.at);
                fields.need("cases", self.pad)?;
                let cases = fields.pairs("cases", CHOICES_MAX, self.pad);
                let cases =
                    cases.iter().filter_map(|(word, to)| Some((word.text.clone(), self.to(to)?))).collect();
                let otherwise = fields.word("otherwise", self.pad).and_then(|to| self.to(&to));
                Kind::Branch { on: on.text, cases, otherwise }
            }
            "loop" => {
                let body = fields.need_word("body", self.pad);
                fields.need("most", self.pad)?;
                let most = fields.number("most", 1..=ROUNDS_MAX, self.pad)?;
                Kind::Loop { body: self.to(&body?)?, most }
            }
            "person" => Kind::Person { question: self.template(idx, fields, "question")? },
            "answer" => Kind::Answer { text: self.template(idx, fields, "text")? },
            other => {
                let kinds = "intent, recall, route, ask, vote, summarise, tool, call, write, branch, loop, person, answer";
                self.pad.note(kind.at, format!("nodes cannot do `{other}`; they can: {kinds}"));
                return None;
            }
        })
    }

    fn vote(&mut self, idx: usize, fields: &Fields<'_>) -> Option<Kind> {
        fields.need("experts", self.pad)?;
        let experts = fields.words("experts", VOTERS_MAX, self.pad);
        if experts.len() < 2 {
            self.pad.note(fields.at(), "a vote needs at least two `experts`; one may be there twice");
        }
        for expert in &experts {
            self.known(expert, "expert", |known| &known.personas);
        }
        let judge = fields.word("judge", self.pad);
        if let Some(judge) = &judge {
            self.known(judge, "expert", |known| &known.personas);
        }
        let asking = self.asking(idx, fields, "prompt")?;
        match (&asking.form, &judge) {
            (Form::Free, None) => self
                .pad
                .note(fields.at(), "a vote on free answers needs a `judge`, one on `choices` counts them"),
            (Form::Choice(_), Some(judge)) => {
                self.pad.note(judge.at, "where there are `choices` they are counted; take the judge away")
            }
            (Form::Lines(_) | Form::Call(_), _) => self
                .pad
                .note(fields.at(), "a vote is on `choices` or on free answers, not on `lines` or `tools`"),
            _ => {}
        }
        let experts = experts.into_iter().map(|expert| expert.text).collect();
        Some(Kind::Vote { experts, asking, judge: judge.map(|judge| judge.text) })
    }

    fn asking(&mut self, idx: usize, fields: &Fields<'_>, prompt: &'static str) -> Option<Asking> {
        let persona = self.persona(fields);
        let talk = fields.name("talk", self.pad);
        if let Some(talk) = &talk {
            self.place(idx, &talk.text, talk.at);
        }
        let choices = fields.words("choices", CHOICES_MAX, self.pad);
        let lines = fields.number("lines", 1..=LINES_MAX, self.pad);
        let tools = self.tools(fields);
        if [!choices.is_empty(), lines.is_some(), tools.is_some()]
            .iter()
            .filter(|is_there| **is_there)
            .count()
            > 1
        {
            self.pad.note(fields.at(), "an answer has `choices`, `lines` or `tools`, and one of them alone");
        }
        for word in &choices {
            is_name(word, self.pad);
        }
        let form = match (choices.is_empty(), lines, tools) {
            (false, _, _) => Form::Choice(choices.into_iter().map(|word| word.text).collect()),
            (true, Some(lines), _) => Form::Lines(lines as usize),
            (true, None, Some(tools)) => Form::Call(tools),
            (true, None, None) => Form::Free,
        };
        let tokens = fields.number("tokens", 1..=TOKENS_MAX, self.pad).unwrap_or(STEP_TOKENS);
        let prompt = self.template(idx, fields, prompt)?;
        Some(Asking { persona, talk: talk.map(|talk| talk.text), prompt, form, tokens })
    }

    /// Those that a model may call; none named is any.
    fn tools(&mut self, fields: &Fields<'_>) -> Option<Vec<String>> {
        fields.get("tools")?;
        let tools = fields.words("tools", TOOLS_MAX, self.pad);
        if let [only] = tools.as_slice()
            && only.text == ANY_TOOL
        {
            return Some(vec![]);
        }
        for tool in &tools {
            self.known(tool, "tool", |known| &known.tools);
        }
        Some(tools.into_iter().map(|tool| tool.text).collect())
    }

    fn persona(&mut self, fields: &Fields<'_>) -> Option<String> {
        let persona = fields.word("persona", self.pad)?;
        self.known(&persona, "persona", |known| &known.personas);
        Some(persona.text)
    }

    fn who(&mut self, idx: usize, who: &Word) -> Option<Who> {
        let slot = who.text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        match slot {
            Some(slot) => {
                let word = Word { at: who.at, text: slot.to_owned() };
                self.place(idx, slot, who.at);
                is_name(&word, self.pad).then_some(Who::Slot(word.text))
            }
            None => {
                self.known(who, "expert", |known| &known.personas);
                Some(Who::Name(who.text.clone()))
            }
        }
    }

    fn known(&mut self, name: &Word, what: &str, of: impl Fn(&Known) -> &Vec<String>) {
        let known = of(self.known);
        if !known.contains(&name.text) {
            let there = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            self.pad.note(name.at, format!("there is no {what} `{}`; there are: {there}", name.text));
        }
    }

    fn template(&mut self, idx: usize, fields: &Fields<'_>, name: &'static str) -> Option<Template> {
        let word = fields.need_word(name, self.pad)?;
        self.text(idx, &word)
    }

    fn text(&mut self, idx: usize, word: &Word) -> Option<Template> {
        let template = Template::read(word, self.pad)?;
        let slots: Vec<String> = template.slots().map(str::to_owned).collect();
        slots.iter().for_each(|slot| self.place(idx, slot, word.at));
        Some(template)
    }

    fn place(&mut self, idx: usize, slot: &str, at: At) {
        self.places.entry((idx, slot.to_owned())).or_insert(at);
    }

    fn to(&mut self, to: &Word) -> Option<To> {
        if to.text == END {
            return Some(To::End);
        }
        let found = self.names.get(to.text.as_str()).map(|idx| To::Node(*idx));
        if found.is_none() {
            self.pad.note(to.at, format!("there is no node `{}` to go to", to.text));
        }
        found
    }
}
