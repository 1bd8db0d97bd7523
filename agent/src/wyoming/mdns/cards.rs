//! On which network cards the group is heard, and who asks from the same wire; pure.
//!
//! A membership belongs to a card and not to its address. A card that was pulled and put back is another to the kernel,
//! a cable that was is the same with another switch behind it, which knows of no membership before it is told anew.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// An address of a card. One that has several is named several times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// The kernel's number for it, which is never given twice; 0 where that is not known.
    pub index: u32,
    pub address: Ipv4Addr,
    pub prefix_bits: u8,
    /// How often its cable came or went.
    pub n_changes: u64,
}

/// What is to be done with the group on a card, named by its number and by an address of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Leave(u32, Ipv4Addr),
    Join(u32, Ipv4Addr),
}

/// A card that has joined: its addresses, and how often its cable came or went by then.
type Joined = (Vec<Ipv4Addr>, u64);

/// Where the group was joined.
#[derive(Debug, Default)]
pub struct Members(BTreeMap<u32, Joined>);

impl Members {
    /// What must be done for these cards. A card that has changed leaves and joins anew, so that the switch is told.
    pub fn look(&mut self, cards: &[Card]) -> Vec<Step> {
        let mut now: BTreeMap<u32, Joined> = BTreeMap::new();
        for card in cards {
            let (addresses, n_changes) = now.entry(card.index).or_default();
            addresses.push(card.address);
            *n_changes = card.n_changes;
        }
        let is_new = |(index, card): &(&u32, &Joined)| self.0.get(index) != Some(*card);
        let joins = now.iter().filter(is_new).map(|(index, (addresses, _))| Step::Join(*index, addresses[0]));
        let is_over = |(index, card): &(&u32, &Joined)| now.get(index) != Some(*card);
        let leaves = self.0.iter().filter(is_over);
        let leaves = leaves.map(|(index, (addresses, _))| Step::Leave(*index, addresses[0]));
        let steps = leaves.chain(joins).collect();
        self.0 = now;
        steps
    }

    /// It did not join after all: the next look tries again.
    pub fn failed(&mut self, index: u32) {
        self.0.remove(&index);
    }
}

/// Whether a packet comes from the wire of one of the cards (RFC 6762, section 11). A router may hand on what a stranger
/// sends to one node alone, and the answer would go to whoever he names.
pub fn is_on_link(cards: &[Card], from: Ipv4Addr) -> bool {
    cards.iter().any(|card| {
        let mask = u32::MAX.checked_shl(32 - u32::from(card.prefix_bits.min(32))).unwrap_or(0);
        (from.to_bits() ^ card.address.to_bits()) & mask == 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KITCHEN: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 7);
    const ATTIC: Ipv4Addr = Ipv4Addr::new(10, 0, 9, 7);

    fn card(index: u32, address: Ipv4Addr, n_changes: u64) -> Card {
        Card { index, address, prefix_bits: 24, n_changes }
    }

    #[test]
    fn a_card_that_stays_as_it_is_joins_once() {
        let mut members = Members::default();
        let cards = [card(2, KITCHEN, 1), card(3, ATTIC, 1)];
        assert_eq!(members.look(&cards), [Step::Join(2, KITCHEN), Step::Join(3, ATTIC)]);
        assert_eq!(members.look(&cards), []);
    }

    #[test]
    fn a_cable_that_was_pulled_and_put_back_between_two_looks_joins_anew() {
        let mut members = Members::default();
        members.look(&[card(2, KITCHEN, 1)]);
        let again = [Step::Leave(2, KITCHEN), Step::Join(2, KITCHEN)];
        assert_eq!(members.look(&[card(2, KITCHEN, 3)]), again);
    }

    #[test]
    fn another_address_and_another_card_with_the_same_address_join_anew() {
        let mut members = Members::default();
        members.look(&[card(2, KITCHEN, 1)]);
        let moved = [Step::Leave(2, KITCHEN), Step::Join(2, ATTIC)];
        assert_eq!(members.look(&[card(2, ATTIC, 1)]), moved);
        let other = [Step::Leave(2, ATTIC), Step::Join(5, ATTIC)];
        assert_eq!(members.look(&[card(5, ATTIC, 1)]), other);
        assert_eq!(members.look(&[]), [Step::Leave(5, ATTIC)]);
        assert_eq!(members.look(&[card(5, ATTIC, 1)]), [Step::Join(5, ATTIC)]);
    }

    #[test]
    fn a_card_with_two_addresses_joins_once_and_one_that_could_not_is_tried_again() {
        let mut members = Members::default();
        let both = [card(2, KITCHEN, 1), card(2, ATTIC, 1)];
        assert_eq!(members.look(&both), [Step::Join(2, KITCHEN)]);
        members.failed(2);
        assert_eq!(members.look(&both), [Step::Join(2, KITCHEN)]);
    }

    #[track_caller]
    fn check(from: &str, prefix_bits: u8, want: bool) {
        let cards = [Card { prefix_bits, ..card(2, KITCHEN, 1) }];
        assert_eq!(is_on_link(&cards, from.parse().unwrap()), want, "{from} beside 10.0.0.7/{prefix_bits}");
    }

    #[test]
    fn who_asks_from_another_wire_is_not_answered() {
        check("10.0.0.200", 24, true);
        check("10.0.1.200", 24, false);
        check("10.0.1.200", 16, true);
        check("192.0.2.1", 24, false);
        check("10.0.0.7", 32, true);
        check("10.0.0.8", 32, false);
        check("192.0.2.1", 0, true);
        assert!(!is_on_link(&[], KITCHEN));
    }
}
