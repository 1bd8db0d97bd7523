//! How often each way of routing is right, on sentences whose experts are known.

use super::ask;
use super::command::gateway;
use super::library::{GENERAL, Library};
use super::router::{nearest, question};
use crate::answer::TOOLS;
use crate::answer::model::{GatewayModels, Models};
use crate::args::MeasureRouting as Args;
use crate::gateway::Gateway;
use crate::gateway::route::AUTO;
use crate::talk::parts::{Part, Stop};
use anyhow::{Context, bail};
use brain::{Persona, route};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tools::Spec;

/// Texts of one request for vectors.
const TEXTS_MAX: usize = 64;
/// Wrong choices that are shown.
const SHOWN_MAX: usize = 40;

/// A sentence and who should answer it.
struct Sentence {
    expert: String,
    text: String,
}

pub async fn run(args: Args) -> anyhow::Result<String> {
    let library = Library::shipped(&TOOLS);
    let experts: Vec<Arc<Persona>> =
        library.personas().into_iter().map(|kept| kept.value).filter(|one| one.is_expert()).collect();
    let mut told = whole(&args, &args.file, &library, &experts).await?;
    if let Some(file) = &args.tuned {
        told["tuned_on"] = whole(&args, file, &library, &experts).await?;
    }
    Ok(told.to_string() + "\n")
}

/// Every way, on the sentences of one file.
async fn whole(
    args: &Args,
    file: &Path,
    library: &Library,
    experts: &[Arc<Persona>],
) -> anyhow::Result<Value> {
    let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let sentences = sentences(&text, experts).with_context(|| file.display().to_string())?;
    let mut ways = BTreeMap::from([("words", by_words(experts, &sentences))]);
    let none = json!({ "why": "no --llm-url was given" });
    match args.llm_url {
        None => ways.extend([("vectors", none.clone()), ("model", none)]),
        Some(_) => {
            let gateway = gateway(args.llm_url);
            let model = args.embeddings.as_deref().unwrap_or(AUTO);
            let vectors = by_vectors(&gateway, model, experts, &sentences).await;
            ways.insert("vectors", vectors.unwrap_or_else(|why| json!({ "why": why })));
            let model = args.model.as_deref().unwrap_or(AUTO);
            let chosen = by_model(&gateway, library, model, experts, &sentences).await;
            ways.insert("model", chosen.unwrap_or_else(|why| json!({ "why": why })));
        }
    }
    let names: Vec<&str> = experts.iter().map(|expert| expert.name.as_str()).collect();
    Ok(json!({ "n_sentences": sentences.len(), "experts": names, "ways": ways }))
}

fn sentences(text: &str, experts: &[Arc<Persona>]) -> anyhow::Result<Vec<Sentence>> {
    let mut all = vec![];
    for (idx, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
    {
        let Some((expert, text)) = line.split_once('\t') else {
            bail!("line {}: an expert, a tab and a sentence are wanted", idx + 1);
        };
        if !experts.iter().any(|known| known.name == expert) {
            bail!("line {}: there is no expert {expert:?}", idx + 1);
        }
        all.push(Sentence { expert: expert.into(), text: text.into() });
    }
    if all.is_empty() { bail!("there is no sentence in it") } else { Ok(all) }
}

/// The figures of one way.
fn figures(sentences: &[Sentence], chosen: &[String], began: Instant) -> Value {
    let pairs = sentences.iter().zip(chosen);
    let n_right = pairs.clone().filter(|(sentence, chosen)| sentence.expert == **chosen).count();
    let mut of_each: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
    for (sentence, chosen) in pairs.clone() {
        let [right, all] = of_each.entry(&sentence.expert).or_default();
        *right += usize::from(sentence.expert == *chosen);
        *all += 1;
    }
    let wrong: Vec<Value> = pairs
        .filter(|(sentence, chosen)| sentence.expert != **chosen)
        .take(SHOWN_MAX)
        .map(|(sentence, chosen)| json!([sentence.expert, chosen, sentence.text]))
        .collect();
    json!({
        "routing_accuracy": n_right as f64 / sentences.len() as f64,
        "n_right": n_right,
        "right_of_each": of_each,
        "ms_each": began.elapsed().as_secs_f64() * 1e3 / sentences.len() as f64,
        "wrong": wrong,
    })
}

fn by_words(experts: &[Arc<Persona>], sentences: &[Sentence]) -> Value {
    let began = Instant::now();
    let names: Vec<&Persona> = experts.iter().map(|expert| &**expert).collect();
    let choose = |sentence: &Sentence| {
        route::by_words(&names, &sentence.text).map_or_else(|| GENERAL.to_owned(), |chosen| chosen.expert)
    };
    let chosen: Vec<String> = sentences.iter().map(choose).collect();
    figures(sentences, &chosen, began)
}

async fn by_vectors(
    gateway: &Arc<Gateway>,
    model: &str,
    experts: &[Arc<Persona>],
    sentences: &[Sentence],
) -> Result<Value, String> {
    let examples: Vec<String> = experts.iter().flat_map(|expert| expert.examples.clone()).collect();
    let of_examples = vectors(gateway, model, &examples).await?;
    let began = Instant::now();
    let texts: Vec<String> = sentences.iter().map(|sentence| sentence.text.clone()).collect();
    let of_sentences = vectors(gateway, model, &texts).await?;
    let choose = |(vector, text): (&Vec<f32>, &String)| {
        let chosen = nearest(experts, &of_examples, vector, text);
        chosen.map_or_else(|| GENERAL.to_owned(), |chosen| chosen.expert)
    };
    let chosen: Vec<String> = of_sentences.iter().zip(&texts).map(choose).collect();
    Ok(figures(sentences, &chosen, began))
}

async fn vectors(gateway: &Arc<Gateway>, model: &str, texts: &[String]) -> Result<Vec<Vec<f32>>, String> {
    let mut all = vec![];
    for some in texts.chunks(TEXTS_MAX) {
        all.extend(gateway.vectors_for_this_node(model, some).await?);
    }
    Ok(all)
}

async fn by_model(
    gateway: &Arc<Gateway>,
    library: &Library,
    model: &str,
    experts: &[Arc<Persona>],
    sentences: &[Sentence],
) -> Result<Value, String> {
    let models = GatewayModels { gateway: gateway.clone(), runtime: Handle::current() };
    let (began, mut chosen) = (Instant::now(), vec![]);
    for sentence in sentences {
        let said = said(&models, library, model, &question(experts, &sentence.text), &[]).await?;
        chosen.push(said.trim_matches(|letter: char| !letter.is_alphanumeric()).to_owned());
    }
    Ok(figures(sentences, &chosen, began))
}

/// What a model says to one question, whole.
pub async fn said(
    models: &GatewayModels,
    library: &Library,
    model: &str,
    asking: &ask::Asking,
    tools: &[Spec],
) -> Result<String, String> {
    let (told, mut parts) = mpsc::unbounded_channel();
    let sink = Box::new(move |part| _ = told.send(part));
    let mut job = ask::job(library, asking, tools, Stop::default(), sink);
    job.body = openai::with_handover(&job.body, model, false, None).map_err(|error| error.message)?;
    models.ask(job);
    let mut said = String::new();
    while let Some(part) = parts.recv().await {
        match part {
            Part::Words(words) => said.push_str(&words),
            Part::Failed(why) => return Err(why),
            Part::End => break,
            Part::By(_) | Part::Steps(_) => {}
        }
    }
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_without_a_server_says_so_and_words_are_measured() {
        let folder = std::env::temp_dir().join(format!("duet-routing-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("sentences.tsv");
        std::fs::write(&file, "# made up\nmath\tWhat is 3 times 4?\ncoding\tWrite a haiku.\n").unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let tuned = Some(file.clone());
        let args = || Args {
            file: file.clone(),
            tuned: tuned.clone(),
            llm_url: None,
            model: None,
            embeddings: None,
        };
        let told: Value = serde_json::from_str(&runtime.block_on(run(args())).unwrap()).unwrap();
        assert_eq!((&told["n_sentences"], &told["ways"]["words"]["n_right"]), (&json!(2), &json!(1)));
        assert_eq!(told["ways"]["words"]["wrong"], json!([["coding", "creative", "Write a haiku."]]));
        assert_eq!(told["tuned_on"]["ways"]["words"]["n_right"], 1);
        assert!(told["ways"]["model"]["why"].as_str().unwrap().contains("--llm-url"));
        std::fs::write(&file, "cooking\tWhat is for dinner?\n").unwrap();
        let error = runtime.block_on(run(args())).unwrap_err();
        assert!(format!("{error:#}").contains("line 1: there is no expert \"cooking\""), "{error:#}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
