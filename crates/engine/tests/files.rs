//! What is written: saved states and quantised models.

#![allow(clippy::unwrap_used)] // A panic is how a test reports.

mod common;

use common::{Folder, Parts, context, load, tiny};
use engine::{Error, FileType, Quantise, Settings, quantise};
use gguf::Value;
use std::fs;
use std::path::Path;

/// Restores a state of the model with dice in another one.
fn restore_in(name: &str, change: &dyn Fn(&mut Parts)) -> Result<(), Error> {
    let folder = Folder::new(name);
    let mut parts = Parts::read(&tiny::model("llama"));
    let mut first = context(&load(&folder.file("first.gguf", &parts.write())), Settings::default());
    first.evaluate(&[1, 2, 3], 0, 0).unwrap();
    let saved = first.save(0).unwrap();
    change(&mut parts);
    let second = load(&folder.file("second.gguf", &parts.write()));
    context(&second, Settings::default()).restore(0, &saved)
}

#[test]
fn a_state_belongs_to_one_model_of_several_with_one_shape() {
    let foreign = Err(Error::State { why: "belongs to another model or another kind of cache" });
    assert_eq!(restore_in("same", &|_| ()), Ok(()));
    // A word of the same length in the same place, so that the file differs in nothing else.
    let rename = |parts: &mut Parts| {
        let mut meta = parts.meta.iter_mut();
        meta.find(|(key, _)| key == "general.name").unwrap().1 = Value::Text("dime".to_owned());
    };
    assert_eq!(restore_in("renamed", &rename), foreign);
    let trained = |parts: &mut Parts| {
        let weights = parts.tensors.iter_mut().flat_map(|(_, bytes)| bytes.chunks_exact_mut(4));
        weights.for_each(|weight| weight[0] ^= 1);
    };
    assert_eq!(restore_in("trained", &trained), foreign);
}

fn to_q8_0(input: &Path, output: &Path) -> Result<(), Error> {
    let file_type = FileType::from_name("q8_0").unwrap();
    quantise(input, output, Quantise { file_type, pure: false, n_threads: 1 })
}

#[test]
fn quantising_never_writes_over_its_input() {
    let folder = Folder::new("input");
    let bytes = tiny::model("llama");
    let output = folder.0.join("model.gguf");
    for (name, is_good) in [("model.part", true), ("model.gguf.part", false), ("model.gguf", false)] {
        let input = folder.file(name, &bytes);
        let done = to_q8_0(&input, &output);
        assert_eq!(done.is_ok(), is_good, "{name}: {done:?}");
        assert_eq!(fs::read(&input).unwrap(), bytes, "{name} was changed");
    }
}

#[test]
fn what_cannot_be_written_is_told_as_such() {
    let folder = Folder::new("write");
    let path = folder.file("model.gguf", &tiny::model("llama"));
    let output = folder.0.join("none/state.kv");
    let want = format!("cannot write {}: No such file or directory (os error 2)", output.display());
    let mut context = context(&load(&path), Settings::default());
    context.evaluate(&[1], 0, 0).unwrap();
    assert_eq!(context.save_file(0, &output).unwrap_err().to_string(), want);
    assert_eq!(to_q8_0(&path, &output).unwrap_err().to_string(), want);
}

#[test]
fn a_failed_attempt_leaves_no_part_behind() {
    let folder = Folder::new("left");
    let path = folder.file("model.gguf", &tiny::model("llama"));
    let mut context = context(&load(&path), Settings::default());
    context.evaluate(&[1], 0, 0).unwrap();
    // A folder in its place: the part can be written, but not be renamed.
    let output = folder.0.join("state.kv");
    fs::create_dir(&output).unwrap();
    assert!(matches!(context.save_file(0, &output), Err(Error::Write { .. })));
    assert!(!folder.0.join("state.kv.part").exists());
}
