//! Orders of the owner: which are obeyed. Each once, while it is fresh, and only by the authority's word.
//!
//! Pure: the time is handed in. What an order asks for, `ordering` gathers.

use admission::{Membership, ORDER_AGE_S_MAX, Order};
use std::collections::VecDeque;

/// Orders remembered; they are forgotten when they are stale anyway.
pub const SEEN_MAX: usize = 64;

/// What was obeyed lately.
#[derive(Debug, Default)]
pub struct Orders {
    /// Nonce, and when it may be forgotten.
    seen: VecDeque<([u8; 16], u64)>,
}

impl Orders {
    /// Reads an order and says whether it is obeyed; the sentence says why not.
    pub fn take(&mut self, text: &[u8], member: &Membership, unix_s: u64) -> Result<Order, String> {
        let order = Order::parse(text).map_err(|error| error.to_string())?;
        let node = member.certificate.node();
        order.verify(&member.authority, node, unix_s).map_err(|error| error.to_string())?;
        self.seen.retain(|(_, until_s)| *until_s >= unix_s);
        if self.seen.iter().any(|(nonce, _)| *nonce == order.nonce()) {
            return Err("this order was obeyed before".into());
        }
        if self.seen.len() >= SEEN_MAX {
            return Err("too many orders; ask again in two minutes".into());
        }
        // An order may come from as far ahead as from behind.
        self.seen.push_back((order.nonce(), unix_s.saturating_add(2 * ORDER_AGE_S_MAX)));
        Ok(order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use admission::{
        Admission, AuthoritySecret, BoxSecret, Certificate, Claim, DiagPart, KeyRing, NodeId, NodeSecret,
        OverlayPublic, Page, Proof, RingKey, Role, Wish,
    };
    use release::{HostName, Mac};

    const NOW: u64 = 1500;

    fn authority(n: u8) -> AuthoritySecret {
        AuthoritySecret::from_seed(&[n; 32])
    }

    fn member() -> Membership {
        let (authority, node_key) = (authority(1), NodeSecret::from_seed(&[2; 32]));
        let claim = Claim {
            role: Role::Node,
            mac: Mac([2; 6]),
            serial: 1,
            issued_s: 1000,
            expires_s: 2000,
            node_key: node_key.public(),
            overlay_key: OverlayPublic([5; 32]),
        };
        let key = RingKey::new(1, [4; 32]);
        let admission = Admission {
            certificate: Certificate::issue(&authority, claim),
            roster: vec![Page::first(&authority, 1, key.mark(), None, &[]).unwrap()],
            ring: KeyRing::new(key),
            seeds: vec![],
            unix_s: 1000,
            epoch: 5,
            name: HostName::parse("kitchen").unwrap(),
        };
        Membership::new(admission, authority.public(), Proof([0; 64]), node_key).unwrap()
    }

    fn order(n: u8, authority_n: u8, node: NodeId, unix_s: u64) -> String {
        let reply = BoxSecret::from_seed(&[3; 32]).public();
        Order::new(&authority(authority_n), node, Wish::Diag(DiagPart::Status), unix_s, [n; 16], reply)
            .to_json()
    }

    fn check(orders: &mut Orders, text: &str, now: u64, want: Result<(), &str>) {
        let got = orders.take(text.as_bytes(), &member(), now).map(drop);
        assert_eq!(got.as_ref().map_err(String::as_str).copied(), want);
    }

    #[test]
    fn an_order_is_obeyed_once_while_it_is_fresh() {
        let (node, mut orders) = (member().certificate.node(), Orders::default());
        let text = order(1, 1, node, NOW);
        check(&mut orders, &text, NOW - 60, Ok(()));
        check(&mut orders, &text, NOW, Err("this order was obeyed before"));
        check(&mut orders, &text, NOW + 60, Err("this order was obeyed before"));
        check(&mut orders, &text, NOW + 61, Err("the order is not valid at this time"));
    }

    #[test]
    fn only_the_authoritys_orders_to_this_node_are_obeyed() {
        let (node, mut orders) = (member().certificate.node(), Orders::default());
        check(&mut orders, &order(1, 2, node, NOW), NOW, Err("this belongs to another cluster"));
        check(&mut orders, &order(1, 1, NodeId(1), NOW), NOW, Err("the order is for another node"));
        check(&mut orders, "{}", NOW, Err("the order is not in the form that duet writes"));
        assert!(orders.seen.is_empty());
    }

    #[test]
    fn orders_are_remembered_up_to_a_limit_and_forgotten_in_time() {
        let (node, mut orders) = (member().certificate.node(), Orders::default());
        for n in 0..SEEN_MAX as u8 {
            check(&mut orders, &order(n, 1, node, NOW), NOW, Ok(()));
        }
        let full = "too many orders; ask again in two minutes";
        check(&mut orders, &order(200, 1, node, NOW), NOW, Err(full));
        check(&mut orders, &order(201, 1, node, NOW + 121), NOW + 121, Ok(()));
        assert_eq!(orders.seen.len(), 1);
    }
}
