//! The head of an HTTP/1.1 answer: bytes in, four numbers out.
//!
//! Only what a file server of ours sends is understood.
//! Chunked or compressed bodies are refused: their length could not be compared with the manifest.
//! So is every head that two readers could take for two answers, such as one with a lone line feed.

/// Longest head of an answer.
pub const HEAD_BYTES_MAX: usize = 8 * 1024;

/// What the head of an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub status: u16,
    /// Bytes of the body that follows.
    pub length: u64,
    /// First byte and whole length of the file, when only a part of it follows.
    pub part: Option<(u64, u64)>,
}

/// Where the body begins, once the whole head has come.
pub fn body_start(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

/// Reads a head up to its empty line; an error is the end of a sentence about the answer.
pub fn parse_head(bytes: &[u8]) -> Result<Head, &'static str> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| is_plain(text)).ok_or("is not HTTP")?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(parse_status).ok_or("is not HTTP")?;
    let (mut length, mut part) = (None, None);
    for line in lines.take_while(|line| !line.is_empty()) {
        let field = line.split_once(':').filter(|(name, _)| is_name(name));
        let (name, value) = field.ok_or("is not HTTP")?;
        let value = value.trim_matches([' ', '\t']);
        if name.eq_ignore_ascii_case("content-length") {
            let before = length.replace(parse_number(value).ok_or("has a bad length")?);
            if before.is_some() {
                return Err("has two lengths");
            }
        } else if name.eq_ignore_ascii_case("content-range") {
            if part.replace(parse_part(value).ok_or("has a bad range")?).is_some() {
                return Err("has two ranges");
            }
        } else if name.eq_ignore_ascii_case("transfer-encoding")
            || name.eq_ignore_ascii_case("content-encoding")
        {
            return Err("is encoded");
        }
    }
    Ok(Head { status, length: length.ok_or("does not say its length")?, part })
}

/// Lines end with both their letters, and no other control letter but a tab stands in them.
fn is_plain(head: &str) -> bool {
    let mut lines = head.split("\r\n");
    lines.all(|line| line.bytes().all(|b| b == b'\t' || !b.is_ascii_control()))
}

/// A field's name is a token (RFC 9110, section 5.6.2): a blank in or before it would hide the field.
fn is_name(name: &str) -> bool {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !name.is_empty() && name.bytes().all(is_token)
}

fn parse_status(line: &str) -> Option<u16> {
    let rest = line.strip_prefix("HTTP/1.0 ").or_else(|| line.strip_prefix("HTTP/1.1 "))?;
    let digits = rest.get(..3).filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))?;
    if rest.len() > 3 && !rest[3..].starts_with(' ') { None } else { digits.parse().ok() }
}

/// `bytes FIRST-LAST/TOTAL` (RFC 9110, section 14.4).
fn parse_part(value: &str) -> Option<(u64, u64)> {
    let (range, total) = value.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last, total) = (parse_number(first)?, parse_number(last)?, parse_number(total)?);
    (first <= last && last.checked_add(1)? == total).then_some((first, total))
}

/// `u64::from_str` would also take `+1`.
fn parse_number(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    type Numbers = (u16, u64, Option<(u64, u64)>);

    fn check(head: &str, want: Result<Numbers, &'static str>) {
        let head = head.replace('\n', "\r\n") + "\r\n\r\n";
        assert_eq!(parse_head(head.as_bytes()).map(|h| (h.status, h.length, h.part)), want, "{head:?}");
    }

    #[test]
    fn a_plain_answer_is_read() {
        check("HTTP/1.1 200 OK\nServer: x\ncontent-LENGTH:  12 ", Ok((200, 12, None)));
        check("HTTP/1.0 404\nContent-Length: 0", Ok((404, 0, None)));
    }

    #[test]
    fn a_part_of_a_file_is_read() {
        let head = "HTTP/1.1 206 Partial Content\nContent-Length: 5\nContent-Range: bytes 7-11/12";
        check(head, Ok((206, 5, Some((7, 12)))));
    }

    #[test]
    fn an_answer_whose_length_is_not_certain_is_refused() {
        check("HTTP/1.1 200 OK\nServer: x", Err("does not say its length"));
        check("HTTP/1.1 200 OK\nContent-Length: 1\nContent-Length: 1", Err("has two lengths"));
        check("HTTP/1.1 200 OK\nContent-Length: +1", Err("has a bad length"));
        check("HTTP/1.1 200 OK\nContent-Length: ", Err("has a bad length"));
        check("HTTP/1.1 200 OK\nContent-Length: 99999999999999999999", Err("has a bad length"));
        check("HTTP/1.1 200 OK\nTransfer-Encoding: chunked", Err("is encoded"));
        check("HTTP/1.1 200 OK\nContent-Length: 1\nContent-Encoding: gzip", Err("is encoded"));
    }

    #[test]
    fn a_range_that_is_not_the_rest_of_the_file_is_refused() {
        for range in
            ["bytes 7-10/12", "bytes 7-11/*", "bytes 12-11/12", "7-11/12", "bytes 0-18446744073709551615/0"]
        {
            let head = format!("HTTP/1.1 206 P\nContent-Length: 5\nContent-Range: {range}");
            check(&head, Err("has a bad range"));
        }
    }

    #[test]
    fn what_is_not_http_is_refused() {
        for head in [
            "",
            "SSH-2.0-x",
            "HTTP/2 200",
            "HTTP/1.1 2000",
            "HTTP/1.1 20x OK",
            "HTTP/1.1 20",
            "HTTP/1.1 200 OK\nx",
        ] {
            check(head, Err("is not HTTP"));
        }
    }

    #[test]
    fn a_field_that_another_reader_would_see_elsewhere_is_refused() {
        for field in
            ["Transfer-Encoding : chunked", " Content-Encoding: gzip", ": x", "A(: x", "A: \0", "A: x\ry: z"]
        {
            check(&format!("HTTP/1.1 200 OK\nContent-Length: 1\n{field}"), Err("is not HTTP"));
        }
        let lone = b"HTTP/1.1 200 OK\r\nA: x\nContent-Length: 2\r\nContent-Length: 1\r\n\r\n";
        assert_eq!(parse_head(lone), Err("is not HTTP"));
        let twice = "Content-Range: bytes 7-11/12\nContent-Range: bytes 8-11/12";
        check(&format!("HTTP/1.1 206 P\nContent-Length: 5\n{twice}"), Err("has two ranges"));
    }

    #[test]
    fn the_body_begins_behind_the_first_empty_line() {
        assert_eq!(body_start(b"a\r\n\r\nb\r\n\r\n"), Some(5));
        assert_eq!(body_start(b"a\r\n\r"), None);
    }
}
