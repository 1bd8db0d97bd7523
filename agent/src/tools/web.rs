//! Reads a web page, of the hosts that the owner allows and of no address inside his home.
//!
//! The name is resolved here, and each address judged; curl is told to take that one and no other, so that no second answer
//! of a name server leads elsewhere. Each redirect is a new page that is judged like the first.

use super::program::Program;
use super::setup::Wishes;
use super::{Call, Field, Limits, Spec, Tool};
use std::net::{IpAddr, Ipv4Addr, ToSocketAddrs};

const URL_BYTES_MAX: usize = 1000;
const PAGE_BYTES_MAX: usize = 1 << 20;
const REDIRECTS_MAX: usize = 4;
const CURL: Program<'static> =
    Program { path: "/usr/bin/curl", profile: "web", bytes_max: PAGE_BYTES_MAX + 2000 };
/// What curl says behind the page: it cannot be in a page, because it is read from the end.
const BEHIND: &str = "\n%{http_code} %{redirect_url} %{content_type}";

pub struct Web {
    pub wishes: Wishes,
    /// Whether an address may be asked; a test asks itself.
    pub may: fn(IpAddr) -> bool,
}

#[derive(Debug, PartialEq, Eq)]
struct Url {
    /// Without what a browser alone needs.
    whole: String,
    host: String,
    port: u16,
}

impl Tool for Web {
    fn spec(&self) -> Spec {
        Spec::new("web.fetch", "Reads a web page of the hosts that the owner allows, and shows its text.")
            .field(Field::text("url", "the address of the page, with http or https", URL_BYTES_MAX))
            .seconds(30)
            .output(8 << 10)
    }

    fn run(&self, call: &Call, limits: &Limits<'_>) -> Result<String, String> {
        let mut address = call.text("url").unwrap_or_default().to_owned();
        for _ in 0..=REDIRECTS_MAX {
            let url = Url::read(&address)?;
            if !self.wishes.now().allows(&url.host) {
                let host = &url.host;
                return Err(format!(
                    "{host} is not allowed; the owner adds it to tools.toml: [web] allow = [\"{host}\"]"
                ));
            }
            let fetched = fetch(&url, self.resolve(&url)?, limits)?;
            if (300..400).contains(&fetched.status) && !fetched.to.is_empty() {
                address = fetched.to;
                continue;
            }
            if fetched.status != 200 {
                return Err(format!("{} answers with {}", url.host, fetched.status));
            }
            let is_html =
                fetched.kind.starts_with("text/html") || fetched.kind.starts_with("application/xhtml");
            let is_text = fetched.kind.starts_with("text/") || fetched.kind.starts_with("application/json");
            return match (is_html, is_text) {
                (true, _) => Ok(tools::page::text(&fetched.body)),
                (_, true) => Ok(fetched.body),
                _ => Err(format!("{} is no text but {:?}", url.whole, fetched.kind)),
            };
        }
        Err(format!("more than {REDIRECTS_MAX} redirects"))
    }
}

impl Web {
    /// One address that may be asked. Where a name has one that may not, it is not believed at all.
    fn resolve(&self, url: &Url) -> Result<IpAddr, String> {
        let found = (url.host.as_str(), url.port).to_socket_addrs();
        let found: Vec<IpAddr> =
            found.map_err(|error| format!("{}: {error}", url.host))?.map(|address| address.ip()).collect();
        if let Some(inside) = found.iter().find(|address| !(self.may)(**address)) {
            return Err(format!("{} leads to {inside}, which is no address of the web", url.host));
        }
        found.first().copied().ok_or_else(|| format!("{} has no address", url.host))
    }
}

impl Url {
    fn read(text: &str) -> Result<Url, String> {
        let wrong = |what: &str| Err(format!("{what}: write http://HOST/PATH or https://HOST/PATH"));
        if text.len() > URL_BYTES_MAX || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return wrong("this is no address of a page");
        }
        let (rest, usual) = match text.strip_prefix("https://") {
            Some(rest) => (rest, 443),
            None => match text.strip_prefix("http://") {
                Some(rest) => (rest, 80),
                None => return wrong("this is no address of a page"),
            },
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (host, port) = match authority.split_once(':') {
            None => (authority, Some(usual)),
            Some((host, port)) => (host, port.parse().ok().filter(|port| *port > 0)),
        };
        let host = host.to_ascii_lowercase();
        let is_host = !host.is_empty()
            && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
            && host.contains('.')
            && !host.starts_with(['-', '.']);
        let Some(port) = port.filter(|_| is_host) else { return wrong("this host is no plain name") };
        let path = path.split('#').next().unwrap_or_default();
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let scheme = &text[..text.len() - rest.len()];
        Ok(Url { whole: format!("{scheme}{host}:{port}{path}"), host, port })
    }
}

struct Fetched {
    status: u16,
    /// Where a redirect leads.
    to: String,
    kind: String,
    body: String,
}

fn fetch(url: &Url, address: IpAddr, limits: &Limits<'_>) -> Result<Fetched, String> {
    let mut command = CURL.command();
    let address = match address {
        IpAddr::V4(four) => four.to_string(),
        IpAddr::V6(six) => format!("[{six}]"),
    };
    command.args(["--disable", "--silent", "--show-error", "--globoff", "--noproxy", "*"]);
    command.args(["--proto", "=http,https", "--max-redirs", "0", "--user-agent", "duet"]);
    command.args(["--max-filesize", &PAGE_BYTES_MAX.to_string()]);
    command.args(["--max-time", &limits.left().as_secs().max(1).to_string()]);
    command.args(["--resolve", &format!("{}:{}:{address}", url.host, url.port)]);
    command.args(["--write-out", BEHIND, "--url", &url.whole]);
    let said = CURL.run(command, limits)?;
    let text = String::from_utf8_lossy(&said.output).into_owned();
    if !said.is_good {
        let why = tools::cut(&said.trouble, 200);
        return Err(format!("{} cannot be read: {why}", url.host));
    }
    let (body, behind) = text.rsplit_once('\n').ok_or("curl said nothing of the page")?;
    let mut words = behind.splitn(3, ' ');
    let mut word = || words.next().unwrap_or_default().to_owned();
    let status = word().parse().map_err(|_| "the page is longer than may be read".to_owned())?;
    Ok(Fetched { status, to: word(), kind: word(), body: body.to_owned() })
}

/// Whether an address is one of the wide world: not of this PC, of a home, of a wire, of tunnels into them, or of nobody.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => is_public_4(four),
        IpAddr::V6(six) => {
            let [first, second, third, ..] = six.segments();
            let last = six.octets();
            // Addresses that carry one of version 4: translated (RFC 6052), 6to4, mapped.
            let inner = match (first, second) {
                (0x0064, 0xff9b) => Some(Ipv4Addr::new(last[12], last[13], last[14], last[15])),
                (0x2002, _) => Some(Ipv4Addr::from(u32::from(second) << 16 | u32::from(third))),
                _ => six.to_ipv4_mapped(),
            };
            match inner {
                Some(four) => is_public_4(four),
                // Global unicast, without what is kept for documents and Teredo.
                None => {
                    first & 0xe000 == 0x2000 && !(first == 0x2001 && (second < 0x0200 || second == 0x0db8))
                }
            }
        }
    }
}

/// RFC 6890 and what was added to it.
fn is_public_4(four: Ipv4Addr) -> bool {
    let [a, b, c, _] = four.octets();
    let is_inside = four.is_private() || four.is_loopback() || four.is_link_local() || four.is_multicast();
    let is_other = matches!(
        (a, b, c),
        (0, ..)
            | (100, 64..=127, _)
            | (192, 0, 0)
            | (192, 0, 2)
            | (192, 88, 99)
            | (198, 18..=19, _)
            | (198, 51, 100)
            | (203, 0, 113)
            | (240..=255, ..)
    );
    !is_inside && !is_other
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::config::Config;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::sync::atomic::AtomicBool;
    use std::time::{Duration, Instant};

    #[test]
    fn no_address_inside_is_one_of_the_web() {
        for inside in [
            "127.0.0.1",
            "10.0.0.7",
            "192.168.1.1",
            "172.16.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "198.18.0.1",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a00:1",
            "2002:a00:1::1",
            "2001:db8::1",
            "2001::1",
        ] {
            assert!(!is_public(inside.parse().unwrap()), "{inside}");
        }
        for outside in ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "64:ff9b::101:101", "2002:101:101::1"]
        {
            assert!(is_public(outside.parse().unwrap()), "{outside}");
        }
    }

    #[test]
    fn an_address_is_a_plain_one() {
        let url = Url::read("HTTPS://a.b/").unwrap_err();
        assert!(url.contains("no address"));
        let url = Url::read("https://A.example/x?y#z").unwrap();
        assert_eq!(
            (url.whole.as_str(), url.host.as_str(), url.port),
            ("https://a.example:443/x?y", "a.example", 443)
        );
        assert_eq!(Url::read("http://a.b:81?q").unwrap().whole, "http://a.b:81/?q");
        for bad in [
            "ftp://a.b/",
            "file:///etc/passwd",
            "http://a@b.c/",
            "http://a.b:0/",
            "http://a.b:x/",
            "http://[::1]/",
            "http://localhost/",
            "http://-a.b/",
            "http://a.b/ x",
            "http://a.b/\n",
            "a.b",
            "http:///x",
        ] {
            assert!(Url::read(bad).is_err(), "{bad}");
        }
    }

    /// A server that answers once with each of these.
    fn server(answers: Vec<String>) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut head = [0; 4096];
                let _ = stream.read(&mut head);
                let answer = answer.replace("PORT", &port.to_string());
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        port
    }

    fn told(head: &str, body: &str) -> String {
        format!("HTTP/1.1 {head}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    }

    /// What is told of the page `/` of a host with these answers.
    fn get(host: &str, answers: Vec<String>, may: fn(IpAddr) -> bool) -> Result<String, String> {
        let wishes = Wishes::default();
        let text = "[web]\nallow = [\"127.0.0.1\", \"0.0.0.0\"]\n";
        wishes.set(Config::read("tools.toml", text, &[], &[]).unwrap().0);
        let port = server(answers);
        let spec = Web { wishes: wishes.clone(), may }.spec();
        let wanted = tools::Wanted {
            tool: "web.fetch".into(),
            arguments: [("url".to_owned(), format!("http://{host}:{port}/").into())].into_iter().collect(),
        };
        let asker = tools::Asker { origin: tools::Origin::Person, who: "a test".into(), talk: None };
        let call = Call::new(&spec, &wanted, asker).unwrap();
        let stop = AtomicBool::new(false);
        let limits =
            Limits { deadline: Instant::now() + Duration::from_secs(60), output_max: 1 << 16, stop: &stop };
        Web { wishes, may }.run(&call, &limits)
    }

    #[test]
    fn a_page_is_shown_as_text_and_a_redirect_is_judged_like_a_page() {
        let page = told("200 OK\r\ncontent-type: text/html; charset=utf-8", "<p>Sunny.<script>x</script>");
        assert_eq!(get("127.0.0.1", vec![page.clone()], |_| true).unwrap(), "Sunny.\n");
        let there = told("302 Found\r\nlocation: http://0.0.0.0:PORT/x", "");
        assert_eq!(get("127.0.0.1", vec![there.clone(), page], |_| true).unwrap(), "Sunny.\n");
        let out = told("302 Found\r\nlocation: http://10.0.0.1:PORT/x", "");
        assert!(get("127.0.0.1", vec![out], |_| true).unwrap_err().contains("10.0.0.1 is not allowed"));
        let inside = get("127.0.0.1", vec![there.clone()], |address| address != IpAddr::from([0, 0, 0, 0]));
        assert!(inside.unwrap_err().contains("leads to 0.0.0.0"));
        assert!(get("127.0.0.1", vec![there; 6], |_| true).unwrap_err().contains("redirects"));
    }

    #[test]
    fn what_is_no_page_or_too_long_is_told() {
        let image = told("200 OK\r\ncontent-type: image/png", "x");
        assert!(
            get("127.0.0.1", vec![image], |_| true).unwrap_err().contains("is no text but \"image/png\"")
        );
        assert!(
            get("127.0.0.1", vec![told("404 No", "")], |_| true).unwrap_err().contains("answers with 404")
        );
        let long = told("200 OK\r\ncontent-type: text/plain", &"x".repeat(PAGE_BYTES_MAX + 1));
        assert!(get("127.0.0.1", vec![long], |_| true).unwrap_err().contains("cannot be read"));
        assert!(get("127.0.0.1", vec![], is_public).unwrap_err().contains("leads to 127.0.0.1"));
    }
}
