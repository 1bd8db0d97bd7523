//! Draws figures: stock beside ours for every type, as an SVG that reads well on light and on dark ground.
//!
//! Times differ by a factor of 50, so the axis is logarithmic, and dots stand on it: bars would lie about lengths.

use super::llm::figures::{Figures, Machine, Row};
use std::fmt::Write;

const WIDTH: f64 = 900.0;
const TOP: f64 = 96.0;
const LINE: f64 = 24.0;
const BOTTOM: f64 = 56.0;
/// Where the names end and the first panel begins; the panels' width, and the room for ratios between them.
const LEFT: f64 = 84.0;
const PANEL: f64 = 330.0;
const GAP: f64 = 72.0;
/// Room beside the outermost dots, as a factor.
const MARGIN: f64 = 1.25;

const STYLE: &str = "\
  .ground { fill: #ffffff } .text { fill: #1f2328 } .faint { fill: #59636e } .grid { stroke: #d1d9e0 }
  .stock { fill: #6e7781 } .ours { fill: #bc4c00 } .gain { stroke: #f0b98d; stroke-width: 5; stroke-linecap: round }
  .loss { stroke: #9aa4af; stroke-width: 5; stroke-linecap: round }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #0d1117 } .text { fill: #e6edf3 } .faint { fill: #9198a1 } .grid { stroke: #2d333b }
    .stock { fill: #9198a1 } .ours { fill: #ff9b54 } .gain { stroke: #7a4419 } .loss { stroke: #4a525c }
  }
  text { font: 13px system-ui, 'Segoe UI', Helvetica, Arial, sans-serif } .title { font-size: 16px; font-weight: 600 }
";

/// One line of a panel.
struct Pair<'a> {
    name: &'a str,
    /// Prompt and decode, stock and ours.
    times: [Option<[f64; 2]>; 2],
}

/// Decode and prompt of the model that most types were measured with: one thread, no load.
pub fn llm(figures: &Figures) -> String {
    let rows: Vec<&Row> = figures.rows.iter().filter(|row| row.threads == 1 && !row.load).collect();
    let n_rows = |row: &Row| rows.iter().filter(|other| other.model == row.model).count();
    // The first of those with equally many.
    let model = rows.iter().rev().max_by_key(|row| n_rows(row)).map_or("", |row| row.model.as_str());
    let rows: Vec<&Row> = rows.iter().copied().filter(|row| row.model == model).collect();
    let mut pairs: Vec<Pair> = Vec::new();
    for row in &rows {
        if !pairs.iter().any(|pair| pair.name == row.kind) {
            let times = ["prompt", "decode"].map(|stage| {
                let found = rows.iter().find(|other| other.kind == row.kind && other.stage == stage);
                found.map(|row| [row.stock_ms_per_token, row.ours_ms_per_token])
            });
            pairs.push(Pair { name: &row.kind, times });
        }
    }
    let title = format!("{model} shape, one thread: CPU time for a token, stock ggml beside duet's kernels");
    let part = rows.first().filter(|row| row.layers < row.layers_of_model);
    let part =
        part.map_or(String::new(), |row| format!("; {} of {} layers", row.layers, row.layers_of_model));
    let Machine { processor, .. } = &figures.machine;
    let under = format!("{processor}; our kernels: {}, stock ggml built for a Core 2{part}", figures.level);
    draw(&title, &under, &pairs)
}

fn draw(title: &str, under: &str, pairs: &[Pair]) -> String {
    let height = TOP + LINE * pairs.len() as f64 + BOTTOM;
    let axis = Axis::over(pairs.iter().flat_map(|pair| pair.times.iter().flatten().flatten().copied()));
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" role=\"img\">\n<title>{}</title>\n<style>\n{STYLE}</style>\n\
         <rect class=\"ground\" width=\"{WIDTH}\" height=\"{height}\"/>\n",
        escaped(title)
    );
    text(&mut svg, "text title", 16.0, 28.0, "start", title);
    text(&mut svg, "faint", 16.0, 48.0, "start", under);
    legend(&mut svg);
    for (idx, stage) in ["prompt", "decode"].into_iter().enumerate() {
        let left = LEFT + idx as f64 * (PANEL + GAP);
        text(&mut svg, "text title", left, TOP - 14.0, "start", stage);
        grid(&mut svg, &axis, left, height);
        for (line, pair) in pairs.iter().enumerate() {
            let y = TOP + LINE * (line as f64 + 0.5);
            if idx == 0 {
                text(&mut svg, "text", LEFT - 12.0, y + 4.5, "end", pair.name);
            }
            if let Some(times) = pair.times[idx] {
                dots(&mut svg, &axis, left, y, times);
            }
        }
    }
    svg.push_str("</svg>\n");
    svg
}

fn legend(svg: &mut String) {
    for (x, class, what) in [(WIDTH - 210.0, "stock", "stock ggml"), (WIDTH - 90.0, "ours", "duet")] {
        let _ = writeln!(svg, "<circle class=\"{class}\" cx=\"{x}\" cy=\"44\" r=\"5.5\"/>");
        text(svg, "text", x + 12.0, 48.5, "start", what);
    }
}

fn grid(svg: &mut String, axis: &Axis, left: f64, height: f64) {
    let (top, bottom) = (TOP, height - BOTTOM);
    for tick in axis.ticks() {
        let x = left + axis.place(tick);
        let _ =
            writeln!(svg, "<line class=\"grid\" x1=\"{x:.1}\" y1=\"{top}\" x2=\"{x:.1}\" y2=\"{bottom}\"/>");
        text(svg, "faint", x, bottom + 18.0, "middle", &tick.to_string());
    }
    let middle = left + PANEL / 2.0;
    text(svg, "faint", middle, bottom + 38.0, "middle", "ms per token (logarithmic), less is better");
}

fn dots(svg: &mut String, axis: &Axis, left: f64, y: f64, [stock, ours]: [f64; 2]) {
    let (from, to) = (left + axis.place(stock), left + axis.place(ours));
    let class = if ours <= stock { "gain" } else { "loss" };
    let _ = writeln!(
        svg,
        "<line class=\"{class}\" x1=\"{from:.1}\" y1=\"{y}\" x2=\"{to:.1}\" y2=\"{y}\"/>\n\
         <circle class=\"stock\" cx=\"{from:.1}\" cy=\"{y}\" r=\"5.5\"/>\n\
         <circle class=\"ours\" cx=\"{to:.1}\" cy=\"{y}\" r=\"5.5\"/>"
    );
    text(svg, "text", left + PANEL + 10.0, y + 4.5, "start", &format!("{:.1}x", stock / ours));
}

fn text(svg: &mut String, class: &str, x: f64, y: f64, anchor: &str, what: &str) {
    let what = escaped(what);
    let _ = writeln!(
        svg,
        "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{what}</text>"
    );
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A logarithmic axis.
struct Axis {
    least: f64,
    most: f64,
}

impl Axis {
    fn over(values: impl Iterator<Item = f64>) -> Axis {
        let usable = values.filter(|value| value.is_finite() && *value > 0.0);
        let (least, most) =
            usable.fold((f64::MAX, 0.0), |(low, high), v| (f64::min(low, v), f64::max(high, v)));
        if most == 0.0 {
            return Axis { least: 1.0, most: 10.0 };
        }
        Axis { least: least / MARGIN, most: most * MARGIN }
    }

    fn place(&self, value: f64) -> f64 {
        PANEL * (value.max(self.least) / self.least).ln() / (self.most / self.least).ln()
    }

    /// 1, 2 and 5 of every decade, or 1 alone where that would be too many.
    fn ticks(&self) -> Vec<f64> {
        let decades = (self.least.log10().floor() as i32)..=(self.most.log10().ceil() as i32);
        let steps: &[f64] = if self.most / self.least > 300.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let all = decades.flat_map(|decade| steps.iter().map(move |step| (step, decade)));
        // Through text, so that 0.05 is not 0.05000000000000001.
        let ticks = all.filter_map(|(step, decade)| format!("{step}e{decade}").parse::<f64>().ok());
        ticks.filter(|tick| (self.least..=self.most).contains(tick)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_lie_within_the_axis() {
        let axis = Axis::over([0.9, 42.0].into_iter());
        assert_eq!(axis.ticks(), [1.0, 2.0, 5.0, 10.0, 20.0, 50.0]);
        let axis = Axis::over([0.04, 42.0].into_iter());
        assert_eq!(axis.ticks(), [0.1, 1.0, 10.0]);
    }

    #[test]
    fn twice_the_time_is_always_the_same_way_to_the_right() {
        let axis = Axis::over([1.0, 100.0].into_iter());
        let way = |value: f64| axis.place(2.0 * value) - axis.place(value);
        assert!((way(1.0) - way(40.0)).abs() < 1e-9);
    }

    #[test]
    fn names_cannot_break_the_drawing() {
        let times = [Some([2.0, 1.0]), None];
        let svg = draw("a < b & c", "under", &[Pair { name: "<x>", times }]);
        assert!(svg.contains("a &lt; b &amp; c") && svg.contains(">&lt;x&gt;</text>"), "{svg}");
    }

    #[test]
    fn nothing_measured_is_an_empty_drawing() {
        let svg = draw("title", "under", &[]);
        assert!(svg.ends_with("</svg>\n") && !svg.contains("NaN"));
    }
}
