//! Weights that several have, or that lie there anyway, are counted once.

use super::*;

#[test]
fn experts_of_one_model_have_its_weights_once() {
    // 400 and 40 for the weights, 68 for each of the two to compute.
    let mut world = World {
        nodes: vec![node(1, 600)],
        models: vec![model("a", 10, 40, 40)],
        experts: vec![expert("one", "a", 1), expert("two", "a", 1)],
    };
    let plan = world.plan(&[]);
    let bytes: Vec<u64> = plan.seats.iter().map(|seat| seat.parts[0].bytes).collect();
    assert_eq!(bytes.len(), 2, "{:#?}", plan.reasons);
    assert_eq!(bytes[0] - bytes[1], 440 * MIB);
    // Who counted them leaves, and the other counts them from now on.
    world.experts.remove(0);
    assert_eq!(world.plan(&plan.seats).seats[0].parts[0].bytes, bytes[0]);
    // Where the file lies, they take nothing more.
    world.nodes[0].files = vec!["a.gguf".into()];
    world.nodes[0].ram_bytes = RESERVE_BYTES + 70 * MIB;
    assert_eq!(world.plan(&[]).seats[0].parts[0].bytes, bytes[1]);
    // On a disk it takes no memory until it is held.
    world.nodes[0].has_disk = true;
    assert_eq!(world.plan(&[]).seats, []);
    world.nodes[0].ram_bytes = RESERVE_BYTES + 600 * MIB;
    assert_eq!(world.plan(&[]).seats[0].parts[0].bytes, bytes[0]);
}

#[test]
fn experts_of_one_model_that_is_cut_share_its_slices() {
    let world = World {
        nodes: vec![node(1, 500), node(2, 500)],
        models: vec![model("large", 36, 15, 40)],
        experts: vec![expert("one", "large", 1), expert("two", "large", 1)],
    };
    let part = |node, first, last| Part { node: NodeId(node), first, last, bytes: 0 };
    let parts = vec![part(1, 0, 18), part(2, 18, 36)];
    let plan = world.plan(&[Seat { expert: "one".into(), parts, tokens_per_s_milli: 0 }]);
    assert_eq!(plan.score().0, 2, "{:#?}", plan.reasons);
    let [one, two] = &plan.seats[..] else { panic!("{:#?}", plan.reasons) };
    for (one, two) in one.parts.iter().zip(&two.parts) {
        assert_eq!((one.node, one.first, one.last), (two.node, two.first, two.last));
        assert_eq!(one.bytes - two.bytes, (18 * 15 + 40) * MIB);
    }
    check_sound(&world, &plan, RESERVE_BYTES / 2, 0);
}

#[test]
fn a_slice_takes_its_memory_beside_the_whole_that_lies_there() {
    let mut world = World {
        nodes: vec![node(1, 560), node(2, 560)],
        models: vec![model("large", 36, 15, 40)],
        experts: vec![expert("large", "large", 1)],
    };
    let fetched = world.plan(&[]);
    assert!(fetched.seats[0].parts.len() > 1, "{:#?}", fetched.reasons);
    // Where the whole lies, it is not cut: only to compute it needs room.
    world.nodes.iter_mut().for_each(|node| node.files = vec!["large.gguf".into()]);
    assert_eq!(world.plan(&[]).seats[0].parts.len(), 1);
    // And where that room is wanting, a slice with its own caches may still fit, and counts as much as before.
    world.experts[0].context = 16_384;
    world.nodes.iter_mut().for_each(|node| node.ram_bytes = RESERVE_BYTES + 1200 * MIB);
    let plan = world.plan(&[]);
    let sum: u64 = plan.seats[0].parts.iter().map(|part| part.bytes).sum();
    assert!(plan.seats[0].parts.len() > 1 && sum > (36 * 15 + 2 * 40) * MIB, "{:#?}", plan.reasons);
}
