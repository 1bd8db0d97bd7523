//! HTML as it grows: markup of ours goes in raw, everything else only escaped.
//!
//! Also how numbers are shown; `fresh.js` shows them in the same way.

#[derive(Default)]
pub struct Html(String);

impl Html {
    /// Markup; `'static`, so that no text from outside can come this way.
    pub fn raw(&mut self, markup: &'static str) -> &mut Html {
        self.0.push_str(markup);
        self
    }

    pub fn text(&mut self, text: &str) -> &mut Html {
        for c in text.chars() {
            match c {
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '&' => self.0.push_str("&amp;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                c if c.is_control() => self.0.push('\u{fffd}'),
                c => self.0.push(c),
            }
        }
        self
    }

    /// A value that the script keeps fresh: `path` is its place in the JSON, `form` how it is shown.
    pub fn live(&mut self, path: &str, form: &'static str, shown: &str) -> &mut Html {
        self.raw("<span data-live=\"").text(path).raw("\" data-form=\"").raw(form).raw("\">");
        self.text(shown).raw("</span>")
    }

    pub fn finish(self) -> String {
        self.0
    }
}

/// `142 MiB`, `1.9 GiB`.
pub fn bytes(n: u64) -> String {
    const STEPS: [(&str, u32, usize); 3] = [("GiB", 30, 1), ("MiB", 20, 0), ("KiB", 10, 0)];
    let fits = |(_, shift, _): &&(&str, u32, usize)| n >> shift > 0;
    match STEPS.iter().find(fits) {
        Some((unit, shift, digits)) => format!("{:.*} {unit}", digits, n as f64 / (1u64 << shift) as f64),
        None => format!("{n} B"),
    }
}

/// `41 s`, `12 min 5 s`, `3 h 20 min`, `8 d 4 h`.
pub fn duration(seconds: f64) -> String {
    let s = seconds as u64;
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{} min {} s", s / 60, s % 60),
        3600..86_400 => format!("{} h {} min", s / 3600, s % 3600 / 60),
        _ => format!("{} d {} h", s / 86_400, s % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_bytes(n: u64, want: &str) {
        assert_eq!(bytes(n), want);
    }

    #[test]
    fn bytes_are_shown_in_the_unit_that_fits() {
        check_bytes(0, "0 B");
        check_bytes(1023, "1023 B");
        check_bytes(1024, "1 KiB");
        check_bytes(142 << 20, "142 MiB");
        check_bytes(2_040_109_466, "1.9 GiB");
        check_bytes(u64::MAX, "17179869184.0 GiB");
    }

    fn check_duration(seconds: f64, want: &str) {
        assert_eq!(duration(seconds), want);
    }

    #[test]
    fn a_duration_has_two_units_at_most() {
        check_duration(41.9, "41 s");
        check_duration(725.0, "12 min 5 s");
        check_duration(12_000.0, "3 h 20 min");
        check_duration(705_600.0, "8 d 4 h");
        check_duration(-1.0, "0 s");
    }

    #[test]
    fn control_letters_become_a_mark() {
        let mut html = Html::default();
        html.text("a\u{1b}[2Jb");
        assert_eq!(html.finish(), "a\u{fffd}[2Jb");
    }
}
