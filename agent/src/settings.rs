//! What the owner's duet.toml says to all nodes, as the boot server posts it: kept in RAM beside the membership, so that a
//! crash of the agent forgets nothing, and never older than what was here before.

use crate::io::runtime;
use crate::serve::enrolling::Joined;
use admission::{AuthorityPublic, NodeSettings, SETTINGS_TEXT_BYTES_MAX, SignedSettings};
use service::door::{Answer, Ask};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

const FILE: &str = "settings.json";

pub struct Settings {
    member: Joined,
    told: Mutex<Option<SignedSettings>>,
    news: watch::Sender<()>,
}

/// Why settings were not taken.
#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    Untrue(admission::Error),
    /// This node has newer ones.
    Old {
        has: u64,
    },
}

impl Settings {
    pub fn new(member: Joined) -> Settings {
        Settings { member, told: Mutex::default(), news: watch::Sender::new(()) }
    }

    /// What holds now; a node that was told nothing has nothing to do.
    pub fn now(&self) -> NodeSettings {
        self.lock().as_ref().map(|told| told.settings().clone()).unwrap_or_default()
    }

    /// Wakes whoever waits for other settings.
    pub fn follow(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    /// Never ends: what an earlier run of the agent was told holds again as soon as the authority is known.
    pub async fn remember(&self) {
        let mut member = self.member.clone();
        loop {
            let authority = member.borrow_and_update().as_ref().map(|kept| kept.member.authority);
            let text = runtime::read(FILE, SETTINGS_TEXT_BYTES_MAX as u64 + 1);
            if let (Some(authority), Ok(signed)) = (authority, SignedSettings::parse(text.as_bytes())) {
                // Older or a stranger's change nothing.
                let _ = take(&mut self.lock(), signed, &authority);
                self.news.send_replace(());
            }
            if member.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Whether everybody may read this node's page.
    pub fn is_open(&self) -> bool {
        self.lock().as_ref().is_none_or(|told| told.settings().page.open)
    }

    /// New settings, posted by the boot server.
    pub fn answer(&self, ask: &Ask) -> Answer {
        let Some(text) = &ask.posted else {
            return Answer { fields: &[("allow", "POST")], ..Answer::text(405, "settings are posted\n") };
        };
        if ask.is_of_a_browser {
            return Answer::text(403, "a page may not change settings\n");
        }
        let Some(kept) = self.member.borrow().clone() else {
            return Answer::text(503, "this node is no member of a cluster\n");
        };
        let signed = match SignedSettings::parse(text) {
            Ok(signed) => signed,
            Err(error) => return Answer::text(400, &format!("{error}\n")),
        };
        let text = signed.to_json();
        let taken = take(&mut self.lock(), signed, &kept.member.authority);
        self.news.send_replace(());
        match taken {
            Ok(false) => Answer::text(200, "these settings are here already\n"),
            Ok(true) => match runtime::write(FILE, text.as_bytes(), runtime::For::Agent) {
                Ok(()) => Answer::text(200, "taken\n"),
                // They hold; only a restart of the agent would forget them, and then they are told by nobody.
                Err(error) => Answer::text(500, &format!("the settings cannot be kept: {error}\n")),
            },
            Err(Refusal::Old { has }) => Answer::text(409, &format!("version {has} is here\n")),
            Err(Refusal::Untrue(error)) => Answer::text(403, &format!("{error}\n")),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<SignedSettings>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says whether they are new.
fn take(
    told: &mut Option<SignedSettings>,
    signed: SignedSettings,
    authority: &AuthorityPublic,
) -> Result<bool, Refusal> {
    signed.verify(authority).map_err(Refusal::Untrue)?;
    // Those of another cluster, from before this node was moved, hold nothing back.
    let own = told.as_ref().filter(|own| own.verify(authority).is_ok());
    match own.map(SignedSettings::version) {
        Some(has) if has > signed.version() => return Err(Refusal::Old { has }),
        Some(has) if has == signed.version() => return Ok(false),
        _ => {}
    }
    *told = Some(signed);
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use admission::AuthoritySecret;

    fn signed(authority_n: u8, version: u64, llm_url: Option<&str>) -> SignedSettings {
        let llm_url = llm_url.map(|text| text.parse().unwrap());
        let settings = NodeSettings { llm_url, ..NodeSettings::default() };
        SignedSettings::new(&AuthoritySecret::from_seed(&[authority_n; 32]), version, settings).unwrap()
    }

    #[test]
    fn settings_never_go_back_and_are_taken_from_the_authority_alone() {
        let authority = AuthoritySecret::from_seed(&[1; 32]).public();
        let mut told = None;
        assert_eq!(take(&mut told, signed(1, 7, Some("10.0.0.9:80")), &authority), Ok(true));
        assert_eq!(take(&mut told, signed(1, 7, Some("10.0.0.9:80")), &authority), Ok(false));
        assert_eq!(take(&mut told, signed(1, 8, None), &authority), Ok(true));
        assert_eq!(take(&mut told, signed(1, 7, None), &authority), Err(Refusal::Old { has: 8 }));
        let strange = take(&mut told, signed(2, 9, None), &authority);
        assert_eq!(strange, Err(Refusal::Untrue(admission::Error::Cluster)));
        assert_eq!(told.unwrap().settings(), &NodeSettings::default());
    }
}
