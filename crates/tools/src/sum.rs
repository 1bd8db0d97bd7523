//! Works a sum out, exactly: fractions of whole numbers, so that money loses no cent and a third times three is one.
//!
//! `+ - * / ^`, brackets, `%` behind a number for hundredths, and `sqrt`. What is not exact says `about`.

use std::fmt;

pub const SUM_BYTES_MAX: usize = 200;
const DEPTH_MAX: usize = 24;
const POWER_MAX: i128 = 64;
/// Digits behind the point of a number that is not exact.
const DIGITS: u32 = 12;
/// Digits behind the point that are still read, and that an exact number may have.
const DIGITS_MAX: u32 = 30;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SumError {
    Long,
    Deep,
    /// At this byte, counted from 1.
    Unexpected {
        at: usize,
        what: String,
    },
    Ends,
    Comma {
        at: usize,
    },
    Zero,
    Large,
    Power,
    Root,
}

impl fmt::Display for SumError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SumError::Long => write!(f, "a sum has at most {SUM_BYTES_MAX} bytes"),
            SumError::Deep => write!(f, "brackets lie in each other at most {DEPTH_MAX} deep"),
            SumError::Unexpected { at, what } => {
                write!(f, "{what:?} at place {at} is not understood; write numbers, + - * / ^ % ( ) and sqrt")
            }
            SumError::Ends => f.write_str("the sum ends in the middle"),
            SumError::Comma { at } => {
                write!(f, "a comma at place {at}: write decimals with a point, and nothing between thousands")
            }
            SumError::Zero => f.write_str("nothing can be divided by zero"),
            SumError::Large => f.write_str("the numbers become too long"),
            SumError::Power => write!(f, "a power is a whole number from -{POWER_MAX} to {POWER_MAX}"),
            SumError::Root => f.write_str("a number below zero has no square root"),
        }
    }
}

impl std::error::Error for SumError {}

/// What a sum comes to, as it is written.
pub fn work_out(text: &str) -> Result<String, SumError> {
    if text.len() > SUM_BYTES_MAX {
        return Err(SumError::Long);
    }
    let mut reader = Reader { text, at: 0, depth: 0 };
    let number = reader.sum()?;
    match reader.peek() {
        None => Ok(number.written()),
        Some(letter) => Err(reader.unexpected(letter)),
    }
}

/// In lowest terms; below the line never less than one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Number {
    over: i128,
    under: i128,
    is_exact: bool,
}

fn gcd(a: i128, b: i128) -> i128 {
    let (mut a, mut b) = (a.unsigned_abs(), b.unsigned_abs());
    while b > 0 {
        (a, b) = (b, a % b);
    }
    // Both were at most i128::MAX in size, because `new` takes nothing larger.
    a.max(1) as i128
}

impl Number {
    fn new(over: i128, under: i128, is_exact: bool) -> Result<Number, SumError> {
        if under == 0 {
            return Err(SumError::Zero);
        }
        if over == i128::MIN || under == i128::MIN {
            return Err(SumError::Large);
        }
        let common = gcd(over, under) * under.signum();
        Ok(Number { over: over / common, under: under / common, is_exact })
    }

    fn whole(number: i128) -> Number {
        Number { over: number, under: 1, is_exact: true }
    }

    fn plus(self, other: Number) -> Result<Number, SumError> {
        let common = gcd(self.under, other.under);
        let left = self.over.checked_mul(other.under / common);
        let right = other.over.checked_mul(self.under / common);
        let over = left.zip(right).and_then(|(left, right)| left.checked_add(right));
        let under = (self.under / common).checked_mul(other.under);
        let (over, under) = over.zip(under).ok_or(SumError::Large)?;
        Number::new(over, under, self.is_exact && other.is_exact)
    }

    fn minus(self) -> Number {
        Number { over: -self.over, ..self }
    }

    fn times(self, other: Number) -> Result<Number, SumError> {
        // Made short before and not after, so that less becomes too long.
        let (one, two) = (gcd(self.over, other.under), gcd(other.over, self.under));
        let over = (self.over / one).checked_mul(other.over / two);
        let under = (self.under / two).checked_mul(other.under / one);
        let (over, under) = over.zip(under).ok_or(SumError::Large)?;
        Number::new(over, under, self.is_exact && other.is_exact)
    }

    fn turned(self) -> Result<Number, SumError> {
        Number::new(self.under, self.over, self.is_exact)
    }

    fn power(self, power: Number) -> Result<Number, SumError> {
        if power.under != 1 || !(-POWER_MAX..=POWER_MAX).contains(&power.over) {
            return Err(SumError::Power);
        }
        let base = if power.over < 0 { self.turned()? } else { self };
        (0..power.over.abs()).try_fold(Number::whole(1), |product, _| product.times(base))
    }

    fn root(self) -> Result<Number, SumError> {
        if self.over < 0 {
            return Err(SumError::Root);
        }
        let (over, under) = (root(self.over), root(self.under));
        if over * over == self.over && under * under == self.under {
            return Number::new(over, under, self.is_exact);
        }
        // The root of the number with an even count of digits more, as far as there is room for them.
        let mut digits = DIGITS;
        let scaled = loop {
            let scaled = 10i128.checked_pow(2 * digits).and_then(|scale| self.over.checked_mul(scale));
            match scaled {
                Some(scaled) => break scaled / self.under,
                None if digits == 0 => break self.over / self.under,
                None => digits -= 1,
            }
        };
        Number::new(root(scaled), 10i128.pow(digits), false)
    }

    fn written(self) -> String {
        let sign = if self.over < 0 { "-" } else { "" };
        let (over, under) = (self.over.unsigned_abs(), self.under.unsigned_abs());
        let (whole, mut rest) = (over / under, over % under);
        let mut digits = String::new();
        while rest > 0 && digits.len() < DIGITS_MAX as usize {
            // One more digit than is shown says how the last one is rounded.
            let Some(ten) = rest.checked_mul(10) else { break };
            digits.push(char::from(b'0' + (ten / under) as u8));
            rest = ten % under;
        }
        if rest == 0 && self.is_exact {
            return match digits.is_empty() {
                true => format!("{sign}{whole}"),
                false => format!("{sign}{whole}.{digits}"),
            };
        }
        let rounded = round(whole, &digits);
        format!("about {sign}{rounded}")
    }
}

/// To [`DIGITS`] behind the point, halves up, and without zeros at the end.
fn round(whole: u128, digits: &str) -> String {
    let shown = &digits[..digits.len().min(DIGITS as usize)];
    let is_up = digits.as_bytes().get(DIGITS as usize).is_some_and(|digit| *digit >= b'5');
    let scale = 10u128.pow(shown.len() as u32);
    let part = shown.parse::<u128>().unwrap_or(0) + u128::from(is_up);
    let (whole, part) = if part == scale && is_up { (whole.saturating_add(1), 0) } else { (whole, part) };
    let text = format!("{whole}.{part:0width$}", width = shown.len());
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The whole part of the square root, by Newton's steps from above.
fn root(number: i128) -> i128 {
    if number < 2 {
        return number;
    }
    let mut guess = 1i128 << (number.ilog2() / 2 + 1);
    loop {
        let next = (guess + number / guess) / 2;
        if next >= guess {
            return guess;
        }
        guess = next;
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl Reader<'_> {
    fn peek(&mut self) -> Option<char> {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
        self.text[self.at..].chars().next()
    }

    fn take(&mut self, letters: &[char]) -> Option<char> {
        let letter = self.peek().filter(|letter| letters.contains(letter))?;
        self.at += letter.len_utf8();
        Some(letter)
    }

    fn unexpected(&self, letter: char) -> SumError {
        let at = self.at + 1;
        if letter == ',' {
            return SumError::Comma { at };
        }
        SumError::Unexpected { at, what: letter.to_string() }
    }

    fn sum(&mut self) -> Result<Number, SumError> {
        let mut number = self.product()?;
        while let Some(sign) = self.take(&['+', '-', '−', '–']) {
            let other = self.product()?;
            number = number.plus(if sign == '+' { other } else { other.minus() })?;
        }
        Ok(number)
    }

    fn product(&mut self) -> Result<Number, SumError> {
        let mut number = self.signed()?;
        while let Some(sign) = self.take(&['*', '×', '·', '/', '÷', ':']) {
            let other = self.signed()?;
            let is_times = matches!(sign, '*' | '×' | '·');
            number = number.times(if is_times { other } else { other.turned()? })?;
        }
        Ok(number)
    }

    /// A minus belongs to the whole power: -2^2 is -4.
    fn signed(&mut self) -> Result<Number, SumError> {
        let mut is_minus = false;
        while let Some(sign) = self.take(&['+', '-', '−', '–']) {
            is_minus ^= sign != '+';
        }
        let number = self.power()?;
        Ok(if is_minus { number.minus() } else { number })
    }

    fn power(&mut self) -> Result<Number, SumError> {
        let base = self.hundredths()?;
        if self.take(&['^']).is_none() {
            return Ok(base);
        }
        // From the right: 2^3^2 is 2^9.
        self.deeper(|reader| reader.signed()).and_then(|power| base.power(power))
    }

    fn hundredths(&mut self) -> Result<Number, SumError> {
        let mut number = self.atom()?;
        while self.take(&['%']).is_some() {
            number = number.times(Number { over: 1, under: 100, is_exact: true })?;
        }
        Ok(number)
    }

    fn atom(&mut self) -> Result<Number, SumError> {
        let letter = self.peek().ok_or(SumError::Ends)?;
        match letter {
            '0'..='9' | '.' => self.number(),
            '(' => self.bracket(),
            _ if self.text[self.at..].starts_with("sqrt") => {
                self.at += "sqrt".len();
                match self.peek() {
                    Some('(') => self.bracket()?.root(),
                    Some(letter) => Err(self.unexpected(letter)),
                    None => Err(SumError::Ends),
                }
            }
            letter => Err(self.unexpected(letter)),
        }
    }

    fn bracket(&mut self) -> Result<Number, SumError> {
        self.at += 1;
        let number = self.deeper(Reader::sum)?;
        match self.peek() {
            Some(')') => self.at += 1,
            Some(letter) => return Err(self.unexpected(letter)),
            None => return Err(SumError::Ends),
        }
        Ok(number)
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, SumError>) -> Result<T, SumError> {
        if self.depth == DEPTH_MAX {
            return Err(SumError::Deep);
        }
        self.depth += 1;
        let read = read(self);
        self.depth -= 1;
        read
    }

    fn number(&mut self) -> Result<Number, SumError> {
        let (mut number, mut digits, mut is_behind, mut n_digits) = (0i128, 0u32, false, 0);
        for letter in self.text[self.at..].chars() {
            match letter {
                '0'..='9' => {
                    let digit = i128::from(letter as u32 - '0' as u32);
                    let longer = number.checked_mul(10).and_then(|number| number.checked_add(digit));
                    number = longer.ok_or(SumError::Large)?;
                    digits += u32::from(is_behind);
                    n_digits += 1;
                }
                '.' if !is_behind => is_behind = true,
                _ => break,
            }
            self.at += 1;
        }
        if n_digits == 0 {
            self.at -= 1;
            return Err(self.unexpected('.'));
        }
        if digits > DIGITS_MAX {
            return Err(SumError::Large);
        }
        Number::new(number, 10i128.pow(digits), true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(sum: &str, want: &str) {
        let got = work_out(sum).unwrap_or_else(|error| format!("error: {error}"));
        assert_eq!(got, want, "{sum}");
    }

    #[test]
    fn sums_are_exact() {
        check("17*23", "391");
        check("0.1 + 0.2", "0.3");
        check("19.99*3 - 5%*100", "54.97");
        check("1/3*3", "1");
        check("240 * 15%", "36");
        check("(1 + 2) × 3 ÷ 4", "2.25");
        check("-2^2", "-4");
        check("2^3^2", "512");
        check("2^-2", "0.25");
        check("sqrt(6.25)", "2.5");
        check("--3 - -.5", "3.5");
        check("100000000000000000000 * 3", "300000000000000000000");
    }

    #[test]
    fn what_is_not_exact_says_so() {
        check("1/3", "about 0.333333333333");
        check("2/3", "about 0.666666666667");
        check("-200/7", "about -28.571428571429");
        check("sqrt(2)", "about 1.414213562373");
        check("sqrt(2)^2 - 2", "about -0");
        check("1 - 1/10^13/3", "about 1");
        check("sqrt(170141183460469231731687303715884105727)", "about 13043817825332782212");
    }

    #[test]
    fn each_error_says_what_is_wrong() {
        check("", "error: the sum ends in the middle");
        check("1/(2-2)", "error: nothing can be divided by zero");
        check(
            "1,5+1",
            "error: a comma at place 2: write decimals with a point, and nothing between thousands",
        );
        check(
            "2 apples",
            "error: \"a\" at place 3 is not understood; write numbers, + - * / ^ % ( ) and sqrt",
        );
        check("(1", "error: the sum ends in the middle");
        check("1 2", "error: \"2\" at place 3 is not understood; write numbers, + - * / ^ % ( ) and sqrt");
        check("10^64*10^64", "error: the numbers become too long");
        check("2^0.5", "error: a power is a whole number from -64 to 64");
        check("sqrt(-1)", "error: a number below zero has no square root");
        check(&"(".repeat(60), "error: brackets lie in each other at most 24 deep");
        check(&"2^".repeat(60), "error: brackets lie in each other at most 24 deep");
        check(&"1".repeat(201), "error: a sum has at most 200 bytes");
        check(".", "error: \".\" at place 1 is not understood; write numbers, + - * / ^ % ( ) and sqrt");
        check("1.2.3", "error: \".\" at place 4 is not understood; write numbers, + - * / ^ % ( ) and sqrt");
    }
}
