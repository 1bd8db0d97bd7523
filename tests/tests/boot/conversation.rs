//! The scenes of the demo: two PCs with the models of our own, which they fetch by themselves; somebody talks to one, then
//! the other's expert answers, then the other is switched off.

use super::{BOOT_MAX, Place, turn};
use image::demo::models::Models;
use image::demo::scenes;
use image::progress::Progress;
use image::vm::machine::{Dhcp, Pc};
use image::vm::person;
use image::vm::shelf::Options;
use image::vm::stages::Stage;

#[test]
fn two_pcs_talk_with_somebody_and_one_goes_on_when_the_other_is_switched_off() {
    let (test, _turn) = ("conversation", turn());
    let Some(place) = Place::new(test) else { return };
    place.admits();
    let models = Models::of(&tests::repository().join("models/default")).expect("they are in the repository");
    let options = place.options(Dhcp::Own, vec![Pc::default(), Pc::default()]);
    let (settings, offered) = (person::SETTINGS.to_owned(), Some(models.shelf.clone()));
    let Some(mut shelf) = place.shelf_of(test, Options { settings, models: offered, ..options }) else {
        return;
    };
    for pc_idx in 0..2 {
        shelf.power_on(pc_idx).unwrap();
    }
    for pc_idx in 0..2 {
        shelf.wait_for(pc_idx, Stage::Healthy, BOOT_MAX).unwrap();
    }
    let (key, _) = image::keys::own(shelf.server_out()).unwrap();
    let progress = Progress::new(scenes::N_STEPS);
    let played = scenes::play(&mut shelf, &models, &key, &progress, &mut |_, _| {}).unwrap();
    let turns: Vec<&str> = played.turns.iter().map(|turn| turn.want.as_str()).collect();
    assert_eq!(turns.len(), 3, "{played:?}");
    // What a scene is about is held by `play` itself; what was said and heard of each is here.
    for turn in &played.turns {
        assert_eq!((turn.outcome.as_str(), turn.heard.is_empty()), ("answered", false), "{turn:?}");
        assert!(!turn.answer.is_empty() && turn.played_s > 0.0, "{turn:?}");
    }
    assert_eq!(played.turns[0].tool.as_ref().unwrap().outcome, "done", "{played:?}");
    assert_ne!(played.at, played.off);
}
