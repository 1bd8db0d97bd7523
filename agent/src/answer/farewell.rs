//! What a node says before its power goes, in the owner's language.

use super::Mind;
use crate::memory::HandedOver;

impl Mind {
    /// That it goes, and where what it was told lies.
    pub fn farewell(&self, is_off: bool, handed: &HandedOver) -> String {
        let (_, phrases) = self.own_language();
        let facts = match handed {
            HandedOver { n_facts: 0, .. } | HandedOver { n_others: 0, lasts: true, .. } => String::new(),
            HandedOver { n_others: 0, .. } => phrases.facts_lost.clone(),
            HandedOver { n_others, .. } => phrases.facts_lie.replace("{nodes}", &phrases.nodes(*n_others)),
        };
        let sentence = if is_off { &phrases.powers_off } else { &phrases.boots };
        sentence.replace("{facts}", &facts).trim_end().to_owned()
    }
}
