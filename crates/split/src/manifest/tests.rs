//! The manifest of the repository, held to the planner and to its own words; and manifests as strangers write them.

use super::fit::{Shelf, without_place};
use super::*;
use crate::expert::Expert;
use crate::place::{Talks, whole_beside, whole_weights};

const MANIFEST: &str = include_str!("../../../../models/manifest.toml");
const HASH: &str = "3d7c6c90dd98717a203adb22d5eacd2581850e40aa5327e144b97766cae5f7e3";

fn repository() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn experts() -> Vec<Expert> {
    let entries = std::fs::read_dir(repository().join("models/experts")).unwrap();
    let read = |entry: std::io::Result<std::fs::DirEntry>| {
        Expert::parse(&std::fs::read_to_string(entry.unwrap().path()).unwrap()).unwrap()
    };
    entries.map(read).collect()
}

fn one(file: &str) -> String {
    let (purpose, shape) = match file.ends_with(".bin") {
        true => ("speech", ""),
        false => (
            "language",
            "[model.shape]\nlayers = 2\nlayer_bytes = 1\nembedding_bytes = 1\nwidth = 1\ninner = 1\n\
             vocabulary = 1\ncontext = 1\ncache_numbers = 1\n",
        ),
    };
    format!(
        "[[model]]\nfile = \"{file}\"\nuse = \"{purpose}\"\nurl = \"https://host.example/{file}\"\nbytes = 7\n\
         sha256 = \"{HASH}\"\nsha256_from = \"a test\"\nlicence = \"MIT\"\nmemory_mib = 1\nnode_gib = 2\n\
         quantisation = \"Q8_0\"\nwhy = \"a test\"\n{shape}"
    )
}

fn check(text: &str, want: &str) {
    let told = Manifest::parse(text).map_or_else(|e| e, |m| format!("{} models", m.models.len()));
    assert!(told.contains(want), "{told:?} does not say {want:?}");
}

/// One model, with a part of its text replaced.
fn changed(part: &str, by: &str, want: &str) {
    let text = one("a.gguf");
    assert!(text.contains(part), "{part:?} is not there");
    check(&text.replacen(part, by, 1), want);
}

#[test]
fn every_model_that_an_expert_names_is_known() {
    let manifest = Manifest::parse(MANIFEST).unwrap();
    for expert in experts() {
        assert!(manifest.model(&expert.model).is_some(), "{}", expert.model);
    }
}

#[test]
fn every_recommended_set_fits_its_shelf_and_all_of_it_is_placed() {
    let manifest = Manifest::parse(MANIFEST).unwrap();
    let experts = experts();
    let own = manifest.of_set(manifest.set(OWN).unwrap());
    let (mut shelves, mut wrong) = (Vec::new(), Vec::new());
    for set in &manifest.sets {
        let (Some(n_nodes), Some(memory_gib)) = (set.nodes, set.memory_gib) else { continue };
        let models: Vec<&Known> = manifest.of_set(set).into_iter().chain(own.iter().copied()).collect();
        let shelf = Shelf { n_nodes, memory_gib };
        let left: Vec<&str> =
            without_place(&models, &experts, shelf).into_iter().map(|m| m.file.as_str()).collect();
        wrong.extend(left.into_iter().map(|file| format!("set {}: {file} has no place", set.name)));
        let ear = models.iter().filter(|m| m.purpose == Use::Speech && m.url.is_some()).count();
        assert_eq!(ear, 1, "set {} has one ear", set.name);
        assert!(
            models.iter().any(|m| m.purpose == Use::Language && m.quantisation == "Q1_0"),
            "{}",
            set.name
        );
        assert!(models.iter().all(|m| m.node_gib <= memory_gib || n_nodes > 1), "{}", set.name);
        shelves.push((n_nodes, memory_gib));
    }
    assert_eq!(wrong, Vec::<String>::new());
    shelves.sort();
    assert_eq!(shelves, [1, 3, 10].map(|n| [2, 4, 8].map(|gib| (n, gib))).concat());
}

#[test]
fn a_model_that_is_too_large_for_every_pc_is_told() {
    let manifest = Manifest::parse(MANIFEST).unwrap();
    let left = |file: &str, n_nodes, memory_gib| {
        let known = manifest.model(file).unwrap();
        without_place(&[known], &experts(), Shelf { n_nodes, memory_gib }).len()
    };
    let large = "Bonsai-8B-Q1_0.gguf";
    assert_eq!((left(large, 1, 2), left(large, 1, 4)), (1, 0));
    assert_eq!(left(large, 10, 2), 1, "cut over PCs of 2 GB a token would take more than 300 ms");
    assert_eq!((left("Bonsai-4B-Q1_0.gguf", 1, 1), left("Bonsai-4B-Q1_0.gguf", 10, 1)), (1, 0));
    assert_eq!((left("ggml-base.en-q8_0.bin", 1, 1), left("ggml-base.en-q8_0.bin", 3, 2)), (0, 0));
}

#[test]
fn the_memory_of_a_model_is_at_least_what_the_planner_reckons() {
    let manifest = Manifest::parse(MANIFEST).unwrap();
    let mut wrong = Vec::new();
    for expert in experts() {
        let known = manifest.model(&expert.model).unwrap();
        let model = known.shape.as_ref().unwrap().model(&known.file);
        let bytes = whole_weights(&model) + whole_beside(&model, Talks::of(&expert));
        let (least, told) = (bytes.div_ceil(1 << 20), u64::from(known.memory_mib));
        if told < least || told > least + least / 8 + 8 {
            wrong.push(format!("{}: {told}, reckoned {least}", known.file));
        }
        let weights = whole_weights(&model);
        let beside = known.bytes.abs_diff(weights);
        if beside > 24 << 20 {
            wrong.push(format!("{}: {beside} bytes of {} are no weights", known.file, known.bytes));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn models_of_our_own_are_as_the_manifest_says() {
    let manifest = Manifest::parse(MANIFEST).unwrap();
    let own = manifest.set(OWN).unwrap();
    for known in manifest.models.iter().filter(|known| known.path.is_some()) {
        let path = repository().join(known.path.as_ref().unwrap());
        assert_eq!(std::fs::metadata(&path).unwrap().len(), known.bytes, "{}", known.file);
        assert!(own.models.contains(&known.file), "{} is in no set", known.file);
    }
    assert!(manifest.of_set(own).iter().all(|known| known.path.is_some()), "own needs no internet");
}

#[test]
fn a_shelf_of_other_numbers_takes_the_largest_set_that_fits() {
    let manifest = Manifest::parse(MANIFEST).unwrap();
    let name = |n, gib| manifest.recommended(n, gib).map(|set| set.name.as_str());
    assert_eq!(name(1, 2), Some("1x2"));
    assert_eq!(name(5, 4), Some("3x4"));
    assert_eq!(name(12, 16), Some("10x8"));
    assert_eq!(name(2, 3), Some("1x2"));
    assert_eq!(name(0, 2), None);
    assert_eq!(name(20, 1), None);
}

#[test]
fn a_sound_model_is_read() {
    check(&one("a.gguf"), "1 models");
    check(&one("a.bin"), "1 models");
    changed(HASH, FIRST_DOWNLOAD, "1 models");
    changed("https://", "http://", "1 models");
    changed("url = \"https://host.example", "path = \"models/default", "1 models");
}

#[test]
fn a_name_never_leads_out_of_a_folder() {
    for name in
        ["../a.gguf", "/etc/a.gguf", "a/b.gguf", ".a.gguf", "-a.gguf", "a b.gguf", ".gguf", "a.toml", "a"]
    {
        check(&one(name), "is no name of a model's file");
    }
    check(&one(&format!("{}.gguf", "a".repeat(60))), "is no name of a model's file");
    let own = "url = \"https://host.example";
    for path in ["/etc", "models/default/..", "../models/default", "models/default/x"] {
        changed(own, &format!("path = \"{path}"), "path is models/default/a.gguf");
    }
}

#[test]
fn numbers_that_no_model_has_are_refused() {
    changed("bytes = 7", "bytes = 0", "bytes lies between");
    changed("bytes = 7", "bytes = 9223372036854775807", "bytes lies between");
    changed("bytes = 7", "bytes = 9223372036854775808", "bytes lies between");
    changed("bytes = 7", "bytes = 99999999999999999999", "line 5");
    changed("bytes = 7", "bytes = -1", "line 5");
    changed("memory_mib = 1", "memory_mib = 4294967295", "no amount of memory");
    changed("node_gib = 2", "node_gib = 0", "no amount of memory");
    changed("layers = 2", "layers = 0", "a number that no model has");
    changed("context = 1", "context = 0", "a number that no model has");
    changed("layer_bytes = 1", "layer_bytes = 9223372036854775807", "a number that no model has");
}

#[test]
fn addresses_and_hashes_are_what_they_should_be() {
    changed("https://", "file://", "url begins with https://");
    changed("https://host.example", "https://", "an address of printable characters");
    changed("https://", "https://me:secret@", "without a name or password");
    changed("host.example/", "host.example/ x", "an address of printable characters");
    let open = one("a.gguf").replace(HASH, FIRST_DOWNLOAD);
    check(&open.replace("https://", "http://"), "http:// only where sha256 is known");
    changed(HASH, &HASH.to_uppercase(), "64 small hex digits");
    changed(HASH, "abc", "64 small hex digits");
    let own = one("a.gguf").replace("url = \"https://host.example", "path = \"models/default");
    check(&own.replace(HASH, FIRST_DOWNLOAD), "what lies in the repository has a sha256");
    changed("url = \"https://host.example/a.gguf\"\n", "", "a url or a path, and not both");
}

#[test]
fn nothing_is_there_twice_and_nothing_is_unknown() {
    check(&format!("{}{}", one("a.gguf"), one("A.gguf")), "A.gguf is there twice");
    changed("licence", "colour = 1\nlicence", "unknown field `colour`");
    changed("[model.shape]", "[model.form]", "unknown field `form`");
    changed("\"language\"", "\"speech\"", "a file for speech ends with .bin");
    changed("why = \"a test\"", "why = \"a\\u001b[31m test\"", "why is one line");
    let set = |text: &str| format!("{}[[set]]\nname = \"s\"\nabout = \"a test\"\n{text}", one("a.gguf"));
    check(&set("models = [\"a.gguf\"]\n"), "1 models");
    check(&set("models = [\"b.gguf\"]\n"), "\"b.gguf\" is no model of this manifest");
    check(&set("models = [\"a.gguf\", \"a.gguf\"]\n"), "a.gguf is there twice");
    check(&set("models = []\nnodes = 1\n"), "stand together");
    check(&set("models = []\nnodes = 0\nmemory_gib = 2\n"), "stand together");
    check(&set("models = []\n[[set]]\nname = \"s\"\nabout = \"x\"\nmodels = []\n"), "set s is there twice");
    check(&set("models = []\n").replace("\"s\"", "\"../s\""), "is no set's name");
}

#[test]
fn a_long_text_and_long_lists_are_refused() {
    check(&format!("# {}\n", "x".repeat(MANIFEST_BYTES_MAX)), "at most 262144 bytes");
    let many: String = (0..=MODELS_MAX).map(|idx| one(&format!("m{idx}.bin"))).collect();
    check(&many, "at most 256 models");
}
