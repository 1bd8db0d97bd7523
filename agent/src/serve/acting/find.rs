//! Which node a person means by a name, and why it cannot be reached; pure.

use admission::NodeId;
use gossip::{Member, Picture};
use std::net::Ipv6Addr;

/// Names that are told to whoever said another.
const NAMES_MAX: usize = 12;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    Here,
    There { id: NodeId, name: String, address: Ipv6Addr },
}

/// `own` is this node's name, which it has without a cluster too.
pub fn find(picture: Option<&Picture>, own: &str, name: &str) -> Result<Found, String> {
    let said = name.trim();
    if said.is_empty() || said.eq_ignore_ascii_case(own) {
        return Ok(Found::Here);
    }
    let nodes: Vec<&Member> =
        picture.iter().flat_map(|picture| &picture.members).filter(|member| member.role == "node").collect();
    let mut named = nodes.iter().filter(|member| member.name.eq_ignore_ascii_case(said));
    let Some(member) = named.next() else {
        let mut names: Vec<&str> = nodes.iter().map(|member| member.name.as_str()).collect();
        names.extend([own]);
        names.retain(|name| !name.is_empty());
        names.sort_unstable();
        names.dedup();
        names.truncate(NAMES_MAX);
        return Err(format!("there is no node {:?}; there are: {}", tools::cut(said, 64), names.join(", ")));
    };
    let name = member.name.clone();
    if named.next().is_some() {
        return Err(format!("two nodes are called {name}; give one of them another name in duet.toml"));
    }
    if member.is_self {
        return Ok(Found::Here);
    }
    if !member.is_alive() {
        return Err(format!("{name} does not answer since {} s; is it switched on?", member.for_s));
    }
    match member.overlay {
        Some(address) => Ok(Found::There { id: member.id, name, address }),
        None => Err(format!("{name} is not on the overlay yet; try again in a moment")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: u64, name: &str, standing: &'static str, overlay: Option<&str>) -> Member {
        Member {
            id: NodeId(id),
            is_self: id == 1,
            role: "node",
            name: name.into(),
            address: "10.0.0.7:7947".parse().unwrap(),
            overlay: overlay.map(|text| text.parse().unwrap()),
            standing,
            for_s: 9,
            heard_s: None,
            sees: None,
            facts: None,
            unread: None,
            doubted: vec![],
            certificate: None,
        }
    }

    fn picture(members: Vec<Member>) -> Picture {
        let (traffic, refused, senders) = (gossip::Traffic::default(), vec![], vec![]);
        Picture { own: NodeId(1), ring: 1, n_alive: 5, agreement: 0, members, traffic, refused, senders }
    }

    #[track_caller]
    fn check(name: &str, want: Result<Option<u64>, &str>) {
        let members = vec![
            member(1, "pc1", "alive", Some("fd01::1")),
            member(2, "Kitchen", "alive", Some("fd01::2")),
            member(3, "cellar", "down", Some("fd01::3")),
            member(4, "new", "alive", None),
            member(5, "twin", "alive", Some("fd01::5")),
            member(6, "twin", "alive", Some("fd01::6")),
        ];
        let picture = picture(members);
        let found = find(Some(&picture), "pc1", name);
        let id = found.as_ref().map(|found| match found {
            Found::Here => None,
            Found::There { id, .. } => Some(id.0),
        });
        match want {
            Ok(want) => assert_eq!(id, Ok(want), "{name}"),
            Err(want) => assert!(found.as_ref().is_err_and(|why| why.starts_with(want)), "{found:?}"),
        }
    }

    #[test]
    fn a_node_is_found_by_its_name_and_who_is_none_is_told_with_the_names_there_are() {
        check("", Ok(None));
        check("PC1", Ok(None));
        check("kitchen", Ok(Some(2)));
        check("attic", Err("there is no node \"attic\"; there are: Kitchen, cellar, new, pc1, twin"));
        check("cellar", Err("cellar does not answer since 9 s"));
        check("new", Err("new is not on the overlay yet"));
        check("twin", Err("two nodes are called twin"));
        assert_eq!(find(None, "pc1", "pc1"), Ok(Found::Here));
        assert!(find(None, "pc1", "pc2").is_err());
    }
}
