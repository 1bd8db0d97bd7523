//! Grammars in llama.cpp's notation (GBNF): read, checked and matched.
//!
//! A grammar from a client goes into C++ code that throws, recurses and guesses; here it is read first by the same rules, with limits.
//! The matcher follows llama.cpp's own way (a set of stacks, one step for each character), so its `n_stacks` also says what a grammar costs there.
//! It does not know token elements (`<[42]>`): those belong to one model, and a grammar from outside has no business with them.

mod matcher;
mod reader;

pub use matcher::Matcher;

/// Length of a grammar's text.
pub const GRAMMAR_BYTES_MAX: usize = 512 << 10;
/// Elements of all rules, after repetitions were written out.
pub const ELEMENTS_MAX: usize = 400_000;
/// Copies of one item; llama.cpp refuses more.
pub const REPETITIONS_MAX: usize = 2000;
/// Groups within groups.
pub const GROUP_DEPTH_MAX: usize = 64;

/// Why a grammar is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GrammarError {
    TooLong { bytes: usize },
    TooLarge,
    Syntax { line: usize, what: &'static str },
    Undefined { rule: String },
    LeftRecursion { rule: String },
    NoRoot,
}

impl std::fmt::Display for GrammarError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            GrammarError::TooLong { bytes } => {
                write!(f, "the grammar has {bytes} bytes, but at most {GRAMMAR_BYTES_MAX} are allowed")
            }
            GrammarError::TooLarge => {
                write!(f, "the grammar has more than {ELEMENTS_MAX} elements when written out")
            }
            GrammarError::Syntax { line, what } => write!(f, "line {line} of the grammar: {what}"),
            GrammarError::Undefined { rule } => write!(f, "rule {rule} is used but not defined"),
            GrammarError::LeftRecursion { rule } => {
                write!(f, "rule {rule} comes back to itself before it takes a character")
            }
            GrammarError::NoRoot => write!(f, "the grammar has no rule named root"),
        }
    }
}

impl std::error::Error for GrammarError {}

/// One step of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Element {
    /// A character out of these ranges, or out of none of them.
    Chars {
        ranges: Vec<(u32, u32)>,
        negated: bool,
    },
    Rule(usize),
}

/// The alternatives of a rule, each a row of steps.
type Alternatives = Vec<Vec<Element>>;

/// A grammar that llama.cpp takes too.
#[derive(Debug, Clone)]
pub struct Grammar {
    rules: Vec<Alternatives>,
    root: usize,
}

impl Grammar {
    pub fn parse(text: &str) -> Result<Grammar, GrammarError> {
        reader::read(text)
    }

    /// Whether the whole text is a sentence of this grammar.
    pub fn accepts(&self, text: &str) -> bool {
        let mut matcher = Matcher::new(self);
        text.chars().all(|c| matcher.push(c)) && matcher.is_done()
    }

    pub fn n_rules(&self) -> usize {
        self.rules.len()
    }
}
