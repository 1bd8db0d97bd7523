//! What a node tells of itself: hardware, speeds, models, services, power.
//!
//! A body is one byte of schema and then postcard. Routing and placement are pure functions of these facts.
//! The overlay key is not here: the certificate holds it. A body of a newer schema is no error: it is kept, handed on,
//! and shown as unread.

use serde::{Deserialize, Serialize};

use crate::record::BODY_BYTES_MAX;

/// The schema that this program writes.
pub const SCHEMA: u8 = 4;
/// Told nothing of plans, which came to the end.
const SCHEMA_WITHOUT_PLAN: u8 = 1;
/// Told nothing of the memory that models may take, which came behind it.
const SCHEMA_WITHOUT_ROOM: u8 = 2;
/// Told neither who speaks, nor what was edited, nor of work that is given away, which came behind it.
const SCHEMA_WITHOUT_MOOD: u8 = 3;
pub const MODELS_MAX: usize = 8;
pub const SERVICES_MAX: usize = 12;
pub const SPEEDS_MAX: usize = 8;
/// Longest text in a fact.
pub const TEXT_BYTES_MAX: usize = 64;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    pub name: String,
    pub tier: Tier,
    pub state: PowerState,
    /// Seconds since boot.
    pub uptime_s: u32,
    /// The release it booted, and the build of its programs.
    pub image: String,
    pub build: String,
    pub hardware: Hardware,
    pub speeds: Vec<Speed>,
    pub models: Vec<Model>,
    pub services: Vec<Service>,
    pub power: Power,
    /// UDP port of its WireGuard end, 0 for none.
    pub overlay_port: u16,
    /// The plan of models that it follows.
    pub plan: Option<PlanMark>,
    /// What models may take: memory that is free, and what they take already. 0 where it was not told.
    pub room_mb: u32,
    /// What its ear and mouth do.
    pub mood: Mood,
    /// A hash of what the owner edited, as far as this node knows; 0 for nothing.
    pub edits: u64,
    /// It takes no new work and gives away what it holds, because a person said so.
    pub draining: bool,
}

/// What a node does with whoever stands before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mood {
    #[default]
    Idle,
    Listening,
    Thinking,
    Speaking,
}

impl Mood {
    pub const fn as_str(self) -> &'static str {
        match self {
            Mood::Idle => "idle",
            Mood::Listening => "listening",
            Mood::Thinking => "thinking",
            Mood::Speaking => "speaking",
        }
    }
}

/// A plan, by the node that made it and how many went before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanMark {
    pub generation: u64,
    pub coordinator: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    Edge,
    #[default]
    Mid,
    Core,
}

impl Tier {
    pub const fn as_str(self) -> &'static str {
        match self {
            Tier::Edge => "edge",
            Tier::Mid => "mid",
            Tier::Core => "core",
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PowerState {
    #[default]
    Awake,
    Idle,
    /// About to sleep or asleep: silence is no death.
    Sleeping,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hardware {
    pub processor: String,
    pub cores: u16,
    pub mhz: u16,
    /// Bits of [`isa`].
    pub isa: u16,
    pub ram_mb: u32,
    pub ram_free_mb: u32,
    pub disk_mb: u32,
    pub wire_mbit: u16,
}

/// Instruction sets, as bits of [`Hardware::isa`].
pub mod isa {
    pub const NAMES: [&str; 8] = ["sse2", "sse3", "ssse3", "sse4.1", "sse4.2", "avx", "avx2", "fma"];

    /// The names of the bits that are set.
    pub fn names(bits: u16) -> impl Iterator<Item = &'static str> {
        NAMES.iter().enumerate().filter(move |(idx, _)| bits >> idx & 1 == 1).map(|(_, name)| *name)
    }
}

/// Something that was measured here, such as tokens a second of a model, times a thousand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Speed {
    pub what: String,
    pub milli: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    pub name: String,
    pub size_mb: u32,
    pub is_loaded: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    pub name: String,
    pub port: u16,
    pub health: Health,
    /// Requests in work, and how many it takes at once.
    pub busy: u16,
    pub slots: u16,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    #[default]
    Passing,
    /// Asleep or impaired, but can be asked.
    Warning,
    Critical,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Power {
    pub can_suspend: bool,
    pub can_wake: bool,
    pub idle_s: u32,
}

/// Why facts are no body, or a body no facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FactsError {
    /// Written by a newer program; to be handed on unread.
    Newer {
        schema: u8,
    },
    Form,
    /// More entries than a node may tell.
    TooMany {
        what: &'static str,
    },
    TextTooLong,
    /// All together do not fit a record.
    TooLarge {
        bytes: usize,
    },
}

impl std::fmt::Display for FactsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            FactsError::Newer { schema } => write!(f, "facts of the newer schema {schema}"),
            FactsError::Form => write!(f, "these bytes are no facts"),
            FactsError::TooMany { what } => write!(f, "more {what} than a record holds"),
            FactsError::TextTooLong => write!(f, "a text has more than {TEXT_BYTES_MAX} bytes"),
            FactsError::TooLarge { bytes } => {
                write!(f, "the facts have {bytes} bytes, a record holds {BODY_BYTES_MAX}")
            }
        }
    }
}

impl std::error::Error for FactsError {}

impl Facts {
    /// The body of a record.
    pub fn encode(&self) -> Result<Vec<u8>, FactsError> {
        self.check()?;
        let body = postcard::to_extend(self, vec![SCHEMA]).map_err(|_| FactsError::Form)?;
        if body.len() > BODY_BYTES_MAX { Err(FactsError::TooLarge { bytes: body.len() }) } else { Ok(body) }
    }

    /// Reads the body of a record.
    pub fn decode(body: &[u8]) -> Result<Facts, FactsError> {
        let (&schema, rest) = body.split_first().ok_or(FactsError::Form)?;
        if schema > SCHEMA {
            return Err(FactsError::Newer { schema });
        }
        if schema < SCHEMA_WITHOUT_PLAN || body.len() > BODY_BYTES_MAX {
            return Err(FactsError::Form);
        }
        // A body without the last fields reads as one with none of them.
        let missing: &[u8] = match schema {
            SCHEMA_WITHOUT_PLAN => &[0, 0, 0, 0, 0],
            SCHEMA_WITHOUT_ROOM => &[0, 0, 0, 0],
            SCHEMA_WITHOUT_MOOD => &[0, 0, 0],
            _ => &[],
        };
        let whole = [rest, missing].concat();
        // Every entry has at least a byte, so what is allocated follows from what came.
        let (facts, rest) = postcard::take_from_bytes::<Facts>(&whole).map_err(|_| FactsError::Form)?;
        if !rest.is_empty() {
            return Err(FactsError::Form);
        }
        facts.check()?;
        Ok(facts)
    }

    fn check(&self) -> Result<(), FactsError> {
        let counts = [
            ("speeds", self.speeds.len(), SPEEDS_MAX),
            ("models", self.models.len(), MODELS_MAX),
            ("services", self.services.len(), SERVICES_MAX),
        ];
        if let Some((what, ..)) = counts.into_iter().find(|(_, n, n_max)| n > n_max) {
            return Err(FactsError::TooMany { what });
        }
        let own = [&self.name, &self.image, &self.build, &self.hardware.processor].into_iter();
        let speeds = self.speeds.iter().map(|speed| &speed.what);
        let models = self.models.iter().map(|model| &model.name);
        let services = self.services.iter().map(|service| &service.name);
        let mut texts = own.chain(speeds).chain(models).chain(services);
        if texts.any(|text| text.len() > TEXT_BYTES_MAX) { Err(FactsError::TextTooLong) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Facts {
        let service =
            |idx: usize| Service { name: format!("llama-api-{idx}"), port: 8081, ..Service::default() };
        let model =
            |idx: usize| Model { name: format!("bonsai-{idx}-q1_0"), size_mb: 540, is_loaded: idx == 0 };
        let speed = |idx: usize| Speed { what: format!("decode/bonsai-{idx}"), milli: 17_500 };
        Facts {
            name: "kitchen".to_owned(),
            image: "trixie-0123456789ab".to_owned(),
            build: "0.1.0+0123456789ab".to_owned(),
            speeds: (0..SPEEDS_MAX).map(speed).collect(),
            models: (0..MODELS_MAX).map(model).collect(),
            services: (0..SERVICES_MAX).map(service).collect(),
            ..Facts::default()
        }
    }

    #[test]
    fn full_lists_of_usual_names_fit_a_record_and_come_back() {
        let body = full().encode().unwrap();
        assert_eq!(Facts::decode(&body), Ok(full()));
    }

    #[test]
    fn too_much_is_refused_before_it_is_signed() {
        let mut many = full();
        many.services.push(Service::default());
        assert_eq!(many.encode(), Err(FactsError::TooMany { what: "services" }));
        let mut long = full();
        long.name = "x".repeat(TEXT_BYTES_MAX + 1);
        assert_eq!(long.encode(), Err(FactsError::TextTooLong));
        let mut wide = full();
        wide.services.iter_mut().for_each(|service| service.name = "x".repeat(TEXT_BYTES_MAX));
        wide.models.iter_mut().for_each(|model| model.name = "x".repeat(TEXT_BYTES_MAX));
        assert!(matches!(wide.encode(), Err(FactsError::TooLarge { .. })));
    }

    #[test]
    fn a_body_of_a_newer_schema_is_told_apart_from_a_broken_one() {
        assert_eq!(Facts::decode(&[SCHEMA + 1, 1, 2, 3]), Err(FactsError::Newer { schema: SCHEMA + 1 }));
        assert_eq!(Facts::decode(&[]), Err(FactsError::Form));
        let mut body = full().encode().unwrap();
        body.push(0);
        assert_eq!(Facts::decode(&body), Err(FactsError::Form));
    }

    #[test]
    fn facts_of_older_schemas_are_still_read() {
        let mut body = full().encode().unwrap();
        let older = [
            (SCHEMA_WITHOUT_MOOD, "mood, edits and draining", 3),
            (SCHEMA_WITHOUT_ROOM, "room", 1),
            (SCHEMA_WITHOUT_PLAN, "plan", 1),
        ];
        for (schema, what, n_bytes) in older {
            (0..n_bytes).for_each(|_| assert_eq!(body.pop(), Some(0), "{what} come last"));
            body[0] = schema;
            assert_eq!(Facts::decode(&body), Ok(full()));
        }
        let plan = Some(PlanMark { generation: 7, coordinator: 3 });
        let facts =
            Facts { plan, room_mb: 1856, mood: Mood::Speaking, edits: u64::MAX, draining: true, ..full() };
        assert_eq!(Facts::decode(&facts.encode().unwrap()), Ok(facts));
    }

    #[test]
    fn instruction_sets_have_names() {
        assert_eq!(isa::names(0b1101).collect::<Vec<_>>(), ["sse2", "ssse3", "sse4.1"]);
    }
}
