//! A model that was just loaded reads a line and writes a few tokens, so that everybody knows how fast it is before the
//! first request.

use super::backend::{Backend, Event, Manner, Work};
use super::figures::Figures;
use std::time::Instant;

const LINE: &str = "Two PCs, both alike in dignity, in a fair cluster where we lay our scene.";
const TOKENS: u32 = 3;

/// What goes wrong here goes wrong in the first request too, and is told there.
pub fn rehearse(backend: &mut impl Backend, figures: &Figures) {
    let Ok(mut tokens) = backend.model().tokenise(LINE, true, false) else { return };
    let shape = backend.shape();
    tokens.truncate(shape.n_rows.min(shape.n_ctx as usize / 2));
    if shape.n_ahead > 1 || backend.open(0, 0, Manner::default()).is_err() {
        return;
    }
    let mut at = 0;
    for _ in 0..=TOKENS {
        let n = tokens.len();
        let work = Work { slot: 0, at, tokens: std::mem::take(&mut tokens), choose: true };
        let start = Instant::now();
        backend.begin(vec![work]);
        let Some(Event::Done { end, chosen: Some(chosen), .. }) = backend.wait().pop() else { break };
        let (read, written) = if n > 1 { (n, 0) } else { (0, n) };
        figures.step(read, written, start.elapsed());
        (at, tokens) = (end, vec![chosen.token]);
    }
    backend.close(0);
}
