//! Reading a TFTP request (RFC 1350, 2347, 2348, 2349, 7440).

use std::fmt;

use super::{ERROR, READ, WRITE};

/// RFC 2347 limits a request to 512 bytes.
pub const REQUEST_BYTES_MAX: usize = 512;
/// The longest error answer.
pub const ERROR_BYTES_MAX: usize = 64;
const NAME_BYTES_MAX: usize = 128;
const OPTIONS_MAX: usize = 16;

/// A client wants a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// As it came, without leading slashes; printable ASCII. The caller looks it up, and joins it to no path.
    pub name: String,
    pub mode: Mode,
    /// Bytes in a block.
    pub block: Option<u16>,
    /// The client wants to know the file's size.
    pub size: bool,
    /// Blocks sent before an answer is awaited.
    pub window: Option<u16>,
    pub timeout_s: Option<u8>,
}

/// How bytes travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    #[default]
    Octet,
    /// Line feeds become CR LF, lone CRs become CR NUL (RFC 764).
    Netascii,
}

/// Why no transfer begins; [`Refusal::bytes`] is the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not a request at all, so nothing is answered.
    NotARequest,
    Malformed,
    /// Nothing is written here.
    ReadOnly,
    Mode,
    NotFound,
}

/// Reads a datagram that came to port 69.
pub fn parse(bytes: &[u8]) -> Result<Request, Refusal> {
    let (head, body) = bytes.split_at_checked(2).ok_or(Refusal::NotARequest)?;
    match u16::from_be_bytes([head[0], head[1]]) {
        READ => {}
        WRITE => return Err(Refusal::ReadOnly),
        _ => return Err(Refusal::NotARequest),
    }
    if bytes.len() > REQUEST_BYTES_MAX {
        return Err(Refusal::Malformed);
    }
    let mut words = words(body);
    let name = words.next().and_then(readable).ok_or(Refusal::Malformed)?;
    let mode = words.next().ok_or(Refusal::Malformed)?;
    let mode = match mode.to_ascii_lowercase().as_slice() {
        b"octet" => Mode::Octet,
        b"netascii" => Mode::Netascii,
        _ => return Err(Refusal::Mode),
    };
    let mut request = Request { name, mode, ..Request::default() };
    for _ in 0..OPTIONS_MAX {
        let (Some(option), Some(value)) = (words.next(), words.next()) else { break };
        read_option(&mut request, option, value);
    }
    Ok(request)
}

/// Words ended by a zero byte; a last one without is dropped.
fn words(mut body: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let end = body.iter().position(|byte| *byte == 0)?;
        let word = &body[..end];
        body = &body[end + 1..];
        Some(word)
    })
}

fn readable(name: &[u8]) -> Option<String> {
    let name = &name[name.iter().take_while(|byte| **byte == b'/').count()..];
    // Some ROMs end the name with the byte 255 of the DHCP option it came from.
    let name = name.strip_suffix(&[255]).unwrap_or(name);
    let fits = !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.iter().all(u8::is_ascii_graphic);
    fits.then(|| String::from_utf8_lossy(name).into_owned())
}

/// An option that is not understood, or has an impossible value, counts as not sent (RFC 2347).
fn read_option(request: &mut Request, option: &[u8], value: &[u8]) {
    let number = || {
        let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        std::str::from_utf8(value).ok().filter(|_| digits)?.parse::<u32>().ok()
    };
    let within = |least: u32, most: u32| number().filter(|number| (least..=most).contains(number));
    match option.to_ascii_lowercase().as_slice() {
        b"blksize" => request.block = within(8, 65_464).map(|number| number as u16),
        b"tsize" => request.size = number() == Some(0),
        b"windowsize" => request.window = within(1, 65_535).map(|number| number as u16),
        b"timeout" => request.timeout_s = within(1, 255).map(|number| number as u8),
        _ => {}
    }
}

impl Refusal {
    /// The ERROR to send back, if any.
    pub fn bytes(self) -> Option<Vec<u8>> {
        let code = match self {
            Refusal::NotARequest => return None,
            Refusal::NotFound => 1,
            Refusal::ReadOnly => 2,
            Refusal::Malformed | Refusal::Mode => 4,
        };
        Some(error(code, &self.to_string()))
    }
}

/// An ERROR datagram.
pub(super) fn error(code: u16, sentence: &str) -> Vec<u8> {
    let mut bytes = [ERROR.to_be_bytes(), code.to_be_bytes()].concat();
    bytes.extend(sentence.bytes().take(ERROR_BYTES_MAX - 5));
    bytes.push(0);
    bytes
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::NotARequest => "not a request",
            Refusal::Malformed => "malformed request",
            Refusal::ReadOnly => "this server is read only",
            Refusal::Mode => "the mode must be octet or netascii",
            Refusal::NotFound => "no such file",
        })
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parses `text`, where `|` stands for a zero byte, after the number of a request.
    fn check(kind: u8, text: &str, want: &str) {
        let body = text.replace('|', "\0");
        let got = match parse(&[&[0, kind], body.as_bytes()].concat()) {
            Ok(Request { name, mode, block, size, window, timeout_s }) => {
                format!("{name} {mode:?} {block:?} {size} {window:?} {timeout_s:?}")
            }
            Err(why) => format!("error: {why}"),
        };
        assert_eq!(got, want, "{text}");
    }

    #[test]
    fn a_plain_request_is_read() {
        check(1, "undionly.kpxe|octet|", "undionly.kpxe Octet None false None None");
        check(1, "a|NetASCII|", "a Netascii None false None None");
    }

    #[test]
    fn leading_slashes_fall_away() {
        check(1, "//ipxe.efi|octet|", "ipxe.efi Octet None false None None");
    }

    #[test]
    fn options_are_read_in_any_case() {
        check(
            1,
            "a|octet|TSIZE|0|blksize|1468|windowsize|4|timeout|3|",
            "a Octet Some(1468) true Some(4) Some(3)",
        );
    }

    #[test]
    fn impossible_options_count_as_not_sent() {
        check(1, "a|octet|blksize|7|windowsize|0|timeout|0|tsize|1|", "a Octet None false None None");
        check(1, "a|octet|blksize|65465|windowsize|99999999999|multicast||", "a Octet None false None None");
        check(1, "a|octet|blksize|+512|windowsize||blksize", "a Octet None false None None");
    }

    #[test]
    fn writing_is_refused() {
        check(2, "a|octet|", "error: this server is read only");
    }

    #[test]
    fn mail_is_refused() {
        check(1, "a|mail|", "error: the mode must be octet or netascii");
    }

    #[test]
    fn broken_requests_are_refused() {
        check(1, "", "error: malformed request");
        check(1, "a|octet", "error: malformed request");
        check(1, "|octet|", "error: malformed request");
        check(1, "a b|octet|", "error: malformed request");
        check(1, &format!("{}|octet|", "a".repeat(129)), "error: malformed request");
        check(1, &format!("a|octet|{}", "x".repeat(512)), "error: malformed request");
    }

    #[test]
    fn what_is_no_request_is_not_answered() {
        check(3, "a|octet|", "error: not a request");
        assert_eq!(parse(&[0]), Err(Refusal::NotARequest));
        assert_eq!(Refusal::NotARequest.bytes(), None);
    }
}
