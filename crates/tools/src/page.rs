//! The text of a web page: what a person would read, without tags, scripts and styles.
//!
//! One pass over the bytes, whatever is in them; it draws no page and believes no tag.

/// Elements whose text nobody reads.
const SILENT: [&str; 7] = ["script", "style", "noscript", "template", "svg", "iframe", "head"];
/// Elements that begin a line of their own.
const BLOCKS: [&str; 26] = [
    "address",
    "article",
    "aside",
    "blockquote",
    "br",
    "dd",
    "div",
    "dl",
    "dt",
    "footer",
    "form",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hr",
    "li",
    "main",
    "p",
    "pre",
    "section",
    "table",
    "tr",
];
const ENTITY_BYTES_MAX: usize = 10;

/// Lines without blanks around them.
pub fn text(html: &str) -> String {
    let mut text = Text::default();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        text.push(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("<!--") {
            rest = after.find("-->").map_or("", |end| &after[end + 3..]);
            continue;
        }
        let name: String = rest[1..]
            .trim_start_matches('/')
            .chars()
            .take_while(char::is_ascii_alphanumeric)
            .take(16)
            .collect::<String>()
            .to_ascii_lowercase();
        let is_tag = rest[1..]
            .starts_with(|letter: char| letter.is_ascii_alphabetic() || matches!(letter, '/' | '!' | '?'));
        if !is_tag {
            text.push("<");
            rest = &rest[1..];
            continue;
        }
        let is_begin = !rest.starts_with("</");
        rest = rest.find('>').map_or("", |end| &rest[end + 1..]);
        if is_begin && SILENT.contains(&name.as_str()) {
            rest = past(rest, &name);
        }
        if BLOCKS.contains(&name.as_str()) {
            text.line();
        } else if name == "td" || name == "th" {
            text.push(" ");
        }
    }
    text.push(rest);
    text.line();
    text.whole
}

/// Behind the end of an element whose text nobody reads; one that never ends takes all that follows.
fn past<'a>(rest: &'a str, name: &str) -> &'a str {
    let mut at = 0;
    while let Some(next) = rest[at..].find("</") {
        let tag = &rest[at + next + 2..];
        if tag.get(..name.len()).is_some_and(|other| other.eq_ignore_ascii_case(name)) {
            return tag.find('>').map_or("", |end| &tag[end + 1..]);
        }
        at += next + 2;
    }
    ""
}

#[derive(Default)]
struct Text {
    whole: String,
    line: String,
}

impl Text {
    fn push(&mut self, mut html: &str) {
        while let Some(at) = html.find('&') {
            self.words(&html[..at]);
            let (letter, n_bytes) = entity(&html[at..]);
            self.words(letter.encode_utf8(&mut [0; 4]));
            html = &html[at + n_bytes..];
        }
        self.words(html);
    }

    /// Blanks in a row are one.
    fn words(&mut self, text: &str) {
        for letter in text.chars() {
            match letter.is_whitespace() || letter.is_control() {
                true if self.line.ends_with(' ') || self.line.is_empty() => {}
                true => self.line.push(' '),
                false => self.line.push(letter),
            }
        }
    }

    fn line(&mut self) {
        let line = self.line.trim();
        if !line.is_empty() {
            self.whole.push_str(line);
            self.whole.push('\n');
        }
        self.line.clear();
    }
}

/// A letter, and how many bytes it took; what is no entity is an ampersand.
fn entity(html: &str) -> (char, usize) {
    let end = html.bytes().take(ENTITY_BYTES_MAX).position(|byte| byte == b';');
    let Some(end) = end else { return ('&', 1) };
    let name = &html[1..end];
    let letter = match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        "nbsp" => Some(' '),
        _ => name.strip_prefix('#').and_then(|number| {
            let hex = number.strip_prefix(['x', 'X']);
            let code = hex.map_or_else(|| number.parse().ok(), |hex| u32::from_str_radix(hex, 16).ok());
            code.and_then(char::from_u32)
        }),
    };
    letter.map_or(('&', 1), |letter| (letter, end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(html: &str, want: &str) {
        assert_eq!(text(html), want, "{html}");
    }

    #[test]
    fn what_a_person_reads_is_left() {
        check("<h1>A  b</h1><p>c\n d<br>e</p>", "A b\nc d\ne\n");
        check("<head><title>x</title></head><body>a<script>b</SCRIPT >c<style>d", "ac\n");
        check("a<!-- <p>b -->c &amp; d&nbsp;&#228;&#x41;&unknown;&", "ac & d äA&unknown;&\n");
        check("1 < 2 <a href='x'>link</a>", "1 < 2 link\n");
        check("<td>a<td>b<tr>c", "a b\nc\n");
    }

    #[test]
    fn nonsense_is_no_panic() {
        for html in
            ["<", "</", "<!--", "<script", "<script>", "&#xffffffff;", "&#;", "<é>", "&é;", "<p", "</é"]
        {
            text(html);
        }
        check("", "");
        assert!(text(&"<".repeat(50_000)).len() < 60_000);
    }
}
