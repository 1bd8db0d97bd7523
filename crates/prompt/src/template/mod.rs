//! Chat templates: a model's own Jinja text turns messages and tools into the prompt it was trained on.
//!
//! The text comes from a model file, that is, from a stranger.
//! minijinja reads it, but its evaluator has no bound on memory: `{% set s = s ~ s %}` thirty times is a gigabyte and costs sixty units of its fuel.
//! So only its reader is used, and the tree is walked here, where every step, copied byte and kept value is paid for from a budget.
//! Where Python's Jinja and minijinja differ (`True`, `None`, quotes, floats, `tojson`), Python is right: models were trained with it.
//! The clock is handed in; a template that names a file finds none.

mod asks;
mod budget;
mod convert;
mod eval;
mod expr;
mod filters;
mod messages;
mod methods;
mod ops;
mod print;
mod time;
mod value;

use minijinja::machinery::{Token, ast, parse, tokenize};
use minijinja::syntax::SyntaxConfig;

use crate::json::Json;
use budget::{Budget, Fault};

pub use messages::template_messages;
pub use time::CivilTime;

/// Length of a template. The longest known is 25 KB.
pub const TEMPLATE_BYTES_MAX: usize = 128 << 10;
/// Words and signs within one `{{ }}` or `{% %}`. Chains (`a ~ b ~ c`, `a.b.c`) make a tree as deep as they are long.
pub const TAG_TOKENS_MAX: usize = 600;
/// `elif` in all; the reader goes one call deeper for each.
pub const ELIF_MAX: usize = 200;

/// What one rendering may use up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Steps; one for each part of the tree that is walked and one for each 32 bytes that are looked at.
    pub steps: u64,
    /// Bytes of all texts and lists that are made, thrown away or not.
    pub made_bytes: u64,
    /// Bytes of the result.
    pub output_bytes: usize,
    /// Expressions, blocks and macros within each other.
    pub depth: usize,
}

/// Real templates with a hundred messages take some ten thousand steps.
impl Default for Limits {
    fn default() -> Limits {
        Limits { steps: 5_000_000, made_bytes: 64 << 20, output_bytes: 4 << 20, depth: 200 }
    }
}

/// Why a template gave no prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplateError {
    TooLong {
        bytes: usize,
    },
    /// The text is no template, or one that is too deep or too dense.
    Syntax {
        line: usize,
        what: String,
    },
    /// The template itself refuses the messages: `raise_exception`.
    Refused {
        what: String,
    },
    /// The template does what cannot be done.
    Wrong {
        line: usize,
        what: String,
    },
    /// A budget of `Limits` is used up.
    UsedUp {
        line: usize,
        what: &'static str,
    },
}

impl std::fmt::Display for TemplateError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            TemplateError::TooLong { bytes } => {
                write!(f, "the template has {bytes} bytes, but at most {TEMPLATE_BYTES_MAX} are allowed")
            }
            TemplateError::Syntax { line, what } => write!(f, "line {line} of the template: {what}"),
            TemplateError::Refused { what } => write!(f, "the model's template refuses the messages: {what}"),
            TemplateError::Wrong { line, what } => write!(f, "line {line} of the template: {what}"),
            TemplateError::UsedUp { line, what } => {
                write!(f, "line {line} of the template: the limit for {what} is reached")
            }
        }
    }
}

impl std::error::Error for TemplateError {}

/// What a template is rendered with.
#[derive(Debug, Clone, Copy)]
pub struct ChatInput<'a> {
    /// Objects with `role` and `content`; see `template_messages` for what clients send.
    pub messages: &'a [Json],
    pub tools: Option<&'a [Json]>,
    /// Whether the prompt ends with the beginning of the model's answer.
    pub add_generation_prompt: bool,
    pub bos_token: &'a str,
    pub eos_token: &'a str,
    /// What `strftime_now` tells.
    pub now: CivilTime,
    /// More names, such as `enable_thinking`.
    pub extra: &'a [(String, Json)],
}

/// A template that was read once and found sound.
#[derive(Debug, Clone)]
pub struct ChatTemplate {
    source: String,
}

impl ChatTemplate {
    pub fn parse(source: &str) -> Result<ChatTemplate, TemplateError> {
        if source.len() > TEMPLATE_BYTES_MAX {
            return Err(TemplateError::TooLong { bytes: source.len() });
        }
        let source = without_generation_tags(source);
        check_density(&source)?;
        read(&source)?;
        Ok(ChatTemplate { source })
    }

    pub fn render(&self, input: &ChatInput) -> Result<String, TemplateError> {
        self.render_within(input, Limits::default())
    }

    pub fn render_within(&self, input: &ChatInput, limits: Limits) -> Result<String, TemplateError> {
        // Reading again costs far less than the prompt's first token, and spares a structure that refers to itself.
        let tree = read(&self.source)?;
        let ast::Stmt::Template(root) = &tree else { return Ok(String::new()) };
        let mut evaluator = eval::Evaluator::new(Budget::new(limits), input.now);
        let done = evaluator.set_input(input).and_then(|()| evaluator.block(&root.children).map(drop));
        let line = evaluator.line;
        match done {
            Ok(()) => Ok(evaluator.out),
            Err(Fault::Refused(what)) => Err(TemplateError::Refused { what }),
            Err(Fault::Wrong(what)) => Err(TemplateError::Wrong { line, what }),
            Err(Fault::UsedUp(what)) => Err(TemplateError::UsedUp { line, what }),
        }
    }

    /// Whether a name is spoken of at all, as `tools` or `enable_thinking`.
    pub fn names(&self, name: &str) -> bool {
        let mut tokens = tokenize(&self.source, false, syntax());
        tokens.any(|token| matches!(token, Ok((Token::Ident(word), _)) if word == name))
    }
}

/// As Hugging Face sets Jinja up.
fn syntax() -> SyntaxConfig {
    let builder = &mut SyntaxConfig::builder();
    builder.trim_blocks(true).lstrip_blocks(true).build().expect("the marks of tags are not touched")
}

fn read(source: &str) -> Result<ast::Stmt<'_>, TemplateError> {
    parse(source, "template", syntax()).map_err(syntax_error)
}

fn syntax_error(error: minijinja::Error) -> TemplateError {
    let what = error.detail().map_or_else(|| error.kind().to_string(), str::to_string);
    TemplateError::Syntax { line: error.line().unwrap_or(0), what }
}

/// Refuses what would make the reader or the tree too deep, before it is read.
fn check_density(source: &str) -> Result<(), TemplateError> {
    let (mut n_tokens, mut n_elif) = (0, 0);
    for token in tokenize(source, false, syntax()) {
        let (token, span) = token.map_err(syntax_error)?;
        let line = usize::from(span.start_line);
        match token {
            Token::VariableStart | Token::BlockStart => n_tokens = 0,
            Token::Ident("elif") => n_elif += 1,
            _ => {}
        }
        n_tokens += 1;
        if n_tokens > TAG_TOKENS_MAX {
            return Err(TemplateError::Syntax {
                line,
                what: format!("a tag has more than {TAG_TOKENS_MAX} words"),
            });
        }
        if n_elif > ELIF_MAX {
            return Err(TemplateError::Syntax { line, what: format!("more than {ELIF_MAX} times elif") });
        }
    }
    Ok(())
}

/// `{% generation %}` marks the model's own words for training; for a prompt it means nothing.
fn without_generation_tags(source: &str) -> String {
    let mut cleaned = String::new();
    let mut rest = source;
    while let Some(begin) = rest.find("{%") {
        // In {%} the sign of percent belongs to the beginning.
        let Some(len) = rest[begin + 2..].find("%}") else { break };
        let tag = &rest[begin..begin + 2 + len];
        let word = tag[2..].trim_matches(|c: char| c.is_whitespace() || matches!(c, '-' | '+'));
        let standing_in = match word {
            "generation" => Some(tag.replacen("generation", "if true", 1)),
            "endgeneration" => Some(tag.replacen("endgeneration", "endif", 1)),
            _ => None,
        };
        cleaned.push_str(&rest[..begin]);
        cleaned.push_str(standing_in.as_deref().unwrap_or(tag));
        rest = &rest[begin + 2 + len..];
    }
    cleaned + rest
}
