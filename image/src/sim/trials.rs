//! Bad days, each a short story: what goes wrong on wires, in clocks, on busy processors, and on purpose.
//!
//! `World` holds the invariants at every step; a trial adds what must be true at its end, and panics where it is not.

use anyhow::{Result, ensure};
use cluster::{Event, Health, Input, Standing};

use super::world::{Weather, World};

/// A trial with one seed.
pub type Trial = fn(u64);

pub const TRIALS: [(&str, Trial); 19] = [
    ("bad weather", bad_weather),
    ("half and half", half_and_half),
    ("one way", one_way),
    ("flapping", flapping),
    ("half restart at once", half_restart),
    ("old clock", old_clock),
    ("stalled processor", stalled_processor),
    ("stalled watcher", stalled_watcher),
    ("rotation under loss", rotation),
    ("removed", removed),
    ("removed with the old key", removed_with_the_old_key),
    ("taken back in", taken_back_in),
    ("stranger with the key", stranger),
    ("replays", replays),
    ("forged datagrams", forged),
    ("goodbye", goodbye),
    ("holes", holes),
    ("half a death", half_a_death),
    ("failed connection", failed_connection),
];

/// Seeds that once failed: they are always played.
pub const KEPT_SEEDS: [(&str, u64); 3] = [
    // A node without ears was spared because it was heard, and took others for dead.
    ("one way", 4),
    // A rumour of a newer certificate was lost, and no comparison told of it.
    ("taken back in", 28),
    ("old clock", 0),
];

const ROUGH: Weather = Weather { loss: 0.05, doubled: 0.05, late: 0.1 };

/// Plays trials whose names contain `only`, each with many seeds.
pub fn play(only: &str, seeds: std::ops::Range<u64>, say: &mut dyn FnMut(&str)) -> Result<()> {
    let chosen: Vec<&(&str, Trial)> = TRIALS.iter().filter(|(name, _)| name.contains(only)).collect();
    ensure!(!chosen.is_empty(), "no trial is called {only}");
    for (name, trial) in chosen {
        let kept = KEPT_SEEDS.iter().filter(|(of, _)| of == name).map(|(_, seed)| *seed);
        for seed in kept.chain(seeds.clone()) {
            let told = Told(name, seed);
            trial(seed);
            std::mem::forget(told);
        }
        say(&format!("{name}: {} stories ended well", seeds.end - seeds.start));
    }
    Ok(())
}

/// Names trial and seed when a story panics.
struct Told<'a>(&'a str, u64);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        eprintln!("the trial \"{}\" failed with seed {}", self.0, self.1);
    }
}

/// A cluster in which everybody knows everybody.
fn together(n: usize, seed: u64, weather: Weather) -> World {
    let mut world = World::new(n, seed, weather);
    for idx in 0..n {
        let pause = world.roll(200) as f64 / 1000.0;
        world.boot(idx, None);
        world.run(pause);
    }
    reach(&mut world, 30.0, "be together", World::is_whole);
    world
}

fn reach(world: &mut World, seconds_max: f64, what: &str, is_true: impl Fn(&World) -> bool) -> f64 {
    let took = world.until(seconds_max, is_true);
    took.unwrap_or_else(|| panic!("they should {what} within {seconds_max} s"))
}

fn bad_weather(seed: u64) {
    let mut world = together(20, seed, ROUGH);
    let before = world.false_downs;
    world.run(60.0);
    let false_downs = world.false_downs - before;
    assert!(false_downs == 0, "{false_downs} living nodes were said to be down");
    for idx in 0..5 {
        world.say(idx);
        reach(&mut world, 15.0, "hear the news", |world| world.all_know(idx));
    }
}

fn half_and_half(seed: u64) {
    let mut world = together(20, seed, Weather { loss: 0.01, ..Weather::default() });
    world.cut(Some(Box::new(|a, b| (a < 10) != (b < 10))));
    reach(&mut world, 30.0, "settle apart", |world| {
        world.is_whole_among(|idx| idx < 10) && world.is_whole_among(|idx| idx >= 10)
    });
    world.run(60.0);
    world.say(3);
    world.say(15);
    world.run(2.0);
    let before = world.false_downs;
    world.cut(None);
    reach(&mut world, 20.0, "find each other", |world| {
        world.is_whole() && world.all_know(3) && world.all_know(15)
    });
    assert_eq!(world.false_downs, before, "healing made living nodes look dead");
}

/// One node hears nothing, then nobody hears one node.
fn one_way(seed: u64) {
    let mut world = together(12, seed, Weather::default());
    for is_deaf in [true, false] {
        let before = world.false_downs;
        world.cut(Some(Box::new(move |from, to| if is_deaf { to == 5 } else { from == 5 })));
        world.run(40.0);
        assert_eq!(world.false_downs, before, "a node with half a wire took living ones down");
        assert!(world.up().filter(|idx| *idx != 5).all(|idx| world.node(idx).n_alive() == 11));
        world.cut(None);
        reach(&mut world, 20.0, "be whole again", World::is_whole);
    }
}

fn flapping(seed: u64) {
    let mut world = together(16, seed, Weather::default());
    for round in 0..12 {
        let split = 1 + world.roll(14) as usize;
        world.cut(Some(Box::new(move |a, b| (a < split) != (b < split))));
        let (apart, joined) = (world.roll(8000), world.roll(4000));
        world.run(apart as f64 / 1000.0);
        world.cut(None);
        world.say(round);
        world.run(joined as f64 / 1000.0);
    }
    reach(&mut world, 25.0, "be whole again", World::is_whole);
}

fn half_restart(seed: u64) {
    let mut world = together(20, seed, Weather { loss: 0.02, ..Weather::default() });
    for idx in 0..10 {
        world.kill(idx);
    }
    world.run(1.5);
    for idx in 0..10 {
        world.boot(idx, None);
    }
    reach(&mut world, 20.0, "be whole again", World::is_whole);
}

/// Reboots with epochs long past, as with a dead clock battery.
fn old_clock(seed: u64) {
    let mut world = together(8, seed, Weather { loss: 0.02, ..Weather::default() });
    for (idx, epoch) in [(3, 1), (4, world.epoch(4) - 1), (5, world.epoch(5))] {
        world.kill(idx);
        let pause = world.roll(12_000) as f64 / 1000.0;
        world.run(pause);
        world.boot(idx, Some(epoch));
        let took = reach(&mut world, 20.0, "take it back", |world| world.is_whole() && world.all_know(idx));
        assert!(took < 15.0, "a node with an old clock needed {took:.1} s");
    }
}

/// A node whose processor is busy for 5 s is missed, and back soon.
fn stalled_processor(seed: u64) {
    let mut world = together(20, seed, Weather::default());
    world.keeps_events = true;
    world.stall(7, 5);
    world.run(5.0);
    reach(&mut world, 5.0, "be whole again", World::is_whole);
    world.run(10.0);
    let itself = world.cast.actors[7].node;
    let is_other = |event: &Event| matches!(event, Event::Down(node) if *node != itself);
    assert!(!world.events.iter().any(|(.., event)| is_other(event)), "somebody else paid for the stall");
}

/// All but one are busy for some seconds at different times; none holds its own sleep against others.
fn stalled_watcher(seed: u64) {
    let mut world = together(20, seed, Weather::default());
    let before = world.false_downs;
    for idx in 1..20 {
        world.stall(idx, 1);
        let pause = world.roll(2000) as f64 / 1000.0;
        world.run(pause);
    }
    world.run(10.0);
    assert_eq!(world.false_downs, before, "a pause of a second made living nodes look dead");
    assert!(world.is_whole());
}

fn rotation(seed: u64) {
    let mut world = together(20, seed, Weather { loss: 0.1, doubled: 0.05, late: 0.1 });
    world.kill(19);
    for _ in 0..2 {
        let (key, page) = world.cast.rotate();
        let number = key.number();
        world.give(0, Input::Page(&page));
        world.give(0, Input::RingKey(key));
        reach(&mut world, 60.0, "all switch", |world| {
            world.up().all(|idx| world.node(idx).ring_number() == number)
        });
        world.run(5.0);
        assert!(world.up().all(|idx| world.node(idx).n_alive() == 19), "the switch lost somebody");
    }
    world.boot(19, None);
    reach(&mut world, 20.0, "take in the one that was away", World::is_whole);
}

fn removed(seed: u64) {
    let mut world = together(12, seed, Weather { loss: 0.05, ..Weather::default() });
    let page = world.cast.remove(6);
    world.mark_removed(6, true);
    world.give(0, Input::Page(&page));
    let node = world.cast.actors[6].node;
    let all_dropped = |world: &World| {
        world
            .up()
            .filter(|idx| *idx != 6)
            .all(|idx| world.node(idx).standing(node) == Some(Standing::Removed))
    };
    let took = reach(&mut world, 10.0, "drop it", all_dropped);
    assert!(took < 5.0, "the removal took {took:.1} s");
    world.run(1.0);
    let before = world.traffic.datagrams;
    world.run(30.0);
    assert!(world.traffic.datagrams > before && all_dropped(&world));
}

/// A removed node talks on under the ring key that it has, as itself and as anybody else.
fn removed_with_the_old_key(seed: u64) {
    let mut world = together(10, seed, Weather { loss: 0.05, ..Weather::default() });
    let old = world.cast.ring().current().clone();
    let removal = world.cast.remove(6);
    let (key, page) = world.cast.rotate();
    world.mark_removed(6, true);
    // The removal may come before the new key or after it.
    let pages = if world.roll(2) == 0 { [&removal, &page] } else { [&page, &removal] };
    pages.iter().for_each(|page| world.give(0, Input::Page(page)));
    world.give(0, Input::RingKey(key));
    let others: Vec<usize> = world.up().filter(|idx| *idx != 6).collect();
    // What it says is sealed rightly and makes no sense: whoever opens it counts it as malformed.
    let say = |world: &mut World| {
        let cluster = world.cast.cluster();
        let noise = cluster::envelope::seal(&old, cluster, [5; cluster::envelope::NONCE_BYTES], b"noise");
        others.iter().for_each(|to| world.inject(6, *to, noise.clone()));
        world.run(0.1);
        others.iter().filter(|idx| world.node(**idx).counters().malformed > 0).count()
    };
    assert!(say(&mut world) > 0, "under the key of all it is heard at first");
    let number = old.number() + 1;
    let is_deaf = |world: &World| {
        let mut nodes = others.iter().map(|idx| world.node(*idx));
        nodes.all(|node| node.ring_number() == number && !node.hears_previous())
    };
    let took = reach(&mut world, 600.0, "forget its key", is_deaf);
    assert!(took < 120.0, "ten that are alive forgot the key of a removed one after {took:.0} s");
    let heard = |world: &World| -> u64 {
        others.iter().map(|idx| world.node(*idx).counters()).map(|c| c.malformed + c.barred).sum()
    };
    let before = heard(&world);
    say(&mut world);
    world.run(30.0);
    assert_eq!(heard(&world), before, "somebody still hears the removed node");
    assert!(others.iter().all(|idx| world.node(*idx).n_alive() == 9), "the others lost somebody");
}

/// Removed, and then admitted again with a newer certificate.
fn taken_back_in(seed: u64) {
    let mut world = together(8, seed, Weather { loss: 0.02, ..Weather::default() });
    let page = world.cast.remove(6);
    world.mark_removed(6, true);
    world.give(0, Input::Page(&page));
    world.run(10.0);
    world.kill(6);
    world.run(2.0);
    world.mark_removed(6, false);
    world.boot(6, None);
    reach(&mut world, 20.0, "take it back in", World::is_whole);
}

/// Has the ring key, but the certificate of another authority.
fn stranger(seed: u64) {
    let mut world = together(8, seed, Weather::default());
    world.kill(7);
    let gone = |world: &World| world.up().all(|idx| world.node(idx).n_alive() == 7);
    reach(&mut world, 20.0, "miss it", gone);
    world.boot_stranger(7);
    world.run(30.0);
    let node = world.cast.actors[7].node;
    for idx in world.up().filter(|idx| *idx != 7).collect::<Vec<_>>() {
        let standing = world.node(idx).standing(node);
        assert_ne!(standing, Some(Standing::Member), "{idx} takes the stranger for a member");
        assert!(world.node(idx).record(node).is_none_or(|record| record.who.epoch < world.epoch(7)));
    }
}

/// Every datagram of a day's business, again and again, to whom it was meant for and to others.
fn replays(seed: u64) {
    let mut world = together(10, seed, Weather::default());
    world.tapes = true;
    world.kill(9);
    world.run(15.0);
    world.boot(9, None);
    reach(&mut world, 15.0, "be whole", World::is_whole);
    world.give(8, Input::Leave);
    world.kill(8);
    world.run(3.0);
    world.boot(8, None);
    reach(&mut world, 15.0, "be whole again", World::is_whole);
    world.tapes = false;
    let tape = std::mem::take(&mut world.tape);
    let before = world.false_downs;
    for _ in 0..3 {
        for (from, to, bytes) in &tape {
            world.inject(*from, *to, bytes.clone());
            let other = world.roll(10) as usize;
            world.inject(*from, other, bytes.clone());
        }
        world.run(1.0);
    }
    world.run(5.0);
    assert!(world.is_whole(), "replays changed the picture");
    assert_eq!(world.false_downs, before, "replays made living nodes look dead");
    // And the dead stay dead, whatever is replayed of them.
    let node = world.cast.actors[9].node;
    world.kill(9);
    let is_missed = |world: &World| world.up().all(|idx| !world.node(idx).is_alive(node));
    for _ in 0..20 {
        for (from, to, bytes) in tape.iter().filter(|(from, ..)| *from == 9) {
            world.inject(*from, *to, bytes.clone());
        }
        world.run(0.5);
    }
    assert!(is_missed(&world), "replays kept a dead node alive");
}

/// Datagrams with flipped bits, of other lengths, and of chance alone.
fn forged(seed: u64) {
    let mut world = together(8, seed, Weather::default());
    world.tapes = true;
    world.run(5.0);
    world.tapes = false;
    let tape = std::mem::take(&mut world.tape);
    for (idx, (from, to, bytes)) in tape.iter().enumerate() {
        let mut bytes = bytes.clone();
        match idx % 3 {
            0 => {
                let at = world.roll(bytes.len() as u64) as usize;
                bytes[at] ^= 1 << world.roll(8);
            }
            1 => bytes.truncate(world.roll(bytes.len() as u64) as usize),
            _ => bytes.iter_mut().for_each(|byte| *byte = world.roll(256) as u8),
        }
        world.inject(*from, *to, bytes);
    }
    world.keeps_events = true;
    world.run(5.0);
    assert!(world.is_whole());
    let is_bad = |(_, _, event): &&(u64, usize, Event)| matches!(event, Event::BadDatagram { .. });
    assert!(world.events.iter().filter(is_bad).count() >= 8, "bad senders are not told");
    let bad: u64 = world.up().map(|idx| world.node(idx).counters().unsealed).sum();
    assert!(bad > 0);
}

fn goodbye(seed: u64) {
    let mut world = together(12, seed, Weather { loss: 0.02, ..Weather::default() });
    world.keeps_events = true;
    world.give(5, Input::Leave);
    world.kill(5);
    let node = world.cast.actors[5].node;
    let took = reach(&mut world, 10.0, "see it leave", |world| {
        world.up().all(|idx| world.node(idx).standing(node) == Some(Standing::Left))
    });
    assert!(took < 3.0, "a goodbye took {took:.1} s");
    let is_down = world.events.iter().any(|(.., event)| *event == Event::Down(node));
    assert!(!is_down, "a goodbye looked like a death");
    world.boot(5, None);
    reach(&mut world, 10.0, "take it back", World::is_whole);
}

/// Two that never heard of each other, because all who could have told them were cut off at that moment.
fn holes(seed: u64) {
    let mut world = World::new(40, seed, Weather { loss: 0.3, ..Weather::default() });
    for idx in 0..40 {
        world.boot(idx, None);
    }
    world.run(1.5);
    // The rumours of the start are over; from here on only comparing helps.
    world.weather = Weather::default();
    reach(&mut world, 15.0, "find whom nobody told them of", World::is_whole);
}

/// A death whose rumour does not reach four of sixty: alone, each would find out by its own probe, in most of a minute.
fn half_a_death(seed: u64) {
    let mut world = together(60, seed, Weather::default());
    world.kill(59);
    let node = world.cast.actors[59].node;
    let someone_knows = |world: &World| world.up().any(|idx| !world.node(idx).is_alive(node));
    reach(&mut world, 20.0, "miss it", someone_knows);
    // Too short for anybody to be missed who hears nothing meanwhile.
    world.cut(Some(Box::new(|from, to| (10..14).contains(&to) && from != to)));
    world.run(1.6);
    world.cut(None);
    let all_know = |world: &World| world.up().all(|idx| !world.node(idx).is_alive(node));
    reach(&mut world, 6.0, "all know of it", all_know);
    reach(&mut world, 30.0, "agree", World::is_whole);
}

/// A connection that failed makes its service critical here and at once, until its node speaks anew.
fn failed_connection(seed: u64) {
    let mut world = together(4, seed, Weather::default());
    let node = world.cast.actors[2].node;
    let health = |world: &World, at: usize| world.node(at).health(node, "stages");
    assert_eq!(health(&world, 0), Some(Health::Passing));
    world.give(0, Input::Suspect { node, service: "stages" });
    assert_eq!(health(&world, 0), Some(Health::Critical));
    assert_eq!(health(&world, 1), Some(Health::Passing));
    world.say(2);
    reach(&mut world, 5.0, "hear the node", |world| world.all_know(2));
    assert_eq!(health(&world, 0), Some(Health::Passing));
    world.kill(2);
    reach(&mut world, 20.0, "miss it", |world| world.up().all(|at| !world.node(at).is_alive(node)));
    assert_eq!(health(&world, 1), Some(Health::Critical), "a dead node's service passes");
}
