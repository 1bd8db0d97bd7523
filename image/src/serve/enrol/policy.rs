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

/// Usb is named in the design and not built yet.
pub const NO_STICK: &str = "policy usb needs a key on a stick, which this version cannot read; \
                            the owner can set policy = \"approve\" in duet.toml";

/// `approved` is the owner's word for this very call.
pub fn judge(policy: Policy, standing: Standing, approved: bool, window_is_open: bool) -> Verdict {
    match (policy, standing) {
        (Policy::Usb, _) => Verdict::Refuse(NO_STICK),
        (_, _) if approved => Verdict::Admit,
        // Whoever was taken out comes back by the owner's word alone.
        (_, Standing::Removed { .. }) => Verdict::AskOwner,
        (Policy::Open, _) => Verdict::Admit,
        (Policy::Window, Standing::Member { .. }) => Verdict::Admit,
        (Policy::Window, Standing::Stranger) if window_is_open => Verdict::Admit,
        (Policy::Approve, Standing::Member { approved: true }) => Verdict::Admit,
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
    fn check(policy: Policy, approved: bool, window: bool, want: &str) {
        let letter = |standing| match judge(policy, standing, approved, window) {
            Verdict::Admit => 'a',
            Verdict::AskOwner => 'o',
            Verdict::Refuse(_) => 'r',
        };
        let got: String = [STRANGER, KNOWN, APPROVED, REMOVED].map(letter).iter().collect();
        assert_eq!(got, want, "{policy:?} {approved} {window}");
    }

    #[test]
    fn each_policy_knows_whom_it_takes() {
        check(Policy::Open, false, false, "aaao");
        check(Policy::Window, false, true, "aaao");
        check(Policy::Window, false, false, "oaao");
        check(Policy::Approve, false, true, "ooao");
        check(Policy::Usb, false, true, "rrrr");
    }

    #[test]
    fn the_owners_word_takes_anyone_but_without_a_stick_under_usb() {
        for policy in [Policy::Open, Policy::Window, Policy::Approve] {
            check(policy, true, false, "aaaa");
        }
        check(Policy::Usb, true, true, "rrrr");
    }
}
