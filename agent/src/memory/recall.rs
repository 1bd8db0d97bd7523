//! `agent measure-recall`: how often a question in other words finds the fact that it is about, by words, by vectors and by
//! both together, as a desk looks for it.

use super::search::{self, Hit};
use super::vectors::{Vectors, quantize};
use crate::args::MeasureRecall as Args;
use crate::brain::command::gateway;
use crate::gateway::Gateway;
use crate::gateway::route::AUTO;
use anyhow::{Context, bail};
use journal::{Book, Entry, Fact, FactId};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// Texts of one request for vectors.
const TEXTS_MAX: usize = 64;
/// Facts of each list, as a desk has them.
const HITS_MAX: usize = 50;
/// Questions whose fact came late, that are shown.
const SHOWN_MAX: usize = 40;

struct Line {
    language: String,
    fact: FactId,
    question: String,
}

pub async fn run(args: Args) -> anyhow::Result<String> {
    let text =
        std::fs::read_to_string(&args.file).with_context(|| format!("reading {}", args.file.display()))?;
    let (book, lines) = read(&text).with_context(|| args.file.display().to_string())?;
    let by_words = |line: &Line| search::by_words(&book, None, &line.question, HITS_MAX);
    let began = Instant::now();
    let words = lines.iter().map(by_words).collect::<Vec<_>>();
    let mut ways = BTreeMap::from([("words", figures(&lines, &words, began))]);
    match args.llm_url {
        None => ways.extend(["vectors", "both"].map(|way| (way, json!({ "why": "no --llm-url was given" })))),
        Some(_) => {
            let model = args.embeddings.as_deref().unwrap_or(AUTO);
            match by_vectors(&gateway(args.llm_url), model, &book, &lines, words).await {
                Ok(figures) => ways.extend(["vectors", "both"].into_iter().zip(figures)),
                Err(why) => ways.extend(["vectors", "both"].map(|way| (way, json!({ "why": why })))),
            }
        }
    }
    let (n_facts, n_questions) = (book.facts().len(), lines.len());
    Ok(json!({ "n_facts": n_facts, "n_questions": n_questions, "ways": ways }).to_string() + "\n")
}

fn read(text: &str) -> anyhow::Result<(Book, Vec<Line>)> {
    let (mut book, mut lines) = (Book::default(), vec![]);
    for (idx, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
    {
        let mut parts = line.split('\t');
        let (Some(language), Some(text), Some(question), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            bail!("line {}: a language, a fact and a question are wanted, with tabs between", idx + 1);
        };
        let mut id = FactId([0; 16]);
        id.0.copy_from_slice(&blake3::hash(text.as_bytes()).as_bytes()[..16]);
        let fact = Fact { id, salt: [0; 16], told_s: 0, node: 0, text: text.into() };
        fact.check().with_context(|| format!("line {}", idx + 1))?;
        book.take(Entry::Fact(fact));
        lines.push(Line { language: language.into(), fact: id, question: question.into() });
    }
    if lines.is_empty() { bail!("there is no question in it") } else { Ok((book, lines)) }
}

/// By vectors alone, and with the words that were found already.
async fn by_vectors(
    gateway: &Arc<Gateway>,
    model: &str,
    book: &Book,
    lines: &[Line],
    words: Vec<Vec<Hit>>,
) -> Result<[Value; 2], String> {
    let facts: Vec<&Fact> = book.facts().collect();
    let texts: Vec<String> = facts.iter().map(|fact| fact.text.clone()).collect();
    let odd = || "the model gave a vector that says nothing".to_owned();
    let mut kept = Vectors::default();
    for (fact, vector) in facts.iter().zip(made(gateway, model, &texts).await?) {
        if !kept.put(fact.id, &quantize(&vector).ok_or_else(odd)?) {
            return Err("the model gave vectors of several lengths".into());
        }
    }
    let began = Instant::now();
    let questions: Vec<String> = lines.iter().map(|line| line.question.clone()).collect();
    let mut near = vec![];
    for vector in made(gateway, model, &questions).await? {
        near.push(kept.nearest(&quantize(&vector).ok_or_else(odd)?, HITS_MAX));
    }
    let alone: Vec<Vec<Hit>> = near.iter().map(|near| search::by_both(vec![], near, HITS_MAX)).collect();
    let vectors = figures(lines, &alone, began);
    let both: Vec<Vec<Hit>> =
        words.into_iter().zip(&near).map(|(words, near)| search::by_both(words, near, HITS_MAX)).collect();
    Ok([vectors, figures(lines, &both, began)])
}

async fn made(gateway: &Arc<Gateway>, model: &str, texts: &[String]) -> Result<Vec<Vec<f32>>, String> {
    let mut all = vec![];
    for some in texts.chunks(TEXTS_MAX) {
        all.extend(gateway.vectors_for_this_node(model, some).await?);
    }
    Ok(all)
}

/// The figures of one way, of all languages together and of each.
fn figures(lines: &[Line], found: &[Vec<Hit>], began: Instant) -> Value {
    let ms_each = began.elapsed().as_secs_f64() * 1e3 / lines.len() as f64;
    let (mut of_each, mut late): (BTreeMap<&str, [usize; 4]>, _) = (BTreeMap::new(), vec![]);
    for (line, hits) in lines.iter().zip(found) {
        let place = hits.iter().position(|hit| hit.id == line.fact);
        for key in ["all", &line.language] {
            let [first, three, five, n] = of_each.entry(key).or_default();
            *first += usize::from(place == Some(0));
            *three += usize::from(place.is_some_and(|place| place < 3));
            *five += usize::from(place.is_some_and(|place| place < 5));
            *n += 1;
        }
        if place != Some(0) && late.len() < SHOWN_MAX {
            late.push(json!([line.language, line.question, place.map(|place| place + 1)]));
        }
    }
    let of_each: BTreeMap<&str, Value> = of_each
        .into_iter()
        .map(|(language, [first, three, five, n])| {
            (language, json!({ "first": first, "in_three": three, "in_five": five, "n": n }))
        })
        .collect();
    json!({ "found": of_each, "ms_each": ms_each, "late": late })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, want: &str) {
        let Err(error) = read(text) else { panic!("{text}") };
        assert!(format!("{error:#}").contains(want), "{error:#}");
    }

    #[test]
    fn a_line_is_a_language_a_fact_and_a_question() {
        let (book, lines) = read("# x\nen\tA key lies here.\tWhere?\nen\tA key lies here.\tWhat?\n").unwrap();
        assert_eq!((book.facts().len(), lines.len()), (1, 2));
        check("en\tA key lies here.\n", "line 1: a language, a fact and a question");
        check("en\ta\tb\tc\n", "line 1");
        check("en\t\tb\n", "line 1");
        check("# nothing\n", "there is no question in it");
    }

    #[test]
    fn places_are_counted_for_each_language() {
        let text = "en\tThe key lies on the shelf.\tWhich shelf?\nde\tDie Katze heißt Minka.\tWas?\n";
        let (book, lines) = read(text).unwrap();
        let found: Vec<Vec<Hit>> =
            lines.iter().map(|line| search::by_words(&book, None, &line.question, 5)).collect();
        let told = figures(&lines, &found, Instant::now());
        assert_eq!(told["found"]["all"], json!({ "first": 1, "in_three": 1, "in_five": 1, "n": 2 }));
        assert_eq!(told["found"]["de"], json!({ "first": 0, "in_three": 0, "in_five": 0, "n": 1 }));
        assert_eq!(told["late"], json!([["de", "Was?", null]]));
    }
}
