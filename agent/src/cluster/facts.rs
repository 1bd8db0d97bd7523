//! What this node tells the others of itself, from what it knows about itself; pure.

use crate::facts::Status;
use crate::hear::desk::{HearingStatus, Readiness};
use crate::serve::hearing;
use crate::tools::remote;
use ::cluster::{
    Facts, Hardware, Health, MODELS_MAX, Model, Mood, SERVICES_MAX, SPEEDS_MAX, Service, Speed,
    TEXT_BYTES_MAX, Tier, isa,
};
use split::place::told::{DECODE, PROMPT};
use split::report::{HeldExpert, HeldStage, HeldState, Holds, SpeedTold};

/// Free memory is told in steps, so that its every breath is no news.
const FREE_STEP_MIB: u64 = 64;

/// The kernel's names of instruction sets, as `facts::processor` gives them, by their bit.
const SETS: [&str; 8] = ["SSE2", "SSE3", "SSSE3", "SSE4.1", "SSE4.2", "AVX", "AVX2", "FMA"];
const _: () = assert!(SETS.len() == isa::NAMES.len());

/// The services of a node: name, unit, port.
const SERVICES: [(&str, &str, u16); 2] =
    [("agent", "agent.service", 8000), ("rpc-worker", "rpc-worker.service", WORKER_PORT)];
const WORKER_PORT: u16 = 8081;

pub fn tell(status: &Status) -> Facts {
    let mib = |kib: u64| kib / 1024;
    let (total, free) = (mib(status.memory.total_kib), mib(status.memory.available_kib));
    let step = |mib: u64| u32::try_from(mib / FREE_STEP_MIB * FREE_STEP_MIB).unwrap_or(u32::MAX);
    let wire_mbit = status.interfaces.iter().filter(|i| i.carrier).filter_map(|i| i.speed_mbit).max();
    Facts {
        name: cut(&status.name),
        tier: status.place.tier,
        uptime_s: status.uptime_s as u32,
        image: status.boot.as_ref().map(|boot| cut(&boot.release)).unwrap_or_default(),
        // Of rpc-worker: nodes whose stages agree bit by bit plan together.
        build: cut(&status.holds.build),
        hardware: Hardware {
            processor: cut(&status.processor.model),
            cores: narrow(status.processor.n_threads as u64),
            mhz: narrow(status.processor.mhz.into()),
            isa: sets(&status.processor.instruction_sets),
            ram_mb: u32::try_from(total).unwrap_or(u32::MAX),
            ram_free_mb: step(free),
            disk_mb: u32::try_from(status.holds.disk_bytes >> 20).unwrap_or(u32::MAX),
            wire_mbit: narrow(wire_mbit.unwrap_or(0).into()),
        },
        speeds: speeds(&status.holds, status.hearing.as_ref()),
        models: models(&status.holds),
        services: services(status),
        room_mb: step(mib(status.memory.room_kib).min(total)),
        ..Facts::default()
    }
}

/// Who waits for a voice says nothing to anybody.
pub fn mood(mood: crate::talk::Mood) -> Mood {
    match mood {
        crate::talk::Mood::Idle | crate::talk::Mood::Waiting => Mood::Idle,
        crate::talk::Mood::Listening => Mood::Listening,
        crate::talk::Mood::Thinking => Mood::Thinking,
        crate::talk::Mood::Speaking => Mood::Speaking,
    }
}

/// Whether `new` is worth telling before its time: everything but the passing of time and memory's small waves.
pub fn is_news(old: &Facts, new: &Facts) -> bool {
    const FREE_WAVE_MB: u32 = 128;
    let free = old.hardware.ram_free_mb.abs_diff(new.hardware.ram_free_mb);
    let wave = free.max(old.room_mb.abs_diff(new.room_mb));
    let still = |facts: &Facts| {
        let hardware = Hardware { ram_free_mb: 0, ..facts.hardware.clone() };
        Facts { uptime_s: 0, room_mb: 0, hardware, ..facts.clone() }
    };
    wave > FREE_WAVE_MB || still(old) != still(new)
}

/// Ours, then an expert each; what a record has no room for is not told.
fn services(status: &Status) -> Vec<Service> {
    let experts = status.holds.experts.iter().map(|held| Service {
        name: format!("{}{}", split::expert::SERVICE, held.name),
        port: WORKER_PORT,
        health: match held.state {
            HeldState::Ready => Health::Passing,
            HeldState::Loading => Health::Warning,
            HeldState::Failed => Health::Critical,
        },
        busy: narrow(u64::from(held.busy.saturating_add(held.queued))),
        slots: narrow(held.slots.into()),
    });
    let ours = SERVICES.iter().filter_map(|service| tell_service(status, service));
    let hearing = status.hearing.as_ref().and_then(tell_hearing);
    let tools = status.tools.map(tell_tools);
    ours.chain(hearing)
        .chain(tools.filter(|_| status.place.tier != Tier::Edge))
        .chain(experts.filter(|service| service.name.len() <= TEXT_BYTES_MAX))
        .take(SERVICES_MAX)
        .collect()
}

/// What is loaded comes first, then the other files that lie there; each by its file, since a plan adds the caches itself.
fn models(holds: &Holds) -> Vec<Model> {
    let mib = |bytes: u64| u32::try_from(bytes.div_ceil(1 << 20)).unwrap_or(u32::MAX);
    let model = |name: String, bytes: u64, is_loaded| Model { name, size_mb: mib(bytes), is_loaded };
    let whole = holds.experts.iter().filter(|held| held.state == HeldState::Ready);
    let lies = |name: &str, bytes: u64| {
        holds.files.iter().find(|told| stem(&told.file) == name).map_or(bytes, |told| told.bytes)
    };
    let loaded = |name: String, bytes: u64| model(name.clone(), lies(&name, bytes), true);
    let whole = whole.map(|held| loaded(stem(&held.model), held.bytes));
    let stages = holds.stages.iter().filter(|held| held.state == HeldState::Ready);
    let slice = |held: &HeldStage| stem(&split::assign::slice_file(&held.model, held.first, held.last));
    let stages = stages.map(|held| loaded(slice(held), held.bytes));
    let mut told: Vec<Model> = whole.chain(stages).collect();
    told.sort_by(|a, b| a.name.cmp(&b.name));
    told.dedup_by(|a, b| a.name == b.name);
    for file in &holds.files {
        if !told.iter().any(|model| model.name == stem(&file.file)) {
            told.push(model(stem(&file.file), file.bytes, false));
        }
    }
    told.retain(|model| model.name.len() <= TEXT_BYTES_MAX);
    told.truncate(MODELS_MAX);
    told
}

/// Hearing first, in thousandths of a second of work for a second of sound: less is faster.
/// Decode speeds of all experts before prompt speeds of any: routing and placement need the first. Between them those of
/// models that were given up, by the model.
fn speeds(holds: &Holds, hearing: Option<&HearingStatus>) -> Vec<Speed> {
    let rounded = |what: String, milli: u64| {
        let milli = u32::try_from(milli).ok().filter(|milli| *milli > 0)?;
        // Every breath of a speed would be news: two digits say enough.
        let step = 10u32.pow(milli.ilog10().saturating_sub(1));
        Some(Speed { what, milli: milli / step * step })
    };
    let of = |start: &str, milli: fn(&SpeedTold) -> u64| {
        let speed = |held: &HeldExpert| {
            let told = holds.speeds.iter().find(|told| told.model == held.model)?;
            rounded(format!("{start}{}", held.name), milli(told))
        };
        holds.experts.iter().filter_map(speed).collect::<Vec<_>>()
    };
    let milli = hearing.map_or(0, |hearing| hearing.milli);
    let mut told: Vec<Speed> = rounded(hearing::SERVICE.to_owned(), milli.into()).into_iter().collect();
    told.extend(of(DECODE, |told| told.decode_milli));
    let given_up =
        holds.speeds.iter().filter(|told| !holds.experts.iter().any(|held| held.model == told.model));
    told.extend(
        given_up.filter_map(|told| rounded(format!("{DECODE}{}", stem(&told.model)), told.decode_milli)),
    );
    told.extend(of(PROMPT, |told| told.prompt_milli));
    told.retain(|speed| speed.what.len() <= TEXT_BYTES_MAX);
    told.truncate(SPEEDS_MAX);
    told
}

/// A model's name is its file's.
fn stem(file: &str) -> String {
    file.strip_suffix(".gguf").unwrap_or(file).to_owned()
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

/// Tools for other nodes; none while the owner's word on them is not known.
fn tell_tools((n_running, n_max): (usize, usize)) -> Service {
    let (busy, slots) = (narrow(n_running as u64), narrow(n_max as u64));
    let port = crate::args::PORT;
    Service { name: remote::SERVICE.to_owned(), port, health: Health::Passing, busy, slots }
}

/// An ear; a node without a model has none.
fn tell_hearing(hearing: &HearingStatus) -> Option<Service> {
    let health = match hearing.readiness {
        Readiness::Absent => return None,
        Readiness::Loading => Health::Warning,
        Readiness::Ready => Health::Passing,
        Readiness::Failed => Health::Critical,
    };
    let busy = narrow(hearing.queued as u64 + u64::from(hearing.is_busy));
    Some(Service { name: hearing::SERVICE.to_owned(), port: crate::args::PORT, health, busy, slots: 1 })
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
        let (total_kib, available_kib, room_kib) = (2 << 20, 1000 << 10, 1500 << 10);
        status.memory = Memory { total_kib, available_kib, room_kib, ..Memory::default() };
        status.processor.instruction_sets = vec!["SSE2", "SSE3", "SSSE3", "POPCNT"];
        let unit =
            |name: &str, active: &str| Unit { name: name.into(), active: active.into(), ..Unit::default() };
        status.units.ours = vec![unit("agent.service", "active"), unit("rpc-worker.service", "failed")];
        status
    }

    #[test]
    fn a_node_tells_its_memory_in_steps_and_its_services_as_they_are() {
        let facts = tell(&status());
        assert_eq!((facts.hardware.ram_mb, facts.hardware.ram_free_mb, facts.room_mb), (2048, 960, 1472));
        assert_eq!(facts.tier, Tier::Mid);
        assert_eq!(isa::names(facts.hardware.isa).collect::<Vec<_>>(), ["sse2", "sse3", "ssse3"]);
        let services: Vec<_> = facts.services.iter().map(|s| (s.name.as_str(), s.health)).collect();
        assert_eq!(services, [("agent", Health::Passing), ("rpc-worker", Health::Critical)]);
    }

    #[test]
    fn a_node_tells_what_its_worker_holds() {
        let mut status = status();
        let held = |name: &str, state| HeldExpert {
            name: name.into(),
            model: format!("{name}.gguf"),
            state,
            slots: 2,
            busy: 1,
            bytes: 300 << 20,
            ..HeldExpert::default()
        };
        status.holds.experts = vec![held("calm", HeldState::Ready), held("late", HeldState::Loading)];
        let file = |name: &str| split::report::FileTold { file: format!("{name}.gguf"), bytes: 200 << 20 };
        status.holds.files = vec![file("calm"), file("late")];
        let speed =
            |model: &str| SpeedTold { model: model.to_owned(), decode_milli: 17_543, prompt_milli: 9 };
        // One of them was given up.
        status.holds.speeds = vec![SpeedTold { prompt_milli: 0, ..speed("calm.gguf") }, speed("gone.gguf")];
        let facts = tell(&status);
        let models: Vec<_> = facts.models.iter().map(|m| (m.name.as_str(), m.size_mb, m.is_loaded)).collect();
        assert_eq!(models, [("calm", 200, true), ("late", 200, false)]);
        let services: Vec<_> = facts.services.iter().map(|s| (s.name.as_str(), s.health)).collect();
        assert_eq!(services[2..], [("llama-api-calm", Health::Passing), ("llama-api-late", Health::Warning)]);
        let speeds: Vec<_> = facts.speeds.iter().map(|s| (s.what.as_str(), s.milli)).collect();
        assert_eq!(speeds, [("decode/calm", 17_000), ("decode/gone", 17_000)]);
        assert!(facts.encode().is_ok());
    }

    #[test]
    fn a_node_that_hears_tells_how_fast() {
        let hearing =
            HearingStatus { readiness: Readiness::Ready, milli: 1234, queued: 1, ..HearingStatus::default() };
        let facts = tell(&Status { hearing: Some(hearing.clone()), ..status() });
        let told = facts.services.iter().find(|service| service.name == "hear").unwrap();
        assert_eq!((told.port, told.health, told.busy), (8000, Health::Passing, 1));
        assert_eq!(facts.speeds, [Speed { what: "hear".into(), milli: 1200 }]);
        let none = HearingStatus { readiness: Readiness::Absent, ..hearing };
        let facts = tell(&Status { hearing: Some(none), ..status() });
        assert!(facts.services.iter().all(|service| service.name != "hear"));
    }

    #[test]
    fn a_node_that_is_not_too_small_runs_tools_for_others() {
        let told = |tier| {
            let place = crate::tier::Place { tier, ..crate::tier::Place::default() };
            let facts = tell(&Status { tools: Some((1, 4)), place, ..status() });
            let found = facts.services.into_iter().find(|service| service.name == "tools");
            found.map(|service| (service.port, service.busy, service.slots))
        };
        assert_eq!((told(Tier::Mid), told(Tier::Edge)), (Some((8000, 1, 4)), None));
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
        new.room_mb -= 128;
        assert!(!is_news(&old, &new));
        new.hardware.ram_free_mb -= 64;
        assert!(is_news(&old, &new));
        new.hardware.ram_free_mb += 64;
        new.room_mb -= 64;
        assert!(is_news(&old, &new));
        let mut failed = old.clone();
        failed.services[0].health = Health::Critical;
        assert!(is_news(&old, &failed));
    }
}
