//! Who may ask, and how much: the keys of the cluster and what each has used; pure, the time is handed in.
//!
//! A key is always needed, on loopback too: an exception for an address is one for every proxy and tunnel that ends
//! there. Limits hold for this gateway alone, and what was used is forgotten when the agent starts anew.

use admission::{ApiKey, ApiKeys, AuthorityPublic};
use openai::ApiError;
use std::collections::BTreeMap;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 3600);
const MINUTE_MS: u64 = 60_000;
/// What clients are told to wait for a place among their own requests.
const AT_ONCE_RETRY_MS: u32 = 1000;
/// Most that clients are told to wait; the openai libraries wait no longer than a minute anyway.
const RETRY_MS_MAX: u64 = 60_000;

/// What one key has used.
#[derive(Clone, Debug, Default)]
struct Use {
    /// When, within the last minute's budget, the next request was due: a request moves it by its share of a minute.
    due: Duration,
    at_once: u16,
    day_began: Duration,
    tokens: u64,
    requests: u64,
}

/// One key on the page.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct KeyStatus {
    pub name: String,
    /// It is for the voice too.
    pub voice: bool,
    pub requests: u64,
    pub at_once: u16,
    pub tokens_today: u64,
}

/// The doorkeeper.
#[derive(Debug, Default)]
pub struct Keys {
    /// Of a file of this machine, where no cluster gives keys.
    own: Vec<ApiKey>,
    list: Option<ApiKeys>,
    uses: BTreeMap<String, Use>,
}

/// Why a list was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListError {
    Untrue(admission::Error),
    /// This node has a newer one.
    Old {
        has: u64,
    },
}

impl Keys {
    pub fn new(own: Vec<ApiKey>) -> Keys {
        Keys { own, ..Keys::default() }
    }

    /// Takes a list of the authority; says whether it is new.
    pub fn take(&mut self, list: ApiKeys, authority: &AuthorityPublic) -> Result<bool, ListError> {
        list.verify(authority).map_err(ListError::Untrue)?;
        // A list of another cluster's, from before this node was moved, holds nothing back.
        let own = self.list.as_ref().filter(|own| own.verify(authority).is_ok());
        match own.map(ApiKeys::version) {
            Some(has) if has > list.version() => return Err(ListError::Old { has }),
            Some(has) if has == list.version() => return Ok(false),
            _ => {}
        }
        self.list = Some(list);
        let names: Vec<String> = self.all().map(|key| key.name.clone()).collect();
        self.uses.retain(|name, used| used.at_once > 0 || names.contains(name));
        Ok(true)
    }

    /// The key that a request shows, if it may ask now. Nothing is counted yet.
    pub fn check(&self, now: Duration, shown: Option<&str>) -> Result<ApiKey, ApiError> {
        if self.all().next().is_none() {
            let message =
                "this cluster has no API key yet; `duet keys add NAME` on the boot server makes one";
            return Err(ApiError::no_key(message));
        }
        let Some(shown) = shown else {
            let message = "no API key was sent; send one as `Authorization: Bearer KEY`";
            return Err(ApiError::no_key(message));
        };
        let listed = self.list.as_ref().map_or(&[][..], ApiKeys::keys);
        // Both are searched always, so that time tells nothing.
        let (own, listed) = (ApiKey::find(&self.own, shown), ApiKey::find(listed, shown));
        let key = own.or(listed).ok_or_else(|| ApiError::no_key("this API key is not known here"))?;
        match self.uses.get(&key.name) {
            Some(used) => used.check(now, key).map(|()| key.clone()),
            None => Use::default().check(now, key).map(|()| key.clone()),
        }
    }

    /// A key that was shown before: whether it is still one, and may ask now.
    pub fn check_again(&self, now: Duration, key: &ApiKey) -> Result<ApiKey, ApiError> {
        let own = self.all().find(|own| own.name == key.name && own.hash == key.hash);
        let own = own.ok_or_else(|| ApiError::no_key("this API key is not known here any more"))?;
        let checked = self.uses.get(&own.name).map_or(Ok(()), |used| used.check(now, own));
        checked.map(|()| own.clone())
    }

    /// A key for the models alone opens no ear.
    pub fn for_voice(key: ApiKey) -> Result<ApiKey, (u16, String)> {
        if key.voice {
            return Ok(key);
        }
        Err((
            403,
            format!(
                "the API key {} is for the models alone; `duet keys add NAME --voice` on the boot server makes one for \
                 the voice",
                key.name
            ),
        ))
    }

    /// The same as [`Keys::check`], and counts the request; [`Keys::leave`] must follow.
    pub fn enter(&mut self, now: Duration, shown: Option<&str>) -> Result<String, ApiError> {
        let key = self.check(now, shown)?;
        let used = self.uses.entry(key.name.clone()).or_default();
        if now.saturating_sub(used.day_began) >= DAY {
            (used.day_began, used.tokens) = (now, 0);
        }
        used.due = used.due.max(now) + share(&key);
        used.at_once += 1;
        used.requests += 1;
        Ok(key.name)
    }

    /// A request is over, and so many tokens were read and written.
    pub fn leave(&mut self, name: &str, tokens: u64) {
        if let Some(used) = self.uses.get_mut(name) {
            used.at_once = used.at_once.saturating_sub(1);
            used.tokens = used.tokens.saturating_add(tokens);
        }
    }

    /// For the page: all names, and what each has used.
    pub fn status(&self) -> Vec<KeyStatus> {
        let used = |name: &str| self.uses.get(name).cloned().unwrap_or_default();
        let status = |key: &ApiKey| {
            let Use { requests, at_once, tokens, .. } = used(&key.name);
            KeyStatus { name: key.name.clone(), voice: key.voice, requests, at_once, tokens_today: tokens }
        };
        self.all().map(status).collect()
    }

    fn all(&self) -> impl Iterator<Item = &ApiKey> {
        self.own.iter().chain(self.list.iter().flat_map(ApiKeys::keys))
    }
}

/// How much of a minute one request takes.
fn share(key: &ApiKey) -> Duration {
    Duration::from_millis(MINUTE_MS / u64::from(key.limits.per_minute.max(1)))
}

impl Use {
    fn check(&self, now: Duration, key: &ApiKey) -> Result<(), ApiError> {
        let limits = key.limits;
        let too_many = |message: String, wait: Duration| {
            let wait_ms = (wait.as_millis() as u64).clamp(1, RETRY_MS_MAX);
            Err(ApiError::too_many_requests(message, wait_ms as u32))
        };
        if self.at_once >= limits.at_once {
            let message = format!("this API key may have {} requests at once", limits.at_once);
            return Err(ApiError::too_many_requests(message, AT_ONCE_RETRY_MS));
        }
        // A whole minute's budget may be used at once; after that each request waits for its share.
        let budget = share(key) * u32::from(limits.per_minute.max(1) - 1);
        let allowed_at = self.due.saturating_sub(budget);
        if limits.per_minute == 0 || allowed_at > now {
            let message = format!("this API key may send {} requests a minute", limits.per_minute);
            return too_many(message, allowed_at.saturating_sub(now));
        }
        let day_is_over = now.saturating_sub(self.day_began) >= DAY;
        if !day_is_over && self.tokens >= u64::from(limits.tokens_per_day) {
            let message = format!("this API key may use {} tokens in 24 hours", limits.tokens_per_day);
            return too_many(message, (self.day_began + DAY).saturating_sub(now));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use admission::{ApiKeyFile, AuthoritySecret, KeyLimits};

    const LIMITS: KeyLimits = KeyLimits { per_minute: 3, at_once: 2, tokens_per_day: 100 };

    fn keys() -> Keys {
        Keys::new(vec![ApiKey::new("laptop", "secret", LIMITS).unwrap()])
    }

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn check(keys: &mut Keys, now: Duration, shown: Option<&str>, want: Result<&str, (u16, &str)>) {
        let got = keys.enter(now, shown);
        let got = got.as_deref().map_err(|error| (error.status, error.message.as_str()));
        assert_eq!(got, want);
    }

    #[test]
    fn without_the_right_key_nobody_enters() {
        let none = "this cluster has no API key yet; `duet keys add NAME` on the boot server makes one";
        check(&mut Keys::default(), s(0), Some("secret"), Err((401, none)));
        let missing = "no API key was sent; send one as `Authorization: Bearer KEY`";
        check(&mut keys(), s(0), None, Err((401, missing)));
        check(&mut keys(), s(0), Some("secre"), Err((401, "this API key is not known here")));
        check(&mut keys(), s(0), Some("secret"), Ok("laptop"));
    }

    #[test]
    fn only_a_key_for_the_voice_opens_an_ear_and_it_asks_models_too() {
        let talker = ApiKey::new("anna", "spoken", LIMITS).unwrap().with_voice();
        let mut keys = Keys::new(vec![ApiKey::new("laptop", "secret", LIMITS).unwrap(), talker]);
        let asked = |shown| {
            let key = keys.check(s(0), shown).map_err(|error| (error.status, error.message));
            key.and_then(Keys::for_voice)
        };
        let voice = |shown| asked(shown).map(|key| key.name).map_err(|(status, _)| status);
        assert_eq!(voice(Some("spoken")), Ok("anna".into()));
        assert_eq!((voice(Some("secret")), voice(Some("x")), voice(None)), (Err(403), Err(401), Err(401)));
        let (_, why) = asked(Some("secret")).unwrap_err();
        assert!(why.contains("key laptop is for the models alone; `duet keys add NAME --voice`"), "{why}");
        check(&mut keys, s(0), Some("spoken"), Ok("anna"));
        check(&mut keys, s(0), Some("secret"), Ok("laptop"));
    }

    #[test]
    fn a_minutes_budget_may_be_used_at_once_and_comes_back_by_and_by() {
        let mut keys = keys();
        let slower = Err((429, "this API key may send 3 requests a minute"));
        for _ in 0..3 {
            check(&mut keys, s(100), Some("secret"), Ok("laptop"));
            keys.leave("laptop", 0);
        }
        check(&mut keys, s(119), Some("secret"), slower);
        check(&mut keys, s(120), Some("secret"), Ok("laptop"));
        keys.leave("laptop", 0);
        check(&mut keys, s(121), Some("secret"), slower);
        assert_eq!(keys.check(s(121), Some("secret")).unwrap_err().retry_after_ms, Some(19_000));
    }

    #[test]
    fn requests_at_once_are_counted_until_they_leave() {
        let mut keys = keys();
        check(&mut keys, s(0), Some("secret"), Ok("laptop"));
        check(&mut keys, s(0), Some("secret"), Ok("laptop"));
        let full = Err((429, "this API key may have 2 requests at once"));
        check(&mut keys, s(0), Some("secret"), full);
        keys.leave("laptop", 7);
        check(&mut keys, s(0), Some("secret"), Ok("laptop"));
        let want =
            KeyStatus { name: "laptop".into(), voice: false, requests: 3, at_once: 2, tokens_today: 7 };
        assert_eq!(keys.status(), [want]);
    }

    #[test]
    fn a_days_tokens_are_given_again_after_a_day() {
        let mut keys = keys();
        check(&mut keys, s(90_000), Some("secret"), Ok("laptop"));
        keys.leave("laptop", 100);
        let used_up = Err((429, "this API key may use 100 tokens in 24 hours"));
        check(&mut keys, s(90_000 + 86_399), Some("secret"), used_up);
        check(&mut keys, s(90_000 + 86_400), Some("secret"), Ok("laptop"));
        assert_eq!(keys.status()[0].tokens_today, 0);
    }

    fn list(authority_n: u8, version: u64, names: &[&str]) -> ApiKeys {
        let key = |name: &&str| ApiKey::new(name, name, LIMITS).unwrap();
        let file = ApiKeyFile { version, keys: names.iter().map(key).collect() };
        ApiKeys::new(&AuthoritySecret::from_seed(&[authority_n; 32]), &file).unwrap()
    }

    #[test]
    fn a_list_never_goes_back_and_a_removed_key_opens_nothing() {
        let authority = AuthoritySecret::from_seed(&[1; 32]).public();
        let mut keys = Keys::default();
        assert_eq!(keys.take(list(1, 7, &["phone"]), &authority), Ok(true));
        check(&mut keys, s(0), Some("phone"), Ok("phone"));
        assert_eq!(keys.take(list(1, 7, &["phone"]), &authority), Ok(false));
        assert_eq!(keys.take(list(1, 8, &[]), &authority), Ok(true));
        assert!(keys.check(s(0), Some("phone")).is_err());
        assert_eq!(keys.take(list(1, 7, &["phone"]), &authority), Err(ListError::Old { has: 8 }));
        let strange = keys.take(list(2, 9, &["phone"]), &authority);
        assert_eq!(strange, Err(ListError::Untrue(admission::Error::Cluster)));
    }
}
