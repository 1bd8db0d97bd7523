//! Strings with a length, and the formats that bind.

use super::LENGTH_MAX;

/// One character of a JSON string: as it is, with a short escape, or by number; half a surrogate pair is no character.
pub const CHARACTER: &str = concat!(
    r#"[\x20-\x21\x23-\x5B\x5D-\uD7FF\uE000-\U0010FFFF] | "\\" (["\\/bfnrt] | "#,
    r#""u" ([0-9a-cA-CefEF] [0-9a-fA-F]{3} | [dD] [0-7] [0-9a-fA-F]{2}))"#
);

/// Characters in one block of a long string: a repetition costs llama.cpp a rule for each copy.
const BLOCK: usize = 100;

/// Rows of `character` (a rule's name) between two lengths; `add` makes a rule of a body and names it.
/// A long row is blocks and then less than one block, so there is one way only to take each row.
pub fn rows<E>(
    character: &str,
    least: usize,
    most: Option<usize>,
    add: &mut impl FnMut(String) -> Result<String, E>,
) -> Result<String, E> {
    let most = most.filter(|most| *most < LENGTH_MAX);
    if least <= 2 * BLOCK && most.unwrap_or(least) <= 2 * BLOCK {
        return Ok(counted(character, least, most));
    }
    let block = add(format!("{character}{{{BLOCK}}}"))?;
    let (n_blocks, rest) = (least / BLOCK, least % BLOCK);
    let first = if n_blocks == 0 { String::new() } else { blocks(&block, n_blocks, add)? };
    let tail = match most.map(|most| most - n_blocks * BLOCK) {
        None => counted(character, rest, None),
        Some(most) if most <= 2 * BLOCK => counted(character, rest, Some(most)),
        Some(most) => {
            let (full, left) = (most / BLOCK, most % BLOCK);
            let some = format!("{} {character}{{0,{}}}", counted(&block, 1, Some(full - 1)), BLOCK - 1);
            let all = format!("{} {character}{{0,{left}}}", counted(&block, full, Some(full)));
            add(format!("{character}{{{rest},{}}} | {some} | {all}", BLOCK - 1))?
        }
    };
    Ok(format!("{first} {tail}").trim().to_string())
}

fn blocks<E>(
    block: &str,
    n_blocks: usize,
    add: &mut impl FnMut(String) -> Result<String, E>,
) -> Result<String, E> {
    add(format!("{block}{{{n_blocks}}}"))
}

fn counted(item: &str, least: usize, most: Option<usize>) -> String {
    match (least, most) {
        (0, None) => format!("{item}*"),
        (1, None) => format!("{item}+"),
        (least, None) => format!("{item}{{{least},}}"),
        (_, Some(0)) => String::new(),
        (1, Some(1)) => item.to_string(),
        (least, Some(most)) if least == most => format!("{item}{{{least}}}"),
        (least, Some(most)) => format!("{item}{{{least},{most}}}"),
    }
}

/// A day that exists: 30 February is not one, 29 February is one every fourth year, with the known exceptions.
const DATE: &str = concat!(
    "[0-9]{4} \"-\" ((\"0\" [13578] | \"1\" [02]) \"-\" (\"0\" [1-9] | [12] [0-9] | \"3\" [01]) | ",
    "(\"0\" [469] | \"11\") \"-\" (\"0\" [1-9] | [12] [0-9] | \"30\") | ",
    "\"02-\" (\"0\" [1-9] | \"1\" [0-9] | \"2\" [0-8])) | ",
    "([0-9] [0-9] (\"0\" [48] | [2468] [048] | [13579] [26]) | ([02468] [048] | [13579] [26]) \"00\") \"-02-29\"",
);
const TIME: &str = concat!(
    "([01] [0-9] | \"2\" [0-3]) \":\" [0-5] [0-9] \":\" [0-5] [0-9] (\".\" [0-9]{1,9})? ",
    "(\"Z\" | [+\\-] ([01] [0-9] | \"2\" [0-3]) \":\" [0-5] [0-9])",
);
const UUID: &str = concat!(
    "[0-9a-fA-F]{8} \"-\" [0-9a-fA-F]{4} \"-\" [0-9a-fA-F]{4} \"-\" ",
    "[0-9a-fA-F]{4} \"-\" [0-9a-fA-F]{12}",
);
const OCTET: &str = "(\"25\" [0-5] | \"2\" [0-4] [0-9] | \"1\" [0-9] [0-9] | [1-9]? [0-9])";

/// The inside of a string of this format.
pub fn format(name: &str) -> String {
    match name {
        "date" => DATE.to_string(),
        "time" => TIME.to_string(),
        "date-time" => format!("({DATE}) \"T\" {TIME}"),
        "uuid" => UUID.to_string(),
        _ => format!("{OCTET} (\".\" {OCTET}){{3}}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gbnf::Grammar;

    #[track_caller]
    fn check(name: &str, taken: &[&str], refused: &[&str]) {
        let grammar = Grammar::parse(&format!("root ::= {}", format(name))).unwrap();
        taken.iter().for_each(|text| assert!(grammar.accepts(text), "{text} should be taken"));
        refused.iter().for_each(|text| assert!(!grammar.accepts(text), "{text} should be refused"));
    }

    #[test]
    fn dates_exist() {
        let taken = ["2024-02-29", "2000-02-29", "1999-12-31", "2023-04-30", "0001-01-01"];
        let refused =
            ["2023-02-29", "1900-02-29", "2023-02-30", "2023-04-31", "2023-13-01", "2023-00-10", "23-1-1"];
        check("date", &taken, &refused);
    }

    #[test]
    fn times_have_a_zone() {
        check("time", &["23:59:59Z", "00:00:00.5+02:00"], &["24:00:00Z", "12:60:00Z", "12:00:00", "12:00Z"]);
        check("date-time", &["2024-02-29T12:00:00Z"], &["2023-02-29T12:00:00Z", "2024-02-29 12:00:00Z"]);
    }

    #[test]
    fn addresses_and_numbers_of_things_have_their_form() {
        check("uuid", &["123e4567-e89b-12d3-a456-426614174000"], &["123e4567-e89b-12d3-a456-42661417400"]);
        check("ipv4", &["0.0.0.0", "255.249.199.9"], &["256.1.1.1", "1.1.1", "01.1.1.1"]);
    }

    #[test]
    fn rows_have_their_length_whatever_it_is() {
        let cases = [
            (0, Some(0)),
            (0, Some(3)),
            (2, Some(2)),
            (0, Some(200)),
            (0, Some(201)),
            (0, Some(250)),
            (7, Some(999)),
            (150, Some(400)),
            (199, Some(300)),
            (230, Some(230)),
            (201, None),
            (300, None),
            (5, None),
        ];
        for (least, most) in cases {
            let mut rules = Vec::new();
            let mut add = |body: String| {
                rules.push(body);
                Ok::<_, ()>(format!("r{}", rules.len()))
            };
            let rows = rows("c", least, most, &mut add).unwrap();
            let mut text = format!("root ::= {rows} \"|\"\nc ::= [x]\n");
            rules.iter().enumerate().for_each(|(idx, body)| text += &format!("r{} ::= {body}\n", idx + 1));
            let grammar = Grammar::parse(&text).unwrap();
            for len in [
                0, 1, 2, 3, 4, 99, 100, 150, 199, 200, 201, 230, 231, 250, 251, 299, 300, 301, 400, 401, 999,
                1000,
            ] {
                let want = len >= least && most.is_none_or(|most| len <= most);
                assert_eq!(
                    grammar.accepts(&("x".repeat(len) + "|")),
                    want,
                    "{len} within {least}..{most:?}\n{text}"
                );
            }
        }
    }
}
