//! Whole and broken numbers within bounds, digit by digit.
//!
//! Bounds are kept as decimal digits: a grammar sees digits, and no rounding can then move a bound.

use std::cmp::Ordering;

use super::SchemaError;
use super::expand::Place;
use crate::json::Json;

const FRACTION_DIGITS_MAX: usize = 16;
/// The largest whole number that is offered; bounds beyond it are narrowed to it.
const WHOLE_MAX: i64 = 9_999_999_999_999_999;

/// A minimum or maximum. Digits without leading zeros before the point and without trailing zeros after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    negative: bool,
    whole: String,
    fraction: String,
    pub excluded: bool,
}

impl Bound {
    pub fn read(place: &Place, excluded: bool) -> Result<Bound, SchemaError> {
        let text = match place.schema {
            Json::Int(value) => value.to_string(),
            // Rust writes floats without an exponent.
            Json::Float(value) => value.to_string(),
            _ => return SchemaError::at(&place.path, "a bound is a number"),
        };
        let (negative, digits) =
            text.strip_prefix('-').map_or((false, text.as_str()), |digits| (true, digits));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if fraction.len() > FRACTION_DIGITS_MAX {
            let reason = format!("a bound has at most {FRACTION_DIGITS_MAX} digits after the point");
            return SchemaError::at(&place.path, reason);
        }
        Ok(Bound::new(negative, whole, fraction, excluded))
    }

    fn new(negative: bool, whole: &str, fraction: &str, excluded: bool) -> Bound {
        let whole = whole.trim_start_matches('0').to_string();
        let fraction = fraction.trim_end_matches('0').to_string();
        let negative = negative && !(whole.is_empty() && fraction.is_empty());
        Bound { negative, whole, fraction, excluded }
    }

    /// The bound of two that leaves less.
    pub fn narrower(ours: Option<Bound>, theirs: Option<Bound>, is_low: bool) -> Option<Bound> {
        let (Some(ours), Some(theirs)) = (ours.clone(), theirs.clone()) else { return ours.or(theirs) };
        let order = if is_low { ours.value_order(&theirs) } else { theirs.value_order(&ours) };
        Some(match order {
            Ordering::Greater => ours,
            Ordering::Less => theirs,
            Ordering::Equal => Bound { excluded: ours.excluded || theirs.excluded, ..ours },
        })
    }

    fn value_order(&self, other: &Bound) -> Ordering {
        match (self.negative, other.negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => self.size_order(other),
            (true, true) => other.size_order(self),
        }
    }

    fn size_order(&self, other: &Bound) -> Ordering {
        let whole = self.whole.len().cmp(&other.whole.len()).then_with(|| self.whole.cmp(&other.whole));
        // Without trailing zeros, digits after the point compare like words.
        whole.then_with(|| self.fraction.cmp(&other.fraction))
    }

    /// The smallest (or largest) whole number within the bound.
    fn to_whole(&self, is_low: bool) -> i64 {
        let size: i64 = if self.whole.is_empty() { 0 } else { self.whole.parse().unwrap_or(i64::MAX) };
        let size = size.min(WHOLE_MAX + 1);
        let value = if self.negative { -size } else { size };
        match (self.fraction.is_empty(), is_low) {
            (true, true) => value + i64::from(self.excluded),
            (true, false) => value - i64::from(self.excluded),
            (false, true) => value + i64::from(!self.negative),
            (false, false) => value - i64::from(self.negative),
        }
    }
}

/// A number without bounds, in parts of a grammar.
pub const INTEGER: &str = "\"-\"? (\"0\" | [1-9] [0-9]{0,15})";
pub const NUMBER: &str = "\"-\"? (\"0\" | [1-9] [0-9]{0,15}) (\".\" [0-9]{1,16})? ([eE] [+\\-]? [0-9]{1,2})?";

/// Whole numbers within bounds, or `None` when there are none.
pub fn integers(low: Option<&Bound>, high: Option<&Bound>) -> Option<String> {
    let low = low.map_or(-WHOLE_MAX, |bound| bound.to_whole(true)).max(-WHOLE_MAX);
    let high = high.map_or(WHOLE_MAX, |bound| bound.to_whole(false)).min(WHOLE_MAX);
    if low > high {
        return None;
    }
    let mut ways = Vec::new();
    if low < 0 {
        ways.push(format!("\"-\" ({})", sizes((-high).max(1), -low)));
    }
    if high >= 0 {
        ways.push(sizes(low.max(0), high));
    }
    Some(ways.join(" | "))
}

/// Whole numbers from 0 up, by their number of digits.
fn sizes(low: i64, high: i64) -> String {
    let (low, high) = (low.to_string(), high.to_string());
    let ways = (low.len()..=high.len()).map(|len| {
        let first = format!("1{}", "0".repeat(len - 1));
        let from = if len == low.len() { &low } else { &first };
        let nines = "9".repeat(len);
        digits(from, if len == high.len() { &high } else { &nines })
    });
    ways.collect::<Vec<_>>().join(" | ")
}

/// Digit rows of one length between two others.
fn digits(low: &str, high: &str) -> String {
    let rest_len = low.len().saturating_sub(1);
    let (Some(a), Some(b)) = (low.chars().next(), high.chars().next()) else { return String::new() };
    let (low_rest, high_rest) = (&low[1..], &high[1..]);
    let from_zero = low_rest.bytes().all(|digit| digit == b'0');
    let to_nine = high_rest.bytes().all(|digit| digit == b'9');
    if from_zero && to_nine {
        return format!("{}{}", range(a, b), any(rest_len));
    }
    if a == b {
        return format!("\"{a}\" ({})", digits(low_rest, high_rest));
    }
    let step = |digit: char, by: i32| char::from((digit as i32 + by) as u8);
    let mut ways = Vec::new();
    let (mut middle_low, mut middle_high) = (a, b);
    if !from_zero {
        ways.push(format!("\"{a}\" ({})", digits(low_rest, &"9".repeat(rest_len))));
        middle_low = step(a, 1);
    }
    if !to_nine {
        middle_high = step(b, -1);
    }
    if middle_low <= middle_high {
        ways.push(format!("{}{}", range(middle_low, middle_high), any(rest_len)));
    }
    if !to_nine {
        ways.push(format!("\"{b}\" ({})", digits(&"0".repeat(rest_len), high_rest)));
    }
    ways.join(" | ")
}

fn range(low: char, high: char) -> String {
    if low == high { format!("\"{low}\"") } else { format!("[{low}-{high}]") }
}

fn any(len: usize) -> String {
    if len == 0 { String::new() } else { format!(" [0-9]{{{len}}}") }
}

/// Numbers within bounds, with or without a fraction, or `None` when there are none.
pub fn numbers(low: Option<&Bound>, high: Option<&Bound>) -> Option<String> {
    if low.zip(high).is_some_and(|(low, high)| low.value_order(high) == Ordering::Greater) {
        return None;
    }
    let zero = Bound::new(false, "", "", false);
    let most = Bound::new(false, &WHOLE_MAX.to_string(), "", false);
    let mut ways = Vec::new();
    if low.is_none_or(|low| low.negative) {
        // Below zero the bounds change places and lose their sign; -0 is offered only where 0 is.
        let nearest =
            high.filter(|high| high.negative || **high == Bound { excluded: high.excluded, ..zero.clone() });
        let from = nearest.cloned().unwrap_or_else(|| zero.clone());
        let to = low.cloned().unwrap_or_else(|| most.clone());
        let (from, to) = (Bound { negative: false, ..from }, Bound { negative: false, ..to });
        ways.extend(magnitudes(&from, &clipped(to, &most)).map(|way| format!("\"-\" ({way})")));
    }
    if high.is_none_or(|high| !high.negative) {
        let from = low.filter(|low| !low.negative).cloned().unwrap_or(zero);
        let to = high.cloned().unwrap_or_else(|| most.clone());
        ways.extend(magnitudes(&from, &clipped(to, &most)));
    }
    (!ways.is_empty()).then(|| ways.join(" | "))
}

fn clipped(bound: Bound, most: &Bound) -> Bound {
    if bound.size_order(most) == Ordering::Greater { most.clone() } else { bound }
}

/// Numbers from 0 up between two bounds.
fn magnitudes(low: &Bound, high: &Bound) -> Option<String> {
    let whole =
        |bound: &Bound| if bound.whole.is_empty() { 0 } else { bound.whole.parse().unwrap_or(WHOLE_MAX + 1) };
    let (first, last): (i64, i64) = (whole(low), whole(high));
    if first > last || first > WHOLE_MAX {
        return None;
    }
    let mut ways = Vec::new();
    if first == last {
        if low.size_order(high) == Ordering::Equal && (low.excluded || high.excluded) {
            return None;
        }
        ways.extend(between(low, high).map(|fraction| format!("{} {fraction}", sizes(first, first))));
    } else {
        ways.push(format!("{} {}", sizes(first, first), at_least(&low.fraction, low.excluded)));
        if first + 1 < last {
            ways.push(format!("({}) (\".\" [0-9]{{1,16}})?", sizes(first + 1, last - 1)));
        }
        ways.extend(
            at_most(&high.fraction, high.excluded)
                .map(|fraction| format!("{} {fraction}", sizes(last, last))),
        );
    }
    (!ways.is_empty()).then(|| ways.join(" | "))
}

const MORE: &str = "[0-9]{0,16}";
const NOT_NOTHING: &str = "\"0\"{0,15} [1-9] [0-9]{0,15}";

/// The point and digits that are no less than these.
fn at_least(fraction: &str, excluded: bool) -> String {
    match (fraction.is_empty(), excluded) {
        (true, false) => "(\".\" [0-9]{1,16})?".to_string(),
        (true, true) => format!("\".\" {NOT_NOTHING}"),
        _ => format!("\".\" ({})", digits_at_least(fraction, excluded)),
    }
}

fn digits_at_least(fraction: &str, excluded: bool) -> String {
    let Some(first) = fraction.chars().next() else {
        return if excluded { NOT_NOTHING.to_string() } else { MORE.to_string() };
    };
    let mut ways = vec![format!("\"{first}\" ({})", digits_at_least(&fraction[1..], excluded))];
    if first < '9' {
        ways.push(format!("{} {MORE}", range(char::from(first as u8 + 1), '9')));
    }
    ways.join(" | ")
}

/// Nothing, or the point and digits that are no more than these; `None` when even nothing is too much.
fn at_most(fraction: &str, excluded: bool) -> Option<String> {
    match (fraction.is_empty(), excluded) {
        (true, true) => None,
        (true, false) => Some("(\".\" \"0\"{1,16})?".to_string()),
        _ => Some(format!("(\".\" ({}))?", digits_at_most(fraction, excluded, true))),
    }
}

/// A shorter row is less than a longer one that begins with it, since bounds do not end with a zero.
fn digits_at_most(fraction: &str, excluded: bool, is_first: bool) -> String {
    let Some(first) = fraction.chars().next() else {
        return "\"0\"{0,16}".to_string();
    };
    let mut ways = Vec::new();
    let rest = &fraction[1..];
    if !(rest.is_empty() && excluded) {
        ways.push(format!("\"{first}\" ({})", digits_at_most(rest, excluded, false)));
    }
    if first > '0' {
        ways.push(format!("{} {MORE}", range('0', char::from(first as u8 - 1))));
    }
    if !is_first {
        ways.push(String::new());
    }
    ways.join(" | ")
}

/// The fraction between two bounds of one whole number; `None` when there is none.
fn between(low: &Bound, high: &Bound) -> Option<String> {
    if low.fraction.is_empty() {
        let at_most = at_most(&high.fraction, high.excluded)?;
        if !low.excluded {
            return Some(at_most);
        }
        // The point is a must now, and so is more than zeros.
        return Some(format!("\".\" ({})", digits_between("", &high.fraction, low.excluded, high.excluded)?));
    }
    Some(format!("\".\" ({})", digits_between(&low.fraction, &high.fraction, low.excluded, high.excluded)?))
}

fn digits_between(low: &str, high: &str, low_out: bool, high_out: bool) -> Option<String> {
    let (Some(b), a) = (high.chars().next(), low.chars().next()) else {
        // Both bounds end here: only zeros follow, and only where both may be met.
        return (low.is_empty() && !low_out && !high_out).then(|| "\"0\"{0,16}".to_string());
    };
    let rest = |text: &str| text.get(1..).unwrap_or_default().to_string();
    let first = a.unwrap_or('0');
    let mut ways = Vec::new();
    if first == b {
        ways.extend(
            digits_between(&rest(low), &rest(high), low_out, high_out).map(|way| format!("\"{b}\" ({way})")),
        );
    } else {
        ways.push(format!("\"{first}\" ({})", digits_at_least(&rest(low), low_out)));
        if first as u8 + 1 < b as u8 {
            ways.push(format!("{} {MORE}", range(char::from(first as u8 + 1), char::from(b as u8 - 1))));
        }
        if !(high.len() == 1 && high_out) {
            ways.push(format!("\"{b}\" ({})", digits_at_most(&rest(high), high_out, false)));
        }
    }
    // The row may end here when it is already no less than the low bound, and less than the high one.
    if low.is_empty() && !low_out {
        ways.push(String::new());
    }
    (!ways.is_empty()).then(|| ways.join(" | "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gbnf::Grammar;

    fn bound(value: f64, excluded: bool) -> Bound {
        let schema = Json::Float(value);
        Bound::read(&Place { schema: &schema, path: String::new() }, excluded).unwrap()
    }

    fn grammar(rule: Option<String>) -> Option<Grammar> {
        rule.map(|rule| Grammar::parse(&format!("root ::= {rule}")).unwrap_or_else(|e| panic!("{rule}: {e}")))
    }

    #[test]
    fn whole_numbers_keep_their_bounds() {
        let edges = [-1234, -100, -99, -10, -1, 0, 5, 9, 10, 99, 256, 1000, 1999];
        for low in edges {
            for high in edges {
                let rule = integers(Some(&bound(low.into(), false)), Some(&bound(high.into(), false)));
                let Some(grammar) = grammar(rule) else {
                    assert!(low > high, "{low}..{high}");
                    continue;
                };
                // Around every edge, and around the powers of ten.
                let near = edges.iter().flat_map(|edge| edge - 2..edge + 3).chain(980..1020).chain(-120..120);
                for value in near {
                    let want = (low..=high).contains(&value);
                    assert_eq!(grammar.accepts(&value.to_string()), want, "{value} within {low}..{high}");
                }
                assert!(!grammar.accepts("") && !grammar.accepts("-") && !grammar.accepts("05"));
            }
        }
    }

    #[test]
    fn broken_numbers_keep_their_bounds() {
        let edges = [-12.5, -3.0, -2.75, -0.25, -0.05, 0.0, 0.05, 0.3, 1.0, 1.25, 12.0];
        let values = (-66..66)
            .map(|n| f64::from(n) * 0.05)
            .chain([-12.5, -12.6, 11.95, 12.0, 12.05])
            .chain([-2.751, -2.749, 0.0501, 1.2501, 11.999]);
        let values: Vec<String> =
            values.flat_map(|value| [format!("{value:.1}"), format!("{value:.4}")]).collect();
        for low in edges {
            for high in edges {
                for (low_out, high_out) in [(false, false), (true, false), (false, true), (true, true)] {
                    let rule = numbers(Some(&bound(low, low_out)), Some(&bound(high, high_out)));
                    let grammar = grammar(rule);
                    for text in &values {
                        let value: f64 = text.parse().unwrap();
                        if value == 0.0 && text.starts_with('-') {
                            continue;
                        }
                        let above = if low_out { value > low } else { value >= low };
                        let below = if high_out { value < high } else { value <= high };
                        let taken = grammar.as_ref().is_some_and(|grammar| grammar.accepts(text));
                        assert_eq!(
                            taken,
                            above && below,
                            "{text} within {low} {low_out} .. {high} {high_out}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn bounds_beyond_what_is_offered_are_narrowed() {
        let rule = integers(Some(&bound(-9.3e18, false)), Some(&bound(1.9e19, false)));
        assert!(grammar(rule).unwrap().accepts("-9999999999999999"));
        assert!(integers(Some(&bound(1e17, false)), None).is_none());
        assert!(numbers(Some(&bound(1e17, false)), None).is_none());
        let half_open = grammar(numbers(Some(&bound(0.5, true)), None)).unwrap();
        assert!(half_open.accepts("0.51") && half_open.accepts("1") && !half_open.accepts("0.5"));
        let below = grammar(numbers(None, Some(&bound(-2.0, false)))).unwrap();
        assert!(
            below.accepts("-2") && below.accepts("-1000.5") && !below.accepts("-1.9") && !below.accepts("2")
        );
    }
}
