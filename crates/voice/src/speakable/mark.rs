//! What is ink and not word: Markdown and ornaments.

/// A line without its Markdown.
pub fn bare(line: &str) -> String {
    let mut text = line.trim();
    for mark in ["###### ", "##### ", "#### ", "### ", "## ", "# ", "> ", "- ", "* ", "+ "] {
        text = text.strip_prefix(mark).unwrap_or(text).trim_start();
    }
    without_emphasis(&without_links(text))
}

/// `[text](address)` is its text, `![text](address)` as well.
fn without_links(mut text: &str) -> String {
    let mut bare = String::with_capacity(text.len());
    while let Some((before, shown, behind)) = link(text) {
        bare.push_str(before.strip_suffix('!').unwrap_or(before));
        bare.push_str(shown);
        text = behind;
    }
    bare.push_str(text);
    bare
}

/// The first link: what is before it, what it shows, what is behind it.
fn link(text: &str) -> Option<(&str, &str, &str)> {
    let middle = text.find("](")?;
    let open = text[..middle].rfind('[')?;
    let close = middle + text[middle..].find(')')?;
    let address = &text[middle + 2..close];
    let is_address = address.contains([':', '/', '.', '#']) && !address.contains(char::is_whitespace);
    is_address.then(|| (&text[..open], &text[open + 1..middle], &text[close + 1..]))
}

/// Stars, lines and ticks around words go; between two numbers a star is said as it stands.
fn without_emphasis(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let is_inside = |idx: usize, is: fn(&char) -> bool| {
        idx > 0 && chars.get(idx - 1).is_some_and(is) && chars.get(idx + 1).is_some_and(is)
    };
    let kept = chars.iter().enumerate().filter(|(idx, char)| match char {
        '*' => is_inside(*idx, char::is_ascii_digit),
        '_' => is_inside(*idx, |char| char.is_alphanumeric()),
        '`' => false,
        '~' => chars.get(idx + 1).is_some_and(char::is_ascii_digit),
        _ => true,
    });
    kept.map(|(_, char)| char).collect()
}

/// Letters, digits and what gives a voice its melody.
pub fn is_said(char: char) -> bool {
    char.is_alphanumeric() || ".,;:!?'’\"“”„()-/+%°€$£&=@".contains(char)
}
