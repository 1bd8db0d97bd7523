//! The membership in RAM, so that a crash of the agent does not need a new admission.
//!
//! systemd gives the agent a folder of its own on a tmpfs, which nobody else can enter and which goes with the power.
//! Elsewhere nothing is kept. What is read back is checked like the answer it came from.

use super::runtime;
use admission::{Admission, AuthorityPublic, Membership, NodeSecret, OverlayPublic, Proof};
use release::{Mac, PublicKey};
use std::io::Read;
use zeroize::Zeroizing;

/// A full roster and ring stay below this.
const KEPT_BYTES_MAX: u64 = 64 * 1024;
const FORMAT: u8 = 1;
const FILE: &str = "membership";

/// A membership, and how long the node was up when it came.
pub struct Kept {
    pub member: Membership,
    pub uptime_s: f64,
}

impl Kept {
    /// What an earlier run left; nothing where it left nothing good.
    pub fn read() -> Option<Kept> {
        let mut bytes = Zeroizing::new(Vec::new());
        let file = std::fs::File::open(runtime::path(FILE)?).ok()?;
        file.take(KEPT_BYTES_MAX).read_to_end(&mut bytes).ok()?;
        Kept::decode(&bytes)
    }

    /// Replaces what was kept.
    pub fn write(&self) -> std::io::Result<()> {
        runtime::write(FILE, &self.encode(), runtime::For::Agent)
    }

    fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(vec![FORMAT]);
        bytes.extend((self.uptime_s as u64).to_be_bytes());
        bytes.extend(self.member.authority.as_bytes());
        bytes.extend(self.member.proof.0);
        bytes.extend(self.member.node_key.seed());
        bytes.extend(&*self.member.admission().encode());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Kept> {
        let (&FORMAT, rest) = bytes.split_first()? else { return None };
        let (uptime_s, rest) = rest.split_first_chunk::<8>()?;
        let (authority, rest) = rest.split_first_chunk::<32>()?;
        let (proof, rest) = rest.split_first_chunk::<64>()?;
        let (seed, rest) = rest.split_first_chunk::<32>()?;
        let (authority, proof) = (AuthorityPublic::from_bytes(*authority), Proof(*proof));
        let admission = Admission::decode(rest).ok()?;
        let node_key = NodeSecret::from_seed(&Zeroizing::new(*seed));
        let member = Membership::new(admission, authority, proof, node_key).ok()?;
        Some(Kept { member, uptime_s: u64::from_be_bytes(*uptime_s) as f64 })
    }

    /// Whether this release's key stands behind it.
    pub fn is_of(&self, release_key: &PublicKey) -> bool {
        self.member.proof.verify(release_key, &self.member.authority).is_ok()
    }

    /// The server's time, whatever this node's clock says.
    pub fn unix_s(&self, uptime_s: f64) -> u64 {
        self.member.unix_s.saturating_add((uptime_s - self.uptime_s).max(0.0) as u64)
    }

    /// The membership with its next epoch, and the server's time now; nothing if it is another card's or has expired.
    pub fn resumed(self, mac: Mac, overlay_key: OverlayPublic, uptime_s: f64) -> Option<(Membership, u64)> {
        let unix_s = self.unix_s(uptime_s);
        let mut member = self.member;
        let claim = member.certificate.claim();
        let is_ours = claim.mac == mac && claim.overlay_key == overlay_key;
        if !is_ours || !member.certificate.is_valid_at(unix_s) {
            return None;
        }
        member.unix_s = unix_s;
        member.epoch = member.epoch.checked_add(1)?;
        Some((member, unix_s))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use admission::{AuthoritySecret, Certificate, Claim, KeyRing, Page, RingKey, Role};
    use release::HostName;

    const MAC: Mac = Mac([0x52, 0x54, 0, 0x77, 0, 1]);
    const OVERLAY: OverlayPublic = OverlayPublic([5; 32]);

    fn kept() -> Kept {
        let (authority, node_key) = (AuthoritySecret::from_seed(&[1; 32]), NodeSecret::from_seed(&[2; 32]));
        let release = release::SecretKey::from_seed(&[7; 32]);
        let claim = Claim {
            role: Role::Node,
            mac: MAC,
            serial: 1,
            issued_s: 1000,
            expires_s: 2000,
            node_key: node_key.public(),
            overlay_key: OVERLAY,
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
        let proof = Proof::new(&release, &authority.public());
        let member = Membership::new(admission, authority.public(), proof, node_key).unwrap();
        Kept { member, uptime_s: 30.0 }
    }

    fn check(mac: Mac, overlay: OverlayPublic, uptime_s: f64, want: Option<(u32, u64)>) {
        let resumed = kept().resumed(mac, overlay, uptime_s);
        assert_eq!(resumed.map(|(member, unix_s)| (member.epoch, unix_s)), want);
    }

    #[test]
    fn what_was_kept_comes_back_checked() {
        let bytes = kept().encode();
        let back = Kept::decode(&bytes).unwrap();
        assert_eq!(back.member.admission(), kept().member.admission());
        assert!(back.is_of(&release::SecretKey::from_seed(&[7; 32]).public()));
        assert!(!back.is_of(&release::SecretKey::from_seed(&[8; 32]).public()));
        for at in 0..bytes.len() {
            assert!(Kept::decode(&bytes[..at]).is_none());
        }
    }

    #[test]
    fn a_restart_goes_on_with_the_next_epoch_and_the_time_that_has_passed() {
        check(MAC, OVERLAY, 130.0, Some((6, 1100)));
        check(MAC, OVERLAY, 0.0, Some((6, 1000)));
    }

    #[test]
    fn another_card_another_overlay_key_or_an_expired_certificate_needs_a_new_call() {
        check(Mac([2; 6]), OVERLAY, 130.0, None);
        check(MAC, OverlayPublic([6; 32]), 130.0, None);
        check(MAC, OVERLAY, 1030.0, None);
    }
}
