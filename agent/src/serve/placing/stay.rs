//! What a plan takes from this node stays until another serves it, where there is room beside the plan: an expert that
//! moves is never away. Pure.
//!
//! A part of a ring does not stay: alone it answers nothing.

use split::assign::{Assignment, EXPERTS_MAX, Given};
use std::collections::BTreeMap;
use std::time::Duration;

/// A model of 1 GB needs 90 s on a wire of 100 Mbit/s, and then it is loaded; one that never comes holds no memory for ever.
const STAY_MAX: Duration = Duration::from_secs(600);

/// Experts that the plan gives to this node no more.
#[derive(Default)]
pub struct Staying {
    left: BTreeMap<String, Left>,
    /// What the plan gave to this node when it was looked at last, whole, and how many bytes each takes.
    had: BTreeMap<String, u64>,
}

struct Left {
    given: Given,
    bytes: u64,
    since: Duration,
}

/// What a seat of the plan gives to this node.
#[derive(Clone, Copy)]
pub struct Seated<'a> {
    pub expert: &'a str,
    pub bytes: u64,
    /// Not a part of a ring.
    pub is_whole: bool,
}

/// What is known in this moment.
pub struct Look<'a> {
    pub now: Duration,
    /// Also what does not lie here yet.
    pub planned: &'a [Seated<'a>],
    /// All that models may take on this node.
    pub room_bytes: u64,
    /// What rpc-worker was told before.
    pub before: &'a [Given],
    /// An expert as its file says it now; none when it is gone.
    pub given: &'a dyn Fn(&str) -> Option<Given>,
    pub is_served_elsewhere: &'a dyn Fn(&str) -> bool,
}

impl Staying {
    /// Adds to what is held by the plan what stays, and says the names.
    pub fn add(&mut self, assignment: &mut Assignment, look: &Look) -> Vec<String> {
        let is_planned = |name: &str| look.planned.iter().any(|seated| seated.expert == name);
        for given in look.before {
            let name = &given.expert.name;
            if let (false, Some(bytes)) = (is_planned(name), self.had.get(name)) {
                let left = Left { given: given.clone(), bytes: *bytes, since: look.now };
                self.left.entry(name.clone()).or_insert(left);
            }
        }
        let whole = look.planned.iter().filter(|seated| seated.is_whole);
        self.had = whole.map(|seated| (seated.expert.to_owned(), seated.bytes)).collect();
        let mut bytes = look.planned.iter().fold(0u64, |sum, seated| sum.saturating_add(seated.bytes));
        self.left.retain(|name, left| {
            bytes = bytes.saturating_add(left.bytes);
            let stays = !is_planned(name)
                && look.now.saturating_sub(left.since) < STAY_MAX
                && bytes <= look.room_bytes
                && assignment.experts.len() < EXPERTS_MAX
                && (look.given)(name).as_ref() == Some(&left.given)
                && !(look.is_served_elsewhere)(name);
            match stays {
                true => assignment.experts.push(left.given.clone()),
                false => bytes = bytes.saturating_sub(left.bytes),
            }
            stays
        });
        self.left.keys().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use split::expert::Expert;

    fn given(name: &str) -> Given {
        let text =
            format!("name = \"{name}\"\nmodel = \"{name}.gguf\"\nquantisation = \"F32\"\ncontext = 512\n");
        Given { expert: Expert::parse(&text).unwrap(), persona: String::new(), version: String::new() }
    }

    fn whole(expert: &str, bytes: u64) -> Seated<'_> {
        Seated { expert, bytes, is_whole: true }
    }

    /// The second, what is planned, the room, and whether another serves `a`.
    type Moment<'a> = (u64, &'a [Seated<'a>], u64, bool);

    /// What is held after each of these.
    fn held(looks: &[Moment]) -> Vec<String> {
        let (mut staying, mut before, mut all) = (Staying::default(), Vec::new(), Vec::new());
        for (second, planned, room_bytes, is_elsewhere) in looks {
            let experts = planned.iter().filter(|seated| seated.is_whole).map(|seated| given(seated.expert));
            let mut assignment = Assignment { experts: experts.collect(), ..Assignment::default() };
            let look = Look {
                now: Duration::from_secs(*second),
                planned,
                room_bytes: *room_bytes,
                before: &before,
                given: &|name| (name != "gone").then(|| given(name)),
                is_served_elsewhere: &|name| name == "a" && *is_elsewhere,
            };
            staying.add(&mut assignment, &look);
            let names: Vec<&str> = assignment.experts.iter().map(|given| &*given.expert.name).collect();
            all.push(names.join(" "));
            before = assignment.experts;
        }
        all
    }

    #[test]
    fn an_expert_that_moves_stays_until_another_serves_it() {
        let (first, next): (&[_], &[_]) = (&[whole("a", 10)], &[whole("b", 10)]);
        let looks = [(0, first, 20, false), (1, next, 20, false), (9, next, 20, false), (10, next, 20, true)];
        assert_eq!(held(&looks), ["a", "b a", "b a", "b"]);
        // And not for ever.
        let looks =
            [(0, first, 20, false), (1, next, 20, false), (601, next, 20, false), (602, next, 20, false)];
        assert_eq!(held(&looks), ["a", "b a", "b", "b"]);
    }

    #[test]
    fn the_plan_comes_first_where_there_is_no_room_for_both() {
        let (first, next): (&[_], &[_]) = (&[whole("a", 10)], &[whole("b", 11)]);
        assert_eq!(held(&[(0, first, 20, false), (1, next, 20, false)]), ["a", "b"]);
        // Also when it gets scarce later.
        let looks = [(0, first, 21, false), (1, next, 21, false), (2, next, 20, false), (3, next, 21, false)];
        assert_eq!(held(&looks), ["a", "b a", "b", "b"]);
    }

    #[test]
    fn what_comes_back_is_removed_or_becomes_a_part_of_a_ring_does_not_stay_beside() {
        let a: &[_] = &[whole("a", 10)];
        assert_eq!(held(&[(0, a, 99, false), (1, &[], 99, false), (2, a, 99, false)]), ["a", "a", "a"]);
        let (gone, ring): (&[_], &[_]) =
            (&[whole("gone", 10)], &[Seated { expert: "a", bytes: 5, is_whole: false }]);
        assert_eq!(held(&[(0, gone, 99, false), (1, &[], 99, false)]), ["gone", ""]);
        assert_eq!(held(&[(0, a, 99, false), (1, ring, 99, false)]), ["a", ""]);
        // A part that goes says nothing of a whole one.
        assert_eq!(held(&[(0, ring, 99, false), (1, &[], 99, false)]), ["", ""]);
    }
}
