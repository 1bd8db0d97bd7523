//! Logins of persons on the page: a key is shown once, and a cookie stands for it until it expires; pure, the time is
//! handed in.
//!
//! The cookie counts only beside a field that no form, image or link can send, and from the page of this node: a page
//! from elsewhere that had a browser send the cookie would still be refused. It counts at the page's doors, not at `/v1`.
//! Nothing of it outlives the agent, and a key that the owner removes takes its logins with it.

use admission::ApiKey;
use service::upstream::HeaderMap;
use std::collections::BTreeMap;
use std::time::Duration;

pub const LOGIN_PATH: &str = "/api/login";
pub const LOGOUT_PATH: &str = "/api/logout";
/// A login ends after this time, whatever was done with it.
pub const LOGIN_TIME_MAX: Duration = Duration::from_secs(12 * 3600);
/// Logins at once; one more ends the oldest.
const LOGINS_MAX: usize = 64;
const COOKIE: &str = "duet-login";
/// What the page's script says of itself.
const PAGE_FIELD: &str = "x-duet";
const PAGE_WORD: &str = "page";
/// The longest list of cookies that is read.
const COOKIES_BYTES_MAX: usize = 4096;
const TOKEN_BYTES: usize = 32;

/// Who is logged in: by the hash of the token, so that nothing here opens anything.
#[derive(Debug, Default)]
pub struct Logins(BTreeMap<[u8; 32], Login>);

#[derive(Clone, Debug)]
struct Login {
    key: ApiKey,
    until: Duration,
}

impl Logins {
    /// The field that gives a browser its cookie.
    pub fn begin(&mut self, now: Duration, key: ApiKey, random: [u8; TOKEN_BYTES]) -> String {
        self.0.retain(|_, login| login.until > now);
        if self.0.len() >= LOGINS_MAX
            && let Some(oldest) = self.0.iter().min_by_key(|(_, login)| login.until).map(|(hash, _)| *hash)
        {
            self.0.remove(&oldest);
        }
        let token: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        self.0.insert(hash(&token), Login { key, until: now + LOGIN_TIME_MAX });
        cookie(&token, LOGIN_TIME_MAX)
    }

    /// The key that a cookie stands for, and how long it still does.
    pub fn find(&self, now: Duration, token: &str) -> Option<(&ApiKey, Duration)> {
        let login = self.0.get(&hash(token)).filter(|login| login.until > now)?;
        Some((&login.key, login.until - now))
    }

    /// The field that takes the cookie away again.
    pub fn end(&mut self, token: Option<&str>) -> String {
        if let Some(token) = token {
            self.0.remove(&hash(token));
        }
        cookie("", Duration::ZERO)
    }
}

fn hash(token: &str) -> [u8; 32] {
    blake3::hash(token.as_bytes()).into()
}

/// No script can read it, no page from elsewhere sends it. Without `Secure`, because a node speaks no TLS.
fn cookie(token: &str, time: Duration) -> String {
    format!("{COOKIE}={token}; Path=/; Max-Age={}; HttpOnly; SameSite=Strict", time.as_secs())
}

/// The cookie of a request that the page's own script has made.
pub fn shown(fields: &HeaderMap) -> Option<&str> {
    let says = fields.get(PAGE_FIELD).is_some_and(|word| word == PAGE_WORD);
    let mut cookies = fields.get_all("cookie").iter().filter(|value| value.len() <= COOKIES_BYTES_MAX);
    let token = cookies.find_map(|value| {
        // One whose name only begins like ours is another's.
        value.to_str().ok()?.split(';').find_map(|one| one.trim().strip_prefix(COOKIE)?.strip_prefix('='))
    });
    token.filter(|token| says && token.len() == 2 * TOKEN_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use admission::KeyLimits;

    fn key(name: &str) -> ApiKey {
        ApiKey::new(name, name, KeyLimits::default()).unwrap()
    }

    fn fields(all: &[(&'static str, &str)]) -> HeaderMap {
        all.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn token(cookie: &str) -> &str {
        cookie.split(['=', ';']).nth(1).unwrap()
    }

    #[test]
    fn a_login_stands_for_its_key_until_it_expires() {
        let mut logins = Logins::default();
        let cookie = logins.begin(Duration::ZERO, key("anna"), [7; 32]);
        assert!(cookie.ends_with("; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict"), "{cookie}");
        let token = token(&cookie);
        let just_before = LOGIN_TIME_MAX - Duration::from_secs(1);
        assert_eq!(logins.find(just_before, token).map(|(key, _)| key.name.as_str()), Some("anna"));
        assert!(logins.find(LOGIN_TIME_MAX, token).is_none());
        assert!(logins.find(Duration::ZERO, &"0".repeat(64)).is_none());
        logins.end(Some(token));
        assert!(logins.find(Duration::ZERO, token).is_none());
    }

    #[test]
    fn one_login_too_many_ends_the_oldest() {
        let mut logins = Logins::default();
        let first = logins.begin(Duration::ZERO, key("first"), [255; 32]);
        for n in 0..LOGINS_MAX as u8 {
            logins.begin(Duration::from_secs(1 + u64::from(n)), key("more"), [n; 32]);
        }
        assert!(logins.find(Duration::from_secs(99), token(&first)).is_none());
        assert_eq!(logins.0.len(), LOGINS_MAX);
    }

    #[test]
    fn a_cookie_counts_only_beside_the_word_of_the_pages_script() {
        let cookie = format!("theme=dark; {COOKIE}={}", "a".repeat(64));
        let page = [("cookie", cookie.as_str()), ("x-duet", "page")];
        assert_eq!(shown(&fields(&page)), Some("a".repeat(64).as_str()));
        assert_eq!(shown(&fields(&page[..1])), None);
        assert_eq!(shown(&fields(&[page[0], ("x-duet", "form")])), None);
        assert_eq!(shown(&fields(&[("cookie", "duet-login=short"), page[1]])), None);
        assert_eq!(shown(&fields(&[("cookie", "duet-login2=x"), page[1]])), None);
    }

    #[test]
    fn a_cookie_whose_name_begins_like_ours_hides_none() {
        let cookie = format!("duet-login2=x; {COOKIE}={}", "a".repeat(64));
        assert_eq!(shown(&fields(&[("cookie", &cookie), ("x-duet", "page")])), Some("a".repeat(64).as_str()));
    }
}
