//! What `duet plan` says of two shelves with the shipped experts: a change of a rule shows here, and is read like code.

fn told(facts: &str, json: bool) -> String {
    let models = tests::repository().join("models");
    let facts = tests::repository().join("tests/golden/placement").join(facts);
    let facts = std::fs::read_to_string(facts).expect("the facts can be read");
    image::plan::told(&facts, &models.join("experts"), &models.join("manifest.toml"), json).expect("a plan")
}

#[test]
fn a_shelf_of_four_is_told_as_the_golden_page() {
    tests::golden("placement/shelf.txt", &told("shelf-facts.json", false));
}

#[test]
fn eight_weak_nodes_carry_the_large_model_together() {
    let page = told("weak-facts.json", false);
    assert!(page.contains("bonsai-8b is cut over "), "{page}");
    tests::golden("placement/weak.txt", &page);
}

#[test]
fn the_json_of_a_plan_stays_as_it_is() {
    let json = told("shelf-facts.json", true);
    let value: serde_json::Value = serde_json::from_str(&json).expect("one object");
    for key in ["assignments", "predicted_tokens_per_second", "reasons"] {
        assert!(!value[key].is_null(), "{key} is missing");
    }
    let pretty = serde_json::to_string_pretty(&value).expect("plain values");
    tests::golden("placement/shelf.json", &(pretty + "\n"));
}
