//! The plan of the shipped recipe, held still: a change of a list shows here, and is read like code.

use image::build::plan::Plan;
use image::build::recipe::Recipe;

#[test]
fn the_shipped_lists_give_the_plan_of_the_golden_file() {
    let recipe = Recipe::read(tests::repository(), &[]).expect("the shipped recipe is right");
    tests::golden("plan.txt", &Plan::of(&recipe).to_string());
}
