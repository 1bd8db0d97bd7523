//! Who may come through the doors of the voice, by the head of a request alone.
//!
//! A key for the voice is always needed. Beyond it a browser must speak for the page that this node served: a page from elsewhere is
//! refused by its origin, and a stranger's name that points here by the host.

use openai::base64;
use service::upstream::HeaderMap;
use sha1_smol::Sha1;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Ends of names that no stranger can own.
const HOME: [&str; 6] = [".local", ".lan", ".home", ".home.arpa", ".internal", ".localhost"];
/// RFC 6455, section 1.3.
const MAGIC: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// How the page names a ticket among the protocols that it offers, where a browser lets it set no other field.
const TICKET: &str = "duet.ticket.";
/// The protocol of the socket.
pub const PROTOCOL: &str = "duet.session";

/// The sentence for whom is refused.
pub fn origin(fields: &HeaderMap) -> Result<(), &'static str> {
    let one = |name: &str| {
        let mut all = fields.get_all(name).iter();
        match (all.next(), all.next()) {
            (None, _) => Ok(None),
            (Some(value), None) => value.to_str().map(Some).map_err(|_| "a field of the head is no text"),
            _ => Err("a field of the head came twice"),
        }
    };
    let host = one("host")?.ok_or("the request names no host")?;
    if !is_home(host) {
        return Err("this node is not called by that name; use its address");
    }
    if one("sec-fetch-site")?.is_some_and(|site| site != "same-origin" && site != "none") {
        return Err("a page from elsewhere may not talk here");
    }
    let Some(origin) = one("origin")? else { return Ok(()) };
    let from = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    if from.is_some_and(|from| from.eq_ignore_ascii_case(host)) {
        return Ok(());
    }
    Err("a page from elsewhere may not talk here")
}

/// An address, or a name that belongs to a home.
fn is_home(host: &str) -> bool {
    let bare = match host.strip_prefix('[') {
        Some(six) => return six.split(']').next().is_some_and(|six| six.parse::<Ipv6Addr>().is_ok()),
        None => host.split(':').next().unwrap_or_default().to_ascii_lowercase(),
    };
    let is_name =
        !bare.is_empty() && bare.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    is_name
        && (bare.parse::<Ipv4Addr>().is_ok()
            || !bare.contains('.')
            || HOME.iter().any(|end| bare.ends_with(end)))
}

/// What a handshake for a WebSocket brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// The answer to its key.
    pub accept: String,
    pub ticket: Option<String>,
    /// Whether it offers our protocol, and so must be told that we take it.
    pub offers_protocol: bool,
}

/// The error is a sentence for whoever did not come as a WebSocket (RFC 6455, section 4.2.1).
pub fn handshake(fields: &HeaderMap) -> Result<Handshake, &'static str> {
    let has = |name: &str, want: &str| {
        let mut words =
            fields.get_all(name).iter().filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(','));
        words.any(|word| word.trim().eq_ignore_ascii_case(want))
    };
    if !has("upgrade", "websocket") || !has("connection", "upgrade") {
        return Err("sound comes over a WebSocket");
    }
    if !has("sec-websocket-version", "13") {
        return Err("of WebSockets version 13 is spoken");
    }
    let key = fields.get("sec-websocket-key").and_then(|key| key.to_str().ok()).map(str::trim);
    let key = key.filter(|key| key.len() == 24).ok_or("the WebSocket has no good key")?;
    let offered = fields.get_all("sec-websocket-protocol").iter().filter_map(|value| value.to_str().ok());
    let offered: Vec<&str> = offered.flat_map(|value| value.split(',')).map(str::trim).collect();
    let ticket = offered.iter().find_map(|name| name.strip_prefix(TICKET)).map(str::to_owned);
    let mut hash = Sha1::new();
    hash.update(key.as_bytes());
    hash.update(MAGIC.as_bytes());
    let hash = hash.digest().bytes();
    Ok(Handshake { accept: base64::encode(&hash), ticket, offers_protocol: offered.contains(&PROTOCOL) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut head = HeaderMap::new();
        for (name, value) in fields {
            head.append(*name, value.parse().unwrap());
        }
        head
    }

    #[track_caller]
    fn check(fields: &[(&'static str, &str)], want: bool) {
        assert_eq!(origin(&head(fields)).is_ok(), want, "{fields:?}");
    }

    #[test]
    fn programs_and_our_own_page_may_come() {
        check(&[("host", "10.0.0.7:8000")], true);
        check(&[("host", "[fd00::1]:8000")], true);
        check(&[("host", "kitchen.local:8000"), ("origin", "http://Kitchen.local:8000")], true);
        check(
            &[
                ("host", "localhost:9000"),
                ("origin", "http://localhost:9000"),
                ("sec-fetch-site", "same-origin"),
            ],
            true,
        );
        check(&[("host", "kitchen"), ("origin", "https://kitchen")], true);
    }

    #[test]
    fn pages_from_elsewhere_may_not() {
        check(&[("host", "10.0.0.7:8000"), ("origin", "http://evil.example")], false);
        check(&[("host", "10.0.0.7:8000"), ("origin", "null")], false);
        check(&[("host", "10.0.0.7:8000"), ("origin", "http://10.0.0.7:8001")], false);
        check(&[("host", "10.0.0.7:8000"), ("sec-fetch-site", "cross-site")], false);
        check(&[("host", "evil.example:8000"), ("origin", "http://evil.example:8000")], false);
        check(&[("host", "10.0.0.7.evil.example")], false);
        check(&[("host", "a"), ("host", "b")], false);
        check(&[], false);
    }

    #[test]
    fn the_handshake_of_the_standard_is_answered_as_it_says() {
        // RFC 6455, section 1.3.
        let fields = [
            ("upgrade", "websocket"),
            ("connection", "keep-alive, Upgrade"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-protocol", "duet.session, duet.ticket.abc"),
        ];
        let got = handshake(&head(&fields)).unwrap();
        assert_eq!(got.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!((got.ticket.as_deref(), got.offers_protocol), (Some("abc"), true));
        for idx in 0..4 {
            let mut less = fields.to_vec();
            less.remove(idx);
            assert!(handshake(&head(&less)).is_err());
        }
    }
}
