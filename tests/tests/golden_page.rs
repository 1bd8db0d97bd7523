//! The page and the API for a fixed desk with one PC in each state, held still.

use image::serve::{example, page};

#[test]
fn the_page_of_the_example_is_that_of_the_golden_file() {
    tests::golden("page/page.html", &page::html(&example::snapshot()));
}

#[test]
fn the_api_of_the_example_is_that_of_the_golden_file() {
    let json = serde_json::to_string_pretty(&example::snapshot()).expect("plain values");
    tests::golden("page/pcs.json", &(json + "\n"));
}
