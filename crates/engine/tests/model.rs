//! What the safe face promises, on a model with dice for weights.

#![allow(clippy::unwrap_used)] // A panic is how a test reports.

mod common;

use common::{Folder, Parts, best, bits, context, load, shared, tiny};
use engine::{Cache, Context, Error, Load, Model, Row, Sampler, Sampling, Settings, Token};
use gguf::{Array, Value};
use std::path::Path;
use std::sync::Arc;

fn model(name: &str) -> (Folder, Arc<Model>) {
    let folder = Folder::new(name);
    let path = folder.file("model.gguf", &tiny::model("llama"));
    (folder, load(&path))
}

/// Evaluates tokens at once and tells the logits after them.
fn logits(context: &mut Context, tokens: &[Token], at: u32) -> Vec<u32> {
    context.evaluate(tokens, 0, at).unwrap();
    bits(context.logits().unwrap())
}

const TEXT: &str = "the cat sat";

#[test]
fn a_model_tells_what_its_file_says() {
    let (_folder, model) = model("facts");
    assert_eq!((model.n_layers(), model.n_embd(), model.n_vocab()), (2, 64, 286));
    assert_eq!((model.n_ctx_trained(), model.begin(), model.end()), (512, Some(1), Some(2)));
    assert!(model.ends(2) && !model.ends(5) && !model.ends(-1) && !model.ends(1 << 20));
    assert_eq!((model.chat_template(), model.is_for_embeddings()), (None, false));
}

#[test]
fn every_text_comes_back_from_its_tokens() {
    let (_folder, model) = model("tokens");
    for text in ["the cat", "B\u{e4}r \u{1f600}", "a\0b\n", ""] {
        let tokens = model.tokenise(text, false, false).unwrap();
        // This kind of vocabulary puts a blank in front of a text.
        assert_eq!(model.detokenise(&tokens, false).unwrap().trim_start_matches(' '), text);
    }
    let begun = model.tokenise("a", true, false).unwrap();
    assert_eq!(begun[0], 1);
    // What a stranger writes is text, even when it looks like a mark.
    let (as_text, as_mark) = (model.tokenise("</s>", false, false), model.tokenise("</s>", false, true));
    assert!(!as_text.unwrap().contains(&2) && as_mark.unwrap().contains(&2));
    assert_eq!(model.piece(286, false), Err(Error::Token { token: 286, n_vocab: 286 }));
}

#[test]
fn loading_tells_its_progress_and_can_be_cancelled() {
    let folder = Folder::new("progress");
    let path = folder.file("model.gguf", &tiny::model("llama"));
    let mut parts = Vec::new();
    let mut watch = |part: f32| {
        parts.push(part);
        true
    };
    Model::load(&path, Load { progress: Some(&mut watch), ..Load::default() }).unwrap();
    assert!(parts.is_sorted() && parts.last() == Some(&1.0), "{parts:?}");
    let cancel = Load { progress: Some(&mut |_| false), mmap: false, remote: None };
    assert_eq!(Model::load(&path, cancel).err(), Some(Error::Cancelled));
}

#[test]
#[should_panic(expected = "of the callback")]
fn a_panic_of_the_callback_goes_round_the_library() {
    let folder = Folder::new("panic");
    let path = folder.file("model.gguf", &tiny::model("llama"));
    let _ =
        Model::load(&path, Load { progress: Some(&mut |_| panic!("of the callback")), ..Load::default() });
}

#[test]
fn a_broken_file_is_an_error_that_names_it() {
    let folder = Folder::new("broken");
    let bytes = tiny::model("llama");
    let said = |path: &Path| Model::load(path, Load::default()).err().unwrap().to_string();
    assert!(said(&folder.file("cut.gguf", &bytes[..9000])).contains("cut.gguf is no good model: "));
    assert!(said(&folder.0).contains("it is no file"));
    assert!(said(&folder.0.join("none")).contains("cannot read"));
    // Well made, and still no model of this library: its own words come through.
    let strange = said(&folder.file("strange.gguf", &tiny::model("strange")));
    assert!(strange.contains("unknown model architecture"), "{strange}");
}

#[test]
fn threads_change_no_bit() {
    let (_folder, model) = model("threads");
    let tokens = model.tokenise(TEXT, true, false).unwrap();
    let mut one = context(&model, Settings::default());
    let mut two = context(&model, Settings { n_threads: 2, ..Settings::default() });
    assert_eq!(one.cache(), Cache::Q8_0);
    assert_eq!(logits(&mut one, &tokens, 0), logits(&mut two, &tokens, 0));
    for (at, token) in (tokens.len() as u32..40).zip([9, 200, 3, 77].into_iter().cycle()) {
        assert_eq!(logits(&mut one, &[token], at), logits(&mut two, &[token], at), "position {at}");
    }
    one.set_threads(2).unwrap();
    assert_eq!(logits(&mut one, &[5], 40), logits(&mut two, &[5], 40));
}

#[test]
fn a_saved_state_goes_on_as_if_nothing_had_been() {
    let (folder, model) = model("state");
    let tokens = model.tokenise(TEXT, true, false).unwrap();
    let n = tokens.len() as u32;
    let mut first = context(&model, Settings::default());
    first.evaluate(&tokens, 0, 0).unwrap();
    let saved = first.save(0).unwrap();
    let path = folder.0.join("state.kv");
    first.save_file(0, &path).unwrap();
    let want = logits(&mut first, &[42], n);
    let mut second = context(&model, Settings::default());
    second.restore(0, &saved).unwrap();
    assert_eq!((second.n_past(0), logits(&mut second, &[42], n)), (n, want.clone()));
    // Over what is there, and from the file.
    second.restore_file(0, &path).unwrap();
    assert_eq!(logits(&mut second, &[42], n), want);
}

#[test]
fn a_state_that_does_not_belong_here_is_refused() {
    let (_folder, model) = model("foreign");
    let mut context = context(&model, Settings::default());
    context.evaluate(&[1, 2, 3], 0, 0).unwrap();
    let saved = context.save(0).unwrap();
    let mut check = |change: &dyn Fn(&mut Vec<u8>), want: &str| {
        let mut bytes = saved.clone();
        change(&mut bytes);
        let said = context.restore(0, &bytes).unwrap_err().to_string();
        assert_eq!(said, format!("the saved state {want}"));
        assert_eq!(context.n_past(0), 3, "a refused state changed something");
    };
    check(&|bytes| bytes.truncate(10), "is cut short");
    check(&|bytes| bytes.truncate(100), "is cut short");
    check(&|bytes| bytes[0] ^= 1, "is of another kind");
    check(&|bytes| bytes[9] ^= 1, "belongs to another model or another kind of cache");
    check(&|bytes| *bytes.last_mut().unwrap() ^= 1, "is damaged");
}

#[test]
fn a_stopped_evaluation_leaves_nothing_behind() {
    let (_folder, model) = model("stop");
    let mut context = context(&model, Settings::default());
    let want = logits(&mut context, &[1, 2, 3], 0);
    context.forget(0, 0);
    let stopper = context.stopper();
    stopper.stop();
    assert_eq!(context.evaluate(&[1, 2, 3], 0, 0), Err(Error::Stopped));
    assert_eq!((context.n_past(0), context.logits()), (0, None));
    stopper.take_back();
    assert_eq!(logits(&mut context, &[1, 2, 3], 0), want);
}

#[test]
fn sequences_do_not_see_each_other() {
    let (_folder, model) = model("sequences");
    let mut alone = context(&model, Settings::default());
    let want = logits(&mut alone, &[1, 7, 8], 0);
    let mut both = context(&model, Settings { n_seqs: 2, ..Settings::default() });
    let row = |token, at, seq, output| Row { token, at, seq, output };
    both.evaluate_rows(&[row(1, 0, 0, false), row(1, 0, 1, false), row(200, 1, 1, false)]).unwrap();
    both.evaluate_rows(&[row(7, 1, 0, false), row(8, 2, 0, true), row(201, 2, 1, true)]).unwrap();
    assert_eq!(both.logits_of(0), None);
    let close = |a: &[f32], b: &[u32]| a.iter().zip(b).all(|(a, b)| (a - f32::from_bits(*b)).abs() < 1e-3);
    assert!(close(both.logits_of(1).unwrap(), &want), "the other sequence changed the logits");
    // A shared beginning is not evaluated again.
    both.share(0, 1, 2).unwrap();
    assert_eq!(both.n_past(1), 2);
    both.evaluate_rows(&[row(8, 2, 1, true)]).unwrap();
    assert!(close(both.logits().unwrap(), &want), "the shared beginning is another");
}

#[test]
fn what_is_beyond_the_limits_is_an_error() {
    let (_folder, model) = model("limits");
    let bad = |settings| Context::new(Arc::clone(&model), settings).err().unwrap().to_string();
    assert_eq!(
        bad(Settings { n_threads: 0, ..Settings::default() }),
        "n_threads is 0, but must be from 1 to 64"
    );
    assert!(bad(Settings { n_ctx: 1 << 30, ..Settings::default() }).starts_with("n_ctx is 1073741824"));
    let mut context = context(&model, Settings::default());
    let n_ctx = context.n_ctx();
    assert_eq!(context.evaluate(&[5], 0, n_ctx), Err(Error::Full { n_ctx }));
    assert_eq!(context.evaluate(&[-1], 0, 0), Err(Error::Token { token: -1, n_vocab: 286 }));
    assert!(matches!(context.evaluate(&[5], 1, 0), Err(Error::Setting { .. })));
    assert!(matches!(context.evaluate_rows(&[]), Err(Error::Setting { .. })));
    assert!(matches!(context.evaluate_hidden(&[0.0; 63], 0, 0), Err(Error::Setting { .. })));
    assert!(matches!(context.embed(&[5]), Err(Error::Setting { .. })));
}

#[test]
fn a_batch_larger_than_a_small_context_takes_is_refused() {
    let (_folder, model) = model("batch");
    let settings = Settings { n_ctx: 256, n_batch: 512, n_seqs: 2, ..Settings::default() };
    let mut context = Context::new(Arc::clone(&model), settings).unwrap();
    let row = |idx: u32| Row { token: 7, at: idx / 2, seq: idx % 2, output: false };
    let rows: Vec<Row> = (0..300).map(row).collect();
    let said = context.evaluate_rows(&rows).unwrap_err().to_string();
    assert_eq!(said, "the number of rows is 300, but must be from 1 to 256");
    assert_eq!(context.n_batch(), 256);
    context.evaluate_rows(&rows[..200]).unwrap();
    assert_eq!((context.n_past(0), context.n_past(1)), (100, 100));
}

#[test]
fn a_text_that_cannot_be_evaluated_changes_nothing() {
    let (_folder, model) = model("unchanged");
    let mut context = context(&model, Settings::default());
    let want = logits(&mut context, &[1, 2, 3], 0);
    // The last token is in the second batch.
    let unknown: Vec<Token> = [5; 70].into_iter().chain([286]).collect();
    assert_eq!(context.evaluate(&unknown, 0, 3), Err(Error::Token { token: 286, n_vocab: 286 }));
    assert_eq!(context.evaluate(&[5; 254], 0, 3), Err(Error::Full { n_ctx: 256 }));
    for at in [0, 1, 4, 200] {
        let said = context.evaluate(&[5], 0, at).unwrap_err().to_string();
        assert_eq!(said, format!("the position is {at}, but must be 3, where the sequence ends"));
    }
    for from in [3, 1 << 31, u32::MAX] {
        assert!(context.forget(0, from));
    }
    assert_eq!(context.n_past(0), 3);
    context.forget(0, 2);
    assert_eq!(context.n_past(0), 2);
    // One token after two others is computed in another order than the three at once.
    let last = logits(&mut context, &[3], 2);
    let close = |a: u32, b: u32| (f32::from_bits(a) - f32::from_bits(b)).abs() < 1e-3;
    assert!(last.iter().zip(&want).all(|(a, b)| close(*a, *b)));
}

#[test]
fn a_sampler_refuses_the_context_of_another_model() {
    let (_folder, model) = model("other");
    let (_other_folder, other) = self::model("another");
    let mut context = context(&model, Settings::default());
    context.evaluate(&[1], 0, 0).unwrap();
    let sampler = |model: &Arc<Model>| Sampler::new(Arc::clone(model), &Sampling::default()).unwrap();
    assert_eq!(sampler(&other).sample(&context), Err(Error::OtherModel));
    assert!(sampler(&model).sample(&context).is_ok());
}

#[test]
fn what_is_no_number_is_no_choice() {
    let Some(path) = shared("llm/stories260K.gguf") else { return };
    let mut parts = Parts::read(&std::fs::read(path).unwrap());
    parts.tensors.iter_mut().for_each(|(_, bytes)| bytes.fill(0xff));
    let folder = Folder::new("no-number");
    let model = load(&folder.file("m.gguf", &parts.write()));
    let mut damaged = context(&model, Settings::default());
    damaged.evaluate(&[1, 2, 3], 0, 0).unwrap();
    for temperature in [0.0, 1.0] {
        let how = Sampling { temperature, ..Sampling::default() };
        let mut sampler = Sampler::new(Arc::clone(&model), &how).unwrap();
        assert_eq!(sampler.sample(&damaged), Err(Error::NoNumber));
    }
    assert_eq!(damaged.check_row(2), Err(Error::NoNumber));
}

#[test]
fn vectors_of_another_width_than_the_model_are_refused() {
    let folder = Folder::new("width");
    let mut parts = Parts::read(&tiny::model("llama"));
    parts.set("llama.pooling_type", Value::U32(1));
    let embed = |parts: &Parts| {
        let model = Model::load(&folder.file("model.gguf", &parts.write()), Load::default())?;
        let mut context = context(&Arc::new(model), Settings { embeddings: true, ..Settings::default() });
        context.embed(&[1, 30, 41])
    };
    assert_eq!(embed(&parts).unwrap().len(), 64);
    parts.set("llama.embedding_length_out", Value::U32(8));
    let said = embed(&parts).unwrap_err().to_string();
    assert!(said.ends_with("llama.embedding_length_out is 8, but embedding_length is 64"), "{said}");
}

#[test]
fn a_model_with_positions_of_several_numbers_is_no_later_stage() {
    let folder = Folder::new("mrope");
    let mut parts = Parts::read(&tiny::model("qwen2vl"));
    let sections = Value::Array(Array::I32(vec![4, 6, 6, 0]));
    parts.set("qwen2vl.rope.dimension_sections", sections);
    let model = load(&folder.file("model.gguf", &parts.write()));
    let mut context = context(&model, Settings::default());
    let said = context.evaluate_hidden(&[0.1; 64], 0, 0).unwrap_err().to_string();
    assert_eq!(said, "the model takes no hidden states: it has positions of several numbers");
}

/// Text of up to `n` tokens after "the cat sat".
fn text(model: &Arc<Model>, how: &Sampling, n: u32) -> Result<String, Error> {
    let mut context = context(model, Settings::default());
    let mut sampler = Sampler::new(Arc::clone(model), how)?;
    let tokens = model.tokenise(TEXT, true, false)?;
    context.evaluate(&tokens, 0, 0)?;
    let mut out = Vec::new();
    for at in (tokens.len() as u32..).take(n as usize) {
        let token = sampler.sample(&context)?;
        if model.ends(token) {
            break;
        }
        out.push(token);
        context.evaluate(&[token], 0, at)?;
    }
    model.detokenise(&out, false)
}

#[test]
fn a_sampler_made_anew_goes_on_as_the_one_that_was_lost() {
    let (_folder, model) = model("rolls");
    let how = Sampling { temperature: 1.0, seed: 7, repeat_penalty: 1.3, ..Sampling::default() };
    let mut context = Context::new(Arc::clone(&model), Settings::default()).unwrap();
    context.evaluate(&[1, 2, 3], 0, 0).unwrap();
    let mut first = Sampler::new(Arc::clone(&model), &how).unwrap();
    let chosen: Vec<_> = (0..20).map(|_| first.sample(&context).unwrap()).collect();
    for n in [0, 1, 7, 19] {
        let mut again = Sampler::new(Arc::clone(&model), &how).unwrap();
        chosen[..n].iter().for_each(|token| again.replay(*token).unwrap());
        again.roll(n as u32);
        let rest: Vec<_> = (n..20).map(|_| again.sample(&context).unwrap()).collect();
        assert_eq!(rest, chosen[n..], "after {n}");
        assert_eq!(again.rolls(), first.rolls());
    }
}

#[test]
fn dice_follow_their_seed_and_zero_has_none() {
    let (_folder, model) = model("dice");
    let how = |temperature, seed| Sampling { temperature, seed, ..Sampling::default() };
    let say = |how| text(&model, &how, 24).unwrap();
    assert_eq!(say(how(1.0, 1)), say(how(1.0, 1)));
    assert_ne!(say(how(1.0, 1)), say(how(1.0, 2)));
    assert_eq!(say(how(0.0, 1)), say(how(0.0, 2)));
    // One candidate leaves the dice no choice.
    assert_eq!(say(Sampling { top_k: 1, ..how(1.0, 3) }), say(how(0.0, 0)));
    assert_eq!(say(Sampling { min_p: 1.0, ..how(1.0, 3) }), say(how(0.0, 0)));
    assert_eq!(say(Sampling { top_p: 0.0, ..how(1.0, 3) }), say(how(0.0, 0)));
}

#[test]
fn a_repeat_penalty_forbids_the_token_before() {
    let (_folder, model) = model("repeat");
    let mut context = context(&model, Settings::default());
    context.evaluate(&[1, 30], 0, 0).unwrap();
    let first = best(context.logits().unwrap()) as Token;
    let how = Sampling { repeat_penalty: 10.0, ..Sampling::default() };
    let mut sampler = Sampler::new(Arc::clone(&model), &how).unwrap();
    assert_eq!(sampler.sample(&context), Ok(first));
    assert_ne!(sampler.sample(&context), Ok(first), "the same logits gave the same token again");
    sampler.remember(7).unwrap();
    assert!(sampler.remember(-7).is_err());
}

#[test]
fn a_grammar_leaves_only_what_it_allows() {
    let (_folder, model) = model("grammar");
    for temperature in [0.0, 1.0] {
        let grammar = Some("root ::= (\"yes\" | \"no\") \", \" [0-9] [0-9]".to_owned());
        let how = Sampling { grammar, temperature, ..Sampling::default() };
        let said = text(&model, &how, 30).unwrap();
        let (word, number) = said.split_once(", ").unwrap();
        assert!(["yes", "no"].contains(&word) && number.len() == 2, "{said:?}");
        number.parse::<u32>().unwrap();
    }
    let bad = |text: &str| {
        let how = Sampling { grammar: Some(text.to_owned()), ..Sampling::default() };
        Sampler::new(Arc::clone(&model), &how).err().map(|e| e.to_string())
    };
    assert_eq!(bad("root ::= ("), Some("the grammar is no good GBNF with a rule root".to_owned()));
    assert_eq!(bad("other ::= \"a\""), Some("the grammar is no good GBNF with a rule root".to_owned()));
    assert_eq!(bad("root ::= \"\0\""), Some("the grammar holds a zero byte".to_owned()));
}

#[test]
fn sampling_beyond_its_limits_is_an_error() {
    let (_folder, model) = model("sampling");
    let bad = |how: Sampling| Sampler::new(Arc::clone(&model), &how).is_err();
    assert!(bad(Sampling { temperature: f32::NAN, ..Sampling::default() }));
    assert!(bad(Sampling { temperature: -1.0, ..Sampling::default() }));
    assert!(bad(Sampling { top_p: 1.5, ..Sampling::default() }));
    assert!(bad(Sampling { repeat_penalty: 0.0, ..Sampling::default() }));
}

#[test]
fn embeddings_of_like_sentences_lie_close() {
    let Some(path) = shared("embed/all-MiniLM-L6-v2-q8_0.gguf") else { return };
    let model = load(&path);
    assert!(model.is_for_embeddings());
    let mut context = context(&model, Settings { embeddings: true, ..Settings::default() });
    let mut vector = |text: &str| {
        let vector = context.embed(&model.tokenise(text, true, false).unwrap()).unwrap();
        let length: f32 = vector.iter().map(|x| x * x).sum();
        assert!((length - 1.0).abs() < 1e-5, "{text:?} has length {length}");
        vector
    };
    let [lamp, light, cake] =
        ["turn on the lamp", "switch the light on please", "a recipe for apple cake"].map(&mut vector);
    let near = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    assert!(near(&lamp, &light) > near(&lamp, &cake) + 0.3);
    assert_eq!(bits(&lamp), bits(&vector("turn on the lamp")));
}
