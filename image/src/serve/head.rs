//! From the first bytes of a connection to a decision: send a file, hand over to the pages, or refuse.
//!
//! Pure: bytes in, decision out, so that it can be fuzzed and tested without a socket.
//! It knows the shape of a file's address, but not which files exist; nothing here is ever joined to a path.

use std::ops::Range;

/// A request head longer than this is refused. iPXE, the node's init and browsers stay below 2 KiB.
pub const HEAD_BYTES_MAX: usize = 8 * 1024;
/// More header fields than this are refused.
pub const HEADERS_MAX: usize = 64;
/// Where files live. Everything else is a page.
const FILES: &str = "/releases/";
/// Where models live, by their hash; lists of chunks and the catalogue are pages.
const MODELS: &str = "/models/";
const HASH_DIGITS: usize = 64;
/// A release id or a file name longer than this names nothing.
const NAME_BYTES_MAX: usize = 64;

/// What to do with a connection, judged by the bytes read so far.
#[derive(Debug, PartialEq, Eq)]
pub enum Decision {
    /// The head is not complete yet.
    More,
    /// Answer with this and close.
    Refuse(Refusal),
    /// A file is wanted.
    File(FileAsk),
    /// A model is wanted: `file` is its hash, and there is no release.
    Model(FileAsk),
    /// A page or the API is wanted: the pages read the same bytes again.
    Page,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    BadRequest,
    NotFound,
    MethodNotAllowed,
    TimedOut,
    HeadTooLong,
    Busy,
}

impl Refusal {
    pub fn status(self) -> &'static str {
        match self {
            Refusal::BadRequest => "400 Bad Request",
            Refusal::NotFound => "404 Not Found",
            Refusal::MethodNotAllowed => "405 Method Not Allowed",
            Refusal::TimedOut => "408 Request Timeout",
            Refusal::HeadTooLong => "431 Request Header Fields Too Large",
            Refusal::Busy => "503 Service Unavailable",
        }
    }
}

/// A request for one file of one release. Both names hold only letters, digits, `.`, `-` and `_`.
#[derive(Debug, PartialEq, Eq)]
pub struct FileAsk {
    pub release: String,
    pub file: String,
    /// `HEAD`: the answer's head only.
    pub head_only: bool,
    pub range: Option<RangeAsk>,
    /// The client may ask again on this connection.
    pub keep_alive: bool,
    /// So many bytes of the connection belong to this request.
    pub head_bytes: usize,
}

/// One `Range` of bytes, as asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RangeAsk {
    From(u64),
    Within(u64, u64),
    Last(u64),
}

impl RangeAsk {
    /// The bytes meant in a file of `len` bytes, or `None` when there are none (416).
    pub fn resolve(self, len: u64) -> Option<Range<u64>> {
        let range = match self {
            RangeAsk::From(first) => first..len,
            RangeAsk::Within(first, last) => first..len.min(last.saturating_add(1)),
            RangeAsk::Last(n) => len.saturating_sub(n)..len,
        };
        (range.start < range.end).then_some(range)
    }
}

/// Judges the bytes that a client has sent so far.
pub fn decide(bytes: &[u8]) -> Decision {
    let mut fields = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut fields);
    let head_bytes = match request.parse(bytes) {
        Ok(httparse::Status::Complete(n)) if n <= HEAD_BYTES_MAX => n,
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_BYTES_MAX => return Decision::More,
        Ok(_) | Err(httparse::Error::TooManyHeaders) => return Decision::Refuse(Refusal::HeadTooLong),
        Err(_) => return Decision::Refuse(Refusal::BadRequest),
    };
    let path = request.path.unwrap_or_default();
    let (asked, wrap): (_, fn(FileAsk) -> Decision) =
        match (path.strip_prefix(MODELS), path.strip_prefix(FILES)) {
            (Some(hash), _) if is_hash(hash) => (Ok(("", hash)), Decision::Model),
            (_, Some(names)) => (split_names(names).ok_or(Refusal::NotFound), Decision::File),
            _ => return Decision::Page,
        };
    file_ask(&request, asked, head_bytes).map_or_else(Decision::Refuse, wrap)
}

fn is_hash(text: &str) -> bool {
    text.len() == HASH_DIGITS && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn file_ask(
    request: &httparse::Request<'_, '_>,
    names: Result<(&str, &str), Refusal>,
    head_bytes: usize,
) -> Result<FileAsk, Refusal> {
    let head_only = match request.method {
        Some("GET") => false,
        Some("HEAD") => true,
        _ => return Err(Refusal::MethodNotAllowed),
    };
    if has_body(request.headers) {
        return Err(Refusal::BadRequest);
    }
    let (release, file) = names?;
    Ok(FileAsk {
        release: release.to_owned(),
        file: file.to_owned(),
        head_only,
        range: field(request.headers, "range").and_then(parse_range),
        keep_alive: keeps_alive(request),
        head_bytes,
    })
}

/// `RELEASE/FILE`, letter by letter: no `%`, no `?`, no `/`, so no spelling of `..` gets further than here.
fn split_names(names: &str) -> Option<(&str, &str)> {
    let (release, file) = names.split_once('/')?;
    (is_name(release) && is_name(file)).then_some((release, file))
}

fn is_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.starts_with('.') && name.bytes().all(plain)
}

/// A body after a file's request could hide a second request, so it is refused.
fn has_body(headers: &[httparse::Header<'_>]) -> bool {
    let length = headers.iter().filter(|h| h.name.eq_ignore_ascii_case("content-length"));
    field(headers, "transfer-encoding").is_some() || length.into_iter().any(|h| h.value.trim_ascii() != b"0")
}

fn keeps_alive(request: &httparse::Request<'_, '_>) -> bool {
    let said = |word: &str| {
        field(request.headers, "connection").is_some_and(|value| {
            value.split(|b| *b == b',').any(|w| w.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
        })
    };
    match request.version {
        Some(1) => !said("close"),
        _ => said("keep-alive"),
    }
}

fn field<'a>(headers: &'a [httparse::Header<'_>], name: &str) -> Option<&'a [u8]> {
    headers.iter().find(|h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value)
}

/// Reads `bytes=A-B`, `bytes=A-` or `bytes=-N`.
/// Several ranges, other units and nonsense count as no range at all, as RFC 9110 section 14.2 allows.
pub fn parse_range(value: &[u8]) -> Option<RangeAsk> {
    let value = std::str::from_utf8(value).ok()?.trim();
    let (first, last) = value.strip_prefix("bytes=")?.split_once('-')?;
    match (first, last) {
        ("", last) => Some(RangeAsk::Last(number(last)?)),
        (first, "") => Some(RangeAsk::From(number(first)?)),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(RangeAsk::Within(first, last))
        }
    }
}

/// Digits only: `u64::from_str` would also take a plus sign.
fn number(digits: &str) -> Option<u64> {
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: &str = " HTTP/1.1\r\nHost: a\r\n\r\n";

    fn check(bytes: &[u8], want: &str) {
        let got = match decide(bytes) {
            Decision::More => "more".to_owned(),
            Decision::Page => "page".to_owned(),
            Decision::Refuse(refusal) => refusal.status()[..3].to_owned(),
            Decision::File(ask) | Decision::Model(ask) => format!(
                "{} {} {}{}{}",
                ask.release,
                ask.file,
                if ask.head_only { "head" } else { "get" },
                ask.range.map(|r| format!(" {r:?}")).unwrap_or_default(),
                if ask.keep_alive { "" } else { " close" },
            ),
        };
        assert_eq!(got, want, "{:?}", String::from_utf8_lossy(bytes));
    }

    fn check_get(path: &str, want: &str) {
        check(format!("GET {path}{END}").as_bytes(), want);
    }

    fn check_field(field: &str, want: &str) {
        check(format!("GET /releases/a/b HTTP/1.1\r\n{field}\r\n\r\n").as_bytes(), want);
    }

    fn check_range(value: &str, len: u64, want: Option<Range<u64>>) {
        let ask = parse_range(value.as_bytes());
        assert_eq!(ask.and_then(|ask| ask.resolve(len)), want, "{value}");
    }

    #[test]
    fn a_release_file_is_a_file() {
        check_get("/releases/trixie-0123/root.squashfs", "trixie-0123 root.squashfs get");
    }

    #[test]
    fn a_model_is_a_file_by_its_hash_alone() {
        let hash = "0a".repeat(32);
        check_get(&format!("/models/{hash}"), &format!(" {hash} get"));
        check(format!("POST /models/{hash}{END}").as_bytes(), "405");
        for path in
            [format!("/models/{hash}.tree"), format!("/models/{}", "0A".repeat(32)), "/models/../keys".into()]
        {
            check_get(&path, "page");
        }
    }

    #[test]
    fn everything_else_is_a_page() {
        check_get("/", "page");
        check_get("/boot.ipxe", "page");
        check_get("/releases", "page");
        check_get("http://a/releases/a/b", "page");
    }

    #[test]
    fn no_spelling_of_a_parent_folder_is_a_file() {
        for path in [
            "/releases/../keys/release.key",
            "/releases/a/../../keys",
            "/releases/a/..",
            "/releases/../b",
            "/releases/%2e%2e/b",
            "/releases/a/%2e%2e%2fkeys",
            "/releases/a/..%5cb",
            "/releases//etc/passwd",
            "/releases/a//b",
            "/releases/a/b/c",
            "/releases/a/.b",
            "/releases/a/b?c",
            "/releases/a/",
            "/releases//",
            "/releases/a\\b",
        ] {
            check_get(path, "404");
        }
    }

    #[test]
    fn a_name_beyond_the_limit_is_no_file() {
        check_get(&format!("/releases/a/{}", "b".repeat(NAME_BYTES_MAX + 1)), "404");
    }

    #[test]
    fn half_a_head_asks_for_more() {
        check(b"", "more");
        check(b"GET /releases/a/b HTTP/1.1\r\nHost: ", "more");
    }

    #[test]
    fn an_endless_head_is_refused() {
        let long = format!("GET / HTTP/1.1\r\nX: {}", "y".repeat(HEAD_BYTES_MAX));
        check(long.as_bytes(), "431");
        check(format!("{long}\r\n\r\n").as_bytes(), "431");
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(HEADERS_MAX + 1));
        check(many.as_bytes(), "431");
    }

    #[test]
    fn garbage_is_refused() {
        check(b"\x16\x03\x01\x02\x00\x01\x00", "400");
        check(b"GET / HTTP/9.9\r\n\r\n", "400");
    }

    #[test]
    fn files_are_only_read() {
        check(format!("HEAD /releases/a/b{END}").as_bytes(), "a b head");
        check(format!("POST /releases/a/b{END}").as_bytes(), "405");
        check_field("Content-Length: 5", "400");
        check_field("Content-Length: 0\r\nContent-Length: 5", "400");
        check_field("Transfer-Encoding: chunked", "400");
    }

    #[test]
    fn the_connection_lives_as_long_as_the_client_says() {
        check_field("Connection: close", "a b get close");
        check_field("Connection: x, Close", "a b get close");
        check(b"GET /releases/a/b HTTP/1.0\r\n\r\n", "a b get close");
        check(b"GET /releases/a/b HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "a b get");
    }

    #[test]
    fn a_second_request_stays_in_the_buffer() {
        let one = format!("GET /releases/a/b{END}");
        let Decision::File(ask) = decide(format!("{one}{one}").as_bytes()) else { panic!("no file") };
        assert_eq!(ask.head_bytes, one.len());
    }

    #[test]
    fn a_range_is_cut_to_the_file() {
        check_range("bytes=0-0", 10, Some(0..1));
        check_range("bytes=2-5", 10, Some(2..6));
        check_range("bytes=2-", 10, Some(2..10));
        check_range("bytes=-3", 10, Some(7..10));
        check_range("bytes=-30", 10, Some(0..10));
        check_range("bytes=5-18446744073709551615", 10, Some(5..10));
    }

    #[test]
    fn a_range_outside_the_file_is_unsatisfiable() {
        for value in ["bytes=10-", "bytes=10-20", "bytes=-0"] {
            assert_eq!(parse_range(value.as_bytes()).expect("a range").resolve(10), None, "{value}");
        }
    }

    #[test]
    fn nonsense_is_no_range() {
        for value in
            ["", "bytes=", "bytes=-", "bytes=5-2", "bytes=+1-2", "bytes=1-2,4-5", "lines=1-2", "bytes=a-b"]
        {
            assert_eq!(parse_range(value.as_bytes()), None, "{value}");
        }
        assert_eq!(parse_range(b"bytes=99999999999999999999-"), None);
    }
}
