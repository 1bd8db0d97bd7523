//! Shows what happens: a live table on a terminal, plain lines, or JSON lines.

use super::{Shared, table, view};
use rustix::termios::{isatty, tcgetwinsize};
use std::io::{Write, stdout};
use std::sync::Arc;
use std::time::Duration;

/// The table is redrawn, and lines are written, this often.
const TURN: Duration = Duration::from_millis(250);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// Redrawn in place.
    Table { colours: bool },
    /// One sentence a line.
    Plain,
    /// One JSON object a line.
    Json,
    /// Nothing, for a server inside another program.
    Silent,
}

impl Show {
    /// What fits the wishes and the terminal. `NO_COLOR` is that of no-color.org.
    pub fn choose(json: bool, plain: bool) -> Show {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        match (json, plain || dumb || !isatty(stdout())) {
            (true, _) => Show::Json,
            (false, true) => Show::Plain,
            (false, false) => {
                Show::Table { colours: std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()) }
            }
        }
    }
}

/// Shows for ever.
pub async fn serve(show: Show, shared: Arc<Shared>) {
    let mut screen = Screen::default();
    loop {
        turn(show, &shared, &mut screen);
        tokio::time::sleep(TURN).await;
    }
}

/// What is drawn now, so that it can be drawn over.
#[derive(Default)]
pub struct Screen {
    lines: usize,
    drawn: Option<(u64, u64)>,
}

/// Shows what is new. Nobody reading (a closed pipe) is no reason to stop serving.
pub fn turn(show: Show, shared: &Shared, screen: &mut Screen) {
    let mut text = String::new();
    loop {
        let Some(event) = shared.desk().poll() else { break };
        match show {
            Show::Plain => text += &(event.line() + "\n"),
            Show::Json => text += &(event.json() + "\n"),
            Show::Table { .. } | Show::Silent => {}
        }
    }
    if let Show::Table { colours } = show {
        text = redraw(shared, colours, screen).unwrap_or_default();
    }
    if !text.is_empty() {
        let mut out = stdout().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

/// The table anew, or `None` when nothing changed within this second.
fn redraw(shared: &Shared, colours: bool, screen: &mut Screen) -> Option<String> {
    let now_ms = shared.now_ms();
    let snapshot = view::snapshot(&shared.desk(), now_ms);
    let drawn = Some((snapshot.version, now_ms / 1000));
    if screen.drawn == drawn {
        return None;
    }
    screen.drawn = drawn;
    let (columns, rows) = size();
    let table = table::draw(&snapshot, columns, rows, colours);
    // Up over the old table, each line cleared to its end as it is written, and what was below it cleared too.
    let up = if screen.lines > 0 { format!("\u{1b}[{}A\r", screen.lines) } else { String::new() };
    screen.lines = table.lines().count();
    Some(format!("{up}{}\u{1b}[J", table.replace('\n', "\u{1b}[K\n")))
}

fn size() -> (usize, usize) {
    match tcgetwinsize(stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
        _ => (80, 24),
    }
}
