//! What models and pages write: calls of tools, sums, and HTML.

use tools::{Asker, AuditRecord, Call, Field, Origin, Outcome, Spec, Wanted, page, sum};

/// A call that is taken is within the limits of its tool, and a person sees all of it on one line.
pub fn tool_call(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let wanted = match Wanted::read(text) {
        Ok(wanted) => wanted,
        Err(unread) => return assert!(!unread.to_string().is_empty()),
    };
    let spec = Spec::new(&wanted.tool, "Does something.")
        .field(Field::text("text", "a text", 100))
        .field(Field::whole("number", "a number", -5, 5).optional())
        .field(Field::choice("choice", "a choice", &["one", "two"]).optional())
        .field(Field::yes_no("flag", "yes or no").optional())
        .field(Field::json("more", "anything", 200).optional());
    let spec = spec.good().expect("a name that was read is one");
    let asker = Asker { origin: Origin::Model, who: "fuzz".into(), talk: None };
    let call = match Call::new(&spec, &wanted, asker) {
        Ok(call) => call,
        Err(wrong) => return assert!(!wrong.to_string().is_empty()),
    };
    assert!(call.text("text").is_some_and(|text| text.len() <= 100 && !text.contains('\0')));
    assert!(call.whole("number").is_none_or(|number| (-5..=5).contains(&number)));
    let will_run = call.will_run();
    assert!(
        !will_run.contains(|letter: char| letter.is_control() || ('\u{202a}'..='\u{202e}').contains(&letter))
    );
    // What runs is what was shown: it can be asked for again in the same words.
    let again = Wanted { tool: call.tool.clone(), arguments: call.given() };
    assert_eq!(Call::new(&spec, &again, call.asker.clone()), Ok(call.clone()));
    let record = AuditRecord::of(7, &call, Outcome::Began);
    assert_eq!(AuditRecord::read(record.line().trim_end()), Some(record));
}

/// A sum is worked out or refused, and what is worked out can be read again, unless it has too many digits for that.
pub fn tool_sum(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match sum::work_out(text) {
        Ok(told) if told.starts_with("about ") => {}
        Ok(told) => match sum::work_out(&told) {
            Err(error) => assert_eq!(error, sum::SumError::Large, "{text}"),
            again => assert_eq!(again, Ok(told), "{text}"),
        },
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// The text of a page is not much longer than the page, and has no blanks in a row.
pub fn web_page(bytes: &[u8]) {
    let Ok(html) = std::str::from_utf8(bytes) else { return };
    let text = page::text(html);
    assert!(text.len() <= 2 * html.len() + 1, "{} of {}", text.len(), html.len());
    assert!(!text.contains("  ") && !text.contains(|letter: char| letter.is_control() && letter != '\n'));
}
