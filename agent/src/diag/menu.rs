//! What can be typed at the diagnosis, and which part of the status is meant: pure.

/// What a person wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    Overview,
    Help,
    /// Lines of the status with these names.
    Part(&'static [&'static str]),
    Status,
    /// So many last lines; what fits a screen where nobody says.
    Log {
        n_lines: Option<usize>,
    },
    /// Opens and closes the ear.
    Talk,
    Sound,
    Devices,
    Choose(Choice),
    Level,
    Keys,
    Memory,
    Models,
    Reboot,
    Shell,
    /// To be answered as if it had been said.
    Ask(String),
    Unknown(String),
}

/// Of the sound devices, by the numbers that `d` shows; 0 is the first that there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    Microphone(usize),
    Speaker(usize),
    Volume(u8),
}

/// A screen less the prompt.
pub const ROWS: usize = 22;
/// Lines of the log that the journal gives at most.
const LOG_LINES_MAX: usize = 1000;

pub const HELP: &str = "\
Type a letter, then Enter.  Enter alone shows how this PC is.
 s  the whole status      n  network and boot      c  cluster
 u  units                 v  voice and last turns  l  log (l 200: more lines)
 a  sound: tone, record   m  microphone's level    k  keys
 y  test the memory       g  ask the models        t  talk, and end it
 d  sound devices         (d m 1, d s 1: take them; d v 50: volume)
 r  reboot                x  root shell            ?  this
What is longer is a question: what time is it
";

const OVERVIEW: &[&str] = &[
    "node", "health", "page", "closed", "cluster", "memory", "network", "hearing", "voice", "workflow",
    "failed",
];
pub const NETWORK: &[&str] =
    &["node", "health", "page", "closed", "network", "cluster", "release", "boot", "kernel"];
pub const CLUSTER: &[&str] = &["cluster", "closed"];
pub const UNITS: &[&str] = &["health", "unit", "failed"];
pub const VOICE: &[&str] =
    &["sound", "keys", "hearing", "voice", "microphone", "speaker", "talk keys", "mouth", "turn"];

/// What a line means.
pub fn parse(line: &str) -> Command {
    let line = line.trim();
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    match (word.to_ascii_lowercase().as_str(), rest.trim()) {
        ("", _) => Command::Overview,
        ("l", rest) => match (rest, rest.parse()) {
            ("", _) => Command::Log { n_lines: None },
            (_, Ok(n_lines)) => Command::Log { n_lines: Some(usize::min(n_lines, LOG_LINES_MAX)) },
            _ => Command::Unknown(line.into()),
        },
        ("d", rest) if !rest.is_empty() => {
            choice(rest).map_or_else(|| Command::Unknown(line.into()), Command::Choose)
        }
        (letter, "") if letter.len() == 1 => match letter {
            "?" | "h" => Command::Help,
            "s" => Command::Status,
            "n" => Command::Part(NETWORK),
            "c" => Command::Part(CLUSTER),
            "u" => Command::Part(UNITS),
            "v" => Command::Part(VOICE),
            "t" => Command::Talk,
            "a" => Command::Sound,
            "d" => Command::Devices,
            "m" => Command::Level,
            "k" => Command::Keys,
            "y" => Command::Memory,
            "g" => Command::Models,
            "r" => Command::Reboot,
            "x" => Command::Shell,
            letter => Command::Unknown(letter.into()),
        },
        _ => Command::Ask(line.into()),
    }
}

fn choice(words: &str) -> Option<Choice> {
    match words.split_once(char::is_whitespace)? {
        ("m", n) => Some(Choice::Microphone(n.trim().parse().ok()?)),
        ("s", n) => Some(Choice::Speaker(n.trim().parse().ok()?)),
        ("v", n) => Some(Choice::Volume(n.trim().parse().ok().filter(|percent| *percent <= 100)?)),
        _ => None,
    }
}

/// The lines of a status with these names, and those that go on below them.
pub fn part(status: &str, names: &[&str]) -> String {
    let mut is_meant = false;
    let mut text = String::new();
    for line in status.lines() {
        if !line.starts_with(' ') {
            is_meant = names.iter().any(|name| {
                line.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
            });
        }
        if is_meant {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// What fits a screen at the beginning of a text.
pub fn overview(status: &str) -> String {
    let text = part(status, OVERVIEW);
    let lines: Vec<&str> = text.lines().collect();
    let mut shown = lines[..lines.len().min(ROWS - 2)].join("\n");
    if lines.len() > ROWS - 2 {
        shown.push_str("\n           ... more: s");
    }
    shown + "\n"
}

/// The last lines of a log.
pub fn tail(log: &str, n_lines: usize) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(n_lines)..].iter().map(|line| format!("{line}\n")).collect()
}

/// A text in letters and rows that the screen has: a line that is too long goes on in the next.
pub fn rows(text: &str, columns: usize) -> Vec<String> {
    let cut = |line: &str| -> Vec<String> {
        let letters: Vec<char> = line.chars().map(crate::text::plain).collect();
        match letters.is_empty() {
            true => vec![String::new()],
            false => letters.chunks(columns - 1).map(|part| part.iter().collect()).collect(),
        }
    };
    text.lines().flat_map(cut).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_a_command_and_words_are_a_question() {
        assert_eq!(parse(" N \r"), Command::Part(NETWORK));
        assert_eq!(parse(""), Command::Overview);
        assert_eq!(parse("l"), Command::Log { n_lines: None });
        assert_eq!(parse("l 200"), Command::Log { n_lines: Some(200) });
        assert_eq!(parse("l 99999999"), Command::Log { n_lines: Some(LOG_LINES_MAX) });
        assert_eq!(parse("l x"), Command::Unknown("l x".into()));
        assert_eq!(parse("d s 2"), Command::Choose(Choice::Speaker(2)));
        assert_eq!(parse("d v 50"), Command::Choose(Choice::Volume(50)));
        assert_eq!(parse("d v 101"), Command::Unknown("d v 101".into()));
        assert_eq!(parse("d m x"), Command::Unknown("d m x".into()));
        assert_eq!(parse("q"), Command::Unknown("q".into()));
        assert_eq!(parse("what time is it"), Command::Ask("what time is it".into()));
        assert_eq!(parse("hello"), Command::Ask("hello".into()));
    }

    #[test]
    fn every_letter_of_the_help_is_a_command() {
        let mut n_letters = 0;
        for line in HELP.lines().filter(|line| line.starts_with(' ')) {
            for letter in line.split("  ").map(str::trim).filter(|part| part.len() == 1) {
                n_letters += 1;
                assert!(
                    !matches!(parse(letter), Command::Unknown(_) | Command::Overview),
                    "{letter:?} in {line}"
                );
            }
        }
        assert_eq!(n_letters, 16);
        assert!(HELP.lines().count() < ROWS && HELP.lines().all(|line| line.len() < 80));
    }

    #[test]
    fn a_part_has_its_lines_and_those_below_them() {
        let status =
            "node       pc1\ncluster    2 nodes\n           pc2 alive\ncluster2   no\nkeys       x\n";
        assert_eq!(part(status, &["cluster"]), "cluster    2 nodes\n           pc2 alive\n");
        assert_eq!(part(status, &["keys", "node"]), "node       pc1\nkeys       x\n");
    }

    #[test]
    fn the_overview_fits_a_screen() {
        let status: String = (0..100).map(|n| format!("network    eth{n}\n")).collect();
        assert!(overview(&status).lines().count() < ROWS && overview(&status).contains("more: s"));
        assert_eq!(overview("node       pc1\nunit       x\n"), "node       pc1\n");
    }

    #[test]
    fn a_log_is_shown_from_its_end() {
        assert_eq!(tail("1\n2\n3\n", 2), "2\n3\n");
        assert_eq!(tail("1\n", 22), "1\n");
    }

    #[test]
    fn rows_are_no_wider_than_the_screen() {
        let text = format!("{}\n\n\u{1b}[2J\n{}", "x".repeat(200), "y\n".repeat(50));
        let rows = rows(&text, 80);
        assert!(rows.iter().all(|row| row.len() < 80));
        assert_eq!(rows.iter().filter(|row| row.starts_with('x')).count(), 3);
        assert_eq!((rows[3].as_str(), rows[4].as_str(), rows.len()), ("", "?[2J", 55));
    }
}
