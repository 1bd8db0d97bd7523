//! A turn as a person reads it: what was said, what came of it, and a bar for each stage; pure.

use super::paper::{COLUMNS, Line, Style, words};
use crate::vm::person::{Took, Turn};

/// The words before a line's matter, and a time behind a bar.
const NAME: usize = 10;
const TIME: usize = 10;
const BAR: usize = COLUMNS - 2 - NAME - TIME;
/// A long answer is cut.
const MATTER_LINES_MAX: usize = 4;
const CUT: &str = " ...";
const STAGES: [&str; 6] = ["listen", "hear", "answer", "clause", "voice", "speak"];
/// Eighths of a letter.
const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/// All lines of one turn. Where nothing is drawn, the stages are one line of words.
pub fn lines(number: usize, turn: &Turn, is_drawn: bool) -> Vec<Line> {
    let mut lines = vec![
        vec![],
        vec![
            words(Style::Bold, format!("Turn {number}")),
            words(Style::Plain, format!("  somebody says at {}: ", turn.node)),
            words(Style::Bold, turn.want.clone()),
        ],
    ];
    let mut add = |name: &str, text: &str, style| lines.extend(matter(name, text, style));
    add("heard", &turn.heard, Style::Plain);
    add("route", &turn.route, Style::Plain);
    if let Some(call) = &turn.tool {
        add("tool", &format!("{} {} {}", call.tool, call.arguments, call.outcome), Style::Plain);
    }
    add("by", &once_each(&turn.by).join(", "), Style::Plain);
    add("answer", &turn.answer, Style::Good);
    if turn.outcome != "answered" {
        add("end", &[vec![turn.outcome.clone()], turn.troubles.clone()].concat().join(", "), Style::Bad);
    }
    match is_drawn {
        true => lines.extend(bars(&turn.stages)),
        false => add_words(&mut lines, &turn.stages),
    }
    let silence = turn.silence_ms.map(|ms| format!("{} from the key to the first sound", seconds(ms)));
    let played = (turn.played_s > 0.0).then(|| format!("{:.1} s of sound out of the speaker", turn.played_s));
    let told: Vec<String> = silence.into_iter().chain(played).collect();
    lines.extend(matter("", &told.join(", "), Style::Dim));
    lines
}

/// Who answered, each once: one who chooses a tool and then says what it told is asked again and again.
fn once_each(by: &[String]) -> Vec<&str> {
    let who = |told: &str| told.split(" (").next().map(str::to_owned);
    let firsts =
        by.iter().enumerate().filter(|(idx, one)| !by[..*idx].iter().any(|old| who(old) == who(one)));
    firsts.map(|(_, one)| one.as_str()).collect()
}

/// A name, and text in as many lines as it needs.
fn matter(name: &str, text: &str, style: Style) -> Vec<Line> {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut rows: Vec<String> = vec![];
    for word in text.split_whitespace() {
        let fits = |row: &String| row.chars().count() + 1 + word.chars().count() <= COLUMNS - 2 - NAME;
        match rows.last_mut().filter(|row| fits(row)) {
            Some(row) => *row = format!("{row} {word}"),
            None => rows.push(word.chars().take(COLUMNS - 2 - NAME).collect()),
        }
    }
    if rows.len() > MATTER_LINES_MAX {
        rows.truncate(MATTER_LINES_MAX);
        let last = &mut rows[MATTER_LINES_MAX - 1];
        *last = last.chars().take(COLUMNS - 2 - NAME - CUT.len()).collect::<String>() + CUT;
    }
    let rows = rows.into_iter().enumerate();
    let name = |idx| if idx == 0 { name } else { "" };
    rows.map(|(idx, row)| vec![words(Style::Dim, format!("  {:<NAME$}", name(idx))), words(style, row)])
        .collect()
}

/// A bar for each stage, behind the one before.
fn bars(stages: &[Took]) -> Vec<Line> {
    let whole: f64 = stages.iter().map(|took| took.ms.max(0.0)).sum::<f64>().max(1.0);
    let mut from = 0.0;
    let mut bar = |took: &Took| {
        let style = Style::Stage(STAGES.iter().position(|stage| *stage == took.stage).unwrap_or(0));
        let begin = ((from / whole * BAR as f64) as usize).min(BAR - 1);
        let eighths = (took.ms.max(0.0) / whole * (8 * BAR) as f64).round() as usize;
        let eighths = eighths.clamp(1, 8 * (BAR - begin));
        let drawn = "█".repeat(eighths / 8) + EIGHTHS[eighths % 8];
        from += took.ms.max(0.0);
        let rest = BAR - begin - drawn.chars().count();
        vec![
            words(Style::Dim, format!("  {:<NAME$}", took.stage)),
            words(Style::Plain, " ".repeat(begin)),
            words(style, drawn),
            words(Style::Plain, " ".repeat(rest)),
            words(Style::Dim, format!("{:>TIME$}", seconds(took.ms))),
        ]
    };
    stages.iter().map(&mut bar).collect()
}

fn add_words(lines: &mut Vec<Line>, stages: &[Took]) {
    let told: Vec<String> =
        stages.iter().map(|took| format!("{} {}", took.stage, seconds(took.ms))).collect();
    lines.extend(matter("stages", &told.join(", "), Style::Plain));
}

fn seconds(ms: f64) -> String {
    format!("{:.2} s", ms / 1e3)
}

#[cfg(test)]
mod tests {
    use super::super::paper::plain;
    use super::*;

    fn turn() -> Turn {
        let took = |stage: &str, ms| Took { stage: stage.into(), ms };
        Turn {
            node: "pc1".into(),
            want: "tell me a joke".into(),
            heard: "tell me a joke".into(),
            route: "creative, because of joke".into(),
            tool: None,
            answer: "Why did the node cross the network? ".repeat(12),
            by: vec!["jester on pc2 (here, 1 of 2)".into(), "jester on pc2 (here, 2 of 2)".into()],
            outcome: "answered".into(),
            stages: vec![
                took("listen", 3000.0),
                took("hear", 500.0),
                took("answer", 0.0),
                took("speak", 1500.0),
            ],
            silence_ms: Some(900.0),
            played_s: 2.5,
            troubles: vec![],
        }
    }

    fn told(is_drawn: bool) -> Vec<String> {
        lines(2, &turn(), is_drawn).iter().map(plain).collect()
    }

    #[test]
    fn no_line_is_wider_than_a_terminal() {
        for line in told(true).iter().chain(&told(false)) {
            assert!(line.chars().count() <= COLUMNS, "{line:?}");
        }
    }

    #[test]
    fn each_stage_has_a_bar_behind_the_one_before_even_one_that_took_no_time() {
        let told = told(true);
        let bar = |stage: &str| {
            told.iter().rev().find(|line| line.starts_with(&format!("  {stage}"))).unwrap().clone()
        };
        let place =
            |line: &str| line.chars().position(|c| EIGHTHS[1..].concat().contains(c) || c == '█').unwrap();
        assert!(place(&bar("listen")) < place(&bar("hear")));
        assert!(place(&bar("hear")) < place(&bar("speak")));
        assert!(bar("listen").ends_with("3.00 s"), "{told:#?}");
        // The answer's own line comes first; the bar of its stage is the last of that name.
        assert!(
            told.iter().any(|line| line.starts_with("  answer") && line.ends_with("0.00 s")),
            "{told:#?}"
        );
    }

    #[test]
    fn without_a_terminal_the_stages_are_words() {
        let told = told(false);
        assert!(told.iter().any(|line| line.contains("listen 3.00 s, hear 0.50 s")), "{told:#?}");
        assert!(!told.concat().contains('█'), "{told:#?}");
    }

    #[test]
    fn who_answered_several_times_stands_there_once() {
        let told = told(false);
        assert!(told.iter().any(|line| line.ends_with("  jester on pc2 (here, 1 of 2)")), "{told:#?}");
    }

    #[test]
    fn a_long_answer_is_cut_and_says_so() {
        assert!(told(false).iter().any(|line| line.ends_with(" ...")));
    }

    #[test]
    fn a_turn_that_failed_says_how() {
        let turn = Turn { outcome: "no-answer".into(), troubles: vec!["nobody".into()], ..turn() };
        let told: Vec<String> = lines(1, &turn, false).iter().map(plain).collect();
        assert!(told.iter().any(|line| line.contains("no-answer, nobody")), "{told:#?}");
    }
}
