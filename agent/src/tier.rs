//! What part a node plays in its cluster: edge, mid or core. Said by the owner, or measured by memory, disk and models; pure.
//!
//! An edge node leaves heavy tools, and most questions to models, to others. A mid node can do all of it alone. A core node
//! has room for others too, a disk and a wire. Nothing depends on a core node being there.
//!
//! A node's own word comes from the command line of the agent, else its environment, else the kernel's command line.

use admission::ToolMode;
use cluster::Tier;
use serde::Serialize;
use std::net::SocketAddr;

/// Below this memory a node is too small for more than its voice; a little of what the name says is taken by the kernel.
pub const MID_MIB: u64 = 3 * 1024 - 256;
/// With this it can carry more than its share.
pub const CORE_MIB: u64 = 6 * 1024 - 256;

/// Where questions to models go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Llm {
    /// To the best copy, wherever it is.
    #[default]
    Auto,
    /// To the models of this node alone.
    Local,
    /// To other nodes alone.
    Remote,
}

/// What is said to this node itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// None where the node is to measure itself.
    pub tier: Option<Tier>,
    pub tools: Option<ToolMode>,
    pub tools_url: Option<SocketAddr>,
    /// For the door of that address.
    pub tools_key: Option<String>,
    pub llm: Option<Llm>,
    pub llm_url: Option<SocketAddr>,
    /// Words that are none.
    pub mistakes: Vec<String>,
}

/// What the tier is measured by.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub ram_mib: u64,
    /// What models may take.
    pub room_mib: u64,
    pub has_disk: bool,
    pub is_wired: bool,
    /// The files of models that lie here.
    pub models_mib: Vec<u64>,
    /// A model answers here.
    pub has_model: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Place {
    pub tier: Tier,
    /// Why it is this one.
    pub why: String,
    /// What was said that does not fit together, or to this PC.
    pub troubles: Vec<String>,
    /// Why this PC has no answer of its own; empty where it has.
    #[serde(skip)]
    pub no_model: String,
}

/// The word of a tier; none for `auto`.
pub fn tier(word: &str) -> Result<Option<Tier>, String> {
    match word {
        "auto" => Ok(None),
        "edge" => Ok(Some(Tier::Edge)),
        "mid" => Ok(Some(Tier::Mid)),
        "core" => Ok(Some(Tier::Core)),
        _ => Err(format!("a tier is edge, mid, core or auto, not {word:?}")),
    }
}

pub fn llm(word: &str) -> Result<Llm, String> {
    match word {
        "auto" => Ok(Llm::Auto),
        "local" => Ok(Llm::Local),
        "remote" => Ok(Llm::Remote),
        _ => Err(format!("models are asked local, remote or auto, not {word:?}")),
    }
}

impl Said {
    /// By the names that older clusters used for their environment.
    pub fn of_environment(get: impl Fn(&str) -> Option<String>) -> Said {
        let names = |name: &str| match name {
            "tier" => "NODE_TIER",
            "tools" => "TOOL_EXECUTION_MODE",
            "tools_url" => "TOOL_SERVER_URL_OVERRIDE",
            "llm_url" => "LLAMA_API_URL_OVERRIDE",
            _ => "",
        };
        let mut said = Said::read(|name| Some((names(name).to_owned(), get(names(name))?)));
        if get("RUN_LOCAL_LLM").is_some_and(|word| word == "true") {
            said.llm = Some(Llm::Local);
        }
        said
    }

    /// From the kernel's command line.
    pub fn of_kernel(line: &str) -> Said {
        let words: Vec<(&str, &str)> =
            line.split_whitespace().filter_map(|word| word.split_once('=')).collect();
        Said::read(|name| {
            let name = format!("duet.{name}");
            // The last one holds, as with the kernel's own.
            let found = words.iter().rev().find(|(word, _)| *word == name)?;
            Some((name, found.1.to_owned()))
        })
    }

    /// `get` gives a word's name where it was found, and the word.
    fn read(get: impl Fn(&str) -> Option<(String, String)>) -> Said {
        let mut mistakes = vec![];
        let said = Said {
            tier: one(&get, "tier", &mut mistakes, tier).flatten(),
            tools: one(&get, "tools", &mut mistakes, str::parse),
            tools_url: one(&get, "tools_url", &mut mistakes, admission::server),
            tools_key: None,
            llm: one(&get, "llm", &mut mistakes, llm),
            llm_url: one(&get, "llm_url", &mut mistakes, admission::server),
            mistakes: vec![],
        };
        Said { mistakes, ..said }
    }

    /// This, and where it says nothing the other.
    pub fn or(self, other: Said) -> Said {
        Said {
            tier: self.tier.or(other.tier),
            tools: self.tools.or(other.tools),
            tools_url: self.tools_url.or(other.tools_url),
            tools_key: self.tools_key.or(other.tools_key),
            llm: self.llm.or(other.llm),
            llm_url: self.llm_url.or(other.llm_url),
            mistakes: [self.mistakes, other.mistakes].concat(),
        }
    }

    /// What this node is, by what was said and what was seen.
    pub fn judge(&self, seen: &Seen) -> Place {
        let (measured, by) = measure(seen);
        let (tier, why) = match self.tier {
            Some(said) if said != measured => {
                (said, format!("said by the owner; by itself it would be {}: {by}", measured.as_str()))
            }
            Some(said) => (said, format!("said by the owner; {by}")),
            None => (measured, by),
        };
        Place { tier, troubles: self.troubles(tier, seen), no_model: self.no_model(tier, &why, seen), why }
    }

    fn troubles(&self, tier: Tier, seen: &Seen) -> Vec<String> {
        let mut troubles = self.mistakes.clone();
        let llm = self.llm.unwrap_or_default();
        if llm == Llm::Local && !seen.has_model && seen.models_mib.is_empty() {
            let what = match tier {
                Tier::Edge => "this PC is an edge node, llm is local, and there is no model here",
                _ => "llm is local, and there is no model here",
            };
            troubles.push(format!(
                "{what}: put one into the folder of models, or say llm=auto so that other PCs are asked"
            ));
        }
        if llm == Llm::Local && self.llm_url.is_some() {
            troubles.push(
                "llm is local, so the address for questions to models is never asked: leave one of them out"
                    .into(),
            );
        }
        if self.tools == Some(ToolMode::Local) && self.tools_url.is_some() {
            troubles.push("tools run local, so the tool server is never asked: say tools=split or remote, or leave its address out".into());
        }
        troubles
    }

    fn no_model(&self, tier: Tier, why: &str, seen: &Seen) -> String {
        let is_ready = seen.has_model && self.llm != Some(Llm::Remote);
        if is_ready {
            return String::new();
        }
        let own = match (self.llm.unwrap_or_default(), seen.has_model) {
            (Llm::Remote, true) => "its own models are not asked, because llm is remote",
            _ if seen.models_mib.is_empty() => "it has no model of its own",
            _ => "none of its own models is ready",
        };
        let others = match self.llm.unwrap_or_default() {
            Llm::Local => "no other PC is asked, because llm is local",
            _ => "no other PC with a model can be reached",
        };
        format!("this PC is of the tier {} ({why}), {own}, and {others}", tier.as_str())
    }
}

fn one<T>(
    get: &impl Fn(&str) -> Option<(String, String)>,
    name: &str,
    mistakes: &mut Vec<String>,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Option<T> {
    let (shown, text) = get(name)?;
    parse(&text).map_err(|why| mistakes.push(format!("{shown} is left out: {why}"))).ok()
}

/// The tier by itself, with the reason.
fn measure(seen: &Seen) -> (Tier, String) {
    let memory = format!("{}.{} GiB of memory", seen.ram_mib / 1024, seen.ram_mib % 1024 * 10 / 1024);
    if seen.ram_mib < MID_MIB {
        return (Tier::Edge, format!("{memory}, 3 would make it mid"));
    }
    let smallest = seen.models_mib.iter().min();
    if let Some(smallest) = smallest.filter(|mib| **mib > seen.room_mib && !seen.has_model) {
        return (
            Tier::Edge,
            format!(
                "{memory}, but no model fits: the smallest has {smallest} MiB, {} are free",
                seen.room_mib
            ),
        );
    }
    let missing = [
        (seen.ram_mib < CORE_MIB).then_some("6 GiB"),
        (!seen.has_disk).then_some("a disk"),
        (!seen.is_wired).then_some("a cable"),
    ];
    let missing: Vec<&str> = missing.into_iter().flatten().collect();
    match missing.is_empty() {
        true => (Tier::Core, format!("{memory}, a disk and a cable")),
        false => (Tier::Mid, format!("{memory}; core would need {}", missing.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(ram_mib: u64, models_mib: &[u64]) -> Seen {
        let (room_mib, has_model) = (ram_mib / 2, false);
        Seen { ram_mib, room_mib, has_disk: true, is_wired: true, models_mib: models_mib.to_vec(), has_model }
    }

    #[track_caller]
    fn check(seen: Seen, want: &str) {
        let place = Said::default().judge(&seen);
        assert_eq!(format!("{}: {}", place.tier.as_str(), place.why), want);
    }

    #[test]
    fn a_node_measures_itself_by_memory_models_disk_and_cable() {
        check(seen(1990, &[]), "edge: 1.9 GiB of memory, 3 would make it mid");
        check(seen(4000, &[]), "mid: 3.9 GiB of memory; core would need 6 GiB");
        check(seen(4000, &[100, 9000]), "mid: 3.9 GiB of memory; core would need 6 GiB");
        check(
            seen(4000, &[2001, 9000]),
            "edge: 3.9 GiB of memory, but no model fits: the smallest has 2001 MiB, 2000 are free",
        );
        check(
            Seen { has_model: true, ..seen(4000, &[2001]) },
            "mid: 3.9 GiB of memory; core would need 6 GiB",
        );
        check(seen(8000, &[]), "core: 7.8 GiB of memory, a disk and a cable");
        let bare = Seen { has_disk: false, is_wired: false, ..seen(8000, &[]) };
        check(bare, "mid: 7.8 GiB of memory; core would need a disk, a cable");
    }

    #[test]
    fn the_nearest_word_holds_and_a_mistake_is_told() {
        let kernel = Said::of_kernel(
            "quiet duet.tier=mid duet.tools=far duet.tier=edge duet.llm_url=http://10.0.0.9:80",
        );
        assert_eq!((kernel.tier, kernel.tools), (Some(Tier::Edge), None));
        assert_eq!(kernel.llm_url, Some(SocketAddr::from(([10, 0, 0, 9], 80))));
        assert_eq!(
            kernel.mistakes,
            ["duet.tools is left out: tools run local, remote, split or auto, not \"far\""]
        );
        let all = [("NODE_TIER", "core"), ("TOOL_EXECUTION_MODE", "split"), ("RUN_LOCAL_LLM", "true")];
        let get = |name: &str| all.iter().find(|(known, _)| *known == name).map(|(_, word)| word.to_string());
        let said = Said::of_environment(get).or(kernel);
        assert_eq!(
            (said.tier, said.tools, said.llm),
            (Some(Tier::Core), Some(ToolMode::Split), Some(Llm::Local))
        );
        assert_eq!(said.mistakes.len(), 1);
        assert_eq!(Said::of_kernel("duet.tier=auto").judge(&seen(1000, &[])).tier, Tier::Edge);
    }

    #[test]
    fn what_does_not_fit_together_is_told() {
        let troubles = |line: &str, models: &[u64]| Said::of_kernel(line).judge(&seen(1000, models)).troubles;
        let told = troubles("duet.llm=local", &[]);
        assert!(
            told[0].starts_with("this PC is an edge node, llm is local, and there is no model here"),
            "{told:?}"
        );
        assert!(troubles("duet.llm=local", &[100]).is_empty());
        assert!(troubles("duet.tier=edge", &[]).is_empty());
        let told = troubles("duet.tools=local duet.tools_url=http://10.0.0.9:8000", &[]);
        assert!(told[0].contains("the tool server is never asked"), "{told:?}");
        assert_eq!(troubles("duet.llm=local duet.llm_url=http://10.0.0.9:80", &[1]).len(), 1);
    }

    #[test]
    fn a_node_without_a_model_says_why_it_cannot_answer() {
        let check = |line: &str, seen: &Seen, want: &str| {
            let told = Said::of_kernel(line).judge(seen).no_model;
            assert!(told.contains(want) && told.is_empty() == want.is_empty(), "{told}");
        };
        let small = seen(1000, &[]);
        check(
            "",
            &small,
            "of the tier edge (0.9 GiB of memory, 3 would make it mid), it has no model of its own, and no other PC",
        );
        check("duet.llm=local", &small, "no other PC is asked, because llm is local");
        check("", &Seen { has_model: true, ..small.clone() }, "");
        check("duet.llm=remote", &Seen { has_model: true, ..small }, "because llm is remote");
        check("", &seen(4000, &[100]), "none of its own models is ready");
    }
}
