//! The drawing of fixed figures: what a reader of the docs sees.
//!
//! `UPDATE=1 cargo test -p tests --test golden_plot` rewrites it; look at it before you believe it.

#![allow(clippy::unwrap_used)] // A panic is how a test reports.

use image::bench::llm::figures::{Figures, Machine, Row};
use image::bench::plot;

fn row(kind: &str, stage: &str, stock: f64, ours: f64) -> Row {
    Row {
        model: "SmolLM2-135M".into(),
        kind: kind.into(),
        stage: stage.into(),
        threads: 1,
        load: false,
        stock_ms_per_token: stock,
        ours_ms_per_token: ours,
        ratio: stock / ours,
        stock_wall_ms_per_token: stock,
        ours_wall_ms_per_token: ours,
        layers: 30,
        layers_of_model: 30,
        width: 768,
        bytes: 96_000_000,
    }
}

#[test]
fn a_drawing_shows_stock_beside_ours_for_every_type() {
    let machine = Machine {
        processor: "Intel(R) Core(TM)2 Duo CPU E8400 @ 3.00GHz".into(),
        cores: 2,
        cache_bytes: 6 << 20,
        read_gb_per_s: 6.5,
    };
    let mut figures = Figures::new("ssse3".into(), machine);
    // A gain, a loss, and a type of which only one stage was measured.
    figures.rows = vec![
        row("Q4_K_M", "prompt", 89.5, 7.0),
        row("Q4_K_M", "decode", 115.6, 24.1),
        row("Q4_0", "prompt", 13.0, 10.8),
        row("Q4_0", "decode", 18.9, 21.8),
        row("Q1_0", "decode", 18.0, 3.5),
        // Not drawn: under load, with two threads, and of a model with fewer types.
        Row { load: true, ..row("Q4_0", "decode", 1000.0, 1000.0) },
        Row { threads: 2, ..row("Q4_0", "decode", 1000.0, 1000.0) },
        Row { model: "Bonsai-1.7B".into(), ..row("Q1_0", "decode", 1000.0, 1000.0) },
    ];
    tests::golden("plot/llm.svg", &plot::llm(&figures));
}
