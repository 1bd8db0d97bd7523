//! The catalogue: fetched from the boot server or from a peer that has a newer one, believed for its signature alone,
//! never an older one, and kept in RAM beside the membership for a crash of the agent.

use super::Spreading;
use super::work::{ask, look_at};
use crate::args::PORT;
use crate::io::runtime::{self, For};
use admission::{AuthorityPublic, CATALOGUE_BYTES_MAX, CATALOGUE_PATH, CatalogueFile, SignedCatalogue};
use service::log::{Level, say};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

const FILE: &str = "catalogue.json";
/// Between two looks, while there is none and later.
const FIRST: Duration = Duration::from_secs(2);
const LATER: Duration = Duration::from_secs(5);
/// Complaints that are remembered, so that each is said once.
const UNTRUE_MAX: usize = 64;
const ANSWER_TIME_MAX: Duration = Duration::from_secs(4);

/// Why a catalogue was not taken.
#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    Untrue(admission::Error),
    Old { has: u64 },
}

impl Spreading {
    /// Never ends.
    pub(super) async fn follow_catalogue(&self) {
        let mut joined = self.joined.clone();
        let Ok(authority) = joined
            .wait_for(Option::is_some)
            .await
            .map(|kept| kept.as_ref().map(|kept| kept.member.authority))
        else {
            return std::future::pending().await;
        };
        if let Some(authority) = authority {
            let text = runtime::read(FILE, CATALOGUE_BYTES_MAX as u64 + 1);
            if !text.is_empty() {
                // What an earlier run left; older or a stranger's change nothing.
                let _ = self.take(text.as_bytes(), &authority);
            }
        }
        loop {
            let authority = joined.borrow().as_ref().map(|kept| kept.member.authority);
            if let Some(authority) = authority {
                self.look_for_catalogue(&authority).await;
            }
            let has_one = self.lock().catalogue.is_some();
            tokio::time::sleep(if has_one { LATER } else { FIRST }).await;
        }
    }

    async fn look_for_catalogue(&self, authority: &AuthorityPublic) {
        if let Some(server) = self.server() {
            let told = ask(server, CATALOGUE_PATH, &[], CATALOGUE_BYTES_MAX, ANSWER_TIME_MAX).await;
            match told {
                // Nobody has a newer one than who signs it.
                Ok(bytes) if self.heard(&bytes, authority, &format!("the boot server {server}")) => return,
                Ok(_) => {}
                Err(_) => self.next_server(),
            }
        }
        let own = self.lock().catalogue.as_ref().map_or(0, |catalogue| catalogue.version());
        for (peer, address) in self.peers() {
            let is_newer = look_at(address).await.is_some_and(|told| told.catalogue > own);
            if !is_newer {
                continue;
            }
            let there = SocketAddr::from((address, PORT));
            let told = ask(there, super::door::CATALOGUE, &[], CATALOGUE_BYTES_MAX, ANSWER_TIME_MAX).await;
            if told.is_ok_and(|bytes| self.heard(&bytes, authority, &self.name_of(peer))) {
                return;
            }
        }
    }

    /// Says whether it was true, and no older than the own one.
    fn heard(&self, bytes: &[u8], authority: &AuthorityPublic, from: &str) -> bool {
        let taken = self.take(bytes, authority);
        let is_good = taken.is_ok();
        match taken {
            Ok(false) | Err(Refusal::Old { .. }) => {}
            Ok(true) => {
                let text = String::from_utf8_lossy(bytes);
                // It holds; only a crash of the agent would forget it, and then it is fetched anew.
                let _ = runtime::write(FILE, text.as_bytes(), For::Agent);
                let n = self.offered().1.len();
                say(Level::Info, &format!("duet: {n} models are offered, as {from} tells"));
            }
            Err(Refusal::Untrue(error)) => {
                let why = format!("duet: the catalogue of models of {from} is not taken: {error}");
                // It is asked every few seconds.
                let mut state = self.lock();
                if state.untrue.len() >= UNTRUE_MAX {
                    state.untrue.clear();
                }
                if state.untrue.insert(why.clone()) {
                    say(Level::Warning, &why);
                }
            }
        }
        is_good
    }

    /// Says whether it is new.
    fn take(&self, bytes: &[u8], authority: &AuthorityPublic) -> Result<bool, Refusal> {
        let told = SignedCatalogue::parse(bytes).map_err(Refusal::Untrue)?;
        let mut state = self.lock();
        let newer = newer(state.catalogue.as_deref(), told, authority)?;
        let is_new = newer.is_some();
        if let Some(newer) = newer {
            let files = state.catalogue.as_ref().map_or(&[][..], |older| older.files());
            let replaced = |old: &&CatalogueFile| {
                newer.files().iter().any(|new| new.file == old.file && new.blake3 != old.blake3)
            };
            files.iter().filter(replaced).for_each(|old| self.drop_slices(&old.file));
            state.catalogue = Some(Arc::new(newer));
            // What a file is was said by the older one.
            state.refused.clear();
            state.others.clear();
            state.outdated.clear();
        }
        Ok(is_new)
    }
}

/// The told one, if it takes the place of the other.
fn newer(
    own: Option<&SignedCatalogue>,
    told: SignedCatalogue,
    authority: &AuthorityPublic,
) -> Result<Option<SignedCatalogue>, Refusal> {
    told.verify(authority).map_err(Refusal::Untrue)?;
    // One of another cluster, from before this node was moved, holds nothing back.
    match own.filter(|own| own.verify(authority).is_ok()).map(SignedCatalogue::version) {
        Some(has) if has > told.version() => Err(Refusal::Old { has }),
        Some(has) if has == told.version() => Ok(None),
        _ => Ok(Some(told)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use admission::AuthoritySecret;

    fn signed(authority: u8, version: u64) -> SignedCatalogue {
        SignedCatalogue::new(&AuthoritySecret::from_seed(&[authority; 32]), version, vec![]).unwrap()
    }

    #[test]
    fn a_catalogue_never_goes_back_and_is_taken_from_the_authority_alone() {
        let authority = AuthoritySecret::from_seed(&[1; 32]).public();
        let take = |own: Option<&SignedCatalogue>, told| newer(own, told, &authority);
        let first = take(None, signed(1, 7)).unwrap().unwrap();
        assert_eq!(take(Some(&first), signed(1, 7)), Ok(None));
        assert_eq!(take(Some(&first), signed(1, 6)), Err(Refusal::Old { has: 7 }));
        assert_eq!(take(Some(&first), signed(2, 9)), Err(Refusal::Untrue(admission::Error::Cluster)));
        assert!(take(Some(&first), signed(1, 8)).unwrap().is_some());
        assert!(take(Some(&signed(2, 99)), signed(1, 1)).unwrap().is_some());
    }
}
