//! The live table on a terminal.
//!
//! Pure: a snapshot and the terminal's size in, text out. Colours are the caller's wish.

use super::text::{cut, duration};
use super::view::{PcView, Snapshot, State};

/// Below this width a table helps nobody; it is drawn as wide as this and wraps.
const COLUMNS_MIN: usize = 40;
const COLUMNS_MAX: usize = 140;
const BAR: usize = 9;

/// The whole table, at most `rows` lines of at most `columns` characters.
pub fn draw(snapshot: &Snapshot, columns: usize, rows: usize, colours: bool) -> String {
    let columns = columns.clamp(COLUMNS_MIN, COLUMNS_MAX);
    let server = &snapshot.server;
    let release = server.release.as_deref().unwrap_or("no release yet");
    let title =
        format!("duet serves {release} on {} (DHCP: {})  {}", server.interface, server.dhcp, server.url);
    let mut lines = vec![paint(&cut(&title, columns), "1", colours), String::new()];
    // Title, two empty lines, "and more", the last line and the cursor below it have their place in any case.
    let notes = server.notes.iter().take(3);
    let room = rows.saturating_sub(6 + notes.len()).max(1);
    lines.extend(snapshot.pcs.iter().take(room).map(|pc| row(pc, columns, colours)));
    if snapshot.pcs.is_empty() {
        lines.push("no PC has asked yet: switch one on and let it boot from the network".to_owned());
    }
    if snapshot.pcs.len() > room {
        lines.push(format!("and {} more, see {}", snapshot.pcs.len() - room, server.url));
    }
    lines.push(String::new());
    lines.extend(notes.map(|note| paint(&cut(&format!("! {note}"), columns), "33", colours)));
    let up = duration((server.up_s * 1000.0) as u64);
    lines.push(paint(&cut(&format!("up {up}, Ctrl-C stops"), columns), "2", colours));
    lines.join("\n") + "\n"
}

/// `● kitchen          ▰▰▰▰▰▰▱▱▱  root: 20.0 of 40.0 MB, 11.0 MB/s`
fn row(pc: &PcView, columns: usize, colours: bool) -> String {
    let name_columns = if columns >= 80 { 20 } else { 12 };
    let (mark, colour) = match pc.state {
        State::Healthy => ("●", "32"),
        State::Booting => ("◐", "36"),
        State::Failed => ("✗", "31"),
        State::Silent => ("?", "33"),
        State::Known => ("○", "2"),
    };
    let reason = pc.reason.as_ref().map(|reason| format!("; {reason}")).unwrap_or_default();
    let said = cut(&format!("{}{reason}", pc.line), columns.saturating_sub(name_columns + BAR + 6));
    let name = cut(&pc.name, name_columns);
    let bar = bar(pc);
    format!(
        "{} {name:<name_columns$}  {}  {said}",
        paint(mark, colour, colours),
        paint(&bar, colour, colours)
    )
}

fn bar(pc: &PcView) -> String {
    let reached = pc.stage.map_or(0, |stage| stage as usize + 1);
    (0..BAR).map(|idx| if idx < reached { '▰' } else { '▱' }).collect()
}

fn paint(text: &str, colour: &str, colours: bool) -> String {
    if colours { format!("\u{1b}[{colour}m{text}\u{1b}[0m") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::example;

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for columns in [40, 80, 200] {
            let table = draw(&example::snapshot(), columns, 24, false);
            let widest = table.lines().map(|line| line.chars().count()).max();
            assert!(widest <= Some(columns), "{widest:?} of {columns}\n{table}");
        }
    }

    #[test]
    fn the_table_is_never_higher_than_the_terminal() {
        for rows in [8, 10, 24, 100] {
            let table = draw(&example::snapshot(), 80, rows, false);
            assert!(table.lines().count() < rows, "{rows} rows\n{table}");
        }
    }

    #[test]
    fn colours_come_only_when_wished() {
        assert!(!draw(&example::snapshot(), 80, 24, false).contains('\u{1b}'));
        assert!(draw(&example::snapshot(), 80, 24, true).contains("\u{1b}[32m●\u{1b}[0m"));
    }

    #[test]
    fn every_pc_has_its_line() {
        let table = draw(&example::snapshot(), 80, 24, false);
        assert!(table.contains("● kitchen               ▰▰▰▰▰▰▰▰▰  healthy after 31 s"), "{table}");
    }
}
