//! What this node tells the others of itself, from what it knows about itself; pure.

use crate::facts::Status;
use ::cluster::{Facts, Hardware, Health, Service, TEXT_BYTES_MAX, Tier, isa};

/// Free memory is told in steps, so that its every breath is no news.
const FREE_STEP_MIB: u64 = 64;
/// Below this a node holds no model of its own; from the other on it can carry more than its share.
const MID_MIB: u64 = 3 * 1024 - 256;
const CORE_MIB: u64 = 6 * 1024 - 256;

/// The kernel's names of instruction sets, as `facts::processor` gives them, by their bit.
const SETS: [&str; 8] = ["SSE2", "SSE3", "SSSE3", "SSE4.1", "SSE4.2", "AVX", "AVX2", "FMA"];
const _: () = assert!(SETS.len() == isa::NAMES.len());

/// The services of a node: name, unit, port.
const SERVICES: [(&str, &str, u16); 2] =
    [("agent", "agent.service", 8000), ("rpc-worker", "rpc-worker.service", 8081)];

pub fn tell(status: &Status) -> Facts {
    let mib = |kib: u64| kib / 1024;
    let (total, free) = (mib(status.memory.total_kib), mib(status.memory.available_kib));
    let wire_mbit = status.interfaces.iter().filter(|i| i.carrier).filter_map(|i| i.speed_mbit).max();
    Facts {
        name: cut(&status.name),
        tier: tier(total),
        uptime_s: status.uptime_s as u32,
        image: status.boot.as_ref().map(|boot| cut(&boot.release)).unwrap_or_default(),
        build: cut(&status.system.agent_version),
        hardware: Hardware {
            processor: cut(&status.processor.model),
            cores: narrow(status.processor.n_threads as u64),
            mhz: narrow(status.processor.mhz.into()),
            isa: sets(&status.processor.instruction_sets),
            ram_mb: u32::try_from(total).unwrap_or(u32::MAX),
            ram_free_mb: u32::try_from(free / FREE_STEP_MIB * FREE_STEP_MIB).unwrap_or(u32::MAX),
            disk_mb: 0,
            wire_mbit: narrow(wire_mbit.unwrap_or(0).into()),
        },
        services: SERVICES.iter().filter_map(|service| tell_service(status, service)).collect(),
        ..Facts::default()
    }
}

/// Whether `new` is worth telling before its time: everything but the passing of time and memory's small waves.
pub fn is_news(old: &Facts, new: &Facts) -> bool {
    const FREE_WAVE_MB: u32 = 128;
    let wave = old.hardware.ram_free_mb.abs_diff(new.hardware.ram_free_mb);
    let still = |facts: &Facts| {
        let hardware = Hardware { ram_free_mb: 0, ..facts.hardware.clone() };
        Facts { uptime_s: 0, hardware, ..facts.clone() }
    };
    wave > FREE_WAVE_MB || still(old) != still(new)
}

fn tell_service(status: &Status, (name, unit, port): &(&str, &str, u16)) -> Option<Service> {
    let unit = status.units.ours.iter().find(|known| known.name == *unit)?;
    let health = match unit.active.as_str() {
        "active" => Health::Passing,
        "activating" | "reloading" => Health::Warning,
        _ => Health::Critical,
    };
    Some(Service { name: (*name).to_owned(), port: *port, health, busy: 0, slots: 1 })
}

fn tier(total_mib: u64) -> Tier {
    match total_mib {
        ..MID_MIB => Tier::Edge,
        MID_MIB..CORE_MIB => Tier::Mid,
        _ => Tier::Core,
    }
}

fn sets(names: &[&str]) -> u16 {
    let bits = SETS.iter().enumerate().filter(|(_, set)| names.contains(set));
    bits.map(|(idx, _)| 1 << idx).sum()
}

fn narrow(n: u64) -> u16 {
    u16::try_from(n).unwrap_or(u16::MAX)
}

/// Cut to what a fact may hold, at a whole letter.
fn cut(text: &str) -> String {
    let end = (0..=TEXT_BYTES_MAX.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text[..end.unwrap_or(0)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::memory::Memory;
    use crate::facts::units::Unit;

    fn status() -> Status {
        let mut status = Status { name: "kitchen".into(), ..Status::default() };
        status.memory = Memory { total_kib: 2 << 20, available_kib: 1000 << 10, ..Memory::default() };
        status.processor.instruction_sets = vec!["SSE2", "SSE3", "SSSE3", "POPCNT"];
        let unit =
            |name: &str, active: &str| Unit { name: name.into(), active: active.into(), ..Unit::default() };
        status.units.ours = vec![unit("agent.service", "active"), unit("rpc-worker.service", "failed")];
        status
    }

    #[test]
    fn a_node_tells_its_memory_in_steps_and_its_services_as_they_are() {
        let facts = tell(&status());
        assert_eq!((facts.hardware.ram_mb, facts.hardware.ram_free_mb), (2048, 960));
        assert_eq!(facts.tier, Tier::Edge);
        assert_eq!(isa::names(facts.hardware.isa).collect::<Vec<_>>(), ["sse2", "sse3", "ssse3"]);
        let services: Vec<_> = facts.services.iter().map(|s| (s.name.as_str(), s.health)).collect();
        assert_eq!(services, [("agent", Health::Passing), ("rpc-worker", Health::Critical)]);
    }

    #[test]
    fn the_longest_names_fit_a_record() {
        let long = "\u{e9}".repeat(200);
        let mut status = Status { name: long.clone(), ..status() };
        status.processor.model = long;
        let facts = tell(&status);
        assert_eq!(facts.name.len(), TEXT_BYTES_MAX);
        assert!(facts.encode().is_ok());
    }

    #[test]
    fn time_and_small_waves_of_memory_are_no_news() {
        let old = tell(&status());
        let mut new = Facts { uptime_s: 99, ..old.clone() };
        new.hardware.ram_free_mb -= 128;
        assert!(!is_news(&old, &new));
        new.hardware.ram_free_mb -= 64;
        assert!(is_news(&old, &new));
        let mut failed = old.clone();
        failed.services[0].health = Health::Critical;
        assert!(is_news(&old, &failed));
    }
}
