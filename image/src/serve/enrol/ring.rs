//! The ring of cluster keys as the authority keeps it: which key is current, and when the next takes its place.
//!
//! Pure: seconds and random bytes are handed in. Its text, `out/keys/ring.toml`, is secret.

use admission::{KeyRing, RingKey, RingMark};
use serde::{Deserialize, Serialize};

/// The next key becomes current when all live nodes have it, and after this time whoever has not: a node that was
/// off calls home and gets the ring anew.
pub const SWITCH_S_MAX: u64 = 600;
/// The previous key still opens datagrams for so long.
pub const PREVIOUS_S: u64 = 24 * 3600;
/// One that a removed PC has, only for so long: PCs that call home need it while not all have switched.
pub const VOID_S: u64 = 600;

/// Three keys at most, and since when the last change is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ring {
    keys: KeyRing,
    next_since_s: u64,
    switched_s: u64,
    /// Keys up to this number are known to a PC that was removed; 0 before the first removal.
    void_through: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    next_since_s: u64,
    switched_s: u64,
    #[serde(default)]
    void_through: u32,
    key: Vec<KeyDocument>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyDocument {
    state: State,
    number: u32,
    secret: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Previous,
    Current,
    Next,
}

impl Ring {
    pub fn new(first: RingKey) -> Ring {
        Ring { keys: KeyRing::new(first), next_since_s: 0, switched_s: 0, void_through: 0 }
    }

    pub fn keys(&self) -> &KeyRing {
        &self.keys
    }

    pub fn marks(&self) -> (RingMark, Option<RingMark>) {
        (self.keys.current().mark(), self.keys.next().map(RingKey::mark))
    }

    /// Adds the next key; gives its number.
    pub fn begin(&mut self, now_s: u64, key: [u8; 32]) -> u32 {
        let number = self.keys.current().number() + 1;
        if self.keys.add_next(RingKey::new(number, key)) {
            self.next_since_s = now_s;
        }
        number
    }

    /// Makes the next key current; says whether there was one.
    pub fn switch(&mut self, now_s: u64) -> bool {
        let Some(number) = self.keys.next().map(RingKey::number) else { return false };
        self.switched_s = now_s;
        self.keys.switch_to(number)
    }

    /// Replaces every key that a removed PC has. One that is on its way already is the removed PC's too: it serves now,
    /// and a further one follows it.
    pub fn void(&mut self, now_s: u64, key: [u8; 32]) {
        self.switch(now_s);
        self.void_through = self.keys.current().number();
        self.begin(now_s, key);
    }

    /// What time alone brings; says whether the marks changed or a key went.
    pub fn tick(&mut self, now_s: u64) -> bool {
        let overdue = self.keys.next().is_some() && now_s.saturating_sub(self.next_since_s) >= SWITCH_S_MAX;
        let switched = overdue && self.switch(now_s);
        let is_old = |previous: &RingKey| {
            let life_s = if previous.number() <= self.void_through { VOID_S } else { PREVIOUS_S };
            now_s.saturating_sub(self.switched_s) >= life_s
        };
        let old = self.keys.previous().is_some_and(is_old);
        switched || old && self.keys.drop_previous()
    }

    pub fn to_text(&self) -> String {
        let hex = |key: &RingKey| key.expose().iter().map(|byte| format!("{byte:02x}")).collect();
        let named = [
            (State::Previous, self.keys.previous()),
            (State::Current, Some(self.keys.current())),
            (State::Next, self.keys.next()),
        ];
        let key = |(state, key): (State, Option<&RingKey>)| {
            key.map(|key| KeyDocument { state, number: key.number(), secret: hex(key) })
        };
        let document = Document {
            next_since_s: self.next_since_s,
            switched_s: self.switched_s,
            void_through: self.void_through,
            key: named.into_iter().filter_map(key).collect(),
        };
        let head = "# The keys that gossip is sealed with. Secret; `duet nodes rotate-key` changes them.\n";
        format!("{head}{}", toml::to_string(&document).expect("a ring has only plain values"))
    }

    pub fn parse(text: &str) -> Result<Ring, String> {
        let document: Document = toml::from_str(text).map_err(|error| error.message().replace('\n', ", "))?;
        if document.key.len() > 3 {
            return Err("there are more than three keys".to_owned());
        }
        let find = |state| {
            let mut of_state = document.key.iter().filter(|key| key.state == state);
            match (of_state.next(), of_state.next()) {
                (None, _) => Ok(None),
                (Some(key), None) => unhex(&key.secret)
                    .filter(|_| key.number > 0)
                    .map(|secret| Some(RingKey::new(key.number, secret)))
                    .ok_or("a key is not 64 hex digits, or its number is 0".to_owned()),
                (Some(_), Some(_)) => Err("two keys have the same state".to_owned()),
            }
        };
        let current = find(State::Current)?.ok_or("there is no current key")?;
        let keys = KeyRing::of(find(State::Previous)?, current, find(State::Next)?);
        let keys = keys.map_err(|error| error.to_string())?;
        let Document { next_since_s, switched_s, void_through, .. } = document;
        Ok(Ring { keys, next_since_s, switched_s, void_through })
    }
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
        return None;
    }
    let mut bytes = [0; 32];
    for (idx, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * idx..2 * idx + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring() -> Ring {
        Ring::new(RingKey::new(1, [1; 32]))
    }

    fn numbers(ring: &Ring) -> (Vec<u32>, u32) {
        (ring.keys().keys().map(RingKey::number).collect(), ring.keys().current().number())
    }

    #[test]
    fn a_new_key_takes_over_in_time_and_the_old_one_goes_a_day_later() {
        let mut ring = ring();
        assert_eq!(ring.begin(100, [2; 32]), 2);
        assert!(!ring.tick(100 + SWITCH_S_MAX - 1));
        assert!(ring.tick(100 + SWITCH_S_MAX));
        assert_eq!(numbers(&ring), (vec![1, 2], 2));
        assert!(!ring.tick(100 + SWITCH_S_MAX + PREVIOUS_S - 1));
        assert!(ring.tick(100 + SWITCH_S_MAX + PREVIOUS_S));
        assert_eq!(numbers(&ring), (vec![2], 2));
        assert!(!ring.switch(9_999_999));
    }

    #[test]
    fn keys_that_a_removed_pc_has_go_within_minutes_of_the_switch() {
        let mut ring = ring();
        ring.begin(100, [2; 32]);
        // Key 2 is on its way to the PC that is removed now.
        ring.void(200, [3; 32]);
        assert_eq!(numbers(&ring), (vec![1, 2, 3], 2));
        assert_eq!(Ring::parse(&ring.to_text()).as_ref(), Ok(&ring));
        assert!(ring.switch(300) && !ring.tick(300 + VOID_S - 1));
        assert_eq!(numbers(&ring), (vec![2, 3], 3));
        assert!(ring.tick(300 + VOID_S));
        assert_eq!(numbers(&ring), (vec![3], 3));
        // The next rotation is an ordinary one again.
        ring.begin(9000, [4; 32]);
        assert!(ring.switch(9000) && !ring.tick(9000 + VOID_S));
        let without =
            ring.to_text().lines().filter(|line| !line.starts_with("void")).collect::<Vec<_>>().join("\n");
        assert!(Ring::parse(&without).is_ok(), "a text of before names no void keys");
    }

    #[test]
    fn a_ring_survives_its_text_in_every_state() {
        let mut ring = ring();
        assert_eq!(Ring::parse(&ring.to_text()).as_ref(), Ok(&ring));
        ring.begin(5, [2; 32]);
        assert_eq!(Ring::parse(&ring.to_text()).as_ref(), Ok(&ring));
        ring.switch(6);
        ring.begin(7, [3; 32]);
        assert_eq!(Ring::parse(&ring.to_text()).as_ref(), Ok(&ring));
    }

    #[test]
    fn a_damaged_ring_is_refused() {
        let mut ring = ring();
        ring.begin(5, [2; 32]);
        let text = ring.to_text();
        for (from, to) in
            [("current", "next"), ("number = 2", "number = 1"), ("0101", "01"), ("next", "other")]
        {
            assert!(Ring::parse(&text.replacen(from, to, 1)).is_err(), "{from}");
        }
    }
}
