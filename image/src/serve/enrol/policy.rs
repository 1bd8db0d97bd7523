//! Whom the boot server takes into the cluster: the owner's choice, and what follows from it.

use super::book::Standing;
use crate::serve::settings::Policy;

/// What is answered to a PC whose call is in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Admit,
    /// The owner is asked, with a code on both screens.
    AskOwner,
    Refuse(&'static str),
}

/// What a PC without a stick is told, and the owner on the boot server.
pub const NO_STICK: &str = "policy usb: put a stick of `duet nodes usb-key` into this PC";

/// `by_owner`: the owner's own word is behind this very call, by its code or, under policy usb, by a stick.
pub fn judge(policy: Policy, standing: Standing, by_owner: bool, window_is_open: bool) -> Verdict {
    match (policy, standing) {
        (_, _) if by_owner => Verdict::Admit,
        (Policy::Usb | Policy::Approve, Standing::Member { approved: true }) => Verdict::Admit,
        (Policy::Usb, _) => Verdict::Refuse(NO_STICK),
        // Whoever was taken out comes back by the owner's word alone.
        (_, Standing::Removed { .. }) => Verdict::AskOwner,
        (Policy::Open, _) => Verdict::Admit,
        (Policy::Window, Standing::Member { .. }) => Verdict::Admit,
        (Policy::Window, Standing::Stranger) if window_is_open => Verdict::Admit,
        (Policy::Window | Policy::Approve, _) => Verdict::AskOwner,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRANGER: Standing = Standing::Stranger;
    const KNOWN: Standing = Standing::Member { approved: false };
    const APPROVED: Standing = Standing::Member { approved: true };
    const REMOVED: Standing = Standing::Removed { unix_s: 1 };

    /// For a stranger, a known, an approved and a removed PC: a(dmit), o(wner), r(efuse).
    fn check(policy: Policy, by_owner: bool, window: bool, want: &str) {
        let letter = |standing| match judge(policy, standing, by_owner, window) {
            Verdict::Admit => 'a',
            Verdict::AskOwner => 'o',
            Verdict::Refuse(_) => 'r',
        };
        let got: String = [STRANGER, KNOWN, APPROVED, REMOVED].map(letter).iter().collect();
        assert_eq!(got, want, "{policy:?} {by_owner} {window}");
    }

    #[test]
    fn each_policy_knows_whom_it_takes() {
        check(Policy::Open, false, false, "aaao");
        check(Policy::Window, false, true, "aaao");
        check(Policy::Window, false, false, "oaao");
        check(Policy::Approve, false, true, "ooao");
        check(Policy::Usb, false, true, "rrar");
    }

    #[test]
    fn the_owners_word_takes_anyone() {
        for policy in [Policy::Open, Policy::Window, Policy::Approve, Policy::Usb] {
            check(policy, true, false, "aaaa");
        }
    }
}
