//! Slices compute the same bits as the whole model, for every architecture that may be cut.

#![allow(clippy::unwrap_used)] // A panic is how a test reports.

mod common;

use common::families::{ALL, Family, model};
use common::{Folder, best, bits, context, load, shared};
use engine::{Context, Error, Settings, Token};
use gguf::Gguf;
use std::io::Cursor;
use std::ops::Range;

fn slice(bytes: &[u8], layers: Range<u64>) -> Vec<u8> {
    let head = Gguf::read(&mut &bytes[..], bytes.len() as u64).unwrap();
    head.write_slice(layers, &mut Cursor::new(bytes), Vec::new()).unwrap()
}

/// Whole and in stages, over a prompt in two pieces and decode.
fn check(name: &str, bytes: &[u8], cuts: &[u64]) {
    let folder = Folder::new(&format!("slices-{name}-{cuts:?}"));
    let whole = load(&folder.file("whole.gguf", bytes));
    let mut whole = context(&whole, Settings::default());
    let mut stages: Vec<Context> = cuts
        .windows(2)
        .map(|cut| {
            let file = folder.file(&format!("{}.gguf", cut[0]), &slice(bytes, cut[0]..cut[1]));
            let hands_on = Some(&cut[1]) != cuts.last();
            context(&load(&file), Settings { hands_on, ..Settings::default() })
        })
        .collect();
    let prompt: Vec<Token> = (0..18).map(|idx| 30 + idx * 7).collect();
    let (mut tokens, mut at) = (prompt[..13].to_vec(), 0);
    for step in 0..12 {
        whole.evaluate(&tokens, 0, at).unwrap();
        let (first, others) = stages.split_first_mut().unwrap();
        first.evaluate(&tokens, 0, at).unwrap();
        let mut hidden = first.hidden().unwrap().to_vec();
        for stage in &mut *others {
            stage.evaluate_hidden(&hidden, 0, at).unwrap();
            hidden = stage.hidden().map(<[f32]>::to_vec).unwrap_or_default();
        }
        let want = whole.logits().unwrap();
        assert!(want.iter().any(|logit| *logit != want[0]), "{name}: the logits say nothing");
        let staged = others.last().unwrap().logits().unwrap();
        assert_eq!(bits(staged), bits(want), "{name} cut at {cuts:?}, step {step}");
        at += tokens.len() as u32;
        tokens = if step == 0 { prompt[13..].to_vec() } else { vec![best(want) as Token] };
    }
}

/// Two, three and uneven stages, where this family can be cut.
fn check_family(family: &Family) {
    let bytes = model(family);
    let head = Gguf::read(&mut &bytes[..], bytes.len() as u64).unwrap();
    let (step, n) = (head.slice_step().unwrap(), family.n_layers);
    for n_stages in [2, 3] {
        let cuts = gguf::even_cuts(n, step, n_stages).unwrap();
        let edges: Vec<u64> = cuts.iter().map(|cut| cut.start).chain([n]).collect();
        check(family.name, &bytes, &edges);
    }
    // One layer at each end where that can be, and the rest in between.
    check(family.name, &bytes, &[0, step, (n - 1) / step * step, n]);
}

#[test]
fn slices_of_every_architecture_compute_the_same_bits_as_the_whole() {
    ALL.iter().for_each(check_family);
}

#[test]
fn slices_of_a_model_that_learned_something_compute_the_same_bits() {
    let Some(path) = shared("llm/stories260K.gguf") else { return };
    let bytes = std::fs::read(path).unwrap();
    check("stories", &bytes, &[0, 2, 5]);
    check("stories", &bytes, &[0, 1, 2, 4, 5]);
}

#[test]
fn a_slice_is_used_as_what_it_is_and_as_nothing_else() {
    let folder = Folder::new("slices-use");
    let bytes = model(&ALL[0]);
    let part = |name: &str, layers| load(&folder.file(name, &slice(&bytes, layers)));
    let (first, middle, last) = (part("a", 0..2), part("b", 2..5), part("c", 5..7));
    let says = middle.slice().unwrap();
    assert_eq!((says.layers.clone(), says.of, middle.n_layers()), (2..5, 7, 3));
    assert_eq!(says.model, last.slice().unwrap().model);
    let new = |model, hands_on| {
        Context::new(std::sync::Arc::clone(model), Settings { hands_on, ..Settings::default() })
    };
    assert!(matches!(new(&first, false), Err(Error::Slice { .. })), "only the last has logits");
    assert!(matches!(new(&last, true), Err(Error::Slice { .. })), "the last hands nothing on");
    let mut middle = new(&middle, true).unwrap();
    assert!(matches!(middle.evaluate(&[5], 0, 0), Err(Error::Slice { .. })), "only the first takes tokens");
}

#[test]
fn sequences_that_share_a_batch_get_what_each_gets_alone() {
    let folder = Folder::new("slices-mixed");
    let family = ALL.iter().find(|family| family.name == "gemma2").unwrap();
    let bytes = model(family);
    let first = load(&folder.file("a", &slice(&bytes, 0..3)));
    let last = load(&folder.file("b", &slice(&bytes, 3..7)));
    let settings = |hands_on| Settings { hands_on, n_seqs: 2, ..Settings::default() };
    let hidden = |tokens: &[Token]| {
        let mut first = context(&first, settings(true));
        first.evaluate(tokens, 0, 0).unwrap();
        first.hidden().unwrap().to_vec()
    };
    let (a, b) = (hidden(&[40, 41, 42]), hidden(&[90, 91, 92]));
    let alone = |hidden: &[f32]| {
        let mut last = context(&last, settings(false));
        last.evaluate_hidden(hidden, 0, 0).unwrap();
        last.logits().unwrap().to_vec()
    };
    let mut together = context(&last, settings(false));
    let rows: Vec<_> =
        (0..6).map(|idx| engine::HiddenRow { at: idx % 3, seq: idx / 3, output: idx % 3 == 2 }).collect();
    together.evaluate_hidden_rows(&[&a[..], &b].concat(), &rows).unwrap();
    for (row, hidden) in [(2, &a), (5, &b)] {
        let (got, want) = (together.logits_of(row).unwrap(), alone(hidden));
        let apart = got.iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        // Sums over a larger mask may be taken in another order.
        assert!(apart < 1e-3 && best(got) == best(&want), "row {row}: {apart} apart");
    }
}
