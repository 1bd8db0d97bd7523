//! The table of `duet nodes list`: one line a PC, who needs the owner first, then the last failures.
//!
//! Pure: a view in, text out. Columns are as wide as their matter; the lines on models below them fit 80 columns.

use crate::serve::enrol::view::{NodeView, Nodes, State};
use admission::ModelsTold;
use std::fmt::Write;

/// Failures under the table.
const FAILURES_SHOWN_MAX: usize = 8;
const COLUMNS: usize = 10;
/// Width of a line that is not of the table.
const LINE_COLUMNS: usize = 79;
/// Room for the names of PCs before what is said of their models.
const NAME_COLUMNS_MAX: usize = 24;

pub fn render(nodes: &Nodes) -> String {
    let mut text = String::new();
    let ring = match nodes.ring_next {
        Some(next) => format!("ring key {}, {next} on its way", nodes.ring),
        None => format!("ring key {}", nodes.ring),
    };
    let window = match (nodes.policy.as_str(), nodes.window_open_s) {
        ("window", 0) => ", the window is closed".to_owned(),
        ("window", left) => format!(", the window is open for {}", duration(left)),
        _ => String::new(),
    };
    let _ = writeln!(text, "cluster {}, policy {}{window}, {ring}\n", nodes.cluster, nodes.policy);
    if nodes.nodes.is_empty() {
        text.push_str("No PC has called yet.\n");
    } else {
        table(&mut text, nodes);
    }
    let waiting = nodes.nodes.iter().filter(|node| node.state == State::WaitingForApproval).count();
    if waiting > 0 {
        let _ = writeln!(text, "\nCompare the digits with the PC's screen, then: duet nodes approve DIGITS");
    }
    models(&mut text, nodes);
    if !nodes.failures.is_empty() {
        text.push_str("\nLast failures:\n");
    }
    for failure in nodes.failures.iter().take(FAILURES_SHOWN_MAX) {
        let when = crate::calendar::Moment::of(failure.unix_s).minutes();
        let _ = writeln!(text, "  {when}  {}  {}", failure.mac, failure.sentence);
    }
    text
}

fn table(text: &mut String, nodes: &Nodes) {
    let head = ["NAME", "STATE", "GOSSIP", "TIER", "CODE", "MAC", "ADDRESS", "CALLED", "FAILURES", "ID"]
        .map(str::to_owned);
    let rows: Vec<[String; COLUMNS]> = [head].into_iter().chain(nodes.nodes.iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; COLUMNS] = std::array::from_fn(width);
    for row in &rows {
        let cells: Vec<String> =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        let _ = writeln!(text, "{}", cells.join("  ").trim_end());
    }
}

fn row(node: &NodeView) -> [String; COLUMNS] {
    let or_dash = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    [
        node.name.clone(),
        node.state.as_str().to_owned(),
        or_dash(&node.gossip),
        or_dash(&node.tier),
        or_dash(&node.code),
        node.mac.clone(),
        or_dash(&node.address),
        format!("{} ago", duration(node.called_s_ago)),
        if node.n_failures == 0 { "-".to_owned() } else { node.n_failures.to_string() },
        node.id.clone(),
    ]
}

/// How far the models of each PC are, and why one does not come.
fn models(text: &mut String, nodes: &Nodes) {
    let told: Vec<(&NodeView, &ModelsTold)> =
        nodes.nodes.iter().filter_map(|node| Some((node, node.models.as_ref()?))).collect();
    let width = told.iter().map(|(node, _)| node.name.chars().count()).max().unwrap_or(0);
    let width = width.min(NAME_COLUMNS_MAX);
    for (idx, (node, told)) in told.into_iter().enumerate() {
        let _ = writeln!(
            text,
            "{}{:<width$}  models {}",
            if idx == 0 { "\n" } else { "" },
            node.name,
            told.line()
        );
        for refused in &told.refused {
            indented(text, &format!("{}: {}", refused.file, refused.why));
        }
    }
}

/// Words in as many lines as they need; a word that is too long for one is cut.
fn indented(text: &mut String, words: &str) {
    const INDENT: &str = "    ";
    let room = LINE_COLUMNS - INDENT.len();
    let mut line = String::from("!");
    for word in words.split_whitespace() {
        let letters: Vec<char> = word.chars().collect();
        for part in letters.chunks(room) {
            if line.chars().count() + 1 + part.len() > room {
                let _ = writeln!(text, "{INDENT}{line}");
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.extend(part);
        }
    }
    let _ = writeln!(text, "{INDENT}{line}");
}

fn duration(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::enrol::book::Failure;
    use admission::Hardware;

    fn node(name: &str, state: State, code: Option<&str>) -> NodeView {
        NodeView {
            id: "00aabbccddeeff11".into(),
            name: name.into(),
            mac: "52:54:00:77:00:01".into(),
            address: Some("10.0.0.9".into()),
            state,
            code: code.map(str::to_owned),
            gossip: (state == State::Healthy).then(|| "alive".to_owned()),
            tier: (state == State::Healthy).then(|| "mid".to_owned()),
            models: None,
            sentence: None,
            approved: false,
            called_s_ago: 130,
            admitted_s_ago: None,
            certificate_expires_in_s: None,
            release: "trixie-1".into(),
            hardware: Hardware::default(),
            n_failures: 0,
            failures: vec![],
        }
    }

    fn nodes(nodes: Vec<NodeView>) -> Nodes {
        Nodes {
            cluster: "0102030405".into(),
            policy: "window".into(),
            window_open_s: 0,
            ring: 1,
            ring_next: Some(2),
            nodes,
            failures: vec![],
        }
    }

    #[test]
    fn the_table_is_aligned_and_says_what_to_do() {
        let mut nodes = nodes(vec![
            node("cellar", State::WaitingForApproval, Some("123 456")),
            node("duet-770002", State::Healthy, None),
        ]);
        nodes.failures.push(Failure {
            unix_s: 0,
            mac: "52:54:00:77:00:02".into(),
            sentence: "no boot".into(),
        });
        let want = "\
cluster 0102030405, policy window, the window is closed, ring key 1, 2 on its way

NAME         STATE          GOSSIP  TIER  CODE     MAC                ADDRESS   CALLED     FAILURES  ID
cellar       waits for you  -       -     123 456  52:54:00:77:00:01  10.0.0.9  2 min ago  -         00aabbccddeeff11
duet-770002  healthy        alive   mid   -        52:54:00:77:00:01  10.0.0.9  2 min ago  -         00aabbccddeeff11

Compare the digits with the PC's screen, then: duet nodes approve DIGITS

Last failures:
";
        let text = render(&nodes);
        assert!(text.starts_with(want), "{text}");
        assert!(text.ends_with("  52:54:00:77:00:02  no boot\n"), "{text}");
    }

    #[test]
    fn models_that_are_on_their_way_are_told_in_80_columns_with_what_is_refused() {
        let why = "there is no room: 540 MB are missing beside what lies here; a model that nobody wants makes room";
        let mut coming = ModelsTold::default();
        coming.add("ear.bin", true, 31, 31, "");
        coming.add("large.gguf", false, 31, 69, why);
        let mut whole = ModelsTold::default();
        whole.add("ear.bin", true, 31, 31, "");
        let models = [Some(coming), Some(whole), None];
        let names = ["cellar", "kitchen", "attic"];
        let all = names.into_iter().zip(models);
        let all = all.map(|(name, models)| NodeView { models, ..node(name, State::Healthy, None) });
        let text = render(&nodes(all.collect()));
        let want = "
cellar   models 1 of 2, 62 %
    ! large.gguf: there is no room: 540 MB are missing beside what lies here; a
    model that nobody wants makes room
kitchen  models 1 of 1
";
        assert!(text.ends_with(want), "{text}");
    }

    #[test]
    fn a_long_word_is_cut_and_never_lost() {
        let mut text = String::new();
        indented(&mut text, &format!("a {}", "é".repeat(200)));
        assert!(text.lines().all(|line| line.chars().count() < 80), "{text}");
        assert_eq!(text.matches('é').count(), 200);
    }

    #[test]
    fn an_empty_cluster_says_so() {
        assert!(render(&nodes(vec![])).ends_with("No PC has called yet.\n"));
    }
}
