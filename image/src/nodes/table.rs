//! The table of `duet nodes list`: one line a PC, who needs the owner first, then the last failures.
//!
//! Pure: a view in, text out. Columns are as wide as their matter.

use crate::serve::enrol::view::{NodeView, Nodes, State};
use std::fmt::Write;

/// Failures under the table.
const FAILURES_SHOWN_MAX: usize = 8;
const COLUMNS: usize = 10;

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
    fn an_empty_cluster_says_so() {
        assert!(render(&nodes(vec![])).ends_with("No PC has called yet.\n"));
    }
}
