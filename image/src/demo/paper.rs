//! What the demo tells: lines of styled words, for a terminal, as plain text and as a picture (SVG) of a terminal.
//!
//! Pure but for [`Paper::tell`], which also shows each line as it comes.

use std::fmt::Write;
use std::time::{Duration, Instant};

/// A terminal that everybody has.
pub const COLUMNS: usize = 80;
/// Of a picture: pixels for one letter, one line, and round all of it.
const LETTER: f64 = 8.4;
const LINE: usize = 19;
const EDGE: usize = 18;
/// A person sees a whole run in so long, and the end stays.
const SHOWN_S: f64 = 14.0;
const LINES_MAX: usize = 400;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Plain,
    Dim,
    Bold,
    Good,
    Bad,
    /// A stage of a turn, by its place in [`STAGE_COLOURS`].
    Stage(usize),
}

/// Of the 256 colours of a terminal, and the same for a picture: listen, hear, answer, clause, voice, speak.
pub const STAGE_COLOURS: [(u8, &str); 6] = [
    (75, "#5fafff"),
    (79, "#5fd7af"),
    (179, "#d7af5f"),
    (173, "#d7875f"),
    (139, "#af87af"),
    (110, "#87afd7"),
];

/// Words of one style.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    pub text: String,
    pub style: Style,
}

pub fn words(style: Style, text: impl Into<String>) -> Words {
    Words { text: text.into(), style }
}

pub type Line = Vec<Words>;

/// Everything that was told, with its moments.
pub struct Paper {
    lines: Vec<(Duration, Line)>,
    began: Instant,
    shown: Shown,
    is_pictured: bool,
}

/// Where lines go as they come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    Terminal,
    Plain,
    /// Progress of a run whose result is data.
    Stderr,
}

impl Paper {
    /// A paper of which a picture is made has bars and colours, wherever its lines go meanwhile.
    pub fn new(shown: Shown, is_pictured: bool) -> Paper {
        Paper { lines: vec![], began: Instant::now(), shown, is_pictured }
    }

    /// Whether bars and colours are seen.
    pub fn is_drawn(&self) -> bool {
        self.is_pictured || self.shown == Shown::Terminal
    }

    pub fn tell(&mut self, line: Line) {
        match self.shown {
            Shown::Terminal => println!("{}", coloured(&line)),
            Shown::Plain => println!("{}", plain(&line)),
            Shown::Stderr => eprintln!("{}", plain(&line)),
        }
        if self.lines.len() < LINES_MAX {
            self.lines.push((self.began.elapsed(), line));
        }
    }

    pub fn picture(&self) -> String {
        picture(&self.lines)
    }
}

/// Without spaces at its end.
pub fn plain(line: &Line) -> String {
    let text: String = line.iter().map(|words| words.text.as_str()).collect();
    text.trim_end().to_owned()
}

pub fn coloured(line: &Line) -> String {
    let mut text = String::new();
    for words in line {
        let code = match words.style {
            Style::Plain => String::new(),
            Style::Dim => "2".to_owned(),
            Style::Bold => "1".to_owned(),
            Style::Good => "32".to_owned(),
            Style::Bad => "31".to_owned(),
            Style::Stage(idx) => format!("38;5;{}", STAGE_COLOURS[idx % STAGE_COLOURS.len()].0),
        };
        let _ = match code.as_str() {
            "" => write!(text, "{}", words.text),
            code => write!(text, "\u{1b}[{code}m{}\u{1b}[0m", words.text),
        };
    }
    text
}

/// A terminal as a picture: each line appears when it did, a whole run in some seconds; whoever wants no movement sees the end.
fn picture(lines: &[(Duration, Line)]) -> String {
    let widest = lines.iter().map(|(_, line)| plain(line).chars().count()).max().unwrap_or(0).max(COLUMNS);
    let (width, height) = ((widest as f64 * LETTER) as usize + 2 * EDGE, lines.len() * LINE + 2 * EDGE);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         font-family=\"ui-monospace,Menlo,Consolas,monospace\" font-size=\"14\">\n\
         <title>A run of duet demo, as its terminal showed it</title>\n\
         <style>text{{white-space:pre;fill:#d8dee9}}.dim{{fill:#7b869a}}.bold{{font-weight:bold;fill:#fff}}\
         .good{{fill:#8fd694}}.bad{{fill:#ff7b72}}"
    );
    for (idx, (_, colour)) in STAGE_COLOURS.iter().enumerate() {
        let _ = write!(text, ".s{idx}{{fill:{colour}}}");
    }
    let _ = write!(
        text,
        "@media (prefers-reduced-motion:no-preference){{g{{animation:come .3s both}}\
         @keyframes come{{from{{opacity:0}}}}}}</style>\n\
         <rect width=\"{width}\" height=\"{height}\" rx=\"10\" fill=\"#11151c\"/>\n"
    );
    let whole = lines.last().map_or(1.0, |(at, _)| at.as_secs_f64()).max(0.001);
    for (idx, (at, line)) in lines.iter().enumerate() {
        let delay = at.as_secs_f64() / whole * SHOWN_S;
        let y = EDGE + idx * LINE + LINE - 5;
        let _ = write!(text, "<g style=\"animation-delay:{delay:.1}s\">");
        let mut column = 0;
        for words in line {
            let n_letters = words.text.chars().count();
            if !words.text.trim().is_empty() {
                let x = EDGE as f64 + column as f64 * LETTER;
                // A bar of blocks has gaps in some fonts, so its length is fixed.
                let length = n_letters as f64 * LETTER;
                let class = class(words.style);
                let said = escaped(&words.text);
                let _ = write!(
                    text,
                    "<text x=\"{x:.1}\" y=\"{y}\" textLength=\"{length:.1}\" lengthAdjust=\"spacingAndGlyphs\"{class}>{said}</text>"
                );
            }
            column += n_letters;
        }
        text += "</g>\n";
    }
    text + "</svg>\n"
}

fn class(style: Style) -> String {
    let name = match style {
        Style::Plain => return String::new(),
        Style::Dim => "dim".to_owned(),
        Style::Bold => "bold".to_owned(),
        Style::Good => "good".to_owned(),
        Style::Bad => "bad".to_owned(),
        Style::Stage(idx) => format!("s{}", idx % STAGE_COLOURS.len()),
    };
    format!(" class=\"{name}\"")
}

/// What a node said is no markup.
fn escaped(text: &str) -> String {
    let seen = text.chars().filter(|c| !c.is_control());
    seen.fold(String::new(), |mut out, c| {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            c => out.push(c),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Line {
        vec![words(Style::Dim, "heard "), words(Style::Stage(1), "<b> & more  ")]
    }

    #[test]
    fn plain_lines_have_no_colours_and_no_spaces_at_their_end() {
        assert_eq!(plain(&line()), "heard <b> & more");
    }

    #[test]
    fn colours_end_with_their_words() {
        assert_eq!(coloured(&line()), "\u{1b}[2mheard \u{1b}[0m\u{1b}[38;5;79m<b> & more  \u{1b}[0m");
    }

    #[test]
    fn a_picture_has_each_line_at_its_moment_and_no_markup_of_others() {
        let svg = picture(&[(Duration::ZERO, line()), (Duration::from_secs(100), line())]);
        assert!(svg.contains("animation-delay:0.0s") && svg.contains("animation-delay:14.0s"), "{svg}");
        assert!(svg.contains("&lt;b&gt; &amp; more") && !svg.contains("<b>"), "{svg}");
        assert!(svg.contains("prefers-reduced-motion"), "{svg}");
    }

    #[test]
    fn a_picture_of_nothing_is_one() {
        assert!(picture(&[]).ends_with("</svg>\n"));
    }
}
