//! Answers of models: of one, of several that are counted, and of a judge.

use super::asked::Asked;
use super::{Event, Machine, Message, Role, State, Value, Waits, Wish};
use crate::workflow::{Form, Kind};
use std::sync::Arc;
use std::time::Duration;

/// A judge says a number.
const JUDGE_TOKENS: u32 = 8;

impl Machine {
    /// A model that was asked says something.
    pub(super) fn told(&mut self, now: Duration, event: Event) {
        let State::Working(work) = &mut self.state else { return };
        let wishes = &mut self.wishes;
        let (used, is_over) = match &mut work.waits {
            Waits::Nobody | Waits::One(_) => return,
            Waits::Ask(asked) | Waits::Judge(_, asked) => (asked.told(event, wishes), asked.open().is_none()),
            Waits::Vote(all) => {
                let used = all.iter_mut().map(|asked| asked.told(event.clone(), wishes)).sum();
                (used, all.iter().all(|asked| asked.open().is_none()))
            }
        };
        // Each was given no more than is left.
        self.tokens_left = self.tokens_left.saturating_sub(used);
        if let Some(step) = self.steps.last_mut() {
            step.tokens += used;
        }
        if is_over {
            self.heard(now);
        }
    }

    /// Whoever was asked has answered or failed.
    fn heard(&mut self, now: Duration) {
        let State::Working(work) = &self.state else { return };
        match &work.waits {
            Waits::Nobody | Waits::One(_) => {}
            Waits::Vote(_) => self.count(now, "nobody answered"),
            Waits::Ask(asked) => {
                let form = match &self.workflow.nodes[work.node].kind {
                    Kind::Ask { asking, .. } | Kind::Summarise { asking, .. } => &asking.form,
                    _ => &Form::Free,
                };
                match asked.answer(form) {
                    Ok(value) => self.write(now, value),
                    Err(why) => self.fail(now, &why),
                }
            }
            Waits::Judge(texts, asked) => {
                let judged = asked.answer(&Form::Choice(numbers(texts.len())));
                let idx = match &judged {
                    Ok(number) => number.text().parse::<usize>().unwrap_or(1) - 1,
                    Err(_) => 0,
                };
                let text = texts.get(idx).cloned().unwrap_or_default();
                match judged {
                    Ok(_) => self.note(&format!("answer {} of {} was chosen", idx + 1, texts.len())),
                    Err(why) => self.note(&format!("no judge: {why}; the first answer is taken")),
                }
                self.write(now, Value::Text(text));
            }
        }
    }

    /// What the votes say that came; `why` is told where none did.
    pub(super) fn count(&mut self, now: Duration, why: &str) {
        let State::Working(work) = &mut self.state else { return };
        let Waits::Vote(all) = &mut work.waits else { return };
        let workflow = Arc::clone(&self.workflow);
        let Kind::Vote { experts, asking, judge } = &workflow.nodes[work.node].kind else { return };
        // Who has not answered is not waited for.
        self.wishes.extend(all.iter().filter_map(Asked::open).map(|id| Wish::Stop { id }));
        let all = std::mem::take(all);
        let (mut texts, mut silent): (Vec<String>, Vec<String>) = (vec![], vec![]);
        for (expert, asked) in experts.iter().zip(&all) {
            match asked.answer(&asking.form) {
                Ok(value) => texts.push(value.text()),
                Err(why) => silent.push(format!("{expert}: {why}")),
            }
        }
        silent.iter().for_each(|why| self.note(why));
        let Some(first) = texts.first().cloned() else { return self.fail(now, why) };
        match judge {
            Some(judge) if texts.len() > 1 => {
                let tokens = JUDGE_TOKENS.min(self.tokens_left);
                if tokens == 0 {
                    self.note(&format!("{}; the first answer is taken", self.no_tokens()));
                    return self.write(now, Value::Text(first));
                }
                let id = self.id();
                let wish = self.judges(id, judge, &asking.prompt.fill(&self.slots), &texts, tokens);
                self.wishes.push_back(wish);
                if let State::Working(work) = &mut self.state {
                    // It has the node's time for itself.
                    work.ends = now.saturating_add(workflow.nodes[work.node].time);
                    work.waits = Waits::Judge(texts, Asked::new(id, tokens, false));
                }
            }
            Some(_) => self.write(now, Value::Text(first)),
            None => {
                let votes = |word: &String| texts.iter().filter(|other| *other == word).count();
                // Of words that have as many votes, the one that was said by an expert named earlier.
                let most = texts.iter().map(votes).max().unwrap_or(0);
                let word = texts.iter().find(|word| votes(word) == most).unwrap_or(&first).clone();
                self.note(&format!("{word}: {most} of {} votes", texts.len()));
                self.write(now, Value::Text(word));
            }
        }
    }

    fn judges(&self, id: super::Id, judge: &str, question: &str, texts: &[String], tokens: u32) -> Wish {
        let mut text = format!("The question was:\n{question}\n");
        for (idx, answer) in texts.iter().enumerate() {
            text += &format!("\nAnswer {}:\n{answer}\n", idx + 1);
        }
        text += "\nWhich answer is the best? Say its number alone.";
        Wish::Ask {
            id,
            expert: judge.to_owned(),
            persona: None,
            messages: vec![Message { role: Role::Person, text }],
            form: Form::Choice(numbers(texts.len())),
            tokens,
        }
    }
}

fn numbers(n: usize) -> Vec<String> {
    (1..=n).map(|number| number.to_string()).collect()
}
