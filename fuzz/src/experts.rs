//! What a person or another program writes of models: experts' files, the manifest, assignments, what a worker holds.

use split::assign::Assignment;
use split::expert::{Expert, is_model_file};
use split::manifest::{MODEL_FILE_LENGTH_MAX, Manifest, is_file_name};
use split::place::{self, Node, NodeId};
use split::report::Holds;

/// An expert that is taken keeps its limits, and comes back from JSON as it is.
pub fn expert(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Expert::parse(text) {
        Ok(expert) => {
            assert_eq!(expert.wrong(), None);
            let json = serde_json::to_string(&expert).expect("an expert is JSON");
            assert_eq!(serde_json::from_str::<Expert>(&json).expect("it was written"), expert);
        }
        Err(error) => assert!(error.line >= 1 && error.line <= 1 + text.lines().count(), "{error}"),
    }
}

/// Whatever the manifest says, its names stay in their folders, its sets name its own models, and a plan made of it keeps
/// within memory: `place` asserts that itself.
pub fn models_manifest(bytes: &[u8]) {
    let Ok(Ok(manifest)) = std::str::from_utf8(bytes).map(Manifest::parse) else { return };
    for known in &manifest.models {
        assert!(is_file_name(&known.file) && !known.file.contains(['/', '\\']), "{}", known.file);
        assert!(known.url.is_some() != known.path.is_some() && known.bytes <= MODEL_FILE_LENGTH_MAX);
    }
    for set in &manifest.sets {
        assert_eq!(manifest.of_set(set).len(), set.models.len());
        if let (Some(n_nodes), Some(memory_gib)) = (set.nodes, set.memory_gib) {
            assert!(manifest.recommended(n_nodes, memory_gib).is_some());
        }
    }
    let models = manifest.shapes();
    let node = |id: u64| Node {
        id: NodeId(id),
        name: format!("n{id}"),
        cores: 2,
        ram_bytes: id << 30,
        wire_mbit: 1000,
        speeds: Vec::new(),
        files: Vec::new(),
        has_disk: id.is_multiple_of(2),
        can_fetch: true,
        offered: vec![],
    };
    let expert = |(idx, model): (usize, &place::Model)| {
        let text = format!(
            "name = \"e{idx}\"\nmodel = \"{}\"\nquantisation = \"Q1_0\"\ncontext = 512\nsplit = true\n",
            model.file
        );
        Expert::parse(&text).ok()
    };
    let experts: Vec<Expert> = models.iter().take(4).enumerate().filter_map(expert).collect();
    let plan = place::plan(&[node(1), node(2), node(3)], &models, &experts, &[]);
    let again = place::plan(&[node(3), node(1), node(2)], &models, &experts, &[]);
    assert!(plan.is_same_as(&again), "the order of nodes made another plan");
}

/// An assignment that is followed names only files of the models' folder, and comes back as it is.
pub fn assignment(bytes: &[u8]) {
    if let Ok(assignment) = serde_json::from_slice::<Assignment>(bytes)
        && assignment.check().is_ok()
    {
        let stages = assignment.stages.iter().map(|stage| &stage.slice);
        let mut files = stages.chain(assignment.experts.iter().map(|given| &given.expert.model));
        assert!(files.all(|file| is_model_file(file) && !file.contains('/')));
        let json = serde_json::to_string(&assignment).expect("an assignment is JSON");
        assert_eq!(serde_json::from_str::<Assignment>(&json).expect("it was written"), assignment);
    }
    if let Ok(holds) = serde_json::from_slice::<Holds>(bytes) {
        let _ = holds.check();
    }
}
