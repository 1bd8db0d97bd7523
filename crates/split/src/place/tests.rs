//! What a plan promises, on shelves thrown by dice; a failure names its seed.

mod memory;

use super::*;
use crate::assign::Given;
use std::collections::{BTreeMap, BTreeSet};

/// Dice (xorshift64*): the same story every time.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % n
    }
}

const MIB: u64 = 1 << 20;

fn expert(name: &str, model: &str, copies: u32) -> Expert {
    let text = format!(
        "name = \"{name}\"\nmodel = \"{model}.gguf\"\nquantisation = \"Q1_0\"\ncontext = 1024\ncopies = {copies}\nsplit = true\n"
    );
    Expert::parse(&text).unwrap()
}

fn model(name: &str, n_layers: usize, layer_mib: u64, embedding_mib: u64) -> Model {
    Model {
        file: format!("{name}.gguf"),
        layer_bytes: vec![layer_mib * MIB; n_layers],
        embedding_bytes: embedding_mib * MIB,
        kv_bytes: 2048,
        width: 2048,
        // It computes with 68 MiB, caches among them.
        inner: 6144,
        n_vocab: 50_000,
        split_step: 1,
        ..Model::default()
    }
}

/// With this much left for models.
fn node(id: u64, room_mib: u64) -> Node {
    Node {
        id: NodeId(id),
        name: format!("n{id}"),
        cores: 2,
        ram_bytes: room_mib * MIB + RESERVE_BYTES,
        wire_mbit: 1000,
        speeds: Vec::new(),
        files: Vec::new(),
        has_disk: false,
        can_fetch: true,
        offered: vec![],
    }
}

struct World {
    nodes: Vec<Node>,
    models: Vec<Model>,
    experts: Vec<Expert>,
}

impl World {
    fn thrown(dice: &mut Dice, n_nodes: u64, n_experts: u64) -> World {
        let mut world = World { nodes: Vec::new(), models: Vec::new(), experts: Vec::new() };
        for idx in 0..1 + dice.below(n_experts) {
            let layers = 4 + dice.below(40) as usize;
            let thrown = model(&format!("m{idx}"), layers, 1 + dice.below(40), 1 + dice.below(100));
            world.models.push(Model { split_step: dice.below(4) as u32, ..thrown });
            let mut want = expert(&format!("e{idx}"), &format!("m{idx}"), 1 + dice.below(4) as u32);
            want.fallback = idx == 0 && dice.below(2) == 0;
            want.split = dice.below(4) > 0;
            want.least_tokens_per_second = (dice.below(5) == 0).then_some(2.0);
            world.experts.push(want);
        }
        for id in 0..1 + dice.below(n_nodes) {
            world.nodes.push(world.thrown_node(dice, 3 * id + 1));
        }
        world
    }

    fn thrown_node(&self, dice: &mut Dice, id: u64) -> Node {
        let mut thrown = node(id, dice.below(3000));
        for model in &self.models {
            if dice.below(3) == 0 {
                let bytes: u64 = model.layer_bytes.iter().sum();
                let decode_ns = bytes / (1 + dice.below(6));
                thrown.speeds.push(Speed { model: model.file.replace(".gguf", ""), decode_ns });
            }
        }
        if dice.below(5) == 0 {
            let files = self.models.iter().filter(|_| dice.below(2) == 0);
            (thrown.files, thrown.can_fetch) = (files.map(|model| model.file.clone()).collect(), false);
            thrown.has_disk = dice.below(3) == 0;
        }
        thrown
    }

    fn plan(&self, in_force: &[Seat]) -> Plan {
        plan(&self.nodes, &self.models, &self.experts, in_force)
    }
}

/// What holds for every plan, whatever was in force.
fn check_sound(world: &World, plan: &Plan, reserve: u64, seed: u64) {
    let mut used: BTreeMap<NodeId, u64> = BTreeMap::new();
    for seat in &plan.seats {
        let want = world.experts.iter().find(|expert| expert.name == seat.expert).unwrap();
        let model = world.models.iter().find(|model| model.file == want.model).unwrap();
        let mut next = 0;
        for part in &seat.parts {
            assert_eq!(part.first, next, "seed {seed}: {} leaves layers out", seat.expert);
            assert!(part.last > part.first, "seed {seed}: an empty stage of {}", seat.expert);
            next = part.last;
            *used.entry(part.node).or_default() += part.bytes;
            let node = world.nodes.iter().find(|node| node.id == part.node).unwrap();
            assert!(node.can_fetch || node.files.contains(&model.file), "seed {seed}: no file there");
        }
        assert_eq!(next, model.n_layers(), "seed {seed}: {} ends too soon", seat.expert);
        let distinct: BTreeSet<_> = seat.parts.iter().map(|part| part.node).collect();
        assert_eq!(distinct.len(), seat.parts.len(), "seed {seed}: one node is two stages");
        if seat.parts.len() > 1 {
            assert!(want.split && model.split_step > 0, "seed {seed}: {} may not be cut", seat.expert);
            assert!(
                1_000_000_000_000 / seat.tokens_per_s_milli <= SPLIT_NS_MAX,
                "seed {seed}: a cut too slow"
            );
        }
        let least = want.least_tokens_per_second.unwrap_or(0.0);
        assert!(seat.tokens_per_s_milli as f32 >= least * 1000.0, "seed {seed}: {} is too slow", seat.expert);
    }
    for (id, bytes) in used {
        let node = world.nodes.iter().find(|node| node.id == id).unwrap();
        assert!(bytes + reserve <= node.ram_bytes, "seed {seed}: {id} is over its memory");
    }
    for outcome in plan.outcomes.iter().filter(|outcome| outcome.n_copies == 0) {
        let told = format!("{} has no place: ", outcome.expert);
        assert!(
            plan.reasons.iter().any(|r| r.starts_with(&told)),
            "seed {seed}: no reason for {}",
            outcome.expert
        );
    }
}

fn each_seed(n: u64, mut look: impl FnMut(u64, &mut Dice)) {
    (1..=n).for_each(|seed| look(seed, &mut Dice::new(seed)));
}

#[test]
fn every_plan_keeps_within_memory_and_gives_every_layer_once() {
    each_seed(300, |seed, dice| {
        let world = World::thrown(dice, 12, 8);
        let first = world.plan(&[]);
        check_sound(&world, &first, RESERVE_BYTES, seed);
        // Whatever happens to the shelf, the mended plan is as sound.
        let mut later = World::thrown(dice, 12, 8);
        later.models.clone_from(&world.models);
        later.experts.clone_from(&world.experts);
        later.nodes.retain(|_| dice.below(3) > 0);
        check_sound(&later, &later.plan(&first.seats), RESERVE_BYTES / 2, seed);
    });
}

#[test]
fn a_cut_takes_no_memory_that_a_copy_could_use() {
    each_seed(300, |seed, dice| {
        let world = World::thrown(dice, 10, 8);
        let plan = world.plan(&[]);
        let whole: Vec<Seat> = plan.seats.iter().filter(|seat| seat.parts.len() == 1).cloned().collect();
        let cut: Vec<&Seat> = plan.seats.iter().filter(|seat| seat.parts.len() > 1).collect();
        for want in &world.experts {
            let n = whole.iter().filter(|seat| seat.expert == want.name).count();
            let model = world.models.iter().find(|model| model.file == want.model).unwrap();
            if n >= want.copies as usize || (n == 0 && !cut.iter().any(|seat| seat.expert == want.name)) {
                continue;
            }
            for node in &world.nodes {
                let there = whole.iter().filter(|seat| seat.parts[0].node == node.id);
                let used: u64 = there.clone().map(|seat| seat.parts[0].bytes).sum();
                let sits = there.clone().any(|seat| seat.expert == want.name);
                let pace = cost::pace(node, model, &world.models, cost::best(&world.nodes, &world.models)).ns;
                let fast = cost::milli(pace) as f32 >= want.least_tokens_per_second.unwrap_or(0.0) * 1000.0;
                let lies = node.files.contains(&model.file);
                let weights = if lies && !node.has_disk { 0 } else { whole_weights(model) };
                let fits =
                    used + weights + whole_beside(model, Talks::of(want)) + RESERVE_BYTES <= node.ram_bytes;
                let has = node.can_fetch || lies;
                let chair = (there.count() as u64) < NODE_COPIES_MAX;
                assert!(
                    sits || !fast || !fits || !has || !chair,
                    "seed {seed}: {} fits {}",
                    want.name,
                    node.name
                );
            }
        }
    });
}

#[test]
fn no_expert_has_two_copies_while_another_could_have_its_first() {
    let world = World {
        nodes: vec![node(1, 700), node(2, 700)],
        models: vec![model("a", 10, 20, 10), model("b", 10, 30, 10), model("c", 10, 40, 10)],
        experts: vec![expert("a", "a", 2), expert("b", "b", 2), expert("c", "c", 2)],
    };
    let plan = world.plan(&[]);
    let copies: Vec<_> = plan.outcomes.iter().map(|o| (o.expert.as_str(), o.n_copies)).collect();
    assert_eq!(copies, [("a", 1), ("b", 1), ("c", 1)], "{:#?}", plan.reasons);
}

#[test]
fn the_order_of_nodes_models_and_experts_changes_nothing() {
    each_seed(200, |seed, dice| {
        let mut world = World::thrown(dice, 12, 8);
        let want = world.plan(&[]);
        shuffle(&mut world.nodes, dice);
        shuffle(&mut world.models, dice);
        shuffle(&mut world.experts, dice);
        let got = world.plan(&[]);
        assert!(got.is_same_as(&want), "seed {seed}:\n{:#?}\n{:#?}", want.reasons, got.reasons);
        assert_eq!(got.outcomes.iter().filter(|o| o.n_copies > 0).count(), want.score().0, "seed {seed}");
    });
}

fn shuffle<T>(list: &mut [T], dice: &mut Dice) {
    for idx in (1..list.len()).rev() {
        list.swap(idx, dice.below(idx as u64 + 1) as usize);
    }
}

#[test]
fn one_more_node_never_makes_the_plan_in_force_worse() {
    each_seed(200, |seed, dice| {
        let mut world = World::thrown(dice, 8, 8);
        // Guesses are held to the fastest node: it is there from the beginning, or all figures would move with it.
        let fastest = |model: &Model| Speed { model: model.file.replace(".gguf", ""), decode_ns: 1 };
        world.nodes[0].speeds = world.models.iter().map(fastest).collect();
        let mut plan = world.plan(&[]);
        for step in 0..6 {
            let fresh = world.thrown_node(dice, 1000 + step);
            world.nodes.push(fresh);
            let next = world.plan(&plan.seats);
            assert!(
                next.score() >= plan.score(),
                "seed {seed}, node {step}: {:?} {:?}",
                plan.score(),
                next.score()
            );
            plan = next;
        }
    });
}

#[test]
fn a_plan_in_force_stays_while_nothing_has_changed() {
    each_seed(200, |seed, dice| {
        let world = World::thrown(dice, 12, 8);
        let mut plan = world.plan(&[]);
        // A first plan may leave a gain for the rules that mend; then it is at rest.
        for _ in 0..4 {
            plan = world.plan(&plan.seats);
        }
        let again = world.plan(&plan.seats);
        assert_eq!(again.is_kept, !plan.seats.is_empty(), "seed {seed}");
        assert!(again.is_same_as(&plan), "seed {seed}: {:#?}", again.reasons);
    });
}

#[test]
fn a_little_more_speed_elsewhere_moves_nothing_and_much_more_does() {
    let mut world = World {
        nodes: vec![node(1, 900), node(2, 900)],
        models: vec![model("a", 10, 20, 10)],
        experts: vec![expert("a", "a", 1)],
    };
    let measured = |ns| vec![Speed { model: "a".into(), decode_ns: ns }];
    world.nodes[0].speeds = measured(100_000_000);
    world.nodes[1].speeds = measured(110_000_000);
    let first = world.plan(&[]);
    assert_eq!(first.seats[0].parts[0].node, NodeId(1));
    world.nodes[1].speeds = measured(90_000_000);
    assert_eq!(world.plan(&first.seats).seats[0].parts[0].node, NodeId(1));
    world.nodes[1].speeds = measured(80_000_000);
    assert_eq!(world.plan(&first.seats).seats[0].parts[0].node, NodeId(2));
}

#[test]
fn a_node_that_only_promises_more_takes_nothing_from_one_that_was_measured() {
    let mut world = World {
        nodes: vec![node(1, 900), node(2, 900), node(3, 900)],
        models: vec![model("a", 10, 20, 10)],
        experts: vec![expert("a", "a", 1)],
    };
    let first = world.plan(&[]);
    assert_eq!(first.seats[0].parts[0].node, NodeId(1));
    // Half as fast as was assumed of all three.
    let measured = |ns| vec![Speed { model: "a".into(), decode_ns: ns }];
    world.nodes[0].speeds = measured(168_000_000);
    assert_eq!(world.plan(&first.seats).seats[0].parts[0].node, NodeId(1));
    // Another measurement says that the shelf has better.
    world.nodes[2].speeds = measured(84_000_000);
    assert_ne!(world.plan(&first.seats).seats[0].parts[0].node, NodeId(1));
}

#[test]
fn a_small_wave_of_memory_throws_nothing_out_and_takes_nothing_in() {
    let mut world = World {
        nodes: vec![node(1, 260)],
        models: vec![model("a", 10, 20, 10)],
        experts: vec![expert("a", "a", 1)],
    };
    // 200 and 10 for weights, 68 to compute.
    assert_eq!(world.plan(&[]).score().0, 0);
    world.nodes[0].ram_bytes += 20 * MIB;
    let first = world.plan(&[]);
    assert_eq!(first.score().0, 1, "{:#?}", first.reasons);
    world.nodes[0].ram_bytes -= 100 * MIB;
    assert!(world.plan(&first.seats).is_kept);
    world.nodes[0].ram_bytes -= 100 * MIB;
    assert_eq!(world.plan(&first.seats).score().0, 0);
}

#[test]
fn a_death_moves_only_what_lived_there() {
    let mut world = World {
        nodes: (1..=4).map(|id| node(id, 900)).collect(),
        models: (0..4).map(|idx| model(&format!("m{idx}"), 10, 20 + idx, 10)).collect(),
        experts: (0..4).map(|idx| expert(&format!("e{idx}"), &format!("m{idx}"), 1)).collect(),
    };
    let before = world.plan(&[]);
    let dead = world.nodes.remove(2).id;
    let after = world.plan(&before.seats);
    assert_eq!(after.score().0, 4);
    for seat in before.seats.iter().filter(|seat| seat.parts[0].node != dead) {
        assert!(after.seats.contains(seat), "{} moved: {:#?}", seat.expert, after.reasons);
    }
}

#[test]
fn a_model_that_fits_nowhere_whole_is_cut_and_the_sentence_says_why() {
    let world = World {
        nodes: vec![node(1, 450), node(2, 500), node(3, 400)],
        models: vec![model("large", 36, 12, 40)],
        experts: vec![expert("large", "large", 1)],
    };
    let plan = world.plan(&[]);
    assert!(plan.seats[0].parts.len() > 1);
    let told = &plan.reasons[1];
    assert!(told.starts_with("large is cut over 2 nodes (") && told.contains("; whole it needs "), "{told}");
}

#[test]
fn a_cut_slower_than_the_limit_is_refused() {
    let mut world = World {
        nodes: vec![node(1, 450), node(2, 500), node(3, 400)],
        models: vec![model("large", 36, 12, 40)],
        experts: vec![expert("large", "large", 1)],
    };
    for node in &mut world.nodes {
        node.speeds = vec![Speed { model: "large".into(), decode_ns: 400_000_000 }];
    }
    let plan = world.plan(&[]);
    assert!(plan.seats.is_empty());
    assert!(
        plan.reasons[1].contains("a token would take 400 ms, and 300 are the limit"),
        "{}",
        plan.reasons[1]
    );
}

#[test]
fn the_small_fallback_is_wherever_it_fits() {
    let mut small = expert("small", "small", 1);
    small.fallback = true;
    let world = World {
        nodes: (1..=5).map(|id| node(id, if id == 3 { 100 } else { 900 })).collect(),
        models: vec![model("small", 10, 20, 10)],
        experts: vec![small],
    };
    let plan = world.plan(&[]);
    let nodes: BTreeSet<u64> = plan.seats.iter().map(|seat| seat.parts[0].node.0).collect();
    assert_eq!(nodes.into_iter().collect::<Vec<_>>(), [1, 2, 4, 5]);
    assert!(
        plan.reasons.iter().any(|r| r.ends_with("wherever it fits: on 4 of 5 nodes")),
        "{:#?}",
        plan.reasons
    );
}

#[test]
fn the_last_resort_is_on_every_node_and_moves_nobody() {
    let mut world = World {
        nodes: vec![node(1, 900), node(2, 900)],
        models: vec![model("tiny", 2, 1, 1), model("large", 10, 80, 10), model("other", 10, 80, 10)],
        experts: vec![expert("large", "large", 1), expert("other", "other", 1)],
    };
    let places = |plan: &Plan, who: &str| {
        let seats = plan.seats.iter().filter(|seat| seat.expert == who);
        seats.map(|seat| seat.parts[0].node.0).collect::<Vec<_>>()
    };
    // Both are full without it.
    world.nodes[0].ram_bytes = RESERVE_BYTES + (10 * 80 + 10 + 72 + 8) * MIB;
    let without = world.plan(&[]);
    let mut tiny = expert("tiny", "tiny", 1);
    tiny.fallback = true;
    tiny.tags = vec![crate::expert::LAST_RESORT.into()];
    world.experts.push(tiny);
    let plan = world.plan(&without.seats);
    assert_eq!(places(&plan, "tiny"), [1, 2], "{:#?}", plan.reasons);
    for who in ["large", "other"] {
        assert_eq!(places(&plan, who), places(&without, who), "{:#?}", plan.reasons);
    }
    let speed = |plan: &Plan| plan.outcomes.iter().find(|one| one.expert == "large").unwrap().shared_milli;
    assert_eq!(speed(&plan), speed(&without), "it slows nobody down");
    assert!(world.plan(&plan.seats).is_kept);
}

#[test]
fn others_move_over_for_an_expert_that_fits_only_one_node() {
    let world = World {
        nodes: vec![node(1, 1000), node(2, 400)],
        models: vec![model("small", 10, 20, 10), model("large", 10, 70, 10)],
        experts: vec![expert("small", "small", 1), expert("large", "large", 1)],
    };
    let plan = world.plan(&[]);
    let places: Vec<_> = plan.seats.iter().map(|s| (s.expert.as_str(), s.parts[0].node.0)).collect();
    assert_eq!(places, [("large", 1), ("small", 2)]);
}

#[test]
fn a_thousand_nodes_and_thirty_experts_take_few_steps() {
    let mut dice = Dice::new(7);
    let mut world = World { nodes: Vec::new(), models: Vec::new(), experts: Vec::new() };
    for idx in 0..30 {
        world.models.push(model(&format!("m{idx}"), 80, 1 + idx, 10 * idx + 1));
        world.experts.push(expert(&format!("e{idx}"), &format!("m{idx}"), 1 + dice.below(40) as u32));
    }
    world.experts[0].fallback = true;
    for id in 0..1000 {
        // The larger models fit no node whole.
        let thrown = world.thrown_node(&mut dice, id);
        let ram_bytes = RESERVE_BYTES + dice.below(1000) * MIB;
        world.nodes.push(Node { ram_bytes, files: Vec::new(), can_fetch: true, ..thrown });
    }
    let first = world.plan(&[]);
    check_sound(&world, &first, RESERVE_BYTES, 7);
    world.nodes.remove(500);
    let second = world.plan(&first.seats);
    check_sound(&world, &second, RESERVE_BYTES / 2, 7);
    assert!(first.seats.iter().any(|seat| seat.parts.len() > 1), "nothing was cut: {:#?}", first.reasons);
    // A step is a comparison of some ten instructions; an old core does two hundred million in a second.
    assert!(first.n_steps < 10_000_000, "{} steps", first.n_steps);
    assert!(second.n_steps < 15_000_000, "{} steps", second.n_steps);
}

#[test]
fn each_node_is_told_its_part_of_the_ring() {
    let world = World {
        nodes: vec![node(1, 270), node(2, 270), node(3, 270)],
        models: vec![model("large", 36, 12, 40)],
        experts: vec![expert("large", "large", 1)],
    };
    let plan = world.plan(&[]);
    let ring: Vec<NodeId> = plan.seats[0].parts.iter().map(|part| part.node).collect();
    assert_eq!(ring.len(), 3, "{:#?}", plan.reasons);
    let address = |id: NodeId| format!("[fd00::{}]:50052", id.0).parse().ok();
    let place = Place {
        generation: 3,
        build: "0.1.0",
        given: &|name| {
            Some(Given { expert: expert(name, "large", 1), persona: String::new(), version: String::new() })
        },
        address: &address,
        key: &|_| "0".repeat(crate::assign::KEY_DIGITS),
    };
    for (idx, id) in ring.iter().enumerate() {
        let assignment = give(&plan, *id, &place);
        assert_eq!(assignment.check(), Ok(()));
        let stage = &assignment.stages[0];
        assert_eq!(Some(stage.next), address(ring[(idx + 1) % 3]));
        assert_eq!(Some(stage.previous), address(ring[(idx + 2) % 3]));
        assert_eq!((stage.stage_idx, stage.n_stages, stage.of), (idx as u32, 3, 36));
    }
    assert!(give(&plan, NodeId(9), &place).stages.is_empty());
}
