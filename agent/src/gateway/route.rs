//! Where a request goes: from what is known of all copies to an ordered list of candidates, each with its reason; pure.
//!
//! The order of discovery is: an address that the owner set, what the gossip tells, a list of last resort.

use admission::NodeId;
use cluster::Health;
use openai::ApiError;
use split::expert::{LAST_RESORT, LOCAL};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// The model that lets the cluster choose.
pub const AUTO: &str = "auto";
/// The tag of an expert that answers anything.
pub const GENERAL: &str = "general";
/// Copies that one request may try.
pub const ATTEMPTS_MAX: usize = 3;
/// Of a copy that answers only where nobody else does.
const LEAST_WISH: u8 = 2;
/// When every copy is gone for the moment, clients are told to come back so soon.
const RETRY_MS: u32 = 2000;

/// One node that serves one expert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    pub expert: String,
    pub node: Option<NodeId>,
    /// The node's name, for reasons and figures.
    pub place: String,
    pub address: SocketAddr,
    pub is_local: bool,
    pub health: Health,
    /// A connection to it failed since it last told.
    pub is_doubted: bool,
    pub busy: u16,
    pub slots: u16,
    /// Tokens a second times a thousand, 0 where nobody measured.
    pub milli: u32,
}

/// What is known of an expert beside its copies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    pub tags: Vec<String>,
    pub is_for_embeddings: bool,
    /// Small, and on every node that has room: it answers when nobody better can.
    pub is_fallback: bool,
}

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Text,
    Embeddings,
}

/// Everything that routing looks at.
#[derive(Clone, Debug, Default)]
pub struct View {
    pub copies: Vec<Copy>,
    pub manners: BTreeMap<String, Manner>,
    /// Everything goes there.
    pub set: Option<SocketAddr>,
    /// Asked when nobody else is known.
    pub last_resort: Vec<SocketAddr>,
    /// Why there is none, where there is no copy at all.
    pub nobody: String,
}

/// One place to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// What the request's `model` becomes there.
    pub model: String,
    pub node: Option<NodeId>,
    pub address: SocketAddr,
    /// A copy of the cluster, which says soon that it is there.
    pub is_ours: bool,
    /// The small model in the place of what was asked for: whoever asked is told.
    pub is_substitute: bool,
    /// Why it stands where it stands.
    pub why: String,
}

/// The candidates, best first; never empty.
pub fn route(view: &View, model: &str, purpose: Purpose) -> Result<Vec<Candidate>, ApiError> {
    let plain = |address: SocketAddr, why: &str| Candidate {
        model: model.to_owned(),
        node: None,
        address,
        is_ours: false,
        is_substitute: false,
        why: why.to_owned(),
    };
    if let Some(address) = view.set {
        return Ok(vec![plain(address, "the owner set this address")]);
    }
    let mut copies: Vec<&Copy> = match model {
        AUTO => chosen(view, purpose),
        name => view.copies.iter().filter(|copy| copy.expert == name).collect(),
    };
    if copies.iter().any(|copy| wish(view, model, copy) < LEAST_WISH) {
        // It comes below, in the place of the others, and whoever asked is told.
        copies.retain(|copy| wish(view, model, copy) < LEAST_WISH);
    }
    copies.sort_by_cached_key(|copy| (wish(view, model, copy), order(copy)));
    let mut found: Vec<Candidate> = copies.into_iter().map(candidate).collect();
    let is_known = model == AUTO || view.manners.contains_key(model) || !found.is_empty();
    let known =
        |address: &SocketAddr| plain(*address, "nobody tells of this model, so the fixed list is asked");
    if found.is_empty() {
        found.extend(view.last_resort.iter().map(known));
    }
    let small = if purpose == Purpose::Text && is_known { small(view, &found) } else { vec![] };
    if !small.is_empty() {
        // One place stays for the small model, and what is free of the others for any that can talk.
        found.truncate(ATTEMPTS_MAX - 1);
        let n_free = ATTEMPTS_MAX - 1 - found.len();
        found.extend(talkers(view, model, &small).into_iter().take(n_free));
        found.extend(small);
    }
    if !found.is_empty() {
        return Ok(found);
    }
    if is_known {
        let nobody = "no node serves a model for this at the moment";
        let why = match view.nobody.as_str() {
            "" => nobody.to_owned(),
            why => format!("{nobody}: {why}"),
        };
        return Err(ApiError::overloaded(why, RETRY_MS));
    }
    Err(ApiError::unknown_model(model))
}

/// The expert for a tag, of those that answer now: the one that has the best copy.
pub fn with_tag<'a>(view: &'a View, tag: &str) -> Option<&'a str> {
    if tag == GENERAL {
        // `auto` knows more of it: who takes the place of whom.
        return None;
    }
    let has_tag = |copy: &&Copy| {
        let manner = view.manners.get(&copy.expert);
        manner.is_some_and(|manner| !manner.is_for_embeddings && manner.tags.iter().any(|one| one == tag))
    };
    let up = view.copies.iter().filter(|copy| copy.health != Health::Critical && !copy.is_doubted);
    up.filter(has_tag).min_by_key(|copy| order(copy)).map(|copy| copy.expert.as_str())
}

/// The small model, wherever it is not among these already, best first.
fn small(view: &View, found: &[Candidate]) -> Vec<Candidate> {
    let is_small = |copy: &&Copy| {
        let is_fallback = view.manners.get(&copy.expert).is_some_and(|manner| manner.is_fallback);
        (is_fallback || copy.expert == LOCAL) && copy.health != Health::Critical
    };
    let mut copies: Vec<&Copy> = view.copies.iter().filter(is_small).collect();
    copies.sort_by_cached_key(|copy| (is_last_resort(view, &copy.expert), order(copy)));
    let is_new =
        |new: &Candidate| !found.iter().any(|old| (&old.model, old.address) == (&new.model, new.address));
    copies.into_iter().map(substitute).filter(is_new).collect()
}

/// In the place of an expert that is gone, where the small model would be the last resort: whoever talks of anything.
fn talkers(view: &View, model: &str, small: &[Candidate]) -> Vec<Candidate> {
    let is_talker = |copy: &&Copy| {
        let is_well = copy.health != Health::Critical && !copy.is_doubted;
        is_well && copy.expert != model && has_tag(view, &copy.expert, GENERAL)
    };
    let mut copies: Vec<&Copy> = view.copies.iter().filter(is_talker).collect();
    if model == AUTO || !small.iter().all(|one| is_last_resort(view, &one.model)) {
        copies.clear();
    }
    copies.sort_by_cached_key(|copy| order(copy));
    copies.into_iter().map(substitute).collect()
}

fn substitute(copy: &Copy) -> Candidate {
    Candidate { is_substitute: true, ..candidate(copy) }
}

fn has_tag(view: &View, expert: &str, tag: &str) -> bool {
    view.manners.get(expert).is_some_and(|manner| manner.tags.iter().any(|one| one == tag))
}

/// Whether it answers only where nobody else does.
fn is_last_resort(view: &View, expert: &str) -> bool {
    expert == LOCAL || has_tag(view, expert, LAST_RESORT)
}

/// The place of the router: it will choose by what is asked; for now every expert of the right purpose may answer.
fn chosen(view: &View, purpose: Purpose) -> Vec<&Copy> {
    let fits = |copy: &&Copy| {
        let is_for_embeddings = view.manners.get(&copy.expert).is_some_and(|manner| manner.is_for_embeddings);
        is_for_embeddings == (purpose == Purpose::Embeddings)
    };
    view.copies.iter().filter(fits).collect()
}

/// With `auto`, an expert for anything comes first; those of other tags answer when it cannot, and the last resort when
/// none of them can.
fn wish(view: &View, model: &str, copy: &Copy) -> u8 {
    match model == AUTO {
        false => 0,
        true if is_last_resort(view, &copy.expert) => LEAST_WISH,
        true if has_tag(view, &copy.expert, GENERAL) => 0,
        true => 1,
    }
}

/// Small is good: trusted, well, free, fast; then what is here, then by name, so that the order is always the same.
fn order(copy: &Copy) -> (bool, Health, bool, std::cmp::Reverse<u32>, bool, u16, String) {
    let is_full = copy.busy >= copy.slots.max(1);
    let speed = std::cmp::Reverse(share(copy));
    (copy.is_doubted, copy.health, is_full, speed, !copy.is_local, copy.busy, copy.place.clone())
}

/// What one more request would get of its speed.
fn share(copy: &Copy) -> u32 {
    copy.milli / (u32::from(copy.busy) + 1)
}

fn candidate(copy: &Copy) -> Candidate {
    let mut why = vec![if copy.is_local { "here".to_owned() } else { format!("on {}", copy.place) }];
    why.push(format!("{} of {} slots taken", copy.busy, copy.slots.max(1)));
    match copy.milli {
        0 => why.push("not measured yet".to_owned()),
        _ => why.push(format!("{}.{} tokens a second for it", share(copy) / 1000, share(copy) % 1000 / 100)),
    }
    match copy.health {
        Health::Passing => {}
        Health::Warning => why.push("impaired".to_owned()),
        Health::Critical => why.push("down by its own word".to_owned()),
    }
    if copy.is_doubted {
        why.push("did not answer lately".to_owned());
    }
    Candidate {
        model: copy.expert.clone(),
        node: copy.node,
        address: copy.address,
        // Another server may take its time, and goes on with nothing that was begun elsewhere.
        is_ours: copy.node.is_some() || copy.is_local,
        is_substitute: false,
        why: why.join(", "),
    }
}

/// The models of `/v1/models`: every expert that somebody serves, and the choice among them.
pub fn models(view: &View) -> Vec<&str> {
    let is_up = |copy: &&Copy| copy.health != Health::Critical;
    let mut names: Vec<&str> = view.copies.iter().filter(is_up).map(|copy| copy.expert.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    if !names.is_empty() {
        names.push(AUTO);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(expert: &str, place: &str, milli: u32) -> Copy {
        Copy {
            expert: expert.into(),
            node: Some(NodeId(1)),
            place: place.into(),
            address: SocketAddr::from(([10, 0, 0, 1], 8081)),
            is_local: false,
            health: Health::Passing,
            is_doubted: false,
            busy: 0,
            slots: 2,
            milli,
        }
    }

    fn view(copies: Vec<Copy>) -> View {
        let manner = |tag: &str| Manner {
            tags: vec![tag.into()],
            is_for_embeddings: tag == "embeddings",
            is_fallback: tag == "small" || tag == LAST_RESORT,
        };
        let manners = [
            ("calm", "general"),
            ("code", "coding"),
            ("vectors", "embeddings"),
            ("tiny", "small"),
            ("least", LAST_RESORT),
        ];
        let manners = manners.map(|(name, tag)| (name.to_owned(), manner(tag))).into();
        View { copies, manners, ..View::default() }
    }

    fn check(copies: Vec<Copy>, model: &str, purpose: Purpose, want: &str) {
        let places = |copies: &[Copy], found: &[Candidate]| {
            let place = |candidate: &Candidate| {
                let is_it =
                    |copy: &&Copy| candidate.why.contains(&copy.place) && copy.expert == candidate.model;
                copies.iter().find(is_it).map_or_else(|| "here".to_owned(), |copy| copy.place.clone())
            };
            found.iter().map(place).collect::<Vec<_>>().join(" ")
        };
        let found = route(&view(copies.clone()), model, purpose);
        assert_eq!(found.map(|found| places(&copies, &found)).unwrap_or_else(|e| e.message), want);
    }

    #[test]
    fn the_fastest_free_copy_comes_first_and_the_rest_follow() {
        let copies =
            vec![copy("calm", "slow", 4000), copy("calm", "quick", 9000), copy("code", "other", 20_000)];
        check(copies, "calm", Purpose::Text, "quick slow");
    }

    #[test]
    fn a_busy_copy_is_worth_its_share_and_a_full_one_comes_after_all_free_ones() {
        let busy = Copy { busy: 1, ..copy("calm", "busy", 9000) };
        let full = Copy { busy: 2, ..copy("calm", "full", 90_000) };
        check(vec![full, busy, copy("calm", "free", 5000)], "calm", Purpose::Text, "free busy full");
    }

    #[test]
    fn doubted_and_sick_copies_are_tried_last() {
        let doubted = Copy { is_doubted: true, ..copy("calm", "doubted", 90_000) };
        let sick = Copy { health: Health::Critical, ..copy("calm", "sick", 90_000) };
        let hurt = Copy { health: Health::Warning, ..copy("calm", "hurt", 90_000) };
        let copies = vec![doubted, sick, hurt, copy("calm", "well", 1)];
        check(copies, "calm", Purpose::Text, "well hurt sick doubted");
    }

    #[test]
    fn among_equals_what_is_here_comes_first() {
        let here = Copy { is_local: true, ..copy("calm", "zzz", 5000) };
        check(vec![copy("calm", "aaa", 5000), here], "calm", Purpose::Text, "here aaa");
    }

    #[test]
    fn auto_takes_a_general_expert_and_falls_back_to_others() {
        let copies =
            vec![copy("code", "coder", 90_000), copy("calm", "talker", 1000), copy("vectors", "v", 99_000)];
        check(copies.clone(), AUTO, Purpose::Text, "talker coder");
        check(copies, AUTO, Purpose::Embeddings, "v");
    }

    #[test]
    fn the_last_resort_is_asked_when_no_other_expert_is_there_however_fast_it_is() {
        let least = copy("least", "attic", 900_000);
        let doubted = Copy { is_doubted: true, ..copy("code", "doubted", 1) };
        check(vec![least.clone(), copy("code", "coder", 1)], AUTO, Purpose::Text, "coder attic");
        check(vec![least.clone(), doubted], AUTO, Purpose::Text, "doubted attic");
        check(vec![least.clone()], AUTO, Purpose::Text, "attic");
        // In the place of an expert that is gone it comes after all that can talk.
        let calm = copy("calm", "talker", 1);
        check(vec![least.clone(), calm.clone()], "code", Purpose::Text, "talker attic");
        let sick = Copy { is_doubted: true, ..copy("code", "sick", 1) };
        check(vec![least.clone(), calm.clone(), sick], "code", Purpose::Text, "sick talker attic");
        let first = route(&view(vec![least.clone(), calm]), "code", Purpose::Text).unwrap().remove(0);
        assert!(first.is_substitute);
        let view = view(vec![least]);
        assert!([GENERAL, "tools", "coding"].iter().all(|tag| with_tag(&view, tag).is_none()));
    }

    #[test]
    fn the_small_model_is_the_last_to_be_asked_and_says_that_it_is_another() {
        let tiny = copy("tiny", "attic", 90_000);
        let copies =
            vec![copy("calm", "north", 3), copy("calm", "south", 2), copy("calm", "west", 1), tiny.clone()];
        check(copies.clone(), "calm", Purpose::Text, "north south attic");
        let found = route(&view(copies), "calm", Purpose::Text).unwrap();
        assert_eq!(found.iter().map(|one| one.is_substitute).collect::<Vec<_>>(), [false, false, true]);
        // An expert whose copies are gone, but not a name that is made up; and it makes no vectors.
        check(vec![tiny.clone()], "calm", Purpose::Text, "attic");
        check(vec![tiny.clone()], "gpt-4", Purpose::Text, "the model \"gpt-4\" does not exist");
        check(
            vec![tiny.clone()],
            "vectors",
            Purpose::Embeddings,
            "no node serves a model for this at the moment",
        );
        // Where it is asked for itself, it stands for nobody.
        assert!(!route(&view(vec![tiny]), "tiny", Purpose::Text).unwrap()[0].is_substitute);
    }

    #[test]
    fn a_model_that_nobody_knows_is_unknown_and_one_that_nobody_serves_now_is_late() {
        check(vec![], "calm", Purpose::Text, "no node serves a model for this at the moment");
        check(vec![], AUTO, Purpose::Text, "no node serves a model for this at the moment");
        check(vec![], "gpt-4", Purpose::Text, "the model \"gpt-4\" does not exist");
    }

    #[test]
    fn a_node_without_any_copy_says_why() {
        let nobody = || "this PC is of the tier edge".to_owned();
        let error = route(&View { nobody: nobody(), ..view(vec![]) }, AUTO, Purpose::Text).unwrap_err();
        assert_eq!(
            error.message,
            "no node serves a model for this at the moment: this PC is of the tier edge"
        );
        let elsewhere = Copy { node: None, ..copy("calm", "the owner's address", 1) };
        assert!(!route(&view(vec![elsewhere]), "calm", Purpose::Text).unwrap()[0].is_ours);
    }

    #[test]
    fn a_set_address_comes_before_all_and_the_fixed_list_after_all() {
        let address = SocketAddr::from(([10, 0, 0, 9], 80));
        let set = View { set: Some(address), ..view(vec![copy("calm", "a", 1)]) };
        assert_eq!(route(&set, "any", Purpose::Text).unwrap()[0].address, address);
        let fixed = View { last_resort: vec![address], ..view(vec![copy("calm", "a", 1)]) };
        assert_eq!(route(&fixed, "any", Purpose::Text).unwrap()[0].address, address);
        assert_eq!(
            route(&fixed, "calm", Purpose::Text).unwrap()[0].why,
            "on a, 0 of 2 slots taken, 0.0 tokens a second for it"
        );
    }

    #[test]
    fn the_list_of_models_names_each_expert_once_and_the_choice_last() {
        let copies = vec![copy("code", "a", 1), copy("calm", "a", 1), copy("calm", "b", 1)];
        assert_eq!(models(&view(copies)), ["calm", "code", AUTO]);
        assert!(models(&view(vec![])).is_empty());
    }
}
